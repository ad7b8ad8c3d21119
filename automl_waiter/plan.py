"""The wait of one job as a generator: it says what to do next, and somebody else does it.

`wait_plan` yields `Describe`, `FindNames`, `Stop`, `Sleep` and events, and returns the `Outcome`. Whoever
drives it answers each call (`Describe`, `FindNames`, `Stop`) with an `Answer`, and anything else with None;
throwing `Cancelled` into it ends the wait with what is known so far. Nothing here sleeps, reads a clock or
calls AWS: the times come with the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from automl_waiter.conditions import Condition, condition
from automl_waiter.errors import (
    AutoMLWaiterError,
    Cancelled,
    InvalidRequest,
    JobNotFound,
    JobReplaced,
    ServiceUnavailable,
)
from automl_waiter.events import Ended, Event, Notice, Poll, StopRequested, Warned
from automl_waiter.jobs import JobRef
from automl_waiter.outcome import (
    DEFAULT_REQUIREMENT,
    EXPLANATIONS,
    ExitCode,
    Outcome,
    Part,
    Verdict,
    exit_code_of,
    required_parts,
    shortfalls_of,
)
from automl_waiter.polling import PollContext, PollPolicy, poll_policy
from automl_waiter.snapshot import Snapshot
from automl_waiter.statuses import Status
from automl_waiter.text import clean, format_duration, seconds_of
from automl_waiter.tracker import Tracker

NOT_FOUND_GRACE = 10.0
"""Seconds for which a name that is not found is looked for again: AWS does not promise read-after-create."""

_GRACE_POLL = 2.0
_STOP_TIMEOUT = 600.0
_STOPPING_POLL = 10.0
_AUTO_MARGIN = 1800.0
_AUTO_WITHOUT_LIMIT = 72 * 3600.0
# A look this near to the deadline is made at the deadline instead of twice.
_MERGE_WITH_DEADLINE = 2.0
_MOST_SLOWDOWN = 8.0


@dataclass(frozen=True)
class Describe:
    """Describe the job; no attempt begins after `deadline` (on the clock of the answers)."""

    job_name: str
    deadline: float | None
    operation: str = "DescribeAutoMLJobV2"


@dataclass(frozen=True)
class FindNames:
    """List names of jobs that are like the one that was not found."""

    job_name: str
    operation: str = "ListAutoMLJobs"


@dataclass(frozen=True)
class Stop:
    """Stop the job; no attempt begins after `deadline`."""

    job_name: str
    deadline: float
    operation: str = "StopAutoMLJob"


@dataclass(frozen=True)
class Sleep:
    """Do nothing until the clock shows `until`."""

    until: float


@dataclass(frozen=True)
class Answer:
    """What came of a call, its retries included: a response, or the error that ended it.

    Attributes:
        started: When the attempt that gave it began, on the shell's monotonic clock (seconds).
        finished: When it was over, on the same clock.
        at: The same, as an instant (UTC).
        response: What was answered: a mapping, a list of names, or None.
        error: What ended the call instead.
        served_at: The service's own clock, where the response told it (UTC).
        retries: How many failed attempts came before.
        throttled: Whether one of them was throttled.
    """

    started: float
    finished: float
    at: datetime
    response: Any = None
    error: AutoMLWaiterError | None = None
    served_at: datetime | None = None
    retries: int = 0
    throttled: bool = False


Call = Describe | FindNames | Stop
Action = Call | Sleep | Event
Plan = Generator[Action, Any, Outcome]
StopOn = Literal["until", "timeout"]


@dataclass(frozen=True, kw_only=True)
class WaitOptions:
    """What is asked of a wait, checked. `timeout` is in seconds, "auto" or None; `wait_options` makes one."""

    timeout: float | Literal["auto"] | None = None
    poll: PollPolicy = field(default_factory=lambda: poll_policy(None))
    until: Condition | None = None
    required: frozenset[Part] = frozenset(DEFAULT_REQUIREMENT)
    stop_on: frozenset[StopOn] = frozenset()
    error_budget: float = 900.0
    grace: float = NOT_FOUND_GRACE
    once: bool = False
    """Look once, and say how the job is: neither grace nor a second look."""


def wait_options(
    *,
    timeout: float | timedelta | Literal["auto"] | None = None,
    poll: PollPolicy | float | timedelta | None = None,
    until: str | Condition | None = None,
    require: str | Iterable[str] = DEFAULT_REQUIREMENT,
    stop_on: str | Iterable[str] = (),
    error_budget: float | timedelta = 900.0,
) -> WaitOptions:
    """The options of `wait_for`, checked.

    Raises:
        InvalidRequest: One of them makes no sense.
    """
    stops: list[StopOn] = []
    for stop in [stop_on] if isinstance(stop_on, str) else stop_on:
        match stop:
            case "until" | "timeout":
                stops.append(stop)
            case _:
                raise InvalidRequest(f"stop_on is until or timeout, not {clean(stop)!r}")
    if "until" in stops and until is None:
        raise InvalidRequest("stop_on until needs an until condition")
    if "timeout" in stops and timeout is None:
        raise InvalidRequest("stop_on timeout needs a timeout")
    return WaitOptions(
        timeout=_timeout(timeout),
        poll=poll_policy(poll),
        until=condition(until),
        required=required_parts(require),
        stop_on=frozenset(stops),
        error_budget=_not_negative("error_budget", error_budget),
    )


def _timeout(timeout: float | timedelta | str | None) -> float | Literal["auto"] | None:
    if timeout is None or timeout == "auto":
        return "auto" if timeout else None
    if isinstance(timeout, str):
        raise InvalidRequest(f"a timeout is seconds, a timedelta, auto or None, not {clean(timeout)!r}")
    return _not_negative("timeout", timeout)


def _not_negative(what: str, duration: float | timedelta) -> float:
    seconds = seconds_of(duration)
    if not seconds >= 0:
        raise InvalidRequest(f"{what} is not a negative number of seconds, as {seconds} is")
    return seconds


def wait_plan(
    job: JobRef, options: WaitOptions, *, started: float, random: Callable[[], float], first_look: float | None = None
) -> Plan:
    """The plan of one wait, which began when the clock showed `started`; it looks at once, or at `first_look`."""
    return _Wait(job, options, started, random).run(first_look)


class _Wait:
    """The state of one wait. Its generators are the plan; each that returns an Outcome has ended it."""

    def __init__(self, job: JobRef, options: WaitOptions, started: float, random: Callable[[], float]) -> None:
        self.job = job
        self.options = options
        self.started = started
        self.random = random
        self.tracker = Tracker(job)
        self.deadline: float | None = None
        if isinstance(options.timeout, float | int):
            self.deadline = started + options.timeout
        self.now = started
        self.at = datetime.min
        self.polls = 0
        self.retries = 0
        self.slowdown = 1.0
        self.stop_cause: StopOn | None = None
        self.stop_error: AutoMLWaiterError | None = None
        self.told_of_grace = False
        self.age = 0.0
        """The job's age at `self.now`, in seconds."""
        self.phase_since = started

    def run(self, first_look: float | None) -> Plan:
        try:
            if first_look is not None:
                yield Sleep(self._clamp(first_look))
            outcome = yield from self._look_until_decided()
        except Cancelled as cancelled:
            outcome = self._cancelled(cancelled)
        missing = [part for part in outcome.shortfalls if part not in self.options.required]
        for part in missing:
            yield self._warned(f"{EXPLANATIONS[part]} (not required)")
        yield Ended(outcome.job_name, self.at, outcome)
        return outcome

    def _look_until_decided(self) -> Plan:
        while True:
            answer = yield Describe(self.job.name, self.deadline)
            self._take_times(answer)
            self.polls += 1
            outcome = yield from (self._failed(answer) if answer.error else self._seen(answer))
            if outcome is not None:
                return outcome

    # A look that failed

    def _failed(self, answer: Answer) -> Generator[Action, Any, Outcome | None]:
        error = answer.error
        is_late = self.deadline is not None and answer.finished >= self.deadline
        if isinstance(error, JobNotFound):
            grace_ends = self.started + self.options.grace
            if self.tracker.snapshot is None and answer.finished < grace_ends and not is_late and not self.options.once:
                if not self.told_of_grace:
                    self.told_of_grace = True
                    yield self._notice(f"not found yet; looking again for {format_duration(self.options.grace)}")
                yield Sleep(self._clamp(min(answer.finished + _GRACE_POLL, grace_ends)))
                return None
            return (yield from self._not_found(error))
        if isinstance(error, ServiceUnavailable) and is_late:
            return (yield from self._late(error))
        return self._conclude(Verdict.ERROR, error=error)

    def _not_found(self, error: JobNotFound) -> Plan:
        if self.tracker.snapshot is not None:
            return self._conclude(
                Verdict.NOT_FOUND, error=JobNotFound(f"{error}; it was there before", code=error.code)
            )
        names = yield FindNames(self.job.name)
        self._take_times(names)
        alike = f"; there is {', '.join(map(clean, names.response))}" if names.response else ""
        return self._conclude(Verdict.NOT_FOUND, error=JobNotFound(f"{error}{alike}", code=error.code))

    # A look that told something

    def _seen(self, answer: Answer) -> Generator[Action, Any, Outcome | None]:
        snapshot = Snapshot(answer.response)
        first = self.tracker.snapshot is None
        try:
            sighting = self.tracker.observe(snapshot, answer.at)
        except JobReplaced as error:
            return self._conclude(Verdict.REPLACED, error=error)
        self._take_ages(snapshot, answer, first=first, changed=sighting.transition is not None)
        if sighting.transition:
            yield sighting.transition
        yield from sighting.anomalies
        if first and self.options.timeout == "auto":
            yield from self._set_auto_deadline(snapshot)
        outcome = yield from self._decide(snapshot, sighting.is_terminal, answer.started)
        if outcome is None:
            next_look = answer.started + self._delay(snapshot)
            yield Poll(snapshot.name, answer.at, snapshot.state, self.polls, max(0.0, next_look - answer.finished))
            yield Sleep(self._clamp(next_look))
        return outcome

    def _decide(self, snapshot: Snapshot, is_terminal: bool, started: float) -> Generator[Action, Any, Outcome | None]:
        until = self.options.until
        if until is not None and self.stop_cause != "until" and until(snapshot):
            if is_terminal or "until" not in self.options.stop_on:
                return self._conclude(Verdict.CONDITION_MET)
            yield from self._stop("until")
            return self._conclude(Verdict.CONDITION_MET, error=self.stop_error) if self.stop_error else None
        if is_terminal:
            return self._conclude(self._verdict_of_end(snapshot))
        if self.options.once:
            return self._conclude(Verdict.IN_PROGRESS)
        if self.deadline is not None and started >= self.deadline:
            return (yield from self._late(None))
        return None

    def _verdict_of_end(self, snapshot: Snapshot) -> Verdict:
        match snapshot.status:
            case Status.FAILED:
                return Verdict.FAILED
            case Status.STOPPED:
                by_us = {"until": Verdict.CONDITION_MET, "timeout": Verdict.TIMED_OUT, None: Verdict.STOPPED}
                return by_us[self.stop_cause]
            case _:
                if self.options.until is not None and self.stop_cause != "until":
                    return Verdict.CONDITION_NOT_MET
                return Verdict.DEGRADED if shortfalls_of(snapshot) else Verdict.COMPLETED

    # The deadline

    def _late(self, error: AutoMLWaiterError | None) -> Generator[Action, Any, Outcome | None]:
        """The deadline has passed and the job has not ended: stop it, if that was asked for, or give up."""
        if self.stop_cause is not None:
            yield self._warned(f"the job has not stopped within {format_duration(_STOP_TIMEOUT)}")
            verdict = Verdict.CONDITION_MET if self.stop_cause == "until" else Verdict.TIMED_OUT
            return self._conclude(verdict, error=error)
        if "timeout" in self.options.stop_on:
            yield from self._stop("timeout")
            if self.stop_error is None:
                return None
            error = self.stop_error
        return self._conclude(Verdict.TIMED_OUT, error=error)

    def _stop(self, cause: StopOn) -> Generator[Action, Any, None]:
        self.stop_cause = cause
        self.deadline = self.now + _STOP_TIMEOUT
        answer = yield Stop(self.job.name, self.deadline)
        self._take_times(answer)
        self.stop_error = answer.error
        if answer.error:
            yield self._warned(f"the job could not be stopped and goes on: {answer.error}")
        else:
            yield StopRequested(self._name(), answer.at, cause)

    def _set_auto_deadline(self, snapshot: Snapshot) -> Generator[Action, Any, None]:
        limit = snapshot.completion_criteria.max_runtime_seconds
        if limit is None:
            left = self.started + _AUTO_WITHOUT_LIMIT - self.now
            words = "the job names no limit to its runtime"
        else:
            left = limit + _AUTO_MARGIN - self.age
            words = f"the job's limit is {format_duration(limit)}, and 30m are added"
        self.deadline = self.now + left
        yield self._notice(f"the timeout is in {format_duration(max(0.0, left))}: {words}")

    def _clamp(self, until: float) -> float:
        """Never past the deadline; a look just before it is made at it."""
        if self.deadline is None:
            return until
        gap = min(_MERGE_WITH_DEADLINE, until - self.now)
        return self.deadline if until > self.deadline - gap else until

    # Times

    def _take_times(self, answer: Answer) -> None:
        self.age += answer.finished - self.now
        self.now, self.at = answer.finished, answer.at
        self.retries += answer.retries
        # Multiplicative slowdown on throttling, gradual recovery.
        self.slowdown = min(_MOST_SLOWDOWN, self.slowdown * 2) if answer.throttled else max(1.0, self.slowdown * 0.9)

    def _take_ages(self, snapshot: Snapshot, answer: Answer, *, first: bool, changed: bool) -> None:
        # The service's own clock is preferred: the machine's may be wrong, and then the job's age would be.
        clock = answer.served_at or answer.at
        if first:
            self.age = max(0.0, (clock - snapshot.created_at).total_seconds())
        if changed:
            # LastModifiedTime moves within a phase too, so the phase is at least this old.
            self.phase_since = self.now - max(0.0, (clock - snapshot.last_modified_at).total_seconds())

    def _delay(self, snapshot: Snapshot) -> float:
        context = PollContext(
            snapshot=snapshot,
            polls=self.polls,
            elapsed=self.age,
            phase_age=self.now - self.phase_since,
            time_left=None if self.deadline is None else self.deadline - self.now,
            slowdown=self.slowdown,
            random=self.random,
        )
        delay = self.options.poll.next_delay(context)
        if not 0 < delay < float("inf"):
            policy = type(self.options.poll).__name__
            raise ValueError(f"{policy}.next_delay returned {delay!r}: it must be a positive number of seconds")
        # A job that was told to stop is near its end, whatever its status says yet.
        return min(delay, _STOPPING_POLL) if self.stop_cause else delay

    # The end

    def _cancelled(self, cancelled: Cancelled) -> Outcome:
        self.now, self.at = cancelled.now, cancelled.at
        if cancelled.decided:
            return self._conclude(Verdict.IN_PROGRESS)
        return self._conclude(Verdict.CANCELLED, code=ExitCode(128 + cancelled.signal) if cancelled.signal else None)

    def _conclude(
        self, verdict: Verdict, *, error: AutoMLWaiterError | None = None, code: ExitCode | None = None
    ) -> Outcome:
        snapshot = self.tracker.snapshot
        shortfalls = shortfalls_of(snapshot) if snapshot else ()
        if code is None:
            code = exit_code_of(verdict, shortfalls=shortfalls, required=self.options.required, error=error)
        return Outcome(
            job=self.job.key,
            job_name=self._name(),
            verdict=verdict,
            exit_code=code,
            snapshot=snapshot,
            transitions=tuple(self.tracker.transitions),
            shortfalls=shortfalls,
            polls=self.polls,
            retries=self.retries,
            waited=self.now - self.started,
            error=error,
        )

    def _name(self) -> str:
        return self.tracker.snapshot.name if self.tracker.snapshot else self.job.name

    def _warned(self, message: str) -> Warned:
        return Warned(self._name(), self.at, message)

    def _notice(self, message: str) -> Notice:
        return Notice(self._name(), self.at, message)
