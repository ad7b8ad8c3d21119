"""The contents of a journal, read without writing to it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from automl_waiter._model.errors import AutoMLWaiterError
from automl_waiter._model.json_form import jsonable
from automl_waiter._model.outcome import transition_dict
from automl_waiter._model.statuses import State
from automl_waiter._model.text import clean, nearest_names
from automl_waiter._model.tracker import Transition
from automl_waiter.journal.problems import problem_of
from automl_waiter.journal.schema import TRANSITION, check_is_file, check_is_journal, transition_of

_READ_TIMEOUT = 2.0


class JournalError(AutoMLWaiterError):
    """A journal cannot be read, or does not hold the requested jobs."""


class Delivery(NamedTuple):
    """The state of a transition's delivery to a subscriber.

    Attributes:
        subscriber: The subscriber.
        state: "acknowledged" or "pending".
        at: When it was acknowledged; if it is pending, when a process last claimed it.
    """

    subscriber: str
    state: str
    at: datetime | None


class JournaledTransition(NamedTuple):
    """A transition and its deliveries."""

    transition: Transition
    deliveries: tuple[Delivery, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the transition in JSON's types, with its deliveries."""
        deliveries = [jsonable(delivery._asdict()) for delivery in self.deliveries]
        return transition_dict(self.transition) | {"deliveries": deliveries}


@dataclass(frozen=True)
class JobHistory:
    """The journal's records of one job.

    Attributes:
        job_name: The job's name.
        job_arn: The job's ARN.
        state: The last observed statuses; None if there are none.
        verdict: How the last wait for it ended; None if none has, or if the job has changed since.
        exit_code: The exit code of that wait.
        created_at: The CreationTime (UTC), if a wait for it has ended.
        ended_at: The EndTime (UTC), if a wait observed it.
        failure_reason: Why the job failed, in AWS's words.
        transitions: The observed transitions, in order.
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
        """Return the history in JSON's types: an item of `jobs` in the output of `automl-waiter history -o json`."""
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
    """Return the journal's records of jobs, given by name or ARN in any case; of all jobs if none is given.

    Raises:
        JournalError: There is no such file, it cannot be read, or it holds no such job.
    """
    named = clean(os.fspath(path))
    try:
        histories = _read(Path(os.path.realpath(path)))
    except FileNotFoundError:
        raise JournalError(f"there is no journal {named}") from None
    except (sqlite3.Error, OSError, ValueError, TypeError) as error:
        raise JournalError(f"the journal {named} {clean(problem_of(error).words)}") from None
    wanted = {job.lower() for job in jobs}
    known = {key.lower() for history in histories for key in (history.job_name, history.job_arn)}
    for job in jobs:
        if job.lower() not in known:
            nearest = nearest_names(job, (history.job_name for history in histories))
            hint = f"; did you mean {', '.join(map(clean, nearest))}?" if nearest else ""
            raise JournalError(f"the journal {named} holds no job {clean(job)!r}{hint}")
    return [
        history for history in histories if not wanted or {history.job_name.lower(), history.job_arn.lower()} & wanted
    ]


def _read(path: Path) -> list[JobHistory]:
    check_is_file(path)
    # A file without a log beside it has no writer. Read as immutable, it gets no log either.
    is_in_use = any(Path(f"{path}-{log}").exists() for log in ("wal", "journal"))
    mode = "mode=ro" if is_in_use else "immutable=1"
    db = sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True, isolation_level=None, timeout=_READ_TIMEOUT)
    with contextlib.closing(db):
        check_is_journal(db, create=False)
        db.execute("BEGIN")  # read everything from one state of the file
        rows = db.execute(
            "SELECT id, name, arn, verdict, exit_code, created_at, ended_at, failure_reason FROM job ORDER BY id"
        ).fetchall()
        return [_history_of(db, row) for row in rows]


def _history_of(db: sqlite3.Connection, row: Sequence[Any]) -> JobHistory:
    number, name, arn, verdict, exit_code, created_at, ended_at, failure_reason = row
    seen = db.execute(
        f"SELECT {TRANSITION} FROM transition t WHERE t.job_id = ? ORDER BY t.id",  # noqa: S608
        (number,),
    ).fetchall()
    transitions = tuple(
        JournaledTransition(transition_of(each, name, arn), _deliveries_of(db, each[0])) for each in seen
    )
    return JobHistory(
        job_name=name,
        job_arn=arn,
        state=transitions[-1].transition.after if transitions else None,
        verdict=verdict,
        exit_code=exit_code,
        created_at=created_at and datetime.fromisoformat(created_at),
        ended_at=ended_at and datetime.fromisoformat(ended_at),
        failure_reason=failure_reason,
        transitions=transitions,
    )


def _deliveries_of(db: sqlite3.Connection, transition: int) -> tuple[Delivery, ...]:
    rows = db.execute(
        "SELECT subscriber, CASE WHEN acknowledged_at IS NULL THEN 'pending' ELSE 'acknowledged' END, "
        "coalesce(acknowledged_at, claimed_at) FROM delivery WHERE transition_id = ? ORDER BY subscriber",
        (transition,),
    )
    return tuple(Delivery(subscriber, state, at and datetime.fromisoformat(at)) for subscriber, state, at in rows)
