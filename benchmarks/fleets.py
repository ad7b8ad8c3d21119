"""Many jobs under one call budget, in virtual time: a listing, a describe per job, and services that list badly."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from automl_waiter import Ended, PhaseAware, PollContext
from automl_waiter.jobs import job_ref
from automl_waiter.listing import _TRICKLE, PAGE, VERIFIED_EVERY
from automl_waiter.options import wait_options
from automl_waiter.testing import ManualClock, Timeline
from automl_waiter.waiter import events_of
from automl_waiter.waits import loop_of
from benchmarks.workloads import BASE, HOUR, MINUTE
from tests.listing_service import Filters, Job, Service, Throttle

DEFAULT, POST_FILTERED = "the default, filters before paging", "the default, filters after paging"
DESCRIBED = "a describe per job"
RATE = 10.0
"""Calls per second: the max rate, and what the service admits."""
BURST = 20.0
HISTORY = 5000
"""Jobs of the account that had ended before, where the filters do not leave them out."""
WINDOW = 9 * HOUR
"""The jobs were created within that before second 0."""
MOVES = 10 * MINUTE
"""How often LastModifiedTime moves within a phase."""
OFTEN = 3 * MINUTE
HIDDEN = 0.25
"""The share of the jobs whose end does not move LastModifiedTime, where some are such."""
SLOW, FEW = 2.0, 200
"""The small budget, in calls per second, and the jobs that share it."""
OTHERS = 600
"""Ended jobs that were created among them."""
_AMONG = "the default, filters after paging, among others"
_HIDDEN = "the default, all ends hidden, among others"
# Seconds that are watched, and fleets: the fewer the jobs, the longer until there are ends to measure.
_WATCHED = {1: (12 * HOUR, 60), 10: (6 * HOUR, 20), 100: (3 * HOUR, 4), 1000: (2 * HOUR, 1), 10_000: (HOUR, 1)}


class EachByItself:
    """The default policy, under another name: jobs with a policy of one's own are described one by one."""

    def next_delay(self, context: PollContext, /) -> float:
        """The default's."""
        return PhaseAware().next_delay(context)


@dataclass(frozen=True)
class Setting:
    """A fleet, and what it is up against.

    Attributes:
        jobs: How many jobs run at second 0.
        how: What it is called in the tables.
        seconds: For how long it is watched.
        seeds: How many fleets there are.
        filters: What the service makes of a listing's filters.
        rate: The max rate, and what the service admits, in calls per second.
        older: Ended jobs of the account that were created before all of the fleet.
        among: Ended jobs that were created among those of the fleet.
        hidden: The share of the jobs whose end does not move LastModifiedTime, and which does not move before.
        moves_every: Seconds after which LastModifiedTime moves within a phase.
        is_listed: Whether the waiter may follow the jobs in a listing.
    """

    jobs: int
    how: str
    seconds: float
    seeds: int = 1
    filters: Filters = Filters.INDEXED
    rate: float = RATE
    older: int = 0
    among: int = 0
    hidden: float = 0.0
    moves_every: float = MOVES
    is_listed: bool = True

    @property
    def bound(self) -> float:
        """Seconds after which an end is seen, whatever the filters hide, as `listing.py` promises it.

        Each job was shown within 15 minutes and a trickle of pages, and then waits for its turn to be described.
        """
        pages = -(-(self.jobs + self.among) // PAGE)
        return VERIFIED_EVERY + pages * _TRICKLE + self.jobs / self.rate


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
    """For how many seconds the fleets of each size are watched."""
    return {jobs: seconds for jobs, (seconds, _) in _WATCHED.items()}


def sizes() -> list[Setting]:
    """Fleets of every size, followed in three ways."""
    return [
        setting
        for jobs, (seconds, seeds) in _WATCHED.items()
        for setting in (
            Setting(jobs, DEFAULT, seconds, seeds),
            Setting(jobs, POST_FILTERED, seconds, seeds, filters=Filters.POST_FILTERED, older=HISTORY),
            Setting(jobs, DESCRIBED, seconds, seeds, is_listed=False),
        )
    ]


def hardships() -> list[Setting]:
    """Small budgets, and services that do not list as one would wish."""
    small = Setting(FEW, POST_FILTERED, 6 * HOUR, rate=SLOW, filters=Filters.POST_FILTERED, older=HISTORY)
    return [
        small,
        Setting(FEW, _AMONG, 6 * HOUR, rate=SLOW, filters=Filters.POST_FILTERED, among=OTHERS),
        Setting(FEW, _HIDDEN, 6 * HOUR, rate=SLOW, among=OTHERS, hidden=1.0),
        Setting(1000, f"the default, {HIDDEN:.0%} of the ends hidden", 2 * HOUR, hidden=HIDDEN),
        Setting(1000, "the default, filters ignored", 2 * HOUR, filters=Filters.IGNORED, older=HISTORY),
        Setting(10_000, f"the default, LastModifiedTime moves every {OFTEN / 60:.0f} minutes", HOUR, moves_every=OFTEN),
    ]


def measure(settings: Sequence[Setting]) -> list[Followed]:
    """What comes of each; it takes about two minutes.

    Raises:
        RuntimeError: An end was told of that was none, or was another.
    """
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        # The largest first, so that no process is left with one of them at the end.
        order = sorted(range(len(settings)), key=lambda index: -settings[index].jobs * settings[index].seconds)
        futures = {index: pool.submit(follow, settings[index]) for index in order}
        rows = [futures[index].result() for index in range(len(settings))]
    if wrong := [f"{row.setting.jobs} jobs, {row.setting.how}" for row in rows if row.wrong]:
        raise RuntimeError(f"an end was told of that was none, or was another: {'; '.join(wrong)}")
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
            [*jobs.values(), *_ended(setting, seed)],
            filters=setting.filters,
            throttle=Throttle(setting.rate, BURST),
            moves_every=setting.moves_every,
            max_rate=setting.rate,
        )
        options = wait_options(poll=None if setting.is_listed else EachByItself())
        loop = loop_of([job_ref(name) for name in jobs], [service] * len(jobs), options, clock)
        told: dict[str, float] = {}
        for event in events_of(loop, clock):
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
        is_hidden = chance.random() < setting.hidden
        if created + (timeline.end or 0.0) > 0:
            jobs.append(Job(f"job-{number}", created, timeline, hides_its_end=is_hidden, rests=is_hidden))
        if len(jobs) == setting.jobs:
            return jobs
    raise RuntimeError(f"too few jobs run at second 0: {len(jobs)} of {setting.jobs}")


def criteria(rows: Sequence[Followed]) -> list[tuple[str, float, float]]:
    """What is promised: in words, as measured, and the bound."""
    [largest] = [row for row in rows if (row.setting.jobs, row.setting.how) == (max(_WATCHED), DEFAULT)]
    small = [row for row in rows if row.setting.rate == SLOW]
    return [
        (f"{largest.setting.jobs:,} jobs, filters applied before paging: calls a minute", largest.calls, 85),
        (
            f"{largest.setting.jobs:,} jobs, filters applied before paging: p95 of the lag in s",
            largest.percentile(95),
            15,
        ),
        (
            f"{FEW} jobs at {SLOW:g} calls/s, whatever the filters do: the longest lag, of the documented bound",
            max(row.lags[-1] / row.setting.bound for row in small),
            1,
        ),
    ]


def _ended(setting: Setting, seed: int) -> list[Job]:
    """The jobs of the account that have ended before."""
    chance = random.Random(f"others {seed}")
    brief = Timeline([(0, "InProgress", "Starting"), (60, "Completed", "Completed")])
    older = [Job(f"old-{number}", -WINDOW - HOUR - number * MINUTE, brief) for number in range(setting.older)]
    among = [Job(f"other-{number}", -60 - WINDOW * chance.random(), brief) for number in range(setting.among)]
    return [*older, *among]


def _end(job: Job) -> float:
    assert job.end is not None
    return job.end


def _is_right(event: Ended, job: Job) -> bool:
    """Whether the job's end was told as it was."""
    snapshot = event.outcome.snapshot
    _, *state = job.timeline.entries[-1]
    return (
        event.outcome.error is None and snapshot is not None and [snapshot.status, snapshot.secondary_status] == state
    )
