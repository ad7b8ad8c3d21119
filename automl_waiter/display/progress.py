"""What is known of a wait by now, put together from its events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from automl_waiter._model import events
from automl_waiter._model.candidates import Leaderboard, Objective, objective_of
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.phases import Phase, phases_of
from automl_waiter._model.snapshot import Candidate, Snapshot
from automl_waiter._model.statuses import State
from automl_waiter._model.text import format_duration
from automl_waiter._model.tracker import Transition
from automl_waiter.report.facts import head_of, kind_of


@dataclass
class JobProgress:
    """What is known of one job by now.

    Attributes:
        name: The job's name.
        snapshot: What the last describe found.
        transitions: What was seen.
        next_look: When the next one is (UTC).
        leaderboard: The candidates, as last listed.
        reached: What the best one has reached: what it was before, what it is, and since when.
        retry: The call that failed last, while it is being made again.
        stop: Why the job was told to stop, if it was.
        outcome: How the wait for it ended.
    """

    name: str
    snapshot: Snapshot | None = None
    transitions: list[Transition] = field(default_factory=list)
    next_look: datetime | None = None
    leaderboard: Leaderboard | None = None
    reached: tuple[Objective | None, Objective, datetime] | None = None
    retry: events.Retry | None = None
    stop: str | None = None
    outcome: Outcome | None = None

    @property
    def kind(self) -> str | None:
        """Its problem type and objective, as far as they are known."""
        return None if self.snapshot is None else kind_of(self.snapshot)

    @property
    def state(self) -> State | None:
        """The statuses that were last seen."""
        return self.transitions[-1].after if self.transitions else None

    @property
    def phases(self) -> list[Phase]:
        """The phases so far."""
        created = self.snapshot.created_at if self.snapshot else None
        return phases_of(self.transitions, created, self.outcome.ended_at if self.outcome else None)

    def age(self, now: datetime) -> float | None:
        """The job's age in seconds, if its creation is known."""
        return None if self.snapshot is None else max(0.0, (now - self.snapshot.created_at).total_seconds())

    def elapsed(self, now: datetime) -> tuple[str, float | None] | None:
        """Return the job's age in words, and how much of its runtime limit that is (0 to 1), if it has one."""
        age = self.age(now)
        if self.snapshot is None or age is None:
            return None
        words, limit = format_duration(round(age)), self.snapshot.completion_criteria.max_runtime_seconds
        return (f"{words} of at most {format_duration(limit)}", min(1.0, age / limit)) if limit else (words, None)

    def take(self, event: events.Event) -> None:
        """Update the job by an event of it."""
        match event:
            case Transition():
                self.transitions.append(event)
            case events.Poll():
                self.snapshot, self.retry = event.snapshot, None
                self.next_look = event.at + timedelta(seconds=event.next_in)
                self._reach(event.snapshot.best_candidate, event.at)
            case events.Candidates(leaderboard=board):
                self.leaderboard = board
                self._reach(board.best, event.at)
            case events.Heartbeat():
                self.next_look = event.at + timedelta(seconds=event.next_in)
            case events.Retry():
                self.retry = event
            case events.StopRequested(cause=cause):
                self.stop = cause
            case events.Ended(outcome=outcome):
                self.outcome, self.snapshot = outcome, outcome.snapshot or self.snapshot

    def _reach(self, best: Candidate | None, at: datetime) -> None:
        found = objective_of(best) if best is not None else None
        before = self.reached and self.reached[1]
        if found is not None and found != before:
            self.reached = before, found, at


class Progress:
    """What is known of all jobs of a wait by now.

    Args:
        names: The names of the jobs; None: it is a watch, in which jobs come and go, for weeks.
        gives_up_at: When the wait ends, whatever the jobs do (UTC).
    """

    def __init__(self, names: Iterable[str] | None, gives_up_at: datetime | None = None) -> None:
        self.is_watch = names is None
        self.gives_up_at = gives_up_at
        self.jobs = {name.lower(): JobProgress(name) for name in names or ()}
        self.ended: Counter[str] = Counter()
        """How many jobs have ended, by how, in some words."""
        self.next_sweep: datetime | None = None
        """When the listing in which many jobs are followed is read next."""
        self.retry: events.Retry | None = None
        """The call for the listing that failed last, while it is being made again."""

    def take(self, event: events.Event) -> None:
        """Takes in an event."""
        match event:
            case events.Sweep(at=at, next_in=seconds):
                self.next_sweep, self.retry = at + timedelta(seconds=seconds), None
            case events.Retry(job_name=None):
                self.retry = event
            case _ if event.job_name is not None:
                # AWS compares names without case, and a wait may have been asked for in another than the job's own.
                job = self.jobs.setdefault(event.job_name.lower(), JobProgress(event.job_name))
                job.name = event.job_name
                job.take(event)
                if isinstance(event, events.Ended):
                    self.ended[head_of(event.outcome)] += 1
                    if self.is_watch:
                        del self.jobs[event.job_name.lower()]

    @property
    def is_stopping(self) -> bool:
        """Whether a job was told to stop, so that the wait goes on only until it has."""
        return any(job.stop is not None for job in self.running)

    @property
    def running(self) -> list[JobProgress]:
        """The jobs that are waited for still, in the order in which they were first seen."""
        return [job for job in self.jobs.values() if job.outcome is None]

    @property
    def next_look(self) -> datetime | None:
        """When any of the jobs is polled next."""
        return min(filter(None, [self.next_sweep, *(job.next_look for job in self.running)]), default=None)
