"""`--journal`: what was seen of jobs and to whom it was delivered, in a SQLite file that outlives the process.

A transition is committed before it is handed out, and a delivery once its subscriber has taken it. A process that is
killed in between leaves a delivery that nobody owns any more, and the next process makes it. Several processes may
share a file: while one of them delivers a transition to a subscriber, no other does.

The journal never ends a wait and never holds it up for long. While the file cannot be used, transitions are handed
out unjournaled, and what belongs into the file is kept in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import platform
import secrets
import sqlite3
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from automl_waiter.errors import AutoMLWaiterError
from automl_waiter.jsonform import jsonable
from automl_waiter.outcome import Outcome, Verdict, transition_dict
from automl_waiter.statuses import State
from automl_waiter.text import clean
from automl_waiter.tracker import Transition

SCHEMA_VERSION = 1
"""The `user_version` of a journal that this release writes."""

# "amlw": tells a journal from any other SQLite file, which must not be written to.
_APPLICATION_ID = 0x616D6C77

_BUSY_TIMEOUT = 0.5
_RETRY_AFTER = 5.0
_MOST_KEPT = 10_000
_PART = 200
_PAUSE = 0.01
# Whether a process of another host lives cannot be asked, so it is given time: a command may run for a minute.
_FOREIGN_CLAIM = timedelta(minutes=5)
_READ_TIMEOUT = 2.0

# Closing any descriptor of a file drops the locks that SQLite holds on it in this process, so none is opened beside it.
_CREATION = threading.Lock()

_SCHEMA = (
    """CREATE TABLE job (
        id INTEGER PRIMARY KEY,
        arn TEXT NOT NULL UNIQUE COLLATE NOCASE,
        name TEXT NOT NULL,
        region TEXT NOT NULL,
        has_ended INTEGER NOT NULL DEFAULT 0,
        verdict TEXT,
        exit_code INTEGER,
        created_at TEXT,
        ended_at TEXT,
        failure_reason TEXT
    )""",
    "CREATE INDEX unfinished_job ON job (region) WHERE NOT has_ended",
    """CREATE TABLE transition (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        job_id INTEGER NOT NULL REFERENCES job,
        before_status TEXT,
        before_secondary_status TEXT,
        status TEXT NOT NULL,
        secondary_status TEXT NOT NULL,
        not_before TEXT,
        observed_at TEXT NOT NULL
    )""",
    "CREATE INDEX transition_of_job ON transition (job_id)",
    """CREATE TABLE delivery (
        transition_id INTEGER NOT NULL REFERENCES transition,
        subscriber TEXT NOT NULL,
        owner TEXT,
        claimed_at TEXT,
        acknowledged_at TEXT,
        PRIMARY KEY (transition_id, subscriber)
    ) WITHOUT ROWID""",
    "CREATE INDEX pending_delivery ON delivery (subscriber, transition_id) WHERE acknowledged_at IS NULL",
)

_TRANSITION = (
    "t.id, t.before_status, t.before_secondary_status, t.status, t.secondary_status, t.observed_at, t.not_before"
)
_TRANSITION_WIDTH = 7

T = TypeVar("T")


class JournalError(AutoMLWaiterError):
    """A journal that was asked for cannot be read, or does not hold what was asked for."""


@dataclass(frozen=True)
class Entry:
    """A transition that is to be delivered now.

    Attributes:
        id: Its number in the journal; None: it could not be journaled.
        transition: As journaled: `before` and `not_before` may be what an earlier process saw.
        subscribers: To which of this process's subscribers.
    """

    id: int | None
    transition: Transition
    subscribers: frozenset[str]


class UnfinishedJob(NamedTuple):
    """A job that there is more to tell of."""

    name: str
    arn: str


def subscriber_of(words: Sequence[str]) -> str:
    """The name of a subscriber: what it is, and a digest of all that is said of it, which may hold secrets."""
    digest = hashlib.sha256(json.dumps(list(words)).encode()).hexdigest()
    return _storable_text(f"{os.path.basename(words[0])} {digest[:12]}")


# What is kept in memory until it is written, in order.


@dataclass(frozen=True)
class _Handed:
    """A transition that was handed out unjournaled."""

    transition: Transition
    subscribers: frozenset[str]


@dataclass(frozen=True)
class _Settled:
    """A delivery that is over; it was not taken, if `acknowledged_at` is None."""

    entry: Entry
    subscriber: str
    acknowledged_at: datetime | None


@dataclass(frozen=True)
class _Ended:
    """How the wait for a job ended."""

    name: str
    arn: str
    verdict: Verdict
    exit_code: int
    created_at: datetime | None
    ended_at: datetime | None
    failure_reason: str | None


_Kept = _Handed | _Settled | _Ended
_Delivery = tuple[int, str]


class Journal:
    """A journal that is written by this process, from any of its threads. Nothing that it does raises.

    Args:
        path: The file. It is created at its first use, for this user alone.
        warn: Told, in one line and once for each kind of problem, why the file cannot be used.
        clock: Seconds that never go back: they space the attempts while the file cannot be used.
        now: The time of day (UTC).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path = Path(path).absolute()
        self._warn = warn
        self._clock = clock
        self._now = now
        self._owner = _owner_of_this_process()
        self._lock = threading.Lock()
        self._until = 0.0
        self._db: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._retry_at = -float("inf")
        self._is_given_up = False
        self._is_closed = False
        self._has_written = False
        self._warned: set[str] = set()
        self._warnings: list[str] = []
        self._kept: deque[_Kept] = deque()
        self._handed: set[_Delivery] = set()
        """What this process was handed and is not known to be acknowledged: it is never handed out again here."""
        self._latest: dict[tuple[str, str], Transition] = {}
        """For each job and subscriber, the last transition: what is new is decided by it while the file is away."""

    def record(self, transition: Transition, subscribers: Collection[str]) -> list[Entry]:
        """Journals a transition, and returns what is to be delivered now of its job, in order.

        That may be less than was given (another process delivers it, or was ahead), or more (an earlier process was
        killed before it could deliver it).
        """
        seen = _storable(transition)
        names = frozenset(subscribers)
        with self._session():
            entries = self._attempt(lambda writing: writing.record(seen, names))
            return self._unjournaled(seen, names) if entries is None else entries

    def acknowledge(self, entry: Entry, subscriber: str) -> None:
        """The subscriber has taken the transition: it is never delivered to it again."""
        self._settle(_Settled(entry, subscriber, self._now()))

    def release(self, entry: Entry, subscriber: str) -> None:
        """The subscriber has not taken the transition: the next process delivers it again, and this one does not."""
        self._settle(_Settled(entry, subscriber, None))

    def record_outcome(self, outcome: Outcome) -> None:
        """Journals how the wait for a job ended, if the job's ARN is known."""
        arn = outcome.arn or (outcome.job if outcome.job.startswith("arn:") else None)
        if arn is None:
            return
        reason = outcome.failure_reason
        ended = _Ended(
            _storable_text(outcome.job_name),
            _storable_text(arn),
            outcome.verdict,
            int(outcome.exit_code),
            outcome.created_at,
            outcome.ended_at,
            None if reason is None else _storable_text(reason),
        )
        self._settle(ended)

    def unfinished(self, region: str, subscribers: Collection[str]) -> list[UnfinishedJob]:
        """The jobs of a region that have not ended, or of which something is left to deliver to these subscribers."""
        with self._session():
            return self._attempt(lambda writing: writing.unfinished(region, frozenset(subscribers))) or []

    def flush(self) -> None:
        """Writes what is kept in memory, if there is anything and the file can be used again."""
        with self._session():
            if self._kept:
                self._attempt(_nothing_more)

    def close(self) -> None:
        """Writes what is kept, and leaves to others what was not acknowledged."""
        with self._session():
            if self._is_closed:
                return
            if self._has_written or self._kept:
                self._retry_at = -float("inf")
                self._attempt(lambda writing: writing.release_all(), is_patient=True)
            self._is_closed = True
            self._disconnect()

    @contextlib.contextmanager
    def _session(self) -> Iterator[None]:
        """One thread at a time; it waits for the others and for the file together no longer than the busy timeout."""
        until = time.monotonic() + _BUSY_TIMEOUT
        with self._lock:
            self._until = until
            try:
                yield
            finally:
                warnings, self._warnings = self._warnings, []
        # Without the lock: whoever is told may come back.
        for warning in warnings:
            self._warn(warning)

    def _settle(self, kept: _Settled | _Ended) -> None:
        with self._session():
            self._keep(kept)
            self._attempt(_nothing_more)

    def _unjournaled(self, transition: Transition, subscribers: frozenset[str]) -> list[Entry]:
        keys = {name: (transition.job_arn.lower(), name) for name in subscribers}
        new = frozenset(name for name in subscribers if _is_news(self._latest.get(keys[name]), transition))
        if not new:
            return []
        self._latest.update((keys[name], transition) for name in new)
        self._keep(_Handed(transition, new))
        return [Entry(None, transition, new)]

    def _keep(self, kept: _Kept) -> None:
        if self._is_given_up or self._is_closed:
            return
        if len(self._kept) >= _MOST_KEPT:
            self._kept.popleft()
            self._tell("overflow", f"has {_MOST_KEPT} changes waiting to be written, and the oldest are lost")
        self._kept.append(kept)

    def _attempt(self, work: Callable[[_Writing], T], *, is_patient: bool = False) -> T | None:
        """Writes what is kept, then does the work; None if the file cannot be used now, or not within this call's time.

        Args:
            work: It is all written, or nothing of it is.
            is_patient: Take as long as it takes to write what is kept.
        """
        if self._is_given_up or self._is_closed or self._clock() < self._retry_at:
            return None
        while True:
            try:
                return self._write(work, is_patient=is_patient)
            except (sqlite3.Error, OSError, ValueError, TypeError) as error:
                # Of some locks (another process changes the file's mode) SQLite says at once that they are taken.
                if not _is_locked(error) or time.monotonic() + _PAUSE > self._until:
                    self._fail(error)
                    return None
            time.sleep(_PAUSE)

    def _write(self, work: Callable[[_Writing], T], *, is_patient: bool) -> T | None:
        db = self._connected()
        # In parts: after a long outage all of it takes seconds, and on a full disk it would fail only at its end.
        while len(self._kept) > _PART:
            self._transact(db, _PART, _nothing_more)
            if not is_patient and time.monotonic() >= self._until:
                return None
        return self._transact(db, len(self._kept), work)

    def _transact(self, db: sqlite3.Connection, count: int, work: Callable[[_Writing], T]) -> T:
        """Writes the first of what is kept and does the work, in one transaction."""
        self._bound(db)
        db.execute("BEGIN IMMEDIATE")
        try:
            writing = _Writing(db, self._owner, self._now(), self._handed)
            for kept in itertools.islice(self._kept, count):
                writing.write(kept)
            result = work(writing)
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        self._has_written = True
        for _ in range(count):
            self._kept.popleft()
        self._handed |= writing.handed
        self._handed -= writing.acknowledged
        self._latest.update(writing.latest)
        return result

    def _connected(self) -> sqlite3.Connection:
        # Who writes on into a file that was removed can damage the one in its place, whose numbers mean something else.
        if self._identity is not None and _identity_of(self._path) != self._identity:
            raise _Unusable("moved", "was removed or replaced", is_final=True)
        if self._db is not None:
            return self._db
        with _CREATION, contextlib.suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        if not stat.S_ISREG(os.stat(self._path).st_mode):
            raise _Unusable("no file", "is not a file", is_final=True)
        identity = _identity_of(self._path)
        db = sqlite3.connect(
            f"{self._path.as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            self._bound(db)
            _check(db, create=True)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            db.close()
            raise
        self._db, self._identity = db, identity
        return db

    def _bound(self, db: sqlite3.Connection) -> None:
        """Lets the next statements wait for a lock for what is left of this call's time."""
        db.execute(f"PRAGMA busy_timeout = {max(0, round((self._until - time.monotonic()) * 1000))}")

    def _fail(self, error: Exception) -> None:
        problem = _problem_of(error)
        self._retry_at = self._clock() + _RETRY_AFTER
        if problem.kind != "locked":
            self._disconnect()  # what is wrong may lie in the connection: a file that was opened read-only stays so
        if problem.is_final:
            self._is_given_up = True
            self._kept.clear()
        self._tell(problem.kind, problem.words, is_final=problem.is_final)

    def _disconnect(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()

    def _tell(self, kind: str, words: str, *, is_final: bool = False) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            rest = "without it" if is_final else "and tries again to write to it"
            self._warnings.append(f"the journal {clean(self._path)} {clean(words)}; the wait goes on {rest}")


class _Writing:
    """One transaction: what it reads and writes, and what is to be remembered once it is committed."""

    def __init__(self, db: sqlite3.Connection, owner: str, now: datetime, handed: Set[_Delivery]) -> None:
        self.handed: set[_Delivery] = set()
        self.acknowledged: set[_Delivery] = set()
        self.latest: dict[tuple[str, str], Transition] = {}
        self._db = db
        self._owner = owner
        self._now = now
        self._handed_before = handed

    def record(self, transition: Transition, subscribers: frozenset[str]) -> list[Entry]:
        """Journals a transition and claims what is to be delivered now."""
        job, latest_id, latest = self._insert(transition)
        found: dict[int, tuple[Transition, set[str]]] = {}
        rows = self._db.execute(
            f"SELECT {_TRANSITION}, d.subscriber, d.owner, d.claimed_at FROM transition t "  # noqa: S608
            "JOIN delivery d ON d.transition_id = t.id WHERE t.job_id = ? AND d.acknowledged_at IS NULL ORDER BY t.id",
            (job,),
        ).fetchall()
        for row in rows:
            number, (subscriber, owner, claimed_at) = row[0], row[_TRANSITION_WIDTH:]
            if subscriber in subscribers and self._is_free(number, subscriber, owner, claimed_at):
                self._claim(number, subscriber)
                found.setdefault(number, (_transition_of(row, transition), set()))[1].add(subscriber)
        for subscriber in subscribers:
            self.latest[transition.job_arn.lower(), subscriber] = latest
            if self._claim_new(latest_id, subscriber):
                found.setdefault(latest_id, (latest, set()))[1].add(subscriber)
        return [Entry(number, *_frozen(found[number])) for number in sorted(found)]

    def write(self, kept: _Kept) -> None:
        """Writes what could not be written when it happened."""
        match kept:
            case _Handed(transition, subscribers):
                _, number, latest = self._insert(transition)
                if latest.after == transition.after:  # if not, it came too late to be journaled
                    for subscriber in subscribers:
                        if not self._claim_new(number, subscriber):
                            self._claim(number, subscriber)
            case _Settled(entry, subscriber, acknowledged_at):
                found = entry.id if entry.id is not None else self._find(entry.transition)
                if found is not None:
                    self._settle(found, subscriber, acknowledged_at)
            case _Ended():
                self._end(kept)

    def unfinished(self, region: str, subscribers: frozenset[str]) -> list[UnfinishedJob]:
        """The jobs of which there is more to tell to these subscribers."""
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

    def release_all(self) -> bool:
        """Leaves to other processes what this one was to deliver and has not."""
        self._db.execute("UPDATE delivery SET owner = NULL WHERE acknowledged_at IS NULL AND owner = ?", (self._owner,))
        return True

    def _job(self, name: str, arn: str) -> int:
        row = self._db.execute("SELECT id FROM job WHERE arn = ?", (arn,)).fetchone()
        if row is None:
            region = (arn.split(":") + [""] * 4)[3]
            cursor = self._db.execute("INSERT INTO job (arn, name, region) VALUES (?, ?, ?)", (arn, name, region))
            return int(cursor.lastrowid or 0)
        return int(row[0])

    def _insert(self, transition: Transition) -> tuple[int, int, Transition]:
        """Journals a transition, if it is one, and returns the job, and the number and the form of its latest one."""
        job = self._job(transition.job_name, transition.job_arn)
        row = self._db.execute(
            f"SELECT {_TRANSITION} FROM transition t WHERE t.job_id = ? ORDER BY t.id DESC LIMIT 1",  # noqa: S608
            (job,),
        ).fetchone()
        if row is not None:
            latest = _transition_of(row, transition)
            if not _is_news(latest, transition):
                return job, row[0], latest
            # Of the two looks before, the later one says more.
            not_before = max(transition.not_before or latest.observed_at, latest.observed_at)
            transition = replace(transition, before=latest.after, not_before=not_before)
        before = transition.before or (None, None)
        cursor = self._db.execute(
            "INSERT INTO transition (job_id, before_status, before_secondary_status, status, secondary_status, "
            "observed_at, not_before) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (job, *before, *transition.after, _stored(transition.observed_at), _stored(transition.not_before)),
        )
        # How an earlier wait ended says nothing of a job that has gone on.
        self._db.execute(
            "UPDATE job SET has_ended = ?, verdict = NULL, exit_code = NULL WHERE id = ?",
            (transition.after.is_terminal, job),
        )
        return job, int(cursor.lastrowid or 0), transition

    def _find(self, transition: Transition) -> int | None:
        """The journal's number of a transition that was handed out without one; another process may have made it."""
        row = self._db.execute(
            "SELECT t.id FROM transition t JOIN job j ON j.id = t.job_id "
            "WHERE j.arn = ? AND t.status = ? AND t.secondary_status = ? ORDER BY t.observed_at = ? DESC, t.id DESC",
            (transition.job_arn, *transition.after, _stored(transition.observed_at)),
        ).fetchone()
        return None if row is None else int(row[0])

    def _is_free(self, number: int, subscriber: str, owner: str | None, claimed_at: str | None) -> bool:
        """Whether this process may make a delivery that nobody has acknowledged."""
        if (number, subscriber) in self._handed_before or (number, subscriber) in self.handed:
            return False
        return owner is None or owner == self._owner or not _is_alive(owner, claimed_at, self._now)

    def _claim(self, number: int, subscriber: str) -> None:
        self._db.execute(
            "UPDATE delivery SET owner = ?, claimed_at = ? "
            "WHERE transition_id = ? AND subscriber = ? AND acknowledged_at IS NULL",
            (self._owner, _stored(self._now), number, subscriber),
        )
        self.handed.add((number, subscriber))

    def _claim_new(self, number: int, subscriber: str) -> bool:
        """Claims a delivery, unless the subscriber has one of this transition."""
        cursor = self._db.execute(
            "INSERT INTO delivery (transition_id, subscriber, owner, claimed_at) VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            (number, subscriber, self._owner, _stored(self._now)),
        )
        if cursor.rowcount == 1:
            self.handed.add((number, subscriber))
        return cursor.rowcount == 1

    def _settle(self, number: int, subscriber: str, acknowledged_at: datetime | None) -> None:
        if acknowledged_at is None:
            self._db.execute(
                "UPDATE delivery SET owner = NULL WHERE transition_id = ? AND subscriber = ? AND owner = ?",
                (number, subscriber, self._owner),
            )
            return
        # Whoever owns it by now: it was delivered.
        self._db.execute(
            "UPDATE delivery SET owner = NULL, acknowledged_at = ? "
            "WHERE transition_id = ? AND subscriber = ? AND acknowledged_at IS NULL",
            (_stored(acknowledged_at), number, subscriber),
        )
        self.acknowledged.add((number, subscriber))

    def _end(self, ended: _Ended) -> None:
        job = self._job(ended.name, ended.arn)
        is_gone = ended.verdict in (Verdict.NOT_FOUND, Verdict.REPLACED)
        # A wait that was cancelled after another one saw the end takes nothing back.
        self._db.execute(
            "UPDATE job SET verdict = ?, exit_code = ?, has_ended = has_ended OR ?, "
            "created_at = coalesce(?, created_at), ended_at = coalesce(?, ended_at), "
            "failure_reason = coalesce(?, failure_reason) WHERE id = ? AND (? OR NOT has_ended OR verdict IS NULL)",
            (
                ended.verdict.value,
                ended.exit_code,
                is_gone,
                _stored(ended.created_at),
                _stored(ended.ended_at),
                ended.failure_reason,
                job,
                ended.ended_at is not None,
            ),
        )


def _nothing_more(_: _Writing) -> bool:
    return True


def _is_news(latest: Transition | None, transition: Transition) -> bool:
    """Whether a job that was last seen as in `latest` has moved on: an end is final, and time does not run back."""
    return latest is None or not (
        latest.after == transition.after
        or latest.after.is_terminal
        or _aware(transition.observed_at) < _aware(latest.observed_at)
    )


def _frozen(found: tuple[Transition, set[str]]) -> tuple[Transition, frozenset[str]]:
    return found[0], frozenset(found[1])


# Processes


def _owner_of_this_process() -> str:
    pid = os.getpid()
    return json.dumps([platform.node(), pid, _process_of(pid)[1], secrets.token_hex(8)])


def _is_alive(owner: str, claimed_at: str | None, now: datetime) -> bool:
    host, pid, started, _ = json.loads(owner)
    if host != platform.node():
        return claimed_at is not None and now - _instant(claimed_at) < _FOREIGN_CLAIM
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it runs as somebody else
    state, found = _process_of(pid)
    # A number is given again, and a process that nobody has collected yet is dead.
    return state not in ("Z", "X") and (not started or not found or found == started)


def _process_of(pid: int) -> tuple[str, str]:
    """A process's state, and when it started in which boot of the machine; empty where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # The program's name, in brackets before, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], f"{boot}/{fields[19]}"
    except (OSError, IndexError):
        return "", ""


# Files


class _Unusable(ValueError):
    def __init__(self, kind: str, words: str, *, is_final: bool) -> None:
        super().__init__(words)
        self.kind = kind
        self.is_final = is_final


class _Problem(NamedTuple):
    kind: str
    words: str
    is_final: bool = False
    """Trying again is no use, or would harm a file that is not ours."""


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _check(db: sqlite3.Connection, *, create: bool) -> None:
    """Makes a journal of an empty file, if it may, and refuses what is none, or is of a later release."""
    if _is_empty(db):
        if not create:
            raise _Unusable("empty", "is empty", is_final=True)
        # Before the file's mode is changed, so that whoever is killed in between leaves a journal or nothing.
        db.execute("BEGIN IMMEDIATE")
        try:
            if _is_empty(db):
                for statement in _SCHEMA:
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
    if _pragma(db, "application_id") != _APPLICATION_ID:
        raise _Unusable("foreign", "is not a journal, but another program's database", is_final=True)
    version = _pragma(db, "user_version")
    if version != SCHEMA_VERSION:
        words = f"is of version {version}, and this release knows version {SCHEMA_VERSION}"
        raise _Unusable("version", words, is_final=True)


def _is_empty(db: sqlite3.Connection) -> bool:
    has_tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return not (has_tables or _pragma(db, "application_id") or _pragma(db, "user_version"))


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def _primary_code(error: sqlite3.Error) -> int:
    # Absent from the errors of Python's own module.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _is_locked(error: Exception) -> bool:
    return isinstance(error, sqlite3.Error) and _primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _problem_of(error: Exception) -> _Problem:
    match error:
        case _Unusable():
            return _Problem(error.kind, str(error), error.is_final)
        case FileNotFoundError():
            return _Problem("no directory", "cannot be created: there is no such directory")
        case OSError():
            return _Problem("system", f"cannot be opened: {(error.strerror or str(error)).lower()}")
        case sqlite3.Error():
            return _problem_of_code(_primary_code(error), str(error))
        case _:
            return _Problem("damaged", f"is damaged: {error}", is_final=True)


def _problem_of_code(code: int, message: str) -> _Problem:
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return _Problem("locked", "is locked by another process")
        case sqlite3.SQLITE_FULL:
            return _Problem("full", "cannot be written: the disk is full")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return _Problem("read-only", "cannot be written: it is read-only")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return _Problem("damaged", f"is damaged, or not a journal: {message}", is_final=True)
        case sqlite3.SQLITE_CANTOPEN:
            return _Problem("unopened", "cannot be opened")
        case _:
            return _Problem("other", f"cannot be used: {message}")


# What is stored


def _storable(transition: Transition) -> Transition:
    """A transition that can be stored: AWS's text may hold halves of characters, which no file's encoding knows."""
    before = transition.before and State(*map(_storable_text, transition.before))
    return replace(
        transition,
        job_name=_storable_text(transition.job_name),
        job_arn=_storable_text(transition.job_arn),
        before=before,
        after=State(*map(_storable_text, transition.after)),
    )


def _storable_text(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def _aware(instant: datetime) -> datetime:
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _stored(instant: datetime | None) -> str | None:
    # To the microsecond and of one width, so that it comes back as it was, and text sorts as time does.
    return None if instant is None else _aware(instant).astimezone(UTC).isoformat(timespec="microseconds")


def _instant(stored: str) -> datetime:
    return datetime.fromisoformat(stored)


def _transition_of(row: Sequence[Any], job: Transition | UnfinishedJob) -> Transition:
    """The transition in the first columns of a row, of the job that `job` is of."""
    name, arn = (job.job_name, job.job_arn) if isinstance(job, Transition) else job
    _, before, before_secondary, status, secondary, observed_at, not_before = row[:_TRANSITION_WIDTH]
    return Transition(
        name,
        arn,
        None if before is None else State(before, before_secondary),
        State(status, secondary),
        _instant(observed_at),
        not_before and _instant(not_before),
    )


# Reading


@dataclass(frozen=True)
class Delivery:
    """What became of a transition for a subscriber.

    Attributes:
        subscriber: The subscriber.
        state: "acknowledged" or "pending".
        at: When it was acknowledged; of one that is pending, when a process last took it up.
    """

    subscriber: str
    state: str
    at: datetime | None

    def to_dict(self) -> dict[str, Any]:
        """The delivery in JSON's types."""
        return {"subscriber": self.subscriber, "state": self.state, "at": jsonable(self.at)}


@dataclass(frozen=True)
class JournaledTransition:
    """A transition and its deliveries."""

    transition: Transition
    deliveries: tuple[Delivery, ...]

    def to_dict(self) -> dict[str, Any]:
        """The transition in JSON's types, as everywhere, with its deliveries."""
        return transition_dict(self.transition) | {"deliveries": [delivery.to_dict() for delivery in self.deliveries]}


@dataclass(frozen=True)
class JobHistory:
    """What a journal holds of one job.

    Attributes:
        job_name: The job's name.
        job_arn: The job's ARN.
        state: The statuses last seen; None, if none was.
        verdict: How the last wait for it ended; None while none has, or if the job has moved on since.
        exit_code: What the command returned for it.
        created_at: The CreationTime (UTC), if a wait for it has ended.
        ended_at: The EndTime (UTC), if a wait saw it.
        failure_reason: Why the job failed, in AWS's words.
        transitions: What was seen, in order.
    """

    job_name: str
    job_arn: str
    state: State | None
    verdict: str | None
    exit_code: int | None
    created_at: datetime | None
    ended_at: datetime | None
    failure_reason: str | None
    transitions: tuple[JournaledTransition, ...]

    def to_dict(self) -> dict[str, Any]:
        """The history in JSON's types: a member of `jobs` in what `automl-waiter history -o json` prints."""
        return {
            "job_name": self.job_name,
            "job_arn": self.job_arn,
            "status": self.state and self.state.status,
            "secondary_status": self.state and self.state.secondary_status,
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "created_at": jsonable(self.created_at),
            "ended_at": jsonable(self.ended_at),
            "failure_reason": self.failure_reason,
            "transitions": [transition.to_dict() for transition in self.transitions],
        }


def read_history(path: str | os.PathLike[str], jobs: Collection[str] = ()) -> list[JobHistory]:
    """What a journal holds of the jobs, given by name or ARN in any case; of all, where none is given.

    Raises:
        JournalError: There is no such file, it cannot be read, or it holds no such job.
    """
    named = clean(os.fspath(path))
    try:
        histories = _read(Path(os.path.realpath(path)))
    except FileNotFoundError:
        raise JournalError(f"there is no journal {named}") from None
    except (sqlite3.Error, OSError, ValueError, TypeError) as error:
        raise JournalError(f"the journal {named} {clean(_problem_of(error).words)}") from None
    wanted = {job.lower() for job in jobs}
    known = {key.lower() for history in histories for key in (history.job_name, history.job_arn)}
    for job in jobs:
        if job.lower() not in known:
            raise JournalError(f"the journal {named} holds no job {clean(job)!r}")
    return [
        history for history in histories if not wanted or {history.job_name.lower(), history.job_arn.lower()} & wanted
    ]


def _read(path: Path) -> list[JobHistory]:
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise _Unusable("no file", "is not a file", is_final=True)
    # Nobody writes to a file without a log beside it; read as one that does not change, it is left without one.
    is_in_use = any(Path(f"{path}-{log}").exists() for log in ("wal", "journal"))
    mode = "mode=ro" if is_in_use else "immutable=1"
    options: dict[str, Any] = {"uri": True, "isolation_level": None, "timeout": _READ_TIMEOUT}
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?{mode}", **options)) as db:
        _check(db, create=False)
        db.execute("BEGIN")  # one state of the file for all that is read
        rows = db.execute(
            "SELECT id, name, arn, verdict, exit_code, created_at, ended_at, failure_reason FROM job ORDER BY id"
        ).fetchall()
        return [_history_of(db, row) for row in rows]


def _history_of(db: sqlite3.Connection, row: Sequence[Any]) -> JobHistory:
    number, name, arn, verdict, exit_code, created_at, ended_at, failure_reason = row
    transitions = db.execute(
        f"SELECT {_TRANSITION} FROM transition t WHERE t.job_id = ? ORDER BY t.id",  # noqa: S608
        (number,),
    ).fetchall()
    journaled = tuple(
        JournaledTransition(_transition_of(found, UnfinishedJob(name, arn)), _deliveries_of(db, found[0]))
        for found in transitions
    )
    return JobHistory(
        job_name=name,
        job_arn=arn,
        state=journaled[-1].transition.after if journaled else None,
        verdict=verdict,
        exit_code=exit_code,
        created_at=created_at and _instant(created_at),
        ended_at=ended_at and _instant(ended_at),
        failure_reason=failure_reason,
        transitions=journaled,
    )


def _deliveries_of(db: sqlite3.Connection, transition: int) -> tuple[Delivery, ...]:
    rows = db.execute(
        "SELECT subscriber, claimed_at, acknowledged_at FROM delivery WHERE transition_id = ? ORDER BY subscriber",
        (transition,),
    ).fetchall()
    return tuple(
        Delivery(subscriber, "acknowledged", _instant(acknowledged_at))
        if acknowledged_at
        else Delivery(subscriber, "pending", claimed_at and _instant(claimed_at))
        for subscriber, claimed_at, acknowledged_at in rows
    )
