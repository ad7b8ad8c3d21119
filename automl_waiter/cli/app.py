"""`automl-waiter`: its commands and flags, and how an error becomes one line and an exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from automl_waiter._aws.connection import connect
from automl_waiter._engine.kernel import Clock, Kernel
from automl_waiter._engine.watch import matching
from automl_waiter._model.errors import AutoMLWaiterError
from automl_waiter._model.exit_codes import ExitCode, exit_code_of_error
from automl_waiter._model.job_refs import JobRef, job_ref
from automl_waiter._model.options import CANDIDATES_EVERY_S, Requirement, WaitOptions, wait_options
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.text import clean
from automl_waiter._model.token_bucket import DEFAULT_MAX_RATE
from automl_waiter._model.verdicts import UNDECIDED, required_parts
from automl_waiter._version import __version__
from automl_waiter._wiring import ONE_POLL, Gateways, watch_kernel
from automl_waiter.cli.completion import complete_jobs, complete_journaled_jobs, complete_until
from automl_waiter.cli.execute import CommandRunner, command_words
from automl_waiter.cli.export import export
from automl_waiter.cli.flags import (
    Duration,
    aws_options,
    log_option,
    output_option,
    pace_options,
    progress_option,
    result_options,
    subscriber_options,
)
from automl_waiter.cli.help import COMPLETION, ENVIRONMENT, EXIT_CODES, PageGroup
from automl_waiter.cli.lines import write_line
from automl_waiter.cli.local import play_demo, serve_sandbox
from automl_waiter.cli.output import Reporter, ResultWriter
from automl_waiter.cli.report import FORMATS, make_report, print_report
from automl_waiter.cli.resume import resume_command
from automl_waiter.cli.screen import Screen, open_screen
from automl_waiter.cli.session import Session
from automl_waiter.cli.signals import Interrupts
from automl_waiter.sandbox import SandboxUnavailable
from automl_waiter.sandbox.scenarios import SCENARIOS

if TYPE_CHECKING:  # It loads what most waits do without.
    from automl_waiter.integrations.eventbridge import EventBridgePublisher

# Since click 8.2; before, it prints the help by itself.
_NO_ARGUMENTS: type[click.UsageError] | tuple[()] = getattr(click.exceptions, "NoArgsIsHelpError", ())


@dataclass
class Invocation:
    """What the commands are handed: the signals, and the AWS options that stood before the command."""

    interrupts: Interrupts
    aws: dict[str, str | None] = field(default_factory=dict)


_GOOD_ENOUGH = "BestCandidate.FinalAutoMLJobObjectiveMetric.Value > `0.9`"
_OF_A_WAIT = {"Exit codes": EXIT_CODES, "Environment": ENVIRONMENT}


@click.group(
    cls=PageGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    examples=[
        ("automl-waiter wait churn-2026 && ./deploy.sh", "Wait, and deploy only if the job gave what was asked of it:"),
        ("automl-waiter report churn-2026", "See what happened to a job that nobody watched:"),
        ("automl-waiter demo", "See it at work, without an AWS account:"),
    ],
    lists=_OF_A_WAIT | {"Completion of commands, flags and names of jobs": COMPLETION},
)
@click.version_option(__version__, prog_name="automl-waiter", message="%(prog)s %(version)s")
@aws_options
@click.pass_context
def cli(ctx: click.Context, /, **aws: str | None) -> None:
    """Wait until an Amazon SageMaker AutoML job is done, and know how it ended.

    Results go to stdout, everything for people to stderr, and the exit code says how it ended. COMMAND --help has the
    rest.
    """
    ctx.obj.aws = aws


def _aws(ctx: click.Context, own: dict[str, str | None]) -> dict[str, str | None]:
    """The AWS options, which stand before or after the command."""
    return {name: own[name] or ctx.obj.aws[name] for name in own}


def _gateways(ctx: click.Context, own: dict[str, str | None], max_rate: float = DEFAULT_MAX_RATE) -> Gateways:
    aws = _aws(ctx, own)
    return Gateways(
        connect_to=lambda region: connect(
            profile=aws["profile"], region=region or aws["region"], endpoint_url=aws["endpoint_url"]
        ),
        max_rate=max_rate,
    )


def _standard_input() -> str:
    return sys.stdin.read() if sys.stdin else ""  # None, if whoever started this process has closed it


def _refs(jobs: Sequence[str], interrupts: Interrupts) -> list[JobRef]:
    with interrupts.ending() if "-" in jobs else nullcontext():
        names = [name for job in jobs for name in (_standard_input().split() if job == "-" else [job])]
    if not names:
        raise click.UsageError("no job: standard input holds no names")
    return list({ref.key: ref for ref in map(job_ref, names)}.values())


@cli.command(
    short_help="Block until every job has ended.",
    examples=[
        ("automl-waiter wait churn-2026 --timeout 6h --stop-on timeout", "Give a job six hours, and then stop it:"),
        ("automl-waiter wait a b c --fail-fast -o json", "Wait for several, until one does not succeed:"),
        (
            f"automl-waiter wait churn-2026 --stop-on until --until '{_GOOD_ENOUGH}'",
            "Stop a job as soon as it is good enough, and pay for no more:",
        ),
        ("automl-waiter wait churn-2026 --exec ./notify.sh --journal jobs.db", "Tell somebody of each phase, once:"),
    ],
    lists=_OF_A_WAIT,
)
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...", shell_complete=complete_jobs)
@click.option(
    "--timeout",
    type=Duration({"auto": "auto", "none": None}),
    default="none",
    show_default=True,
    metavar="DURATION|auto|none",
    help="For the whole wait. auto: the job's own limit and 30 minutes.",
)
@pace_options
@click.option(
    "--until",
    metavar="EXPR",
    shell_complete=complete_until,
    help="Return earlier: a status, a phase, or JMESPath over the response.",
)
@click.option(
    "--stop-on",
    multiple=True,
    type=click.Choice(["until", "timeout", "interrupt"]),
    help="Stop the job when --until holds, at the timeout, or on SIGINT or SIGTERM; repeatable.",
)
@click.option("--any", "until_any", is_flag=True, help="Wait until the first job has ended.")
@click.option("--fail-fast", is_flag=True, help="Wait until the first job that does not succeed.")
@subscriber_options
@result_options
@progress_option
@log_option
@aws_options
@click.pass_context
def wait(
    ctx: click.Context,
    /,
    jobs: tuple[str, ...],
    timeout: Any,
    poll: float | None,
    until: str | None,
    stop_on: tuple[Any, ...],
    until_any: bool,
    fail_fast: bool,
    error_budget: float,
    max_rate: float | None,
    command: str | None,
    bus: str | None,
    journal_path: str | None,
    output: str,
    quiet: bool,
    require: tuple[Requirement, ...],
    display: str,
    log_format: str,
    **aws: str | None,
) -> int:
    """Block until every JOB has ended: its name or its ARN; - reads names from standard input.

    On a terminal it shows the phases, the candidates and the time meanwhile; elsewhere it writes a line for each
    transition, and one at least every five minutes. It needs sagemaker:DescribeAutoMLJobV2, and
    sagemaker:ListCandidatesForAutoMLJob to show candidates or to wait for one.
    """
    if until_any and fail_fast:
        raise click.UsageError("--any and --fail-fast exclude each other")
    options = wait_options(
        timeout=timeout,
        poll=poll,
        until=until,
        require=require,
        stop_on=[cause for cause in stop_on if cause != "interrupt"],
        error_budget=error_budget,
        max_rate=max_rate,
    )
    if "interrupt" in stop_on:
        options = replace(options, stop_on=options.stop_on | {"interrupt"})
    refs = _refs(jobs, ctx.obj.interrupts)
    hint = "Ctrl-C stops the jobs" if "interrupt" in stop_on else "Ctrl-C ends the wait; the jobs go on"
    writer = ResultWriter(output)
    screen = open_screen(
        display,
        log_format,
        quiet=quiet,
        is_free=not writer.has_transitions,
        names=[ref.name for ref in refs],
        timeout=options.timeout,
        hint=hint if len(refs) > 1 else hint.replace("jobs go", "job goes").replace("jobs", "job"),
        ends=len(refs) > 1 or output != "text",
    )
    if screen.view is not None:
        options = replace(options, candidates_every=CANDIDATES_EVERY_S)
    session = _session(
        ctx,
        screen,
        writer,
        command,
        _publisher(screen.reporter, bus, _aws(ctx, aws), error_budget),
        journal_path,
        told=["wait", *(ref.key for ref in refs)],
        decides=has_ended if until_any else does_not_succeed if fail_fast else lambda _: False,
        resume=partial(resume_command, ctx),
    )
    return session.run(refs, partial(_gateways(ctx, aws, options.max_rate).targets, refs), options)


@cli.command(
    short_help="Follow every job that matches, new ones included.",
    examples=[
        ("automl-waiter watch -o jsonl --exec ./notify.sh --journal jobs.db", "Tell of every job, for weeks:"),
        ("automl-waiter watch --name-contains nightly- --until-idle && ./deploy.sh", "Wait until none is in progress:"),
    ],
    lists=_OF_A_WAIT,
)
@click.option("--name-contains", metavar="TEXT", help="Only jobs whose names contain this, in any case.")
@click.option(
    "--since",
    type=Duration(),
    metavar="DURATION",
    help="Jobs that were created within this time, ended ones too; by default those in progress, and new ones.",
)
@click.option("--until-idle", is_flag=True, help="End when no job is in progress; by default only a signal ends it.")
@pace_options
@subscriber_options
@result_options
@progress_option
@log_option
@aws_options
@click.pass_context
def watch(
    ctx: click.Context,
    /,
    name_contains: str | None,
    since: float | None,
    until_idle: bool,
    poll: float | None,
    error_budget: float,
    max_rate: float | None,
    command: str | None,
    bus: str | None,
    journal_path: str | None,
    output: str,
    quiet: bool,
    require: tuple[Requirement, ...],
    display: str,
    log_format: str,
    **aws: str | None,
) -> int:
    """Follow every job of the account and region that matches, new ones included, and tell each transition.

    It needs sagemaker:ListAutoMLJobs, and describes each job that has ended.
    """
    options = wait_options(poll=poll, require=require, error_budget=error_budget, max_rate=max_rate)
    which = matching(name_contains, since)
    writer = ResultWriter(output, is_running=True)
    screen = open_screen(
        display,
        log_format,
        quiet=quiet,
        is_free=not writer.has_transitions,
        hint="Ctrl-C ends the watch; the jobs go on",
        progress=output != "text",
        is_running=True,
    )
    publisher = _publisher(screen.reporter, bus, _aws(ctx, aws), error_budget)
    session = _session(ctx, screen, writer, command, publisher, journal_path, told=["watch", name_contains or ""])
    gateways = _gateways(ctx, aws, options.max_rate)

    def begin(clock: Clock) -> Kernel:
        gateway = gateways.default()
        known = session.unfinished(gateway.region)
        return watch_kernel(gateway, which, options, clock, until_idle=until_idle, known=known)

    return session.watch(begin)


@cli.command(
    short_help="Look once; the exit code says how the job is.",
    examples=[("automl-waiter status -q -o none churn-2026; echo $?", "75 means that it is still in progress:")],
    lists=_OF_A_WAIT,
)
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...", shell_complete=complete_jobs)
@result_options
@aws_options
@click.pass_context
def status(
    ctx: click.Context,
    /,
    jobs: tuple[str, ...],
    output: str,
    quiet: bool,
    require: tuple[Requirement, ...],
    **aws: str | None,
) -> int:
    """Look once at each JOB, print how it is, and say it by the exit code."""
    options = WaitOptions(error_budget=ONE_POLL.error_budget, once=True, required=required_parts(require))
    reporter = Reporter("console", quiet=quiet, progress=False)
    refs = _refs(jobs, ctx.obj.interrupts)
    session = Session(reporter, ResultWriter(output, is_brief=True), ctx.obj.interrupts)
    return session.run(refs, partial(_gateways(ctx, aws).targets, refs), options)


@cli.command(
    short_help="Say what happened to a job.",
    examples=[
        ("automl-waiter report churn-2026 --format html > churn.html", "A page to look at and to pass on:"),
        ("automl-waiter report churn-2026 --journal jobs.db", "With the phases as a watch has seen them:"),
    ],
)
@click.argument("job", shell_complete=complete_jobs)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="html: one page with a chart of the phases and a plot of the candidates, which needs nothing else.",
)
@click.option(
    "--journal",
    "journal_path",
    type=click.Path(dir_okay=False),
    metavar="PATH",
    help="Tell the phases as they were seen and written in this file.",
)
@aws_options
@click.pass_context
def report(ctx: click.Context, /, job: str, form: str, journal_path: str | None, **aws: str | None) -> int:
    """Say what happened to JOB, whether or not somebody watched it: a name or an ARN.

    Its phases, its candidates, the best one's metrics, where its notebooks, reports and model lie, what it lacks and
    why, and what to do about it. It needs sagemaker:ListCandidatesForAutoMLJob to tell of the candidates.
    """
    from automl_waiter.journal import JournalError

    ref = job_ref(job)
    with ctx.obj.interrupts.ending():
        try:
            document = make_report(_gateways(ctx, aws).target(ref), journal_path)
        except JournalError as error:
            raise click.UsageError(str(error)) from None
        print_report(document, form)
    return ExitCode.OK


@cli.command(
    short_help="Show what a journal holds.",
    examples=[("automl-waiter history --journal jobs.db -o json churn-2026", "What was seen of a job, for a program:")],
)
@click.argument("jobs", nargs=-1, metavar="[JOB...]", shell_complete=complete_journaled_jobs)
@click.option(
    "--journal", "journal_path", required=True, type=click.Path(dir_okay=False), metavar="PATH", help="The journal."
)
@output_option
def history(jobs: tuple[str, ...], journal_path: str, output: str) -> int:
    """Show what a journal holds, of each JOB or of all: how they went, and what was not delivered yet."""
    from automl_waiter.cli.history import print_history
    from automl_waiter.journal import JournalError

    try:
        print_history(journal_path, jobs, output)
    except JournalError as error:
        raise click.UsageError(str(error)) from None
    return ExitCode.OK


scenario_option = partial(click.option, "--scenario", type=click.Choice(list(SCENARIOS)), default="completed")


@cli.command(
    short_help="See a recorded job play, offline.",
    examples=[("automl-waiter demo --scenario deploy-error", "See a job that completes without its endpoint:")],
)
@scenario_option(show_default=True, help="How the job ends.")
@result_options
@progress_option
@click.pass_context
def demo(
    ctx: click.Context, /, scenario: str, output: str, quiet: bool, require: tuple[Requirement, ...], display: str
) -> int:
    """Play a recorded job at high speed, offline and without an AWS account, and wait for it."""
    options = wait_options(require=require, poll=0.5)
    with ctx.obj.interrupts.ending():
        return play_demo(
            scenario,
            replace(options, candidates_every=0.5),
            ResultWriter(output),
            partial(open_screen, display, "console", quiet=quiet, is_free=output != "jsonl", ends=output != "text"),
            ctx.obj.interrupts,
        )


@cli.command(
    short_help="Serve a local endpoint with scripted jobs.",
    examples=[("automl-waiter sandbox --port 5000 --speed 60", "A job's hour in a minute, at http://127.0.0.1:5000:")],
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 picks a free one.")
@scenario_option(show_default=True, help="Of jobs whose tag automl-waiter:scenario names none.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Seconds of a job that are played in a second.",
)
@click.pass_context
def sandbox(ctx: click.Context, /, port: int, scenario: str, speed: float) -> int:
    """Serve a local SageMaker endpoint with scripted AutoML jobs, until it is interrupted.

    It prints its URL once it answers. Any AWS client can use it: set AWS_ENDPOINT_URL_SAGEMAKER, or --endpoint-url.
    """
    with ctx.obj.interrupts.ending():
        return serve_sandbox(port, scenario, speed)


cli.add_command(export)


def has_ended(outcome: Outcome) -> bool:
    """Whether the job itself has come to an end or to what was waited for: an error or a timeout decides nothing."""
    return outcome.verdict not in UNDECIDED


def does_not_succeed(outcome: Outcome) -> bool:
    """Whether it is an outcome that a pipeline should stop at."""
    return outcome.exit_code != ExitCode.OK


def _publisher(
    reporter: Reporter, bus: str | None, aws: dict[str, str | None], error_budget: float
) -> EventBridgePublisher | None:
    """What `--publish` asks for; the endpoint is SageMaker's alone."""
    if bus is None:
        return None
    from automl_waiter.integrations.eventbridge import EventBridgePublisher

    return EventBridgePublisher(
        bus,
        report=partial(reporter.note, "publish", level=logging.ERROR),
        connect_to=lambda region: connect(profile=aws["profile"], region=region or aws["region"], service="events"),
        error_budget=error_budget,
    )


def _session(
    ctx: click.Context,
    screen: Screen,
    writer: ResultWriter,
    command: str | None,
    publisher: EventBridgePublisher | None,
    journal_path: str | None,
    *,
    told: Sequence[str],
    **more: Any,
) -> Session:
    """A session with `--exec`, `--publish` and `--journal`.

    `told` says what stdout is told of: who asks the same again goes on.
    """
    words = command_words(command) if command is not None else None
    reporter, journal = screen.reporter, None
    if journal_path is not None:
        from automl_waiter.journal import Journal

        journal = Journal(journal_path, warn=partial(reporter.warn, "journal"))
    return Session(
        reporter,
        writer,
        ctx.obj.interrupts,
        command=CommandRunner(words, partial(_report, reporter), output=screen.pipe()) if words else None,
        publisher=publisher,
        journal=journal,
        told=told,
        github=screen.github,
        **more,
    )


def _report(reporter: Reporter, job_name: str, problem: str) -> None:
    reporter.note("exec", f"{job_name}: {problem}", level=logging.ERROR)


def run(argv: Sequence[str] | None, interrupts: Interrupts) -> int:
    """Runs the command and returns its exit code."""
    # The SDK warns of what the wait itself tells, with tracebacks that may hold anything.
    logging.getLogger().addHandler(logging.NullHandler())
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal that cannot show a character of AWS's is no reason to lose the outcome,
            # and a name that is not UTF-8 is one to be named.
            stream.reconfigure(errors="backslashreplace")
    arguments = list(argv) if argv is not None else None
    try:
        code = cli.main(arguments, prog_name="automl-waiter", standalone_mode=False, obj=Invocation(interrupts))
    except _NO_ARGUMENTS as error:
        write_line(sys.stderr, error.format_message())
        return ExitCode.USAGE
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except AutoMLWaiterError as error:
        return _fail(str(error), exit_code_of_error(error))
    except (SandboxUnavailable, OSError) as error:
        return _fail(str(error), ExitCode.USAGE)
    except (KeyboardInterrupt, click.Abort):
        return ExitCode.INTERRUPTED
    return int(code or 0)


def _fail(message: str, code: int) -> int:
    write_line(sys.stderr, f"automl-waiter: {clean(message)}")
    return code
