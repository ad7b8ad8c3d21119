"""`history`: the contents of a journal."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import click

from automl_waiter._model.exit_codes import ExitCode
from automl_waiter._model.text import clean, format_duration, isoformat
from automl_waiter.cli.completion import complete_journaled_jobs
from automl_waiter.cli.flags import OUTPUT, Flags, journal_option, shared
from automl_waiter.cli.help import Page
from automl_waiter.cli.lines import write_product
from automl_waiter.cli.output import json_line

if TYPE_CHECKING:  # it loads SQLite, which most commands do not need
    from automl_waiter.journal import JobHistory, JournaledTransition


@click.command(
    cls=Page,
    short_help="Print the records of a journal.",
    examples=[("automl-waiter history --journal jobs.db -o json churn-2026", "Print a job's transitions as JSON:")],
)
@click.argument("jobs", nargs=-1, metavar="[JOB...]", shell_complete=complete_journaled_jobs)
@shared(journal_option(required=True, help="Journal to read."), OUTPUT)
def history(flags: Flags, jobs: tuple[str, ...]) -> int:
    """Print what a journal recorded of each JOB, or of all jobs: transitions, outcomes, and pending deliveries."""
    return print_history(str(flags.journal_path), jobs, flags.output)


def print_history(path: str | os.PathLike[str], jobs: Collection[str], output: str) -> ExitCode:
    """Print the journal's records of the jobs, in one of the forms of `--output`, and return the exit code.

    Raises:
        JournalError: The journal cannot be read, or it holds no such job.
    """
    from automl_waiter.journal import JournalReader

    with closing(JournalReader(path)) as journal:
        histories = journal.jobs(jobs)
        match output:
            case "json":
                return write_product(_json_of(histories), end="")
            case "jsonl":
                return write_product(json_line(history.to_dict()) for history in histories)
            case "text":
                return write_product(_lines_of(histories))
    return ExitCode.OK


def _json_of(histories: Iterable[JobHistory]) -> Iterator[str]:
    """Yield one JSON object in parts: a journal may be larger than memory should hold."""
    separator = '{"jobs": ['
    for history in histories:
        yield separator + json_line(history.to_dict())
        separator = ", "
    yield "]}\n" if separator == ", " else f"{separator}]}}\n"


def _lines_of(histories: Iterable[JobHistory]) -> Iterator[str]:
    is_empty = True
    for history in histories:
        is_empty = False
        yield from _text_of(history)
    if is_empty:
        yield "the journal has no jobs"


def _text_of(history: JobHistory) -> list[str]:
    head = f"{clean(history.job_name)}: {clean(history.state or 'not observed yet')}"
    if history.verdict is not None:
        head += f", {clean(history.verdict.replace('_', ' '))} (exit code {history.exit_code})"
    facts: list[tuple[str, object]] = [("arn", history.job_arn)]
    if history.created_at:
        facts.append(("created", isoformat(history.created_at)))
    if history.ended_at:
        facts.append(("ended", isoformat(history.ended_at)))
    if history.failure_reason:
        facts.append(("reason", history.failure_reason))
    return [head, *(f"  {name:<10}{clean(value)}" for name, value in facts), *_transition_lines(history.transitions)]


def _transition_lines(transitions: Sequence[JournaledTransition]) -> list[str]:
    states = [clean(journaled.transition.after) for journaled in transitions]
    width = max(map(len, states), default=0)
    lines = []
    for index, (journaled, state) in enumerate(zip(transitions, states, strict=True)):
        begun = journaled.transition.observed_at
        lasted = ""
        if index + 1 < len(transitions):
            seconds = (transitions[index + 1].transition.observed_at - begun).total_seconds()
            lasted = format_duration(max(0.0, seconds))  # the clock may have been set back
        line = f"  {isoformat(begun)}  {state:<{width}}  {lasted:<8}"
        pending = [clean(delivery.subscriber) for delivery in journaled.deliveries if delivery.state == "pending"]
        if pending:
            line += f"  not delivered: {', '.join(pending)}"
        lines.append(line.rstrip())
    return lines
