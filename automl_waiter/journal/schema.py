"""The journal's file: its format marks, its tables, and the stored form of values."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from automl_waiter._model.secrets import hide
from automl_waiter._model.statuses import State
from automl_waiter._model.text import in_utc
from automl_waiter._model.tracker import Transition
from automl_waiter.journal.problems import Unusable

SCHEMA_VERSION = 2
"""The `user_version` of a journal that this release writes."""

# "amlw": distinguishes a journal from any other SQLite file, which must not be written to.
_APPLICATION_ID = 0x616D6C77

# Rows are ordered by their ids, never by times: the wall clock may jump. Times are only reported.
_SCHEMA = (
    # latest: its last transition.
    """CREATE TABLE job (
        id INTEGER PRIMARY KEY,
        arn TEXT NOT NULL UNIQUE COLLATE NOCASE,
        name TEXT NOT NULL COLLATE NOCASE,
        region TEXT NOT NULL,
        latest INTEGER REFERENCES transition,
        has_ended INTEGER NOT NULL DEFAULT 0,
        verdict TEXT,
        exit_code INTEGER,
        created_at TEXT,
        ended_at TEXT,
        failure_reason TEXT
    )""",
    "CREATE INDEX job_of_name ON job (name)",
    "CREATE INDEX job_of_transition ON job (latest)",
    "CREATE INDEX unfinished_job ON job (region) WHERE NOT has_ended",
    # repeat: how often the job had been in this state before.
    """CREATE TABLE transition (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        job_id INTEGER NOT NULL REFERENCES job,
        before_status TEXT,
        before_secondary_status TEXT,
        status TEXT NOT NULL,
        secondary_status TEXT NOT NULL,
        repeat INTEGER NOT NULL,
        observed_at TEXT NOT NULL,
        not_before TEXT
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
    # A subscriber of a watch is owed every transition after `joined`, of the jobs that the watch follows. account: ''
    # until the listing has shown it; then `reported_to` is the service's time up to which no new job is missing.
    """CREATE TABLE watch (
        subscriber TEXT NOT NULL,
        region TEXT NOT NULL,
        name_contains TEXT NOT NULL,
        account TEXT NOT NULL,
        joined INTEGER NOT NULL,
        reported_to TEXT,
        PRIMARY KEY (subscriber, region, name_contains, account)
    ) WITHOUT ROWID""",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

TRANSITION = (
    "t.id, t.before_status, t.before_secondary_status, t.status, t.secondary_status, t.repeat, t.observed_at, "
    "t.not_before"
)
"""The columns from which `transition_of` makes a transition."""


def check_is_file(path: Path) -> None:
    """Reject directories, pipes and devices.

    Raises:
        OSError: The path does not exist.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise Unusable("no file", "is not a file")


def check_is_journal(db: sqlite3.Connection, *, create: bool) -> None:
    """Make an empty file a journal, if `create`; reject other files and those of a later release."""
    if not any(_marks(db)):
        if not create:
            raise Unusable("empty", "is empty")
        # This comes before the file's mode is changed: a process killed in between leaves a journal or nothing.
        with db:
            db.execute("BEGIN IMMEDIATE")
            if not any(_marks(db)):
                for statement in _SCHEMA:
                    db.execute(statement)
    _, application, version = _marks(db)
    if application != _APPLICATION_ID:
        raise Unusable("foreign", "is not a journal, but another program's database")
    if version != SCHEMA_VERSION:
        raise Unusable("version", f"is of version {version}, and this release uses version {SCHEMA_VERSION}")


def _marks(db: sqlite3.Connection) -> tuple[int, ...]:
    """Return the number of tables and indexes, the application id and the version: all 0 in an empty file."""
    questions = ("SELECT count(*) FROM sqlite_master", "PRAGMA application_id", "PRAGMA user_version")
    return tuple(db.execute(question).fetchone()[0] for question in questions)


def storable(transition: Transition) -> Transition:
    """Return a storable transition: AWS's text may hold lone surrogates, which no file encoding accepts."""
    return replace(
        transition,
        job_name=storable_text(transition.job_name),
        job_arn=storable_text(transition.job_arn),
        before=transition.before and State(*map(storable_text, transition.before)),
        after=State(*map(storable_text, transition.after)),
    )


def storable_text(text: str) -> str:
    return hide(text).encode(errors="backslashreplace").decode()


def stored(instant: datetime | None) -> str | None:
    """Return a time as it is stored; `instant_of` reads it back."""
    # Microseconds and a fixed width: the value survives the round trip.
    return None if instant is None else in_utc(instant).isoformat(timespec="microseconds")


def instant_of(text: str) -> datetime:
    """Return a stored time (UTC)."""
    return in_utc(datetime.fromisoformat(text))


def transition_of(row: Sequence[Any], job_name: str, job_arn: str) -> Transition:
    """Return the transition in a row of the columns of `TRANSITION`.

    Raises:
        ValueError: Another program has changed it: SQLite stores any value in any column.
    """
    match row:
        case (
            int(),
            (str() | None) as before,
            (str() | None) as before_secondary,
            str() as status,
            str() as secondary,
            int() as repeat,
            str() as observed_at,
            (str() | None) as not_before,
        ):
            return Transition(
                job_name,
                job_arn,
                None if before is None else State(before, before_secondary or ""),
                State(status, secondary),
                instant_of(observed_at),
                None if not_before is None else instant_of(not_before),
                repeat=repeat,
            )
        case _:
            raise ValueError(f"transition {row[0]} has a value of the wrong type")
