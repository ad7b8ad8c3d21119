"""A scripted AutoML job: the responses of its describes, by its age."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from automl_waiter._model.candidates import is_minimized
from automl_waiter._model.statuses import Stage, State, Status, stage_of

PROBLEM_TYPES = {
    "ImageClassification": "Accuracy",
    "TextClassification": "Accuracy",
    "TimeSeriesForecasting": "AverageWeightedQuantileLoss",
    "Tabular": "F1",
    "TextGeneration": "Accuracy",
}
"""The values of AutoMLProblemTypeConfigName, each with the objective of a scripted job."""

_CONFIGS: dict[str, dict[str, Any]] = {
    "ImageClassification": {},
    "TextClassification": {"ContentColumn": "text", "TargetLabelColumn": "label"},
    "TimeSeriesForecasting": {
        "ForecastFrequency": "1D",
        "ForecastHorizon": 7,
        "TimeSeriesConfig": {
            "TargetAttributeName": "demand",
            "TimestampAttributeName": "day",
            "ItemIdentifierAttributeName": "item",
        },
    },
    "Tabular": {"ProblemType": "BinaryClassification", "TargetAttributeName": "churned"},
    "TextGeneration": {"BaseModelName": "Dolly3B"},
}
# A training job gets another candidate now and then, and its best one last. These are their ranks.
_TRAINING = frozenset({"ModelTuning", "TrainingModels"})
_SECONDS_PER_CANDIDATE = 100
_RANKS = (8, 6, 7, 4, 5, 3, 2)
# The repositories in the recorded InferenceContainers of tabular jobs, by rank.
_IMAGES = ("sagemaker-xgboost:1.3-1-cpu-py3", "linear-learner:latest")
_BUCKET = "s3://amzn-s3-demo-bucket/automl"
_WITHOUT_ENDPOINT = ("ModelDeploymentError", "MaxAutoMLJobRuntimeReached")
# The service's LastModifiedTime is 28 to 40 ms later than EndTime once a job has ended (29 of 29 recorded responses).
_MODIFIED_AFTER_END = timedelta(milliseconds=35)


@dataclass(frozen=True)
class Timeline:
    """A scripted job.

    Args:
        entries: [seconds since CreationTime, primary status, secondary status] each; a state holds until the next, and
            the first one from the creation on.
        problem_type: A value of AutoMLProblemTypeConfigName; None counts as Tabular.
        max_runtime: The job's MaxAutoMLJobRuntimeInSeconds.
        failure_reason: The FailureReason of a Failed job; `{failed_job}` in it stands for the ARN of a processing job.
        deploy: Whether the request asked for a deployment.
        candidate_failure: The FailureReason of the job's candidates; None: they complete.
        failure_log: The lines in CloudWatch Logs of what failed: the job that `failure_reason` names, or a candidate.
        max_candidates: The job's MaxCandidates.

    Raises:
        ValueError: There are no entries, their times do not ascend from 0 or later, one follows the end, or the
            problem type does not exist.
    """

    entries: Sequence[tuple[float, str, str]]
    problem_type: str | None = None
    max_runtime: int | None = None
    failure_reason: str | None = None
    deploy: bool = False
    candidate_failure: str | None = None
    failure_log: Sequence[str] = ()
    max_candidates: int | None = None

    def __post_init__(self) -> None:
        entries = tuple((float(second), str(status), str(secondary)) for second, status, secondary in self.entries)
        object.__setattr__(self, "entries", entries)
        object.__setattr__(self, "failure_log", tuple(self.failure_log))
        if not entries:
            raise ValueError("a timeline has at least one entry: (second, status, secondary status)")
        seconds = [second for second, _, _ in entries]
        ascending = all(earlier < later for earlier, later in itertools.pairwise(seconds))
        if seconds[0] < 0 or not ascending or not all(map(math.isfinite, seconds)):
            raise ValueError(f"a timeline's seconds ascend from 0 or later, unlike {seconds}")
        if any(State(status, secondary).is_terminal for _, status, secondary in entries[:-1]):
            raise ValueError("a timeline ends with its first terminal status: Completed, Failed or Stopped")
        if self.problem_type is not None and self.problem_type not in PROBLEM_TYPES:
            raise ValueError(f"{self.problem_type!r} is no problem type: {', '.join(PROBLEM_TYPES)}")

    @property
    def _states(self) -> tuple[tuple[float, str, str], ...]:
        """The entries, the first one from the creation on."""
        (_, status, secondary), *later = self.entries
        return ((0.0, status, secondary), *later)

    @property
    def completion_criteria(self) -> dict[str, int]:
        """The limits of the job, as a request has them."""
        limits = {"MaxCandidates": self.max_candidates, "MaxAutoMLJobRuntimeInSeconds": self.max_runtime}
        return {name: limit for name, limit in limits.items() if limit is not None}

    @property
    def end(self) -> float | None:
        """The second at which the job ends; None if it does not."""
        second, status, secondary = self.entries[-1]
        return second if State(status, secondary).is_terminal else None

    def state_at(self, elapsed: float) -> State:
        """Return the statuses at that age in seconds."""
        _, status, secondary = self._entry_at(elapsed)
        return State(status, secondary)

    def stopped_at(self, elapsed: float, *, after: float = 60.0) -> Timeline:
        """Return the job if StopAutoMLJob is called at that age: Stopping, and Stopped `after` seconds later.

        An ended or stopping job is unchanged.
        """
        if self.state_at(elapsed).is_terminal or self.state_at(elapsed).status == Status.STOPPING:
            return self
        kept = [entry for entry in self.entries if entry[0] < elapsed]
        stop = [(elapsed, "Stopping", "Stopping"), (elapsed + after, "Stopped", "Stopped")]
        return replace(self, entries=(*kept, *stop))

    def advanced_at(self, elapsed: float) -> Timeline:
        """Return the job if its next entry begins at that age, and the later ones as much sooner."""
        gap = min((second - elapsed for second, _, _ in self._states if second > elapsed), default=0.0)
        return replace(self, entries=[(at - gap * (at > elapsed), status, phase) for at, status, phase in self._states])

    def response(self, elapsed: float, *, name: str, created: datetime, arn: str, speed: float = 1.0) -> dict[str, Any]:
        """Return the response of DescribeAutoMLJobV2 at that age.

        Args:
            elapsed: The job's age in seconds of the script.
            name: The job's name.
            created: Its CreationTime (UTC).
            arn: Its ARN.
            speed: Seconds of the script that pass in one second: the times in the response are real ones.

        The dictionary is a new one, but its nested values are shared: a script is polled many times.
        """
        return dict(_response(self, self._entry_at(elapsed), name, created, arn, speed))

    def candidates(
        self,
        elapsed: float,
        *,
        name: str,
        created: datetime,
        arn: str,
        metric: str | None = None,
        speed: float = 1.0,
    ) -> list[dict[str, Any]]:
        """Return the candidates that ListCandidatesForAutoMLJob returns at that age, oldest first.

        The arguments are those of `response`; `metric` replaces the timeline's own objective.
        """
        metric = metric or PROBLEM_TYPES[self.problem_type or "Tabular"]

        def trained(rank: int, second: float) -> dict[str, Any]:
            one = candidate(name, rank, metric, created + timedelta(seconds=second / speed), arn, speed)
            return one if self.candidate_failure is None else failed(one, self.candidate_failure)

        # The best one is the last.
        ranks = _RANKS if self.max_candidates is None else _RANKS[: self.max_candidates - 1]
        found = []
        for begin, _, secondary in self._states:
            for number, rank in enumerate(ranks, 1):
                second = begin + number * _SECONDS_PER_CANDIDATE
                if secondary in _TRAINING and second <= elapsed and self._entry_at(second)[0] == begin:
                    found.append(trained(rank, second))
        best = next((entry for entry in self._states if has_best_candidate(State(*entry[1:]))), None)
        if best is not None and best[0] <= elapsed and has_best_candidate(self.state_at(elapsed)):
            found.append(trained(1, best[0]))
        return found

    def _entry_at(self, elapsed: float) -> tuple[float, str, str]:
        return next((entry for entry in reversed(self._states) if entry[0] <= elapsed), self._states[0])


@functools.lru_cache(maxsize=1024)
def _response(
    timeline: Timeline, entry: tuple[float, str, str], name: str, created: datetime, arn: str, speed: float
) -> dict[str, Any]:
    since, status, secondary = entry
    state = State(status, secondary)
    problem_type = timeline.problem_type or "Tabular"
    objective = {"MetricName": PROBLEM_TYPES[problem_type]}
    changed = created + timedelta(seconds=since / speed)
    config = dict(_CONFIGS[problem_type])
    if criteria := timeline.completion_criteria:
        config["CompletionCriteria"] = criteria
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{_BUCKET}/train/"}}
    response = {
        "AutoMLJobName": name,
        "AutoMLJobArn": arn,
        "AutoMLJobInputDataConfig": [{"ChannelType": "training", "DataSource": source}],
        "OutputDataConfig": {"S3OutputPath": f"{_BUCKET}/output"},
        "RoleArn": "arn:aws:iam::123456789012:role/example",
        "AutoMLJobObjective": objective,
        "AutoMLProblemTypeConfig": {f"{problem_type}JobConfig": config},
        "AutoMLProblemTypeConfigName": problem_type,
        "CreationTime": created,
        "LastModifiedTime": changed,
        "AutoMLJobStatus": status,
        "AutoMLJobSecondaryStatus": secondary,
    }
    if state.is_terminal:
        response |= {"EndTime": changed, "LastModifiedTime": changed + _MODIFIED_AFTER_END}
    if status == Status.FAILED:
        failed_job = f"{arn.rpartition(':')[0]}:processing-job/db-1-{name}"
        response["FailureReason"] = (timeline.failure_reason or "A scripted failure.").replace(
            "{failed_job}", failed_job
        )
    if has_best_candidate(state):
        trained = next(second for second, *known in timeline._states if has_best_candidate(State(*known)))
        ended = created + timedelta(seconds=trained / speed)
        response["BestCandidate"] = candidate(name, 1, objective["MetricName"], ended, arn, speed)
    if timeline.deploy:
        response["ModelDeployConfig"] = {"AutoGenerateEndpointName": True}
        # The service omits the endpoint's name until it is deployed, and where that fails or the time is too short.
        is_deployed = status == Status.COMPLETED and secondary not in _WITHOUT_ENDPOINT
        response["ModelDeployResult"] = {"EndpointName": f"{name}-endpoint"} if is_deployed else {}
    return response


def has_best_candidate(state: State) -> bool:
    """Return whether a scripted job in that state has a best candidate: once it is trained, unless it failed."""
    if state.status == Status.COMPLETED:
        return state.secondary_status != "CandidateDefinitionsGenerated"
    return state.status == Status.IN_PROGRESS and stage_of(state) not in (Stage.PREPARING, Stage.TRAINING)


def candidate(job_name: str, rank: int, metric: str, ended: datetime, job_arn: str, speed: float) -> dict[str, Any]:
    """Return a candidate of a scripted job that was trained until `ended`; rank 1 is the best."""
    minimize = is_minimized(metric)
    spread = 1 + 0.05 * (rank - 1)
    training = f"{job_name}-{rank:03}"
    value = round(0.09 * spread if minimize else 0.91 / spread, 4)
    location = f"{_BUCKET}/output/{training}"
    reports = {"Explainability": f"{location}/explainability", "ModelInsights": f"{location}/insights"}
    splits = {"Train": 0.97 if minimize else 1.02, "Validation": 1.0}
    return {
        "CandidateName": training,
        "FinalAutoMLJobObjectiveMetric": {
            "Type": "Minimize" if minimize else "Maximize",
            "MetricName": metric,
            "Value": value,
            "StandardMetricName": metric,
        },
        "ObjectiveStatus": "Succeeded",
        "CandidateSteps": [
            {
                "CandidateStepType": "AWS::SageMaker::TrainingJob",
                "CandidateStepArn": f"{job_arn.rpartition(':')[0]}:training-job/{training.lower()}",
                "CandidateStepName": training,
            }
        ],
        "CandidateStatus": "Completed",
        "InferenceContainers": [
            {
                "Image": f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{_IMAGES[(rank - 1) % len(_IMAGES)]}",
                "ModelDataUrl": f"{location}/model.tar.gz",
                "Environment": {"SAGEMAKER_PROGRAM": "sagemaker_serve"},
            }
        ],
        "CreationTime": ended - timedelta(seconds=0.9 * _SECONDS_PER_CANDIDATE / speed),
        "EndTime": ended,
        "LastModifiedTime": ended,
        "CandidateProperties": {
            # Reports are made only for the best candidate.
            **({"CandidateArtifactLocations": reports} if rank == 1 else {}),
            "CandidateMetrics": [
                {"MetricName": metric, "StandardMetricName": metric, "Value": round(value * factor, 4), "Set": split}
                for split, factor in splits.items()
            ],
        },
    }


def failed(candidate: dict[str, Any], reason: str) -> dict[str, Any]:
    """Return the candidate as it is if its training failed: without a model and a metric."""
    kept = ("CandidateName", "CandidateSteps", "CreationTime", "EndTime", "LastModifiedTime")
    how = {"CandidateStatus": "Failed", "ObjectiveStatus": "Failed", "FailureReason": reason}
    return {member: candidate[member] for member in kept} | how
