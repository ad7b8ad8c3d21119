"""When a job will end, estimated from the durations of similar jobs.

*Siblings* of a job have the same name except for its numbers: dates, counters, hashes. Their durations are taken as
log-normal, with an unknown mean and spread, which a change of the data may have moved at any sibling. A forecast is the
mixture of what each possible spread and each possible last change say, weighted by how well it explains the siblings
(Adams and MacKay 2007, with a grid of spreads). So recent siblings count more once they differ from older ones.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from statistics import median
from typing import NamedTuple

from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.statuses import Status

_HASH = re.compile(r"(?<![0-9a-f])(?=[a-f]*[0-9])[0-9a-f]{6,}", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"[0-9]+")
_MASK = "#"  # no name contains it

# Seconds. Whatever lasted shorter or longer is no job that one waits for: AWS's limits are at most some days.
_SHORTEST_S = 10.0
_LONGEST_S = 30 * 86400.0

_LEAST_SIBLINGS = 2
_MOST_SIBLINGS = 20
# Standard deviations of the logarithm of a duration, equally likely: recorded repeats are near the first, and unrelated
# jobs near the last.
_SPREADS = (0.02, 0.05, 0.1, 0.2, 0.4)
# A change is assumed in one of so many jobs, and about doubles or halves the duration (its standard deviation, in
# logarithms). The benchmark is flat around both.
_JOBS_PER_CHANGE = 10
_CHANGE = 0.7
_NEGLIGIBLE = 1e-3
_QUANTILES = (0.1, 0.5, 0.9)
# A wider interval, as a share of the job's estimated duration, helps nobody.
_WIDEST = 0.75
# Nothing is known of a job that lasts longer than all but this share of jobs should.
_LEAST_LEFT = 0.01


@dataclass(frozen=True)
class Estimate:
    """When a job will probably end: the median, and an interval that contains 8 of 10 ends.

    Attributes:
        ends_at: Half of the ends are before it (UTC).
        earliest: A tenth of the ends are before it (UTC).
        latest: A tenth of the ends are after it (UTC).
        based_on: The number of similar jobs on which it is based.
    """

    ends_at: datetime
    earliest: datetime
    latest: datetime
    based_on: int


@dataclass(frozen=True)
class PastJob:
    """A job that has completed, and how long that took."""

    name: str
    created_at: datetime
    seconds: float

    @cached_property
    def masks(self) -> frozenset[str]:
        """Its name without what changes from sibling to sibling."""
        return _masks(self.name)


def past_jobs(snapshots: Iterable[Snapshot]) -> Iterator[PastJob]:
    """Yield the completed jobs whose times make sense; a failed or stopped job says nothing of a complete one."""
    for one in snapshots:
        if one.status == Status.COMPLETED and one.ended_at is not None:
            seconds = (one.ended_at - one.created_at).total_seconds()
            if _SHORTEST_S <= seconds <= _LONGEST_S:
                yield PastJob(one.name, one.created_at, seconds)


def literal_part(name: str) -> str:
    """Return the longest part that all siblings of `name` have in theirs; "" if there is none."""
    return max(_NUMBER.sub(_MASK, _HASH.sub(_MASK, name)).split(_MASK), key=len)


def sibling_durations(name: str, jobs: Iterable[PastJob]) -> list[float]:
    """Return the durations in seconds of the newest siblings of `name`, the oldest first."""
    masks = _masks(name)
    siblings = [job for job in jobs if not masks.isdisjoint(job.masks) and job.name.lower() != name.lower()]
    return [job.seconds for job in sorted(siblings, key=lambda job: job.created_at)[-_MOST_SIBLINGS:]]


def _masks(name: str) -> frozenset[str]:
    """Return `name` with its numbers masked, and with its hashes and numbers masked.

    Siblings agree in one of them. In one alone, abc99 and abc100 would not: the second is a hash of six characters.
    """
    return frozenset(_NUMBER.sub(_MASK, one) for one in (name.lower(), _HASH.sub(_MASK, name.lower())))


class _Belief(NamedTuple):
    """What one spread and one last change say of the next duration's logarithm.

    Attributes:
        weight: How likely this is.
        spread: The standard deviation of the durations.
        known: The number of durations since the change.
        mean: Their mean.
    """

    weight: float
    spread: float
    known: int
    mean: float

    @property
    def deviation(self) -> float:
        """The standard deviation of the next one: the mean is not exact either."""
        return self.spread * math.sqrt(1 + 1 / self.known) if self.known else math.hypot(self.spread, _CHANGE)

    def density(self, value: float) -> float:
        return math.exp(-(((value - self.mean) / self.deviation) ** 2) / 2) / self.deviation


class Forecast:
    """How long the next job will take.

    Args:
        durations: How long its siblings took, in seconds, the oldest first.
    """

    def __init__(self, durations: Sequence[float]) -> None:
        logs = [math.log(seconds) for seconds in durations]
        self.based_on = len(logs)
        centre = median(logs) if logs else 0.0
        self._beliefs = [_Belief(1 / len(_SPREADS), spread, 0, centre) for spread in _SPREADS]
        for value in logs:
            self._beliefs = list(self._updated(value, centre))
        # A quantile takes thousands of these.
        self._tails = [(one.weight / 2, one.mean, one.deviation * math.sqrt(2)) for one in self._beliefs]

    def _updated(self, value: float, centre: float) -> Iterator[_Belief]:
        """Yield the beliefs after one more duration. Before the next one, there may be a change."""
        likely = [one._replace(weight=one.weight * one.density(value)) for one in self._beliefs]
        total = sum(one.weight for one in likely)
        for weight, spread, known, mean in likely:
            stays = weight / total * (1 - 1 / _JOBS_PER_CHANGE)
            if stays > _NEGLIGIBLE:
                yield _Belief(stays, spread, known + 1, mean + (value - mean) / (known + 1))
        for spread in _SPREADS:
            weight = sum(one.weight for one in likely if one.spread == spread)
            yield _Belief(weight / total / _JOBS_PER_CHANGE, spread, 0, centre)

    def estimate(self, now: datetime, age: float, limit: float | None = None) -> Estimate | None:
        """Return when a job that has lasted `age` seconds will end; None, if that cannot be said usefully.

        Args:
            now: The time of day.
            age: Seconds since its creation.
            limit: Its runtime limit in seconds, if it has one: AWS ends it then.
        """
        if self.based_on < _LEAST_SIBLINGS or (limit is not None and age >= limit):
            return None
        reached = math.log(max(age, _SHORTEST_S))
        earliest, ends, latest = (min(max(seconds, age), limit or math.inf) for seconds in self._quantiles(reached))
        if latest - earliest > _WIDEST * ends or self._survival(reached) < _LEAST_LEFT:
            return None

        def at(seconds: float) -> datetime:
            return now + timedelta(seconds=seconds - age)

        return Estimate(at(ends), at(earliest), at(latest), self.based_on)

    def _quantiles(self, reached: float) -> Iterator[float]:
        """Yield the quantiles of the duration in seconds, given that its logarithm is more than `reached`."""
        left = self._survival(reached)
        # No belief deviates by more than 1, so ten of that are more than enough.
        longest = max(reached, *(one.mean for one in self._beliefs)) + 10
        for quantile in _QUANTILES:
            low, high = reached, longest
            while high - low > 1e-5:
                middle = (low + high) / 2
                is_before = self._survival(middle) > left * (1 - quantile)
                low, high = (middle, high) if is_before else (low, middle)
            yield math.exp(high)

    def _survival(self, value: float) -> float:
        """Return the probability that the next one is larger, precise also where it is tiny."""
        return sum([weight * math.erfc((value - mean) / scale) for weight, mean, scale in self._tails])
