"""The machine of the synchronous shell: a clock, threads for calls, and one place to wait for whatever comes first."""

from __future__ import annotations

import queue
import threading
from typing import Any, Self

from automl_waiter._model.errors import Cancelled
from automl_waiter._system.clock import SLICE_S, SystemClock
from automl_waiter._system.question import OPEN, end_questions
from automl_waiter._system.threads import CallThreads, Work

# How often the caller's cancel_event is checked while a call runs.
_CANCEL_SLICE_S = 0.05
# Python answers signals in the main thread. One that comes just before the thread falls asleep does not wake it.
_SIGNAL_SLICE_S = 0.25


class Machine(SystemClock):
    """Runs calls and waits for them. Creating one starts nothing.

    Args:
        cancel_event: Setting it ends a wait.
    """

    speed = 1.0
    """The seconds of its clock that pass in one real second."""

    def __init__(self, cancel_event: threading.Event | None = None) -> None:
        self._threads = CallThreads(self.monotonic)
        self._has_ended = threading.Event()
        # A SimpleQueue, because its put is safe in a signal handler.
        self._inbox: queue.SimpleQueue[Work | Cancelled] = queue.SimpleQueue()
        self._cancel_event = cancel_event
        self._running = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._has_ended.set()
        if OPEN:
            end_questions(self._has_ended)
        self._threads.close()

    def start(self, call: Work) -> None:
        """Run a call in another thread; a later `wait` returns it."""
        self._running += 1
        self._threads.submit(call, lambda: self._inbox.put(call), self._has_ended)

    def interrupt(self, signal: int) -> None:
        """End the wait now: what a signal handler calls."""
        self._inbox.put(Cancelled(signal=signal))

    def wait(self, until: float) -> Any:
        """Return the next call that has returned, or None when the clock has reached `until`.

        Raises:
            Cancelled: The caller's event is set, or a signal came.
        """
        slice_s = _SIGNAL_SLICE_S if threading.current_thread() is threading.main_thread() else SLICE_S
        while True:
            if self._cancel_event is not None and self._cancel_event.is_set():
                raise Cancelled
            left = max(0.0, min((until - self.monotonic()) / self.speed, slice_s))
            if self._cancel_event is not None and self._running == 0:
                self._cancel_event.wait(left)
                left = 0.0
            elif self._cancel_event is not None:
                left = min(left, _CANCEL_SLICE_S)
            try:
                item = self._inbox.get(timeout=left) if left else self._inbox.get_nowait()
            except queue.Empty:
                if self.monotonic() >= until:
                    return None
                continue
            if isinstance(item, Cancelled):
                raise item
            self._running -= 1
            return item
