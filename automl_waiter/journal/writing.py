"""Writing a journal from this process, and the changes kept in memory until they can be written."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import itertools
import json
import os
import secrets
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
from automl_waiter._system.file_lock import FileLock
from automl_waiter.journal.problems import JournalError, Problem, Unusable, problem_of
from automl_waiter.journal.schema import check_is_file, check_is_journal, storable, storable_text, stored
from automl_waiter.journal.transaction import Entry, Resumption, Transaction, WatchKey, is_change

_BUSY_TIMEOUT = 0.5
_OPEN_TIMEOUT = 5.0
# SQLite waits for a lock in slices, because a signal is handled only between them.
_BUSY_SLICE = 0.1
_RETRY_AFTER = 5.0
_TOKEN_BYTES = 8
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
    """A journal that this process writes, from any thread. No method but `open` raises.

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
        self._log = Path(f"{self._path}-wal")
        self._warn = warn
        self._clock = clock
        self._now = now
        self._owner = ""
        self._owner_lock: FileLock | None = None
        """Held while this process is alive: others leave its deliveries to it."""
        self._lock = threading.Lock()
        self._until = 0.0
        self._db: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._log_identity: tuple[int, int] | None = None
        self._retry_at = -float("inf")
        self._is_closed = False
        self._warned: set[str] = set()
        self._warnings: list[str] = []
        self._kept: deque[Write] = deque()
        self._handed: set[tuple[int, str]] = set()
        """Deliveries handed to this process and not known to be acknowledged. They are never handed out again here."""
        self._seen_to: dict[int, int] = {}
        self._opened_at = 0
        self._latest: dict[str, Transition] = {}
        """The last transition of each job. While the file is unusable, it decides what is news."""

    def open(self) -> None:
        """Open the file, or create it.

        Raises:
            JournalError: It cannot be used.
        """
        with self._session(_OPEN_TIMEOUT):
            try:
                self._opened_at = self._patiently(Transaction.last_number) or 0
            except Exception as error:
                self._disconnect()
                raise JournalError.of(self._path, error) from None

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
        self._latest.pop(arn.lower(), None)
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

    def resume(self, watch: WatchKey, subscribers: Collection[str]) -> Resumption:
        """Return what a watch for these subscribers continues with. They are owed its jobs' transitions from now on."""
        with self._session():
            return self._attempt(lambda transaction: transaction.resume(watch, subscribers)) or Resumption()

    def reported(self, watch: WatchKey, account: str, reported_to: datetime, subscribers: Collection[str]) -> None:
        """Journal the service's time up to which a watch has reported every new job of an account."""
        with self._session():
            # Not kept: the next listing brings a later time.
            self._attempt(lambda transaction: transaction.reported(watch, account, reported_to, subscribers))

    def run_lock(self, words: Sequence[str], transition: Transition) -> FileLock:
        """Return the lock of a command that runs for a transition."""
        digest = hashlib.sha256(json.dumps([*words, transition.id]).encode()).hexdigest()
        return self._lock_of(digest[: 2 * _TOKEN_BYTES])

    def flush(self) -> None:
        """Write the changes kept in memory, if the file can be used again. Warn if it was removed."""
        with self._session():
            if self._kept:
                self._attempt(_nothing_more)
            elif self._db is not None:
                try:
                    self._connected()
                except Exception as error:
                    self._fail(problem_of(error))

    def close(self) -> None:
        """Write the kept changes, and release the unacknowledged deliveries to other processes."""
        with self._session():
            if not self._is_closed and (self._identity is not None or self._kept):
                self._retry_at = -float("inf")
                self._attempt(Transaction.release_all, is_patient=True)
            self._is_closed = True
            self._disconnect()
            if self._owner_lock is not None:
                self._owner_lock.release()

    @contextlib.contextmanager
    def _session(self, timeout: float | None = None) -> Iterator[None]:
        """Admit one thread at a time. It waits for threads and the file together at most for the timeout."""
        until = time.monotonic() + (_BUSY_TIMEOUT if timeout is None else timeout)
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
        key = transition.job_arn.lower()
        if not is_change(self._latest.get(key), transition.after):
            return []
        self._latest[key] = transition
        self._keep(partial(Transaction.record_handed, transition=transition, subscribers=subscribers))
        return [Entry(None, transition, subscribers)]

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
        try:
            return self._patiently(work, is_patient=is_patient)
        except Exception as error:  # whatever somebody has stored there: a journal never ends a wait
            self._fail(problem_of(error))
            return None

    def _patiently(self, work: Callable[[Transaction], T], *, is_patient: bool = False) -> T | None:
        while True:
            try:
                return self._write(work, is_patient=is_patient)
            except (sqlite3.Error, OSError) as error:
                # SQLite reports some locks (another process changes the file's mode) without waiting.
                if not problem_of(error).is_locked or time.monotonic() + _PAUSE > self._until:
                    raise
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
            transaction = Transaction(
                db,
                self._owner,
                lambda owner: self._lock_of(owner).is_held(),
                self._now(),
                handed=self._handed,
                seen_to=self._seen_to,
                opened_at=self._opened_at,
            )
            for write in itertools.islice(self._kept, count):
                write(transaction)
            result = work(transaction)
        self._log_identity = self._log_identity or _identity_of(self._log)
        for _ in range(count):
            self._kept.popleft()
        self._handed, self._seen_to = transaction.handed, transaction.seen_to
        self._latest.update(transaction.latest)
        return result

    def _connected(self) -> sqlite3.Connection:
        # Writing to a removed file could damage the file in its place, whose numbers mean something else.
        if self._identity is not None and _identity_of(self._path) != self._identity:
            raise Unusable("moved", "was removed or replaced")
        if self._db is not None:
            # What others write from now on is in another log.
            if self._log_identity is not None and _identity_of(self._log) != self._log_identity:
                raise Unusable("log", f"has lost its log, {self._log.name}, which was removed or replaced")
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
            if self._owner_lock is None:
                self._become_owner()
        except BaseException:
            db.close()
            raise
        self._db, self._identity = db, identity
        return db

    def _become_owner(self) -> None:
        """Take a name in the journal that lives as long as this process; remove what killed processes left."""
        for path in glob.glob(f"{glob.escape(str(self._path))}-{'?' * 2 * _TOKEN_BYTES}.lock"):
            FileLock(path).is_held()
        while self._owner_lock is None:
            owner = secrets.token_hex(_TOKEN_BYTES)
            lock = self._lock_of(owner)
            if lock.acquire():  # otherwise another process removes it, for that of a killed one
                self._owner, self._owner_lock = owner, lock

    def _lock_of(self, name: str) -> FileLock:
        return FileLock(f"{self._path}-{name}.lock")

    def _bound(self, db: sqlite3.Connection) -> None:
        """Let the next statements wait for a lock, at most for the rest of this call's time."""
        left = min(_BUSY_SLICE, self._until - time.monotonic())
        db.execute(f"PRAGMA busy_timeout = {max(0, round(left * 1000))}")

    def _fail(self, problem: Problem) -> None:
        self._retry_at = self._clock() + _RETRY_AFTER
        if not problem.is_locked:
            self._disconnect()  # the connection may be the problem: a file opened read-only stays so
        if problem.is_final:
            self._is_closed = True
            self._kept.clear()
        self._warn_once(problem)

    def _disconnect(self) -> None:
        db, self._db, self._log_identity = self._db, None, None
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()

    def _warn_once(self, problem: Problem) -> None:
        if problem.kind not in self._warned:
            self._warned.add(problem.kind)
            rest = "without it" if problem.is_final else "and retries the write"
            self._warnings.append(f"the journal {clean(self._path)} {clean(problem.words)}; the wait continues {rest}")


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _nothing_more(_: Transaction) -> None:
    pass
