"""The sensor: it waits for an AutoML job that was started elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook
from airflow.providers.amazon.aws.sensors.base_aws import AwsBaseSensor
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowSensorTimeout
from airflow.sdk.bases.sensor import PokeReturnValue

from automl_waiter._model.options import NOT_FOUND_GRACE_S, wait_options
from automl_waiter._model.verdicts import Verdict
from automl_waiter._wiring import Gateways
from automl_waiter.integrations.airflow.clients import client_of
from automl_waiter.integrations.airflow.triggers import payload_of
from automl_waiter.integrations.airflow.waiting import WaitingTask
from automl_waiter.waiter import Waiter, outcome_of


class AutoMLJobSensor(WaitingTask, AwsBaseSensor[SageMakerHook]):
    """Wait until an AutoML job has ended, by default in the triggerer, without a worker slot.

    It returns the same as `AutoMLJobOperator`. With `deferrable=False` it is an ordinary sensor, which polls once in
    each `poke_interval`, also in the mode `reschedule`.

    Args:
        job: The job's name or ARN, templated.
        poll: Seconds or timedelta between two polls of the deferred wait; None: depends on the job's phase.
        until, require, error_budget: As in `automl_waiter.wait_for`.
        deferrable: False: wait like Airflow's own sensors.
        stop_on_kill: As in `AutoMLJobOperator`.
        kwargs: The arguments of Airflow's AWS sensors: `timeout` (by default 7 days, or Airflow's configured value),
            `soft_fail`, `aws_conn_id`, `region_name`, and others.
    """

    aws_hook_class = SageMakerHook
    template_fields: Sequence[str] = aws_template_fields("job", "until")
    timeout_error = AirflowSensorTimeout
    ui_color = "#d1e8e2"

    def __init__(self, *, job: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job

    def execute(self, context: Any) -> Any:
        """Defer the wait, or poke."""
        if not self.deferrable:
            return super().execute(context)
        with self.raising_airflow_errors():
            return self.defer_wait(self.timeout)

    def poke(self, context: Any) -> PokeReturnValue:
        """Poll once, retrying failed calls within the error budget; a job that does not exist yet gets some seconds."""
        with self.raising_airflow_errors():
            client = client_of(self.connection)
            options = replace(wait_options(**self.wait_options), once=True)
            outcome = outcome_of(Gateways(client).target(self.job), options)
            if outcome.verdict is Verdict.NOT_FOUND:
                # It may have been created just now.
                waiter = Waiter(client, timeout=NOT_FOUND_GRACE_S, **self.wait_options)
                outcome = waiter.wait(self.job, check=False)
        if outcome.verdict is Verdict.IN_PROGRESS:
            self.log.info(outcome.summary)
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self.execute_complete(context, payload_of(outcome)))
