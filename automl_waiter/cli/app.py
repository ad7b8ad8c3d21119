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
from automl_waiter.cli.execute import CommandRunner, command_words
from automl_waiter.cli.local import play_demo, serve_sandbox
from automl_waiter.cli.output import LOG_FORMATS, OUTPUTS, Reporter, ResultWriter, write_line
from automl_waiter.cli.resume import resume_command
from automl_waiter.cli.session import Session
from automl_waiter.cli.signals import Interrupts
from automl_waiter.connection import connect
from automl_waiter.errors import AutoMLWaiterError
from automl_waiter.gateway import Gateway
from automl_waiter.jobs import JobRef, job_ref
from automl_waiter.options import WaitOptions, wait_options
from automl_waiter.outcome import (
    DEFAULT_REQUIREMENT,
    UNDECIDED,
    ExitCode,
    Outcome,
    Part,
    exit_code_of_error,
    required_parts,
)
from automl_waiter.sandbox import SandboxUnavailable
from automl_waiter.sandbox.scenarios import SCENARIOS
from automl_waiter.text import clean, parse_duration
from automl_waiter.waiter import ONE_LOOK, Gateways

# Since click 8.2; before, it prints the help by itself.
_NO_ARGUMENTS: type[click.UsageError] | tuple[()] = getattr(click.exceptions, "NoArgsIsHelpError", ())

EXIT_CODES = """\b
Exit codes:
  0    Completed with what was required, or --until holds
  2    bad usage, or a request that AWS calls invalid
  10   Failed
  11   Stopped
  12   Completed, but a required part is missing
  14   no such job, or another job under this name
  15   Completed before --until held
  69   AWS could not be reached within the error budget
  75   still in progress (status)
  77   access denied, or credentials missing, invalid or expired
  124  timed out (the job goes on, unless --stop-on timeout)
  130, 143  SIGINT, SIGTERM
"""


@dataclass
class Invocation:
    """What the commands are handed: the signals, and the AWS options that stood before the command."""

    interrupts: Interrupts
    aws: dict[str, str | None] = field(default_factory=dict)


class Duration(click.ParamType):  # type: ignore[type-arg,unused-ignore] # generic since click 8.2
    """Seconds, from `90`, `15m`, `1d12h`, or one of a few words that stand for something else."""

    name = "duration"

    def __init__(self, words: dict[str, Any] | None = None, *, positive: bool = False) -> None:
        self._words = words or {}
        self._positive = positive

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        if value in self._words:
            return self._words[value]
        try:
            seconds = parse_duration(value)
        except ValueError as error:
            self.fail(" or ".join([str(error), *self._words]), param, ctx)
        if self._positive and not seconds > 0:
            self.fail("it must be longer than 0", param, ctx)
        return seconds


def aws_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--profile, --region and --endpoint-url, before or after the command."""
    for flag, words in (
        ("--endpoint-url", "The SageMaker endpoint, where it is not AWS's own."),
        ("--region", "The AWS region; an ARN's own region comes first."),
        ("--profile", "The AWS profile."),
    ):
        command = click.option(flag, metavar="TEXT", help=words)(command)
    return command


def result_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is printed, and what counts as success."""
    command = click.option(
        "--require",
        multiple=True,
        type=click.Choice([*(part.value for part in Part), "all", "none"]),
        default=tuple(map(str, DEFAULT_REQUIREMENT)),
        show_default="best-candidate, endpoint: what was asked of the job",
        metavar="PART|all|none",
        help=f"A part of the success that must be there; repeatable. Parts: {', '.join(Part)}.",
    )(command)
    command = click.option("-q", "--quiet", is_flag=True, help="Only errors on stderr.")(command)
    return click.option(
        "-o", "--output", type=click.Choice(OUTPUTS), default="text", show_default=True, help="What to print on stdout."
    )(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES)
@click.version_option(__version__, prog_name="automl-waiter", message="%(prog)s %(version)s")
@aws_options
@click.pass_context
def cli(ctx: click.Context, /, **aws: str | None) -> None:
    """Wait until an Amazon SageMaker AutoML job is done, and know how it ended."""
    ctx.obj.aws = aws


def _gateways(ctx: click.Context, own: dict[str, str | None]) -> Gateways:
    aws = {name: own[name] or ctx.obj.aws[name] for name in own}
    return Gateways(
        connect_to=lambda region: connect(
            profile=aws["profile"], region=region or aws["region"], endpoint_url=aws["endpoint_url"]
        )
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
@click.option(
    "--poll",
    type=Duration({"auto": None}, positive=True),
    default="auto",
    show_default=True,
    metavar="DURATION|auto",
    help="How often to look. auto: by the phase that the job is in.",
)
@click.option("--until", metavar="EXPR", help="Return earlier: a status, a phase, or JMESPath over the response.")
@click.option(
    "--stop-on",
    multiple=True,
    type=click.Choice(["until", "timeout", "interrupt"]),
    help="Stop the job when --until holds, at the timeout, or on SIGINT or SIGTERM; repeatable.",
)
@click.option("--any", "until_any", is_flag=True, help="Wait until the first job has ended.")
@click.option("--fail-fast", is_flag=True, help="Wait until the first job that does not succeed.")
@click.option(
    "--error-budget",
    type=Duration(),
    default="15m",
    show_default=True,
    metavar="DURATION",
    help="How long calls may go on failing.",
)
@click.option(
    "--exec",
    "command",
    metavar="COMMAND",
    help="Run this on each transition, without a shell; AUTOML_STATUS and others in its environment say which.",
)
@result_options
@click.option(
    "--log-format", type=click.Choice(LOG_FORMATS), default="console", show_default=True, help="The form of stderr."
)
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
    command: str | None,
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
    )
    if "interrupt" in stop_on:
        options = replace(options, stop_on=options.stop_on | {"interrupt"})
    reporter = Reporter(log_format, quiet=quiet)
    refs, words = _refs(jobs, ctx.obj.interrupts), command_words(command) if command is not None else None
    session = Session(
        reporter,
        ResultWriter(output),
        ctx.obj.interrupts,
        command=CommandRunner(words, partial(_report, reporter)) if words else None,
        decides=has_ended if until_any else does_not_succeed if fail_fast else lambda _: False,
        resume=partial(resume_command, ctx),
    )
    return session.run(refs, _connecting(refs, _gateways(ctx, aws)), options)


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


def _connecting(refs: Sequence[JobRef], gateways: Gateways) -> Callable[[], list[Gateway]]:
    return lambda: [gateways.of(ref) for ref in refs]


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
