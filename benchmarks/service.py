"""A SageMaker of thousands of scripted jobs, in virtual time: how it filters and throttles is to be chosen."""

from __future__ import annotations

import bisect
import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from automl_waiter.budget import DEFAULT_MAX_RATE, Budget
from automl_waiter.errors import InvalidRequest, JobNotFound, Passing, PassingFailure
from automl_waiter.paging import is_listed
from automl_waiter.testing import EPOCH, ManualClock, Timeline

ARN = "arn:aws:sagemaker:us-east-1:123456789012:automl-job/"
_OTHER_FILTERS = {"NameContains", "CreationTimeAfter", "CreationTimeBefore", "LastModifiedTimeBefore"}
_AFTER_END = timedelta(milliseconds=35)


class Filters(Enum):
    """What a service makes of the filters of a listing."""

    INDEXED = "applied before paging"
    POST_FILTERED = "applied after paging"
    IGNORED = "ignored"


@dataclass
class Job:
    """One job: when it was created (seconds of the clock, before 0 too), its script, and how it is just now."""

    name: str
    created: float
    timeline: Timeline
    hides_its_end: bool = False
    """Whether LastModifiedTime stands still when it ends."""
    rests: bool = False
    """Whether LastModifiedTime stands still within a phase."""
    entry: int = 0
    modified: float = 0.0

    @property
    def end(self) -> float | None:
        """The second of the clock at which it ends."""
        return None if self.timeline.end is None else self.created + self.timeline.end


class Throttle:
    """The limit of the service: a token bucket."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = burst, 0.0

    def admits(self, now: float) -> bool:
        """Whether a call at that instant is answered."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Service:
    """A gateway to scripted jobs; what is between 0 and their creation does not exist yet.

    Args:
        clock: The virtual time.
        jobs: The jobs, in any order.
        filters: What it makes of a listing's filters.
        throttle: Its limit; None: it has none.
        moves_every: Seconds after which LastModifiedTime moves within a phase, again and again.
        max_rate: The call budget of who calls it here.
    """

    def __init__(
        self,
        clock: ManualClock,
        jobs: Iterable[Job],
        *,
        filters: Filters = Filters.INDEXED,
        throttle: Throttle | None = None,
        moves_every: float = 600.0,
        max_rate: float = DEFAULT_MAX_RATE,
    ) -> None:
        self.region = "us-east-1"
        self.budget = Budget(max_rate)
        self.credentials_expire_at: datetime | None = None
        self.clock = clock
        self.filters = filters
        self.throttle = throttle
        self.calls: list[float] = []
        """When each call was made, the throttled ones included."""
        self.describes = 0
        self.lists = 0
        self.throttled = 0
        self.token_life = float("inf")
        """Seconds for which a NextToken is good."""
        self._moves_every = moves_every
        # The newest first, as a listing has them that asks for it.
        self.jobs = sorted(jobs, key=lambda job: -job.created)
        self._numbers = {job.name.lower(): number for number, job in enumerate(self.jobs)}
        self._youth = [-job.created for job in self.jobs]
        # Made when a job changes, because a listing of thousands is read thousands of times.
        self._summaries: list[Mapping[str, Any] | None] = [None] * len(self.jobs)
        self._modified = [_at(job.created) + _AFTER_END for job in self.jobs]
        self._of_status: dict[str, list[int]] = {}
        self._changes: list[tuple[float, int, int]] = []
        for number, job in enumerate(self.jobs):
            job.modified = job.created
            self._of_status.setdefault(job.timeline.entries[job.entry][1], []).append(number)
            self._expect_change(number, job)

    def describe(self, job_name: str) -> Mapping[str, Any]:
        """The response of DescribeAutoMLJobV2."""
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
        """The response of ListAutoMLJobs, whose tokens are positions in what is listed: pages shift."""
        self.lists += 1
        self._begin_call()
        now = self.clock.monotonic()
        first, _, issued = (request.get("NextToken") or f"0@{now}").partition("@")
        if now - float(issued) > self.token_life:
            raise InvalidRequest("the token has expired", code="ValidationException")
        begin, size = int(first), int(request["MaxResults"])
        # The others are yet to be created.
        there = range(bisect.bisect_left(self._youth, -now), len(self.jobs))
        listed = self._passing(there, request) if self.filters is Filters.INDEXED else there
        page = listed[begin : begin + size]
        if self.filters is Filters.POST_FILTERED:
            page = [number for number in page if self._is_listed(number, request)]
        response: dict[str, Any] = {"AutoMLJobSummaries": [self._summary(number) for number in page]}
        if begin + size < len(listed):
            response["NextToken"] = f"{begin + size}@{now}"
        return response

    def stop(self, job_name: str) -> None:
        """Nothing is stopped here."""
        raise InvalidRequest(f"{job_name} is not to be stopped")

    def find_names(self, _: str) -> list[str]:
        """No name is like another."""
        return []

    def list_candidates(self, job_name: str, _: str | None) -> Mapping[str, Any]:
        """Nobody watches here."""
        raise InvalidRequest(f"the candidates of {job_name} are not to be listed")

    def _begin_call(self) -> None:
        now = self.clock.monotonic()
        self.calls.append(now)
        if self.throttle is not None and not self.throttle.admits(now):
            self.throttled += 1
            raise PassingFailure(Passing.THROTTLED, "Rate exceeded", code="ThrottlingException")
        while self._changes and self._changes[0][0] <= now:
            at, number, entry = heapq.heappop(self._changes)
            job = self.jobs[number]
            is_end = at == job.end
            if not (is_end and job.hides_its_end):
                job.modified = at
                self._modified[number] = _at(at) + _AFTER_END
            before, after = (job.timeline.entries[index][1] for index in (job.entry, entry))
            if before != after:
                of_status = self._of_status[before]
                del of_status[bisect.bisect_left(of_status, number)]
                bisect.insort(self._of_status.setdefault(after, []), number)
            job.entry = entry
            self._summaries[number] = None
            if not is_end:
                self._expect_change(number, job)

    def _expect_change(self, number: int, job: Job) -> None:
        entries = job.timeline.entries
        following = job.entry + 1
        if following >= len(entries):
            return
        change = job.created + entries[following][0]
        move = math.inf if job.rests else job.modified + self._moves_every
        heapq.heappush(self._changes, (move, number, job.entry) if move < change else (change, number, following))

    def _passing(self, there: range, request: Mapping[str, Any]) -> Sequence[int]:
        """Those of them that the filters let pass."""
        status, after = request.get("StatusEquals"), request.get("LastModifiedTimeAfter")
        if request.keys() & _OTHER_FILTERS:
            return [number for number in there if self._is_listed(number, request)]
        listed: Sequence[int] = there
        if status is not None:
            of_status = self._of_status.get(status, [])
            listed = of_status[bisect.bisect_left(of_status, there.start) :]
        if after is not None:
            modified = self._modified
            listed = [number for number in listed if modified[number] > after]
        return listed

    def _is_listed(self, number: int, request: Mapping[str, Any]) -> bool:
        status, after = request.get("StatusEquals"), request.get("LastModifiedTimeAfter")
        job = self.jobs[number]
        if status is not None and job.timeline.entries[job.entry][1] != status:
            return False
        if after is not None and self._modified[number] <= after:
            return False
        return not request.keys() & _OTHER_FILTERS or is_listed(self._summary(number), request)

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
            summary |= {"EndTime": _at(job.end), "LastModifiedTime": self._modified[number]}
        self._summaries[number] = summary
        return summary


def _at(second: float) -> datetime:
    return EPOCH + timedelta(seconds=second)
