"""The wait for one job: poll, sleep, poll again, until the job has ended or the wait must end before it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from functools import partial

from automl_waiter._engine.ages import Ages
from automl_waiter._engine.calls import Calls
from automl_waiter._engine.candidates import CandidateSchedule
from automl_waiter._engine.following import Following, ListedJob
from automl_waiter._engine.retries import Answer
from automl_waiter._engine.siblings import Siblings
from automl_waiter._model import events
from automl_waiter._model.errors import (
    AutoMLWaiterError,
    Cancelled,
    InvalidRequest,
    JobNotFound,
    JobReplaced,
    internal_error,
)
from automl_waiter._model.exit_codes import ExitCode, exit_code_of
from automl_waiter._model.job_refs import JobRef
from automl_waiter._model.options import CANDIDATES_EVERY_S, StopCause, WaitOptions
from automl_waiter._model.outcome import Outcome, shortfalls_of, verdict_of
from automl_waiter._model.polling import PollContext
from automl_waiter._model.snapshot import Candidate, Snapshot
from automl_waiter._model.statuses import Stage, Status, stage_of
from automl_waiter._model.text import clean, format_duration, isoformat
from automl_waiter._model.tracker import Observation, Tracker
from automl_waiter._model.until import NotEvaluable
from automl_waiter._model.verdicts import EXPLANATIONS, Verdict

_NOT_FOUND_POLL_S = 2.0
_STOP_TIMEOUT_S = 600.0
_STOPPING_POLL_S = 10.0
_AUTO_MARGIN_S = 1800.0
_AUTO_WITHOUT_LIMIT_S = 72 * 3600.0
# A page of candidates that hangs is abandoned this long before the next poll.
_CANDIDATES_MARGIN_S = 1.0
# How often a wait that follows a listing checks whether candidates are due.
_CANDIDATES_CHECK_S = 15.0
# Seconds from a signal until the job is stopped, retries included: a CI system soon kills a process that stays.
_INTERRUPT_STOP_S = 4.0


class JobWait:
    """The wait for one job. Its coroutines return the Outcome once it is decided, and None before.

    Args:
        job: The job.
        options: The options of the wait.
        calls: Makes the calls; its kernel sleeps and emits events.
        started: When the wait began, on the kernel's clock (seconds).
        listed: The job in a listing that is read for many; None: the job is described.
        siblings: The past jobs from which its end is estimated; None: it is not.
        warns_of_expiry: Whether to warn if the credentials are known to expire before the deadline.
    """

    def __init__(
        self,
        job: JobRef,
        options: WaitOptions,
        calls: Calls,
        *,
        started: float,
        listed: ListedJob | None = None,
        siblings: Siblings | None = None,
        warns_of_expiry: bool = False,
    ) -> None:
        self._job = job
        self._options = options
        self._calls = calls
        self._kernel = calls.kernel
        self._clock = calls.kernel.clock
        self._started = started
        self._following = None if listed is None else Following(listed, options, self._kernel)
        self._estimate = None if siblings is None else siblings.new_estimate()
        self._warns_of_expiry = warns_of_expiry
        self._tracker = Tracker(job)
        self._ages = Ages(started)
        self._candidates = CandidateSchedule(options, started) if options.reads_candidates else None
        self._deadline = started + options.seconds
        self._polls = 0
        self._seen_at: float | None = None
        self._grace_ends: float | None = None
        """Until when a missing name does not end the wait, once it is missing."""
        self._nearest: Answer | None = None
        """The listed name that is most similar to a missing one, once it was looked for."""
        self._listed_candidate: Candidate | None = None
        self._met_by: Candidate | None = None
        """The candidate that met `until`, if the condition may be about one."""
        self._was_met_in_listing = False
        """Whether `until` was met in the listing: then it stays met, whatever the describe shows."""
        self._noted: set[str] = set()
        self._due: deque[str] = deque()
        """Warnings to emit after the present poll."""
        self._reported_at = started
        """When the wait last emitted a poll or a heartbeat."""
        self._stop_cause: StopCause | None = None
        self._stop_error: AutoMLWaiterError | None = None
        self._is_stop_accepted = False

    @property
    def is_reported(self) -> bool:
        """Whether the job was observed, and its first transition emitted."""
        return self._tracker.snapshot is not None

    async def run(self) -> None:
        """Wait, and emit the events; the last one is the outcome."""
        if self._following is not None and self._candidates is not None:
            self._kernel.spawn(partial(self._show_candidates, self._following.job, self._candidates), is_daemon=True)
        try:
            try:
                outcome = await self._poll_until_decided()
            except Cancelled as cancelled:
                outcome = await self._cancelled(cancelled)
            if self._following is not None:
                self._following.job.has_ended = True
            if self._estimate is not None:
                self._estimate.end(outcome.snapshot)
            for part in outcome.shortfalls:
                if part not in self._options.required:
                    self._note(part, f"{EXPLANATIONS[part]} (not required)")
            while self._due:
                await self._warn(self._due.popleft())
            await self._kernel.emit(events.Ended(outcome.job_name, self._clock.now(), outcome))
        except AutoMLWaiterError as error:
            await self._end_by(error)
        except Exception as error:  # a bug ends the wait for this job, and for no other
            await self._end_by(internal_error(error))

    async def _end_by(self, error: AutoMLWaiterError) -> None:
        """End with an error that was raised here and not by a call: by the caller's code, or a bug."""
        if self._following is not None:
            self._following.job.has_ended = True
        if self._estimate is not None:
            self._estimate.end()
        try:
            outcome = self._outcome(Verdict.ERROR, error=error)
        except Exception:  # the bug is about the last response
            code = exit_code_of(Verdict.ERROR, error=error)
            outcome = Outcome(
                job=self._job.key, job_name=self._job.name, verdict=Verdict.ERROR, exit_code=code, error=error
            )
        await self._kernel.emit(events.Ended(outcome.job_name, self._clock.now(), outcome))

    async def _poll_until_decided(self) -> Outcome:
        while True:
            following = self._following
            if following is not None and following.is_active:
                outcome = await self._follow(following)
                if outcome is not None:
                    return outcome
            is_first = following is not None and following.end is not None
            answer = await self._calls.describe(
                self._job.name,
                self._deadline,
                arn=self._tracker.arn,
                is_first=is_first,
                foreign_for=self._options.grace if self._seen_at is None else math.inf,
            )
            self._polls += 1
            outcome = await (self._failed(answer) if answer.error else self._seen(answer))
            if outcome is not None:
                return outcome

    # The job was described

    async def _seen(self, answer: Answer) -> Outcome | None:
        snapshot, is_first = Snapshot(answer.response), self._seen_at is None
        try:
            observation = await self._observe(snapshot, answer)
        except JobReplaced as error:
            return self._outcome(Verdict.REPLACED, error=error)
        if is_first and self._options.timeout == "auto":
            await self._set_auto_deadline(snapshot)
        outcome = await self._decide(snapshot, answer, is_terminal=observation.is_terminal)
        if outcome is not None:
            return outcome
        await self._warn_of_risks(snapshot, is_first=is_first)
        if self._following is not None and self._following.is_active:
            return None
        next_poll = min(answer.started + self._delay(snapshot), self._deadline)
        next_in = max(0.0, next_poll - self._now)
        await self._kernel.emit(events.Poll(snapshot.name, answer.at, snapshot, self._polls, next_in))
        self._reported_at = self._now
        outcome = await self._read_candidates(snapshot, next_poll)
        if outcome is None:
            # A job that was stopped in the meantime will end soon.
            await self._sleep(min(next_poll, self._now + _STOPPING_POLL_S) if self._stop_cause else next_poll)
        return outcome

    async def _observe(self, snapshot: Snapshot, answer: Answer) -> Observation:
        """Update the tracker and emit the changes; raise JobReplaced if the snapshot is of another job."""
        observation = self._tracker.observe(snapshot, answer.at)
        is_changed, before = observation.transition is not None, self._seen_at
        self._ages.observe(snapshot, answer, is_changed=is_changed, observed_before=before)
        self._seen_at = answer.finished
        for event in observation.events:
            await self._kernel.emit(event)
        self._note_unreadable(snapshot.unreadable)
        if self._estimate is not None:
            await self._estimate.observe(snapshot, self._ages.created)
        return observation

    async def _decide(self, snapshot: Snapshot, answer: Answer, *, is_terminal: bool) -> Outcome | None:
        if self._stop_cause != "until" and (self._was_met_in_listing or self._holds(snapshot)):
            return await self._condition_met(is_terminal=is_terminal)
        if is_terminal:
            return self._outcome(self._verdict_of_end(snapshot))
        if self._options.once:
            if self._estimate is not None:
                await self._estimate.settled()
            return self._outcome(Verdict.IN_PROGRESS)
        if answer.started >= self._deadline:
            return await self._deadline_reached(None)
        return None

    def _verdict_of_end(self, snapshot: Snapshot) -> Verdict:
        match snapshot.status:
            case Status.STOPPED if self._stop_cause == "until":
                return Verdict.CONDITION_MET
            case Status.STOPPED if self._stop_cause == "timeout" and self._is_stop_accepted:
                return Verdict.TIMED_OUT
            case Status.COMPLETED if self._options.until is not None and self._stop_cause != "until":
                return Verdict.CONDITION_NOT_MET
            case _:
                return verdict_of(snapshot)

    # The call failed

    async def _failed(self, answer: Answer) -> Outcome | None:
        error = answer.error
        is_timed_out = answer.finished >= self._deadline
        if isinstance(error, JobReplaced):
            return self._outcome(Verdict.REPLACED, error=error)
        if isinstance(error, JobNotFound):
            # Exhausted: every answer of this time was about another job.
            has_grace = self._seen_at is None and not (self._options.once or is_timed_out or answer.exhausted)
            if has_grace and answer.finished < (until := await self._not_found_until(answer)):
                await self._sleep(min(self._now + _NOT_FOUND_POLL_S, until))
                return None
            return await self._not_found(error)
        if answer.exhausted and is_timed_out:
            outcome = await self._accept_listed_end()
            return outcome or await self._deadline_reached(error)
        return self._outcome(Verdict.ERROR, error=error)

    async def _not_found_until(self, answer: Answer) -> float:
        """Return until when a missing name does not end the wait: soon, if the listing does not have it either."""
        if self._grace_ends is None:
            self._grace_ends = answer.started + self._options.grace
            nearest = await self._nearest_name()
            if nearest.error is None and (nearest.response or "").lower() != self._job.name.lower():
                self._grace_ends = min(self._grace_ends, self._now + _NOT_FOUND_POLL_S)
            else:
                await self._notice(f"not found; polling again for {format_duration(self._options.grace)}")
        return self._grace_ends

    async def _nearest_name(self) -> Answer:
        """Look for the listed name most similar to the job's, once."""
        if self._nearest is None:
            self._nearest = await self._calls.find_name(self._job.name, self._deadline)
        return self._nearest

    async def _not_found(self, error: JobNotFound) -> Outcome:
        hint = ""
        if self._seen_at is not None:
            hint = "; it existed before"
        else:
            nearest = (await self._nearest_name()).response if self._now < self._deadline or self._nearest else None
            if nearest and nearest.lower() != self._job.name.lower():
                hint = f"; did you mean {clean(nearest)}?"
            if self._job.account is not None:
                hint += f"; the ARN belongs to account {self._job.account}: are these credentials for that account?"
        return self._outcome(Verdict.NOT_FOUND, error=JobNotFound(f"{error}{hint}", code=error.code))

    # The job is followed in a listing

    async def _follow(self, following: Following) -> Outcome | None:
        """Handle the news from the listing until the job must be described or the outcome is decided."""
        while True:
            news = await following.news(self._deadline)
            if news is None:
                return await self._deadline_reached(None)
            if news.error is not None:
                return await self._failed(news)
            if news.response is None or await self._seen_in_listing(news, following):
                return None

    async def _seen_in_listing(self, news: Answer, following: Following) -> bool:
        """Handle the job's summary, and return whether to describe the job now."""
        if self._seen_at is not None and news.finished <= self._seen_at:
            return False  # a describe has shown more since then
        is_first, known = self._seen_at is None, self._tracker.snapshot
        snapshot = Snapshot({**(known.raw if known else {}), **news.response})
        self._polls += 1
        if snapshot.state.is_terminal:
            following.is_enough = False  # unless the describe confirms the end, which is reported then
            following.end = snapshot, news.at
            return True
        try:
            await self._observe(snapshot, news)
        except JobReplaced:
            following.is_enough = False
            return True
        self._was_met_in_listing = self._is_met(snapshot)
        if self._was_met_in_listing:
            return True
        await self._warn_of_risks(snapshot, is_first=is_first)
        return False

    async def _accept_listed_end(self) -> Outcome | None:
        """Return the outcome that the listing shows, if there was no time to describe the job.

        A summary says how a job failed. Only a describe shows whether a completed one has all that is required.
        """
        if self._following is None or self._following.end is None:
            return None
        snapshot, at = self._following.end
        try:
            observation = self._tracker.observe(snapshot, at)
        except JobReplaced as error:
            return self._outcome(Verdict.REPLACED, error=error)
        for event in observation.events:
            await self._kernel.emit(event)
        is_known = snapshot.status in (Status.FAILED, Status.STOPPED)
        return self._outcome(self._verdict_of_end(snapshot)) if is_known else None

    # The condition

    def _holds(self, snapshot: Snapshot) -> bool:
        if self._options.is_for_a_candidate and snapshot.best_candidate is None and self._listed_candidate:
            snapshot = Snapshot({**snapshot.raw, "BestCandidate": self._listed_candidate.raw})
        holds = self._is_met(snapshot)
        if holds and self._options.may_be_for_a_candidate:
            self._met_by = snapshot.best_candidate
        return holds

    def _is_met(self, snapshot: Snapshot) -> bool:
        """Return whether `until` holds; raise InvalidRequest if the caller's function raises."""
        until = self._options.until
        if until is None:
            return False
        try:
            return bool(until(snapshot))
        except NotEvaluable as problem:
            self._note("until", f"the condition cannot be evaluated and counts as not met ({problem})")
            return False
        except AutoMLWaiterError:
            raise  # the function has called this library
        except Exception as error:
            raise _raised_by("until", error) from error

    async def _condition_met(self, *, is_terminal: bool) -> Outcome | None:
        if is_terminal or "until" not in self._options.stop_on:
            return self._outcome(Verdict.CONDITION_MET)
        await self._stop("until", _STOP_TIMEOUT_S)
        return None

    async def _read_candidates(self, snapshot: Snapshot, next_poll: float) -> Outcome | None:
        """Read the candidates whenever they are due before the next poll.

        A wait for a candidate may end here, because a describe names the best one only after training: it is absent in
        18 recorded responses under ModelTuning, and present in 30 of later phases.
        """
        candidates = self._candidates
        if candidates is None or stage_of(snapshot.state) is Stage.PREPARING:
            return None
        # A page that hangs is abandoned before the next poll, and well before the deadline.
        margin = min(_CANDIDATES_MARGIN_S, (next_poll - self._now) / 2)
        until = min(next_poll - margin, self._deadline - _CANDIDATES_MARGIN_S)
        while candidates.next_at is not None and candidates.next_at < until and self._stop_cause is None:
            await self._sleep(candidates.next_at, next_poll)
            if self._now >= until:
                return None  # the machine slept: poll the job first
            board, warning = await candidates.read(self._calls, snapshot, until)
            if warning is not None:
                await self._warn(warning)
            if board is not None:
                self._note_unreadable(board.unreadable)
                self._listed_candidate = board.best
                await self._kernel.emit(events.Candidates(snapshot.name, self._clock.now(), board))
                if self._options.is_for_a_candidate and self._holds(snapshot):
                    outcome = await self._condition_met(is_terminal=False)
                    if outcome is not None:
                        return outcome
        return None

    async def _show_candidates(self, job: ListedJob, candidates: CandidateSchedule) -> None:
        """Read the candidates for a view while the job is followed in the listing. A bug here ends no wait."""
        try:
            await self._read_for_view(job, candidates)
        except Exception as error:
            await self._warn(f"the candidates are not shown any more: {internal_error(error)}")

    async def _read_for_view(self, job: ListedJob, candidates: CandidateSchedule) -> None:
        while candidates.next_at is not None and not job.has_ended:
            snapshot = self._tracker.snapshot
            is_trained = snapshot is not None and stage_of(snapshot.state) is not Stage.PREPARING
            if snapshot is not None and is_trained and job.is_listed and candidates.next_at <= self._now:
                board, _ = await candidates.read(self._calls, snapshot, self._now + CANDIDATES_EVERY_S)
                if board is not None and not job.has_ended:
                    self._note_unreadable(board.unreadable)
                    await self._kernel.emit(events.Candidates(snapshot.name, self._clock.now(), board))
            await self._kernel.sleep_until(self._now + _CANDIDATES_CHECK_S)

    # Sleeping

    def _delay(self, snapshot: Snapshot) -> float:
        now = self._now
        context = PollContext(
            snapshot=snapshot,
            polls=self._polls,
            elapsed=now - self._ages.created,
            phase_age=now - self._ages.phase_since,
            time_left=None if self._deadline == math.inf else self._deadline - now,
            slowdown=self._calls.slowdown,
            random=self._clock.random,
        )
        policy = f"{type(self._options.poll).__name__}.next_delay"
        try:
            delay = self._options.poll.next_delay(context)
            is_valid = 0 < delay < math.inf
        except Exception as error:
            raise _raised_by(policy, error) from error
        if not is_valid:
            raise InvalidRequest(f"{policy} returned {delay!r}: it must be a positive number of seconds")
        # A stopped job will end soon, whatever its status is so far.
        return min(delay, _STOPPING_POLL_S) if self._stop_cause else delay

    async def _sleep(self, until: float, next_poll: float | None = None) -> None:
        """Sleep until `until`, at most until the deadline, with heartbeats for the next poll."""
        until = min(until, self._deadline)
        while (beat := max(self._now, self._reported_at + events.HEARTBEAT_EVERY_S)) < until:
            await self._kernel.sleep_until(beat)
            state = self._tracker.snapshot.state if self._tracker.snapshot else None
            next_in = max(0.0, (next_poll or until) - self._now)
            await self._kernel.emit(events.Heartbeat(self._name, self._clock.now(), state, next_in))
            self._reported_at = self._now
        await self._kernel.sleep_until(until)

    # The deadline, and stopping the job

    async def _set_auto_deadline(self, snapshot: Snapshot) -> None:
        limit = snapshot.completion_criteria.max_runtime_seconds
        age = self._now - self._ages.created
        left, words = _AUTO_WITHOUT_LIMIT_S - age, "the job has no runtime limit"
        if limit is not None:
            left = limit + _AUTO_MARGIN_S - age
            words = f"the job's runtime limit of {format_duration(limit)} plus 30m"
        self._deadline = self._now + left
        if self._following is not None:
            self._following.is_enough = True
        await self._notice(f"timing out in {format_duration(max(0.0, left))}: {words}")

    async def _deadline_reached(self, error: AutoMLWaiterError | None) -> Outcome | None:
        """Stop the job if `stop_on` says so, otherwise time out."""
        if self._stop_cause is None and "timeout" in self._options.stop_on:
            await self._stop("timeout", _STOP_TIMEOUT_S)
            return None
        if self._is_stop_accepted:
            await self._warn(f"the job has not stopped within {format_duration(_STOP_TIMEOUT_S)}")
        elif self._stop_error is not None:
            await self._warn(f"the job could not be stopped and keeps running: {self._stop_error}")
            error = self._stop_error
        return self._outcome(Verdict.CONDITION_MET if self._stop_cause == "until" else Verdict.TIMED_OUT, error=error)

    async def _stop(self, cause: StopCause, timeout: float) -> None:
        """Call StopAutoMLJob; the job then has `timeout` seconds to stop."""
        self._stop_cause = cause
        if self._estimate is not None:
            self._estimate.end()
            self._estimate = None
        self._deadline = self._now + timeout
        if self._following is not None:
            self._following.is_enough = False
        answer = await self._calls.stop(self._job.name, self._deadline, is_immediate=cause == "interrupt")
        self._stop_error = answer.error
        self._is_stop_accepted = answer.error is None
        if self._is_stop_accepted:
            await self._kernel.emit(events.StopRequested(self._name, answer.at, cause))
        else:
            # Poll once more: a job that has just ended cannot be stopped either.
            self._deadline = self._now

    async def _cancelled(self, cancelled: Cancelled) -> Outcome:
        """Return the outcome of a cancelled wait. A second cancel ends the stop that a signal requested."""
        if cancelled.decided:
            return self._outcome(Verdict.IN_PROGRESS)
        error = self._calls.interrupted
        if cancelled.signal is None:
            return self._outcome(Verdict.CANCELLED, error=error)
        if "interrupt" in self._options.stop_on and not self._is_stop_accepted:
            try:
                await self._stop("interrupt", _INTERRUPT_STOP_S)
                if self._stop_error is not None:
                    await self._warn(f"the job could not be stopped and keeps running: {self._stop_error}")
            except Cancelled:
                pass
        code = ExitCode(128 + cancelled.signal)
        return self._outcome(Verdict.CANCELLED, error=self._stop_error or error, code=code)

    # Outcome and events

    def _outcome(
        self, verdict: Verdict, *, error: AutoMLWaiterError | None = None, code: ExitCode | None = None
    ) -> Outcome:
        snapshot = self._tracker.snapshot
        shortfalls = shortfalls_of(snapshot) if snapshot else ()
        if code is None:
            code = exit_code_of(verdict, shortfalls=shortfalls, required=self._options.required, error=error)
        return Outcome(
            job=self._job.key,
            job_name=self._name,
            verdict=verdict,
            exit_code=code,
            snapshot=snapshot,
            transitions=tuple(self._tracker.transitions),
            shortfalls=shortfalls,
            polls=self._polls,
            retries=self._calls.retries,
            waited=self._now - self._started,
            error=error,
            listed_candidate=self._listed_candidate,
            met_by=self._met_by,
            estimate=self._estimate.of(snapshot) if self._estimate is not None else None,
        )

    @property
    def _now(self) -> float:
        return self._clock.monotonic()

    @property
    def _name(self) -> str:
        return self._tracker.snapshot.name if self._tracker.snapshot else self._job.name

    async def _warn(self, message: str) -> None:
        await self._kernel.emit(events.Warned(self._name, self._clock.now(), message))

    async def _notice(self, message: str) -> None:
        await self._kernel.emit(events.Notice(self._name, self._clock.now(), message))

    def _note(self, subject: str, warning: str) -> None:
        """Warn soon, once for each subject."""
        if subject not in self._noted:
            self._noted.add(subject)
            self._due.append(warning)

    def _note_unreadable(self, members: Iterable[str]) -> None:
        for member in members:
            self._note(member, f"the response's {member} cannot be read and counts as absent")

    async def _warn_of_risks(self, snapshot: Snapshot, *, is_first: bool) -> None:
        while self._due:
            await self._warn(self._due.popleft())
        # Not before the first answer: until then the credentials may not be loaded.
        expires = self._calls.gateway.credentials_expire_at if is_first and self._warns_of_expiry else None
        left = (expires - self._clock.now()).total_seconds() if expires else math.inf
        if expires is not None and self._now + left < self._deadline:
            await self._warn(
                f"the credentials expire at {isoformat(expires)}, in {format_duration(max(0.0, left))}, and this wait "
                "may take longer: renew them by then, and it continues with the new ones"
            )
        if stall := self._ages.stall_warning(snapshot.state, self._now):
            await self._warn(stall)


def _raised_by(what: str, error: Exception) -> InvalidRequest:
    """Return the error for code of the caller's that raises."""
    return InvalidRequest(f"{what} raised {type(error).__name__}: {clean(error)}")
