"""Programs for shells to start, which fork the command or Python from a process that has loaded the command.

A shell gets the real exit code and output. Such a program passes SIGINT and SIGTERM on to what it has forked, and any other
signal that ends it kills that.
"""

import marshal
import os
import select
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingUnixStreamServer

from environments import clean_environment
from forked import can_fork
from programs import COMMAND, launch

# It starts in a fiftieth of a second: it loads neither site-packages nor anything else that it can do without.
_PROGRAM = """\
#!{python} -IS
import _signal, marshal, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    call = marshal.dumps((sys.argv, dict(os.environ), os.getcwd()))
    socket.send_fds(server, [len(call).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(call)
    process = marshal.loads(server.recv(5))
    for number in (_signal.SIGINT, _signal.SIGTERM):
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, lambda number, _: os.kill(process, number))
    code = marshal.loads(server.recv(5))
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
"""

# Runs a file as `python FILE` does.
_RUN_FILE = """\
import os, runpy, sys
del sys.argv[0]
sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@contextmanager
def forking_programs(folder: Path) -> Iterator[None]:
    """Write `automl-waiter`, `python`, `python3` and `aws` into the folder. Where nothing is forked, they are the real ones."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("automl-waiter", "python", "python3", "aws")
    if not can_fork(COMMAND, clean_environment(), {}):
        for name in names:
            _write(folder / name, f'#!/bin/sh\nexec "{Path(sys.executable).with_name(name)}" "$@"\n')
        yield
        return
    # Linux chooses the address, which is no file.
    with _Server("", _Call) as server:
        for name in names:
            _write(folder / name, _PROGRAM.format(python=sys.executable, address=server.server_address))
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


def _write(program: Path, text: str) -> None:
    program.write_text(text)
    program.chmod(0o755)


def search_path(*before: Path) -> str:
    """Return a search path with these folders, and after them the programs of this environment."""
    return os.pathsep.join([*map(str, before), str(Path(sys.executable).parent), os.environ["PATH"]])


class _Server(ThreadingUnixStreamServer):
    daemon_threads = True


class _Call(BaseRequestHandler):
    def handle(self) -> None:
        size, streams, *_ = socket.recv_fds(self.request, 4, 3)
        call = self.request.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
        (program, *arguments), env, cwd = marshal.loads(call)
        stdin, stdout, stderr = streams
        words = _words(Path(program).name, arguments)
        with launch(words, env=env, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr) as process:
            self.request.sendall(marshal.dumps(process.pid))
            for stream in streams:
                os.close(stream)
            while process.poll() is None:
                if select.select([self.request], [], [], 0.02)[0]:  # the program has ended
                    process.kill()
            with suppress(BrokenPipeError):
                self.request.sendall(marshal.dumps(process.returncode))


def _words(program: str, arguments: list[str]) -> list[str]:
    if program == "automl-waiter":
        return [*COMMAND, *arguments]
    if program == "aws":
        arguments = [str(Path(sys.executable).with_name("aws")), *arguments]
    is_file = arguments and not arguments[0].startswith("-")
    return [sys.executable, *(["-c", _RUN_FILE] if is_file else []), *arguments]
