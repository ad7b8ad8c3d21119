"""The candidates of a job, compared: which one is better, and what each has reached."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from automl_waiter._model.errors import AutoMLWaiterError

if TYPE_CHECKING:
    from automl_waiter._model.snapshot import Candidate

# The metrics of AutoMLMetricExtendedEnum for which a smaller value is better, in lower case.
_MINIMIZED = frozenset(
    {
        *("mse", "rmse", "mae", "mape", "mase", "wape", "averageweightedquantileloss"),
        *("logloss", "inferencelatency", "perplexity", "validationloss", "trainingloss"),
    }
)


# In 59 of 59 recorded candidates of several containers, those of this repository transform the data; one has the model.
_DATA_PROCESSING = "sklearn-automl"


def is_minimized(metric: str) -> bool:
    """Return whether a smaller value of the metric is better."""
    # Jobs of 2020 called it `validation:mse`.
    return metric.rpartition(":")[2].lower() in _MINIMIZED


class Objective(NamedTuple):
    """The objective of a candidate: the metric, its value, and whether a smaller value is better."""

    metric: str
    value: float
    is_minimized: bool

    def is_at_least(self, value: float) -> bool:
        """Return whether the objective is as good as `value` or better."""
        return self.value <= value if self.is_minimized else self.value >= value

    def __str__(self) -> str:
        return f"{self.metric} {self.value:.6g}"


def objective_of(candidate: Candidate) -> Objective | None:
    """Return the candidate's objective; None if it has no value yet."""
    final = candidate.objective
    value = None if final is None else final.raw.get("Value")
    if final is None or "MetricName" not in final.raw or value is None or not math.isfinite(value):
        return None
    metric = final.standard_metric_name or final.metric_name
    return Objective(metric, final.value, final.type == "Minimize" if final.type else is_minimized(metric))


def objective_repr(candidate: Candidate | None) -> str:
    """Return a candidate's objective for a repr, such as `F1=0.91`; nothing if it has no value yet."""
    objective = objective_of(candidate) if candidate else None
    return f"{objective.metric}={objective.value:.6g}" if objective else ""


def is_usable(candidate: Candidate) -> bool:
    """Return whether the candidate is a completed model with an objective: a failed one may have a value too."""
    return candidate.status == "Completed" and objective_of(candidate) is not None


def creation_of(candidate: Candidate) -> float:
    """Return when the candidate was created, in seconds since 1970; infinity if it is not known."""
    return candidate.created_at.timestamp() if candidate.created_at else math.inf


def ranked(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return the candidates, best first. Those that are not completed come later, and those without a value last."""

    def key(candidate: Candidate) -> tuple[int, float, float]:
        objective, since = objective_of(candidate), creation_of(candidate)
        if objective is None:
            return 2, 0.0, since
        return int(not is_usable(candidate)), objective.value if objective.is_minimized else -objective.value, since

    return sorted(candidates, key=key)


def algorithm_of(candidate: Candidate) -> str | None:
    """Return the candidate's algorithm, such as `xgboost`, by the images of its containers; None if it is unknown.

    The response has no member for it. Recorded repositories of models: `sagemaker-xgboost`, `linear-learner`, and
    `autogluon-inference` for an ensemble.
    """
    containers = candidate.inference_containers
    # Jobs for text and images have them by processor instead, the same model in each.
    containers = containers or next(iter(candidate.inference_container_definitions.values()), ())
    repositories = (re.split("[:@]", one.raw.get("Image", "").rpartition("/")[2])[0] for one in containers)
    models = {
        repository.removeprefix("sagemaker-").removesuffix("-inference"): None
        for repository in repositories
        if _DATA_PROCESSING not in repository
    }
    return ", ".join(filter(None, models)) or None


class Training(NamedTuple):
    """The time in which the candidates of a job were trained (UTC)."""

    begin: datetime
    end: datetime


@dataclass(frozen=True)
class Leaderboard:
    """The candidates of a job as one listing returned them, best first.

    Attributes:
        candidates: All that were listed.
        error: Why some or all of them could not be listed.
        unreadable: The names of members that nobody can read, such as `CreationTime`: they count as absent.
    """

    candidates: Sequence[Candidate] = ()
    error: AutoMLWaiterError | None = None
    unreadable: Sequence[str] = ()

    @property
    def best(self) -> Candidate | None:
        """The best usable candidate."""
        return next((candidate for candidate in self.candidates if is_usable(candidate)), None)

    @property
    def training(self) -> Training | None:
        """When the candidates were trained: the first CreationTime, and the last time that is known of one."""
        begins = [candidate.created_at for candidate in self.candidates if candidate.created_at]
        if not begins:
            return None
        ends = [candidate.ended_at for candidate in self.candidates if candidate.ended_at]
        return Training(min(begins), max(begins + ends))

    def count(self, *statuses: str) -> int:
        """Return how many candidates have one of these values of CandidateStatus."""
        return sum(candidate.status in statuses for candidate in self.candidates)
