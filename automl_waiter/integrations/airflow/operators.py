"""The operator: it starts an AutoML job, or takes up one, and its task is done when the job is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowFailException

from automl_waiter._model import errors
from automl_waiter._model.verdicts import DEFAULT_REQUIREMENT
from automl_waiter.integrations.airflow.waiting import WaitingTask


class AutoMLJobOperator(WaitingTask, AwsBaseOperator[SageMakerHook]):
    """Starts an AutoML job and waits until it has ended, by default in the triggerer, where it holds no worker.

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
        poll: Seconds or timedelta between two looks; None: by the phase that the job is in.
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
        poll: float | timedelta | None = None,
        until: str | None = None,
        require: str | Iterable[str] = DEFAULT_REQUIREMENT,
        stop_on: str | Iterable[str] = (),
        error_budget: float | timedelta = 900.0,
        deferrable: bool = True,
        stop_on_kill: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.request = request
        self.job = job
        self.timeout = timeout
        self.poll = poll
        self.until = until
        self.require = require
        self.stop_on = stop_on
        self.error_budget = error_budget
        self.deferrable = deferrable
        self.stop_on_kill = stop_on_kill

    def execute(self, context: Any) -> dict[str, Any] | None:
        """Starts the job, and waits for it or leaves that to the triggerer."""
        if (self.request is None) == (self.job is None):
            raise AirflowFailException("give either request, to start a job, or job, to wait for one that there is")
        try:
            if self.request is not None:
                self.job = self._start(self.request)
            if self.deferrable:
                self.defer_wait(self.timeout)
            return self.execute_complete(context, self.wait_here(self.timeout))
        except errors.AutoMLWaiterError as error:
            raise self.failure_of(type(error), str(error)) from error

    def _start(self, request: Mapping[str, Any]) -> str:
        """Starts the job, and returns its ARN; the name of the one that there is, where its name is taken."""
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
