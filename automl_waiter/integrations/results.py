"""What the engines' steps share: the log of a wait, and the results of its outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from automl_waiter._model.errors import CredentialsExpired, ServiceUnavailable
from automl_waiter._model.events import Event
from automl_waiter._model.outcome import Outcome
from automl_waiter._system.log import level_of, summary_of
from automl_waiter.report.facts import outcome_document
from automl_waiter.report.markdown import markdown

FAILED_CALLS = (ServiceUnavailable, CredentialsExpired)
"""Errors after which a retry may help: the calls failed, not the job. Any other end would be the same again, and a
timeout should not apply several times."""


def logging_to(log: Any, on_event: Callable[[Event], object] | None) -> Callable[[Event], object]:
    """Return a callback that writes each event to a run's log, and then calls the user's callback."""

    def call(event: Event) -> object:
        log.log(level_of(event), summary_of(event))
        return None if on_event is None else on_event(event)

    return call


def result_of(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome in JSON's types, without the members for logs: engines keep results in a database."""
    result = outcome.to_dict()
    del result["describe"], result["transitions"]
    return result


def markdown_of(outcome: Outcome) -> str:
    """Return the outcome as a page in Markdown."""
    return markdown(outcome_document(outcome))
