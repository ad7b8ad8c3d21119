"""Scripted AutoML jobs behind moto's SageMaker: moto speaks the protocol, the scripts say how the jobs are.

Nothing in moto is patched, so a test's own `mock_aws` in the same process is undisturbed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.sagemaker.models import SageMakerModelBackend
from moto.sagemaker.responses import SageMakerResponse

from automl_waiter.sandbox.paging import page_of, paged, summary_of
from automl_waiter.sandbox.timeline import Timeline, deploy_result

SCENARIO_TAG = "automl-waiter:scenario"

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,31}", re.ASCII)
_REQUIRED = ("AutoMLJobName", "AutoMLJobInputDataConfig", "OutputDataConfig", "AutoMLProblemTypeConfig", "RoleArn")
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


class ServiceError(Exception):
    """An error as the service answers it: its code, and a message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


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
        elapsed, timeline = self.elapsed, self.timeline
        state = timeline.state_at(elapsed)
        response = timeline.response(elapsed, name=self.name, created=self.created, arn=self.arn, speed=self.speed)
        response |= {member: self.given[member] for member in _GIVEN if self.given.get(member)}
        # Unless the caller gave one, the objective is the script's.
        objective = response["AutoMLJobObjective"]
        resolved = response["ResolvedAttributes"] | {"AutoMLJobObjective": objective}
        [config] = self.given["AutoMLProblemTypeConfig"].values()
        if config.get("CompletionCriteria"):
            resolved["CompletionCriteria"] = config["CompletionCriteria"]
        response["ResolvedAttributes"] = resolved
        if "BestCandidate" in response:
            response["BestCandidate"] = self._candidates(elapsed, objective["MetricName"])[-1]
        deploy = self.given.get("ModelDeployConfig")
        response.pop("ModelDeployConfig", None)
        response.pop("ModelDeployResult", None)
        if deploy:
            response["ModelDeployConfig"] = deploy
            response["ModelDeployResult"] = deploy_result(state, deploy.get("EndpointName") or f"{self.name}-endpoint")
        return response

    def summary(self) -> dict[str, Any]:
        """The job as ListAutoMLJobs has it."""
        return summary_of(self.describe())

    def candidates(self) -> list[dict[str, Any]]:
        """The candidates so far."""
        return self._candidates(self.elapsed, self.describe()["AutoMLJobObjective"]["MetricName"])

    def _candidates(self, elapsed: float, metric: str) -> list[dict[str, Any]]:
        return self.timeline.candidates(
            elapsed, name=self.name, created=self.created, arn=self.arn, metric=metric, speed=self.speed
        )


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
        """CreateAutoMLJobV2.

        Raises:
            ServiceError: The request is not valid, the tag names no scenario, or the name is taken in any case.
        """
        if missing := [member for member in _REQUIRED if not given.get(member)]:
            raise ServiceError("ValidationException", f"Missing in the request: {', '.join(missing)}")
        name, tags = given["AutoMLJobName"], given.get("Tags") or []
        if len(name) > 32 or not _NAME.fullmatch(name):
            raise ServiceError(
                "ValidationException",
                f"1 validation error detected: Value '{name}' at 'autoMLJobName' failed to satisfy constraint: "
                f"at most 32 characters that match {_NAME.pattern}",
            )
        scenario = next((tag["Value"] for tag in tags if tag["Key"] == SCENARIO_TAG), self._scenario)
        if scenario not in self._scenarios:
            raise ServiceError(
                "ValidationException",
                f"The tag {SCENARIO_TAG} names no scenario with {scenario!r}; there are {', '.join(self._scenarios)}.",
            )
        problem_types = [key.removesuffix("JobConfig") for key in given["AutoMLProblemTypeConfig"]]
        if len(problem_types) != 1:
            raise ServiceError("ValidationException", "AutoMLProblemTypeConfig holds the config of one problem type.")
        timeline = replace(self._scenarios[scenario], problem_type=problem_types[0])
        arn = f"arn:{self.partition}:sagemaker:{self.region_name}:{self.account_id}:automl-job/{name.lower()}"
        job = ScriptedJob(name, arn, timeline, self._speed, given, tags)
        # In one step: of two requests at once for a name, one is refused.
        first: ScriptedJob = self.auto_ml_jobs.setdefault(name.lower(), job)
        if first is not job:
            raise ServiceError("ResourceInUse", f"AutoML job {name} already exists.")
        return job

    def job(self, name: str) -> ScriptedJob:
        """The job of that name, compared without case as the service does.

        Raises:
            ServiceError: There is none.
        """
        job = self.auto_ml_jobs.get(name.lower())
        if job is None:
            raise ServiceError("ResourceNotFound", f"Amazon SageMaker can't find an AutoML job called {name}.")
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

    def call_action(self) -> Any:
        """Answers the request, an error as the service's protocol has it.

        moto is not left to tell the errors: it reads the machine's AWS configuration for that, which may be broken.
        """
        try:
            return super().call_action()
        except ServiceError as error:
            return _failure(400, error.code, str(error))
        except NotImplementedError as error:
            return _failure(400, "UnknownOperationException", str(error))
        except Exception as error:
            return _failure(500, "InternalFailure", f"{type(error).__name__}: {error}")

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
        jobs = [job.summary() for job in list(self.sagemaker_backend.auto_ml_jobs.values())]
        members = ("SortBy", "SortOrder", "MaxResults", "NextToken", "NameContains", "StatusEquals")
        request = {member: self._get_param(member) for member in members}
        for time in ("CreationTime", "LastModifiedTime"):
            for bound in (f"{time}After", f"{time}Before"):
                given = self._get_param(bound)
                request[bound] = _instant(given) if given else None
        return self._paged(lambda: page_of(jobs, request))

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
        is_descending = self._get_param("SortOrder") != "Ascending"
        candidates.sort(key=keys[self._get_param("SortBy") or "CreationTime"], reverse=is_descending)
        request = {member: self._get_param(member) for member in ("MaxResults", "NextToken")}
        return self._paged(lambda: paged("Candidates", candidates, request))

    def _paged(self, page: Callable[[], dict[str, Any]]) -> Any:
        try:
            return ActionResult(page())
        except ValueError as error:
            raise ServiceError("ValidationException", f"{error}.") from None


def _failure(status: int, code: str, message: str) -> tuple[int, dict[str, str], str]:
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": code}
    return status, headers, json.dumps({"__type": code, "message": message})


def _instant(value: Any) -> datetime:
    instant = value if isinstance(value, datetime) else datetime.fromtimestamp(float(value), UTC)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def response_class(scenarios: Mapping[str, Timeline], scenario: str, speed: float) -> type[ScriptedResponse]:
    """A class of responses with jobs of its own, so that two sandboxes share none."""
    backends: dict[tuple[str, str], ScriptedBackend] = {}

    def backend_of(account: str, region: str) -> ScriptedBackend:
        if (account, region) not in backends:
            backends.setdefault((account, region), ScriptedBackend(region, account, scenarios, scenario, speed))
        return backends[account, region]

    return type("SandboxResponse", (ScriptedResponse,), {"backend_of": staticmethod(backend_of)})
