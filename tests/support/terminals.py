"""A terminal for a command: its screen, as an emulator draws it, and what was written to it."""

import contextlib
import os
import pty
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping
from fcntl import ioctl
from select import select

import pyte
from programs import COMMAND, launch


class Terminal:
    """The command on a terminal of so many columns and rows, or another program `instead`.

    `setting` is in its environment, as its user has set it.
    """

    def __init__(
        self,
        *arguments: str,
        env: Mapping[str, str],
        setting: Mapping[str, str] | None = None,
        instead: list[str] | None = None,
        columns: int = 100,
        rows: int = 40,
    ) -> None:
        self.screen = pyte.HistoryScreen(columns, rows, history=1000)
        self._stream = pyte.ByteStream(self.screen)
        self.written = b""
        owner, terminal = pty.openpty()
        ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = launch(
            instead or [*COMMAND, *arguments],
            env={**env, "TERM": "xterm-256color", **(setting or {})},
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        self._owner = owner

    def until(self, shows: Callable[[str], bool], *, within: float = 30.0) -> str:
        """Read until the terminal shows this text, and return the screen."""
        deadline = time.monotonic() + within
        while not shows(self.text):
            if time.monotonic() > deadline or not self._read(deadline - time.monotonic()):
                raise AssertionError(f"the terminal shows:\n{self.text}")
        return self.text

    def end(self, *, within: float = 60.0) -> int:
        """Read to the end of the process and return its exit code."""
        deadline = time.monotonic() + within
        while self._read(deadline - time.monotonic()):
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def send(self, text: str) -> None:
        """Type this text."""
        os.write(self._owner, text.encode())

    def interrupt(self) -> None:
        """Send the signal of Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)

    @property
    def text(self) -> str:
        """Return the screen with the lines that have scrolled off."""
        above = [
            "".join(line[column].data for column in range(self.screen.columns)) for line in self.screen.history.top
        ]
        return "\n".join(line.rstrip() for line in [*above, *self.screen.display]).rstrip()

    def _read(self, timeout: float) -> bool:
        if not select([self._owner], [], [], max(0.0, timeout))[0]:
            return False
        data = b""
        with contextlib.suppress(OSError):  # the other side is closed
            data = os.read(self._owner, 65536)
        self.written += data
        self._stream.feed(data)
        return bool(data)

    def close(self) -> None:
        """Close both ends."""
        self.process.kill()
        self.process.wait()
        os.close(self._owner)
