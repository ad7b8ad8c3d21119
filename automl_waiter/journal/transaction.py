"""One transaction on a journal: what it journals, claims and acknowledges together."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from automl_waiter._model.job_refs import region_of
from automl_waiter._model.statuses import REACHABLE, State
from automl_waiter._model.tracker import Transition
from automl_waiter.journal.schema import TRANSITION, instant_of, stored, transition_of


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
    """A job that has not ended, or of which a subscriber lacks something."""

    name: str
    arn: str


class Resumption(NamedTuple):
    """What a watch that is started again continues with.

    Attributes:
        jobs: The unfinished jobs.
        reported_to: By account, the service's time up to which no new job is missing.
        reported: The ARNs, in lower case, of the jobs that were created since then and are finished.
    """

    jobs: Sequence[UnfinishedJob] = ()
    reported_to: Mapping[str, datetime] = {}
    reported: Set[str] = frozenset()


class WatchKey(NamedTuple):
    """Which jobs a watch follows."""

    region: str
    name_contains: str


class Transaction:
    """The reads and writes of one transaction, and the state to keep once it is committed.

    Args:
        db: A connection in a transaction.
        owner: The name of this process in the journal.
        is_alive: Returns whether the process of another name is alive.
        now: The time of day (UTC).
        handed: The deliveries, by transition and subscriber, that this process was handed and has not acknowledged.
        seen_to: By job, the last transition that this process has observed too.
        opened_at: The last transition of all when this process opened the journal, before it observed anything.

    Attributes:
        handed: The same after this transaction. This process is never handed one of them again.
        seen_to: The same after this transaction.
        latest: The last transition of each job that was journaled.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        owner: str,
        is_alive: Callable[[str], bool],
        now: datetime,
        *,
        handed: Set[tuple[int, str]] = frozenset(),
        seen_to: Mapping[int, int] | None = None,
        opened_at: int = 0,
    ) -> None:
        self.handed = set(handed)
        self.seen_to = dict(seen_to or {})
        self.latest: dict[str, Transition] = {}
        self._opened_at = opened_at
        self._db = db
        self._owner = owner
        self._is_alive = is_alive
        self._now = now

    def record(self, transition: Transition, subscribers: frozenset[str]) -> list[Entry]:
        """Journal a transition, and claim and return the deliveries of its job to make now."""
        job, _, latest = self._insert(transition)
        self.latest[transition.job_arn.lower()] = latest
        for subscriber in subscribers:
            self._owe(job, transition.job_name, subscriber)
        found: dict[int, tuple[Transition, set[str]]] = {}
        rows = self._db.execute(
            f"SELECT d.subscriber, d.owner, {TRANSITION} FROM transition t "  # noqa: S608
            "JOIN delivery d ON d.transition_id = t.id WHERE t.job_id = ? AND d.acknowledged_at IS NULL",
            (job,),
        ).fetchall()
        for subscriber, owner, *row in rows:
            if subscriber in subscribers and self._is_free(row[0], subscriber, owner):
                pending = transition_of(row, transition.job_name, transition.job_arn)
                self._claim(row[0], subscriber)
                found.setdefault(row[0], (pending, set()))[1].add(subscriber)
        return [Entry(number, pending, frozenset(names)) for number, (pending, names) in sorted(found.items())]

    def record_handed(self, transition: Transition, subscribers: frozenset[str]) -> None:
        """Journal a transition that was delivered unjournaled."""
        _, number, _ = self._insert(transition, is_late=True)
        if number is not None:
            for subscriber in subscribers:
                self._db.execute(
                    "INSERT OR IGNORE INTO delivery (transition_id, subscriber) VALUES (?, ?)", (number, subscriber)
                )
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

    def resume(self, watch: WatchKey, subscribers: Collection[str]) -> Resumption:
        """Return what a watch for these subscribers continues with. From now on they are owed its jobs' transitions."""
        jobs = dict(self._named("j.region = ? AND NOT j.has_ended", watch.region))
        reported_to: dict[str, datetime] = {}
        for subscriber in subscribers:
            pending = self._db.execute(
                "SELECT t.job_id, d.transition_id, d.owner FROM delivery d "
                "JOIN transition t ON t.id = d.transition_id WHERE d.subscriber = ? AND d.acknowledged_at IS NULL",
                (subscriber,),
            ).fetchall()
            for job in {job for job, number, owner in pending if self._is_free(number, subscriber, owner)}:
                jobs |= self._named("j.id = ? AND j.region = ?", job, watch.region)
            self._join(watch, "", subscriber)
            # A record adds all deliveries of its job, so the last one stands for them all.
            owed = self._named(
                "j.latest > (SELECT min(joined) FROM watch WHERE (subscriber, region, name_contains) = (?, ?, ?)) "
                "AND j.region = ? AND instr(lower(j.name), ?) AND NOT EXISTS "
                "(SELECT 1 FROM delivery d WHERE d.transition_id = j.latest AND d.subscriber = ?)",
                *(subscriber, *watch, *watch, subscriber),
            )
            jobs |= owed
            if not owed:  # the next search need not begin before this one
                self._db.execute(
                    f"UPDATE watch SET joined = ({_LAST}) WHERE (subscriber, region, name_contains) = (?, ?, ?)",  # noqa: S608
                    (subscriber, *watch),
                )
            for account, instant in self._db.execute(
                "SELECT account, reported_to FROM watch "
                "WHERE (subscriber, region, name_contains) = (?, ?, ?) AND reported_to IS NOT NULL",
                (subscriber, *watch),
            ).fetchall():
                reported_to[account] = min(reported_to.get(account, instant_of(instant)), instant_of(instant))
        since = stored(min(reported_to.values(), default=None))
        finished = self._named("j.region = ? AND j.has_ended AND j.created_at >= ?", watch.region, since)
        reported = frozenset(finished[number].arn.lower() for number in finished.keys() - jobs.keys())
        return Resumption([jobs[number] for number in sorted(jobs)], reported_to, reported)

    def reported(self, watch: WatchKey, account: str, reported_to: datetime, subscribers: Collection[str]) -> None:
        """Journal the service's time up to which a watch has reported every new job of an account."""
        for subscriber in subscribers:
            self._join(watch, account, subscriber)
            self._db.execute(
                "UPDATE watch SET reported_to = CASE account WHEN ? THEN ? END "
                "WHERE (subscriber, region, name_contains) = (?, ?, ?) AND account IN (?, '')",
                (account, stored(reported_to), subscriber, *watch, account),
            )

    def last_number(self) -> int:
        """Return the number of the last transition of all, 0 if there is none."""
        return int(self._db.execute(_LAST).fetchone()[0])

    def release_all(self) -> None:
        """Release the deliveries that this process claimed and did not make."""
        self._db.execute("UPDATE delivery SET owner = NULL WHERE acknowledged_at IS NULL AND owner = ?", (self._owner,))

    def _named(self, where: str, *values: object) -> dict[int, UnfinishedJob]:
        rows = self._db.execute(f"SELECT j.id, j.name, j.arn FROM job j WHERE {where}", values)  # noqa: S608
        # Another program may have stored anything.
        return {
            number: UnfinishedJob(name, arn)
            for number, name, arn in rows
            if isinstance(name, str) and isinstance(arn, str)
        }

    def _join(self, watch: WatchKey, account: str, subscriber: str) -> None:
        self._db.execute(
            "INSERT OR IGNORE INTO watch (subscriber, region, name_contains, account, joined) "  # noqa: S608
            f"VALUES (?, ?, ?, ?, ({_LAST}))",
            (subscriber, *watch, account),
        )

    def _job(self, name: str, arn: str) -> int:
        region = region_of(arn) or ""
        self._db.execute(
            "INSERT INTO job (arn, name, region) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (arn, name, region)
        )
        return int(self._db.execute("SELECT id FROM job WHERE arn = ?", (arn,)).fetchone()[0])

    def _insert(self, transition: Transition, *, is_late: bool = False) -> tuple[int, int | None, Transition]:
        """Journal a transition if it is news.

        Return the job, the transition's number (None if it is older than the journal), and the job's last transition.
        A transition is late if it could not be journaled when it was observed.
        """
        job = self._job(transition.job_name, transition.job_arn)
        seen_to = self.seen_to.get(job, self._opened_at)
        rows = self._db.execute(
            f"SELECT {TRANSITION} FROM transition t WHERE t.job_id = ? AND t.id >= "  # noqa: S608
            "min(?, (SELECT max(id) FROM transition WHERE job_id = ?)) ORDER BY t.id",
            (job, seen_to + 1, job),
        ).fetchall()
        known = {row[0]: transition_of(row, transition.job_name, transition.job_arn) for row in rows}
        latest = known[max(known)] if known else None
        # What other processes have journaled meanwhile. Without it, the observation is newer than the journal.
        others = [number for number in known if number > seen_to]
        number = next((number for number in others or known if known[number].after == transition.after), None)
        is_older = bool(others) and latest is not None and (is_late or _is_before(transition.after, latest.after))
        if number is None and not is_older and is_change(latest, transition.after):
            number, latest = self._append(job, latest, transition)
        if number is not None:
            self.seen_to[job] = number
        return job, number, latest or transition

    def _append(self, job: int, latest: Transition | None, transition: Transition) -> tuple[int, Transition]:
        if latest is not None:
            # Of the two previous polls, the later one bounds the change more tightly. The wall clock may have jumped.
            polls = [transition.not_before or latest.observed_at, latest.observed_at]
            not_before = max((poll for poll in polls if poll <= transition.observed_at), default=transition.observed_at)
            repeat = self._db.execute(
                "SELECT count(*) FROM transition WHERE job_id = ? AND status = ? AND secondary_status = ?",
                (job, *transition.after),
            ).fetchone()[0]
            transition = replace(transition, before=latest.after, not_before=not_before, repeat=repeat)
        values: tuple[Any, ...] = (
            *(transition.before or (None, None)),
            *transition.after,
            transition.repeat,
            stored(transition.observed_at),
            stored(transition.not_before),
        )
        cursor = self._db.execute(
            "INSERT INTO transition (job_id, before_status, before_secondary_status, status, secondary_status, repeat, "
            "observed_at, not_before) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (job, *values),
        )
        number = int(cursor.lastrowid or 0)
        # The end of an earlier wait says nothing about a job that has changed since.
        self._db.execute(
            "UPDATE job SET latest = ?, has_ended = ?, verdict = NULL, exit_code = NULL WHERE id = ?",
            (number, transition.after.is_terminal, job),
        )
        return number, transition

    def _owe(self, job: int, name: str, subscriber: str) -> None:
        """Add the deliveries that a subscriber lacks: all from its first one on, or from when it joined a watch.

        A new subscriber gets the present state alone.
        """
        self._db.execute(
            "INSERT OR IGNORE INTO delivery (transition_id, subscriber) SELECT t.id, :subscriber FROM transition t "
            "JOIN job j ON j.id = t.job_id WHERE t.job_id = :job AND t.id >= min(j.latest, "
            "coalesce((SELECT min(d.transition_id) FROM delivery d JOIN transition i ON i.id = d.transition_id "
            "WHERE i.job_id = :job AND d.subscriber = :subscriber), j.latest), "
            "coalesce((SELECT min(w.joined) + 1 FROM watch w WHERE w.subscriber = :subscriber "
            "AND w.region = j.region AND instr(:name, w.name_contains)), j.latest))",
            {"job": job, "subscriber": subscriber, "name": name.lower()},
        )

    def _find(self, transition: Transition) -> int | None:
        """Return the number of a transition that was delivered without one; another process may have journaled it."""
        row = self._db.execute(
            "SELECT t.id FROM transition t JOIN job j ON j.id = t.job_id "
            "WHERE j.arn = ? AND t.status = ? AND t.secondary_status = ? ORDER BY t.observed_at = ? DESC, t.id DESC",
            (transition.job_arn, *transition.after, stored(transition.observed_at)),
        ).fetchone()
        return None if row is None else int(row[0])

    def _is_free(self, number: int, subscriber: str, owner: str | None) -> bool:
        if (number, subscriber) in self.handed:
            return False
        return owner is None or owner == self._owner or not self._is_alive(owner)

    def _claim(self, number: int, subscriber: str) -> None:
        self._db.execute(
            "UPDATE delivery SET owner = ?, claimed_at = ? "
            "WHERE transition_id = ? AND subscriber = ? AND acknowledged_at IS NULL",
            (self._owner, stored(self._now), number, subscriber),
        )
        self.handed.add((number, subscriber))


_LAST = "SELECT coalesce(max(id), 0) FROM transition"


def is_change(latest: Transition | None, after: State) -> bool:
    """Return whether a job has changed since its `latest` transition: an end is final."""
    return latest is None or not (latest.after == after or latest.after.is_terminal)


def _is_before(state: State, other: State) -> bool:
    """Return whether a job is in a state only before the other one, as far as the moves are known."""
    return other in REACHABLE.get(state, ()) and state not in REACHABLE.get(other, ())
