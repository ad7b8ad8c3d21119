"""The trigger: the wait itself, in Airflow's triggerer, where it needs no worker slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from automl_waiter import aio
from automl_waiter._model import errors
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.text import seconds_of, words_of
from automl_waiter._model.verdicts import DEFAULT_REQUIREMENT
from automl_waiter.integrations.airflow.clients import client_of, forget_client, stop
from automl_waiter.integrations.results import result_of


class AutoMLJobTrigger(BaseTrigger):
    """Fire one event when an AutoML job, or the wait for it, has ended.

    The event's payload has `error` (None, or the name of an error class of `automl_waiter`), `message` (how the wait
    ended, in one line) and `result` (the outcome in JSON's types; None if the wait could not start).

    Args:
        job: A name or an ARN.
        deadline: When to time out, in ISO 8601, so that neither a restart nor a move to another triggerer extends the
            wait; "auto": the job's runtime limit and 30 minutes; None: never.
        poll: Seconds or timedelta between two polls; None: depends on the job's phase.
        until, good_enough, require, stop_on, error_budget: As in `automl_waiter.wait_for`.
        stop_on_kill: Call StopAutoMLJob when a user kills, clears or marks the task while it is deferred.
        aws_conn_id, region_name, verify, botocore_config: As in Airflow's AWS operators.
    """

    def __init__(
        self,
        *,
        job: str,
        deadline: str | None = None,
        poll: float | timedelta | None = None,
        until: str | None = None,
        good_enough: float | None = None,
        require: str | Iterable[str] = DEFAULT_REQUIREMENT,
        stop_on: str | Iterable[str] = (),
        error_budget: float | timedelta = 900.0,
        stop_on_kill: bool = False,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.job = job
        self.deadline = deadline
        self.stop_on_kill = stop_on_kill
        self._options: dict[str, Any] = {
            "poll": None if poll is None else seconds_of(poll),
            "until": until,
            "good_enough": good_enough,
            "require": [str(part) for part in words_of(require, "require")],
            "stop_on": words_of(stop_on, "stop_on"),
            "error_budget": seconds_of(error_budget),
        }
        self._connection = {
            "aws_conn_id": aws_conn_id,
            "region_name": region_name,
            "verify": verify,
            "botocore_config": botocore_config,
        }

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the trigger's class and arguments, in JSON's types."""
        own = {"job": self.job, "deadline": self.deadline, "stop_on_kill": self.stop_on_kill}
        return f"{type(self).__module__}.{type(self).__qualname__}", {**own, **self._options, **self._connection}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        try:
            client = await sync_to_async(client_of)(self._connection)
            waiter = aio.Waiter(client, timeout=time_left(self.deadline), **self._options)
            payload = payload_of(await waiter.wait(self.job, check=False))
        except errors.AutoMLWaiterError as error:
            payload = {"error": type(error).__name__, "message": str(error), "result": None}
        if payload["error"] in (errors.CredentialsExpired.__name__, errors.AccessDenied.__name__):
            forget_client(self._connection)
        yield TriggerEvent(payload)

    async def on_kill(self) -> None:
        """Stop the job, if `stop_on_kill` is set, when a user has killed, cleared or marked the task."""
        if self.stop_on_kill:
            client = await sync_to_async(client_of)(self._connection)
            await asyncio.to_thread(stop, client, self.job)


def time_left(deadline: str | None) -> float | Literal["auto"] | None:
    """Return the timeout for a deadline; one in the past leaves time for one poll."""
    if deadline is None or deadline == "auto":
        return "auto" if deadline else None
    return max(0.0, (datetime.fromisoformat(deadline) - datetime.now(UTC)).total_seconds())


def payload_of(outcome: Outcome) -> dict[str, Any]:
    """Return the event's payload for an outcome."""
    try:
        outcome.check()
    except errors.AutoMLWaiterError as error:
        return {"error": type(error).__name__, "message": str(error), "result": result_of(outcome)}
    return {"error": None, "message": outcome.summary, "result": result_of(outcome)}
