"""Shell completion of job names, from AWS or a journal, and of statuses. Failures are silent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import click
from click.shell_completion import CompletionItem

from automl_waiter._aws.connection import connect
from automl_waiter._aws.gateway import Boto3Gateway
from automl_waiter._model.statuses import SecondaryStatus, Status
from automl_waiter._model.text import clean

# Seconds for the call: the user has just pressed a key.
_PATIENCE = 2.0


def complete_jobs(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the names of the newest jobs with this prefix, each with its status; those in progress first."""
    given = ctx.params.get("jobs") or ()
    try:
        gateway = _gateway(ctx)
    except Exception:
        return []
    return [item for item in _within_patience(lambda: _listed(gateway, incomplete)) if item.value not in given]


def complete_journaled_jobs(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the names of the newest jobs in the journal of the `--journal` flag."""

    def names() -> list[CompletionItem]:
        from automl_waiter.journal import JournalReader

        with closing(JournalReader(ctx.params["journal_path"])) as journal:
            return [_item(name, status) for name, status in journal.names(incomplete)]

    return _within_patience(names)


def complete_until(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the statuses and phases."""
    return _beginning(incomplete, [CompletionItem(word) for word in dict.fromkeys([*Status, *SecondaryStatus])])


def _gateway(ctx: click.Context) -> Boto3Gateway:
    profile, region, endpoint_url = (ctx.params[name] for name in ("profile", "region", "endpoint_url"))
    return Boto3Gateway(connect(profile=profile, region=region, endpoint_url=endpoint_url))


def _listed(gateway: Boto3Gateway, incomplete: str) -> list[CompletionItem]:
    request: dict[str, Any] = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 100}
    if incomplete:
        request["NameContains"] = incomplete
    jobs = gateway.list_jobs(request)["AutoMLJobSummaries"]
    jobs.sort(key=lambda job: job["AutoMLJobStatus"] != Status.IN_PROGRESS)
    return _beginning(incomplete, [_item(job["AutoMLJobName"], job["AutoMLJobStatus"]) for job in jobs])


def _item(name: str, description: object) -> CompletionItem:
    return CompletionItem(clean(name), help=clean(description))


def _beginning(incomplete: str, items: list[CompletionItem]) -> list[CompletionItem]:
    return [item for item in items if item.value.lower().startswith(incomplete.lower())]


def _within_patience(find: Callable[[], list[CompletionItem]]) -> list[CompletionItem]:
    found: list[CompletionItem] = []

    def run() -> None:
        try:
            found.extend(find())
        except Exception:
            found.clear()  # completion is no place for an error message

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return list(found)
