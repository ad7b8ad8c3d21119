"""The contents of a journal, read without writing to it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from automl_waiter._model.json_form import jsonable
from automl_waiter._model.outcome import transition_dict
from automl_waiter._model.statuses import State
from automl_waiter._model.text import clean, nearest_name
from automl_waiter._model.tracker import Transition
from automl_waiter.journal.problems import JournalError
from automl_waiter.journal.schema import TRANSITION, check_is_file, check_is_journal, instant_of, transition_of

_READ_TIMEOUT = 2.0
_MOST_NAMES = 100


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


class JournalReader:
    """A journal, open for reading. It shows one state of the file, whatever is written meanwhile.

    Raises:
        JournalError: There is no such file, or it cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        with self._explained():
            file = Path(os.path.realpath(path))
            check_is_file(file)
            # A file without a log beside it has no writer. Read as immutable, it gets no log either.
            is_in_use = any(Path(f"{file}-{log}").exists() for log in ("wal", "journal"))
            mode = "mode=ro" if is_in_use else "immutable=1"
            self._db = sqlite3.connect(
                f"{file.as_uri()}?{mode}",
                uri=True,
                isolation_level=None,
                timeout=_READ_TIMEOUT,
                check_same_thread=False,
            )
            try:
                check_is_journal(self._db, create=False)
                self._db.execute("BEGIN")
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def jobs(self, named: Collection[str] = ()) -> Iterator[JobHistory]:
        """Return the records of jobs, given by name or ARN in any case; of all jobs if none is given.

        They are read one by one.

        Raises:
            JournalError: The journal holds no such job, or (also while it is read) is damaged.
        """
        numbers: set[int] = set()
        with self._explained():
            for job in named:
                found = self._db.execute("SELECT id FROM job WHERE name = ? OR arn = ?", (job, job)).fetchall()
                if not found:
                    raise JournalError(f"the journal {clean(self._path)} has no job {clean(job)!r}{self._hint(job)}")
                numbers.update(number for (number,) in found)
        return self._histories(numbers)

    def transitions(self, name: str) -> dict[str, list[Transition]]:
        """Return the observed transitions of the jobs of this name, by ARN."""
        with self._explained():
            rows = self._db.execute("SELECT id FROM job WHERE name = ?", (name,)).fetchall()
        histories = self._histories({number for (number,) in rows}) if rows else ()
        return {history.job_arn: [each.transition for each in history.transitions] for history in histories}

    def names(self, prefix: str) -> list[tuple[str, str]]:
        """Return the newest jobs whose names have this prefix, in any case, each with its primary status."""
        with self._explained():
            return self._db.execute(
                "SELECT j.name, coalesce(t.status, '') FROM job j LEFT JOIN transition t ON t.id = j.latest "
                "WHERE substr(j.name, 1, ?) = ? COLLATE NOCASE ORDER BY j.id DESC LIMIT ?",
                (len(prefix), prefix, _MOST_NAMES),
            ).fetchall()

    def _histories(self, numbers: Collection[int]) -> Iterator[JobHistory]:
        """Yield the records of these jobs, or of all."""
        columns = "id, name, arn, verdict, exit_code, created_at, ended_at, failure_reason"
        with self._explained():
            if numbers:
                for number in sorted(numbers):
                    [row] = self._db.execute(f"SELECT {columns} FROM job WHERE id = ?", (number,))  # noqa: S608
                    yield self._history_of(row)
            else:
                for row in self._db.execute(f"SELECT {columns} FROM job ORDER BY id"):  # noqa: S608
                    yield self._history_of(row)

    def _history_of(self, row: Sequence[Any]) -> JobHistory:
        match row:
            case (
                int() as number,
                str() as name,
                str() as arn,
                (str() | None) as verdict,
                (int() | None) as exit_code,
                (str() | None) as created_at,
                (str() | None) as ended_at,
                (str() | None) as failure_reason,
            ):
                transitions = self._transitions_of(number, name, arn)
                return JobHistory(
                    job_name=name,
                    job_arn=arn,
                    state=transitions[-1].transition.after if transitions else None,
                    verdict=verdict,
                    exit_code=exit_code,
                    created_at=None if created_at is None else instant_of(created_at),
                    ended_at=None if ended_at is None else instant_of(ended_at),
                    failure_reason=failure_reason,
                    transitions=transitions,
                )
            case _:
                raise ValueError(f"job {row[0]} has a value of the wrong type")

    def _transitions_of(self, job: int, name: str, arn: str) -> tuple[JournaledTransition, ...]:
        deliveries: dict[int, list[Delivery]] = {}
        for number, subscriber, acknowledged_at, claimed_at in self._db.execute(
            "SELECT d.transition_id, d.subscriber, d.acknowledged_at, d.claimed_at FROM delivery d "
            "JOIN transition t ON t.id = d.transition_id WHERE t.job_id = ? ORDER BY d.subscriber",
            (job,),
        ):
            state, at = ("pending", claimed_at) if acknowledged_at is None else ("acknowledged", acknowledged_at)
            delivery = Delivery(str(subscriber), state, None if at is None else instant_of(at))
            deliveries.setdefault(number, []).append(delivery)
        rows = self._db.execute(f"SELECT {TRANSITION} FROM transition t WHERE t.job_id = ? ORDER BY t.id", (job,))  # noqa: S608
        return tuple(
            JournaledTransition(transition_of(row, name, arn), tuple(deliveries.get(row[0], ()))) for row in rows
        )

    def _hint(self, job: str) -> str:
        names = (name for (name,) in self._db.execute("SELECT DISTINCT name FROM job") if isinstance(name, str))
        nearest = nearest_name(job, names)
        return f"; did you mean {clean(nearest)}?" if nearest else ""

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Raise JournalError for whatever is wrong with the file."""
        try:
            yield
        except JournalError:
            raise
        except FileNotFoundError:
            raise JournalError(f"there is no journal {clean(self._path)}") from None
        except Exception as error:
            raise JournalError.of(self._path, error) from None
