"""The sensor: it waits for an AutoML job that something else has started."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook
from airflow.providers.amazon.aws.sensors.base_aws import AwsBaseSensor
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowSensorTimeout
from airflow.sdk.bases.sensor import PokeReturnValue

from automl_waiter._model import errors
from automl_waiter._model.verdicts import DEFAULT_REQUIREMENT, Verdict
from automl_waiter.integrations.airflow.triggers import payload_of
from automl_waiter.integrations.airflow.waiting import WaitingTask


class AutoMLJobSensor(WaitingTask, AwsBaseSensor[SageMakerHook]):
    """Waits until an AutoML job has ended, by default in the triggerer, where it holds no worker.

    It returns what `AutoMLJobOperator` returns. With `deferrable=False` it is an ordinary sensor, which looks once in
    each `poke_interval`, also in the mode `reschedule`.

    Args:
        job: The job's name or ARN, templated.
        poll: Seconds or timedelta between two looks of the deferred wait; None: by the phase that the job is in.
        until, require, error_budget: As in `automl_waiter.wait_for`.
        deferrable: False: wait as Airflow's sensors do.
        stop_on_kill: As in `AutoMLJobOperator`.
        kwargs: Those of Airflow's AWS sensors: `timeout` (by default 7 days, or what Airflow's configuration says),
            `soft_fail`, `aws_conn_id`, `region_name`, and others.
    """

    aws_hook_class = SageMakerHook
    template_fields: Sequence[str] = aws_template_fields("job", "until")
    ui_color = "#d1e8e2"

    def __init__(
        self,
        *,
        job: str,
        poll: float | timedelta | None = None,
        until: str | None = None,
        require: str | Iterable[str] = DEFAULT_REQUIREMENT,
        error_budget: float | timedelta = 900.0,
        deferrable: bool = True,
        stop_on_kill: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.poll = poll
        self.until = until
        self.require = require
        self.error_budget = error_budget
        self.deferrable = deferrable
        self.stop_on_kill = stop_on_kill

    def execute(self, context: Any) -> Any:
        """Leaves the wait to the triggerer, or pokes."""
        if not self.deferrable:
            return super().execute(context)
        try:
            return self.defer_wait(self.timeout)
        except errors.AutoMLWaiterError as error:
            raise self.failure_of(type(error), str(error)) from error

    def poke(self, context: Any) -> PokeReturnValue:
        """Looks once."""
        try:
            outcome = self.look()
        except errors.AutoMLWaiterError as error:
            raise self.failure_of(type(error), str(error)) from error
        if outcome.verdict is Verdict.IN_PROGRESS:
            self.log.info(outcome.summary)
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self.execute_complete(context, payload_of(outcome)))

    def failure_of(self, error: type[errors.AutoMLWaiterError], message: str) -> Exception:
        """Airflow's exception for an error of the wait: a sensor's timeout has one of its own."""
        if issubclass(error, errors.WaitTimeout):
            timed_out: Exception = AirflowSensorTimeout(f"{error.__name__}: {message}")
            return timed_out
        return super().failure_of(error, message)
