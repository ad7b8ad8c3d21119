"""The state of a wait so far, computed from its events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from automl_waiter._model import events
from automl_waiter._model.candidates import Leaderboard, Objective, objective_of
from automl_waiter._model.estimates import Estimate
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.phases import Phase, phases_of
from automl_waiter._model.snapshot import Candidate, Snapshot
from automl_waiter._model.statuses import State, Status
from automl_waiter._model.text import format_duration
from automl_waiter._model.tracker import Transition
from automl_waiter.report.facts import head_of, kind_of

# Of the jobs that ended in a watch, which may last for weeks.
_KEPT = 10


def clock_time(instant: datetime, now: datetime) -> str:
    """Return the time of day in the zone of `now`, after the day if that is not the day of `now`."""
    local = instant.astimezone(now.tzinfo)
    return f"{local:%H:%M}" if local.date() == now.date() else f"{local.day} {local:%b %H:%M}"


@dataclass
class JobProgress:
    """The state of one job's wait so far.

    Attributes:
        name: The job's name.
        snapshot: The last describe response.
        transitions: The observed transitions.
        last_poll: When the job was last polled, or found changed in a listing (UTC).
        next_poll: When the next poll is (UTC).
        leaderboard: The candidates in the last listing.
        estimate: When the job will end, if that can be estimated.
        reached: The best objective: the previous one, the present one, and since when.
        retry: The last failed call, while it is being retried.
        stop: Why the job is being stopped, if it is.
        outcome: How the wait for it ended.
    """

    name: str
    snapshot: Snapshot | None = None
    transitions: list[Transition] = field(default_factory=list)
    last_poll: datetime | None = None
    next_poll: datetime | None = None
    leaderboard: Leaderboard | None = None
    estimate: Estimate | None = None
    reached: tuple[Objective | None, Objective, datetime] | None = None
    retry: events.Retry | None = None
    stop: str | None = None
    outcome: Outcome | None = None

    @property
    def kind(self) -> str | None:
        """The job's problem type and objective, if they are known."""
        return None if self.snapshot is None else kind_of(self.snapshot)

    @property
    def state(self) -> State | None:
        """The last observed statuses."""
        return self.transitions[-1].after if self.transitions else None

    @property
    def phases(self) -> list[Phase]:
        """The phases so far."""
        return phases_of(self.transitions, self.created_at, self.outcome.ended_at if self.outcome else None)

    @property
    def created_at(self) -> datetime | None:
        """The job's CreationTime. A job in a listing has no describe response, but transitions."""
        return self.transitions[0].created_at if self.transitions else None

    @property
    def limit(self) -> int | None:
        """The job's runtime limit in seconds, if it has one."""
        return None if self.snapshot is None else self.snapshot.completion_criteria.max_runtime_seconds

    @property
    def max_candidates(self) -> int | None:
        """How many candidates the job trains at most, if that was requested."""
        return None if self.snapshot is None else self.snapshot.completion_criteria.max_candidates

    def age(self, now: datetime) -> float | None:
        """Return the job's age in seconds, at its end if it has ended; None if its creation time is unknown."""
        until = (self.outcome and self.outcome.ended_at) or now
        return None if self.created_at is None else max(0.0, (until - self.created_at).total_seconds())

    @property
    def trained(self) -> str | None:
        """How many candidates are trained and in training, if any was listed."""
        board, most = self.leaderboard, self.max_candidates
        if board is None or not board.candidates:
            return None
        running = board.count("InProgress")
        words = f"{board.count('Completed')}{f' of at most {most}' if most else ''} trained"
        return words + (f", {running} in training" if running else "")

    def elapsed(self, now: datetime) -> tuple[str, float | None] | None:
        """Return the job's age in words, and which share of the estimated time that is (0 to 1), if there is one."""
        age = self.age(now)
        if self.created_at is None or age is None:
            return None
        words = format_duration(round(age))
        if self.estimate is not None:
            total = max(1.0, (self.estimate.ends_at - self.created_at).total_seconds())
            # It is not done before it is.
            return f"{words} of about {format_duration(round(total, -1))}", min(0.99, age / total)
        return f"{words}, runtime limit {format_duration(self.limit)}" if self.limit else words, None

    def take(self, event: events.Event) -> None:
        """Update the job from one of its events."""
        match event:
            case Transition():
                self.transitions.append(event)
                self.last_poll = event.at
                if event.after.status == Status.STOPPING:
                    self.estimate = None  # it was of a job that runs to its end
            case events.Poll():
                self.snapshot, self.retry, self.last_poll = event.snapshot, None, event.at
                self.next_poll = event.at + timedelta(seconds=event.next_in)
                self._reach(event.snapshot.best_candidate, event.at)
            case events.Candidates(leaderboard=board):
                self.leaderboard = board
                self._reach(board.best, event.at)
            case events.Estimated():
                self.estimate = event
            case events.Heartbeat():
                self.next_poll = event.at + timedelta(seconds=event.next_in)
            case events.Retry():
                self.retry = event
            case events.StopRequested(cause=cause):
                self.stop, self.estimate = cause, None
            case events.Ended(outcome=outcome):
                self.outcome, self.snapshot, self.estimate = outcome, outcome.snapshot or self.snapshot, None

    def _reach(self, best: Candidate | None, at: datetime) -> None:
        found = objective_of(best) if best is not None else None
        before = self.reached and self.reached[1]
        if found is not None and found != before:
            self.reached = before, found, at


class Progress:
    """The state of all jobs of a wait so far.

    Args:
        names: The names of the jobs; None for a watch, in which jobs come and go for weeks.
        deadline: When the wait times out (UTC); None: never, or not known.
    """

    def __init__(self, names: Iterable[str] | None, deadline: datetime | None = None) -> None:
        self.is_watch = names is None
        self.deadline = deadline
        self.jobs = {name.lower(): JobProgress(name) for name in names or ()}
        self.ended: Counter[str] = Counter()
        """The number of ended jobs, by how they ended."""
        self.latest: list[JobProgress] = []
        """The ended jobs that are kept, in the order in which they ended."""
        self.last_sweep: datetime | None = None
        """When the listing was last read."""
        self.next_sweep: datetime | None = None
        """When the listing is read next."""
        self.retry: events.Retry | None = None
        """The last failed call for the listing, while it is being retried."""

    def take(self, event: events.Event) -> None:
        """Update the state from an event."""
        match event:
            case events.Sweep(at=at, next_in=seconds):
                self.last_sweep, self.next_sweep, self.retry = at, at + timedelta(seconds=seconds), None
            case events.Retry(job_name=None):
                self.retry = event
            case _ if event.job_name is not None:
                # AWS compares names case-insensitively, and the caller's spelling may differ from the job's.
                job = self.jobs.setdefault(event.job_name.lower(), JobProgress(event.job_name))
                job.name = event.job_name
                job.take(event)
                if isinstance(event, events.Ended):
                    self.ended[head_of(event.outcome)] += 1
                    self.latest.append(job)
                    if self.is_watch and len(self.latest) > _KEPT:
                        self.jobs.pop(self.latest.pop(0).name.lower(), None)

    @property
    def is_stopping(self) -> bool:
        """Whether a job is being stopped, so that the wait continues only until it has."""
        return any(job.stop is not None for job in self.running)

    @property
    def running(self) -> list[JobProgress]:
        """The jobs whose wait has not ended, in the order of their first observation."""
        return [job for job in self.jobs.values() if job.outcome is None]

    @property
    def last_poll(self) -> datetime | None:
        """When a job was last polled, or the listing was read."""
        return max(filter(None, [self.last_sweep, *(job.last_poll for job in self.running)]), default=None)

    @property
    def next_poll(self) -> datetime | None:
        """When a job is polled next, or the listing is read."""
        return min(filter(None, [self.next_sweep, *(job.next_poll for job in self.running)]), default=None)
