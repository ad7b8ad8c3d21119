"""`--exec`: the user's command, run on each transition, one at a time and in order, without a shell."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

import click

from automl_waiter._model.text import clean, isoformat
from automl_waiter._model.tracker import Transition
from automl_waiter._system.file_lock import FileLock
from automl_waiter._system.portable import PIPELINE, end_group, kill_group, split_command, start_group

COMMAND_LIMIT = 60.0
"""Seconds after which a command is killed."""

_KILL_AFTER = 2.0
# A killed process is gone at once, or this user may not kill it.
_DIES_WITHIN = 0.2
_JOIN_SLICE_S = 0.05
_LOCK_SLICE_S = 0.05


def command_words(text: str) -> list[str]:
    """Return the words of a command, split as a shell splits them.

    Raises:
        click.BadParameter: There are no words, a quote is not closed, or there is no such program.
    """
    try:
        words = split_command(text)
    except ValueError as error:
        raise click.BadParameter(f"{clean(text)!r}: {str(error).lower()}", param_hint="--exec") from None
    if not words:
        raise click.BadParameter("the command is empty", param_hint="--exec")
    if shutil.which(words[0]) is None:
        problem = f"{clean(words[0])!r} does not exist or is not executable; for a pipeline write {PIPELINE}"
        raise click.BadParameter(problem, param_hint="--exec")
    return words


class CommandRunner:
    """Run a command for each transition, in a thread of its own: a command that hangs does not delay the wait.

    Args:
        words: The command.
        report: Called with the job's name and each problem.
        limit: Seconds after which a command is killed.
        lock_of: Returns the lock of the command and a transition. A command that outlives this process keeps it, and
            the next process waits for it before it runs the command again.
        output: The file descriptor for the command's output, which `finish` closes; None: stderr's.
    """

    def __init__(
        self,
        words: list[str],
        report: Callable[[str, str], None],
        *,
        limit: float = COMMAND_LIMIT,
        lock_of: Callable[[Sequence[str], Transition], FileLock] | None = None,
        output: int | None = None,
    ) -> None:
        self.words = words
        self._output = output
        self._report = report
        self._limit = limit
        self._lock_of = lock_of
        self._transitions: queue.SimpleQueue[tuple[Transition, Callable[[bool], object]] | None] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_abandoned = False
        self._thread = threading.Thread(target=self._run, name="automl-waiter-exec", daemon=True)
        self._thread.start()

    def deliver(self, transition: Transition, done: Callable[[bool], object] = lambda _: None) -> None:
        """Run the command for a transition, after the earlier ones; call `done` with whether it exited with 0."""
        self._transitions.put((transition, done))

    def finish(self) -> None:
        """Wait until the command has run for every transition; each run has a time limit."""
        self._transitions.put(None)
        while self._thread.is_alive() and not self._is_abandoned:
            self._thread.join(_JOIN_SLICE_S)
        self._thread.join(_DIES_WITHIN)
        if self._output is not None:
            os.close(self._output)
            self._output = None

    def abandon(self) -> None:
        """Kill the running command, and run no more: `finish` then returns at once. Safe in a signal handler."""
        self._is_abandoned = True
        if (process := self._process) is not None:
            kill_group(process)

    def _run(self) -> None:
        while (delivery := self._transitions.get()) is not None:
            transition, done = delivery
            problem = self._run_alone(transition)
            if problem:
                name = clean(os.path.basename(self.words[0]))
                self._report(transition.job_name, f"--exec {name} {problem} (on {clean(transition.after)})")
            done(problem is None)

    def _run_alone(self, transition: Transition) -> str | None:
        """Run the command, unless it still runs for this transition; return what went wrong, or None."""
        lock = self._lock_of and self._lock_of(self.words, transition)
        # What a killed process started has had its time by then.
        until = time.monotonic() + self._limit
        with contextlib.suppress(OSError):  # no lock is better than no command
            while lock and not self._is_abandoned and not lock.acquire() and time.monotonic() < until:
                time.sleep(_LOCK_SLICE_S)
        try:
            if self._is_abandoned:
                return "did not run: the wait was interrupted"
            return self._run_for(transition, lock.descriptors if lock else ())
        finally:
            if lock:
                lock.release()

    def _run_for(self, transition: Transition, descriptors: Sequence[int]) -> str | None:
        """Run the command and return what went wrong, or None; it inherits the descriptors."""
        try:
            # Ctrl-C in the terminal reaches only the wait, and the command's children can be killed with it.
            self._process = process = start_group(
                self.words,
                env=os.environ | environment_of(transition),
                stdin=subprocess.DEVNULL,
                # stdout is for results only.
                stdout=self._output or (sys.stderr.fileno() if sys.stderr else subprocess.DEVNULL),
                stderr=self._output if sys.stderr else subprocess.DEVNULL,
                pass_fds=descriptors,
            )
        except (OSError, ValueError) as error:
            return f"could not be run: {clean(error)}"
        if self._is_abandoned:  # abandoned before the process was known
            kill_group(process)
        try:
            code = process.wait(self._limit)
        except subprocess.TimeoutExpired:
            for end in (end_group, kill_group):
                end(process)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_KILL_AFTER)
            if process.returncode is None:
                return f"has run for {self._limit:g}s and cannot be killed"
            return f"was killed after {self._limit:g}s"
        finally:
            self._process = None
        if self._is_abandoned:
            return "was killed: the wait was interrupted"
        return f"exited with {code}" if code else None


def environment_of(transition: Transition) -> dict[str, str]:
    """Return the environment variables that describe a transition; its first has no previous statuses."""
    before, after = transition.before, transition.after
    values = {
        "AUTOML_JOB_NAME": transition.job_name,
        "AUTOML_JOB_ARN": transition.job_arn,
        "AUTOML_STATUS": after.status,
        "AUTOML_SECONDARY_STATUS": after.secondary_status,
        "AUTOML_PREVIOUS_STATUS": before.status if before else "",
        "AUTOML_PREVIOUS_SECONDARY_STATUS": before.secondary_status if before else "",
        "AUTOML_OBSERVED_AT": isoformat(transition.observed_at),
        "AUTOML_TRANSITION_ID": transition.id,
    }
    return {name: clean(value) for name, value in values.items()}
