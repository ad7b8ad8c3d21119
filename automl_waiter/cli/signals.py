"""SIGINT, SIGTERM, SIGHUP and Ctrl-Break: the first one ends the current action, the second one exits at once.

This module loads before all others, and fast: a signal that comes earlier ends the process with a traceback.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# Windows has no SIGHUP, and sends nobody SIGTERM. Its SIGBREAK is Ctrl-Break, the way to end a process from outside.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
_BREAK = getattr(signal, "SIGBREAK", None)


class Interrupted(BaseException):
    """The first signal arrived before there was an outcome to report; `signal` is its number."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


def _interrupt(signum: int) -> None:
    raise Interrupted(signum)


class Interrupts:
    """The signals of this process. Outside of `ending`, the first one is kept until it can be handled.

    Args:
        is_whole_process: Whether the process ends with this: then no later signal changes the exit code.
    """

    def __init__(self, *, is_whole_process: bool = False) -> None:
        self._is_whole_process = is_whole_process
        self._first: int | None = None
        self._is_answered = False
        self._end: Callable[[int], object] | None = None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Interrupts:
        # Only the main thread may set handlers; in other threads the caller's stay.
        if threading.current_thread() is threading.main_thread():
            # What nohup, `&` in a script or `trap ''` made this process ignore, it keeps ignoring.
            heeded = [known for known in _SIGNALS if signal.getsignal(known) is not signal.SIG_IGN]
            self._before = {known: signal.signal(known, self._handle) for known in heeded}
        return self

    def __exit__(self, *_: object) -> None:
        for known, handler in self._before.items():
            signal.signal(known, signal.SIG_IGN if self._is_whole_process else handler)  # type: ignore[arg-type]

    @contextmanager
    def ending(self, end: Callable[[int], object] = _interrupt) -> Iterator[None]:
        """Call `end` with the number of the first signal in this context; by default, raise Interrupted.

        An earlier signal is handled at once. `end` runs in a signal handler: it must take no lock.
        """
        before, self._end = self._end, end
        try:
            if self._first is not None:
                self._answer(self._first)
            yield
        finally:
            self._end = before

    def _handle(self, signum: int, _: FrameType | None) -> None:
        if signum == _BREAK:
            signum = signal.SIGTERM
        # The default action would suffice for a second signal, but the first process of a container has none.
        if self._first is not None:
            os._exit(128 + signum)
        self._first = signum
        self._answer(signum)

    def _answer(self, signum: int) -> None:
        if self._end is not None and not self._is_answered:
            self._is_answered = True
            self._end(signum)
