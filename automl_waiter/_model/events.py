"""The events of a wait: one stream, to which every view, log and callback subscribes.

Every event has `event` (its name in JSON), `job_name` and `at` (UTC). `job_name` is None for an event of the listing
in which many jobs are followed.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from automl_waiter._model.candidates import Leaderboard, objective_of
from automl_waiter._model.estimates import Estimate
from automl_waiter._model.json_form import jsonable
from automl_waiter._model.outcome import Outcome, transition_dict
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.statuses import State
from automl_waiter._model.tracker import Anomaly, Transition

HEARTBEAT_EVERY_S = 240.0
"""Seconds of silence before a heartbeat: CI systems kill a step that prints nothing for some minutes (CircleCI: 10)."""


@dataclass(frozen=True)
class Poll:
    """A poll returned `snapshot`; the next poll is in `next_in` seconds."""

    event: ClassVar[str] = "poll"

    job_name: str
    at: datetime
    snapshot: Snapshot
    polls: int
    next_in: float

    @property
    def state(self) -> State:
        """Both statuses."""
        return self.snapshot.state


@dataclass(frozen=True)
class Candidates:
    """The candidates were listed, for a view or for a condition on a candidate."""

    event: ClassVar[str] = "candidates"

    job_name: str
    at: datetime
    leaderboard: Leaderboard


@dataclass(frozen=True)
class Estimated(Estimate):
    """When the job will end: the first estimate, or one whose `ends_at` has moved by more than a minute."""

    event: ClassVar[str] = "estimate"

    job_name: str
    at: datetime


@dataclass(frozen=True)
class Sweep:
    """A read of the listing took `pages` pages; `running` jobs are still followed. The next is in `next_in` seconds.

    In a watch, every new job that was created before `reported_to`, by the service's clock, was reported; None while an
    older one is still to be described. `account` is None until a job was shown.
    """

    event: ClassVar[str] = "sweep"

    job_name: None
    at: datetime
    running: int
    pages: int
    next_in: float
    account: str | None = None
    reported_to: datetime | None = None


@dataclass(frozen=True)
class Heartbeat:
    """The wait is alive in a long sleep: the next poll is in `next_in` seconds.

    `state` is that of the previous poll; None before the first one, and for the listing.
    """

    event: ClassVar[str] = "heartbeat"

    job_name: str | None
    at: datetime
    state: State | None
    next_in: float


@dataclass(frozen=True)
class Retry:
    """A call failed with a transient error and is retried in `delay` seconds."""

    event: ClassVar[str] = "retry"

    job_name: str | None
    at: datetime
    operation: str
    attempt: int
    kind: str
    code: str | None
    message: str
    delay: float


@dataclass(frozen=True)
class Warned:
    """A problem that the user should know of. The wait continues."""

    event: ClassVar[str] = "warning"

    job_name: str
    at: datetime
    message: str


@dataclass(frozen=True)
class Notice:
    """A decision that was made for the user and that they may want to know."""

    event: ClassVar[str] = "notice"

    job_name: str | None
    at: datetime
    message: str


@dataclass(frozen=True)
class StopRequested:
    """StopAutoMLJob was called. Unless the cause is an interrupt, the wait continues until the job has stopped."""

    event: ClassVar[str] = "stop_requested"

    job_name: str
    at: datetime
    cause: str


@dataclass(frozen=True)
class Ended:
    """The wait for the job has ended. This is the job's last event."""

    event: ClassVar[str] = "outcome"

    job_name: str
    at: datetime
    outcome: Outcome


Event = (
    Transition
    | Anomaly
    | Poll
    | Candidates
    | Estimated
    | Sweep
    | Heartbeat
    | Retry
    | Warned
    | Notice
    | StopRequested
    | Ended
)


def event_dict(event: Event) -> dict[str, Any]:
    """Return an event in JSON's types: a line of `automl-waiter wait -o jsonl`."""
    head = {"event": event.event, "at": jsonable(event.at), "job_name": event.job_name}
    match event:
        case Transition():
            return head | transition_dict(event)
        case Ended():
            return head | event.outcome.to_dict()
        case Poll():
            state = jsonable(event.state._asdict())
            return head | {"state": state, "polls": event.polls, "next_in": jsonable(event.next_in)}
        case Candidates(leaderboard=board):
            objective = objective_of(board.best) if board.best else None
            best = board.best and objective and {"name": board.best.name, **objective._asdict()}
            more: dict[str, Any] = jsonable({"listed": len(board.candidates), "best": best})
            return head | more
        case Heartbeat():
            return head | {"state": event.state and jsonable(event.state._asdict()), "next_in": jsonable(event.next_in)}
        case _:
            rest = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
            members: dict[str, Any] = jsonable({name: rest[name] for name in rest if name not in head})
            return head | members
