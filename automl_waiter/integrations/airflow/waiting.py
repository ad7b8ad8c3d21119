"""What the operator and the sensor have in common: a wait on a worker or in the triggerer, and what its end means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from automl_waiter._model import errors
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.options import NOT_FOUND_GRACE_S, wait_options
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.text import seconds_of
from automl_waiter._model.verdicts import Verdict
from automl_waiter._system.machine import Machine
from automl_waiter._wiring import STOP_WITHIN_S, Gateways, stop_job
from automl_waiter.integrations.airflow.clients import client_of
from automl_waiter.integrations.airflow.triggers import AutoMLJobTrigger, payload_of
from automl_waiter.integrations.results import FAILED_CALLS
from automl_waiter.waiter import Waiter, outcome_of, result_of


class WaitingTask:
    """A task that waits. Whoever inherits from it has Airflow's AWS parameters, and the attributes below."""

    aws_conn_id: str | None
    region_name: str | None
    verify: bool | str | None
    botocore_config: dict[str, Any] | None
    execution_timeout: timedelta | None

    job: str | None
    poll: float | timedelta | None
    until: str | None
    require: Any
    error_budget: float | timedelta
    stop_on_kill: bool
    stop_on: Any = ()

    log: Any
    defer: Any

    @property
    def connection(self) -> dict[str, Any]:
        """The parameters of the client."""
        return {
            "aws_conn_id": self.aws_conn_id,
            # As everywhere: an ARN says in which region its job is.
            "region_name": self.region_name or (job_ref(self.job).region if self.job else None),
            "verify": self.verify,
            "botocore_config": self.botocore_config,
        }

    @property
    def wait_options(self) -> dict[str, Any]:
        """The options of the wait, in JSON's types."""
        return {
            "poll": None if self.poll is None else seconds_of(self.poll),
            "until": self.until,
            "require": [self.require] if isinstance(self.require, str) else [str(part) for part in self.require],
            "stop_on": [self.stop_on] if isinstance(self.stop_on, str) else list(self.stop_on),
            "error_budget": seconds_of(self.error_budget),
        }

    def defer_wait(self, timeout: float | timedelta | Literal["auto"] | None) -> None:
        """Leaves the wait to the triggerer; Airflow goes on with `execute_complete` when it is over."""
        # The mistakes of a request are told at once, and not by a triggerer later.
        client = client_of(self.connection)
        Waiter(client, timeout=timeout, **self.wait_options)
        Gateways(client).of(job_ref(self.job))
        trigger = AutoMLJobTrigger(
            job=str(self.job),
            deadline=_deadline(timeout),
            stop_on_kill=self.stop_on_kill,
            **self.wait_options,
            **self.connection,
        )
        self.defer(trigger=trigger, method_name="execute_complete", timeout=self.execution_timeout)

    def wait_here(self, timeout: float | timedelta | Literal["auto"] | None) -> dict[str, Any]:
        """Waits on the worker, and returns the payload of the event that a trigger would have fired."""
        waiter = Waiter(client_of(self.connection), timeout=timeout, **self.wait_options)
        return payload_of(waiter.wait(self.job, check=False))

    def look(self) -> Outcome:
        """Looks once, repeating failed calls within the error budget; a job that is not there yet has some seconds."""
        options = replace(wait_options(**self.wait_options), once=True)
        target = Gateways(client_of(self.connection)).target(self.job)
        with Machine() as machine:
            outcome = outcome_of(target, options, machine)
        if outcome.verdict is Verdict.NOT_FOUND:
            # It may have been created just now.
            waiter = Waiter(client_of(self.connection), timeout=NOT_FOUND_GRACE_S, **self.wait_options)
            return waiter.wait(self.job, check=False)
        return outcome

    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> dict[str, Any]:
        """The end of the wait: the result for XCom.

        Raises:
            AirflowFailException: A retry cannot help: the job did not give what was asked of it, there is none of that
                name, the time is over, or AWS denies the call.
            AirflowException: A retry goes on waiting: AWS could not be reached for too long, or credentials expired.
        """
        message, error = event["message"], event["error"]
        if error is None:
            self.log.info(message)
            result: dict[str, Any] = event["result"]
            return result
        raise self.failure_of(getattr(errors, error), message)

    def failure_of(self, error: type[errors.AutoMLWaiterError], message: str) -> Exception:
        """Airflow's exception for an error of the wait."""
        kind: type[Exception] = AirflowException if issubclass(error, FAILED_CALLS) else AirflowFailException
        return kind(f"{error.__name__}: {message}")

    def on_kill(self) -> None:
        """The task is killed on its worker: stops the job, where that was asked for."""
        if not self.stop_on_kill or self.job is None:
            return
        try:
            target = Gateways(client_of(self.connection)).target(self.job)
            with Machine() as machine:
                stop = partial(stop_job, job_name=target.job.name)
                result_of(stop, target.gateway, machine, error_budget=STOP_WITHIN_S)
            self.log.warning("%s was told to stop", self.job)
        except errors.AutoMLWaiterError as error:
            self.log.error("%s could not be told to stop: %s", self.job, error)


def _deadline(timeout: float | timedelta | Literal["auto"] | None) -> str | None:
    if timeout is None or timeout == "auto":
        return "auto" if timeout else None
    return (datetime.now(UTC) + timedelta(seconds=seconds_of(timeout))).isoformat()
