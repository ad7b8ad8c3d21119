"""What differs between Linux, macOS and Windows. Only the signals that end the command are elsewhere: `cli/signals.py`.

Where a system lacks something, each function does the nearest thing that the system has, or nothing.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import select
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]
try:
    import msvcrt  # Windows
except ImportError:
    msvcrt = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import subprocess

IS_WINDOWS = os.name == "nt"

# The clock

CLOCK: int | None = getattr(time, "CLOCK_MONOTONIC_RAW" if sys.platform == "darwin" else "CLOCK_BOOTTIME", None)
"""The clock of Linux or macOS that runs on while the machine sleeps; None: the monotonic clock does, as on Windows."""

# Locks

LOCKS_ARE_INHERITED = fcntl is not None
"""Whether a child process that inherits the descriptor of a locked file holds the lock too."""


def try_lock(descriptor: int) -> bool:
    """Lock an open file until its descriptor is closed, and return False if another holder has it.

    Raises:
        OSError: The file system has no locks.
    """
    try:
        if msvcrt is not None:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        elif fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


# Programs

PIPELINE = 'cmd /c "..."' if IS_WINDOWS else "sh -c '...'"
"""How a pipeline is written as one program with arguments."""

_TASKKILL_TIMEOUT_S = 2.0


def split_command(text: str) -> list[str]:
    """Return the words of a command, split as a shell splits them. On Windows a backslash is part of a path.

    Raises:
        ValueError: A quote is not closed.
    """
    import shlex

    words = shlex.shlex(text, posix=True)
    words.whitespace_split = True
    words.commenters = ""
    if IS_WINDOWS:
        words.escape = ""
    return list(words)


def start_group(words: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own, with the options of Popen.

    Ctrl-C in the terminal does not reach it, and what it starts can be killed with it.
    """
    import shutil
    import subprocess

    if IS_WINDOWS:  # which itself finds no program whose extension is left out, unless that is .exe
        words = [shutil.which(words[0]) or words[0], *words[1:]]
    flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    return subprocess.Popen(words, start_new_session=True, creationflags=flags, **options)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Ask a program that `start_group` started, and what it started, to end."""
    # It has ended, or runs as another user by now (sudo), who must end it; or there is no console for Ctrl-Break.
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGTERM)
        else:
            process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM))


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a program that `start_group` started, and what it started. Safe in a signal handler."""
    with contextlib.suppress(OSError):  # as above
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            _kill_tree(process)


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    import subprocess

    # By its path, because Windows looks for programs in the current directory first.
    taskkill = os.path.join(os.environ.get("SYSTEMROOT", ""), "System32", "taskkill.exe")
    words = [taskkill, "/F", "/T", "/PID", str(process.pid)]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_TASKKILL_TIMEOUT_S)
    process.kill()


# Terminals and streams

RESIZED: int | None = getattr(signal, "SIGWINCH", None)
RESUMED: int | None = getattr(signal, "SIGCONT", None)
"""The signals of a terminal whose size has changed, and of a process that was stopped and runs again."""

_OBEYS_ESCAPES = 0x4  # ENABLE_VIRTUAL_TERMINAL_PROCESSING


def prepare_streams() -> None:
    """Let the standard streams hold any text, end lines with a newline only, and obey escapes."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            continue
        # A terminal that cannot show a character of AWS's must not lose the outcome, and a name that is not UTF-8 must
        # still be shown.
        stream.reconfigure(errors="backslashreplace")
        if stream is not sys.stdin:
            stream.reconfigure(newline="\n")
        if not IS_WINDOWS:
            continue
        if stream.isatty():
            if stream is not sys.stdin and not _obeys_escapes(stream):
                os.environ.setdefault("TERM", "dumb")
        elif "PYTHONIOENCODING" not in os.environ:
            stream.reconfigure(encoding="utf-8")  # a code page lacks most characters


def is_drawable(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal whose cursor can be moved."""
    if stream is None or not stream.isatty():
        return False
    # Windows has no TERM.
    kind = os.environ.get("TERM", "console" if IS_WINDOWS else "dumb")
    return kind not in ("", "dumb", "unknown") and (not IS_WINDOWS or _obeys_escapes(stream))


def is_in_foreground(stream: TextIO) -> bool:
    """Return whether this process is in a terminal's foreground, and not in a shell's background."""
    try:
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except (AttributeError, OSError, ValueError):
        return True  # Windows has no background, and a test's terminal is not the system's


def has_reader(stream: TextIO | None) -> bool:
    """Return False if a pipe's reader has gone, which is known before the next line fails."""
    try:
        poll = select.poll()
        poll.register(stream, 0)  # type: ignore[arg-type]  # what is no file raises TypeError
        return not any(event & select.POLLERR for _, event in poll.poll(0))
    except (AttributeError, TypeError, ValueError, OSError):
        return True  # Windows has no poll, and closed and imitated streams have no reader to lose


def is_broken_pipe(error: OSError) -> bool:
    """Return whether a write failed because the reader has gone."""
    return isinstance(error, BrokenPipeError) or (IS_WINDOWS and error.errno == errno.EINVAL)


def _obeys_escapes(stream: TextIO) -> bool:
    """Have a console of Windows obey escapes, and return False if it cannot."""
    import ctypes

    console = ctypes.windll.kernel32  # type: ignore[attr-defined]
    handle, mode = ctypes.c_void_p(msvcrt.get_osfhandle(stream.fileno())), ctypes.c_ulong()  # type: ignore[attr-defined]
    if not console.GetConsoleMode(handle, ctypes.byref(mode)):
        return False  # the null device, which is a terminal for Python
    return bool(console.SetConsoleMode(handle, mode.value | _OBEYS_ESCAPES))


# Command lines to copy

# What needs quotes in neither cmd nor PowerShell. PowerShell divides `-a.b` in two.
_PLAIN = re.compile(r"(?!-.*[.:])[\w./:\\=+-]+", re.ASCII)
# Within double quotes, these have a meaning in PowerShell, which takes typographic quotes for plain ones.
_MEANS_MORE_IN_POWERSHELL = re.compile(r'[$`"\u201c-\u201e]')
_SINGLE_QUOTE = re.compile(r"['\u2018-\u201b]")


def quoted(words: Iterable[str]) -> str:
    """Return a command line of these words for the shell at hand: where possible, one for both cmd and PowerShell."""
    import shlex

    return " ".join(map(shlex.quote if _is_posix_shell() else _quoted_on_windows, words))


def environment_lines(variables: Mapping[str, str], *, without: Sequence[str] = ()) -> list[str]:
    """Return the lines that set variables, and remove others, in a POSIX shell or in cmd. No value needs quotes."""
    if _is_posix_shell():
        unset = [f"unset {' '.join(without)}"] if without else []
        return [*unset, *(f"export {name}={value}" for name, value in variables.items())]
    return [f"set {name}={value}" for name, value in (dict.fromkeys(without, "") | dict(variables)).items()]


def _is_posix_shell() -> bool:
    return not IS_WINDOWS or "MSYSTEM" in os.environ  # Git's shell on Windows


def _quoted_on_windows(word: str) -> str:
    if _PLAIN.fullmatch(word):
        return word
    # A program divides its command line itself: a backslash before a quote, and at the end, is written twice.
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', word)
    ended = re.sub(r"(\\+)$", r"\1\1", escaped)
    if _is_powershell() and _MEANS_MORE_IN_POWERSHELL.search(word):
        # From 7.3 on, PowerShell writes the backslashes; only its versions from 6 on have this variable.
        inner = word if "POWERSHELL_DISTRIBUTION_CHANNEL" in os.environ else escaped
        return "'" + _SINGLE_QUOTE.sub(r"\g<0>\g<0>", inner) + "'"
    line = f'"{ended}"'
    # To cmd, a quote within the word ends the quotes; without any for cmd, all that it would act on is escaped.
    return re.sub(r'[()%!^"<>&|]', r"^\g<0>", line) if '"' in word else line


def _is_powershell() -> bool:
    """Return whether the shell at hand is PowerShell, which adds a folder of the user's to where modules are."""
    home = os.environ.get("USERPROFILE", "").lower()
    return home != "" and home in os.environ.get("PSMODULEPATH", "").lower()
