"""Many jobs under one call budget, in virtual time: listed, described, and with a small budget or a long listing."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from listing_service import Job, Service, Throttle

from automl_waiter import Ended, PhaseAware, PollContext
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.options import wait_options
from automl_waiter._wiring import Target, wait_kernel
from automl_waiter.testing import ManualClock, Timeline
from automl_waiter.waiter import events_of
from benchmarks.workloads import BASE, HOUR

DEFAULT, DESCRIBED = "the default", "a describe per job"
RATE = 10.0
"""The max rate, and the rate that the service admits, in calls per second."""
BURST = 20.0
WINDOW = 9 * HOUR
"""The jobs were created in that time before second 0."""
SLOW, FEW = 2.0, 200
"""The small budget, in calls per second, and the jobs that share it."""
OTHERS = 600
"""Ended jobs that were created among the few."""
CROWD = 6000
"""Ended jobs that were created among the largest fleet: more than the pages that the default reads."""
# Seconds that are watched, and fleets: the fewer the jobs, the longer until there are ends to measure.
_WATCHED = {1: (12 * HOUR, 60), 10: (6 * HOUR, 20), 100: (3 * HOUR, 4), 300: (2 * HOUR, 2)}
LARGEST = max(_WATCHED)


class EachByItself:
    """The default policy, under another name: jobs with a policy of one's own are described one by one."""

    def next_delay(self, context: PollContext, /) -> float:
        """The default's."""
        return PhaseAware().next_delay(context)


@dataclass(frozen=True)
class Setting:
    """A fleet, and how it is followed.

    Attributes:
        jobs: How many jobs run at second 0.
        how: The row's name in the tables.
        seconds: How long the fleet is watched.
        seeds: How many fleets there are.
        rate: The max rate, and the rate that the service admits, in calls per second.
        among: Ended jobs that were created among those of the fleet.
        is_listed: Whether the waiter may follow the jobs in a listing.
    """

    jobs: int
    how: str
    seconds: float
    seeds: int = 1
    rate: float = RATE
    among: int = 0
    is_listed: bool = True


@dataclass(frozen=True)
class Followed:
    """What came of a setting.

    Attributes:
        setting: Which.
        calls: Calls a minute to AWS.
        lags: Seconds from each end until the waiter told of it, ascending; of one that it had not told of when the
            watch was over, those that had passed by then.
        seen: How many of the ends it told of.
        throttled: How many calls were.
        wrong: How many it told of before they were ends, or otherwise than they were.
    """

    setting: Setting
    calls: float
    lags: tuple[float, ...]
    seen: int
    throttled: int
    wrong: int

    def percentile(self, percent: int) -> float:
        """A percentile of the lags in seconds."""
        return self.lags[min(len(self.lags) * percent // 100, len(self.lags) - 1)]


def watched() -> dict[int, float]:
    """Return how many seconds the fleets of each size are watched."""
    return {jobs: seconds for jobs, (seconds, _) in _WATCHED.items()}


def sizes() -> list[Setting]:
    """Return fleets of every size, each listed where the default lists, and each described."""
    return [
        setting
        for jobs, (seconds, seeds) in _WATCHED.items()
        for setting in (
            Setting(jobs, DEFAULT, seconds, seeds),
            Setting(jobs, DESCRIBED, seconds, seeds, is_listed=False),
        )
    ]


def hardships() -> list[Setting]:
    """Return fleets with a small budget, and one whose listing is too long to read."""
    return [
        Setting(FEW, DEFAULT, 6 * HOUR, rate=SLOW),
        Setting(FEW, f"{DEFAULT}, among {OTHERS} others", 6 * HOUR, rate=SLOW, among=OTHERS),
        Setting(LARGEST, f"{DEFAULT}, among {CROWD:,} others", 2 * HOUR, among=CROWD),
    ]


def measure(settings: Sequence[Setting]) -> list[Followed]:
    """Return what comes of each setting; it takes about half a minute.

    Raises:
        RuntimeError: A wrong end was reported.
    """
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        # The largest first, so that no process is left with one of them at the end.
        order = sorted(range(len(settings)), key=lambda index: -settings[index].jobs * settings[index].seconds)
        futures = {index: pool.submit(follow, settings[index]) for index in order}
        rows = [futures[index].result() for index in range(len(settings))]
    if wrong := [f"{row.setting.jobs} jobs, {row.setting.how}" for row in rows if row.wrong]:
        raise RuntimeError(f"wrong ends were reported: {'; '.join(wrong)}")
    return rows


def follow(setting: Setting) -> Followed:
    """Follows the fleets of a setting, one after the other."""
    calls, seconds, seen, throttled, wrong = 0, 0.0, 0, 0, 0
    lags: list[float] = []
    for seed in range(1, setting.seeds + 1):
        clock = ManualClock(seed=seed)
        jobs = {job.name: job for job in fleet(setting, seed)}
        service = Service(
            clock,
            [*jobs.values(), *_others(setting, seed)],
            throttle=Throttle(setting.rate, BURST),
            max_rate=setting.rate,
        )
        options = wait_options(poll=None if setting.is_listed else EachByItself())
        targets = [Target(job_ref(name), service) for name in jobs]
        kernel = wait_kernel(targets, options, clock)
        told: dict[str, float] = {}
        for event in events_of(kernel, clock):
            now = clock.monotonic()
            if now > setting.seconds:
                break
            if isinstance(event, Ended):
                job = jobs[event.outcome.job]
                told[job.name] = now - _end(job)
                wrong += now < _end(job) or not _is_right(event, job)
        watched = min(clock.monotonic(), setting.seconds)
        late = {job.name: watched - _end(job) for job in jobs.values() if _end(job) <= watched}
        lags += (late | told).values()
        calls += len(service.calls)
        seconds += watched
        seen += len(told)
        throttled += service.throttled
    return Followed(setting, calls / (seconds / 60), tuple(sorted(lags)), seen, throttled, wrong)


def fleet(setting: Setting, seed: int) -> list[Job]:
    """The jobs of a fleet: of all that were begun within the window, evenly, those that run at second 0."""
    chance = random.Random(f"fleet {setting.jobs} {seed}")
    jobs: list[Job] = []
    # Far more than are taken: they are made one by one.
    for number, timeline in enumerate(BASE.jobs(1000 + 100 * setting.jobs, seed)):
        created = -WINDOW * chance.random()
        if created + (timeline.end or 0.0) > 0:
            jobs.append(Job(f"job-{number}", created, timeline))
        if len(jobs) == setting.jobs:
            return jobs
    raise RuntimeError(f"too few jobs run at second 0: {len(jobs)} of {setting.jobs}")


def criteria(rows: Sequence[Followed]) -> list[tuple[str, float, float]]:
    """What is promised: in words, as measured, and the bound."""
    [largest] = [row for row in rows if (row.setting.jobs, row.setting.how) == (LARGEST, DEFAULT)]
    slow = [row for row in rows if row.setting.rate == SLOW]
    return [
        (f"{LARGEST} jobs: calls a minute", largest.calls, 25),
        (f"{LARGEST} jobs: p95 of the lag in s", largest.percentile(95), 12),
        (
            f"{FEW} jobs at {SLOW:g} calls/s, also among {OTHERS} others: p95 of the lag in s",
            max(row.percentile(95) for row in slow),
            15,
        ),
    ]


def _others(setting: Setting, seed: int) -> list[Job]:
    """Return the jobs of the account that have ended before second 0."""
    chance = random.Random(f"others {seed}")
    brief = Timeline([(0, "InProgress", "Starting"), (60, "Completed", "Completed")])
    return [Job(f"other-{number}", -60 - WINDOW * chance.random(), brief) for number in range(setting.among)]


def _end(job: Job) -> float:
    assert job.end is not None
    return job.end


def _is_right(event: Ended, job: Job) -> bool:
    """Return whether the job's end was reported correctly."""
    snapshot = event.outcome.snapshot
    _, *state = job.timeline.entries[-1]
    return (
        event.outcome.error is None and snapshot is not None and [snapshot.status, snapshot.secondary_status] == state
    )
