"""Flags that several commands have, and what their values mean."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

from automl_waiter._model.errors import InvalidRequest
from automl_waiter._model.text import clean, parse_duration
from automl_waiter._model.token_bucket import DEFAULT_MAX_RATE
from automl_waiter._model.verdicts import DEFAULT_REQUIREMENT, Part
from automl_waiter.cli.output import LOG_FORMATS, OUTPUTS, PROGRESS

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


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


class Bus(click.ParamType):  # type: ignore[type-arg,unused-ignore] # as above
    """The event bus of `eventbridge:BUS`."""

    name = "bus"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        # It loads what most waits do without.
        from automl_waiter.integrations.eventbridge.bus import region_of_bus

        kind, _, bus = str(value).partition(":")
        with suppress(InvalidRequest):
            region_of_bus(bus)
            if kind == "eventbridge":
                return bus
        return self.fail(f"{clean(value)!r} is no bus: write eventbridge:NAME or eventbridge:ARN", param, ctx)


def together(*options: Decorator) -> Decorator:
    """These options, in this order."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


aws_options = together(
    click.option("--profile", metavar="TEXT", help="The AWS profile."),
    click.option("--region", metavar="TEXT", help="The AWS region; an ARN's own region comes first."),
    click.option("--endpoint-url", metavar="TEXT", help="The SageMaker endpoint, where it is not AWS's own."),
)
"""--profile, --region and --endpoint-url, before or after the command."""

output_option = click.option(
    "-o", "--output", type=click.Choice(OUTPUTS), default="text", show_default=True, help="What to print on stdout."
)
require_option = click.option(
    "--require",
    multiple=True,
    type=click.Choice([*(part.value for part in Part), "all", "none"]),
    default=tuple(map(str, DEFAULT_REQUIREMENT)),
    show_default="best-candidate, endpoint: what was asked of the job",
    metavar="PART|all|none",
    help=f"A part of the success that must not be missing, if it was to be; repeatable. Parts: {', '.join(Part)}.",
)
result_options = together(
    output_option,
    click.option("-q", "--quiet", is_flag=True, help="Only errors on stderr."),
    require_option,
)
"""What is printed, and what counts as success."""

pace_options = together(
    click.option(
        "--poll",
        type=Duration({"auto": None}, positive=True),
        default="auto",
        show_default=True,
        metavar="DURATION|auto",
        help="How often to look. auto: by the phase that the job is in; a listing of many jobs every 10 s.",
    ),
    click.option(
        "--max-rate",
        type=click.FloatRange(min=0, min_open=True),
        show_default=f"{DEFAULT_MAX_RATE:g}, or what --poll needs",
        metavar="CALLS_PER_SECOND",
        help="The most calls to an account and region, for all jobs together.",
    ),
    click.option(
        "--error-budget",
        type=Duration(),
        default="15m",
        show_default=True,
        metavar="DURATION",
        help="How long calls may go on failing.",
    ),
)
"""How often AWS is called."""

subscriber_options = together(
    click.option(
        "--exec",
        "command",
        metavar="COMMAND",
        help="Run this on each transition, without a shell; AUTOML_STATUS and others in its environment say which.",
    ),
    click.option(
        "--publish",
        "bus",
        type=Bus(),
        metavar="eventbridge:BUS",
        help="Put an event on this EventBridge bus on each transition: a name, in the job's region, or an ARN.",
    ),
    click.option(
        "--journal",
        "journal_path",
        type=click.Path(dir_okay=False),
        metavar="PATH",
        help="Write down what is seen and told in this file, and go on after what it says was told.",
    ),
)
"""Who else is told of transitions."""

progress_option = click.option(
    "--progress",
    "display",
    type=click.Choice(PROGRESS),
    default="auto",
    show_default=True,
    help="What stderr shows meanwhile: a live view, lines, or what GitHub Actions understands. auto: by where it runs.",
)

log_option = click.option(
    "--log-format", type=click.Choice(LOG_FORMATS), default="console", show_default=True, help="The form of stderr."
)
