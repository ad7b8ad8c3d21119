"""Poll policies against each other: the real wait loop, in virtual time, over recorded and assumed jobs."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from automl_waiter import Exponential, Fixed, PhaseAware, PollPolicy
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.options import wait_options
from automl_waiter._model.polling import promised_lag
from automl_waiter._wiring import Target
from automl_waiter.testing import ManualClock, ScriptedJobs, Timeline
from automl_waiter.waiter import outcome_of
from benchmarks.workloads import (
    BASE,
    OTHERS_BOUND,
    PROBLEM_TYPES,
    QUICK_V2,
    SMALL,
    VARIANTS,
    Population,
    recorded,
)

KAPPAS = (0.01, 0.1, 1.0, 10.0)
"""Seconds of lag that one call is worth: little to a wait for one job, much to one that shares a quota with others."""
KAPPA = 0.1
DEFAULT, FIXED, _OFTEN = "the default", "fixed 30 s", "fixed 5 s"
PEERS: Mapping[str, PollPolicy] = {
    _OFTEN: Fixed(5),
    FIXED: Fixed(30),
    "fixed 60 s": Fixed(60),
    "Smithy's exponential": Exponential(),
    DEFAULT: PhaseAware(),
}
# A wait begins some seconds after its job was created; at a fixed second, limits of whole hours would be met by chance.
_STARTS_WITHIN = 60.0
SEED = 1
"""Of the jobs, and of the seconds at which waits begin."""
POPULATIONS: tuple[Population, ...] = (*recorded(), QUICK_V2, *SMALL, BASE, *VARIANTS, *PROBLEM_TYPES)
"""By their evidence: the recorded jobs, those that follow recordings, and the assumed ones."""


@dataclass(frozen=True)
class Measured:
    """What a policy took on a population.

    Attributes:
        jobs: How many there were.
        calls: The mean calls a job.
        lags: Each job's lag in seconds, ascending.
        of_promise: The largest lag as a share of the one that the default promises for that job.
    """

    jobs: int
    calls: float
    lags: tuple[float, ...]
    of_promise: float

    @property
    def lag(self) -> float:
        """Return the mean lag in seconds."""
        return sum(self.lags) / len(self.lags)

    def percentile(self, percent: int) -> float:
        """Return a percentile of the lags in seconds."""
        return self.lags[min(len(self.lags) * percent // 100, len(self.lags) - 1)]

    def cost(self, kappa: float) -> float:
        """Return the seconds of lag, a call counted as `kappa` of them."""
        return kappa * self.calls + self.lag


Result = dict[str, Measured]
"""By the name of the policy."""


class _WatchedJobs(ScriptedJobs):
    """Jobs that note when they were polled; a restless job's LastModifiedTime is always now."""

    def __init__(self, clock: ManualClock, *, is_restless: bool) -> None:
        super().__init__(clock)
        self.clock = clock
        self.polls: list[float] = []
        self._is_restless = is_restless

    def describe(self, job_name: str) -> Mapping[str, Any]:
        self.polls.append(self.clock.monotonic())
        response = super().describe(job_name)
        return {**response, "LastModifiedTime": self.clock.now()} if self._is_restless else response


def polls(
    job: Timeline, poll: PollPolicy, *, start: float = 0.0, seed: int = SEED, is_restless: bool = False
) -> list[float]:
    """Wait for a job in virtual time, from that age on; return its ages in seconds at each poll."""
    clock = ManualClock(seed=seed)
    jobs = _WatchedJobs(clock, is_restless=is_restless)
    jobs.add("job", job, start=start)
    outcome_of(Target(job_ref("job"), jobs), wait_options(poll=poll), clock)
    return [start + at for at in jobs.polls]


def measure(poll: PollPolicy, jobs: Iterable[Timeline], *, is_restless: bool = False) -> Measured:
    """Wait for each job, from a random second of its first minute on, or of its recording's."""
    chance = random.Random(SEED)
    calls: list[int] = []
    lags: list[float] = []
    of_promise = 0.0
    for number, job in enumerate(jobs):
        assert job.end is not None
        start = job.entries[0][0] + _STARTS_WITHIN * chance.random()
        ages = polls(job, poll, start=start, seed=number, is_restless=is_restless)
        calls.append(len(ages))
        # A job that failed in its first seconds had ended before the wait began: that is not the policy's lag.
        lags.append(ages[-1] - max(job.end, start))
        of_promise = max(of_promise, lags[-1] / promised_lag(job.end))
    return Measured(len(calls), sum(calls) / len(calls), tuple(sorted(lags)), of_promise)


def compare(count: int) -> dict[str, Result]:
    """Measure every policy on `count` jobs of every population, and 5 times as many of those with a bound of their own.

    A policy that polls every 5 s is tried on a tenth of the jobs, because its polls would take most of the time.
    """
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        futures = {
            (population.name, policy): pool.submit(_measure_on, population, count, poll)
            for population in POPULATIONS
            for policy, poll in PEERS.items()
        }
        return {
            population.name: {policy: futures[population.name, policy].result() for policy in PEERS}
            for population in POPULATIONS
        }


def _measure_on(population: Population, count: int, poll: PollPolicy) -> Measured:
    count *= 1 if population.bound == OTHERS_BOUND else 5
    jobs = population.jobs(math.ceil(count / 10) if poll == PEERS[_OFTEN] else count, SEED)
    return measure(poll, jobs, is_restless=population.is_restless)


def cost_of_fixed(result: Result, kappa: float = KAPPA) -> float:
    """Return what the default costs, in costs of a poll every 30 s."""
    return result[DEFAULT].cost(kappa) / result[FIXED].cost(kappa)


def criteria(results: Mapping[str, Result]) -> list[tuple[str, float, float]]:
    """Return what is promised of the default: in words, as measured, and the bound."""
    base = results[BASE.name]
    cost = f"cost at κ = {KAPPA}, of {FIXED}'s"
    return [
        ("lag of any job, of the promised", max(result[DEFAULT].of_promise for result in results.values()), 1.0),
        (f"{BASE.name}: mean lag, of {FIXED}'s", base[DEFAULT].lag / base[FIXED].lag, 0.5),
        *((f"{it.name}: {cost}", cost_of_fixed(results[it.name]), it.bound) for it in POPULATIONS),
    ]
