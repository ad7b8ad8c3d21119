"""Events in the log: structlog over the standard library's logger `automl_waiter`, which the application configures."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any

from automl_waiter._model.events import (
    Candidates,
    Ended,
    Event,
    Heartbeat,
    Notice,
    Poll,
    Retry,
    Sweep,
    Warned,
    event_dict,
)
from automl_waiter._model.text import clean
from automl_waiter._model.tracker import Anomaly

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

LOGGER = logging.getLogger("automl_waiter")


@functools.cache
def _structured() -> FilteringBoundLogger:
    import structlog

    # Bound to its own processors: a library leaves structlog's global configuration alone.
    logger: FilteringBoundLogger = structlog.wrap_logger(
        LOGGER, processors=[structlog.stdlib.render_to_log_kwargs], wrapper_class=structlog.stdlib.BoundLogger
    )
    return logger


def level_of(event: Event) -> int:
    """The level at which an event is logged."""
    match event:
        case Warned() | Anomaly():
            return logging.WARNING
        case Poll() | Candidates() | Sweep() | Heartbeat():
            return logging.DEBUG
        case _:
            return logging.INFO


def log_event(event: Event) -> None:
    """Logs an event, if its level is listened to."""
    level = level_of(event)
    if LOGGER.isEnabledFor(level):
        _structured().log(level, summary_of(event), automl_event=event_dict(event))


def log_subscriber_problem(event: Event, problem: BaseException | str) -> None:
    """Logs what a callback raised, or what else is wrong with it: it changes nothing but must not be lost."""
    words = problem if isinstance(problem, str) else f"raised {type(problem).__name__}"
    _structured().error(
        f"a callback {words} on {event.event} of {event.job_name}; the wait goes on",
        exc_info=None if isinstance(problem, str) else problem,
    )


def summary_of(event: Event) -> str:
    """An event in one line for people."""
    match event:
        case Ended(outcome=outcome):
            return outcome.summary
        case Retry():
            return f"{_subject(event)}{event.operation} failed ({event.message}), again in {event.delay:.1f}s"
        case Anomaly() | Warned() | Notice():
            return f"{_subject(event)}{clean(event.message)}"
        case Candidates(leaderboard=board):
            return f"{_subject(event)}{len(board.candidates)} candidates"
        case Sweep():
            return f"{event.running} jobs are in progress, {event.pages} pages were read"
        case _:
            details: dict[str, Any] = event_dict(event)
            state = details.get("after") or details.get("state") or {}
            words = details.get("message") or details.get("cause") or "/".join(state.values())
            return f"{_subject(event)}{event.event.replace('_', ' ')} {clean(words)}"


def _subject(event: Event) -> str:
    """Whose event it is; none of a single job's, if it is of the listing of many."""
    return "" if event.job_name is None else f"{event.job_name}: "
