"""The live view on the terminal: it redraws one frame in place, and writes what is to stay above it."""

from __future__ import annotations

import os
import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from automl_waiter.cli.lines import PATIENCE, write_past_buffers
from automl_waiter.display.progress import Progress
from automl_waiter.events import Event
from automl_waiter.machine import SystemClock
from automl_waiter.text import clean

# Seconds: what only the time has changed is redrawn as often as this, and what happens at once, but not more often
# than an eye can follow.
_REDRAW = 5.0
_SETTLE = 0.1

_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def is_terminal() -> bool:
    """Whether stderr is a terminal that can be drawn on."""
    if sys.stderr is None or not sys.stderr.isatty():
        return False
    return os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")


class LiveView:
    """Draws on stderr in a thread of its own: a terminal that has been stopped (Ctrl-S) stops no wait.

    Args:
        progress: What is drawn; from now on the view's own.
        hint: What the person can do.
        write: Where it is drawn; None: on stderr.
    """

    def __init__(self, progress: Progress, hint: str = "", *, write: Callable[[str], object] | None = None) -> None:
        self._progress = progress
        self._hint = hint
        self._screen = Screen(write or (lambda text: write_past_buffers(sys.stderr, text)))
        self._news: queue.SimpleQueue[Event | _Line | None] = queue.SimpleQueue()
        self._last = threading.Event()
        self._last.set()
        self._pipes: list[int] = []
        self._thread = threading.Thread(target=self._run, name="automl-waiter-view", daemon=True)
        self._thread.start()

    def tell(self, event: Event) -> None:
        """Takes in an event and draws what has come of it."""
        self._news.put(event)

    def write(self, line: str) -> None:
        """Writes a line that stays, above the frame, at once unless nobody reads."""
        is_held_up = not self._last.is_set()
        self._last = threading.Event()
        self._news.put(_Line(line, self._last))
        if not is_held_up:
            self._last.wait(PATIENCE)

    def pipe(self) -> int:
        """A file descriptor whose lines are written above the frame: for a program that knows nothing of it."""
        reader, writer = os.pipe()
        self._pipes.append(writer)

        def read() -> None:
            with os.fdopen(reader, encoding="utf-8", errors="backslashreplace") as lines:
                for line in lines:
                    self.write(clean(line))

        threading.Thread(target=read, name="automl-waiter-pipe", daemon=True).start()
        return writer

    def close(self) -> None:
        """Takes the frame away, so that what follows stands where it stood."""
        if self._thread.is_alive():
            self._news.put(None)
            self._thread.join(PATIENCE)
        while self._pipes:
            os.close(self._pipes.pop())

    def _run(self) -> None:
        from automl_waiter.display.terminal import frame_lines
        from automl_waiter.documents.text import console_for

        console, clock = console_for(sys.stderr), SystemClock()
        while True:
            self._screen.draw(frame_lines(self._progress, clock.now(), console, self._hint), console.width)
            news = self._wait()
            lines = [item for item in news if isinstance(item, _Line)]
            is_over = None in news
            if lines or is_over:
                self._screen.erase(console.width, above=[line.text for line in lines])
            for line in lines:
                line.is_written.set()
            if is_over:
                return
            for item in news:
                if isinstance(item, Event):
                    self._progress.take(item)

    def _wait(self) -> list[Event | _Line | None]:
        """What is new, when it is time to draw again."""
        try:
            news = [self._news.get(timeout=_REDRAW)]
        except queue.Empty:
            return []
        until = time.monotonic() + _SETTLE
        # What happens together is drawn together.
        while isinstance(news[-1], Event) and (left := until - time.monotonic()) > 0:
            with suppress(queue.Empty):
                news.append(self._news.get(timeout=left))
        return news


class _Line:
    def __init__(self, text: str, is_written: threading.Event) -> None:
        self.text = text
        self.is_written = is_written


class Screen:
    """The lines of a frame on a terminal, which are drawn over. The cursor rests at the end of the last one."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._lines: list[str] = []
        self._width = 0

    def draw(self, lines: Sequence[str], width: int) -> None:
        """Draws a frame over the one before: only the lines that have changed, if they stand where they stood."""
        if len(lines) == len(self._lines) and width == self._width:
            if lines != self._lines:
                pairs = zip(lines, self._lines, strict=True)
                self._write(self._top(width) + "\n".join("" if new == old else f"{new}\x1b[K" for new, old in pairs))
        else:
            self._write(f"{self._top(width)}\x1b[J" + "\n".join(lines))
        self._lines, self._width = list(lines), width

    def erase(self, width: int, *, above: Sequence[str] = ()) -> None:
        """Takes the frame away; these lines stay in its place."""
        self._write(f"{self._top(width)}\x1b[J" + "".join(f"{line}\n" for line in above))
        self._lines = []

    def _top(self, width: int) -> str:
        """Moves the cursor to where the frame begins. A terminal that has become narrower has broken its lines."""
        rows = sum(max(1, -(-_cells(line) // max(1, width))) for line in self._lines)
        return "\r" + (f"\x1b[{rows - 1}A" if rows > 1 else "")


def _cells(line: str) -> int:
    from rich.cells import cell_len

    return cell_len(_STYLE.sub("", line))
