"""The command that resumes a wait which ended before its jobs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import click

from automl_waiter._model.exit_codes import ExitCode
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.text import parseable_duration, redact_command
from automl_waiter._model.verdicts import Verdict
from automl_waiter._system.portable import quoted
from automl_waiter.cli.help import given_on


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
    return quoted(words)


def _options(context: click.Context, waited: float) -> Iterator[str]:
    """Yield the options of this command line, as they were written; of the timeout, what is left in whole seconds."""
    given = given_on(context)
    for parameter in context.command.params:
        if parameter.name not in given or not isinstance(parameter, click.Option):
            continue
        flag, value = parameter.opts[-1], given[parameter.name]
        if parameter.is_flag:
            yield flag
            continue
        for text in value if parameter.multiple else [value]:
            timeout = context.params[parameter.name] if parameter.name == "timeout" else None
            left = text
            if isinstance(timeout, float) and waited:
                left = parseable_duration(math.ceil(max(0.0, timeout - waited)))
            yield from (flag, redact_command(left))
