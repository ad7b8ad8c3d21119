"""What the operator and the sensor share: options, deferral, and Airflow's exceptions for the end of a wait."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import BaseOperator

from automl_waiter._model import errors
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.text import seconds_of
from automl_waiter._model.verdicts import DEFAULT_REQUIREMENT
from automl_waiter._wiring import Gateways
from automl_waiter.integrations.airflow.clients import client_of, stop
from automl_waiter.integrations.airflow.instances import was_killed_running
from automl_waiter.integrations.airflow.triggers import (
    EXECUTION_TIMEOUT,
    AutoMLJobTrigger,
    last_options,
    payload_of,
)
from automl_waiter.integrations.results import FAILED_CALLS
from automl_waiter.waiter import Waiter

# A job that is stopped at the end of the wait has ten minutes for it.
_BACKSTOP = timedelta(minutes=15)
# A worker kills a task 5 s after it has asked it to end.
_ASKING_S = 2.0


class WaitingTask(BaseOperator):
    """The base of the operator and the sensor. `AutoMLJobOperator` documents the options."""

    job: Any = None
    stop_on: str | Iterable[str] = ()
    good_enough: float | None = None
    timeout_error: type[Exception] = AirflowFailException
    instance: Any = None
    """The task instance, once the task runs."""

    def __init__(
        self,
        *,
        poll: float | timedelta | None = None,
        until: str | None = None,
        require: str | Iterable[str] = DEFAULT_REQUIREMENT,
        error_budget: float | timedelta = 900.0,
        deferrable: bool = True,
        stop_on_kill: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.poll = poll
        self.until = until
        self.require = require
        self.error_budget = error_budget
        self.deferrable = deferrable
        self.stop_on_kill = stop_on_kill

    @property
    def connection(self) -> dict[str, Any]:
        """The parameters of the client."""
        return {
            "aws_conn_id": self.aws_conn_id,
            # As everywhere, an ARN determines the region of its job.
            "region_name": self.region_name or (job_ref(self.job).region if self.job else None),
            "verify": self.verify,
            "botocore_config": self.botocore_config,
        }

    @property
    def wait_options(self) -> dict[str, Any]:
        """The options that the wait shares with `wait_for`."""
        names = ("poll", "until", "good_enough", "require", "stop_on", "error_budget")
        return {name: getattr(self, name) for name in names}

    def begin(self, context: Any) -> None:
        """Note the task's instance, and the job as its ARN or name, whatever form it has."""
        self.instance = context.get("ti")
        job = job_ref(self.job)
        self.job = job.arn or job.name

    def defer_wait(self, timeout: float | timedelta | Literal["auto"] | None, origin: str | None = None) -> None:
        """Defer the wait. Airflow resumes the task with `execute_complete` when the wait has ended."""
        # Report a mistake in the request now, not later in a triggerer.
        client = client_of(self.connection)
        Waiter(client, timeout=timeout, **self.wait_options)
        Gateways(client).of(job_ref(self.job))
        limit = self.execution_timeout
        trigger = AutoMLJobTrigger(
            job=self.job,
            deadline=_deadline(timeout),
            execution_deadline=_deadline(limit),
            stop_on_kill=self.stop_on_kill,
            origin=origin,
            **self.wait_options,
            **self.connection,
        )
        # The trigger ends at the limit. Airflow's own limit is for a trigger that no triggerer runs.
        backstop = None if limit is None else limit + _BACKSTOP
        self.defer(trigger=trigger, method_name="execute_complete", timeout=backstop)

    def last_payload(self) -> dict[str, Any]:
        """Return how the wait ends by `execution_timeout`, as in the trigger."""
        waiter = Waiter(client_of(self.connection), **last_options(self.wait_options, stops=self.stop_on_kill))
        return payload_of(waiter.wait(self.job, check=False), prefix=EXECUTION_TIMEOUT)

    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the result for XCom when the wait has ended.

        Raises:
            AirflowFailException: A retry cannot help: the job failed, lacks a required part or does not exist, the wait
                timed out, or AWS denied the call.
            ServiceUnavailable, CredentialsExpired: A retry resumes the wait.
        """
        if event["error"] is not None:
            raise self.failure_of(getattr(errors, event["error"]), event["message"])
        self.log.info(event["message"])
        result: dict[str, Any] = event["result"]
        return result

    @contextmanager
    def raising_airflow_errors(self) -> Iterator[None]:
        """Raise Airflow's exception for an error of the wait."""
        try:
            yield
        except errors.AutoMLWaiterError as error:
            raise self.failure_of(type(error), str(error)) from error

    def failure_of(self, error: type[errors.AutoMLWaiterError], message: str) -> Exception:
        """Return Airflow's exception for an error of the wait."""
        text = f"{error.__name__}: {message}"
        if issubclass(error, errors.WaitTimeout):
            return self.timeout_error(text)
        # Not an AirflowException, which a sensor with soft_fail would take for a failure of the job.
        return error(message) if issubclass(error, FAILED_CALLS) else AirflowFailException(text)

    def on_kill(self) -> None:
        """Stop the job, if `stop_on_kill` is set and somebody has killed, cleared or marked the running task."""
        if not self.stop_on_kill or self.job is None:
            return
        if not self._was_killed():
            self.log.info("%s is not stopped: nobody ended its task", self.job)
            return
        try:
            stop(client_of(self.connection), self.job)
            self.log.warning("%s was asked to stop", self.job)
        except errors.AutoMLWaiterError as error:
            self.log.error("%s could not be stopped: %s", self.job, error)

    def _was_killed(self) -> bool:
        answers: list[bool] = []

        def ask() -> None:
            with suppress(Exception):  # in doubt the job keeps running
                answers.append(was_killed_running(self.instance))

        # In a thread: a signal may have interrupted another question to Airflow, which holds a lock.
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(_ASKING_S)
        return answers == [True]


def _deadline(timeout: float | timedelta | Literal["auto"] | None) -> str | None:
    if timeout is None or timeout == "auto":
        return "auto" if timeout else None
    return (datetime.now(UTC) + timedelta(seconds=seconds_of(timeout))).isoformat()
