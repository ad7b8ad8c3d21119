"""`report`: what happened to a job, even if nobody watched it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

import click

from automl_waiter._engine.candidates import read_candidates
from automl_waiter._model.failure_logs import LINES, FailureLog
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.tracker import Transition
from automl_waiter._wiring import ONE_POLL, Target, snapshot_of
from automl_waiter.cli.completion import complete_jobs
from automl_waiter.cli.flags import AWS, Flags, LineCount, journal_option, shared
from automl_waiter.cli.help import Page
from automl_waiter.cli.lines import write_product
from automl_waiter.cli.signals import Interrupts
from automl_waiter.report.document import Document
from automl_waiter.report.facts import report_document
from automl_waiter.report.html import page
from automl_waiter.report.markdown import markdown
from automl_waiter.waiter import outcome_of, read_logs, result_of


@click.command(
    cls=Page,
    short_help="Report what happened to a job.",
    examples=[
        ("automl-waiter report churn-2026 --format html > churn.html", "Make one page that you can send to others:"),
        ("automl-waiter report churn-2026 --journal jobs.db", "Include the phases that a wait or a watch observed:"),
    ],
)
@click.argument("job", shell_complete=complete_jobs)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "html"]),
    default="text",
    help="Format of the report. html: one self-contained page with charts of the phases and candidates.",
)
@click.option(
    "--logs",
    type=LineCount(),
    default=LINES,
    metavar="N|none",
    help="Number of log lines to show of a failed step.",
)
@shared(journal_option(help="Include the phases that this journal recorded."), *AWS)
@click.pass_obj
def report(interrupts: Interrupts, /, flags: Flags, job: str, form: str, logs: int) -> int:
    """Report what happened to JOB, a name or an ARN, even if nothing waited for it.

    The report lists the phases, the candidates, the metrics of the best one, the S3 locations of notebooks, reports and
    model, the log of a failed step, and the next steps. Without a journal it derives the phases from the times of the
    candidates. Candidates need the permission sagemaker:ListCandidatesForAutoMLJob, and the log needs
    logs:DescribeLogStreams and logs:GetLogEvents.
    """
    ref = job_ref(job)
    with interrupts.ending():
        target = flags.gateways().target(ref)
        seen = {} if flags.journal_path is None else _journaled(flags.journal_path, ref.name)
        document = _document(target, seen, flags, logs)
        match form:
            case "html":
                lines = page(document).splitlines()
            case "markdown":
                lines = markdown(document).splitlines()
            case _:
                from automl_waiter.report.plain_text import text_lines

                lines = text_lines(document, sys.stdout)
        return write_product(lines)


def _journaled(path: str, name: str) -> Mapping[str, Sequence[Transition]]:
    from automl_waiter.journal import JournalReader  # it loads SQLite

    with closing(JournalReader(path)) as journal:
        return journal.transitions(name)


def _document(target: Target, seen: Mapping[str, Sequence[Transition]], flags: Flags, lines: int) -> Document:
    """Return the report on a job, from one poll, its candidates, and its observed transitions by ARN."""
    budget = ONE_POLL.error_budget
    outcome = outcome_of(target, ONE_POLL)
    snapshot = snapshot_of(outcome)
    read = partial(read_candidates, job_name=snapshot.name, error_budget=budget)
    leaderboard = result_of(read, target.gateway, error_budget=budget).leaderboard
    logs: Mapping[str, Sequence[FailureLog]] = {}
    if lines:
        logs = read_logs([outcome], lambda _: (target.gateway, flags.logs(snapshot.arn)), leaderboard.candidates, lines)
    transitions = _with(seen.get(snapshot.arn, ()), outcome)
    return report_document(outcome, transitions, leaderboard, logs.get(outcome.job, ()))


def _with(seen: Sequence[Transition], outcome: Outcome) -> Sequence[Transition]:
    """Return the observed transitions, and the present state if it differs."""
    if not seen:
        return outcome.transitions
    now = outcome.transitions[0]
    if now.after == seen[-1].after:
        return seen
    return [*seen, replace(now, before=seen[-1].after, not_before=seen[-1].observed_at)]
