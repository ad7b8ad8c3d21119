"""A wait as the command runs it: events are reported, signals end it, and the exit code says how it ended."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from automl_waiter._engine.calls import Gateway
from automl_waiter._engine.failure_logs import LogReader
from automl_waiter._engine.kernel import Clock, Kernel
from automl_waiter._engine.watch import NOTHING_EARLIER, Earlier
from automl_waiter._model.errors import AutoMLWaiterError, InternalError, InvalidRequest, internal_error
from automl_waiter._model.events import Ended, Event, Sweep
from automl_waiter._model.exit_codes import ExitCode, combined_exit_code, exit_code_of_error
from automl_waiter._model.failure_logs import FailureLog
from automl_waiter._model.job_refs import JobRef, job_ref
from automl_waiter._model.options import WaitOptions
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.text import clean
from automl_waiter._model.tracker import Transition
from automl_waiter._model.verdicts import Part, Verdict
from automl_waiter._system.log import log_bug
from automl_waiter._system.machine import Machine
from automl_waiter._wiring import Target, wait_kernel
from automl_waiter.cli.execute import CommandRunner
from automl_waiter.cli.lines import write_line
from automl_waiter.cli.output import Reporter, ResultWriter
from automl_waiter.cli.signals import Interrupted, Interrupts
from automl_waiter.cli.watched import WatchSummary
from automl_waiter.report.several import DETAILED
from automl_waiter.waiter import events_of, read_logs

if TYPE_CHECKING:  # they load what most waits do not need
    from automl_waiter.cli.github import GitHubRun
    from automl_waiter.integrations.eventbridge import EventBridgePublisher
    from automl_waiter.journal import Entry, Journal, WatchKey


class Session:
    """The command's part of a wait: its outputs, what ends it early, and what follows it.

    Args:
        reporter: Reports to people.
        writer: Writes the results.
        interrupts: The signals.
        command: `--exec`.
        publisher: `--publish`.
        journal: `--journal`.
        subject: What stdout is in the journal, where the same subject resumes where it stopped.
        decides: Returns whether an outcome decides for all jobs.
        resume: Returns the command that resumes the wait for the jobs that may still run.
        github: The step of GitHub Actions, if this runs in one.
        logs: Connects to a failed job and its logs, for the summary; None: it shows no logs.
        machine: Runs the calls and has the clock; None: the real one.
    """

    def __init__(
        self,
        reporter: Reporter,
        writer: ResultWriter,
        interrupts: Interrupts,
        *,
        command: CommandRunner | None = None,
        publisher: EventBridgePublisher | None = None,
        journal: Journal | None = None,
        subject: Sequence[str] = (),
        decides: Callable[[Outcome], bool] = lambda _: False,
        resume: Callable[[Sequence[Outcome]], str | None] = lambda _: None,
        github: GitHubRun | None = None,
        logs: Callable[[Outcome], tuple[Gateway, LogReader]] | None = None,
        machine: Machine | None = None,
    ) -> None:
        self._reporter = reporter
        self._writer = writer
        self._interrupts = interrupts
        self._publisher = publisher
        # The publisher comes first: its `finish` has a tighter limit than the command's.
        self._others = [other for other in (publisher, command) if other is not None]
        self._journal = journal
        self._watch: WatchKey | None = None
        self._decides = decides
        self._resume = resume
        self._github = github
        self._logs = logs
        self._machine = machine or Machine()
        self._deliver: dict[str, Callable[[Transition, Callable[[bool], object]], object]] = {}
        if writer.has_transitions:
            self._deliver[_name(journal, ["stdout", *subject])] = writer.deliver
        for other in self._others:
            self._deliver[_name(journal, other.words)] = other.deliver
        # In the order of the request; a watch has none.
        self._jobs: dict[str, JobRef] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._watched = WatchSummary() if writer.is_running else None
        self._deciding: list[Outcome] = []
        self._is_written = False
        """Whether the result was written."""
        self._is_bug_reported = False

    def resume(self, region: str, name_contains: str | None) -> Earlier:
        """Return what an earlier watch left, according to the journal."""
        if self._journal is None:
            return NOTHING_EARLIER
        from automl_waiter.journal import WatchKey

        self._watch = WatchKey(region, (name_contains or "").lower())
        resumption = self._journal.resume(self._watch, self._deliver)
        refs = []
        for job in resumption.jobs:
            with suppress(InvalidRequest):  # AWS may accept an ARN that we do not
                refs.append(replace(job_ref(job.arn), name=job.name))
        return Earlier(refs, resumption.reported_to, resumption.reported)

    def run(
        self, refs: Sequence[JobRef], connect: Callable[[], Mapping[str, Target]], options: WaitOptions
    ) -> ExitCode:
        """Wait for the jobs and return the exit code: the deciding job's, otherwise the combined one."""
        self._jobs = {ref.key: ref for ref in refs}

        def begin(clock: Clock) -> Kernel:
            targets = connect().values()
            self._jobs = {target.job.key: target.job for target in targets}
            return wait_kernel(targets, options, clock)

        return self.follow(begin)

    def follow(self, begin: Callable[[Clock], Kernel]) -> ExitCode:
        """Report events until the kernel ends or a signal arrives, and return the exit code. `begin` connects."""
        machine, is_begun = self._machine, False
        received: list[int] = []

        def end(signum: int) -> None:
            received.append(signum)
            if not is_begun:
                raise Interrupted(signum)  # the SDK is still loading, which takes too long to wait for
            machine.interrupt(signum)
            for other in self._others:
                other.abandon()

        try:
            # Until the last line of the result: a signal after the jobs have ended changes no output.
            with self._interrupts.ending(end):
                if self._journal is not None:
                    self._journal.open()
                kernel = begin(machine)
                is_begun = True
                if received:
                    raise Interrupted(received[0])  # it was raised where Python ignores exceptions: in a finalizer
                with closing(events_of(kernel, machine, self._report, decides=self._decide)) as events:
                    for _ in events:
                        if self._writer.is_running and not self._others and not self._writer.has_reader:
                            return ExitCode.OK  # as in `watch | head`: nobody gets what follows
                return self._finish(received[0] if received else None)
        except Interrupted as interrupted:
            return self._finish(interrupted.signal)
        except AutoMLWaiterError as error:
            if is_begun:
                self._finish_by(error)
            raise
        except Exception as error:
            if isinstance(error, click.ClickException) or (isinstance(error, OSError) and not is_begun):
                raise  # about what the user gave
            problem = internal_error(error)
            log_bug(problem)
            self._finish_by(problem)
            raise problem from error
        finally:
            self._reporter.close()
            if self._journal is not None:
                self._journal.close()

    def _decide(self, outcome: Outcome) -> bool:
        if self._decides(outcome):
            self._deciding.append(outcome)
        return bool(self._deciding)

    def _report(self, event: Event) -> None:
        if self._writer.is_running and isinstance(event, Ended) and event.outcome.verdict is Verdict.CANCELLED:
            return  # a job that nobody watches any more has no outcome to report
        self._show(event)
        match event:
            case Transition():
                self._hand_out(event)
            case Ended(outcome=outcome):
                if self._publisher is not None:
                    self._publisher.end(outcome)
                # A watch may last for weeks, and needs only the exit codes.
                is_kept = not self._writer.is_running or self._writer.keeps_outcomes or self._github is not None
                self._outcomes[outcome.job] = outcome if is_kept else replace(outcome, snapshot=None, transitions=())
                self._writer.write_event(event)
                if self._journal is not None:
                    self._journal.record_outcome(outcome)
            case _:
                self._writer.write_event(event)
                if self._journal is not None:
                    self._journal.flush()
                    if isinstance(event, Sweep) and event.reported_to is not None and self._watch is not None:
                        self._journal.reported(self._watch, event.account or "", event.reported_to, self._deliver)

    def _show(self, event: Event) -> None:
        """Show an event to people. A bug there is reported once, and does not end the wait."""
        try:
            self._reporter.report(event)
            if self._watched is not None:
                self._watched.take(event)
            if self._github is not None:
                self._github.report(event)
        except Exception as error:
            self._report_bug(internal_error(error))
        if isinstance(event, Ended) and isinstance(event.outcome.error, InternalError):
            log_bug(event.outcome.error)

    def _report_bug(self, bug: InternalError) -> None:
        log_bug(bug)
        if not self._is_bug_reported:
            self._is_bug_reported = True
            write_line(sys.stderr, f"automl-waiter: {clean(bug)}")

    def _hand_out(self, transition: Transition) -> None:
        """Hand a transition to its subscribers; with a journal, all deliveries that are due for the job."""
        if self._journal is None:
            for deliver in self._deliver.values():
                deliver(transition, lambda _: None)
            return
        for entry in self._journal.record(transition, self._deliver):
            for name in entry.subscribers:
                self._deliver[name](entry.transition, partial(self._settle, self._journal, entry, name))

    @staticmethod
    def _settle(journal: Journal, entry: Entry, subscriber: str, is_taken: bool) -> None:
        (journal.acknowledge if is_taken else journal.release)(entry, subscriber)

    def _finish(self, signal: int | None, error: AutoMLWaiterError | None = None) -> ExitCode:
        """Report the outcomes and return the exit code; `error` is what ended a watch."""
        if signal is not None:
            for key, ref in self._jobs.items():
                if key not in self._outcomes:
                    self._report(_not_begun(ref, signal))
        outcomes = [self._outcomes[key] for key in self._jobs or self._outcomes]
        if error is not None:
            code = exit_code_of_error(error)
        elif signal is not None and self._writer.is_running:
            code = ExitCode(128 + signal)
        else:
            code = combined_exit_code(outcome.exit_code for outcome in self._deciding[:1] or outcomes)
        logs = self._failure_logs(outcomes) if signal is None else {}
        self._reporter.close(bell=signal is None)
        for line in self._watched.lines() if self._watched is not None else ():
            self._reporter.note("watch", line)
        if not self._is_written:
            self._writer.finish(outcomes, code, logs)
            self._is_written = True
        if self._github is not None:
            self._github.finish(outcomes, code, logs)
        resume = self._resume(outcomes)
        if resume is not None:
            self._reporter.note("resume", f"to resume: {resume}", level=logging.WARNING)
        for other in self._others:
            other.finish()
        self._reporter.finish()
        return code

    def _finish_by(self, error: AutoMLWaiterError) -> None:
        """Report the outcomes after an error that ended the wait for all jobs: the others end with it."""
        code = exit_code_of_error(error)
        for key, ref in self._jobs.items():
            if key not in self._outcomes:
                own = type(error)(str(error), code=error.code)  # an error carries the outcome of its job
                outcome = Outcome(job=key, job_name=ref.name, verdict=Verdict.ERROR, exit_code=code, error=own)
                self._outcomes[key] = outcome
        try:
            self._finish(None, error)
        except Exception as bug:
            self._report_bug(internal_error(bug))
            if not self._is_written:  # the bug may be about a response
                outcomes = [replace(outcome, snapshot=None, transitions=()) for outcome in self._outcomes.values()]
                self._writer.finish(outcomes, code)

    def _failure_logs(self, outcomes: Sequence[Outcome]) -> Mapping[str, Sequence[FailureLog]]:
        """Return the logs of a few jobs that failed or have no best candidate; a signal ends the reading."""
        failed = [
            outcome
            for outcome in outcomes
            if outcome.verdict is Verdict.FAILED or Part.BEST_CANDIDATE in outcome.shortfalls
        ][:DETAILED]
        if self._logs is None or not failed:
            return {}
        try:
            with self._interrupts.ending():
                return read_logs(failed, self._logs)
        except Interrupted:
            return {}


def _name(journal: Journal | None, words: Sequence[str]) -> str:
    """Return a subscriber's name in the journal: the same words resume where they stopped."""
    if journal is None:
        return words[0]
    from automl_waiter.journal import subscriber_of

    return subscriber_of(words)


def _not_begun(ref: JobRef, signal: int) -> Ended:
    code = ExitCode(128 + signal)
    outcome = Outcome(job=ref.key, job_name=ref.name, verdict=Verdict.CANCELLED, exit_code=code)
    return Ended(ref.name, datetime.now(UTC), outcome)
