"""`--exec`: the user's command, run on each transition, one at a time and in order, without a shell."""

from __future__ import annotations

import contextlib
import os
import queue
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import click

from automl_waiter._model.text import clean, isoformat
from automl_waiter._model.tracker import Transition

COMMAND_LIMIT = 60.0
"""Seconds after which a command is ended."""

_KILL_AFTER = 2.0
# What is killed is gone at once, or not ours to kill.
_DIES_WITHIN = 0.2
_JOIN_SLICE_S = 0.05


def command_words(text: str) -> list[str]:
    """The words of a command, split as a shell splits them.

    Raises:
        click.BadParameter: There are none, a quote is not closed, or there is no such program.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise click.BadParameter(f"{clean(text)!r}: {str(error).lower()}") from None
    if not words:
        raise click.BadParameter("the command is empty")
    if shutil.which(words[0]) is None:
        raise click.BadParameter(f"{clean(words[0])!r} is no program that can be run; for a pipeline write sh -c '...'")
    return words


class CommandRunner:
    """Runs a command for each transition, in a thread of its own: a command that hangs does not hold up the wait.

    Args:
        words: The command.
        report: Told of what goes wrong: the job's name, and what.
        limit: Seconds after which a command is ended.
        output: The file descriptor to which it prints, and which is closed when it is finished; None: stderr's.
    """

    def __init__(
        self,
        words: list[str],
        report: Callable[[str, str], None],
        *,
        limit: float = COMMAND_LIMIT,
        output: int | None = None,
    ) -> None:
        self.words = words
        self._output = output
        self._report = report
        self._limit = limit
        self._transitions: queue.SimpleQueue[tuple[Transition, Callable[[bool], object]] | None] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="automl-waiter-exec", daemon=True)
        self._thread.start()

    def deliver(self, transition: Transition, done: Callable[[bool], object] = lambda _: None) -> None:
        """Runs the command for a transition, after those before it; `done` is told whether it exited with 0."""
        self._transitions.put((transition, done))

    def finish(self) -> None:
        """Returns when the command has run for every transition; each run is bounded in time."""
        self._transitions.put(None)
        while self._thread.is_alive() and not self._is_over:
            self._thread.join(_JOIN_SLICE_S)
        self._thread.join(_DIES_WITHIN)
        if self._output is not None:
            os.close(self._output)
            self._output = None

    def abandon(self) -> None:
        """Ends the command that runs, and runs no more: `finish` then returns at once. Safe in a signal handler."""
        self._is_over = True
        if (process := self._process) is not None:
            _kill(process, signal.SIGKILL)

    def _run(self) -> None:
        while (delivery := self._transitions.get()) is not None:
            transition, done = delivery
            problem = "was not run: the wait was interrupted" if self._is_over else self._run_for(transition)
            if problem:
                name = clean(os.path.basename(self.words[0]))
                self._report(transition.job_name, f"--exec {name} {problem} (on {clean(transition.after)})")
            done(problem is None)

    def _run_for(self, transition: Transition) -> str | None:
        """Run the command and return what went wrong, or None."""
        try:
            self._process = process = subprocess.Popen(
                self.words,
                env=os.environ | environment_of(transition),
                stdin=subprocess.DEVNULL,
                # stdout is for results alone.
                stdout=self._output or (sys.stderr.fileno() if sys.stderr else subprocess.DEVNULL),
                stderr=self._output,
                # A group of its own: the terminal's Ctrl-C is for the wait, and what it starts can be ended with it.
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return f"could not be run: {clean(error)}"
        if self._is_over:  # since before the process was known
            _kill(process, signal.SIGKILL)
        try:
            code = process.wait(self._limit)
        except subprocess.TimeoutExpired:
            for signum in (signal.SIGTERM, signal.SIGKILL):
                _kill(process, signum)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_KILL_AFTER)
            if process.returncode is None:
                return f"has run for {self._limit:g}s and cannot be ended"
            return f"was ended after {self._limit:g}s"
        finally:
            self._process = None
        if self._is_over:
            return "was ended: the wait was interrupted"
        return f"exited with {code}" if code else None


def environment_of(transition: Transition) -> dict[str, str]:
    """What a command is told of a transition, in environment variables; what was before is empty at the first."""
    before, after = transition.before, transition.after
    values = {
        "AUTOML_JOB_NAME": transition.job_name,
        "AUTOML_JOB_ARN": transition.job_arn,
        "AUTOML_STATUS": after.status,
        "AUTOML_SECONDARY_STATUS": after.secondary_status,
        "AUTOML_PREVIOUS_STATUS": before.status if before else "",
        "AUTOML_PREVIOUS_SECONDARY_STATUS": before.secondary_status if before else "",
        "AUTOML_OBSERVED_AT": isoformat(transition.observed_at),
    }
    return {name: clean(value) for name, value in values.items()}


def _kill(process: subprocess.Popen[bytes], signum: signal.Signals) -> None:
    """Signals a command and what it started."""
    # It is gone, or it runs as somebody else by now (sudo) and is theirs to end.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signum)
