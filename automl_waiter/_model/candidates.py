"""The candidates of a job side by side: which is better, and how far they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from automl_waiter._model.errors import AutoMLWaiterError

if TYPE_CHECKING:
    from automl_waiter._model.snapshot import Candidate

# The metrics of AutoMLMetricExtendedEnum that are better when they are smaller, in small letters.
_MINIMIZED = frozenset(
    {
        *("mse", "rmse", "mae", "mape", "mase", "wape", "averageweightedquantileloss"),
        *("logloss", "inferencelatency", "perplexity", "validationloss", "trainingloss"),
    }
)


def is_minimized(metric: str) -> bool:
    """Whether a metric is better when it is smaller."""
    # Jobs of 2020 called it `validation:mse`.
    return metric.rpartition(":")[2].lower() in _MINIMIZED


class Objective(NamedTuple):
    """What a candidate has reached: the metric, its value, and whether a smaller one is better."""

    metric: str
    value: float
    is_minimized: bool

    def __str__(self) -> str:
        return f"{self.metric} {self.value:.6g}"


def objective_of(candidate: Candidate) -> Objective | None:
    """What a candidate has reached; None, if it has no number yet."""
    final = candidate.objective
    if final is None or "MetricName" not in final.raw or not math.isfinite(final.raw.get("Value", math.nan)):
        return None
    metric = final.standard_metric_name or final.metric_name
    return Objective(metric, final.value, final.type == "Minimize" if final.type else is_minimized(metric))


def is_usable(candidate: Candidate) -> bool:
    """Whether a candidate is a model that has reached something: a number alone may be of one that failed."""
    return candidate.status == "Completed" and objective_of(candidate) is not None


def ranked(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates, the best first: before those that are not completed, and last those without a number."""

    def key(candidate: Candidate) -> tuple[int, float, float]:
        objective, since = objective_of(candidate), candidate.created_at.timestamp()
        if objective is None:
            return 2, 0.0, since
        return int(not is_usable(candidate)), objective.value if objective.is_minimized else -objective.value, since

    return sorted(candidates, key=key)


@dataclass(frozen=True)
class Leaderboard:
    """The candidates of a job at one look, the best first.

    Attributes:
        candidates: All that were listed.
        error: Why they, or some of them, could not be listed.
    """

    candidates: Sequence[Candidate] = ()
    error: AutoMLWaiterError | None = None

    @property
    def best(self) -> Candidate | None:
        """The best one that is usable."""
        return next((candidate for candidate in self.candidates if is_usable(candidate)), None)

    def count(self, *statuses: str) -> int:
        """How many have one of these CandidateStatus."""
        return sum(candidate.status in statuses for candidate in self.candidates)
