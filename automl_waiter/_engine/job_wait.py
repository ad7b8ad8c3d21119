"""The wait of one job as a generator: it says what to do next, and somebody else does it.

`wait_plan` yields actions (`actions.py`) and events, and returns the `Outcome`; throwing `Cancelled` into it ends the
wait with what is known so far. Nothing here sleeps, reads a clock or calls AWS: the times come with the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import datetime
from typing import Any

from automl_waiter._engine.calls import (
    OVERSLEPT,
    WAKING,
    Action,
    Answer,
    Describe,
    FindNames,
    Follow,
    Member,
    Plan,
    Sleep,
    Stop,
    Woken,
)
from automl_waiter._engine.candidate_pages import Reading, read_candidates
from automl_waiter._model.errors import AutoMLWaiterError, Cancelled, JobNotFound, JobReplaced
from automl_waiter._model.events import Candidates, Ended, Heartbeat, Notice, Poll, StopRequested, Warned
from automl_waiter._model.job_refs import JobRef
from automl_waiter._model.options import StopCause, WaitOptions
from automl_waiter._model.outcome import Outcome, shortfalls_of, verdict_of
from automl_waiter._model.polling import PollContext
from automl_waiter._model.snapshot import Candidate, Snapshot
from automl_waiter._model.statuses import Stage, State, Status, stage_of
from automl_waiter._model.text import clean, format_duration, isoformat
from automl_waiter._model.tracker import Tracker
from automl_waiter._model.verdicts import EXPLANATIONS, ExitCode, Verdict, exit_code_of

_GRACE_POLL = 2.0
_STOP_TIMEOUT = 600.0
_STOPPING_POLL = 10.0
_AUTO_MARGIN = 1800.0
_AUTO_WITHOUT_LIMIT = 72 * 3600.0
# A look this near to the deadline is made at the deadline instead of twice.
_MERGE_WITH_DEADLINE = 2.0
# The last look of a listing is at the deadline too, and its news come a moment later.
_NEWS_OVERTIME = 0.6
# CI systems end a step that is silent for some minutes (CircleCI after ten), and people wonder sooner.
HEARTBEAT = 240.0
CANDIDATES_EVERY = 120.0
"""Seconds from one listing of the candidates to the next: each takes minutes to train."""
# A page of candidates that hangs is left so long before the next look.
_READING = 1.0
# Candidates that cannot be listed are asked for ever more rarely, and a wait for one says so the third time.
_LONGEST_PAUSE = 1800.0
_TELLING = 3
# From a signal until the job is told to stop, its retries included: a CI system soon kills what does not leave.
_INTERRUPT_STOP = 4.0

STALLED_AFTER = dict.fromkeys(Stage, 3600.0) | dict.fromkeys((Stage.PREPARING, Stage.TRAINING), 6 * 3600.0)
"""Seconds without any change (statuses, LastModifiedTime) after which a phase is called stalled.

Over 3 times the longest training phase that is recorded (102 min), and over 6 times the longest report phase (9 min).
"""


def wait_plan(
    job: JobRef,
    options: WaitOptions,
    *,
    started: float,
    random: Callable[[], float],
    member: Member | None = None,
    credentials_expire_at: datetime | None = None,
) -> Plan:
    """The plan of one wait.

    Args:
        job: Which job.
        options: What is asked of the wait.
        started: What the shell's clock showed when it began (seconds).
        random: Gives the next random number, uniform in [0, 1).
        member: The job in a listing that is read for many; None: the job is described alone.
        credentials_expire_at: When they are known to (UTC); the wait warns, if that is before its deadline.
    """
    return _Wait(job, options, started, random, member, credentials_expire_at).run()


class _Wait:
    """The state of one wait. Its generators are the plan; each that returns an Outcome has ended it."""

    def __init__(
        self,
        job: JobRef,
        options: WaitOptions,
        started: float,
        random: Callable[[], float],
        member: Member | None,
        credentials_expire_at: datetime | None,
    ) -> None:
        self.job = job
        self.options = options
        self.started = started
        self.random = random
        self.member = member
        self.credentials_expire_at = credentials_expire_at
        self.tracker = Tracker(job)
        self.deadline: float | None = None
        if isinstance(options.timeout, float | int):
            self.deadline = started + options.timeout
        self.now = started
        self.at = datetime.min
        self.polls = 0
        self.retries = 0
        self.slowdown = 1.0
        self.stop_cause: StopCause | None = None
        self.stop_error: AutoMLWaiterError | None = None
        self.is_told_to_stop = False
        self.grace_ends: float | None = None
        """When a name that is not found counts as absent: some seconds after it was first looked for."""
        self.seen: float | None = None
        """When the job was last seen, on the shell's clock."""
        self.condition_was_listed = False
        """Whether `until` held in the listing, so that it holds, however the job goes on until it is described."""
        self.is_listing_wrong = False
        """Whether the listing has shown an end that was none: then it is not followed any more."""
        self.listed_end: tuple[Snapshot, datetime] | None = None
        """The end that the listing has shown, and when."""
        self.has_woken_late = False
        self.told_at = started
        """When the wait last showed a sign of life."""
        self.candidates_at: float | None = None
        """When to list the candidates next; None: not any more, or not yet."""
        if options.candidates_every is not None or options.is_for_a_candidate:
            self.candidates_at = started
        self.listed_candidate: Candidate | None = None
        self.reading: Reading | None = None
        """The candidates that were read so far, if there are more pages."""
        self.failed_readings = 0
        self.age = 0.0
        """The job's age at `self.now`, in seconds."""
        self.phase_since = started
        self.unchanged_since = started
        self.stalled: set[State] = set()

    def run(self) -> Plan:
        try:
            outcome = yield from self._look_until_decided()
        except Cancelled as cancelled:
            outcome = yield from self._cancelled(cancelled)
        if self.member is not None:
            self.member.is_over = True
        missing = [part for part in outcome.shortfalls if part not in self.options.required]
        for part in missing:
            yield self._warned(f"{EXPLANATIONS[part]} (not required)")
        yield Ended(outcome.job_name, self.at, outcome)
        return outcome

    def _look_until_decided(self) -> Plan:
        while True:
            if (member := self._followed) is not None:
                outcome = yield from self._follow(member)
                if outcome is not None:
                    return outcome
            answer = yield Describe(self.job.name, self.deadline, is_urgent=self.listed_end is not None)
            self._take_times(answer)
            self.polls += 1
            outcome = yield from (self._failed(answer) if answer.error else self._seen(answer))
            if outcome is not None:
                return outcome

    # Looks at a listing, made for many jobs

    @property
    def _followed(self) -> Member | None:
        """The job in the listing, while looks there do: not where it was told to stop, or where only a describe tells
        its deadline."""
        if self.member is None or not self.member.is_listed or self.is_listing_wrong or self.stop_cause is not None:
            return None
        return None if self.options.timeout == "auto" and self.seen is None else self.member

    def _follow(self, member: Member) -> Generator[Action, Any, Outcome | None]:
        """Takes in what the listing shows of the job; returns when the job must be described, or is decided."""
        # A deadline of its own is not known to who reads the listing, so the job is described at it.
        is_own = self.options.timeout == "auto"
        until = None if self.deadline is None else self.deadline + (0 if is_own else _NEWS_OVERTIME)
        while True:
            news: Answer | Woken = yield Follow(member, until)
            match news:
                case Woken(now, at):
                    self._pass_time(now, at)
                    if is_own:
                        self.is_listing_wrong = True
                        return None
                    if until is None or now < until + OVERSLEPT or self.has_woken_late:
                        return (yield from self._late(None))
                    # The machine slept past the deadline: the listing is read once more before the wait gives up.
                    self.has_woken_late, until = True, now + WAKING
                case Answer(error=None, response=None):
                    return None
                case Answer(error=None):
                    if (yield from self._listed(news)):
                        return None
                case _:
                    self._take_times(news)
                    return (yield from self._failed(news))

    def _listed(self, news: Answer) -> Generator[Action, Any, bool]:
        """Takes in the job's summary, and says whether the job should be described now."""
        if self.seen is not None and news.finished <= self.seen:
            return False  # it is older than what a describe has shown meanwhile
        known = self.tracker.snapshot
        snapshot = Snapshot({**(known.raw if known else {}), **news.response})
        before = self.seen
        if before is None or news.finished > self.now:
            self._take_times(news)
        self.polls += 1
        if snapshot.state.is_terminal:
            self.is_listing_wrong = True  # unless the describe shows the end too, which is then told
            self.listed_end = snapshot, news.at
            return True
        try:
            observation = self.tracker.observe(snapshot, news.at)
        except JobReplaced:
            self.is_listing_wrong = True
            return True
        self._take_ages(snapshot, news, changed=observation.transition is not None, before=before)
        self.seen = self.now
        if observation.transition:
            yield observation.transition
        yield from observation.anomalies
        until = self.options.until
        self.condition_was_listed = until is not None and until(snapshot)
        if self.condition_was_listed:
            return True
        if before is None:
            yield from self._warn_of_expiry()
        yield from self._warn_of_stall(snapshot.state)
        return False

    # A look that failed

    def _failed(self, answer: Answer) -> Generator[Action, Any, Outcome | None]:
        error = answer.error
        is_late = self.deadline is not None and answer.finished >= self.deadline
        if isinstance(error, JobNotFound):
            if is_first := self.grace_ends is None:
                self.grace_ends = answer.started + self.options.grace
            has_grace = answer.finished < self.grace_ends and not is_late and not self.options.once
            if self.seen is None and has_grace:
                if is_first:
                    yield self._notice(f"not found yet; looking again for {format_duration(self.options.grace)}")
                yield from self._sleep(min(self.now + _GRACE_POLL, self.grace_ends))
                return None
            return (yield from self._not_found(error))
        if answer.exhausted and is_late:
            outcome = yield from self._believed_end()
            return outcome or (yield from self._late(error))
        return self._conclude(Verdict.ERROR, error=error)

    def _believed_end(self) -> Generator[Action, Any, Outcome | None]:
        """Believes the listing, where there was no time to describe the job that it shows to have ended.

        It tells how a job failed. Whether one that has completed gave what was asked of it, only a describe tells.
        """
        if self.listed_end is None:
            return None
        snapshot, at = self.listed_end
        try:
            observation = self.tracker.observe(snapshot, at)
        except JobReplaced as error:
            return self._conclude(Verdict.REPLACED, error=error)
        yield from filter(None, [observation.transition])
        is_known = snapshot.status in (Status.FAILED, Status.STOPPED)
        return self._conclude(self._verdict_of_end(snapshot)) if is_known else None

    def _not_found(self, error: JobNotFound) -> Plan:
        if self.seen is not None:
            return self._conclude(
                Verdict.NOT_FOUND, error=JobNotFound(f"{error}; it was there before", code=error.code)
            )
        hint = ""
        if self.deadline is None or self.now < self.deadline:
            names = yield FindNames(self.job.name, self.deadline)
            self._take_times(names)
            hint = f"; did you mean {', '.join(map(clean, names.response))}?" if names.response else ""
        if self.job.account is not None:
            hint += f"; the ARN is of account {self.job.account}: are these its credentials?"
        return self._conclude(Verdict.NOT_FOUND, error=JobNotFound(f"{error}{hint}", code=error.code))

    # A look that told something

    def _seen(self, answer: Answer) -> Generator[Action, Any, Outcome | None]:
        snapshot = Snapshot(answer.response)
        before = self.seen
        try:
            observation = self.tracker.observe(snapshot, answer.at)
        except JobReplaced as error:
            return self._conclude(Verdict.REPLACED, error=error)
        self._take_ages(snapshot, answer, changed=observation.transition is not None, before=before)
        self.seen = self.now
        if observation.transition:
            yield observation.transition
        yield from observation.anomalies
        if before is None and self.options.timeout == "auto":
            yield from self._set_auto_deadline(snapshot)
        outcome = yield from self._decide(snapshot, observation.is_terminal, answer.started)
        if outcome is None:
            if before is None:
                yield from self._warn_of_expiry()
            yield from self._warn_of_stall(snapshot.state)
            if self._followed is not None:
                return None
            next_look = self._clamp(answer.started + self._delay(snapshot))
            yield Poll(snapshot.name, answer.at, snapshot, self.polls, max(0.0, next_look - self.now))
            self.told_at = self.now
            outcome = yield from self._list_candidates(snapshot, next_look)
            if outcome is None:
                # A job that was told to stop meanwhile is near its end.
                yield from self._sleep(min(next_look, self.now + _STOPPING_POLL) if self.stop_cause else next_look)
        return outcome

    def _decide(self, snapshot: Snapshot, is_terminal: bool, started: float) -> Generator[Action, Any, Outcome | None]:
        if self.stop_cause != "until" and (self.condition_was_listed or self._holds(snapshot)):
            return (yield from self._met(is_terminal=is_terminal))
        if is_terminal:
            return self._conclude(self._verdict_of_end(snapshot))
        if self.options.once:
            return self._conclude(Verdict.IN_PROGRESS)
        if self.deadline is not None and started >= self.deadline:
            return (yield from self._late(None))
        return None

    def _met(self, *, is_terminal: bool) -> Generator[Action, Any, Outcome | None]:
        """What is to be done when the condition holds: the wait is over, or the job is told to stop."""
        if is_terminal or "until" not in self.options.stop_on:
            return self._conclude(Verdict.CONDITION_MET)
        yield from self._stop("until")
        return None

    def _holds(self, snapshot: Snapshot) -> bool:
        until = self.options.until
        if until is None:
            return False
        is_for_it = self.options.is_for_a_candidate and snapshot.best_candidate is None
        if is_for_it and self.listed_candidate is not None:
            snapshot = Snapshot({**snapshot.raw, "BestCandidate": self.listed_candidate.raw})
        return until(snapshot)

    def _list_candidates(self, snapshot: Snapshot, next_look: float) -> Generator[Action, Any, Outcome | None]:
        """Lists the candidates in the pause before the next look, as often as it is their time.

        They are trained in one stage of the job. A wait for one ends there too, for a describe names the best candidate
        only afterwards: it is absent in 18 recorded responses under ModelTuning, and there in 30 of the phases behind.
        """
        if stage_of(snapshot.state) is Stage.PREPARING:
            return None
        # A page that hangs is left before the next look, and well before the deadline.
        until = next_look - min(_READING, (next_look - self.now) / 2)
        if self.deadline is not None:
            until = min(until, self.deadline - _READING)
        while self.candidates_at is not None and self.candidates_at < until and self.stop_cause is None:
            yield from self._sleep(self.candidates_at, next_look)
            if self.now >= until:
                return None  # the machine slept: the job first
            self.reading = reading = yield from read_candidates(snapshot.name, deadline=until, before=self.reading)
            self._take_times(reading.last)
            outcome = yield from self._take_candidates(snapshot, reading)
            if outcome is not None:
                return outcome
        return None

    def _take_candidates(self, snapshot: Snapshot, reading: Reading) -> Generator[Action, Any, Outcome | None]:
        """Takes in what was listed, and says when to list again."""
        board, every = reading.leaderboard, self.options.candidates_every or CANDIDATES_EVERY
        if board.error is not None:
            self.reading, self.failed_readings = None, self.failed_readings + 1
            # Where it is denied nobody asks again, and where it fails ever more rarely.
            pause = min(_LONGEST_PAUSE, every * 2.0 ** min(self.failed_readings, 8))
            self.candidates_at = self.now + pause if reading.last.exhausted else None
            if self.options.is_for_a_candidate and self.failed_readings == (_TELLING if reading.last.exhausted else 1):
                yield self._warned(f"the condition is not tried on the candidates: {board.error}")
            return None
        self.failed_readings = 0
        if reading.token is not None:
            self.candidates_at = self.now  # the rest, in the next pause
        else:
            self.reading = None
            is_last = stage_of(snapshot.state) is not Stage.TRAINING
            self.candidates_at = None if is_last else self.now + every * max(reading.pages, self.slowdown)
        yield Candidates(snapshot.name, self.at, board)
        self.listed_candidate = board.best
        is_met = self.options.is_for_a_candidate and self._holds(snapshot)
        return (yield from self._met(is_terminal=False)) if is_met else None

    def _verdict_of_end(self, snapshot: Snapshot) -> Verdict:
        match snapshot.status:
            case Status.STOPPED if self.stop_cause == "until":
                return Verdict.CONDITION_MET
            case Status.STOPPED if self.stop_cause == "timeout" and self.is_told_to_stop:
                return Verdict.TIMED_OUT
            case Status.COMPLETED if self.options.until is not None and self.stop_cause != "until":
                return Verdict.CONDITION_NOT_MET
            case _:
                return verdict_of(snapshot)

    def _sleep(self, until: float, next_look: float | None = None) -> Generator[Action, Any, None]:
        """Sleeps, never past the deadline, and shows signs of life on the way to the next look."""
        until = self._clamp(until)
        while (beat := max(self.now, self.told_at + HEARTBEAT)) < until:
            woken = yield Sleep(beat)
            self._pass_time(woken.now, woken.at)
            state = self.tracker.snapshot.state if self.tracker.snapshot else None
            yield Heartbeat(self._name(), self.at, state, max(0.0, (next_look or until) - self.now))
            self.told_at = self.now
        woken = yield Sleep(until)
        self._pass_time(woken.now, woken.at)

    # Warnings

    def _warn_of_expiry(self) -> Generator[Action, Any, None]:
        expires = self.credentials_expire_at
        if expires is None:
            return
        left = (expires - self.at).total_seconds()
        if self.deadline is None or self.now + left < self.deadline:
            yield self._warned(
                f"the credentials expire at {isoformat(expires)}, in {format_duration(max(0.0, left))}, and this wait "
                "may last longer: renew them by then, and it goes on with the new ones"
            )

    def _warn_of_stall(self, state: State) -> Generator[Action, Any, None]:
        quiet = self.now - self.unchanged_since
        if quiet >= STALLED_AFTER[stage_of(state)] and state not in self.stalled:
            self.stalled.add(state)
            yield self._warned(
                f"nothing has changed for {format_duration(quiet)}, neither a status nor LastModifiedTime: "
                f"the job may be stuck in {clean(state)}; the wait goes on"
            )

    # The deadline

    def _late(self, error: AutoMLWaiterError | None) -> Generator[Action, Any, Outcome | None]:
        """The deadline has passed and the job has not ended: stop it, if that was asked for, or give up."""
        if self.stop_cause is None and "timeout" in self.options.stop_on:
            yield from self._stop("timeout")
            return None
        if self.is_told_to_stop:
            yield self._warned(f"the job has not stopped within {format_duration(_STOP_TIMEOUT)}")
        elif self.stop_error is not None:
            yield self._not_stopped(self.stop_error)
            error = self.stop_error
        return self._conclude(Verdict.CONDITION_MET if self.stop_cause == "until" else Verdict.TIMED_OUT, error=error)

    def _stop(self, cause: StopCause, *, within: float = _STOP_TIMEOUT) -> Generator[Action, Any, None]:
        self.stop_cause = cause
        self.deadline = self.now + within
        answer = yield Stop(self.job.name, self.deadline, is_urgent=cause == "interrupt")
        self._take_times(answer)
        self.stop_error = answer.error
        self.is_told_to_stop = answer.error is None
        if self.is_told_to_stop:
            yield StopRequested(self._name(), answer.at, cause)
        else:
            # One look more: a job that has just ended cannot be stopped either.
            self.deadline = self.now

    def _not_stopped(self, error: AutoMLWaiterError) -> Warned:
        return self._warned(f"the job could not be stopped and goes on: {error}")

    def _set_auto_deadline(self, snapshot: Snapshot) -> Generator[Action, Any, None]:
        limit = snapshot.completion_criteria.max_runtime_seconds
        if limit is None:
            left = _AUTO_WITHOUT_LIMIT - self.age
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
        self._pass_time(answer.finished, answer.at)
        self.retries += answer.retries
        self.slowdown = answer.slowdown

    def _pass_time(self, now: float, at: datetime) -> None:
        self.age += now - self.now
        self.now, self.at = now, at

    def _take_ages(self, snapshot: Snapshot, answer: Answer, *, changed: bool, before: float | None) -> None:
        """Takes in how long the job has been as it is; `before` is when the look before was made."""
        # The service's own clock is preferred: the machine's may be wrong, and then the job's age would be.
        clock = answer.served_at or answer.at
        # LastModifiedTime moves within a phase too, so the phase is at least this old.
        modified = self.now - max(0.0, (clock - snapshot.last_modified_at).total_seconds())
        if before is None:
            self.age = max(0.0, (clock - snapshot.created_at).total_seconds())
            self.phase_since = self.unchanged_since = modified
        elif changed:
            self.phase_since = self.unchanged_since = max(modified, before)
        else:
            self.unchanged_since = max(self.unchanged_since, modified)

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

    def _cancelled(self, cancelled: Cancelled) -> Plan:
        self._pass_time(cancelled.now, cancelled.at)
        self.retries += cancelled.retries
        if cancelled.decided:
            return self._conclude(Verdict.IN_PROGRESS)
        if cancelled.signal is None:
            return self._conclude(Verdict.CANCELLED, error=cancelled.error)
        if "interrupt" in self.options.stop_on and not self.is_told_to_stop:
            yield from self._stop("interrupt", within=_INTERRUPT_STOP)
            if self.stop_error is not None:
                yield self._not_stopped(self.stop_error)
        error = self.stop_error or cancelled.error
        return self._conclude(Verdict.CANCELLED, error=error, code=ExitCode(128 + cancelled.signal))

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
            listed_candidate=self.listed_candidate,
        )

    def _name(self) -> str:
        return self.tracker.snapshot.name if self.tracker.snapshot else self.job.name

    def _warned(self, message: str) -> Warned:
        return Warned(self._name(), self.at, message)

    def _notice(self, message: str) -> Notice:
        return Notice(self._name(), self.at, message)
