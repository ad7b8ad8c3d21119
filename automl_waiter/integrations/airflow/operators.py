"""The operator: it starts an AutoML job, or uses an existing one, and waits until the job has ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, get_args

from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from automl_waiter._model.errors import InvalidRequest
from automl_waiter._model.text import clean
from automl_waiter.integrations.airflow.clients import client_of
from automl_waiter.integrations.airflow.starting import IfExists, start_job
from automl_waiter.integrations.airflow.triggers import payload_of
from automl_waiter.integrations.airflow.waiting import WaitingTask
from automl_waiter.waiter import Waiter


class AutoMLJobOperator(WaitingTask, AwsBaseOperator[SageMakerHook]):
    """Start an AutoML job and wait until it has ended, by default in the triggerer, without a worker slot.

    It returns the outcome as a plain dict (XCom): `job_name`, `job_arn`, `verdict`, `best_candidate`, `endpoint_name`
    and the other members of a job in `automl-waiter wait -o json`, except `describe` and `transitions`. With `request`,
    `origin` says whether the job was "started", "resumed" or "incremented".

    A retried or cleared task resumes the wait for the job that it started. Include in the name of `request` what
    distinguishes the runs, such as `churn-{{ dag_run.run_after | ts_nodash }}`. A failed job is not retried.

    Args:
        request: The request of CreateAutoMLJobV2, templated. It needs the permission for that call.
        job: Instead of `request`, an existing job: its name, its ARN, or the response that created it, templated.
        if_exists: If the name in `request` is taken: "resume" the wait if this task started the job, and fail if it did
            not; "fail" in any case; "increment": start another job, as NAME-2 and so on, unless this task's own job is
            in progress or completed.
        timeout: Seconds or timedelta for the whole wait of a try; "auto": the job's runtime limit and 30 minutes; None:
            no limit. It is stored as a deadline, so a restart does not extend it.
        poll: Seconds or timedelta between two polls; None: depends on the job's phase.
        until, good_enough, require, stop_on, error_budget: As in `automl_waiter.wait_for`.
        deferrable: False: wait on the worker.
        stop_on_kill: Call StopAutoMLJob when somebody kills, clears or marks the task while it waits, and at its
            `execution_timeout`. A restart or a pause of a triggerer or worker does not stop the job.
        kwargs: The arguments of Airflow's AWS operators: `aws_conn_id`, `region_name`, `verify`, `botocore_config`, ...
            `execution_timeout` ends the wait like `timeout`, whichever comes first.
    """

    aws_hook_class = SageMakerHook
    template_fields: Sequence[str] = aws_template_fields("request", "job", "until")
    template_fields_renderers = {"request": "json"}  # noqa: RUF012 - Airflow's own form
    ui_color = "#d1e8e2"

    def __init__(
        self,
        *,
        request: Mapping[str, Any] | None = None,
        job: object = None,
        if_exists: IfExists = "resume",
        timeout: float | timedelta | Literal["auto"] | None = None,
        stop_on: str | Iterable[str] = (),
        good_enough: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if if_exists not in get_args(IfExists):
            raise InvalidRequest(f"if_exists must be resume, fail or increment, not {clean(if_exists)!r}")
        self.request = request
        self.job = job
        self.if_exists = if_exists
        self.timeout = timeout
        self.stop_on = stop_on
        self.good_enough = good_enough

    def execute(self, context: Any) -> dict[str, Any] | None:
        """Start the job, then wait for it or defer the wait."""
        with self.raising_airflow_errors():
            if (self.request is None) == (self.job is None):
                raise InvalidRequest("give either request, to start a job, or job, to wait for an existing one")
            origin = None if self.request is None else self._start(context)
            self.begin(context)
            if self.deferrable:
                self.defer_wait(self.timeout, origin)
                return None
            try:
                waiter = Waiter(client_of(self.connection), timeout=self.timeout, **self.wait_options)
                payload = payload_of(waiter.wait(self.job, check=False))
            except AirflowTaskTimeout:
                payload = self.last_payload()
            return self.execute_complete(context, {**payload, "origin": origin})

    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the result for XCom when the wait has ended; see `WaitingTask`."""
        result = super().execute_complete(context, event)
        return result if self.request is None else {**result, "origin": event.get("origin")}

    def _start(self, context: Any) -> str:
        """Start the job, or find the one that this task has started; return how it came about."""
        # Not the waiting client: here the SDK's own retries are useful.
        client = self.hook.conn
        describe = Waiter(client_of(self.connection)).describe
        self.job, origin = start_job(client, self.request, self.if_exists, context, describe)
        self.log.info("%s was %s", self.job, origin)
        return origin
