"""How good the estimates of a job's end are: on assumed families of similar jobs, and on the recorded repeats.

A family is what one pipeline leaves in an account. Its durations are log-normal around a typical one; some jobs fail,
and in some families the data changes at one job and doubles the time from then on.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import fmean, median
from typing import Any, NamedTuple

from automl_waiter._model.estimates import Estimate, Forecast, past_jobs, sibling_durations
from automl_waiter._model.snapshot import Snapshot
from benchmarks.workloads import HOUR, MINUTE

SEED = 0
FAMILIES = 1000
FEWER = 200
"""Families of each row that nothing is promised of."""

SPREADS = (0.03, 0.40)
COUNTS = (2, 3, 5, 10, 20)
AGES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.1)
"""The ages at which an estimate is made, as shares of the mean of the last three durations."""
TYPICAL = (3 * MINUTE, 8 * HOUR)
CHANGED = 0.15
"""The share of families whose data changes."""
FAILED = 0.1
"""The share of jobs that fail, at any time."""

REPEATS = {
    "31.5, 32.0, then 31.0": (31.5, 32.0, 31.0),
    "110, then 106.5": (110.0, 106.5),
    "50, then 49.5": (50.0, 49.5),
}
"""Minutes that the same notebook took in the same account, one run after the other."""

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Family:
    """What is assumed of a family; None is drawn for each.

    Attributes:
        spread: The standard deviation of the durations' logarithm.
        count: The number of completed siblings.
        since_change: The number of completed siblings since the change; -1: there was none.
    """

    spread: float | None = None
    count: int | None = None
    since_change: int | None = None
    ages: Sequence[float] = AGES

    def draw(self, chance: random.Random) -> tuple[list[dict[str, Any]], float]:
        """Return the summaries of the past jobs, the oldest first, and how long the present job takes, in seconds."""
        spread = self.spread or _between(chance, SPREADS)
        count = self.count or chance.choice(COUNTS)
        since = self.since_change
        if since is None:
            since = chance.randrange(count) if chance.random() < CHANGED else -1
        typical = _between(chance, TYPICAL)

        def duration(left: int) -> float:
            return typical * (2 if 0 <= left <= since else 1) * math.exp(chance.gauss(0, spread))

        summaries: list[dict[str, Any]] = []
        for left in range(count, 0, -1):
            while chance.random() < FAILED:
                summaries.append(_summary(len(summaries), "Failed", typical * chance.random()))
            # The siblings left are those after this one, and the present job has none.
            summaries.append(_summary(len(summaries), "Completed", duration(left)))
        return summaries, duration(0)


@dataclass
class Measured:
    """What was measured on some families.

    Attributes:
        errors: The errors of the estimates, as shares of the durations.
        jenkins: Those of Jenkins's rule on the same jobs at the same ages.
        within: For each estimate, whether the end was within its interval.
        declined: How often there was no estimate.
    """

    errors: list[float] = field(default_factory=list)
    jenkins: list[float] = field(default_factory=list)
    within: list[bool] = field(default_factory=list)
    declined: int = 0

    @property
    def coverage(self) -> float:
        """The share of ends within the interval."""
        return fmean(self.within)

    @property
    def declines(self) -> float:
        """The share of estimates that were declined."""
        return self.declined / (self.declined + len(self.within))


class Repeat(NamedTuple):
    """A recorded repeat: its minutes, the estimate for the last one at its start, and that of Jenkins's rule."""

    name: str
    estimate: Estimate | None
    jenkins: float

    @property
    def interval(self) -> tuple[float, float, float] | None:
        """The earliest, the estimated and the latest end, in minutes."""
        if self.estimate is None:
            return None
        ends = (self.estimate.earliest, self.estimate.ends_at, self.estimate.latest)
        earliest, estimated, latest = ((end - _NOW) / timedelta(minutes=1) for end in ends)
        return earliest, estimated, latest


def measure(family: Family = Family(), families: int = FEWER) -> Measured:
    """Estimate the end of the present job of so many families, at several ages."""
    chance, measured = random.Random(SEED), Measured()
    for _ in range(families):
        summaries, seconds = family.draw(chance)
        durations = sibling_durations("churn-0000", past_jobs(map(Snapshot, summaries)))
        forecast, mean = Forecast(durations), jenkins(durations)
        for age in [share * mean for share in family.ages if share * mean < seconds]:
            estimate = forecast.estimate(_NOW, age)
            if estimate is None:
                measured.declined += 1
                continue
            end = _NOW + timedelta(seconds=seconds - age)
            measured.errors.append(abs((estimate.ends_at - end).total_seconds()) / seconds)
            measured.jenkins.append(abs(max(mean, age) - seconds) / seconds)
            measured.within.append(estimate.earliest <= end <= estimate.latest)
    return measured


def jenkins(durations: Sequence[float]) -> float:
    """Return the mean of the last three successes, by which Jenkins draws its progress bars."""
    return fmean(durations[-3:])


def rows() -> Iterator[tuple[str, Measured]]:
    """Yield what was measured on all families, and on those of one kind."""
    yield f"all {FAMILIES:,}", measure(families=FAMILIES)
    for spread in (0.03, 0.05, 0.1, 0.2, 0.3, 0.4):
        yield f"a spread of {spread:.0%}", measure(Family(spread=spread))
    for count in COUNTS:
        yield f"{count} siblings", measure(Family(count=count))
    for share in AGES:
        yield f"at {share:.0%} of the usual duration", measure(Family(ages=[share]))
    for since in (0, 1, 2, 3, 5):
        changed = f"a change {since} before it" if since else "a change at the job itself"
        yield f"10 siblings, a spread of 5%, {changed}", measure(Family(0.05, 10, since))


def repeats() -> Iterator[Repeat]:
    """Yield the estimates for the last run of each recorded repeat."""
    for name, minutes in REPEATS.items():
        durations = [one * MINUTE for one in minutes[:-1]]
        yield Repeat(name, Forecast(durations).estimate(_NOW, 0), jenkins(durations) / MINUTE)


def criteria(measured: Iterable[tuple[str, Measured]], families: int = FAMILIES) -> list[tuple[str, float, float]]:
    """What is promised of the estimates: in words, as measured on so many families, and the bound."""
    everything = dict(measured)[f"all {families:,}"]
    steady = measure(Family(spread=0.05), families)
    return [
        ("share of the ends outside the interval, which is to hold 8 of 10", 1 - everything.coverage, 0.25),
        ("share of the ends within it", everything.coverage, 0.88),
        ("median error at a spread of 5%, as a share of the duration", median(steady.errors), 0.06),
        ("median error, of that of Jenkins's rule", median(everything.errors) / median(everything.jenkins), 1.0),
    ]


def _between(chance: random.Random, bounds: tuple[float, float]) -> float:
    """Return a number between the bounds: each doubling is equally likely."""
    return math.exp(chance.uniform(*map(math.log, bounds)))


def _summary(number: int, status: str, seconds: float) -> dict[str, Any]:
    created = _NOW - timedelta(days=1000 - number)
    return {
        "AutoMLJobName": f"churn-{number}",
        "AutoMLJobStatus": status,
        "CreationTime": created,
        "EndTime": created + timedelta(seconds=seconds),
    }
