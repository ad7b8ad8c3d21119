"""Callbacks are called in order, in the caller's thread or loop, and cannot break a wait."""

import asyncio
import contextvars
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from automl_waiter import Event, InvalidRequest, Waiter, aio
from automl_waiter._model.events import Heartbeat, Notice, Retry
from automl_waiter._model.statuses import State
from automl_waiter._model.tracker import Anomaly, AnomalyKind, Transition
from automl_waiter._system.callbacks import Callbacks
from automl_waiter._system.log import summary_of

NOW = datetime(2026, 11, 24, tzinfo=UTC)
TRANSITION = Transition("churn", "arn:churn", None, State("InProgress", "Starting"), NOW, None)


def heartbeat(number: int = 0) -> Event:
    return Heartbeat("churn", NOW, TRANSITION.after, float(number))


def problems(caplog: pytest.LogCaptureFixture, level: int = logging.ERROR) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def duration_of(call: Callable[[], object]) -> float:
    begun = time.monotonic()
    call()
    return time.monotonic() - begun


def test_on_transition_gets_transitions_and_on_event_gets_all() -> None:
    """`on_transition` is called before `on_event`, for transitions only."""
    received: list[tuple[str, Event]] = []
    callbacks = Callbacks(lambda it: received.append(("transition", it)), lambda it: received.append(("event", it)))
    beat = heartbeat()
    for event in (TRANSITION, beat):
        callbacks.call(event)
    assert received == [("transition", TRANSITION), ("event", TRANSITION), ("event", beat)]


def test_a_callback_is_called_in_the_callers_thread() -> None:
    """A callback can use objects bound to the caller's thread, such as a sqlite3 connection."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE seen (kind)")
        callbacks = Callbacks(None, lambda event: database.execute("INSERT INTO seen VALUES (?)", (event.event,)))
        callbacks.call(heartbeat())
        assert database.execute("SELECT kind FROM seen").fetchall() == [("heartbeat",)]


def test_a_coroutine_is_awaited_in_the_callers_loop() -> None:
    """A coroutine function runs in the event loop of the wait."""

    async def main() -> bool:
        loops: list[object] = []

        async def on_event(_: Event) -> None:
            loops.append(asyncio.get_running_loop())

        await Callbacks(None, on_event).call_async(heartbeat())
        return loops == [asyncio.get_running_loop()]

    assert asyncio.run(main())


def test_the_wait_blocks_until_a_callback_returns() -> None:
    """The wait does not continue meanwhile, so the callback sees the job as it was."""
    received: list[Event] = []
    Callbacks(None, lambda event: (time.sleep(0.2), received.append(event))).call(heartbeat())
    assert len(received) == 1


def test_a_slow_callback_is_named_in_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """A callback that exceeds the limit runs to its end, and a warning names it."""

    def write_report(_: Event) -> None:
        time.sleep(0.2)

    Callbacks(None, write_report, limit=0.1).call(heartbeat())
    [warning] = problems(caplog, logging.WARNING)
    assert "write_report took 0s, and the wait stood still meanwhile, on heartbeat of churn" in warning
    caplog.clear()
    Callbacks(None, write_report, limit=5).call(heartbeat())
    assert not caplog.records


def test_an_exception_in_a_callback_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A callback that raises is called again at the next event, and its exception is logged."""
    received: list[Event] = []

    def on_event(event: Event) -> None:
        received.append(event)
        raise LookupError("no such channel")

    callbacks = Callbacks(None, on_event)
    callbacks.call(heartbeat(1))
    callbacks.call(heartbeat(2))
    assert received == [heartbeat(1), heartbeat(2)]
    assert len(problems(caplog)) == 2
    assert problems(caplog)[0].endswith("on_event raised LookupError on heartbeat of churn")
    assert all(record.exc_info for record in caplog.records if record.levelno >= logging.ERROR)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_keyboard_interrupt_and_system_exit_end_the_wait(kind: type[BaseException]) -> None:
    """KeyboardInterrupt and SystemExit in a callback are raised to the caller of the wait."""

    def on_event(_: Event) -> None:
        raise kind

    with pytest.raises(kind):
        Callbacks(None, on_event).call(heartbeat())


def test_a_callback_sees_the_callers_context_variables() -> None:
    """A callback sees a request id or a trace span of the caller, as set at each event."""
    request: contextvars.ContextVar[str] = contextvars.ContextVar("request")
    seen: list[str] = []
    callbacks = Callbacks(None, lambda _: seen.append(request.get()))
    for name in ("first", "second"):
        request.set(name)
        callbacks.call(heartbeat())
    assert seen == ["first", "second"]


@pytest.mark.parametrize("waiter", [Waiter, aio.Waiter])
@pytest.mark.parametrize("name", ["on_transition", "on_event"])
def test_callback_that_is_not_callable_is_refused(waiter: Any, name: str) -> None:
    """The error comes before the first call to AWS."""
    with pytest.raises(InvalidRequest, match=f"{name} is a function, not of type str"):
        waiter(**{name: "print"})


def test_hanging_coroutine_is_cancelled_at_its_limit(caplog: pytest.LogCaptureFixture) -> None:
    """Under asyncio a coroutine is awaited until its limit and then cancelled, with a warning."""
    ends: list[str] = []

    async def on_event(_: Event) -> None:
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    callbacks = Callbacks(None, on_event, limit=0.2)
    assert duration_of(lambda: asyncio.run(callbacks.call_async(heartbeat()))) < 2
    assert ends == ["cancelled"]
    [warning] = problems(caplog, logging.WARNING)
    assert warning.endswith("on_event was cancelled after 0.2s on heartbeat of churn")


@pytest.mark.parametrize("is_coroutine", [False, True])
def test_an_exception_under_asyncio_is_logged(is_coroutine: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Exceptions of functions and coroutines are logged; a TimeoutError of the callback is not taken for the limit."""

    def function(_: Event) -> None:
        raise TimeoutError("the channel's")

    async def coroutine(_: Event) -> None:
        raise TimeoutError("the channel's")

    asyncio.run(Callbacks(None, coroutine if is_coroutine else function).call_async(heartbeat()))
    [problem] = problems(caplog)
    assert problem.endswith("raised TimeoutError on heartbeat of churn")


def test_cancelling_the_task_cancels_the_awaited_callback() -> None:
    """Cancelling the task while a callback is awaited cancels both."""

    async def main() -> Any:
        entered = asyncio.Event()

        async def on_event(_: Event) -> None:
            entered.set()
            await asyncio.sleep(20)

        task = asyncio.create_task(Callbacks(None, on_event).call_async(heartbeat()))
        await entered.wait()
        task.cancel()
        return await asyncio.gather(task, return_exceptions=True)

    [result] = asyncio.run(main())
    assert isinstance(result, asyncio.CancelledError)


def test_cancelled_error_of_a_callback_does_not_cancel_the_wait(caplog: pytest.LogCaptureFixture) -> None:
    """A callback that awaits a cancelled future has failed; the wait itself is not cancelled."""

    async def on_event(_: Event) -> None:
        cancelled = asyncio.get_running_loop().create_future()
        cancelled.cancel()
        await cancelled

    asyncio.run(Callbacks(None, on_event).call_async(heartbeat()))
    [problem] = problems(caplog)
    assert problem.endswith("on_event raised CancelledError on heartbeat of churn")


def test_coroutine_function_in_the_synchronous_shell_logs_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing awaits it there: it must be neither silently skipped nor warned about at garbage collection."""

    async def on_event(_: Event) -> None:
        raise AssertionError

    Callbacks(None, on_event).call(heartbeat())
    [problem] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert problem.exc_info
    assert "automl_waiter.aio" in str(problem.exc_info[1])


# The log


def test_events_go_to_structlog_if_it_is_configured() -> None:
    """A configured structlog receives key-values, with the application's context variables."""
    entries: list[Any] = []

    def keep(_logger: Any, name: str, entry: Any) -> Any:
        entries.append((name, entry))
        raise structlog.DropEvent

    structlog.configure(processors=[structlog.contextvars.merge_contextvars, keep])
    try:
        with structlog.contextvars.bound_contextvars(request="r-1"):
            Callbacks(None, None).call(TRANSITION)
    finally:
        structlog.reset_defaults()
    [(level, entry)] = entries
    assert level == "info"
    assert (
        entry.items()
        >= {
            "event": "churn: transition InProgress/Starting",
            "event_name": "transition",
            "job_name": "churn",
            "request": "r-1",
        }.items()
    )
    assert entry["after"] == {"status": "InProgress", "secondary_status": "Starting"}


FAILED_CALL = Retry("churn", NOW, "DescribeAutoMLJobV2", 1, "throttled", "ThrottlingException", "Rate exceeded", 0.5)
UNEXPECTED = Anomaly("churn", NOW, AnomalyKind.UNKNOWN_STATUS, "unknown status: New")


@pytest.mark.parametrize("event", [FAILED_CALL, UNEXPECTED, Notice(None, NOW, "listing is denied")])
def test_event_members_do_not_clash_with_structlog_arguments(event: Event, caplog: pytest.LogCaptureFixture) -> None:
    """No member of an event is taken for an argument of structlog or an attribute of a log record."""
    caplog.set_level(logging.INFO, "automl_waiter")
    structlog.configure(
        processors=[structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    try:
        Callbacks(None, None).call(event)
    finally:
        structlog.reset_defaults()
    [record] = caplog.records
    assert record.getMessage() == summary_of(event)
    assert getattr(record, "event_name", None) == event.event
    assert getattr(record, "kind", None) == getattr(event, "kind", None)


def test_exception_in_structlog_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An exception in a processor goes to the standard library's logger, and the wait continues."""

    def broken(*_: object) -> Any:
        raise RuntimeError("the disk is full")

    received: list[Event] = []
    structlog.configure(processors=[broken])
    try:
        Callbacks(None, received.append).call(TRANSITION)
    finally:
        structlog.reset_defaults()
    assert received == [TRANSITION]
    assert problems(caplog) == ["this could not be logged: churn: transition InProgress/Starting"]


def test_events_go_to_the_standard_library_if_structlog_is_not_configured(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unconfigured structlog would print to stdout, which is for results."""
    caplog.set_level(logging.INFO, "automl_waiter")
    Callbacks(None, None).call(TRANSITION)
    [record] = caplog.records
    assert record.getMessage() == "churn: transition InProgress/Starting"
    assert record.automl_event["after"] == {"status": "InProgress", "secondary_status": "Starting"}  # type: ignore[attr-defined]
    assert capsys.readouterr().out == ""


def test_callbacks_start_no_thread() -> None:
    """A wait starts no thread for its callbacks."""
    before = set(threading.enumerate())
    seen: list[set[threading.Thread]] = []
    Callbacks(None, lambda _: seen.append(set(threading.enumerate()) - before)).call(heartbeat())
    assert seen == [set()]
