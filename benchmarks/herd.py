"""Hundreds of processes that begin to wait in the same second, each with a call budget of its own, in virtual time."""

from __future__ import annotations

import math
import os
import random
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from listing_service import Job, Service, Throttle

from automl_waiter import Ended, Exponential, Fixed, PollPolicy, Verdict
from automl_waiter._engine.calls import Calls
from automl_waiter._engine.job_wait import JobWait
from automl_waiter._engine.kernel import Kernel
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.options import wait_options
from automl_waiter._model.token_bucket import TokenBucket
from automl_waiter.testing import ManualClock
from automl_waiter.waiter import events_of
from benchmarks.polling import DEFAULT, FIXED
from benchmarks.workloads import BASE, MINUTE

PROCESSES = 500
SECONDS = 1800.0
RATE, BURST = 10.0, 20.0
"""What the service admits, in calls per second."""
HERDS = 8
"""Herds of the default; of the others there is one each."""
_SMITHY = "Smithy's exponential"
POLICIES: Mapping[str, PollPolicy | None] = {DEFAULT: None, FIXED: Fixed(30), _SMITHY: Exponential()}


class _Process:
    """What a process has of its own: the budget. The service, and its limit, are everybody's."""

    def __init__(self, service: Service) -> None:
        self.region = service.region
        self.bucket = TokenBucket()
        self.credentials_expire_at: datetime | None = None
        self.describe = service.describe
        self.stop = service.stop
        self.find_name = service.find_name
        self.list_candidates = service.list_candidates

    def list_jobs(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        """Not called: a process waits for one job."""
        raise AssertionError("one job is not followed in a listing")


@dataclass(frozen=True)
class Herd:
    """What came of a herd.

    Attributes:
        busiest: The most calls in a second, that in which all begin left out.
        calls: How many there were.
        throttled: How many of them.
        exhausted: How many waits ended with their error budget exhausted.
    """

    busiest: int
    calls: int
    throttled: int
    exhausted: int


def run(poll: PollPolicy | None, *, seed: int, processes: int = PROCESSES, seconds: float = SECONDS) -> Herd:
    """A herd whose jobs were created within the minute before."""
    clock, chance = ManualClock(seed=seed), random.Random(f"herd {seed}")
    jobs = [Job(f"job-{number}", -MINUTE * chance.random(), it) for number, it in enumerate(BASE.jobs(processes, seed))]
    service = Service(clock, jobs, throttle=Throttle(RATE, BURST))
    options, kernel = wait_options(poll=poll), Kernel(clock)
    for job in jobs:
        calls = Calls(_Process(service), kernel, error_budget=options.error_budget)
        kernel.spawn(JobWait(job_ref(job.name), options, calls, started=0.0).run)
    exhausted = 0
    for event in events_of(kernel, clock):
        if clock.monotonic() > seconds:
            break
        exhausted += isinstance(event, Ended) and event.outcome.verdict is Verdict.ERROR
    by_second = Counter(math.floor(at) for at in service.calls if at <= seconds)
    busiest = max(calls for second, calls in by_second.items() if second > 0)
    return Herd(busiest, len(service.calls), service.throttled, exhausted)


def measure(
    processes: int = PROCESSES, seconds: float = SECONDS, policies: Mapping[str, PollPolicy | None] = POLICIES
) -> dict[str, list[Herd]]:
    """The herds of each policy, by its name."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        futures = {
            name: [
                pool.submit(run, poll, seed=seed, processes=processes, seconds=seconds)
                for seed in range(HERDS if name == DEFAULT else 1)
            ]
            for name, poll in policies.items()
        }
        return {name: [future.result() for future in herds] for name, herds in futures.items()}


def busiest(herds: Sequence[Herd]) -> tuple[float, int, int]:
    """The busiest second of the herds: the median, the least and the most."""
    peaks = [herd.busiest for herd in herds]
    return statistics.median(peaks), min(peaks), max(peaks)


def criteria(herds: Mapping[str, Sequence[Herd]]) -> list[tuple[str, float, float]]:
    """Return what is promised of the default: in words, as measured, and the bound."""
    exhausted = sum(herd.exhausted for herd in herds[DEFAULT])
    return [(f"{PROCESSES} processes at once: waits that ended with their error budget exhausted", exhausted, 0)]
