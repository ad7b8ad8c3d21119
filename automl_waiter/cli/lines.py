"""Lines to stdout and stderr, even if the reader has gone or stopped reading, or the disk is full."""

from __future__ import annotations

import contextlib
import io
import os
import queue
import sys
import threading
from collections.abc import Iterable
from typing import TextIO

from automl_waiter._model.exit_codes import ExitCode
from automl_waiter._system.portable import is_broken_pipe

PATIENCE = 0.2
"""Seconds to wait for a line before it is left to its thread."""


def write_line(stream: TextIO | None, line: str) -> OSError | None:
    """Write a line at once, and return the error, if any. It must not end a wait."""
    return _write(stream, f"{line}\n")


def write_results(lines: Iterable[str], end: str = "\n") -> OSError | None:
    """Write lines to stdout, and return the error, if any; the lines after it are not written."""
    for line in lines:
        problem = _write(sys.stdout, f"{line}{end}")
        if problem is not None:
            # A reader that has gone needs no message, but on a full disk the result would be lost silently.
            if not isinstance(problem, BrokenPipeError):
                write_line(sys.stderr, f"error: the result could not be written: {problem.strerror}")
            return problem
    return None


def write_product(lines: Iterable[str], end: str = "\n") -> ExitCode:
    """Write the lines of a command that is run for them alone, and return its exit code."""
    problem = write_results(lines, end)
    return ExitCode.OK if problem is None or isinstance(problem, BrokenPipeError) else ExitCode.OUTPUT_LOST


def _write(stream: TextIO | None, text: str) -> OSError | None:
    if stream is None:  # closed by the parent process; print would use stdout instead
        return None
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        # The reader has gone, or the disk is full. Python flushes again at exit, which would change the exit code, so
        # the rest of the buffer goes to the null device.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return BrokenPipeError(*error.args) if is_broken_pipe(error) else error
    return None


class LineThread:
    """Write lines to stderr in a thread of its own: a reader that stops (Ctrl-S, a pager) does not stop the wait."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[tuple[str, threading.Event]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._last = threading.Event()
        self._last.set()

    def write(self, line: str) -> None:
        """Write a line, and wait for it unless the reader has stopped; later lines stay in order."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="automl-waiter-lines", daemon=True)
            self._thread.start()
        is_held_up = not self._last.is_set()
        self._last = threading.Event()
        self._lines.put((line, self._last))
        if not is_held_up:
            self._last.wait(PATIENCE)

    def finish(self) -> None:
        """Do nothing: `write` has waited for every line."""

    def _run(self) -> None:
        while True:
            line, is_written = self._lines.get()
            write_past_buffers(sys.stderr, f"{line}\n")
            is_written.set()


def write_past_buffers(stream: TextIO | None, text: str) -> None:
    """Write without Python's lock, which a blocked writer would hold until the process ends."""
    try:
        if stream is not None:
            stream.fileno()
            # Not os.write: only the stream knows how to write text to a console of Windows.
            file = getattr(stream.buffer, "raw", stream.buffer)
            rest = text.encode(stream.encoding, "backslashreplace")
            while rest and (count := file.write(rest)):
                rest = rest[count:]
    except (AttributeError, ValueError, io.UnsupportedOperation):
        _write(stream, text)  # not a system file: a notebook's stream, or a test's
    except OSError:
        pass  # the reader has gone
