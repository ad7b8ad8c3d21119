"""The kernel: many coroutines side by side in one thread, driven by a shell that calls AWS and sleeps for them.

A coroutine may await three things, and yields one of them to the kernel:

- an event, which the shell hands to its subscribers before anything else happens;
- a `PendingCall`, which the shell runs in a thread;
- a `Wait` for a slot until a time. A slot is a place in which one coroutine puts a value that another awaits.

Everything else is a function over those: a sleep waits for a slot that nobody fills, a rate limit fills slots in turn.
The shell calls `step` again and again, does what it returns, and answers a `Pause` with `wake` or `cancel`.
"""

from __future__ import annotations

import heapq
import itertools
import math
import types
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import ExitStack
from datetime import datetime
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from automl_waiter._model.errors import Cancelled, TransientError
from automl_waiter._model.events import Event
from automl_waiter._model.token_bucket import TokenBucket

T = TypeVar("T")


class Clock(Protocol):
    """What the time is. `monotonic` is in seconds and counts a machine's sleep; `now` is an instant in UTC."""

    def monotonic(self) -> float: ...
    def now(self) -> datetime: ...
    def random(self) -> float: ...


class Slot(Generic[T]):
    """Holds one value until a coroutine takes it; a newer value replaces it."""

    def __init__(self) -> None:
        self.value: T | None = None
        self.task: _Task | None = None
        """The task that waits for a value now."""


class PendingCall:
    """A call for the shell to run in a thread. After `until`, on the kernel's clock, nobody waits for it."""

    def __init__(self, function: Callable[[], Any], until: float) -> None:
        self.until = until
        self.returned = Slot[PendingCall]()
        self._function = function
        self._value: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Run the function and keep what it returns or raises."""
        try:
            self._value = self._function()
        except TransientError as error:
            _forget_frames(error)
            self.fail(error)
        except BaseException as error:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Keep an error instead of running the function."""
        self._error = error

    def result(self) -> Any:
        """Return what the function returned, or raise what it raised, once."""
        if self._error is None:
            return self._value
        try:
            raise self._error
        finally:
            self._error = None  # its traceback leads here, and a circle is left to the garbage collector


class Wait(NamedTuple):
    """Wait for a value in a slot, until a time on the kernel's clock."""

    slot: Slot[Any]
    until: float


class Pause(NamedTuple):
    """Wait for the next call to return, until a time on the kernel's clock."""

    until: float


class _Task:
    """A coroutine, and the slot that it waits for."""

    def __init__(self, function: Callable[[], Coroutine[Any, Any, None]], *, is_daemon: bool) -> None:
        self.function = function
        self.coroutine: Coroutine[Any, Any, None] | None = None
        """Created when it is first advanced: one that never is leaves nothing to close."""
        self.is_daemon = is_daemon
        self.slot: Slot[Any] | None = None
        self.waits = 0
        """How often it has waited: an alarm that was set for an earlier wait means nothing any more."""


class _TokenQueue:
    """The tasks that wait for a token of a bucket, in order."""

    def __init__(self, bucket: TokenBucket) -> None:
        self.bucket = bucket
        self.slots: deque[Slot[bool]] = deque()
        self.next_at: float | None = None
        """When the token arrives that is reserved for the first in the queue."""

    def reserve(self, now: float) -> float:
        """Return when the token of the first arrives."""
        if self.next_at is None:
            self.next_at = self.bucket.reserve(now)
        return self.next_at

    def first_ready(self, now: float) -> Iterator[Slot[bool]]:
        """Yield each slot whose token has arrived; those that gave up waiting are skipped."""
        while self.slots:
            slot = self.slots[0]
            if slot.task is not None:
                if self.reserve(now) > now:
                    return
                self.next_at = None
                yield slot
            self.slots.popleft()


class Kernel:
    """Runs coroutines in the order in which they were spawned, until those that are not daemons have ended.

    Args:
        clock: The time and the randomness by which the coroutines decide.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._tasks: dict[_Task, None] = {}
        self._foreground = 0
        """How many tasks are not daemons."""
        self._ready: deque[tuple[_Task, Any, BaseException | None]] = deque()
        self._current: _Task | None = None
        """The task that continues in the next step, because the shell was only handed its event."""
        self._alarms: list[tuple[float, int, _Task, int]] = []
        self._order = itertools.count()
        self._queues: dict[TokenBucket, _TokenQueue] = {}

    # What coroutines call

    def spawn(self, function: Callable[[], Coroutine[Any, Any, None]], *, is_daemon: bool = False) -> None:
        """Start a coroutine beside the others. A daemon runs only as long as one of the others does."""
        task = _Task(function, is_daemon=is_daemon)
        self._tasks[task] = None
        self._foreground += not is_daemon
        self._ready.append((task, None, None))

    def emit(self, event: Event) -> Awaitable[None]:
        """Hand an event to every subscriber."""
        return _ask(event)

    def wait(self, slot: Slot[T], until: float = math.inf) -> Awaitable[T | None]:
        """Take the value of a slot, when there is one; return None when the clock has reached `until`."""
        return _ask(Wait(slot, until))

    def sleep_until(self, until: float) -> Awaitable[None]:
        """Do nothing until the clock has reached `until`."""
        return _ask(Wait(Slot(), until))

    def call(self, function: Callable[[], Any], until: float) -> Awaitable[PendingCall | None]:
        """Run a function in a thread; return None if it has not returned when the clock has reached `until`."""
        return _ask(PendingCall(function, until))

    def token(self, bucket: TokenBucket, until: float, *, is_first: bool = False) -> Awaitable[bool | None]:
        """Wait for a token of a bucket, ahead of the others if `is_first`; return None if none comes by `until`."""
        queue = self._queues.setdefault(bucket, _TokenQueue(bucket))
        queue.reserve(self.clock.monotonic())
        slot = Slot[bool]()
        (queue.slots.appendleft if is_first else queue.slots.append)(slot)
        return _ask(Wait(slot, until))

    def put(self, slot: Slot[T], value: T) -> None:
        """Put a value into a slot, and wake the coroutine that waits for it."""
        if slot.task is not None:
            self._resume(slot.task, value)
        else:
            slot.value = value

    # What the shell calls

    def step(self) -> Event | PendingCall | Pause | None:
        """Advance the coroutines; return what the shell has to do next, or None when all have ended."""
        while self._foreground:
            value, error = None, None
            if self._current is None:
                if not self._ready:
                    return Pause(self._next_time())
                self._current, value, error = self._ready.popleft()
            if (request := self._advance(self._current, value, error)) is not None:
                return request
        return None

    def wake(self, returned: PendingCall | None) -> None:
        """Wake every task that is ready: its call has returned, its time has come, or it has a token."""
        if returned is not None:
            self.put(returned.returned, returned)
        now = self.clock.monotonic()
        # Not while calls return: one may have returned by now whose alarm rang while something else took time.
        while returned is None and self._alarms and self._alarms[0][0] <= now:
            _, _, task, wait = heapq.heappop(self._alarms)
            if task.waits == wait:
                self._resume(task, None)
        for queue in self._queues.values():
            for slot in queue.first_ready(now):
                self.put(slot, True)

    def cancel(self, cancelled: Cancelled) -> None:
        """Throw this into every task."""
        self._current = None
        self._ready.clear()
        for task in self._tasks:
            self._resume(task, None, cancelled)

    def close(self) -> None:
        """End all coroutines. Never leave that to the garbage collector: it loses a KeyboardInterrupt."""
        with ExitStack() as stack:
            for coroutine in filter(None, [task.coroutine for task in self._tasks]):
                stack.callback(coroutine.close)

    def _advance(self, task: _Task, value: Any, error: BaseException | None) -> Event | PendingCall | None:
        """Advance a task up to its next request; return the request if it is for the shell."""
        self._current = None
        try:
            coroutine = task.coroutine = task.coroutine or task.function()
            request: Any = coroutine.send(value) if error is None else coroutine.throw(error)
            while isinstance(request, Wait) and request.slot.value is not None:
                value, request.slot.value = request.slot.value, None
                request = coroutine.send(value)
        except (StopIteration, Cancelled):
            # It has ended, or it had not begun when all were cancelled, and then it has nothing to report.
            del self._tasks[task]
            self._foreground -= not task.is_daemon
            return None
        if isinstance(request, Wait):
            self._park(task, request.slot, request.until)
            return None
        if isinstance(request, PendingCall):
            self._park(task, request.returned, request.until)
            return request
        self._current = task
        return request  # type: ignore[no-any-return]  # whatever else is yielded is an event

    def _park(self, task: _Task, slot: Slot[Any], until: float) -> None:
        slot.task, task.slot = task, slot
        if len(self._alarms) > 1000 + 3 * len(self._tasks):
            # Who follows a listing sets an alarm for its deadline at each piece of news.
            self._alarms = [alarm for alarm in self._alarms if alarm[2].waits == alarm[3] and alarm[2] in self._tasks]
            heapq.heapify(self._alarms)
        if until < math.inf:
            heapq.heappush(self._alarms, (until, next(self._order), task, task.waits))

    def _resume(self, task: _Task, value: Any, error: BaseException | None = None) -> None:
        task.waits += 1
        if task.slot is not None:
            task.slot.task = None
            task.slot = None
        self._ready.append((task, value, error))

    def _next_time(self) -> float:
        at = self._alarms[0][0] if self._alarms else math.inf
        waiting = (queue.next_at for queue in self._queues.values() if queue.slots and queue.next_at is not None)
        return min(at, *waiting, math.inf)


@types.coroutine
def _ask(request: object) -> Generator[object, Any, Any]:
    """Yield a request to the kernel, and return its answer."""
    return (yield request)


def _forget_frames(error: BaseException | None) -> None:
    """Take the tracebacks from an error and its causes: they lead to the thread that made the call.

    A KeyboardInterrupt that comes while the garbage collector frees a thread is lost.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__context__
