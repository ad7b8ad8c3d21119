"""Writing a journal from this process, and the changes kept in memory until they can be written."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from automl_waiter._model.outcome import Outcome
from automl_waiter._model.text import clean
from automl_waiter._model.tracker import Transition
from automl_waiter._model.verdicts import Verdict
from automl_waiter.journal.owners import owner_of_this_process
from automl_waiter.journal.problems import Problem, Unusable, problem_of
from automl_waiter.journal.schema import check_is_file, check_is_journal, storable, storable_text, stored
from automl_waiter.journal.transaction import Entry, Transaction, UnfinishedJob, is_news

_BUSY_TIMEOUT = 0.5
_RETRY_AFTER = 5.0
_MOST_KEPT = 10_000
_PART = 200
_PAUSE = 0.01

# Closing any descriptor of a file drops the locks that SQLite holds on it in this process, so no other is opened.
_CREATION = threading.Lock()

T = TypeVar("T")
Write = Callable[[Transaction], None]


def subscriber_of(words: Sequence[str]) -> str:
    """Return a subscriber's name: its command, and a digest of all its words, which may hold secrets."""
    digest = hashlib.sha256(json.dumps(list(words)).encode()).hexdigest()
    return storable_text(f"{os.path.basename(words[0])} {digest[:12]}")


class Journal:
    """A journal that this process writes, from any thread. No method raises.

    Args:
        path: The file. It is created on first use, readable by this user only.
        warn: Called with one line, once for each kind of problem, if the file cannot be used.
        clock: A monotonic clock in seconds. It spaces the retries while the file cannot be used.
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
        self._owner = owner_of_this_process()
        self._lock = threading.Lock()
        self._until = 0.0
        self._db: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._retry_at = -float("inf")
        self._is_closed = False
        self._warned: set[str] = set()
        self._warnings: list[str] = []
        self._kept: deque[Write] = deque()
        self._handed: set[tuple[int, str]] = set()
        """Deliveries handed to this process and not known to be acknowledged. They are never handed out again here."""
        self._latest: dict[tuple[str, str], Transition] = {}
        """The last transition for each job and subscriber. While the file is unusable, it decides what is news."""

    def record(self, transition: Transition, subscribers: Collection[str]) -> list[Entry]:
        """Journal a transition, and return the deliveries of its job to make now, in order.

        There may be fewer than requested (another process delivers it, or was faster), or more (an earlier process was
        killed before it could deliver it).
        """
        seen = storable(transition)
        names = frozenset(subscribers)
        with self._session():
            entries = self._attempt(lambda transaction: transaction.record(seen, names))
            return self._unjournaled(seen, names) if entries is None else entries

    def acknowledge(self, entry: Entry, subscriber: str) -> None:
        """Journal that the subscriber acknowledged the transition. It is never delivered to that subscriber again."""
        self._settle(partial(Transaction.settle, entry=entry, subscriber=subscriber, acknowledged_at=self._now()))

    def release(self, entry: Entry, subscriber: str) -> None:
        """Release an unacknowledged transition to the next process; this one does not retry it."""
        self._settle(partial(Transaction.settle, entry=entry, subscriber=subscriber, acknowledged_at=None))

    def record_outcome(self, outcome: Outcome) -> None:
        """Journal how the wait for a job ended, if the job's ARN is known."""
        arn = outcome.arn or (outcome.job if outcome.job.startswith("arn:") else None)
        if arn is None:
            return
        reason = outcome.failure_reason
        columns = {
            "verdict": outcome.verdict.value,
            "exit_code": int(outcome.exit_code),
            "is_gone": outcome.verdict in (Verdict.NOT_FOUND, Verdict.REPLACED),
            "created_at": stored(outcome.created_at),
            "ended_at": stored(outcome.ended_at),
            "failure_reason": reason and storable_text(reason),
        }
        name, arn = storable_text(outcome.job_name), storable_text(arn)
        self._settle(partial(Transaction.end, name=name, arn=arn, columns=columns))

    def unfinished(self, region: str, subscribers: Collection[str]) -> list[UnfinishedJob]:
        """Return a region's jobs that have not ended, or that have pending deliveries for these subscribers."""
        with self._session():
            return self._attempt(lambda transaction: transaction.unfinished(region, frozenset(subscribers))) or []

    def flush(self) -> None:
        """Write the changes kept in memory, if there are any and the file can be used again."""
        with self._session():
            if self._kept:
                self._attempt(_nothing_more)

    def close(self) -> None:
        """Write the kept changes, and release the unacknowledged deliveries to other processes."""
        with self._session():
            if self._is_closed:
                return
            if self._identity is not None or self._kept:
                self._retry_at = -float("inf")
                self._attempt(Transaction.release_all, is_patient=True)
            self._is_closed = True
            self._disconnect()

    @contextlib.contextmanager
    def _session(self) -> Iterator[None]:
        """Admit one thread at a time. It waits for threads and the file together at most for the busy timeout."""
        until = time.monotonic() + _BUSY_TIMEOUT
        with self._lock:
            self._until = until
            try:
                yield
            finally:
                warnings, self._warnings = self._warnings, []
        # Warn without the lock: the callback may use the journal.
        for warning in warnings:
            self._warn(warning)

    def _settle(self, write: Write) -> None:
        with self._session():
            self._keep(write)
            self._attempt(_nothing_more)

    def _unjournaled(self, transition: Transition, subscribers: frozenset[str]) -> list[Entry]:
        keys = {name: (transition.job_arn.lower(), name) for name in subscribers}
        new = frozenset(name for name in subscribers if is_news(self._latest.get(keys[name]), transition))
        if not new:
            return []
        self._latest.update((keys[name], transition) for name in new)
        self._keep(partial(Transaction.record_handed, transition=transition, subscribers=new))
        return [Entry(None, transition, new)]

    def _keep(self, write: Write) -> None:
        if self._is_closed:
            return
        if len(self._kept) >= _MOST_KEPT:
            self._kept.popleft()
            lost = f"has {_MOST_KEPT} changes waiting to be written, and the oldest are lost"
            self._warn_once(Problem("overflow", lost))
        self._kept.append(write)

    def _attempt(self, work: Callable[[Transaction], T], *, is_patient: bool = False) -> T | None:
        """Write the kept changes, then do the work; return None if the file cannot be used now, or not within the time.

        Args:
            work: Is written completely or not at all.
            is_patient: Take as long as the kept changes need.
        """
        if self._is_closed or self._clock() < self._retry_at:
            return None
        while True:
            try:
                return self._write(work, is_patient=is_patient)
            except (sqlite3.Error, OSError, ValueError, TypeError) as error:
                problem = problem_of(error)
                # SQLite reports some locks (another process changes the file's mode) without waiting.
                if not problem.is_locked or time.monotonic() + _PAUSE > self._until:
                    self._fail(problem)
                    return None
            time.sleep(_PAUSE)

    def _write(self, work: Callable[[Transaction], T], *, is_patient: bool) -> T | None:
        db = self._connected()
        # In parts: after a long outage everything takes seconds, and on a full disk it would fail only at the end.
        while len(self._kept) > _PART:
            self._transact(db, _PART, _nothing_more)
            if not is_patient and time.monotonic() >= self._until:
                return None
        return self._transact(db, len(self._kept), work)

    def _transact(self, db: sqlite3.Connection, count: int, work: Callable[[Transaction], T]) -> T:
        """Write the first `count` kept changes and do the work, in one transaction."""
        self._bound(db)
        with db:
            db.execute("BEGIN IMMEDIATE")
            transaction = Transaction(db, self._owner, self._now(), self._handed)
            for write in itertools.islice(self._kept, count):
                write(transaction)
            result = work(transaction)
        for _ in range(count):
            self._kept.popleft()
        self._handed = transaction.handed
        self._latest.update(transaction.latest)
        return result

    def _connected(self) -> sqlite3.Connection:
        # Writing to a removed file could damage the file in its place, whose numbers mean something else.
        if self._identity is not None and _identity_of(self._path) != self._identity:
            raise Unusable("moved", "was removed or replaced")
        if self._db is not None:
            return self._db
        with _CREATION, contextlib.suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        check_is_file(self._path)
        identity = _identity_of(self._path)
        db = sqlite3.connect(
            f"{self._path.as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            self._bound(db)
            check_is_journal(db, create=True)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            db.close()
            raise
        self._db, self._identity = db, identity
        return db

    def _bound(self, db: sqlite3.Connection) -> None:
        """Let the next statements wait for a lock for the rest of this call's time."""
        db.execute(f"PRAGMA busy_timeout = {max(0, round((self._until - time.monotonic()) * 1000))}")

    def _fail(self, problem: Problem) -> None:
        self._retry_at = self._clock() + _RETRY_AFTER
        if not problem.is_locked:
            self._disconnect()  # the connection may be the problem: a file opened read-only stays so
        if problem.is_final:
            self._is_closed = True
            self._kept.clear()
        self._warn_once(problem)

    def _disconnect(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()

    def _warn_once(self, problem: Problem) -> None:
        if problem.kind not in self._warned:
            self._warned.add(problem.kind)
            rest = "without it" if problem.is_final else "and tries again to write to it"
            self._warnings.append(f"the journal {clean(self._path)} {clean(problem.words)}; the wait goes on {rest}")


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _nothing_more(_: Transaction) -> None:
    pass
