"""The operator: it starts an AutoML job, or uses an existing one, and waits until the job has ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowFailException

from automl_waiter.integrations.airflow.clients import client_of
from automl_waiter.integrations.airflow.triggers import payload_of
from automl_waiter.integrations.airflow.waiting import WaitingTask
from automl_waiter.waiter import Waiter


class AutoMLJobOperator(WaitingTask, AwsBaseOperator[SageMakerHook]):
    """Start an AutoML job and wait until it has ended, by default in the triggerer, without a worker slot.

    It returns the outcome as a plain dict (XCom): `job_name`, `job_arn`, `verdict`, `best_candidate`, `endpoint_name`
    and the other members of a job in `automl-waiter wait -o json`, except `describe` and `transitions`.

    A retried task resumes the wait for its job, because no job is started twice under the name in `request`. Include
    in that name what distinguishes the runs, such as `churn-{{ dag_run.run_after | ts_nodash }}`. A failed job is not
    retried, and clearing its task finds the same job again: only another run starts another job.

    Args:
        request: The request of CreateAutoMLJobV2, templated. It needs the permission for that call.
        job: Instead of `request`, an existing job: its name or ARN, templated.
        timeout: Seconds or timedelta for the whole wait of a try; "auto": the job's runtime limit and 30 minutes; None:
            no limit. It is stored as a deadline, so a restart does not extend it.
        poll: Seconds or timedelta between two polls; None: depends on the job's phase.
        until, good_enough, require, stop_on, error_budget: As in `automl_waiter.wait_for`.
        deferrable: False: wait on the worker.
        stop_on_kill: Call StopAutoMLJob when somebody kills, clears or marks the task while it waits. A restart of the
            triggerer does not stop the job. The shutdown of a worker does: Airflow cannot distinguish it from a kill.
        kwargs: The arguments of Airflow's AWS operators: `aws_conn_id`, `region_name`, `verify`, `botocore_config`, ...
    """

    aws_hook_class = SageMakerHook
    template_fields: Sequence[str] = aws_template_fields("request", "job", "until")
    template_fields_renderers = {"request": "json"}  # noqa: RUF012 - Airflow's own form
    ui_color = "#d1e8e2"

    def __init__(
        self,
        *,
        request: Mapping[str, Any] | None = None,
        job: str | None = None,
        timeout: float | timedelta | Literal["auto"] | None = None,
        stop_on: str | Iterable[str] = (),
        good_enough: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.request = request
        self.job = job
        self.timeout = timeout
        self.stop_on = stop_on
        self.good_enough = good_enough

    def execute(self, context: Any) -> dict[str, Any] | None:
        """Start the job, then wait for it or defer the wait."""
        if (self.request is None) == (self.job is None):
            raise AirflowFailException("give either request, to start a job, or job, to wait for one that there is")
        with self.raising_airflow_errors():
            if self.request is not None:
                self.job = self._start(self.request)
            if self.deferrable:
                self.defer_wait(self.timeout)
                return None
            waiter = Waiter(client_of(self.connection), timeout=self.timeout, **self.wait_options)
            return self.execute_complete(context, payload_of(waiter.wait(self.job, check=False)))

    def _start(self, request: Mapping[str, Any]) -> str:
        """Start the job and return its ARN; if a job of that name exists, return the name."""
        from botocore.exceptions import ClientError

        try:
            # Not through the waiting client: here the SDK's own retries are useful.
            arn: str = self.hook.conn.create_auto_ml_job_v2(**request)["AutoMLJobArn"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceInUse":
                raise
            name = str(request["AutoMLJobName"])
            self.log.warning("there is a job %s already: it is taken up, and none is started", name)
            return name
        self.log.info("started %s", arn)
        return arn
