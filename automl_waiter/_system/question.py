"""A question on the terminal of this process, answered without echo. It ends with the wait that asked it."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from automl_waiter._system.threads import HAS_ENDED

# How soon a question that nobody waits for any more stops reading.
_SLICE_S = 0.1
_ENDED = "the wait that asked has ended"

OPEN: list[_Question] = []
"""The question that stands on the terminal, if any."""
_ONE_AT_A_TIME = threading.Lock()


def ask(words: str) -> str:
    """Return the line that the user types on the terminal.

    Raises:
        EOFError: There is no terminal, this process is in its background, or the user ended the input.
        InterruptedError: The wait that asked has ended.
    """
    try:
        import termios  # Windows has none, and no question
    except ImportError:
        raise EOFError("there is no terminal to ask on") from None
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        raise EOFError("there is no terminal to ask on") from None
    try:
        # A process in the background would be stopped by the shell.
        if os.tcgetpgrp(terminal) != os.getpgrp():
            raise EOFError("this process is in the background of its terminal")
        with _turn():
            question = _Question(terminal, termios)
            OPEN.append(question)
            try:
                # Only now: its wait ends before this, or finds the question and ends it.
                if question.has_ended.is_set():
                    question.end()
                return question.answer(words)
            finally:
                question.end()
                OPEN.remove(question)
    finally:
        os.close(terminal)


@contextmanager
def _turn() -> Iterator[None]:
    """Have the terminal alone: a second question would take the silence of the first for the state to go back to."""
    while not _ONE_AT_A_TIME.acquire(timeout=_SLICE_S):
        if HAS_ENDED.get().is_set():
            raise InterruptedError(_ENDED)
    try:
        yield
    finally:
        _ONE_AT_A_TIME.release()


def end_questions(has_ended: threading.Event) -> None:
    """End the questions of the wait that has this event, which is set, and let the terminal echo again."""
    for question in [*OPEN]:
        if question.has_ended is has_ended:
            question.end()


class _Question:
    """A question on an open terminal."""

    def __init__(self, terminal: int, termios: Any) -> None:
        self.has_ended = HAS_ENDED.get()
        self._terminal = terminal
        self._termios = termios
        self._before = termios.tcgetattr(terminal)
        self._is_over = False
        self._lock = threading.Lock()

    def answer(self, words: str) -> str:
        """Ask, and return the line that is typed."""
        silent = [*self._before]
        silent[3] &= ~self._termios.ECHO
        with self._lock:
            if not self._is_over:
                self._set(silent, self._termios.TCSAFLUSH)
                # The live view leaves the cursor at the end of its last line.
                os.write(self._terminal, f"\n{words}".encode(errors="backslashreplace"))
        while not self._is_over:
            if select.select([self._terminal], [], [], _SLICE_S)[0] and not self._is_over:
                line = os.read(self._terminal, 1024)
                os.write(self._terminal, b"\n")
                if not line:
                    raise EOFError("nothing was typed")
                return line.decode(errors="replace").strip()
        raise InterruptedError(_ENDED)

    def end(self) -> None:
        """Let the terminal echo again, and stop reading."""
        with self._lock:
            if not self._is_over:
                self._is_over = True
                self._set(self._before, self._termios.TCSANOW)

    def _set(self, attributes: list[Any], when: int) -> None:
        # Meanwhile the shell may have put this process in the background, where this would stop it.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
        try:
            self._termios.tcsetattr(self._terminal, when, attributes)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
