"""The flags that several commands share, and the meaning of their values."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

import click

from automl_waiter._aws.connection import Connection, connect
from automl_waiter._aws.logs import CloudWatchLogs
from automl_waiter._model.errors import InvalidRequest
from automl_waiter._model.job_refs import region_of
from automl_waiter._model.options import Requirement, WaitOptions, wait_options
from automl_waiter._model.text import clean, parse_duration
from automl_waiter._model.token_bucket import DEFAULT_MAX_RATE
from automl_waiter._model.verdicts import DEFAULT_REQUIREMENT, Part
from automl_waiter._wiring import Gateways
from automl_waiter.cli.completion import complete_jobs
from automl_waiter.cli.output import DISPLAYS, LOG_FORMATS, OUTPUTS

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The values of the shared flags. A flag that a command lacks has its default."""

    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    output: str = "text"
    quiet: bool = False
    require: tuple[Requirement, ...] = DEFAULT_REQUIREMENT
    poll: float | None = None
    max_rate: float | None = None
    error_budget: float = 900.0
    no_estimate: bool = False
    command: str | None = None
    bus: str | None = None
    journal_path: str | None = None
    display: str = "auto"
    has_bell: bool = True
    log_format: str = "console"

    def gateways(self, max_rate: float = DEFAULT_MAX_RATE) -> Gateways:
        """Return the gateways for the flags on AWS."""

        def connect_to(region: str | None) -> Connection:
            return connect(profile=self.profile, region=region or self.region, endpoint_url=self.endpoint_url)

        return Gateways(connect_to=connect_to, max_rate=max_rate)

    def logs(self, arn: str) -> CloudWatchLogs:
        """Return the logs in the region of an ARN: at AWS, because --endpoint-url is SageMaker's alone."""
        return CloudWatchLogs(connect(profile=self.profile, region=region_of(arn) or self.region, service="logs"))

    def wait_options(self, **more: Any) -> WaitOptions:
        """Return the options of a wait, these and `more`, checked."""
        return wait_options(
            poll=self.poll,
            require=self.require,
            error_budget=self.error_budget,
            max_rate=self.max_rate,
            estimate=not self.no_estimate,
            **more,
        )


def shared(*options: Decorator) -> Decorator:
    """Add options to a command, in this order. Its function receives the values of the shared flags as one `Flags`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(**values: Any) -> Any:
            names = [field.name for field in fields(Flags) if field.name in values]
            return function(Flags(**{name: values.pop(name) for name in names}), **values)

        return together(*options)(run)

    return decorate


def together(*options: Decorator) -> Decorator:
    """Return one decorator that adds these options, in this order."""
    return lambda function: functools.reduce(lambda command, option: option(command), reversed(options), function)


class Duration(click.ParamType):  # type: ignore[type-arg,unused-ignore] # generic since click 8.2
    """Seconds, from `90`, `15m`, `1d12h`, or from a keyword with a value of its own."""

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
            self.fail("must be longer than 0", param, ctx)
        return seconds


class LineCount(click.ParamType):  # type: ignore[type-arg,unused-ignore] # as above
    """A number of lines; `none` is 0."""

    name = "lines"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if str(value) == "none":
            return 0
        return click.IntRange(min=0, max=10_000).convert(value, param, ctx)


class BusParam(click.ParamType):  # type: ignore[type-arg,unused-ignore] # as above
    """The event bus in `eventbridge:BUS`."""

    name = "bus"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        # Most waits do not need this module.
        from automl_waiter.integrations.eventbridge.bus import region_of_bus

        kind, _, bus = str(value).partition(":")
        with suppress(InvalidRequest):
            region_of_bus(bus)
            if kind == "eventbridge":
                return bus
        return self.fail(f"{clean(value)!r} is not a bus: write eventbridge:NAME or eventbridge:ARN", param, ctx)


def _given_before(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Return the value, or the one given before the command: these flags may be in either place."""
    return value or (ctx.parent.params.get(str(param.name)) if ctx.parent else None)


AWS = (
    click.option("--profile", callback=_given_before, help="AWS profile."),
    click.option("--region", callback=_given_before, help="AWS region. The region of a job's ARN takes precedence."),
    click.option("--endpoint-url", callback=_given_before, help="SageMaker endpoint, if it is not AWS."),
)
JOBS = click.argument("jobs", nargs=-1, required=True, metavar="JOB...", shell_complete=complete_jobs)
OUTPUT = click.option("-o", "--output", type=click.Choice(OUTPUTS), default="text", help="Format of stdout.")
REQUIRE = click.option(
    "--require",
    multiple=True,
    type=click.Choice([*(part.value for part in Part), "all", "none"]),
    default=tuple(map(str, DEFAULT_REQUIREMENT)),
    show_default="best-candidate, endpoint",
    metavar="PART|all|none",
    help=f"Part that a successful job must have, if it was requested of the job. Repeatable. Parts: {', '.join(Part)}.",
)
RESULTS = (OUTPUT, click.option("-q", "--quiet", is_flag=True, help="Print only errors on stderr."), REQUIRE)
PACE = together(
    click.option(
        "--poll",
        type=Duration({"auto": None}, positive=True),
        default="auto",
        metavar="DURATION|auto",
        help="Time between polls. auto: the wait returns within 5 s of the job's end, or within 5 % of the job's age, "
        "and never later than 60 s.",
    ),
    click.option(
        "--max-rate",
        type=click.FloatRange(min=0, min_open=True),
        show_default=f"{DEFAULT_MAX_RATE:g}, or what --poll needs",
        metavar="CALLS_PER_SECOND",
        help="Limit on the calls to an account and region, shared by all jobs.",
    ),
    click.option(
        "--error-budget",
        type=Duration(),
        default="15m",
        metavar="DURATION",
        help="How long to retry transient errors without a successful call.",
    ),
)
journal_option = functools.partial(
    click.option, "--journal", "journal_path", type=click.Path(dir_okay=False), metavar="PATH"
)
SUBSCRIBERS = (
    click.option(
        "--exec",
        "command",
        metavar="COMMAND",
        help="Run this command on each transition, without a shell. It gets AUTOML_JOB_NAME, AUTOML_STATUS and other "
        "variables.",
    ),
    click.option(
        "--publish",
        "bus",
        type=BusParam(),
        metavar="eventbridge:BUS",
        help="Put an event on this EventBridge bus on each transition. BUS is an ARN, or a name in the job's region.",
    ),
    journal_option(help="Record transitions and deliveries in this file. After a restart, resume where it ends."),
)
NO_ESTIMATE = click.option(
    "--no-estimate",
    is_flag=True,
    help="Do not estimate when a job will end. An estimate needs one call of ListAutoMLJobs.",
)
PROGRESS = together(
    click.option(
        "--progress",
        "display",
        type=click.Choice(DISPLAYS),
        default="auto",
        help="What to show on stderr: a live view, lines, or lines with annotations for GitHub Actions. auto: depends "
        "on where it runs.",
    ),
    click.option(
        "--no-bell",
        "has_bell",
        is_flag=True,
        flag_value=False,
        default=True,
        show_default=False,
        help="Do not ring the terminal bell at the end.",
    ),
)
LOG_FORMAT = click.option("--log-format", type=click.Choice(LOG_FORMATS), default="console", help="Format of stderr.")
