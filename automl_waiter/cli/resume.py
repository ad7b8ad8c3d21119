"""The command that resumes a wait which ended before its jobs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

import click
from click.core import ParameterSource

from automl_waiter._model.exit_codes import ExitCode
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.text import parseable_duration, redact_command
from automl_waiter._model.verdicts import Verdict
from automl_waiter.cli.flags import Duration


def _is_resumable(outcome: Outcome) -> bool:
    if outcome.snapshot is not None and outcome.snapshot.state.is_terminal:
        return False  # it was stopped at the timeout
    if outcome.verdict is Verdict.ERROR:
        return outcome.exit_code in (ExitCode.DENIED, ExitCode.UNAVAILABLE)
    return outcome.verdict in (Verdict.CANCELLED, Verdict.TIMED_OUT)


def resume_command(context: click.Context, outcomes: Sequence[Outcome]) -> str | None:
    """Return the command that waits for the jobs that may still run, quoted for a shell; None if there are none."""
    left = [outcome for outcome in outcomes if _is_resumable(outcome)]
    if not left:
        return None
    words = ["automl-waiter", "wait", *(outcome.job for outcome in left)]
    # A wait that timed out gets its whole timeout again; an interrupted one, the rest of it.
    waited = max((outcome.waited for outcome in left if outcome.verdict is not Verdict.TIMED_OUT), default=0.0)
    for level in filter(None, (context.parent, context)):
        words += _options(level, waited)
    return shlex.join(words)


def _options(context: click.Context, waited: float) -> Iterator[str]:
    """Yield the options of this command line; the timeout, less the time waited."""
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not given or not isinstance(parameter, click.Option):
            continue
        flag, value = parameter.opts[-1], context.params[name]
        if parameter.is_flag:
            yield flag
            continue
        for one in value if parameter.multiple else [value]:
            if one is None:
                continue  # auto and none, which are the defaults
            left = max(0.0, one - waited) if name == "timeout" and one != "auto" else one
            is_duration = isinstance(parameter.type, Duration) and not isinstance(left, str)
            yield from (flag, redact_command(parseable_duration(left) if is_duration else str(left)))
