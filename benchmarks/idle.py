"""The CPU of waiting while nothing happens: the peers, and the command with and without a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from benchmarks.contender import AUTOML_WAITER, BOTOCORE, SAGEMAKER_CORE
from benchmarks.endpoint import RUNNING, CountingSandbox, Process, command, cpu_of

PIPED, TERMINAL = "the command", "the command on a terminal"
CONTENDERS = (AUTOML_WAITER, BOTOCORE, SAGEMAKER_CORE)
_TWO_HOURS = 7200
_SETTLING = 3.0


class Idle:
    """Waiting processes; `cpu` is what each took since they were all at rest, extrapolated to two hours, in seconds."""

    def __init__(self, processes: dict[str, subprocess.Popen[Any]], terminal: _Terminal) -> None:
        self._processes = processes
        self._terminal = terminal
        self._shown_before = terminal.shown
        self._since = time.monotonic()
        self._before = {name: cpu_of(process) for name, process in processes.items()}

    @property
    def seconds(self) -> float:
        """For how long they have been watched."""
        return time.monotonic() - self._since

    @property
    def shown(self) -> float:
        """Bytes on the terminal in two hours."""
        return (self._terminal.shown - self._shown_before) * _TWO_HOURS / self.seconds

    def cpu(self) -> dict[str, float]:
        """Seconds of CPU in two hours, by name."""
        share = _TWO_HOURS / self.seconds
        return {name: (cpu_of(process) - self._before[name]) * share for name, process in self._processes.items()}


@contextlib.contextmanager
def idle() -> Iterator[Idle]:
    """All of them, from their first looks on. Ours look at the default's pace for a job that has long trained."""
    with ExitStack() as stack:
        sandbox = stack.enter_context(CountingSandbox())
        processes: dict[str, subprocess.Popen[Any]] = {}
        for name in CONTENDERS:
            contender = stack.enter_context(Process(name, "idle", sandbox.environment))
            sandbox.create_job(name, scenario=RUNNING)
            contender.begin(name)
            processes[name] = contender.popen
        owner, terminal = pty.openpty()
        reader = _Terminal(owner)
        for name, job, stream in ((PIPED, "piped", subprocess.DEVNULL), (TERMINAL, "terminal", terminal)):
            sandbox.create_job(job, scenario=RUNNING)
            words = [command("automl-waiter"), "wait", job, "--poll", "60s"]
            # A CI system's terminal gets lines, and what is measured is the view that a person has.
            env = {name: value for name, value in sandbox.environment.items() if name != "CI"}
            env["TERM"] = "xterm-256color"
            process = subprocess.Popen(words, env=env, stdin=stream, stdout=stream, stderr=stream)
            stack.callback(_end, process)
            processes[name] = process
        os.close(terminal)
        while not {*CONTENDERS, "piped", "terminal"} <= set(sandbox.calls):
            time.sleep(0.1)
        time.sleep(_SETTLING)
        yield Idle(processes, reader)


def _end(process: subprocess.Popen[Any]) -> None:
    process.kill()
    process.wait()


class _Terminal:
    """The other side of a terminal: it reads what is shown there."""

    def __init__(self, descriptor: int) -> None:
        self.shown = 0
        self._descriptor = descriptor
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._descriptor, 4096):
                self.shown += len(data)
