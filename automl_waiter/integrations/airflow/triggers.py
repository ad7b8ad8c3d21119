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
from automl_waiter.integrations.airflow.clients import client_from, client_of, forget_client, hook_of, stop
from automl_waiter.integrations.airflow.instances import note_end, was_killed_deferred
from automl_waiter.integrations.results import result_of

EXECUTION_TIMEOUT = "execution_timeout has passed: "

# Referenced, because a loop keeps only weak references to its tasks.
_STOPPING: set[asyncio.Task[None]] = set()


class AutoMLJobTrigger(BaseTrigger):
    """Fire one event when an AutoML job, or the wait for it, has ended.

    The event's payload has `error` (None, or the name of an error class of `automl_waiter`), `message` (how the wait
    ended, in one line), `result` (the outcome in JSON's types; None if the wait could not start) and `origin` (as
    given).

    Args:
        job: A name or an ARN.
        deadline: When to time out, in ISO 8601, so that neither a restart nor a move to another triggerer extends the
            wait; "auto": the job's runtime limit and 30 minutes; None: never.
        execution_deadline: When the task's `execution_timeout` has passed, in ISO 8601; None: it has none.
        poll: Seconds or timedelta between two polls; None: depends on the job's phase.
        until, good_enough, require, stop_on, error_budget: As in `automl_waiter.wait_for`.
        stop_on_kill: Call StopAutoMLJob when somebody kills, clears or marks the task while it is deferred, and at
            `execution_deadline`.
        origin: How the job came about, for the task.
        aws_conn_id, region_name, verify, botocore_config: As in Airflow's AWS operators.
    """

    def __init__(
        self,
        *,
        job: str,
        deadline: str | None = None,
        execution_deadline: str | None = None,
        poll: float | timedelta | None = None,
        until: str | None = None,
        good_enough: float | None = None,
        require: str | Iterable[str] = DEFAULT_REQUIREMENT,
        stop_on: str | Iterable[str] = (),
        error_budget: float | timedelta = 900.0,
        stop_on_kill: bool = False,
        origin: str | None = None,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.job = job
        self.deadline = deadline
        self.execution_deadline = execution_deadline
        self.stop_on_kill = stop_on_kill
        self.origin = origin
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
        own = {
            "job": self.job,
            "deadline": self.deadline,
            "execution_deadline": self.execution_deadline,
            "stop_on_kill": self.stop_on_kill,
            "origin": self.origin,
        }
        return f"{type(self).__module__}.{type(self).__qualname__}", {**own, **self._options, **self._connection}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        try:
            hook = await sync_to_async(hook_of)(self._connection)
            # In a thread of its own: what runs in `sync_to_async` holds up every other trigger.
            payload = await self._wait(await asyncio.to_thread(client_from, hook, self._connection))
        except errors.AutoMLWaiterError as error:
            payload = {"error": type(error).__name__, "message": str(error), "result": None}
        if payload["error"] in (errors.CredentialsExpired.__name__, errors.AccessDenied.__name__):
            forget_client(self._connection)
        if self.stop_on_kill and self.task_instance is not None:
            try:
                await sync_to_async(note_end)(self.task_instance, self.trigger_id)
            except Exception as error:  # the end of a wait of hours must not be lost
                self.log.warning("could not note the end of the wait for %s: %s", self.job, error)
        yield TriggerEvent({**payload, "origin": self.origin})

    async def _wait(self, client: Any) -> dict[str, Any]:
        waiter = aio.Waiter(client, timeout=time_left(self.deadline), **self._options)
        left = None if self.execution_deadline is None else seconds_until(self.execution_deadline)
        try:
            async with asyncio.timeout(left):
                return payload_of(await waiter.wait(self.job, check=False))
        except TimeoutError:
            waiter = aio.Waiter(client, **last_options(self._options, stops=self.stop_on_kill))
            return payload_of(await waiter.wait(self.job, check=False), prefix=EXECUTION_TIMEOUT)

    async def on_kill(self) -> None:
        """Stop the job, if `stop_on_kill` is set and somebody has killed, cleared or marked the task."""
        if not self.stop_on_kill:
            return
        stopping = asyncio.create_task(self._stop_if_killed())
        _STOPPING.add(stopping)
        stopping.add_done_callback(_STOPPING.discard)
        # A triggerer cancels this again each second until it has returned, and after 30 s for good.
        await asyncio.shield(stopping)

    async def _stop_if_killed(self) -> None:
        try:
            was_killed = await sync_to_async(was_killed_deferred)(self.task_instance, self.trigger_id)
        except Exception as error:  # in doubt the job keeps running
            self.log.warning(
                "%s is not stopped: Airflow did not say whether somebody ended its task: %s", self.job, error
            )
            return
        if not was_killed:
            self.log.info("%s is not stopped: nobody ended its task", self.job)
            return
        try:
            client = await sync_to_async(client_of)(self._connection)
            await asyncio.to_thread(stop, client, self.job)
        except errors.AutoMLWaiterError as error:
            self.log.error("%s could not be stopped: %s", self.job, error)
        else:
            self.log.warning("%s was asked to stop", self.job)


def time_left(deadline: str | None) -> float | Literal["auto"] | None:
    """Return the timeout for a deadline; one in the past leaves time for one poll."""
    if deadline is None or deadline == "auto":
        return "auto" if deadline else None
    return seconds_until(deadline)


def seconds_until(deadline: str) -> float:
    """Return the seconds until an instant in ISO 8601; 0 if it has passed."""
    return max(0.0, (datetime.fromisoformat(deadline) - datetime.now(UTC)).total_seconds())


def last_options(options: dict[str, Any], *, stops: bool) -> dict[str, Any]:
    """Return the options for the end of a wait by `execution_timeout`: one poll, and a stop if one was requested."""
    stop_on = {*words_of(options["stop_on"], "stop_on"), *(["timeout"] if stops else [])}
    return {**options, "timeout": 0, "stop_on": sorted(stop_on)}


def payload_of(outcome: Outcome, prefix: str = "") -> dict[str, Any]:
    """Return the event's payload for an outcome; `prefix` begins the message of a failure."""
    try:
        outcome.check()
    except errors.AutoMLWaiterError as error:
        return {"error": type(error).__name__, "message": f"{prefix}{error}", "result": result_of(outcome)}
    return {"error": None, "message": outcome.summary, "result": result_of(outcome)}
