"""Processes of Python that are forked from one that has loaded the command: loading is most of a start.

A forked process is a real one, with its own id, signals, standard streams and environment. Only its start is not: a
test of the start uses `subprocess`. After its last `atexit` function it frees nothing, unless its environment has
`FULL_END`. As a program, this is the process that the others are forked from.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import runpy
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from ctypes import CDLL
from types import ModuleType
from typing import Any

from environments import clean_environment
from sdk import make_clients_cheap

_SUPPORTED = sys.platform == "linux" and hasattr(os, "fork")
"""Only Linux lets the test's process adopt the forked one."""

_ONE_AT_A_TIME = threading.Lock()

_SET_CHILD_SUBREAPER = 36  # from Linux's prctl.h

FULL_END = {"FULL_END": "1"}
"""The environment of a process that shall end as Python does."""

_OPTIONS = {"cwd", "start_new_session", "stdin", "stdout", "stderr", "text"}


def can_fork(words: Sequence[str], env: Mapping[str, str], options: Mapping[str, Any]) -> bool:
    """Return whether these words run Python, and `env` has what Python reads at its start as it is here."""
    return (
        _SUPPORTED
        and words[0] == sys.executable
        and words[1] in ("-m", "-c")
        and options.keys() <= _OPTIONS
        and _read_at_start(env) == _read_at_start(clean_environment())
    )


def _read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    names = {name for name in env if name.startswith(("PYTHON", "LC_", "LANG"))} - {"PYTHONIOENCODING"}
    return {name: env[name] for name in names}


class Process(subprocess.Popen[str]):
    """A process that is killed if its test fails."""

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, *rest)


class Forked(Process):
    """A process that `can_fork`. Only its start differs from subprocess's, and Popen has no public place for that."""

    def _execute_child(self, args: Sequence[str], *options: Any) -> None:
        cwd, env = options[4:6]
        stdin, to_stdin, from_stdout, stdout, from_stderr, stderr = options[9:15]
        streams = [number if stream == -1 else stream for number, stream in enumerate((stdin, stdout, stderr))]
        self.pid = _server().fork(
            streams, words=args[1:], env=dict(env), cwd=str(cwd or os.getcwd()), new_session=options[20]
        )
        self._child_created = True
        self._close_pipe_fds(stdin, to_stdin, from_stdout, stdout, from_stderr, stderr)  # type: ignore[attr-defined]


class _Server:
    """The process to fork from, as its parent sees it. It ends with its parent."""

    def __init__(self) -> None:
        self._calls, its = socket.socketpair()
        self._prctl = CDLL(None).prctl
        with its:
            words = [sys.executable, __file__, str(its.fileno())]
            self._process = subprocess.Popen(
                words, env=clean_environment(), pass_fds=[its.fileno()], stdin=subprocess.DEVNULL
            )

    def fork(self, streams: list[int], **what: Any) -> int:
        """Return the id of a new child of this process, which has these standard streams."""
        call = json.dumps(what).encode()
        with _ONE_AT_A_TIME:
            self._prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            socket.send_fds(self._calls, [len(call).to_bytes(4, "big")], streams)
            self._calls.sendall(call)
            answer = self._calls.recv(4, socket.MSG_WAITALL)
            self._prctl(_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        if not answer:
            raise RuntimeError("the process to fork from has ended")
        return int.from_bytes(answer, "big")


_server = functools.cache(_Server)


def _load() -> None:
    """Load the command's modules, and the models of the services that it calls."""
    import boto3

    import automl_waiter

    for module in pkgutil.walk_packages(automl_waiter.__path__, "automl_waiter."):
        if not module.name.startswith(("automl_waiter.__main__", "automl_waiter.integrations.")):
            importlib.import_module(module.name)
    make_clients_cheap()
    session = boto3.Session("testing", "testing", region_name="us-east-1")
    for service in ("sagemaker", "logs"):
        session.client(service)


def _next_child(calls: socket.socket) -> dict[str, Any]:
    """Fork once for each call, and return what to do, in the child."""
    while True:
        size, streams, *_ = socket.recv_fds(calls, 4, 3)
        if not size:
            os._exit(0)
        what: dict[str, Any] = json.loads(calls.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL))
        reader, writer = os.pipe()
        # Its parent ends at once, so that the test's process adopts it.
        if (parent := os.fork()) == 0:
            if child := os.fork():
                os.write(writer, child.to_bytes(4, "big"))
                os._exit(0)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            calls.detach()
            return what
        os.waitpid(parent, 0)
        calls.sendall(os.read(reader, 4))
        for end in (reader, writer, *streams):
            os.close(end)


class _QuickEnd:
    """Ends a process of Python that has a result, but for the freeing of each object: it took 8 times as long as a start.

    Python's own end stays where there is no result, where an output cannot be flushed, and with `FULL_END`.
    """

    def __init__(self) -> None:
        self._code: int | None = None
        # The first to be registered is the last to be called.
        atexit.register(self._end)

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        code = error.code or 0 if isinstance(error, SystemExit) else error
        self._code = code if isinstance(code, int) else None if code else 0

    def _end(self) -> None:
        if self._code is not None and not FULL_END.items() <= os.environ.items():
            with contextlib.suppress(OSError, ValueError):
                for stream in filter(None, (sys.stdout, sys.stderr)):
                    stream.flush()
                os._exit(self._code)


def _run(words: list[str], env: dict[str, str], cwd: str, new_session: bool) -> None:
    """Do what Python does after its start with these arguments."""
    if new_session:
        os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    encoding = env.get("PYTHONIOENCODING")
    sys.stdin = sys.__stdin__ = os.fdopen(0, encoding=encoding, closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", encoding=encoding, closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", 1, encoding, "backslashreplace", closefd=False)
    option, what, *arguments = words
    sys.argv = [option, *arguments]
    sys.path[0] = cwd if option == "-m" else ""
    if option == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        main = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(what, "<string>", "exec"), vars(main))


if __name__ == "__main__":
    server = socket.socket(fileno=int(sys.argv[1]))
    quick_end = _QuickEnd()
    gc.disable()
    _load()
    gc.freeze()
    gc.enable()
    what = _next_child(server)
    with quick_end:
        _run(**what)
