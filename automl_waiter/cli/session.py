"""A wait as the command makes it: everything is reported, signals end it, and the exit code says how it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from automl_waiter.cli.execute import CommandRunner
from automl_waiter.cli.output import Reporter, ResultWriter
from automl_waiter.cli.signals import Interrupted, Interrupts
from automl_waiter.events import Ended, Event
from automl_waiter.gateway import Gateway
from automl_waiter.jobs import JobRef
from automl_waiter.machine import Machine
from automl_waiter.options import WaitOptions
from automl_waiter.outcome import ExitCode, Outcome, Verdict, combined_exit_code
from automl_waiter.waiter import EventLoop


class Session:
    """What the command brings to a wait: where it reports, what ends it early, and what comes after it.

    Args:
        reporter: Tells people.
        writer: Writes the results.
        interrupts: The signals.
        command: `--exec`.
        decides: Whether an outcome decides for all jobs.
        resume: The command that waits on for the jobs that may still run.
    """

    def __init__(
        self,
        reporter: Reporter,
        writer: ResultWriter,
        interrupts: Interrupts,
        *,
        command: CommandRunner | None = None,
        decides: Callable[[Outcome], bool] = lambda _: False,
        resume: Callable[[Sequence[Outcome]], str | None] = lambda _: None,
    ) -> None:
        self._reporter = reporter
        self._writer = writer
        self._interrupts = interrupts
        self._command = command
        self._decides = decides
        self._resume = resume
        self._outcomes: dict[str, Outcome] = {}

    def run(self, refs: Sequence[JobRef], connect: Callable[[], Sequence[Gateway]], options: WaitOptions) -> ExitCode:
        """Waits for the jobs and returns the exit code: the deciding job's, else all jobs' together."""
        deciding: list[Outcome] = []

        def decide(outcome: Outcome) -> bool:
            if self._decides(outcome):
                deciding.append(outcome)
            return bool(deciding)

        machine, is_begun = Machine(), False
        received: list[int] = []

        def end(signum: int) -> None:
            received.append(signum)
            if not is_begun:
                raise Interrupted(signum)  # the SDK is being loaded, which takes too long to be waited for
            machine.interrupt(signum)
            if self._command is not None:
                self._command.abandon()

        try:
            # To the last line of the result: a signal after the jobs have ended changes nothing of what is said.
            with self._interrupts.ending(end):
                gateways = connect()
                is_begun = True
                if received:
                    raise Interrupted(received[0])  # it was raised where Python ignores exceptions: in a finalizer
                for event in EventLoop(refs, gateways, options, machine).run(decide):
                    self._tell(event)
                return self._finish(refs, deciding)
        except Interrupted as interrupted:
            for ref in refs:
                self._tell(_not_begun(ref, interrupted.signal))
            return self._finish(refs, deciding)
        finally:
            machine.close()

    def _tell(self, event: Event) -> None:
        self._reporter.tell(event)
        self._writer.tell(event)
        if self._command is not None:
            self._command.tell(event)
        if isinstance(event, Ended):
            self._outcomes[event.outcome.job] = event.outcome

    def _finish(self, refs: Sequence[JobRef], deciding: Sequence[Outcome]) -> ExitCode:
        outcomes = [self._outcomes[ref.key] for ref in refs]
        code = deciding[0].exit_code if deciding else combined_exit_code(outcome.exit_code for outcome in outcomes)
        self._writer.finish(outcomes, code)
        resume = self._resume(outcomes)
        if resume is not None:
            self._reporter.note("resume", f"to wait on: {resume}", level=logging.WARNING)
        if self._command is not None:
            self._command.finish()
        return code


def _not_begun(ref: JobRef, signal: int) -> Ended:
    """The end of a wait that a signal found before its first look."""
    code = ExitCode(128 + signal)
    outcome = Outcome(job=ref.key, job_name=ref.name, verdict=Verdict.CANCELLED, exit_code=code)
    return Ended(ref.name, datetime.now(UTC), outcome)
