"""Scripted AutoML jobs behind moto's SageMaker: moto speaks the protocol, the scripts say how the jobs are.

Nothing in moto is patched, so a test's own `mock_aws` in the same process is undisturbed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.sagemaker.exceptions import ResourceInUseException, ResourceNotFound, ValidationError
from moto.sagemaker.models import SageMakerModelBackend
from moto.sagemaker.responses import SageMakerResponse

from automl_waiter.statuses import Stage, State, stage_of
from automl_waiter.timeline import Timeline, candidate, deploy_result

SCENARIO_TAG = "automl-waiter:scenario"

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,31}", re.ASCII)
_CANDIDATES = 8
# What a caller gives to CreateAutoMLJobV2 and finds again in DescribeAutoMLJobV2.
_GIVEN = (
    "AutoMLJobInputDataConfig",
    "OutputDataConfig",
    "AutoMLProblemTypeConfig",
    "RoleArn",
    "AutoMLJobObjective",
    "SecurityConfig",
    "DataSplitConfig",
    "AutoMLComputeConfig",
)


@dataclass
class ScriptedJob:
    """A job that was created in the sandbox."""

    name: str
    arn: str
    timeline: Timeline
    speed: float
    given: dict[str, Any]
    tags: list[dict[str, str]]
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def elapsed(self) -> float:
        """The job's age in seconds of its script."""
        return (datetime.now(UTC) - self.created).total_seconds() * self.speed

    def describe(self) -> dict[str, Any]:
        """The response of DescribeAutoMLJobV2: what was asked for, and how the script goes."""
        elapsed = self.elapsed
        response = self.timeline.response(
            elapsed, name=self.name, created=self.created, arn=self.arn, speed=self.speed
        ) | {member: self.given[member] for member in _GIVEN if self.given.get(member)}
        [(problem_type, config)] = self.given["AutoMLProblemTypeConfig"].items()
        response["AutoMLProblemTypeConfigName"] = problem_type.removesuffix("JobConfig")
        if config.get("CompletionCriteria"):
            criteria = config["CompletionCriteria"]
            response["ResolvedAttributes"] = response["ResolvedAttributes"] | {"CompletionCriteria": criteria}
        deploy = self.given.get("ModelDeployConfig")
        response.pop("ModelDeployConfig", None)
        response.pop("ModelDeployResult", None)
        if deploy:
            state = self.timeline.state_at(elapsed)
            response["ModelDeployConfig"] = deploy
            response["ModelDeployResult"] = deploy_result(state, deploy.get("EndpointName") or f"{self.name}-endpoint")
        return response

    def summary(self) -> dict[str, Any]:
        """The job as ListAutoMLJobs has it."""
        described = self.describe()
        members = (
            *("AutoMLJobName", "AutoMLJobArn", "AutoMLJobStatus", "AutoMLJobSecondaryStatus"),
            *("CreationTime", "EndTime", "LastModifiedTime", "FailureReason", "PartialFailureReasons"),
        )
        return {member: described[member] for member in members if member in described}

    def candidates(self) -> list[dict[str, Any]]:
        """The candidates so far: they come one by one while the job trains, the best last."""
        trained = [
            second
            for second, status, secondary in self.timeline.entries
            if stage_of(State(status, secondary)) is not Stage.WORKING or State(status, secondary).is_terminal
        ]
        share = min(1.0, self.elapsed / trained[0]) if trained and trained[0] else 1.0
        if self.timeline.state_at(self.elapsed).status == "Failed":
            share = 0.0
        metric = self.timeline.response(0, name=self.name, created=self.created, arn=self.arn)["AutoMLJobObjective"]
        now = datetime.now(UTC)
        numbers = range(_CANDIDATES, _CANDIDATES - int(share * _CANDIDATES), -1)
        return [candidate(self.name, number, metric["MetricName"], self.created, now) for number in numbers]


class ScriptedBackend(SageMakerModelBackend):  # type: ignore[misc]
    """One account and region of the sandbox."""

    def __init__(
        self, region_name: str, account_id: str, scenarios: Mapping[str, Timeline], scenario: str, speed: float
    ) -> None:
        super().__init__(region_name, account_id)
        self._scenarios = scenarios
        self._scenario = scenario
        self._speed = speed

    def create_job(self, given: dict[str, Any]) -> ScriptedJob:
        """CreateAutoMLJobV2."""
        name = given["AutoMLJobName"]
        if len(name) > 32 or not _NAME.fullmatch(name):
            raise ValidationError(
                f"1 validation error detected: Value '{name}' at 'autoMLJobName' failed to satisfy constraint"
            )
        if name.lower() in self.auto_ml_jobs:
            raise ResourceInUseException(f"AutoML job {name} already exists.")
        tags = given.get("Tags") or []
        scenario = next((tag["Value"] for tag in tags if tag["Key"] == SCENARIO_TAG), self._scenario)
        if scenario not in self._scenarios:
            raise ValidationError(f"The tag {SCENARIO_TAG} names no scenario; there are {', '.join(self._scenarios)}.")
        arn = f"arn:aws:sagemaker:{self.region_name}:{self.account_id}:automl-job/{name.lower()}"
        job = ScriptedJob(name, arn, self._scenarios[scenario], self._speed, given, tags)
        self.auto_ml_jobs[name.lower()] = job
        return job

    def job(self, name: str) -> ScriptedJob:
        """The job of that name, compared without case as the service does."""
        job = self.auto_ml_jobs.get(name.lower())
        if job is None:
            raise ResourceNotFound(f"Amazon SageMaker can't find an AutoML job called {name}.")
        found: ScriptedJob = job
        return found


class ScriptedResponse(SageMakerResponse):  # type: ignore[misc]
    """The AutoML operations of V2; moto answers the others."""

    backend_of: Callable[[str, str], ScriptedBackend]
    """Set by `response_class`: the backend of an account and region."""

    @property
    def sagemaker_backend(self) -> ScriptedBackend:
        """The backend of this request."""
        return type(self).backend_of(self.current_account, self.region)

    def create_auto_ml_job_v2(self) -> Any:
        """CreateAutoMLJobV2."""
        members = (*_GIVEN, "AutoMLJobName", "ModelDeployConfig", "Tags")
        given = {member: self._get_param(member) for member in members}
        return ActionResult({"AutoMLJobArn": self.sagemaker_backend.create_job(given).arn})

    def describe_auto_ml_job_v2(self) -> Any:
        """DescribeAutoMLJobV2."""
        return ActionResult(self.sagemaker_backend.job(self._get_param("AutoMLJobName")).describe())

    def stop_auto_ml_job(self) -> Any:
        """StopAutoMLJob: nothing, if the job has ended."""
        job = self.sagemaker_backend.job(self._get_param("AutoMLJobName"))
        job.timeline = job.timeline.stopped_at(job.elapsed)
        return EmptyResult()

    def list_auto_ml_jobs(self) -> Any:
        """ListAutoMLJobs: by name from Z to A, ten a page, unless asked otherwise."""
        jobs = [job.summary() for job in self.sagemaker_backend.auto_ml_jobs.values()]
        if contained := self._get_param("NameContains"):
            jobs = [job for job in jobs if contained.lower() in job["AutoMLJobName"].lower()]
        if status := self._get_param("StatusEquals"):
            jobs = [job for job in jobs if job["AutoMLJobStatus"] == status]
        for time in ("CreationTime", "LastModifiedTime"):
            if after := self._get_param(f"{time}After"):
                jobs = [job for job in jobs if job[time] > _instant(after)]
            if before := self._get_param(f"{time}Before"):
                jobs = [job for job in jobs if job[time] < _instant(before)]
        keys: dict[str, Callable[[dict[str, Any]], Any]] = {
            "Name": lambda job: job["AutoMLJobName"].lower(),
            "CreationTime": lambda job: job["CreationTime"],
            "Status": lambda job: job["AutoMLJobStatus"],
        }
        return self._page("AutoMLJobSummaries", jobs, keys[self._get_param("SortBy") or "Name"])

    def list_candidates_for_auto_ml_job(self) -> Any:
        """ListCandidatesForAutoMLJob."""
        candidates = self.sagemaker_backend.job(self._get_param("AutoMLJobName")).candidates()
        if status := self._get_param("StatusEquals"):
            candidates = [one for one in candidates if one["CandidateStatus"] == status]
        if name := self._get_param("CandidateNameEquals"):
            candidates = [one for one in candidates if one["CandidateName"] == name]
        keys: dict[str, Callable[[dict[str, Any]], Any]] = {
            "CreationTime": lambda one: one["CreationTime"],
            "Status": lambda one: one["CandidateStatus"],
            "FinalObjectiveMetricValue": lambda one: one["FinalAutoMLJobObjectiveMetric"]["Value"],
        }
        return self._page("Candidates", candidates, keys[self._get_param("SortBy") or "CreationTime"])

    def _page(self, member: str, items: Sequence[Any], key: Callable[[Any], Any]) -> Any:
        items = sorted(items, key=key, reverse=self._get_param("SortOrder") != "Ascending")
        token = self._get_param("NextToken") or "0"
        if not token.isdigit():
            raise ValidationError("The token is invalid.")
        first, size = int(token), min(int(self._get_param("MaxResults") or 10), 100)
        page: dict[str, Any] = {member: items[first : first + size]}
        if first + size < len(items):
            page["NextToken"] = str(first + size)
        return ActionResult(page)


def _instant(value: Any) -> datetime:
    instant = value if isinstance(value, datetime) else datetime.fromtimestamp(float(value), UTC)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def response_class(scenarios: Mapping[str, Timeline], scenario: str, speed: float) -> type[ScriptedResponse]:
    """A class of responses with jobs of its own, so that two sandboxes share none."""
    backends: dict[tuple[str, str], ScriptedBackend] = {}

    def backend_of(account: str, region: str) -> ScriptedBackend:
        if (account, region) not in backends:
            backends[account, region] = ScriptedBackend(region, account, scenarios, scenario, speed)
        return backends[account, region]

    return type("SandboxResponse", (ScriptedResponse,), {"backend_of": staticmethod(backend_of)})
