"""For your tests: scripted jobs, and a clock that you control::

    from automl_waiter.testing import Timeline, simulate

    timeline = Timeline([(0, "InProgress", "Starting"), (5400, "Completed", "Completed")])
    result = simulate(timeline)
    result.calls, result.lag, result.outcome

`simulated_jobs` is a pytest fixture: import it by name into your test or conftest, and `wait_for` and its
siblings follow scripted jobs in virtual time, with no AWS and no waiting.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

from automl_waiter._engine.kernel import PendingCall
from automl_waiter._model.errors import Cancelled, JobNotFound
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.options import wait_options
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.polling import PollPolicy
from automl_waiter._model.text import Duration, nearest_name, seconds_of
from automl_waiter._model.token_bucket import TokenBucket
from automl_waiter._model.until import Condition
from automl_waiter._wiring import Target
from automl_waiter.sandbox.paging import page_of, paged, summary_of
from automl_waiter.sandbox.timeline import Timeline
from automl_waiter.waiter import outcome_of

try:
    import pytest
except ImportError:  # pragma: no cover - simulate needs no pytest
    pytest = None  # type: ignore[assignment]

__all__ = ["ManualClock", "ScriptedJobs", "Simulation", "Timeline", "simulate", "simulated_jobs"]

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_ARN = "arn:aws:sagemaker:us-east-1:123456789012:automl-job/"


class ManualClock:
    """A machine whose clock advances only while something waits on it. Calls run at once and take no time.

    It serves blocking and async waits. Any wait on it is cancelled `cancel_at` seconds after its start.
    """

    def __init__(self, *, seed: int = 0, epoch: datetime = EPOCH, cancel_at: float | None = None) -> None:
        self._seconds = [0.0]  # a list, so that copies of the clock share it
        self._epoch = epoch
        self._random = random.Random(seed)  # noqa: S311 - a simulation must repeat
        self._returned: deque[PendingCall] = deque()
        self._cancel_at = cancel_at

    def monotonic(self) -> float:
        """Return the seconds since the clock was made."""
        return self._seconds[0]

    def now(self) -> datetime:
        """Return the time of day (UTC)."""
        return self._epoch + timedelta(seconds=self._seconds[0])

    def random(self) -> float:
        """Return the next number in [0, 1) of the seed's sequence."""
        return self._random.random()

    def advance(self, seconds: float) -> None:
        """Advance the clock."""
        self._seconds[0] += seconds

    def start(self, call: PendingCall) -> None:
        """Run a call at once."""
        call.run()
        self._returned.append(call)

    def wait(self, until: float) -> PendingCall | None:
        """Return the next finished call; if there is none, advance the clock to `until` and return None."""
        if self._returned:
            return self._returned.popleft()
        if self._cancel_at is not None and until >= self._cancel_at:
            self._seconds[0] = max(self._seconds[0], self._cancel_at)
            raise Cancelled
        self._seconds[0] = max(self._seconds[0], until)
        return None

    async def wait_async(self, until: float) -> PendingCall | None:
        """Do the same for asyncio."""
        return self.wait(until)

    def __enter__(self) -> Self:
        self._returned = deque()  # an earlier wait may have left calls
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: several waits may share the clock."""


class ScriptedJobs:
    """A gateway to scripted jobs. `add` sets the age of each."""

    def __init__(self, clock: ManualClock, *, max_rate: float = 1e6) -> None:
        self._clock = clock
        self._jobs: dict[str, tuple[str, Timeline, datetime]] = {}
        self.calls = 0
        """The number of describes."""
        self.lists = 0
        """The number of listing pages read."""
        self.region = "us-east-1"
        self.bucket = TokenBucket(max_rate)
        self.credentials_expire_at: datetime | None = None
        """When the credentials for these jobs expire (UTC), if a test sets it."""

    def add(self, name: str, timeline: Timeline, *, start: float = 0.0) -> None:
        """Add a job that is `start` seconds old now."""
        created = self._clock.now() - timedelta(seconds=start)
        self._jobs[name.lower()] = (name, timeline, created)

    def describe(self, job_name: str) -> Mapping[str, Any]:
        """Return the response of DescribeAutoMLJobV2."""
        self.calls += 1
        return self._response(self._find(job_name))

    def stop(self, job_name: str) -> None:
        """Stop the job: it is Stopping for a minute, then Stopped."""
        name, timeline, created = self._find(job_name)
        self._jobs[name.lower()] = (name, timeline.stopped_at(self._elapsed(created)), created)

    def find_name(self, job_name: str) -> str | None:
        """Return the name of the job that is most similar to `job_name`."""
        return nearest_name(job_name, (name for name, _, _ in self._jobs.values()))

    def list_jobs(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the response of ListAutoMLJobs: a page."""
        self.lists += 1
        return page_of([summary_of(self._response(job)) for job in self._jobs.values()], request)

    def list_candidates(self, job_name: str, token: str | None) -> Mapping[str, Any]:
        """Return the response of ListCandidatesForAutoMLJob: a page."""
        name, timeline, created = self._find(job_name)
        found = timeline.candidates(self._elapsed(created), name=name, created=created, arn=_ARN + name)
        return paged("Candidates", found, {"MaxResults": 100, "NextToken": token})

    def _find(self, job_name: str) -> tuple[str, Timeline, datetime]:
        if job_name.lower() not in self._jobs:
            raise JobNotFound(f"no AutoML job {job_name!r}", code="ResourceNotFound")
        return self._jobs[job_name.lower()]

    def _response(self, job: tuple[str, Timeline, datetime]) -> dict[str, Any]:
        name, timeline, created = job
        return timeline.response(self._elapsed(created), name=name, created=created, arn=_ARN + name)

    def _elapsed(self, created: datetime) -> float:
        return (self._clock.now() - created).total_seconds()


@dataclass(frozen=True)
class Simulation:
    """The result of a simulated wait.

    Attributes:
        calls: The number of describes.
        lag: Seconds from the job's end until the wait returned; None if the job did not end.
        outcome: How the wait ended.
    """

    calls: int
    lag: float | None
    outcome: Outcome


def simulate(
    timeline: Timeline,
    *,
    poll: PollPolicy | Duration | None = None,
    seed: int = 0,
    start: Duration = 0.0,
    timeout: Duration | Literal["auto"] | None = None,
    until: str | Condition | None = None,
) -> Simulation:
    """Run the real wait loop over a scripted job in virtual time. It never raises for how the job ended.

    Args:
        timeline: The job.
        poll: As in `wait_for`.
        seed: The seed of the jitter.
        start: The job's age when the wait begins, a duration.
        timeout: As in `wait_for`.
        until: As in `wait_for`.

    Raises:
        ValueError: The job never ends and there is no timeout, so the wait would never end.
    """
    if timeline.end is None and timeout is None:
        raise ValueError("the timeline has no end: give a timeout, or the simulated wait would never end")
    clock = ManualClock(seed=seed)
    jobs = ScriptedJobs(clock)
    age = seconds_of(start, "start")
    jobs.add("simulated", timeline, start=age)
    options = wait_options(timeout=timeout, poll=poll, until=until)
    outcome = outcome_of(Target(job_ref("simulated"), jobs), options, clock)
    ended = outcome.snapshot is not None and outcome.snapshot.state.is_terminal
    lag = age + clock.monotonic() - timeline.end if ended and timeline.end is not None else None
    return Simulation(jobs.calls, lag, outcome)


def _simulated_jobs(monkeypatch: Any) -> ScriptedJobs:
    """A pytest fixture: after `simulated_jobs.add(name, timeline)`, `wait_for(name)` follows it in virtual time."""
    clock = ManualClock()
    jobs = ScriptedJobs(clock)
    monkeypatch.setattr("automl_waiter.waiter.Machine", lambda *_: copy(clock))
    monkeypatch.setattr("automl_waiter.aio.AsyncioMachine", lambda: copy(clock))
    monkeypatch.setattr("automl_waiter._wiring.Gateways.of", lambda *_: jobs)
    monkeypatch.setattr("automl_waiter._wiring.Gateways.default", lambda _: jobs)
    return jobs


simulated_jobs = pytest.fixture(name="simulated_jobs")(_simulated_jobs) if pytest is not None else _simulated_jobs
