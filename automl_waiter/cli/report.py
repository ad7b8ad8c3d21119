"""`report`: what happened to a job, printed, whether or not somebody watched it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from automl_waiter._engine.candidates import read_candidates
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.tracker import Transition
from automl_waiter._system.machine import Machine
from automl_waiter._wiring import ONE_POLL, Target, snapshot_of
from automl_waiter.cli.lines import write_results
from automl_waiter.report.document import Document
from automl_waiter.report.facts import report_document
from automl_waiter.report.html import page
from automl_waiter.report.markdown import markdown
from automl_waiter.waiter import outcome_of, result_of

FORMATS = ("text", "markdown", "html")


def make_report(target: Target, journal_path: str | None) -> Document:
    """Return what is known of the job: from one poll, its candidates, and what a journal holds.

    Raises:
        AutoMLWaiterError: There is no such job, AWS refused, or could not be reached.
        JournalError: The journal cannot be read.
    """
    seen = _journaled(journal_path)
    budget = ONE_POLL.error_budget
    with Machine() as machine:
        outcome = outcome_of(target, ONE_POLL, machine)
        snapshot = snapshot_of(outcome)
        read = partial(read_candidates, job_name=snapshot.name, error_budget=budget)
        leaderboard = result_of(read, target.gateway, machine, error_budget=budget).leaderboard
    return report_document(outcome, _with(seen.get(snapshot.arn, ()), outcome), leaderboard)


def print_report(document: Document, form: str) -> None:
    """Prints it as one of FORMATS."""
    match form:
        case "html":
            lines = page(document).splitlines()
        case "markdown":
            lines = markdown(document).splitlines()
        case _:
            from automl_waiter.report.plain_text import text_lines

            lines = text_lines(document, sys.stdout)
    write_results(*lines)


def _journaled(path: str | None) -> dict[str, Sequence[Transition]]:
    """What was seen of each job, by its ARN."""
    if path is None:
        return {}
    from automl_waiter.journal import read_history

    return {
        history.job_arn: [journaled.transition for journaled in history.transitions] for history in read_history(path)
    }


def _with(seen: Sequence[Transition], outcome: Outcome) -> Sequence[Transition]:
    """What was seen before, and what is seen now, if it is something else."""
    if not seen:
        return outcome.transitions
    now = outcome.transitions[0]
    if now.after == seen[-1].after:
        return seen
    return [*seen, replace(now, before=seen[-1].after, not_before=seen[-1].observed_at)]
