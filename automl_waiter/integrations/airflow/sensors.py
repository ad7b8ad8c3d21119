"""The sensor: it waits for an AutoML job that was started elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook
from airflow.providers.amazon.aws.sensors.base_aws import AwsBaseSensor
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, AirflowTaskTimeout
from airflow.sdk.bases.sensor import PokeReturnValue

from automl_waiter._model.options import wait_options
from automl_waiter._model.text import seconds_of
from automl_waiter._model.verdicts import Verdict
from automl_waiter._wiring import Gateways
from automl_waiter.integrations.airflow.clients import client_of
from automl_waiter.integrations.airflow.triggers import payload_of
from automl_waiter.integrations.airflow.waiting import WaitingTask
from automl_waiter.integrations.results import FAILED_CALLS
from automl_waiter.waiter import Waiter, outcome_of

# The task state with the instant since when pokes have failed.
_FAILING_SINCE = "automl_failing_since"
_POKE_S = 10.0


class AutoMLJobSensor(WaitingTask, AwsBaseSensor[SageMakerHook]):
    """Wait until an AutoML job has ended, by default in the triggerer, without a worker slot.

    It returns the same as `AutoMLJobOperator`. With `deferrable=False` it is an ordinary sensor, which polls once in
    each `poke_interval`, also in the mode `reschedule`. A poke takes 10 seconds at most; if its calls fail, the next
    poke tries again, until the error budget is spent.

    Args:
        job: The job's name, its ARN, or the response that created it, templated.
        poll: Seconds or timedelta between two polls of the deferred wait; None: depends on the job's phase.
        until, require, error_budget: As in `automl_waiter.wait_for`.
        deferrable: False: wait like Airflow's own sensors.
        stop_on_kill: As in `AutoMLJobOperator`.
        kwargs: The arguments of Airflow's AWS sensors: `timeout` (by default 7 days, or Airflow's configured value),
            `soft_fail`, `aws_conn_id`, `region_name`, and others. `execution_timeout` ends the wait like `timeout`,
            whichever comes first. An outage of AWS is not a soft failure.
    """

    aws_hook_class = SageMakerHook
    template_fields: Sequence[str] = aws_template_fields("job", "until")
    timeout_error = AirflowSensorTimeout
    ui_color = "#d1e8e2"
    _is_last = False

    def __init__(self, *, job: object, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job
        self._notes = _Notes()

    def execute(self, context: Any) -> Any:
        """Defer the wait, or poke."""
        with self.raising_airflow_errors():
            self.begin(context)
            if self.deferrable:
                return self.defer_wait(self.timeout)
        try:
            return super().execute(context)
        except AirflowTaskTimeout:
            # Poke once more, so that the sensor treats it as any other timeout.
            self._is_last = True
            return super().execute(context)

    def poke(self, context: Any) -> PokeReturnValue:
        """Poll once, for some seconds at most; a job that does not exist yet gets some of them."""
        with self.raising_airflow_errors():
            try:
                payload = self.last_payload() if self._is_last else self._poll(context)
            except AirflowTaskTimeout:
                payload = self.last_payload()
        if payload is None:
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self.execute_complete(context, payload))

    def resume_execution(self, *arguments: Any, **kwargs: Any) -> Any:
        """Return the result of the deferred wait. `never_fail` skips also after an outage, as on a worker."""
        try:
            return super().resume_execution(*arguments, **kwargs)
        except FAILED_CALLS as error:
            if self.never_fail:
                raise AirflowSkipException("Skipping due to never_fail is set to True.") from error
            raise

    def _poll(self, context: Any) -> dict[str, Any] | None:
        """Return how the wait ended; None if the job is still in progress.

        Raises:
            ServiceUnavailable, CredentialsExpired: The error budget is spent.
        """
        until = time.monotonic() + min(_POKE_S, self.timeout)
        client = client_of(self.connection, within=until - time.monotonic())
        options = wait_options(**self.wait_options, timeout=until - time.monotonic())
        outcome = outcome_of(Gateways(client).target(self.job), replace(options, once=True))
        if outcome.verdict is Verdict.NOT_FOUND:
            # It may have been created just now.
            waiter = Waiter(client, timeout=max(0.0, until - time.monotonic()), **self.wait_options)
            outcome = waiter.wait(self.job, check=False)
        # Before Airflow 3.3 a rescheduled sensor remembers nothing: its timeout alone ends an outage.
        notes = context.get("task_state_store", self._notes)
        failing_since = notes.get(_FAILING_SINCE)
        if isinstance(outcome.error, FAILED_CALLS):
            now = datetime.now(UTC)
            if failing_since is None:
                failing_since = (now - timedelta(seconds=outcome.waited)).isoformat()
                notes.set(_FAILING_SINCE, failing_since)
            if (now - datetime.fromisoformat(failing_since)).total_seconds() >= seconds_of(self.error_budget):
                notes.delete(_FAILING_SINCE)  # a retry has an error budget of its own
                raise outcome.error
            self.log.warning("%s", outcome.error)
            return None
        if failing_since is not None:
            notes.delete(_FAILING_SINCE)
        if outcome.verdict in (Verdict.IN_PROGRESS, Verdict.TIMED_OUT):
            self.log.info(outcome.summary)
            return None
        return payload_of(outcome)


class _Notes(dict[str, Any]):
    """The interface of Airflow's task state, for as long as the process lives."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        del self[key]
