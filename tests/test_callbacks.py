"""Callbacks are guests of a wait: told in order, and unable to break it or to hold it up for long."""

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from automl_waiter import Event
from automl_waiter._model.events import Heartbeat
from automl_waiter._model.statuses import State
from automl_waiter._model.tracker import Transition
from automl_waiter._system.callbacks import Subscribers

NOW = datetime(2026, 11, 24, tzinfo=UTC)
TRANSITION = Transition("churn", "arn:churn", None, State("InProgress", "Starting"), NOW, None)


def heartbeat(number: int = 0) -> Event:
    return Heartbeat("churn", NOW, TRANSITION.after, float(number))


class Gate:
    """A callback that hangs until it is let go, and the events that it was called with."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.entered = threading.Event()
        self.told: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.entered.set()
        self.opened.wait(20)
        self.told.append(event)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A callback that hangs, and at the end of the test does not any more."""
    gate = Gate()
    yield gate
    gate.opened.set()


def problems(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def lasted(call: Callable[[], object]) -> float:
    begun = time.monotonic()
    call()
    return time.monotonic() - begun


def test_a_transition_goes_to_both_callbacks_and_the_rest_to_one() -> None:
    """`on_transition` is called before `on_event`, and for transitions alone."""
    told: list[tuple[str, Event]] = []
    subscribers = Subscribers(lambda it: told.append(("transition", it)), lambda it: told.append(("event", it)))
    beat = heartbeat()
    for event in (TRANSITION, beat):
        subscribers.tell(event)
    assert told == [("transition", TRANSITION), ("event", TRANSITION), ("event", beat)]


def test_the_wait_goes_on_when_the_callback_has_returned() -> None:
    """A callback that works for a while is waited for, so that it sees the job as it was."""
    told: list[Event] = []
    subscribers = Subscribers(None, lambda event: (time.sleep(0.2), told.append(event)))
    subscribers.tell(heartbeat())
    assert len(told) == 1


def test_a_callback_that_hangs_holds_the_wait_up_once(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    """What hangs is waited for until its limit, with a word; what is behind it holds nothing up."""
    subscribers = Subscribers(None, gate, limit=0.3)
    assert 0.3 <= lasted(lambda: subscribers.tell(heartbeat(1))) < 2
    assert problems(caplog) == ["a callback has not returned for 0.3s on heartbeat of churn; the wait goes on"]
    assert lasted(lambda: [subscribers.tell(heartbeat(number)) for number in range(2, 50)]) < 0.3
    gate.opened.set()
    while len(gate.told) < 49:
        time.sleep(0.01)
    subscribers.tell(heartbeat(50))
    assert gate.told == [heartbeat(number) for number in range(1, 51)], "in order, none lost, and waited for again"


def test_what_was_held_up_until_the_end_is_told_as_lost(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    """Calls that a hanging one had held up when the wait ended are named in the log, each."""
    subscribers = Subscribers(gate, gate, limit=0.1)
    subscribers.tell(TRANSITION)
    subscribers.tell(heartbeat())
    assert lasted(subscribers.close) < 0.3
    lost = [line for line in problems(caplog) if "was not called: an earlier call has not returned" in line]
    assert [line.split(" on ")[1] for line in lost] == [
        "transition of churn; the wait goes on",
        "heartbeat of churn; the wait goes on",
    ]


def test_a_callback_that_raises_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """An exception of a callback is logged, and the next event is told all the same."""
    told: list[Event] = []

    def on_event(event: Event) -> None:
        told.append(event)
        raise LookupError("no such channel")

    subscribers = Subscribers(None, on_event)
    subscribers.tell(heartbeat(1))
    subscribers.tell(heartbeat(2))
    assert told == [heartbeat(1), heartbeat(2)]
    assert problems(caplog) == ["a callback raised LookupError on heartbeat of churn; the wait goes on"] * 2
    assert all(record.exc_info for record in caplog.records if record.levelno >= logging.ERROR)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_ends_the_wait(kind: type[BaseException]) -> None:
    """KeyboardInterrupt and SystemExit in a callback are raised where the wait was called."""

    def on_event(_: Event) -> None:
        raise kind

    with pytest.raises(kind):
        Subscribers(None, on_event).tell(heartbeat())


def test_a_callback_sees_the_callers_context_variables() -> None:
    """A request id or a trace span of the caller is there in the callback, as it is at each event."""
    request: contextvars.ContextVar[str] = contextvars.ContextVar("request")
    seen: list[str] = []
    subscribers = Subscribers(None, lambda _: seen.append(request.get()))
    for name in ("first", "second"):
        request.set(name)
        subscribers.tell(heartbeat())
    assert seen == ["first", "second"]


def test_the_cancel_event_ends_the_standing_still(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    """A wait that is cancelled while a callback hangs does not stand still for it any longer."""
    cancel = threading.Event()
    subscribers = Subscribers(None, gate, limit=20)
    threading.Timer(0.2, cancel.set).start()
    assert 0.1 < lasted(lambda: subscribers.tell(heartbeat(), cancel)) < 2
    assert gate.entered.is_set()
    assert problems(caplog) == []


def test_the_callbacks_thread_goes_with_the_wait() -> None:
    """A wait that is over leaves no thread of its callbacks."""
    threads: list[threading.Thread] = []
    subscribers = Subscribers(None, lambda _: threads.append(threading.current_thread()))
    subscribers.tell(heartbeat(1))
    subscribers.tell(heartbeat(2))
    assert threads[0] is threads[1] is not threading.current_thread()
    subscribers.close()
    threads[0].join(5)
    assert not threads[0].is_alive()


def test_a_coroutine_that_hangs_is_ended_at_its_limit(caplog: pytest.LogCaptureFixture) -> None:
    """Under asyncio a coroutine is awaited until its limit and then cancelled, with a word."""
    ends: list[str] = []

    async def on_event(_: Event) -> None:
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    subscribers = Subscribers(None, on_event, limit=0.2)
    assert lasted(lambda: asyncio.run(subscribers.tell_async(heartbeat()))) < 2
    assert ends == ["cancelled"]
    assert problems(caplog) == ["a callback was ended after 0.2s on heartbeat of churn; the wait goes on"]


@pytest.mark.parametrize("is_coroutine", [False, True])
def test_an_exception_under_asyncio_is_logged(is_coroutine: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Functions and coroutines that raise are isolated alike; their own TimeoutError is not taken for the limit."""

    def function(_: Event) -> None:
        raise TimeoutError("the channel's")

    async def coroutine(_: Event) -> None:
        raise TimeoutError("the channel's")

    asyncio.run(Subscribers(None, coroutine if is_coroutine else function).tell_async(heartbeat()))
    assert problems(caplog) == ["a callback raised TimeoutError on heartbeat of churn; the wait goes on"]


def test_cancelling_the_task_reaches_into_a_coroutine() -> None:
    """Who cancels the task while a callback is awaited cancels both."""

    async def main() -> Any:
        entered = asyncio.Event()

        async def on_event(_: Event) -> None:
            entered.set()
            await asyncio.sleep(20)

        task = asyncio.create_task(Subscribers(None, on_event).tell_async(heartbeat()))
        await entered.wait()
        task.cancel()
        return await asyncio.gather(task, return_exceptions=True)

    [result] = asyncio.run(main())
    assert isinstance(result, asyncio.CancelledError)


def test_a_callback_that_was_cancelled_by_others_only_failed(caplog: pytest.LogCaptureFixture) -> None:
    """A coroutine that awaits something cancelled has raised, and nobody has cancelled the wait."""

    async def on_event(_: Event) -> None:
        cancelled = asyncio.get_running_loop().create_future()
        cancelled.cancel()
        await cancelled

    asyncio.run(Subscribers(None, on_event).tell_async(heartbeat()))
    assert problems(caplog) == ["a callback raised CancelledError on heartbeat of churn; the wait goes on"]
