"""The state machine of one job: snapshots in; transitions, anomalies and the end out.

The table in `statuses` lists the expected moves. An unexpected one is reported as an anomaly and followed like any
other: the service is right, and our table is incomplete.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from automl_waiter._model.errors import JobReplaced
from automl_waiter._model.job_refs import JobRef
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.statuses import REACHABLE, STATES, SecondaryStatus, State, Status
from automl_waiter._model.text import in_utc, isoformat, short_repr

_STATUSES = frozenset(Status)
_SECONDARY_STATUSES = frozenset(SecondaryStatus)


@dataclass(frozen=True, repr=False)
class Transition:
    """The change between two polls. The job may have passed through other phases in between.

    Attributes:
        job_name: The job's name.
        job_arn: The job's ARN.
        before: The statuses at the previous poll; None for the first observation.
        after: The statuses now.
        observed_at: When `after` was observed (UTC).
        not_before: When the previous poll was made: the change lies between the two. None for the first observation.
        created_at: The job's CreationTime (UTC), if it is known.
        repeat: How often the job was in `after` before, as far as it was observed.
    """

    event: ClassVar[str] = "transition"

    job_name: str
    job_arn: str
    before: State | None
    after: State
    observed_at: datetime
    not_before: datetime | None
    created_at: datetime | None = None
    repeat: int = 0

    @property
    def id(self) -> str:
        """The transition's id, the same each time it is delivered, whichever process observed it, and when."""
        # Without `before` and the times, which differ between processes.
        words = [self.job_arn.lower(), *self.after, self.repeat]
        return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:32]

    @property
    def at(self) -> datetime:
        """`observed_at`, under the name that every event has."""
        return self.observed_at

    def __repr__(self) -> str:
        before = f"{self.before} -> " if self.before else ""
        at = f"{in_utc(self.observed_at):%Y-%m-%d %H:%M:%S} UTC"
        return short_repr(self, self.job_name, f"{before}{self.after} at {at}")


class AnomalyKind(StrEnum):
    """The kinds of anomalies."""

    UNKNOWN_STATUS = "unknown_status"
    UNKNOWN_SECONDARY_STATUS = "unknown_secondary_status"
    UNEXPECTED_STATE = "unexpected_state"
    UNEXPECTED_MOVE = "unexpected_move"


@dataclass(frozen=True)
class Anomaly:
    """The service returned something outside the table. The wait continues."""

    event: ClassVar[str] = "anomaly"

    job_name: str
    at: datetime
    kind: AnomalyKind
    message: str


@dataclass(frozen=True)
class Observation:
    """The result of one snapshot."""

    transition: Transition | None
    anomalies: tuple[Anomaly, ...]
    is_terminal: bool

    @property
    def events(self) -> tuple[Transition | Anomaly, ...]:
        """The events to report, in order."""
        return (self.transition, *self.anomalies) if self.transition else self.anomalies


class Tracker:
    """Track one job from its first observation on.

    `snapshot` is the last one, or None; `transitions` are all so far. After a terminal status, later snapshots
    change nothing: an end is final.
    """

    def __init__(self, job: JobRef) -> None:
        self.snapshot: Snapshot | None = None
        self.transitions: list[Transition] = []
        self.arn = job.arn
        """The job's ARN, once it is known."""
        self._created_at = job.created_at
        self._seen_at: datetime | None = None
        self._reported: set[tuple[AnomalyKind, str]] = set()

    def observe(self, snapshot: Snapshot, at: datetime) -> Observation:
        """Return what a snapshot that was read at `at` changes.

        Raises:
            JobReplaced: Its ARN or CreationTime differs from that of the tracked job.
        """
        if self.snapshot is not None and self.snapshot.state.is_terminal:
            return Observation(None, (), is_terminal=True)
        self._pin(snapshot)
        before = self.snapshot.state if self.snapshot is not None else None
        after = snapshot.state
        transition = None
        if before != after:
            repeat = sum(earlier.after == after for earlier in self.transitions)
            transition = Transition(
                snapshot.name,
                snapshot.arn,
                before,
                after,
                observed_at=at,
                not_before=self._seen_at,
                created_at=snapshot.created_at,
                repeat=repeat,
            )
            self.transitions.append(transition)
        anomalies = self._anomalies(snapshot.name, before, after, at) if transition else ()
        self.snapshot, self._seen_at = snapshot, at
        return Observation(transition, anomalies, after.is_terminal)

    def _pin(self, snapshot: Snapshot) -> None:
        # ARNs had the name in lower case until 2022, and keep its case since 2023. The service ignores case in names.
        if self.arn is not None and snapshot.arn.lower() != self.arn.lower():
            raise JobReplaced(
                f"the name {snapshot.name} is {snapshot.arn} here, but you wait for {self.arn}: use the credentials "
                "of that job's account"
            )
        if self._created_at is not None and snapshot.created_at != self._created_at:
            raise JobReplaced(
                f"the name {snapshot.name} now belongs to another job, created at {isoformat(snapshot.created_at)}; "
                f"you wait for the one created at {isoformat(self._created_at)}"
            )
        self.arn, self._created_at = snapshot.arn, snapshot.created_at

    def _anomalies(self, name: str, before: State | None, after: State, at: datetime) -> tuple[Anomaly, ...]:
        found: list[tuple[AnomalyKind, str, str]] = []
        if after.status not in _STATUSES:
            found.append((AnomalyKind.UNKNOWN_STATUS, after.status, "unknown status"))
        if after.secondary_status not in _SECONDARY_STATUSES:
            found.append((AnomalyKind.UNKNOWN_SECONDARY_STATUS, after.secondary_status, "unknown secondary status"))
        # A job that is being stopped may keep its phase: one recorded job shows Stopping/PreTraining.
        if not found and after not in STATES and after.status != Status.STOPPING:
            found.append((AnomalyKind.UNEXPECTED_STATE, str(after), "unknown pair of statuses"))
        elif before in REACHABLE and after in STATES and after not in REACHABLE[before]:
            found.append((AnomalyKind.UNEXPECTED_MOVE, f"{before} -> {after}", "unexpected transition"))
        # Each anomaly is reported once, however often the job returns to it.
        new = [(kind, what, words) for kind, what, words in found if (kind, what) not in self._reported]
        self._reported.update((kind, what) for kind, what, _ in new)
        return tuple(Anomaly(name, at, kind, f"{words}: {what}; still waiting") for kind, what, words in new)
