"""The live view on the terminal: it redraws one frame in place, and writes permanent lines above it."""

from __future__ import annotations

import os
import queue
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from typing import Any, NamedTuple

from automl_waiter._model.events import Event
from automl_waiter._model.text import clean
from automl_waiter._system.clock import SystemClock
from automl_waiter._system.portable import RESIZED, RESUMED, is_in_foreground
from automl_waiter._system.question import OPEN
from automl_waiter.cli.lines import PATIENCE, write_past_buffers
from automl_waiter.display.progress import Progress
from automl_waiter.report.document import Tone

# Seconds: the frame is redrawn this often if only the time has changed, and after an event, but no faster than the eye
# can follow.
_REDRAW = 5.0
_SETTLE = 0.1
_MOST_AT_ONCE = 1000
# Seconds to wait for a slow terminal that still accepts output: a piece of so many characters each second.
_SLOW = 5.0
_STOPPED = 1.0
_PIECE = 2048

# xterm's "window manipulation": push the title on its stack, and pop it. Other terminals ignore them, so the title is
# emptied first: it must not stay and show a job that has ended.
_KEEP_TITLE = "\x1b[22;2t"
_OLD_TITLE = "\x1b]2;\a\x1b[23;2t"

_STYLE = re.compile(r"\x1b\[[0-9;]*m")


class LiveView:
    """Draw on stderr in a thread of its own: a stopped terminal (Ctrl-S) does not stop the wait.

    Args:
        progress: The state to draw; from now on only the view may use it.
        hint: What the user can do.
        write: Writes to the terminal; None: to stderr.
        clock: The clock of the wait; None: the machine's.
    """

    def __init__(
        self,
        progress: Progress,
        hint: str = "",
        *,
        write: Callable[[str], object] | None = None,
        clock: SystemClock | None = None,
    ) -> None:
        self._progress = progress
        self._hint = hint
        self._clock = clock or SystemClock()
        self._out = write or (lambda text: write_past_buffers(sys.stderr, text))
        self._writing_since: float | None = None
        self._frame = Frame(self._write)
        self._title = ""
        self._ending = ""  # what is written when the frame has gone
        self._news: queue.SimpleQueue[_News] = queue.SimpleQueue()
        self._last = threading.Event()
        self._last.set()
        self._readers: list[threading.Thread] = []
        self._handlers: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            # A SimpleQueue, because its put is safe in a signal handler.
            for signum, news in ((RESIZED, _Change.RESIZED), (RESUMED, _Change.RESUMED)):
                if signum is None:
                    continue  # then the next redraw notices it
                self._handlers[signum] = signal.signal(signum, lambda *_, news=news: self._news.put(news))
        self._thread = threading.Thread(target=self._run, name="automl-waiter-view", daemon=True)
        self._thread.start()

    def update(self, event: Event) -> None:
        """Update the view with an event."""
        self._news.put(event)

    def write(self, *lines: str) -> None:
        """Write permanent lines above the frame, and wait for them unless the terminal has stopped."""
        is_held_up = not self._last.is_set()
        self._last = threading.Event()
        self._news.put(_Lines(lines, self._last))
        if not self._thread.is_alive():
            self._write_the_rest()
        elif not is_held_up:
            self._last.wait(PATIENCE)

    def print_line(self, line: str, tone: Tone) -> None:
        """Write a permanent line for people, coloured by its tone and wrapped at words."""
        from automl_waiter.display.terminal import message_lines
        from automl_waiter.report.plain_text import console_for

        self.write(*message_lines(line, tone, console_for(is_terminal=True)))

    def pipe(self) -> int:
        """Return a file descriptor whose lines are written above the frame, for a program that does not know the view.

        The caller closes it.
        """
        reader, writer = os.pipe()
        thread = threading.Thread(target=self._read, args=[reader], name="automl-waiter-pipe", daemon=True)
        self._readers.append(thread)
        thread.start()
        return writer

    def close(self, *, bell: bool = False) -> None:
        """Remove the frame, so that later output starts in its place, and ring the bell. Later lines are plain."""
        self._news.put(_Close(bell))
        self._wait_for(self._thread)
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    def finish(self) -> None:
        """Wait until everything from the pipes is written, unless the terminal has stopped."""
        for reader in self._readers:
            self._wait_for(reader)

    def _wait_for(self, thread: threading.Thread) -> None:
        """Wait for a thread that writes, so that its output is neither lost nor late."""
        until = time.monotonic() + _SLOW
        while thread.is_alive() and time.monotonic() < until:
            thread.join(PATIENCE / 4)
            if (since := self._writing_since) is not None and time.monotonic() - since > _STOPPED:
                return  # the terminal has stopped

    def _read(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "rb", buffering=0) as pipe:
            rest = b""
            while data := pipe.read(65536):
                *lines, rest = (rest + data).split(b"\n")
                if lines:
                    self.write(*(clean(line.decode(errors="backslashreplace")) for line in lines))
            if rest:
                self.write(clean(rest.decode(errors="backslashreplace")))

    def _write_the_rest(self) -> None:
        with suppress(queue.Empty):
            while True:
                if isinstance(news := self._news.get_nowait(), _Lines):
                    self._write("".join(f"{line}\n" for line in news.lines))
                    news.is_written.set()

    def _write(self, text: str) -> None:
        try:
            # In pieces, because a slow terminal is one that takes them.
            for start in range(0, len(text), _PIECE):
                self._writing_since = time.monotonic()
                self._out(text[start : start + _PIECE])
        finally:
            self._writing_since = None

    def _run(self) -> None:
        from automl_waiter.display.terminal import frame_lines, title_of
        from automl_waiter.report.plain_text import console_for

        console = console_for(is_terminal=True)
        while True:
            if OPEN:
                self._frame.forget()  # a question stands below the frame, which would be drawn over it
            elif is_in_foreground(sys.stderr):
                now = self._clock.now().astimezone()  # in the zone of whoever sees it
                self._frame.draw(frame_lines(self._progress, now, console, self._hint), console.width)
                self._show_title(title_of(self._progress, now))
            news = self._wait()
            if _Change.RESUMED in news:
                # The shell has written below the frame: the next frame starts at the cursor.
                self._frame.forget()
                self._title = ""  # and may have changed the title
            written = [item for item in news if isinstance(item, _Lines)]
            closing = next((item for item in news if isinstance(item, _Close)), None)
            if written or closing:
                self._frame.erase(console.width, above=[line for item in written for line in item.lines])
            for item in written:
                item.is_written.set()
            if closing:
                if ending := self._ending + ("\a" if closing.bell else ""):
                    self._write(ending)
                self._write_the_rest()
                return
            for event in news:
                if isinstance(event, Event):
                    self._progress.take(event)

    def _show_title(self, title: str) -> None:
        # The Linux console has no title, and some versions print it.
        if title != self._title and os.environ.get("TERM") != "linux":
            self._write(f"{'' if self._ending else _KEEP_TITLE}\x1b]2;{title}\a")
            self._title, self._ending = title, _OLD_TITLE

    def _wait(self) -> list[_News]:
        """Wait until it is time to draw again, and return the news."""
        try:
            news: list[_News] = [self._news.get(timeout=_REDRAW)]
        except queue.Empty:
            return []
        until = time.monotonic() + _SETTLE
        # Events of the same moment are drawn together; the writer of a line is waiting.
        with suppress(queue.Empty):
            while not isinstance(news[-1], _Close) and len(news) < _MOST_AT_ONCE:
                left = max(0.0, until - time.monotonic()) if isinstance(news[-1], Event) else 0.0
                news.append(self._news.get(timeout=left) if left else self._news.get_nowait())
        return news


class _Change(Enum):
    """Changes of the terminal."""

    RESIZED = "resized"
    RESUMED = "resumed"


class _Lines(NamedTuple):
    lines: Sequence[str]
    is_written: threading.Event


class _Close(NamedTuple):
    bell: bool


_News = Event | _Lines | _Change | _Close


class Frame:
    """Lines on a terminal that are redrawn in place. The cursor rests at the end of the last one.

    Nothing is cleared before its replacement is written: some terminals keep cleared lines at their top.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._lines: list[str] = []
        self._width = 0

    def draw(self, lines: Sequence[str], width: int) -> None:
        """Draw a frame over the previous one: only the lines that have changed, if the size is the same."""
        if len(lines) == len(self._lines) and width == self._width:
            if lines != self._lines:
                pairs = zip(lines, self._lines, strict=True)
                self._write(self._top(width) + "\n".join("" if new == old else f"{new}\x1b[K" for new, old in pairs))
        else:
            self._write(self._top(width) + "\n".join(f"{line}\x1b[K" for line in lines) + "\x1b[J")
        self._lines, self._width = list(lines), width

    def erase(self, width: int, *, above: Sequence[str] = ()) -> None:
        """Remove the frame; the lines of `above` stay in its place."""
        if self._lines:
            self._write(self._top(width) + "".join(f"{line}\x1b[K\n" for line in above) + "\x1b[J")
        elif above:
            self._write("".join(f"{line}\n" for line in above))
        self._lines = []

    def forget(self) -> None:
        """Leave the frame where it is: the next one starts at the cursor."""
        self._lines = []

    def _top(self, width: int) -> str:
        """Return the escapes that move the cursor to the frame's start. A narrower terminal has wrapped its lines."""
        if not self._lines:
            return ""
        from rich.cells import cell_len

        cells = [cell_len(_STYLE.sub("", line)) for line in self._lines]
        rows = sum(max(1, -(-count // max(1, width))) for count in cells)
        return "\r" + (f"\x1b[{rows - 1}A" if rows > 1 else "")
