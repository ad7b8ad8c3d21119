"""One transaction on a journal: what it journals, claims and acknowledges together."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from automl_waiter._model.job_refs import region_of
from automl_waiter._model.text import in_utc
from automl_waiter._model.tracker import Transition
from automl_waiter.journal.owners import is_alive
from automl_waiter.journal.schema import TRANSITION, stored, transition_of


@dataclass(frozen=True)
class Entry:
    """A transition to deliver now.

    Attributes:
        id: Its number in the journal; None if it could not be journaled.
        transition: As journaled: `before` and `not_before` may come from an earlier process.
        subscribers: The subscribers of this process to deliver it to.
    """

    id: int | None
    transition: Transition
    subscribers: frozenset[str]


class UnfinishedJob(NamedTuple):
    """A job that has not ended, or that has pending deliveries."""

    name: str
    arn: str


class Transaction:
    """The reads and writes of one transaction, and the state to keep once it is committed.

    Args:
        db: A connection in a transaction.
        owner: The owner name of this process.
        now: The time of day (UTC).
        handed: The deliveries, by transition and subscriber, that this process was handed and has not acknowledged.

    Attributes:
        handed: The same after this transaction. This process is never handed one of them again.
        latest: The last transition for each job and subscriber.
    """

    def __init__(self, db: sqlite3.Connection, owner: str, now: datetime, handed: Set[tuple[int, str]]) -> None:
        self.handed = set(handed)
        self.latest: dict[tuple[str, str], Transition] = {}
        self._db = db
        self._owner = owner
        self._now = now

    def record(self, transition: Transition, subscribers: frozenset[str]) -> list[Entry]:
        """Journal a transition, and claim and return the deliveries to make now."""
        job, latest_id, latest = self._insert(transition)
        for subscriber in subscribers:
            self.latest[transition.job_arn.lower(), subscriber] = latest
            self._add_delivery(latest_id, subscriber)
        found: dict[int, tuple[Transition, set[str]]] = {}
        rows = self._db.execute(
            f"SELECT d.subscriber, d.owner, d.claimed_at, {TRANSITION} FROM transition t "  # noqa: S608
            "JOIN delivery d ON d.transition_id = t.id WHERE t.job_id = ? AND d.acknowledged_at IS NULL",
            (job,),
        ).fetchall()
        for subscriber, owner, claimed_at, *row in rows:
            if subscriber in subscribers and self._is_free(row[0], subscriber, owner, claimed_at):
                self._claim(row[0], subscriber)
                pending = transition_of(row, transition.job_name, transition.job_arn)
                found.setdefault(row[0], (pending, set()))[1].add(subscriber)
        return [Entry(number, pending, frozenset(names)) for number, (pending, names) in sorted(found.items())]

    def record_handed(self, transition: Transition, subscribers: frozenset[str]) -> None:
        """Journal a transition that was delivered unjournaled."""
        _, number, latest = self._insert(transition)
        if latest.after == transition.after:  # otherwise it is too late to journal it
            for subscriber in subscribers:
                self._add_delivery(number, subscriber)
                self._claim(number, subscriber)

    def settle(self, entry: Entry, subscriber: str, acknowledged_at: datetime | None) -> None:
        """Journal that a delivery was acknowledged; if `acknowledged_at` is None, release it to other processes."""
        number = self._find(entry.transition) if entry.id is None else entry.id
        if number is None:
            return
        if acknowledged_at is None:
            self._db.execute(
                "UPDATE delivery SET owner = NULL WHERE transition_id = ? AND subscriber = ? AND owner = ?",
                (number, subscriber, self._owner),
            )
            return
        # It was delivered, whatever process owns it by now.
        self._db.execute(
            "UPDATE delivery SET owner = NULL, acknowledged_at = ? "
            "WHERE transition_id = ? AND subscriber = ? AND acknowledged_at IS NULL",
            (stored(acknowledged_at), number, subscriber),
        )
        self.handed.discard((number, subscriber))

    def end(self, name: str, arn: str, columns: Mapping[str, str | int | None]) -> None:
        """Journal how the wait for a job ended: columns of `job`, and `is_gone` if the job no longer exists."""
        # A cancelled wait does not overwrite the end that another wait observed.
        self._db.execute(
            "UPDATE job SET verdict = :verdict, exit_code = :exit_code, has_ended = has_ended OR :is_gone, "
            "created_at = coalesce(:created_at, created_at), ended_at = coalesce(:ended_at, ended_at), "
            "failure_reason = coalesce(:failure_reason, failure_reason) "
            "WHERE id = :id AND (:ended_at IS NOT NULL OR NOT has_ended OR verdict IS NULL)",
            {**columns, "id": self._job(name, arn)},
        )

    def unfinished(self, region: str, subscribers: frozenset[str]) -> list[UnfinishedJob]:
        """Return the jobs that have not ended, or that have pending deliveries for these subscribers."""
        jobs = {
            number: UnfinishedJob(name, arn)
            for number, name, arn in self._db.execute(
                "SELECT id, name, arn FROM job WHERE region = ? AND NOT has_ended", (region,)
            )
        }
        rows = self._db.execute(
            "SELECT j.id, j.name, j.arn, d.transition_id, d.subscriber, d.owner, d.claimed_at FROM delivery d "
            "JOIN transition t ON t.id = d.transition_id JOIN job j ON j.id = t.job_id "
            "WHERE d.acknowledged_at IS NULL AND j.region = ?",
            (region,),
        )
        for number, name, arn, *delivery in rows:
            if number not in jobs and delivery[1] in subscribers and self._is_free(*delivery):
                jobs[number] = UnfinishedJob(name, arn)
        return [jobs[number] for number in sorted(jobs)]

    def release_all(self) -> None:
        """Release the deliveries that this process claimed and did not make."""
        self._db.execute("UPDATE delivery SET owner = NULL WHERE acknowledged_at IS NULL AND owner = ?", (self._owner,))

    def _job(self, name: str, arn: str) -> int:
        region = region_of(arn) or ""
        self._db.execute(
            "INSERT INTO job (arn, name, region) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (arn, name, region)
        )
        return int(self._db.execute("SELECT id FROM job WHERE arn = ?", (arn,)).fetchone()[0])

    def _insert(self, transition: Transition) -> tuple[int, int, Transition]:
        """Journal a transition if it is news. Return the job, and the number and form of its latest transition."""
        job = self._job(transition.job_name, transition.job_arn)
        row = self._db.execute(
            f"SELECT {TRANSITION} FROM transition t WHERE t.job_id = ? ORDER BY t.id DESC LIMIT 1",  # noqa: S608
            (job,),
        ).fetchone()
        if row is not None:
            latest = transition_of(row, transition.job_name, transition.job_arn)
            if not is_news(latest, transition):
                return job, row[0], latest
            # Of the two previous polls, the later one bounds the change more tightly.
            not_before = max(transition.not_before or latest.observed_at, latest.observed_at)
            transition = replace(transition, before=latest.after, not_before=not_before)
        cursor = self._db.execute(
            "INSERT INTO transition (job_id, before_status, before_secondary_status, status, secondary_status, "
            "observed_at, not_before) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                job,
                *(transition.before or (None, None)),
                *transition.after,
                stored(transition.observed_at),
                stored(transition.not_before),
            ),
        )
        # The end of an earlier wait says nothing about a job that has changed since.
        self._db.execute(
            "UPDATE job SET has_ended = ?, verdict = NULL, exit_code = NULL WHERE id = ?",
            (transition.after.is_terminal, job),
        )
        return job, int(cursor.lastrowid or 0), transition

    def _find(self, transition: Transition) -> int | None:
        """Return the number of a transition that was delivered without one; another process may have journaled it."""
        row = self._db.execute(
            "SELECT t.id FROM transition t JOIN job j ON j.id = t.job_id "
            "WHERE j.arn = ? AND t.status = ? AND t.secondary_status = ? ORDER BY t.observed_at = ? DESC, t.id DESC",
            (transition.job_arn, *transition.after, stored(transition.observed_at)),
        ).fetchone()
        return None if row is None else int(row[0])

    def _is_free(self, number: int, subscriber: str, owner: str | None, claimed_at: str | None) -> bool:
        if (number, subscriber) in self.handed:
            return False
        return owner is None or owner == self._owner or not is_alive(owner, claimed_at, self._now)

    def _claim(self, number: int, subscriber: str) -> None:
        self._db.execute(
            "UPDATE delivery SET owner = ?, claimed_at = ? "
            "WHERE transition_id = ? AND subscriber = ? AND acknowledged_at IS NULL",
            (self._owner, stored(self._now), number, subscriber),
        )
        self.handed.add((number, subscriber))

    def _add_delivery(self, number: int, subscriber: str) -> None:
        """Add a delivery without an owner, unless the subscriber has one of this transition."""
        self._db.execute(
            "INSERT INTO delivery (transition_id, subscriber) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (number, subscriber),
        )


def is_news(latest: Transition | None, transition: Transition) -> bool:
    """Return whether a job has changed since its `latest` transition: an end is final, and time does not run back."""
    return latest is None or not (
        latest.after == transition.after
        or latest.after.is_terminal
        or in_utc(transition.observed_at) < in_utc(latest.observed_at)
    )
