"""Scripted AutoML jobs behind moto's SageMaker: moto speaks the protocol, the scripts define the jobs.

Nothing in moto is patched, so a test's own `mock_aws` in the same process is undisturbed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from moto.core.responses import ActionResult, EmptyResult
from moto.sagemaker.models import SageMakerModelBackend
from moto.sagemaker.responses import SageMakerResponse

from automl_waiter.sandbox.paging import RequestRefused, page_of, paged, summary_of
from automl_waiter.sandbox.timeline import Timeline

SCENARIO_TAG = "automl-waiter:scenario"

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,31}", re.ASCII)
# DescribeAutoMLJobV2 returns every member of CreateAutoMLJobV2's request but these.
_NOT_SHOWN = ("AutoMLJobName", "Tags")


@dataclass
class ScriptedJob:
    """A job that was created in the sandbox."""

    name: str
    arn: str
    timeline: Timeline
    speed: float
    given: dict[str, Any]
    tags: list[dict[str, str]]
    now: Callable[[], datetime]
    created: datetime

    @property
    def elapsed(self) -> float:
        """The job's age in seconds of its timeline."""
        # The machine's clock may be set back.
        return max(0.0, (self.now() - self.created).total_seconds()) * self.speed

    def describe(self) -> dict[str, Any]:
        """Return the response of DescribeAutoMLJobV2: the request's members, and the timeline's state."""
        elapsed = self.elapsed
        response = self.timeline.response(elapsed, name=self.name, created=self.created, arn=self.arn, speed=self.speed)
        # Unless the caller gave them, the objective and the limits are the timeline's.
        response |= {name: value for name, value in self.given.items() if value and name not in _NOT_SHOWN}
        [(member, config)] = self.given["AutoMLProblemTypeConfig"].items()
        if criteria := config.get("CompletionCriteria") or self.timeline.completion_criteria:
            response["AutoMLProblemTypeConfig"] = {member: config | {"CompletionCriteria": criteria}}
        if "BestCandidate" in response:
            response["BestCandidate"] = self.candidates(elapsed)[-1]
        endpoint = (self.given.get("ModelDeployConfig") or {}).get("EndpointName")
        if endpoint and response["ModelDeployResult"]:
            response["ModelDeployResult"] = {"EndpointName": endpoint}
        return response

    def candidates(self, elapsed: float) -> list[dict[str, Any]]:
        """Return the candidates that exist at that age."""
        metric = (self.given.get("AutoMLJobObjective") or {}).get("MetricName")
        return self.timeline.candidates(
            elapsed, name=self.name, created=self.created, arn=self.arn, metric=metric, speed=self.speed
        )


class ScriptedBackend(SageMakerModelBackend):  # type: ignore[misc]
    """One account and region of the sandbox."""

    def __init__(
        self,
        region_name: str,
        account_id: str,
        scenarios: Mapping[str, Timeline],
        scenario: str,
        speed: float,
        now: Callable[[], datetime],
    ) -> None:
        super().__init__(region_name, account_id)
        self._scenarios = scenarios
        self._scenario = scenario
        self._speed = speed
        self._now = now

    def create_job(self, given: dict[str, Any]) -> ScriptedJob:
        """Create a job, as CreateAutoMLJobV2 does. Raise RequestRefused for an invalid request or a name in use."""
        name, tags = given["AutoMLJobName"], given.get("Tags") or []
        if len(name) > 32 or not _NAME.fullmatch(name):
            raise RequestRefused(
                f"1 validation error detected: Value '{name}' at 'autoMLJobName' failed to satisfy constraint: "
                f"at most 32 characters that match {_NAME.pattern}"
            )
        scenario = next((tag["Value"] for tag in tags if tag["Key"] == SCENARIO_TAG), self._scenario)
        if scenario not in self._scenarios:
            raise RequestRefused(
                f"The tag {SCENARIO_TAG} names no scenario with {scenario!r}; there are {', '.join(self._scenarios)}."
            )
        problem_types = [key.removesuffix("JobConfig") for key in given["AutoMLProblemTypeConfig"]]
        if len(problem_types) != 1:
            raise RequestRefused("AutoMLProblemTypeConfig holds the config of one problem type.")
        is_to_deploy = bool(given.get("ModelDeployConfig"))
        timeline = replace(self._scenarios[scenario], problem_type=problem_types[0], deploy=is_to_deploy)
        arn = f"arn:{self.partition}:sagemaker:{self.region_name}:{self.account_id}:automl-job/{name}"
        job = ScriptedJob(name, arn, timeline, self._speed, given, tags, self._now, self._now())
        # One atomic step: of two concurrent requests for a name, one is refused.
        first: ScriptedJob = self.auto_ml_jobs.setdefault(name.lower(), job)
        if first is not job:
            raise RequestRefused(f"AutoML job {name} already exists.", "ResourceInUse")
        return job

    def job(self, name: str) -> ScriptedJob:
        """Return the job of that name, compared case-insensitively; raise RequestRefused if there is none."""
        job: ScriptedJob | None = self.auto_ml_jobs.get(name.lower())
        if job is None:
            raise RequestRefused(f"Amazon SageMaker can't find an AutoML job called {name}.", "ResourceNotFound")
        return job

    def _get_resource_from_arn(self, arn: str) -> Any:
        """Return what an ARN names: moto asks it for tags, and compares the names of jobs with their case."""
        kind, _, name = arn.rpartition(":")[2].partition("/")
        return self.job(name) if kind == "automl-job" else super()._get_resource_from_arn(arn)


class ScriptedResponse(SageMakerResponse):  # type: ignore[misc]
    """The AutoML operations of V2; moto answers the others."""

    backends: ClassVar[dict[tuple[str, str], ScriptedBackend]]
    """The jobs, by region and account."""

    def create_auto_ml_job_v2(self) -> Any:
        """Answer CreateAutoMLJobV2."""
        return ActionResult({"AutoMLJobArn": self.sagemaker_backend.create_job(self.params).arn})

    def describe_auto_ml_job_v2(self) -> Any:
        """Answer DescribeAutoMLJobV2."""
        return ActionResult(self._job.describe())

    def stop_auto_ml_job(self) -> Any:
        """Answer StopAutoMLJob, which refuses to stop an ended job."""
        job = self._job
        if (state := job.timeline.state_at(job.elapsed)).is_terminal:
            # StopTrainingJob's words: no recording has a late StopAutoMLJob.
            raise RequestRefused(f"The request was rejected because the AutoML job is in status {state.status}.")
        job.timeline = job.timeline.stopped_at(job.elapsed)
        return EmptyResult()

    def list_auto_ml_jobs(self) -> Any:
        """Answer ListAutoMLJobs: by default by name from Z to A, ten a page."""
        status = self.params.get("StatusEquals")
        # A job that is not listed is not described either: a script may continue when it has been.
        jobs = [
            summary_of(job.describe())
            for job in list(self.sagemaker_backend.auto_ml_jobs.values())
            if status in (None, job.timeline.state_at(job.elapsed).status)
        ]
        request = {
            # moto's times are in UTC, without a zone.
            member: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
            for member, value in self.params.items()
        }
        return ActionResult(page_of(jobs, request))

    def list_candidates_for_auto_ml_job(self) -> Any:
        """Answer ListCandidatesForAutoMLJob."""
        candidates = self._job.candidates(self._job.elapsed)
        if status := self.params.get("StatusEquals"):
            candidates = [one for one in candidates if one["CandidateStatus"] == status]
        if name := self.params.get("CandidateNameEquals"):
            candidates = [one for one in candidates if one["CandidateName"] == name]
        keys: dict[str, Callable[[dict[str, Any]], Any]] = {
            "CreationTime": lambda one: one["CreationTime"],
            "Status": lambda one: one["CandidateStatus"],
            "FinalObjectiveMetricValue": lambda one: one.get("FinalAutoMLJobObjectiveMetric", {}).get("Value", 0.0),
        }
        is_descending = self.params.get("SortOrder") != "Ascending"
        candidates.sort(key=keys[self.params.get("SortBy") or "CreationTime"], reverse=is_descending)
        return ActionResult(paged("Candidates", candidates, self.params))

    @property
    def _job(self) -> ScriptedJob:
        job: ScriptedJob = self.sagemaker_backend.job(self.params["AutoMLJobName"])
        return job


def refusal(status: int, code: str, message: str) -> tuple[int, dict[str, str], str]:
    """Return an error response in the protocol of SageMaker and CloudWatch Logs."""
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": code}
    return status, headers, json.dumps({"__type": code, "message": message})


def response_class(
    scenarios: Mapping[str, Timeline], scenario: str, speed: float, now: Callable[[], datetime]
) -> type[ScriptedResponse]:
    """Return a response class with its own jobs, so that two sandboxes share none."""

    class Response(ScriptedResponse):
        backends: ClassVar[dict[tuple[str, str], ScriptedBackend]] = {}

        @property
        def sagemaker_backend(self) -> ScriptedBackend:
            """The backend of the request's account and region."""
            key = self.region, self.current_account
            if key not in self.backends:
                # One atomic step: two concurrent first requests get the same backend.
                self.backends.setdefault(key, ScriptedBackend(*key, scenarios, scenario, speed, now))
            return self.backends[key]

    return Response
