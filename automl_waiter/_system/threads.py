"""The real machine under a wait: its clock, and threads that make the calls.

A call is made in a daemon thread, so that a deadline, a cancel or a signal need not wait for it, and a call
that hangs cannot keep the process alive.
"""

from __future__ import annotations

import contextvars
import queue
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from automl_waiter._model.errors import Cancelled, TransientError, TransientKind

# As many as look at once in a wait for many jobs; where calls hang, more take their place, so that others go on.
_MOST_THREADS = 16
_MOST_HANGING = 112
_HANGS_AFTER = 1.0
# A thread that has nothing to do ends: a process may have hundreds of waits, each with threads, that look now and then.
_IDLE = 5.0
# A sleep is taken in slices, because the timers of a machine that sleeps stand still while its clock goes on.
_SLICE = 30.0
# How often the caller's cancel_event is looked at while a call is on its way.
_CANCEL_SLICE = 0.05

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Completion(NamedTuple):
    """A call is over: its ticket, and its result or its exception."""

    ticket: int
    result: Any
    error: BaseException | None


class SystemClock:
    """The machine's clock. `monotonic` counts the time that a machine sleeps, where the platform can (Linux)."""

    def monotonic(self) -> float:
        """Seconds since some instant in the past; it never goes back."""
        return time.clock_gettime(_CLOCK)

    def now(self) -> datetime:
        """The time of day (UTC): to tell, never to decide by."""
        return datetime.now(UTC)

    def random(self) -> float:
        """A random number in [0, 1)."""
        return random.random()  # noqa: S311 - it spreads looks; nothing secret depends on it


class _Work(NamedTuple):
    call: Callable[[], Any]
    done: Callable[[Any, BaseException | None], None]
    until: float


class CallThreads:
    """Daemon threads that make calls, started as they are needed: 16, and more only while calls hang."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._threads = 0
        self._busy = 0
        self._freed_at = clock()
        """When a thread was last known to be free."""
        self._lock = threading.Lock()

    def submit(self, call: Callable[[], Any], done: Callable[[Any, BaseException | None], None], until: float) -> None:
        """Makes the call in a thread, with the context variables of here; `done` is called there when it is over.

        A call whose turn comes only when the clock shows `until` is not made: nobody waits for it any more.
        """
        context = contextvars.copy_context()
        with self._lock:
            if self._busy < self._threads:
                self._freed_at = self._clock()
            self._busy += 1
            hang = self._clock() - self._freed_at > _HANGS_AFTER
            most = _MOST_THREADS + _MOST_HANGING if hang else _MOST_THREADS
            while self._threads < min(self._busy, most):
                self._threads += 1
                threading.Thread(target=self._run, name="automl-waiter-call", daemon=True).start()
        self._work.put(_Work(lambda: context.run(call), done, until))

    def close(self) -> None:
        """Lets the threads go as soon as each is free."""
        with self._lock:
            for _ in range(self._threads):
                self._work.put(None)

    def _next_work(self) -> _Work | None:
        """The next call to make; None, if there is none for a while, or no more."""
        while True:
            try:
                return self._work.get(timeout=_IDLE)
            except queue.Empty:
                with self._lock:
                    if self._threads > self._busy:  # so enough are left for what was submitted just now
                        self._threads -= 1
                        return None

    def _run(self) -> None:
        while (work := self._next_work()) is not None:
            result: Any = None
            error: BaseException | None = None
            try:
                if self._clock() >= work.until:
                    raise TransientError(TransientKind.TIMEOUT, "its turn did not come in time")
                result = work.call()
            except BaseException as raised:
                error = raised
            with self._lock:
                self._busy -= 1
                self._freed_at = self._clock()
            work.done(result, error)
            # Not kept until the next call: a response may be large and a wait long.
            del work, result, error


class Machine(SystemClock):
    """What the synchronous shell needs: a clock, calls, and one place to wait for whatever comes first."""

    def __init__(self, cancel_event: threading.Event | None = None) -> None:
        self._threads = CallThreads(self.monotonic)
        # A SimpleQueue, because its put is safe in a signal handler.
        self._inbox: queue.SimpleQueue[Completion | Cancelled] = queue.SimpleQueue()
        self._cancel_event = cancel_event
        self._in_flight = 0

    def start(self, ticket: int, call: Callable[[], Any], until: float) -> None:
        """Makes a call in another thread; a later `wait` returns its completion, if it is over at `until`."""
        self._in_flight += 1
        self._threads.submit(call, lambda result, error: self._inbox.put(Completion(ticket, result, error)), until)

    def interrupt(self, signal: int) -> None:
        """Ends the wait, now: what a signal handler calls."""
        self._inbox.put(Cancelled(self.monotonic(), self.now(), signal=signal))

    def wait(self, until: float) -> Completion | None:
        """The next completion, or None once the clock shows `until`.

        Raises:
            Cancelled: The caller's event is set, or a signal came.
        """
        while True:
            if self._cancel_event is not None and self._cancel_event.is_set():
                raise Cancelled(self.monotonic(), self.now())
            left = max(0.0, min(until - self.monotonic(), _SLICE))
            if self._cancel_event is not None and self._in_flight == 0:
                self._cancel_event.wait(left)
                left = 0.0
            elif self._cancel_event is not None:
                left = min(left, _CANCEL_SLICE)
            try:
                item = self._inbox.get(timeout=left) if left else self._inbox.get_nowait()
            except queue.Empty:
                if self.monotonic() >= until:
                    return None
                continue
            if isinstance(item, Cancelled):
                raise item
            self._in_flight -= 1
            return item

    def close(self) -> None:
        """Lets go of the threads."""
        self._threads.close()
