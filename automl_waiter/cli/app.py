"""`automl-waiter`: its commands and flags, and how an error becomes one line and an exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import click

from automl_waiter import __version__
from automl_waiter.budget import DEFAULT_MAX_RATE
from automl_waiter.cli.execute import CommandRunner, command_words
from automl_waiter.cli.flags import (
    EXIT_CODES,
    Duration,
    aws_options,
    log_option,
    output_option,
    pace_options,
    result_options,
    subscriber_options,
)
from automl_waiter.cli.local import play_demo, serve_sandbox
from automl_waiter.cli.output import Reporter, ResultWriter, write_line
from automl_waiter.cli.resume import resume_command
from automl_waiter.cli.session import Session
from automl_waiter.cli.signals import Interrupts
from automl_waiter.connection import connect
from automl_waiter.errors import AutoMLWaiterError
from automl_waiter.gateway import Gateway
from automl_waiter.jobs import JobRef, job_ref
from automl_waiter.options import WaitOptions, wait_options
from automl_waiter.outcome import UNDECIDED, ExitCode, Outcome, exit_code_of_error, required_parts
from automl_waiter.sandbox import SandboxUnavailable
from automl_waiter.sandbox.scenarios import SCENARIOS
from automl_waiter.text import clean
from automl_waiter.waits import ONE_LOOK, Gateways, LoopOn, watch_loop
from automl_waiter.watching import matching

# Since click 8.2; before, it prints the help by itself.
_NO_ARGUMENTS: type[click.UsageError] | tuple[()] = getattr(click.exceptions, "NoArgsIsHelpError", ())


@dataclass
class Invocation:
    """What the commands are handed: the signals, and the AWS options that stood before the command."""

    interrupts: Interrupts
    aws: dict[str, str | None] = field(default_factory=dict)


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES)
@click.version_option(__version__, prog_name="automl-waiter", message="%(prog)s %(version)s")
@aws_options
@click.pass_context
def cli(ctx: click.Context, /, **aws: str | None) -> None:
    """Wait until an Amazon SageMaker AutoML job is done, and know how it ended."""
    ctx.obj.aws = aws


def _gateways(ctx: click.Context, own: dict[str, str | None], max_rate: float = DEFAULT_MAX_RATE) -> Gateways:
    aws = {name: own[name] or ctx.obj.aws[name] for name in own}
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


@cli.command(short_help="Block until every job has ended.", epilog=EXIT_CODES)
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...")
@click.option(
    "--timeout",
    type=Duration({"auto": "auto", "none": None}),
    default="none",
    show_default=True,
    metavar="DURATION|auto|none",
    help="For the whole wait. auto: the job's own limit and 30 minutes.",
)
@pace_options
@click.option("--until", metavar="EXPR", help="Return earlier: a status, a phase, or JMESPath over the response.")
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
    journal_path: str | None,
    output: str,
    quiet: bool,
    require: tuple[str, ...],
    log_format: str,
    **aws: str | None,
) -> int:
    """Block until every JOB has ended: its name or its ARN; - reads names from standard input.

    \b
    Examples:
      automl-waiter wait churn-2026
      automl-waiter wait churn-2026 --timeout 6h --stop-on timeout
      automl-waiter wait a b c --fail-fast -o json
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
    reporter = Reporter(log_format, quiet=quiet)
    refs = _refs(jobs, ctx.obj.interrupts)
    session = _session(
        ctx,
        reporter,
        ResultWriter(output),
        command,
        journal_path,
        told=["wait", *(ref.key for ref in refs)],
        decides=has_ended if until_any else does_not_succeed if fail_fast else lambda _: False,
        resume=partial(resume_command, ctx),
    )
    return session.run(refs, _connecting(refs, _gateways(ctx, aws, options.max_rate)), options)


@cli.command(short_help="Follow every job that matches, new ones included.", epilog=EXIT_CODES)
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
    journal_path: str | None,
    output: str,
    quiet: bool,
    require: tuple[str, ...],
    log_format: str,
    **aws: str | None,
) -> int:
    """Follow every job of the account and region that matches, new ones included, and tell each transition.

    It needs sagemaker:ListAutoMLJobs, and describes each job that has ended.

    \b
    Examples:
      automl-waiter watch -o jsonl --exec ./notify.sh --journal jobs.db
      automl-waiter watch --name-contains nightly- --until-idle && ./deploy.sh
    """
    options = wait_options(poll=poll, require=require, error_budget=error_budget, max_rate=max_rate)
    which = matching(name_contains, since)
    writer = ResultWriter(output, is_running=True)
    reporter = Reporter(log_format, quiet=quiet, progress=output != "text", is_running=True)
    session = _session(ctx, reporter, writer, command, journal_path, told=["watch", name_contains or ""])
    gateways = _gateways(ctx, aws, options.max_rate)

    def begin() -> LoopOn:
        gateway = gateways.default()
        known = session.unfinished(gateway.region)
        return lambda clock: watch_loop(gateway, which, options, clock, until_idle=until_idle, known=known)

    return session.watch(begin)


@cli.command(short_help="Show what a journal holds.")
@click.argument("jobs", nargs=-1, metavar="[JOB...]")
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


@cli.command(short_help="Look once; the exit code says how the job is.", epilog=EXIT_CODES)
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...")
@result_options
@aws_options
@click.pass_context
def status(
    ctx: click.Context, /, jobs: tuple[str, ...], output: str, quiet: bool, require: tuple[str, ...], **aws: str | None
) -> int:
    """Look once at each JOB, print how it is, and say it by the exit code."""
    options = WaitOptions(error_budget=ONE_LOOK.error_budget, once=True, required=required_parts(require))
    reporter = Reporter("console", quiet=quiet, progress=False)
    refs = _refs(jobs, ctx.obj.interrupts)
    session = Session(reporter, ResultWriter(output), ctx.obj.interrupts)
    return session.run(refs, _connecting(refs, _gateways(ctx, aws)), options)


scenario_option = partial(click.option, "--scenario", type=click.Choice(list(SCENARIOS)), default="completed")


@cli.command(short_help="See a recorded job play, offline.")
@scenario_option(show_default=True, help="How the job ends.")
@result_options
@click.pass_context
def demo(ctx: click.Context, /, scenario: str, output: str, quiet: bool, require: tuple[str, ...]) -> int:
    """Play a recorded job at high speed, offline and without an AWS account, and wait for it."""
    reporter = Reporter("console", quiet=quiet)
    session = Session(reporter, ResultWriter(output), ctx.obj.interrupts)
    with ctx.obj.interrupts.ending():
        return play_demo(scenario, wait_options(require=require, poll=0.5), session, reporter)


@cli.command(short_help="Serve a local endpoint with scripted jobs.")
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


def has_ended(outcome: Outcome) -> bool:
    """Whether the job itself has come to an end or to what was waited for: an error or a timeout decides nothing."""
    return outcome.verdict not in UNDECIDED


def does_not_succeed(outcome: Outcome) -> bool:
    """Whether it is an outcome that a pipeline should stop at."""
    return outcome.exit_code != ExitCode.OK


def _session(
    ctx: click.Context,
    reporter: Reporter,
    writer: ResultWriter,
    command: str | None,
    journal_path: str | None,
    *,
    told: Sequence[str],
    **more: Any,
) -> Session:
    """A session with `--exec` and `--journal`. `told` says what stdout is told of: who asks the same again goes on."""
    words = command_words(command) if command is not None else None
    journal = None
    if journal_path is not None:
        from automl_waiter.journal import Journal

        journal = Journal(journal_path, warn=partial(_warn, reporter))
    return Session(
        reporter,
        writer,
        ctx.obj.interrupts,
        command=CommandRunner(words, partial(_report, reporter)) if words else None,
        journal=journal,
        told=told,
        **more,
    )


def _connecting(refs: Sequence[JobRef], gateways: Gateways) -> Callable[[], list[Gateway]]:
    return lambda: [gateways.of(ref) for ref in refs]


def _warn(reporter: Reporter, problem: str) -> None:
    reporter.note("journal", f"warning: {problem}", level=logging.WARNING)


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
