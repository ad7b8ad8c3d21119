"""The trigger: the wait itself, in Airflow's triggerer, where a hundred of them hold no worker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from automl_waiter import aio
from automl_waiter._model import errors
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.verdicts import DEFAULT_REQUIREMENT
from automl_waiter._system.asyncio_machine import AsyncioMachine
from automl_waiter._wiring import STOP_WITHIN_S, Gateways, stop_job
from automl_waiter.integrations.airflow.clients import client_of, forget_client
from automl_waiter.integrations.results import result_of


class AutoMLJobTrigger(BaseTrigger):
    """Fires one event when an AutoML job has ended, or the wait for it.

    The event's payload has `error` (None, or the name of an error class of `automl_waiter`), `message` (a line that
    says how it ended) and `result` (the outcome in JSON's types; None where the wait could not begin).

    Args:
        job: A name or an ARN.
        deadline: When to give up, an instant in ISO 8601, so that neither a restart nor a move to another triggerer
            lengthens the wait; "auto": the job's own limit and 30 minutes; None: never.
        poll: Seconds between two looks; None: by the phase that the job is in.
        until, require, stop_on, error_budget: As in `automl_waiter.wait_for`.
        stop_on_kill: Call StopAutoMLJob when a user kills, clears or marks the task while it is deferred.
        aws_conn_id, region_name, verify, botocore_config: As in Airflow's AWS operators.
    """

    def __init__(
        self,
        *,
        job: str,
        deadline: str | None = None,
        poll: float | None = None,
        until: str | None = None,
        require: Sequence[str] = DEFAULT_REQUIREMENT,
        stop_on: Sequence[str] = (),
        error_budget: float = 900.0,
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
            "poll": poll,
            "until": until,
            "require": [str(part) for part in require],
            "stop_on": list(stop_on),
            "error_budget": error_budget,
        }
        self._connection = {
            "aws_conn_id": aws_conn_id,
            "region_name": region_name,
            "verify": verify,
            "botocore_config": botocore_config,
        }

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The trigger's class and arguments, in JSON's types."""
        own = {"job": self.job, "deadline": self.deadline, "stop_on_kill": self.stop_on_kill}
        return f"{type(self).__module__}.{type(self).__qualname__}", {**own, **self._options, **self._connection}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Waits, and yields the one event."""
        try:
            client = await sync_to_async(client_of)(self._connection)
            waiter = aio.Waiter(client, timeout=time_left(self.deadline), **self._options)
            outcome = await waiter.wait(self.job, check=False)
        except errors.AutoMLWaiterError as error:
            payload = payload_of(error)
        else:
            payload = payload_of(outcome)
        if payload["error"] in (errors.CredentialsExpired.__name__, errors.AccessDenied.__name__):
            forget_client(self._connection)
        yield TriggerEvent(payload)

    async def on_kill(self) -> None:
        """A user has acted on the task: stops the job, where that was asked for. Not called at a restart."""
        if self.stop_on_kill:
            client = await sync_to_async(client_of)(self._connection)
            target = Gateways(client).target(self.job)
            stop = partial(stop_job, job_name=target.job.name)
            with AsyncioMachine() as machine:
                await aio.result_of(stop, target.gateway, machine, error_budget=STOP_WITHIN_S)


def time_left(deadline: str | None) -> float | Literal["auto"] | None:
    """The timeout of a wait that is to end at a deadline; one that is past leaves time for one look."""
    if deadline is None or deadline == "auto":
        return "auto" if deadline else None
    return max(0.0, (datetime.fromisoformat(deadline) - datetime.now(UTC)).total_seconds())


def payload_of(end: Outcome | errors.AutoMLWaiterError) -> dict[str, Any]:
    """What the task is told of how the wait ended."""
    if isinstance(end, errors.AutoMLWaiterError):
        return {"error": type(end).__name__, "message": str(end), "result": None}
    try:
        end.check()
    except errors.AutoMLWaiterError as error:
        return {"error": type(error).__name__, "message": str(error), "result": result_of(end)}
    return {"error": None, "message": end.summary, "result": result_of(end)}
