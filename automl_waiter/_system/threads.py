"""Daemon threads that run calls, so that a deadline, a cancel or a signal need not wait for one that hangs."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable
from typing import Protocol

from automl_waiter._model.errors import TransientError, TransientKind

# As many calls run at once in a wait for many jobs; where calls hang, more threads take their place.
_MOST_THREADS = 16
_MOST_HANGING = 112
_HANGS_AFTER_S = 1.0
# An idle thread ends: a process may have hundreds of waits, each with threads, that poll now and then.
_IDLE_S = 5.0

HAS_ENDED = contextvars.ContextVar("has_ended", default=threading.Event())  # noqa: B039 - this one is never set
"""In the call of a wait: is set when the wait has ended."""


class Work(Protocol):
    """A call to run. Nobody waits for it after `until`, on the clock of the threads."""

    until: float

    def run(self) -> None:
        """Run it, and keep what it returns or raises."""

    def fail(self, error: BaseException) -> None:
        """Keep an error instead of running it."""


class CallThreads:
    """Threads that are started as they are needed: 16, and more only while calls hang.

    Args:
        clock: Gives the time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = 0
        self._busy = 0
        self._freed_at = clock()
        """When a thread was last known to be free."""
        self._lock = threading.Lock()

    def submit(self, work: Work, done: Callable[[], object], has_ended: threading.Event) -> None:
        """Run it in a thread, with the context variables of the caller and `HAS_ENDED`, and call `done` there."""
        context = contextvars.copy_context()
        context.run(HAS_ENDED.set, has_ended)
        with self._lock:
            if self._busy < self._threads:
                self._freed_at = self._clock()
            self._busy += 1
            hang = self._clock() - self._freed_at > _HANGS_AFTER_S
            most = _MOST_THREADS + _MOST_HANGING if hang else _MOST_THREADS
            while self._threads < min(self._busy, most):
                self._threads += 1
                _start(threading.Thread(target=self._run, name="automl-waiter-call", daemon=True))

        def run() -> None:
            if self._clock() >= work.until:
                work.fail(TransientError(TransientKind.TIMEOUT, "no free call thread in time"))
            else:
                context.run(work.run)
            with self._lock:
                self._busy -= 1
                self._freed_at = self._clock()
            done()

        self._queue.put(run)

    def close(self) -> None:
        """End each thread as soon as it is free."""
        with self._lock:
            for _ in range(self._threads):
                self._queue.put(None)
            self._threads = 0  # whoever is used again starts anew

    def _next(self) -> Callable[[], None] | None:
        """Return the next call to run; None, if there is none for a while, or no more."""
        while True:
            try:
                return self._queue.get(timeout=_IDLE_S)
            except queue.Empty:
                with self._lock:
                    if self._threads > self._busy:  # so enough are left for what was submitted just now
                        self._threads -= 1
                        return None

    def _run(self) -> None:
        while (run := self._next()) is not None:
            run()
            # Not kept until the next call: a response may be large and a wait long.
            del run


def _start(thread: threading.Thread) -> None:
    try:
        thread.start()
    except RuntimeError as error:
        # "release unlocked lock" hides a KeyboardInterrupt that came in the middle (python/cpython#78667).
        raise (error.__context__ or error) from None
