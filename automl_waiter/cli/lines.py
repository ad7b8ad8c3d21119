"""Lines to stdout and stderr, whose readers may be gone, full, or have stopped reading."""

from __future__ import annotations

import contextlib
import io
import os
import queue
import sys
import threading
from typing import TextIO

PATIENCE = 0.2
"""Seconds for which a line is waited for before it is left to its thread."""


def write_line(stream: TextIO | None, line: str) -> OSError | None:
    """Writes a line at once, and returns what went wrong. It is no reason to end a wait."""
    return _write(stream, f"{line}\n")


def write_results(*lines: str) -> bool:
    """Writes lines to stdout, and says whether somebody has them."""
    for line in lines:
        problem = write_line(sys.stdout, line)
        if problem is not None:
            # A reader that has gone knows it; a full disk would lose the result without a word.
            if not isinstance(problem, BrokenPipeError):
                write_line(sys.stderr, f"error: the result could not be written: {problem.strerror}")
            return False
    return True


def _write(stream: TextIO | None, text: str) -> OSError | None:
    if stream is None:  # closed by whoever started this process; print would take stdout instead
        return None
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        # Nobody reads any more, or the disk is full. Python flushes once more when it exits, and would then
        # replace the exit code, so what is left in the buffer goes nowhere.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None


class LineThread:
    """Writes lines to stderr in a thread of its own: a reader that has stopped (Ctrl-S, a pager) stops no wait."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[tuple[str, threading.Event]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._last = threading.Event()
        self._last.set()

    def write(self, line: str) -> None:
        """Writes a line, at once unless nobody reads; what is written later is still in order."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="automl-waiter-lines", daemon=True)
            self._thread.start()
        is_held_up = not self._last.is_set()
        self._last = threading.Event()
        self._lines.put((line, self._last))
        if not is_held_up:
            self._last.wait(PATIENCE)

    def finish(self) -> None:
        """Every line was waited for when it was written."""

    def _run(self) -> None:
        while True:
            line, is_written = self._lines.get()
            write_past_buffers(sys.stderr, f"{line}\n")
            is_written.set()


def write_past_buffers(stream: TextIO | None, text: str) -> None:
    """Writes without a lock of Python's, which a writer that is held up would keep until the process ends."""
    try:
        if stream is not None:
            descriptor = stream.fileno()
            rest = text.encode(stream.encoding, "backslashreplace")
            while rest:
                rest = rest[os.write(descriptor, rest) :]
    except (AttributeError, ValueError, io.UnsupportedOperation):
        _write(stream, text)  # no file of the system's: a notebook's, or a test's
    except OSError:
        pass  # nobody reads any more
