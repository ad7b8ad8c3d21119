"""The command, and other programs, in processes of their own."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from forked import Forked, Process, can_fork

Command = Callable[..., subprocess.CompletedProcess[str]]
"""The fixtures `command` and `inside`: they run the command with these arguments."""

FORKS = True
"""Whether a process of Python is forked where that makes no difference but to its start."""

COMMAND = (sys.executable, "-m", "automl_waiter")

# Runs the command, which pauses a tenth as long as usual before it calls again what has failed.
HURRIED = (
    "-c",
    """\
from automl_waiter._engine import retries
for name in ("_FIRST_PAUSE_S", "_LONGEST_PAUSE_S", "_LONGEST_PATIENT_PAUSE_S"):
    setattr(retries, name, getattr(retries, name) / 10)
from automl_waiter.cli import main
raise SystemExit(main())
""",
)


PIPES: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


def launch(words: Sequence[str], *, env: Mapping[str, str], **options: Any) -> subprocess.Popen[str]:
    """Start a program, with both outputs as pipes. It is killed if its test fails: its job may never end."""
    kind = Forked if FORKS and can_fork(words, env, options) else Process
    return kind(words, env=env, **PIPES | options)


def start(
    *arguments: str,
    env: Mapping[str, str],
    before: tuple[str, ...] = (),
    program: tuple[str, ...] = COMMAND[1:],
    **options: Any,
) -> subprocess.Popen[str]:
    """Start `automl-waiter`, or what runs it; `before` is a program that runs Python."""
    return launch([*before, sys.executable, *program, *arguments], env=env, **options)


def run(
    words: Sequence[str], *, env: Mapping[str, str], typed: str | None = None, timeout: float = 60, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, which kills it if it takes longer than this many seconds."""
    stdin = {} if typed is None else {"stdin": subprocess.PIPE}
    with launch(words, env=env, **stdin, **options) as process:
        out, err = process.communicate(typed, timeout)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def terminated_in_wait(*words: str, env: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a program that prints its events, send SIGTERM after its first poll, and return its exit code and outputs."""
    with launch(words, env=env) as process:
        assert process.stdout
        while "poll" not in process.stdout.readline():
            assert process.poll() is None
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
        assert time.monotonic() - begun < 10
    return process.returncode, out, err
