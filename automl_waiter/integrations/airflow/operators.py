"""The operator: it starts an AutoML job, or takes up one, and its task is done when the job is."""

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
    """Start an AutoML job and wait until it has ended, by default in the triggerer, where it holds no worker.

    It returns the outcome as a plain dict (XCom): `job_name`, `job_arn`, `verdict`, `best_candidate`, `endpoint_name`
    and the other members of what `automl-waiter wait -o json` prints of a job, but `describe` and `transitions`.

    A task that is tried again takes up its job, because none of the name that `request` gives is started twice:
    so let the name hold what tells the runs apart, such as `churn-{{ dag_run.run_after | ts_nodash }}`. A job that
    failed is not retried, and clearing its task takes it up again: another run starts another job.

    Args:
        request: The request of CreateAutoMLJobV2, templated. It needs the right to do so.
        job: Instead of it, a job that there is: its name or ARN, templated.
        timeout: Seconds or timedelta for the whole wait of a try; "auto": the job's own limit and 30 minutes; None: no
            limit. It is kept as an instant, so a restart does not lengthen it.
        poll: Seconds or timedelta between two polls; None: by the phase that the job is in.
        until, require, stop_on, error_budget: As in `automl_waiter.wait_for`.
        deferrable: False: wait on the worker.
        stop_on_kill: Call StopAutoMLJob when somebody kills, clears or marks the task while it waits. A restart of the
            triggerer is no such act; a worker that is told to end is, as Airflow cannot tell it from a kill.
        kwargs: Those of Airflow's AWS operators: `aws_conn_id`, `region_name`, `verify`, `botocore_config`, and others.
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.request = request
        self.job = job
        self.timeout = timeout
        self.stop_on = stop_on

    def execute(self, context: Any) -> dict[str, Any] | None:
        """Start the job, and wait for it or leave that to the triggerer."""
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
        """Start the job and return its ARN, or the job's name where there is one of that name already."""
        from botocore.exceptions import ClientError

        try:
            # Not by the client that waits: here the SDK's own retries are wanted.
            arn: str = self.hook.conn.create_auto_ml_job_v2(**request)["AutoMLJobArn"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceInUse":
                raise
            name = str(request["AutoMLJobName"])
            self.log.warning("there is a job %s already: it is taken up, and none is started", name)
            return name
        self.log.info("started %s", arn)
        return arn
