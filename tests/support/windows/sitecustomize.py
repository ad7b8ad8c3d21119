"""Gives automl_waiter a system like Windows: the names that are missing there are missing, and some act as they do there.

A process loads it first, where it is in PYTHONPATH. Only the package's own modules get this system: the standard library
of a POSIX system, pytest and the tests would not work without the names.
"""

import builtins
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from fcntl import LOCK_EX, LOCK_NB, flock
from types import ModuleType, SimpleNamespace

MISSING_MODULES = {"fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"}

_SIGNALS = (
    "SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGUSR1 SIGUSR2 SIGWINCH"
)
MISSING = {
    os: "chown fork fchmod getpgid getpgrp getsid geteuid getuid killpg mkfifo openpty O_NOCTTY O_NOFOLLOW O_NONBLOCK "
    "register_at_fork setpgid setsid tcgetpgrp tcsetpgrp uname",
    select: "epoll kqueue poll",
    signal: f"{_SIGNALS} alarm pause pthread_kill pthread_sigmask setitimer sigwait",
    time: "clock_gettime clock_settime CLOCK_BOOTTIME CLOCK_MONOTONIC CLOCK_MONOTONIC_RAW CLOCK_REALTIME tzset",
}


def is_ours(name: str) -> bool:
    """Whether a module of this name belongs to the package."""
    return name.partition(".")[0] == "automl_waiter"


def hide(module: ModuleType, names: set[str]) -> None:
    """Hides names of a module from the package, for which os.name is that of Windows."""

    class Hiding(ModuleType):
        def __getattribute__(self, name: str) -> object:
            if (name in names or name == "name") and is_ours(sys._getframe(1).f_globals.get("__name__", "")):
                if module is os and name == "name":
                    return "nt"
                raise AttributeError(f"Windows has no {name}")
            return super().__getattribute__(name)

    module.__class__ = Hiding


for module, names in MISSING.items():
    hide(module, set(names.split()))


# Modules


def locking(descriptor: int, mode: int, count: int) -> None:
    """Locks the first byte of a file, which belongs to one descriptor only."""
    assert (mode, count) == (msvcrt.LK_NBLCK, 1)
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        raise PermissionError(13, "Permission denied") from None


def get_console_mode(handle, mode) -> bool:
    """Has a terminal's mode in `mode`; other files have none."""
    mode._obj.value = 0x3
    return os.isatty(handle.value)


def set_console_mode(handle, mode: int) -> bool:
    """Accepts that escapes are obeyed, beside what was in force."""
    assert os.isatty(handle.value)
    return mode == 0x7


msvcrt = SimpleNamespace(LK_NBLCK=2, locking=locking, get_osfhandle=lambda descriptor: descriptor)
kernel32 = SimpleNamespace(GetConsoleMode=get_console_mode, SetConsoleMode=set_console_mode)
windows_ctypes = SimpleNamespace(**{**vars(ctypes), "windll": SimpleNamespace(kernel32=kernel32)})
INSTEAD = {"msvcrt": msvcrt, "ctypes": windows_ctypes}

import_module = builtins.__import__


def import_on_windows(name: str, importer=None, *rest, **more):
    """Imports what Windows has, for the package."""
    importer = more.pop("globals", importer)
    if importer is not None and is_ours(importer.get("__name__") or ""):
        if name in MISSING_MODULES:
            raise ModuleNotFoundError(f"Windows has no {name}", name=name)
        if name in INSTEAD:
            return INSTEAD[name]
    return import_module(name, importer, *rest, **more)


builtins.__import__ = import_on_windows


# Functions

start = subprocess.Popen.__init__
remove = os.unlink


def start_on_windows(self, *arguments, **options) -> None:
    """Starts a program of the package as Windows does: in our session, and with no descriptor but the standard ones."""
    if is_ours(sys._getframe(1).f_globals.get("__name__", "")):
        assert not options.pop("pass_fds", ())
        options.pop("start_new_session", None)
    start(self, *arguments, **options)


def remove_on_windows(path, *, dir_fd: int | None = None) -> None:
    """Removes a file that this process does not have open."""
    if dir_fd is None and os.path.exists(path):
        for descriptor in os.listdir("/proc/self/fd"):
            try:
                is_open = os.path.samestat(os.fstat(int(descriptor)), os.stat(path))
            except OSError:  # the descriptor of the list
                continue
            if is_open:
                raise PermissionError(13, "The process cannot access the file because it is being used", str(path))
    remove(path, dir_fd=dir_fd)


subprocess.Popen.__init__ = start_on_windows  # type: ignore[method-assign]
os.unlink = os.remove = remove_on_windows
