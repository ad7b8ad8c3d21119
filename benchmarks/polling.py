"""Poll policies against each other: the real wait loop, in virtual time, over assumed and recorded jobs."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from automl_waiter import Exponential, Fixed, PhaseAware, PollPolicy
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.options import wait_options
from automl_waiter._model.text import seconds_of
from automl_waiter._wiring import Target
from automl_waiter.testing import ManualClock, ScriptedJobs, Timeline
from automl_waiter.waiter import outcome_of
from benchmarks.reference import Reference
from benchmarks.workloads import BASE, NO_REPORTS, PROBLEM_TYPES, VARIANTS, Workload, recorded_jobs

KAPPAS = (0.01, 0.1, 1.0, 10.0)
"""Seconds of lag that one call is worth: from who looks at one job to who shares a quota with a hundred."""
KAPPA = 0.1
DEFAULT, REFERENCE, FIXED, _OFTEN = "the default", "reference", "fixed 30 s", "fixed 5 s"
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
_STARTS_OF_A_RECORDED_JOB = 20


@dataclass(frozen=True)
class Measured:
    """What a policy took on a workload: how many jobs, mean calls a job, and each job's lag in seconds, ascending."""

    jobs: int
    calls: float
    lags: tuple[float, ...]

    @property
    def lag(self) -> float:
        """The mean lag in seconds."""
        return sum(self.lags) / len(self.lags)

    def percentile(self, percent: int) -> float:
        """A percentile of the lags in seconds."""
        return self.lags[min(len(self.lags) * percent // 100, len(self.lags) - 1)]

    def cost(self, kappa: float) -> float:
        """Seconds of lag, a call counted as `kappa` of them."""
        return kappa * self.calls + self.lag


Result = dict[str, Measured]
"""By the name of the policy."""


class _WatchedJobs(ScriptedJobs):
    """Jobs that note when they were looked at; a restless job's LastModifiedTime is always now."""

    def __init__(self, clock: ManualClock, *, is_restless: bool) -> None:
        super().__init__(clock)
        self.clock = clock
        self.looks: list[float] = []
        self._is_restless = is_restless

    def describe(self, job_name: str) -> Mapping[str, Any]:
        self.looks.append(self.clock.monotonic())
        response = super().describe(job_name)
        return {**response, "LastModifiedTime": self.clock.now()} if self._is_restless else response


def looks(
    job: Timeline, poll: PollPolicy, *, start: float = 0.0, seed: int = SEED, is_restless: bool = False
) -> list[float]:
    """Waits for a job in virtual time, from that age on; returns its ages in seconds at each look."""
    clock = ManualClock(seed=seed)
    jobs = _WatchedJobs(clock, is_restless=is_restless)
    jobs.add("job", job, start=start)
    outcome_of(Target(job_ref("job"), jobs), wait_options(poll=poll), clock)
    return [start + look for look in jobs.looks]


def measure(poll: PollPolicy, jobs: Iterable[Timeline], *, is_restless: bool = False) -> Measured:
    """Waits for each job, from a random second of its first minute on."""
    chance = random.Random(SEED)
    calls: list[int] = []
    lags: list[float] = []
    for number, job in enumerate(jobs):
        assert job.end is not None
        start = _STARTS_WITHIN * chance.random()
        ages = looks(job, poll, start=start, seed=number, is_restless=is_restless)
        calls.append(len(ages))
        # A job that failed in its first seconds had ended before the wait began: that is not the policy's lag.
        lags.append(ages[-1] - max(job.end, start))
    return Measured(len(calls), sum(calls) / len(calls), tuple(sorted(lags)))


def _measure_on(workload: Workload, count: int, poll: PollPolicy | float) -> Measured:
    """`poll` is a policy, or the worth of a call for which the reference is made."""
    policy = Reference(workload, poll) if isinstance(poll, float) else poll
    if policy == PEERS[_OFTEN]:
        count = math.ceil(count / 10)
    return measure(policy, workload.jobs(count, SEED), is_restless=workload.is_restless)


def compare(count: int, workloads: Sequence[Workload] = (BASE, *VARIANTS, *PROBLEM_TYPES)) -> dict[str, Result]:
    """Every policy on `count` jobs of every workload, and 5 times as many of those that promises are made of.

    The reference is the one for κ = 0.1; on the base there is one for each κ. A policy that looks every 5 s is tried on
    a tenth of the jobs, because its looks would take most of the time.
    """
    tasks: dict[tuple[str, str], tuple[Workload, PollPolicy | float]] = {}
    for workload in workloads:
        tasks |= {(workload.name, name): (workload, poll) for name, poll in PEERS.items()}
        kappas = KAPPAS if workload is BASE else (KAPPA,)
        tasks |= {(workload.name, reference_for(kappa)): (workload, kappa) for kappa in kappas}
    results: dict[str, Result] = {workload.name: {} for workload in workloads}
    for (name, policy), measured in _in_parallel(tasks, count).items():
        results[name][policy] = measured
    return results


def front(count: int, kappas: Sequence[float]) -> dict[str, list[Measured]]:
    """The base workload once for each κ: the reference, and the default with its longest delay in proportion."""
    tasks: dict[tuple[str, float], tuple[Workload, PollPolicy | float]] = {}
    for kappa in kappas:
        tasks[REFERENCE, kappa] = BASE, kappa
        tasks[DEFAULT, kappa] = BASE, PhaseAware(kappa, longest=seconds_of(PhaseAware.longest) * (kappa / KAPPA) ** 0.5)
    results = _in_parallel(tasks, count)
    return {name: [results[name, kappa] for kappa in kappas] for name in (REFERENCE, DEFAULT)}


def on_recorded_jobs(count: int) -> dict[str, Result]:
    """The recorded jobs with a report phase and those without, so many at most, each begun at several seconds."""
    jobs = recorded_jobs()
    groups = {
        "recorded, with reports": [job for job in jobs if _reports(job)][:count],
        "recorded, without": [job for job in jobs if not _reports(job)][:count],
    }
    return {
        f"{name} ({len(members)} jobs)": {
            policy: measure(poll, [job for job in members for _ in range(_STARTS_OF_A_RECORDED_JOB)])
            for policy, poll in PEERS.items()
        }
        for name, members in groups.items()
    }


def reference_for(kappa: float) -> str:
    """The name of the reference for that κ."""
    return REFERENCE if kappa == KAPPA else f"{REFERENCE} for κ = {kappa:g}"


def criteria(results: Mapping[str, Result]) -> list[tuple[str, float, float]]:
    """What is promised of the default on the assumed workloads: in words, as measured, and the bound."""
    base, variants = results[BASE.name], {name: results[name] for name in results if name != BASE.name}
    default, fixed, reference = base[DEFAULT], base[FIXED], base[REFERENCE]
    of_fixed = {name: it[DEFAULT].cost(KAPPA) / it[FIXED].cost(KAPPA) for name, it in variants.items()}
    worst = max(of_fixed, key=lambda name: of_fixed[name])
    return [
        (f"calls, of those of {FIXED}", default.calls / fixed.calls, 0.5),
        (f"mean lag, of that of {FIXED}", default.lag / fixed.lag, 0.5),
        (f"cost at κ = {KAPPA}, of the reference's", default.cost(KAPPA) / reference.cost(KAPPA), 1.4),
        (f"cost at κ = {KAPPA} where jobs end straight from training, of {FIXED}'s", of_fixed[NO_REPORTS.name], 1.1),
        (f"cost at κ = {KAPPA} in the worst variant or problem type ({worst}), of {FIXED}'s", of_fixed[worst], 1.1),
    ]


def _reports(job: Timeline) -> bool:
    return any("Report" in secondary for _, _, secondary in job.entries)


def _in_parallel(tasks: Mapping[Any, tuple[Workload, PollPolicy | float]], count: int) -> dict[Any, Measured]:
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        futures = {
            # Promises are made of these, and a mean lag needs many jobs.
            key: pool.submit(_measure_on, workload, count * (5 if workload in (BASE, NO_REPORTS) else 1), poll)
            for key, (workload, poll) in tasks.items()
        }
        return {key: future.result() for key, future in futures.items()}
