"""Log records: to structlog where it is configured, else to the standard library's logger `automl_waiter`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

from automl_waiter._model import events
from automl_waiter._model.errors import InternalError
from automl_waiter._model.estimate_words import estimate_words
from automl_waiter._model.text import clean
from automl_waiter._model.tracker import Anomaly

_NAME = "automl_waiter"
LOGGER = logging.getLogger(_NAME)


def level_of(event: events.Event) -> int:
    """The level at which an event is logged."""
    match event:
        case events.Warned() | Anomaly():
            return logging.WARNING
        case events.Poll() | events.Candidates() | events.Sweep() | events.Heartbeat():
            return logging.DEBUG
        case _:
            return logging.INFO


def log_event(event: events.Event) -> None:
    """Log an event, if anybody listens at its level."""
    level = level_of(event)
    if isinstance(event, events.Ended) and isinstance(event.outcome.error, InternalError):
        log_bug(event.outcome.error)
    if (logger := _structlog()) is not None:
        # structlog's first argument is an "event" too. The summary has the message, and a describe is pages long.
        left_out = ("event", "message", "describe")
        fields = {name: value for name, value in events.event_dict(event).items() if name not in left_out}
        _log_to(logger, level, summary_of(event), {"event_name": event.event, **fields})
    elif LOGGER.isEnabledFor(level):
        LOGGER.log(level, summary_of(event), extra={"automl_event": events.event_dict(event)})


def log_bug(error: InternalError) -> None:
    """Log the traceback of a bug at the level DEBUG, where whoever reports it finds it."""
    log_problem(logging.DEBUG, str(error), error.__cause__)


def log_problem(level: int, message: str, error: BaseException | None = None) -> None:
    """Log what went wrong beside a wait: it changes nothing, but must not be lost."""
    _log_to(_structlog() or LOGGER, level, message, {"exc_info": error} if error else {})


def _log_to(logger: Any, level: int, message: str, fields: Mapping[str, Any]) -> None:
    try:
        getattr(logger, logging.getLevelName(level).lower())(message, **fields)
    except Exception:  # an application's processors may raise, and that changes nothing about a wait either
        LOGGER.exception("this could not be logged: %s", message)


def _structlog() -> Any:
    """Return structlog's logger where the application has configured structlog: unconfigured, it prints to stdout."""
    structlog = sys.modules.get("structlog")
    return structlog.get_logger(_NAME) if structlog is not None and structlog.is_configured() else None


def summary_of(event: events.Event) -> str:
    """Return an event in one line for people."""
    return clean(_words_of(event))


def _words_of(event: events.Event) -> str:
    match event:
        case events.Ended(outcome=outcome):
            return outcome.summary
        case events.Retry():
            return f"{_subject(event)}{event.operation} failed ({event.message}), retrying in {event.delay:.1f}s"
        case Anomaly() | events.Warned() | events.Notice():
            return f"{_subject(event)}{event.message}"
        case events.Candidates(leaderboard=board):
            return f"{_subject(event)}{len(board.candidates)} candidates"
        case events.Estimated(at=at):
            return f"{_subject(event)}{estimate_words(event, at)}"
        case events.Sweep():
            return f"{event.running} jobs in progress, {event.pages} pages read"
        case _:
            details: dict[str, Any] = events.event_dict(event)
            state = details.get("after") or details.get("state") or {}
            words = details.get("message") or details.get("cause") or "/".join(state.values())
            return f"{_subject(event)}{event.event.replace('_', ' ')} {words}"


def _subject(event: events.Event) -> str:
    """Return the job's name for the start of a line; empty for an event of a listing."""
    return "" if event.job_name is None else f"{event.job_name}: "


class _Harmless(logging.Formatter):
    """Formats records line by line without secrets and control characters, which a traceback may quote."""

    def format(self, record: logging.LogRecord) -> str:
        lines = super().format(record).splitlines()
        return "\n".join(line[: len(line) - len(line.lstrip())] + clean(line) for line in lines)


def log_to_stderr() -> None:
    """Write the debug log to stderr, for the command."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Harmless("%(levelname)s %(name)s: %(message)s"))
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
