"""A fake SageMaker with scripted jobs, in virtual time: it lists, filters and throttles as a test asks.

The benchmarks import it too, by the same name: they put this folder on their path.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from automl_waiter._model.errors import InvalidRequest, JobNotFound, TransientError, TransientKind
from automl_waiter._model.token_bucket import DEFAULT_MAX_RATE, TokenBucket
from automl_waiter.sandbox.paging import is_listed
from automl_waiter.testing import EPOCH, ManualClock, Timeline

ARN = "arn:aws:sagemaker:us-east-1:123456789012:automl-job/"
_FILTERS = {"StatusEquals", "NameContains"}
MOVES_EVERY = 600.0
"""Seconds after which LastModifiedTime moves within a phase, again and again."""
# LastModifiedTime of an ended job is 28 to 40 ms after its EndTime in all recorded responses.
_AFTER_END = timedelta(milliseconds=35)


class Filters(Enum):
    """How a service applies the filters of a listing."""

    INDEXED = "applied before paging"
    POST_FILTERED = "applied after paging"
    IGNORED = "ignored"


@dataclass
class Job:
    """One job: when it was created (seconds of the clock, negative before the start), its script, and its state now."""

    name: str
    created: float
    timeline: Timeline
    entry: int = 0
    modified: float = 0.0

    @property
    def end(self) -> float | None:
        """The second of the clock at which it ends."""
        return None if self.timeline.end is None else self.created + self.timeline.end


class Throttle:
    """The service's rate limit: a token bucket of `rate` calls per second and a burst."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = burst, 0.0

    def admits(self, now: float) -> bool:
        """Return whether a call at that second is answered."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Service:
    """A gateway to scripted jobs. A job does not exist before the second of its creation.

    Args:
        clock: The virtual clock.
        jobs: The jobs, in any order.
        filters: How the filters of a listing are applied.
        throttle: The service's rate limit; None: no limit.
        max_rate: The caller's call budget, in calls per second.
    """

    def __init__(
        self,
        clock: ManualClock,
        jobs: Iterable[Job],
        *,
        filters: Filters = Filters.INDEXED,
        throttle: Throttle | None = None,
        max_rate: float = DEFAULT_MAX_RATE,
    ) -> None:
        self.region = "us-east-1"
        self.bucket = TokenBucket(max_rate)
        self.credentials_expire_at: datetime | None = None
        self.clock = clock
        self.filters = filters
        self.throttle = throttle
        self.calls: list[float] = []
        """The second of each call, throttled ones included."""
        self.describes = 0
        self.lists = 0
        self.throttled = 0
        self.token_life = float("inf")
        """Seconds after which a NextToken is refused."""
        self.moves_every = MOVES_EVERY
        # The newest first: the order that a listing of the newest jobs asks for.
        self.jobs = sorted(jobs, key=lambda job: -job.created)
        self._numbers = {job.name.lower(): number for number, job in enumerate(self.jobs)}
        self._youth = [-job.created for job in self.jobs]
        # Kept until the job changes: a listing of hundreds is read hundreds of times.
        self._summaries: list[Mapping[str, Any] | None] = [None] * len(self.jobs)
        self._changes: list[tuple[float, int, int]] = []
        for number, job in enumerate(self.jobs):
            job.modified = job.created
            self._expect_change(number, job)

    def describe(self, job_name: str) -> Mapping[str, Any]:
        """Return the response of DescribeAutoMLJobV2."""
        self.describes += 1
        number = self._numbers.get(job_name.lower())
        self._begin_call()
        if number is None or self.jobs[number].created > self.clock.monotonic():
            raise JobNotFound(f"no AutoML job {job_name!r}", code="ResourceNotFound")
        job = self.jobs[number]
        elapsed = self.clock.monotonic() - job.created
        response = job.timeline.response(elapsed, name=job.name, created=_at(job.created), arn=ARN + job.name.lower())
        return {**response, "LastModifiedTime": self._summary(number)["LastModifiedTime"]}

    def list_jobs(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the response of ListAutoMLJobs. A token is a position, so pages shift when jobs are created."""
        self.lists += 1
        self._begin_call()
        now = self.clock.monotonic()
        first, _, issued = (request.get("NextToken") or f"0@{now}").partition("@")
        if "NextToken" in request and now - float(issued) >= self.token_life:
            raise InvalidRequest("the token has expired", code="ValidationException")
        begin, size = int(first), int(request["MaxResults"])
        created = range(bisect.bisect_left(self._youth, -now), len(self.jobs))
        is_filtered = self.filters is Filters.INDEXED and request.keys() & _FILTERS
        listed = [number for number in created if is_listed(self._summary(number), request)] if is_filtered else created
        page = listed[begin : begin + size]
        if self.filters is Filters.POST_FILTERED:
            page = [number for number in page if is_listed(self._summary(number), request)]
        response: dict[str, Any] = {"AutoMLJobSummaries": [self._summary(number) for number in page]}
        if begin + size < len(listed):
            response["NextToken"] = f"{begin + size}@{now}"
        return response

    def stop(self, job_name: str) -> None:
        """Refuse the request: no test stops a job here."""
        raise InvalidRequest(f"{job_name} is not to be stopped")

    def find_name(self, _: str) -> str | None:
        """Return no name."""
        return None

    def list_candidates(self, job_name: str, _: str | None) -> Mapping[str, Any]:
        """Refuse the request: no test reads candidates here."""
        raise InvalidRequest(f"the candidates of {job_name} are not to be listed")

    def _begin_call(self) -> None:
        now = self.clock.monotonic()
        self.calls.append(now)
        if self.throttle is not None and not self.throttle.admits(now):
            self.throttled += 1
            raise TransientError(TransientKind.THROTTLED, "Rate exceeded", code="ThrottlingException")
        while self._changes and self._changes[0][0] <= now:
            at, number, entry = heapq.heappop(self._changes)
            job = self.jobs[number]
            job.modified, job.entry = at, entry
            self._summaries[number] = None
            self._expect_change(number, job)

    def _expect_change(self, number: int, job: Job) -> None:
        following = job.entry + 1
        if following >= len(job.timeline.entries):
            return
        change = job.created + job.timeline.entries[following][0]
        move = job.modified + self.moves_every
        heapq.heappush(self._changes, (move, number, job.entry) if move < change else (change, number, following))

    def _summary(self, number: int) -> Mapping[str, Any]:
        known = self._summaries[number]
        if known is not None:
            return known
        job = self.jobs[number]
        _, status, secondary = job.timeline.entries[job.entry]
        summary = {
            "AutoMLJobName": job.name,
            "AutoMLJobArn": ARN + job.name.lower(),
            "AutoMLJobStatus": status,
            "AutoMLJobSecondaryStatus": secondary,
            "CreationTime": _at(job.created),
            "LastModifiedTime": _at(job.modified),
        }
        if job.end is not None and job.end <= self.clock.monotonic():
            summary |= {"EndTime": _at(job.end), "LastModifiedTime": _at(job.end) + _AFTER_END}
        self._summaries[number] = summary
        return summary


def _at(second: float) -> datetime:
    return EPOCH + timedelta(seconds=second)


def script(end: float, *, status: str = "Completed") -> Timeline:
    """Return the script of a job that trains, writes its reports and ends."""
    return Timeline(
        [
            (0, "InProgress", "Starting"),
            (end * 0.2, "InProgress", "ModelTuning"),
            (end * 0.8, "InProgress", "GeneratingModelInsightsReport"),
            (end, status, status),
        ],
        failure_reason="no data",
    )


def failing(*errors: Exception, then: Callable[[Mapping[str, Any]], Any] | None = None) -> Callable[..., Any]:
    """Return a call that raises each of these errors in turn, then the last one forever unless a response follows."""
    left = list(errors)

    def call(request: Mapping[str, Any]) -> Any:
        if left:
            raise left.pop(0) if then or len(left) > 1 else left[0]
        assert then is not None
        return then(request)

    return call


def listing_as(
    answer: Callable[[Service, Callable[[Mapping[str, Any]], Any], Mapping[str, Any]], Any],
) -> Callable[[Service], None]:
    """Make a service list as `answer` returns, given the service, its own listing and the request."""

    def change(service: Service) -> None:
        read = service.list_jobs
        service.list_jobs = lambda request: answer(service, read, request)  # type: ignore[method-assign]

    return change
