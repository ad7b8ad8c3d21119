"""The commands that wait: `wait`, `watch` and `status`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import click

from automl_waiter._aws.connection import connect
from automl_waiter._aws.logs import CloudWatchLogs
from automl_waiter._engine.calls import Gateway
from automl_waiter._engine.kernel import Clock, Kernel
from automl_waiter._engine.watch import matching
from automl_waiter._model.errors import InvalidRequest
from automl_waiter._model.exit_codes import ExitCode
from automl_waiter._model.job_refs import JobRef, job_ref
from automl_waiter._model.options import CANDIDATES_EVERY_S
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.verdicts import UNDECIDED, required_parts
from automl_waiter._wiring import ONE_POLL, Gateways, watch_kernel
from automl_waiter.cli.completion import complete_until
from automl_waiter.cli.execute import CommandRunner, command_words
from automl_waiter.cli.flags import (
    AWS,
    JOBS,
    LOG_FORMAT,
    NO_ESTIMATE,
    PACE,
    PROGRESS,
    RESULTS,
    SUBSCRIBERS,
    Duration,
    Flags,
    shared,
)
from automl_waiter.cli.help import ENVIRONMENT, EXIT_CODES, Page
from automl_waiter.cli.output import Reporter, ResultWriter
from automl_waiter.cli.resume import resume_command
from automl_waiter.cli.screen import Screen, open_screen
from automl_waiter.cli.session import Session
from automl_waiter.cli.signals import Interrupts

_SHOWN_PROBLEMS = 10
_LISTS = {"Exit codes": EXIT_CODES, "Environment": ENVIRONMENT}


@click.command(
    cls=Page,
    short_help="Wait until every job has ended.",
    examples=[
        ("automl-waiter wait churn-2026 --timeout 6h --stop-on timeout", "Stop the job after six hours:"),
        ("automl-waiter wait a b c --fail-fast -o json", "Wait for several jobs, or until one does not succeed:"),
        (
            "automl-waiter wait churn-2026 --good-enough 0.9",
            "Stop the job as soon as a candidate reaches 0.9, to save training time:",
        ),
        ("automl-waiter wait churn-2026 --exec ./notify.sh --journal jobs.db", "Run a script on each transition:"),
    ],
    lists=_LISTS,
)
@JOBS
@click.option(
    "--timeout",
    type=Duration({"auto": "auto", "none": None}),
    default="none",
    metavar="DURATION|auto|none",
    help="Time limit of the whole wait. auto: the job's runtime limit plus 30 minutes.",
)
@PACE
@click.option(
    "--until",
    metavar="EXPR",
    shell_complete=complete_until,
    help="Return as soon as this holds: a status, a phase, or a JMESPath expression over the response.",
)
@click.option(
    "--good-enough",
    type=float,
    metavar="VALUE",
    help="Stop the job as soon as a candidate's objective is at least as good as VALUE, and exit 0. Exit 15 if the job "
    "completes first. Replaces --until and --stop-on until.",
)
@click.option(
    "--stop-on",
    multiple=True,
    type=click.Choice(["until", "timeout", "interrupt"]),
    help="Stop the job when --until holds, at the timeout, or on SIGINT, SIGTERM or SIGHUP. Repeatable.",
)
@click.option("--any", "until_any", is_flag=True, help="Return when the first job has ended.")
@click.option("--fail-fast", is_flag=True, help="Return as soon as one job does not succeed.")
@shared(*SUBSCRIBERS, *RESULTS, NO_ESTIMATE, PROGRESS, LOG_FORMAT, *AWS)
@click.pass_context
def wait(
    ctx: click.Context,
    /,
    flags: Flags,
    jobs: tuple[str, ...],
    timeout: Any,
    until: str | None,
    good_enough: float | None,
    stop_on: tuple[Any, ...],
    until_any: bool,
    fail_fast: bool,
) -> int:
    """Wait until every JOB, a name or an ARN, has ended. Use - to read names from standard input.

    On a terminal you see the phases, the candidates and an estimate of the end. Elsewhere you get a line for each
    transition, and at least one every five minutes. Waiting needs the permission sagemaker:DescribeAutoMLJobV2.
    Candidates need sagemaker:ListCandidatesForAutoMLJob, and an estimate needs sagemaker:ListAutoMLJobs.
    """
    if until_any and fail_fast:
        raise click.UsageError("use either --any or --fail-fast")
    causes = [cause for cause in stop_on if cause != "interrupt"]
    options = flags.wait_options(timeout=timeout, until=until, good_enough=good_enough, stop_on=causes)
    hint = "Ctrl-C ends the wait; the jobs keep running"
    if "interrupt" in stop_on:
        options = replace(options, stop_on=options.stop_on | {"interrupt"})
        hint = "Ctrl-C stops the jobs"
    refs = _refs(jobs, ctx.obj)
    if len(refs) == 1:
        hint = hint.replace("jobs keep", "job keeps").replace("jobs", "job")
    writer = ResultWriter(flags.output)
    screen = open_screen(flags, writer, names=[ref.name for ref in refs], timeout=options.timeout, hint=hint)
    if screen.view is not None:
        options = replace(options, candidates_every=CANDIDATES_EVERY_S)
    gateways = flags.gateways(options.max_rate)
    session = _session(
        ctx.obj,
        flags,
        writer,
        screen,
        subject=["wait"],
        logs=_log_connections(flags, gateways)
        if not flags.quiet and (flags.output == "text" or screen.github)
        else None,
        decides=_has_ended if until_any else _does_not_succeed if fail_fast else lambda _: False,
        resume=partial(resume_command, ctx),
    )
    return session.run(refs, partial(gateways.targets, refs), options)


@click.command(
    cls=Page,
    short_help="Follow all jobs, including new ones.",
    examples=[
        ("automl-waiter watch -o jsonl --exec ./notify.sh --journal jobs.db", "Report every job, for weeks:"),
        (
            "automl-waiter watch --name-contains nightly- --since 1d --until-idle && ./deploy.sh",
            "Wait for the jobs of the last day, and deploy only if all succeeded:",
        ),
    ],
    lists=_LISTS,
)
@click.option("--name-contains", help="Only jobs whose names contain this text, ignoring case.")
@click.option(
    "--since",
    type=Duration(),
    metavar="DURATION",
    help="Include jobs created within this time, even ended ones. Default: jobs in progress and new ones.",
)
@click.option("--until-idle", is_flag=True, help="Return when no job is in progress. Default: run until a signal.")
@shared(PACE, *SUBSCRIBERS, *RESULTS, NO_ESTIMATE, PROGRESS, LOG_FORMAT, *AWS)
@click.pass_obj
def watch(
    interrupts: Interrupts, /, flags: Flags, name_contains: str | None, since: float | None, until_idle: bool
) -> int:
    """Follow all matching jobs of the account and region, including new ones, and print each transition.

    It needs the permissions sagemaker:ListAutoMLJobs and, for each ended job, sagemaker:DescribeAutoMLJobV2.
    """
    options = flags.wait_options()
    which = matching(name_contains, since)
    writer = ResultWriter(flags.output, is_running=True)
    screen = open_screen(flags, writer, hint="Ctrl-C ends the watch; the jobs keep running")
    session = _session(interrupts, flags, writer, screen, subject=["watch", name_contains or ""])

    def begin(clock: Clock) -> Kernel:
        gateway = flags.gateways(options.max_rate).default()
        earlier = session.resume(gateway.region, name_contains)
        return watch_kernel(gateway, which, options, clock, until_idle=until_idle, earlier=earlier)

    return session.follow(begin)


@click.command(
    cls=Page,
    short_help="Poll each job once.",
    examples=[("automl-waiter status -q -o none churn-2026; echo $?", "Print 75 if the job is still in progress:")],
    lists=_LISTS,
)
@JOBS
@shared(*RESULTS, NO_ESTIMATE, *AWS)
@click.pass_obj
def status(interrupts: Interrupts, /, flags: Flags, jobs: tuple[str, ...]) -> int:
    """Poll each JOB once, print its status, and return it as the exit code."""
    options = replace(ONE_POLL, required=required_parts(flags.require), estimate=not flags.no_estimate)
    reporter = Reporter("console", quiet=flags.quiet, progress=False)
    refs = _refs(jobs, interrupts)
    writer = ResultWriter(flags.output, is_brief=True)
    code = Session(reporter, writer, interrupts).run(refs, partial(flags.gateways().targets, refs), options)
    return code if writer.problem is None or isinstance(writer.problem, BrokenPipeError) else ExitCode.OUTPUT_LOST


def _refs(jobs: Sequence[str], interrupts: Interrupts) -> list[JobRef]:
    """Return the distinct jobs; "-" stands for the names on standard input."""
    with interrupts.ending() if "-" in jobs else nullcontext():
        # None if the parent process closed it.
        text = sys.stdin.read() if "-" in jobs and sys.stdin else ""
    refs, problems = [], []
    for job in jobs:
        for place, name in _names_in(text) if job == "-" else [("", job)]:
            try:
                refs.append(job_ref(name))
            except InvalidRequest as error:
                problems.append(f"{place}{error}")
    if problems:
        more = [f"and {len(problems) - _SHOWN_PROBLEMS} more"] if len(problems) > _SHOWN_PROBLEMS else []
        raise click.UsageError("; ".join([*problems[:_SHOWN_PROBLEMS], *more]))
    if not refs:
        raise click.UsageError("no job: standard input has no names")
    return list({ref.key: ref for ref in refs}.values())


def _names_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield each name on standard input after the words for its place. A `#` starts a comment."""
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        for name in line.partition("#")[0].split():
            yield f"standard input, line {number}: ", name


def _has_ended(outcome: Outcome) -> bool:
    """Return whether the job has ended or met the condition; an error or a timeout decides nothing."""
    return outcome.verdict not in UNDECIDED


def _does_not_succeed(outcome: Outcome) -> bool:
    return outcome.exit_code != ExitCode.OK


def _log_connections(flags: Flags, gateways: Gateways) -> Callable[[Outcome], tuple[Gateway, CloudWatchLogs]]:
    return lambda outcome: (gateways.of(job_ref(outcome)), flags.logs(outcome.arn or ""))


def _session(
    interrupts: Interrupts, flags: Flags, writer: ResultWriter, screen: Screen, *, subject: Sequence[str], **more: Any
) -> Session:
    """Return a session with `--exec`, `--publish` and `--journal`.

    `subject` is what stdout is in the journal: a later command of the same subject resumes where this one stops.
    """
    reporter = screen.reporter
    runner = publisher = journal = run_lock = None
    # Most waits do not need these modules.
    if flags.bus is not None:
        from automl_waiter.integrations.eventbridge import EventBridgePublisher

        publisher = EventBridgePublisher(
            flags.bus,
            report=partial(reporter.note, "publish", level=logging.ERROR),
            # Not at --endpoint-url, which is for SageMaker only.
            connect_to=lambda region: connect(profile=flags.profile, region=region or flags.region, service="events"),
            error_budget=flags.error_budget,
        )
    if flags.journal_path is not None:
        from automl_waiter.journal import Journal

        journal = Journal(flags.journal_path, warn=partial(reporter.warn, "journal"))
        run_lock = journal.run_lock
    if flags.command is not None:
        runner = CommandRunner(
            command_words(flags.command),
            lambda job_name, problem: reporter.note("exec", f"{job_name}: {problem}", level=logging.ERROR),
            lock_of=run_lock,
            output=screen.view.pipe() if screen.view is not None else None,
        )
    return Session(
        reporter,
        writer,
        interrupts,
        command=runner,
        publisher=publisher,
        journal=journal,
        subject=subject,
        github=screen.github,
        **more,
    )
