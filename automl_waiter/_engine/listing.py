"""Many jobs followed with ListAutoMLJobs: one page shows 100 jobs, and only an ended job is described.

The newest jobs are read without a filter until every job of the wait was shown. Filters are not relied on:
sibling operations return empty pages with a NextToken, or ignore a filter (aws/aws-cli#7596, aws/aws-sdk-net#926).

A job that is not shown is described by its own wait. So is every job if listing is denied, fails, or takes too many
pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from automl_waiter._engine.calls import Calls
from automl_waiter._engine.following import ListedJob
from automl_waiter._engine.retries import Answer
from automl_waiter._model.errors import AutoMLWaiterError, Cancelled, CredentialsExpired, InvalidRequest, internal_error
from automl_waiter._model.events import HEARTBEAT_EVERY_S, Heartbeat, Notice, Sweep
from automl_waiter._model.options import WaitOptions
from automl_waiter._model.polling import Fixed, PhaseAware, promised_lag
from automl_waiter._model.snapshot import Snapshot, unreadable_in
from automl_waiter._model.text import seconds_of

PAGE = 100
"""The maximum number of summaries in a page of ListAutoMLJobs (API reference, MaxResults)."""
WORTH_LISTING = 7
"""From this number of jobs on, a listing is read.

The default policy polls a job of the benchmark every 40 s on average, so 4 jobs take as many describes as a page every
10 s. A listing of fewer than `_JOBS_PER_PAGE` jobs is abandoned, so it begins with some more.
"""
NEWEST_FIRST = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": PAGE}
"""The request that reads all jobs, newest first."""

# Describes are timed better than a listing, so a page that shows fewer jobs than this is not worth its call.
_JOBS_PER_PAGE = 5
# The maximum number of pages in one sweep, however many jobs are followed.
_MOST_PAGES = 25
_SWEEP_EVERY_S = 10.0
# The share of the rate limit that sweeps may use; the rest is for describing the ended jobs.
_SHARE = 0.5
# A wait checks for stalls when it gets news, so it gets some at this interval, changed or not.
_NEWS_EVERY_S = 600.0
# A shorter timeout needs no listing.
_LEAST_TIMEOUT_S = 30.0
# A listing that fails for this long is abandoned, because describing may still work; and the longest pause before it is
# tried again.
_LISTING_PATIENCE_S = 60.0
_LONGEST_AWAY_S = 900.0


def sweep_interval(options: WaitOptions) -> float | None:
    """Return the longest time between two sweeps of a listing (seconds); None if each job must be described.

    Each job is described if `until` needs more than a summary holds, if a custom poll policy decides for each job, and
    for a single poll.
    """
    if options.once or options.seconds < _LEAST_TIMEOUT_S or not options.is_listable:
        return None
    match options.poll:
        case Fixed(interval=interval):
            return seconds_of(interval)
        case PhaseAware():
            return _SWEEP_EVERY_S
        case _:
            return None


@dataclass
class PageReader:
    """A listing in the middle of being read: its request, its position, and the jobs that it has not shown yet."""

    request: Mapping[str, Any]
    missing: set[ListedJob]
    pages: int = 0
    useful_pages: int = 1
    """The number of pages that it took to show the jobs found so far."""
    token: str | None = None
    is_done: bool = False
    begun_at: datetime | None = None
    """When the first page was answered, by the service's clock if the response has it."""
    last_created: datetime | None = None
    """The CreationTime of the last job that was shown."""
    has_restarted: bool = False


class ListingFailed(Exception):
    """The listing cannot be read."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class Listing:
    """Follow the jobs of an account and region.

    Args:
        jobs: The jobs of the wait.
        options: The options of the wait.
        calls: Makes the calls; its kernel sleeps and emits events.
        started: When the wait began, on the kernel's clock (seconds).
    """

    _error_budget = _LISTING_PATIENCE_S

    def __init__(self, jobs: Iterable[ListedJob], options: WaitOptions, calls: Calls, *, started: float) -> None:
        self._options = options
        self._calls = calls
        self._kernel = calls.kernel
        self._clock = calls.kernel.clock
        self._rate = calls.gateway.bucket.max_rate
        self._interval = sweep_interval(options) or _SWEEP_EVERY_S
        self._deadline = started + options.seconds
        self._by_name: dict[str, list[ListedJob]] = {}
        for job in jobs:
            self._by_name.setdefault(job.name.lower(), []).append(job)
        self._pages = 0
        """The number of pages that the last sweep took to show all jobs."""
        self._left_out: set[str] = set()
        """The summaries that were reported because they cannot be read."""
        self._has_failed = False
        self._away = _LISTING_PATIENCE_S

    async def run(self) -> None:
        """Read the listing until no job follows it any more."""
        try:
            while True:
                try:
                    return await self._sweep_until_done()
                except ListingFailed as failed:
                    if not await self._fall_back(failed.answer):
                        return None
        except Cancelled:
            return None
        except AutoMLWaiterError:
            raise
        except Exception as error:  # a bug in the listing ends none of the waits
            await self._fall_back(Answer(self._now, self._now, self._clock.now(), error=internal_error(error)))

    async def _sweep_until_done(self) -> None:
        is_last = False
        while True:
            begun = self._now
            pages = await self._sweep()
            if is_last or not self._is_needed():
                return  # a job that did not end by the last sweep has timed out
            if self._is_too_expensive():
                self._detach(self._listed())
                return
            next_at, is_last = self._next_sweep(begun)
            next_in = max(0.0, next_at - self._now)
            await self._kernel.emit(await self._swept(pages, next_in))
            await self._sleep(next_at)

    async def _sweep(self) -> int:
        """Read the newest jobs until every followed job was shown. Jobs not shown are described from now on."""
        is_first = self._pages == 0
        reader = self._reader()
        limit = min(_MOST_PAGES, max(1, len(reader.missing) // _JOBS_PER_PAGE))
        while self._has_more_to_read(reader, limit):
            await self._read_page(reader)
        hidden = [job for job in self._listed() if job in reader.missing]
        if hidden and is_first:
            few = "1 job was" if len(hidden) == 1 else f"{len(hidden)} jobs were"
            await self._notice(f"{few} not in the listing and will be described one by one")
        self._detach(hidden)
        self._pages = reader.useful_pages
        self._after_newest(reader)
        return reader.pages

    async def _swept(self, pages: int, next_in: float) -> Sweep:
        return Sweep(None, self._clock.now(), len(self._listed()), pages, next_in)

    def _reader(self, **filters: Any) -> PageReader:
        return PageReader({**NEWEST_FIRST, **filters}, set(self._listed()))

    def _after_newest(self, reader: PageReader) -> None:
        """Note that the newest jobs were read."""

    def _has_more_to_read(self, reader: PageReader, limit: int) -> bool:
        return not reader.is_done and bool(reader.missing) and reader.pages < limit

    async def _read_page(self, reader: PageReader) -> None:
        token = {"NextToken": reader.token} if reader.token else {}
        answer = await self._calls.list_jobs(
            {**reader.request, **token}, self._deadline, error_budget=self._error_budget
        )
        reader.pages += 1
        if answer.error is not None:
            # A token can expire.
            if not isinstance(answer.error, InvalidRequest) or not reader.token or reader.has_restarted:
                raise ListingFailed(answer)
            reader.token, reader.has_restarted = None, True
            return
        if reader.begun_at is None:
            reader.begun_at = answer.served_at or answer.at
        summaries: Sequence[Mapping[str, Any]] = answer.response["AutoMLJobSummaries"]
        for left_out in unreadable_in(answer.response):
            if left_out not in self._left_out:
                self._left_out.add(left_out)
                await self._notice(f"in the listing this cannot be read and is left out: {left_out}")
        for shown in map(Snapshot, summaries):
            self._show(shown, answer, reader)
        if summaries:
            reader.last_created = Snapshot(summaries[-1]).created_at
        next_token = answer.response.get("NextToken")
        reader.is_done = not next_token or next_token == reader.token
        reader.token = next_token

    def _show(self, shown: Snapshot, answer: Answer, reader: PageReader) -> None:
        """Hand a summary to the waits for its job, if it is news."""
        for job in self._by_name.get(shown.name.lower(), ()):
            if job in reader.missing:
                reader.missing.discard(job)
                reader.useful_pages = reader.pages
            if job.has_ended:
                continue
            is_news = shown.state != job.state or not job.is_listed
            if is_news or self._now - job.handed_at >= _NEWS_EVERY_S:
                job.is_listed, job.state, job.handed_at = True, shown.state, self._now
                age = (answer.served_at or answer.at) - shown.created_at
                job.created = answer.finished - age.total_seconds()
                self._kernel.put(job.news, answer._replace(response=shown.raw))

    def _listed(self) -> list[ListedJob]:
        return [job for jobs in self._by_name.values() for job in jobs if job.is_listed and not job.has_ended]

    def _is_needed(self) -> bool:
        return bool(self._listed())

    def _is_too_expensive(self) -> bool:
        """Return whether describing the remaining jobs takes fewer calls."""
        return self._pages * _JOBS_PER_PAGE > len(self._listed())

    def _detach(self, jobs: Iterable[ListedJob]) -> None:
        """Leave these jobs to be described by their own waits."""
        for job in jobs:
            job.is_listed, job.state = False, None
            self._kernel.put(job.news, Answer(self._now, self._now, self._clock.now()))

    async def _fall_back(self, answer: Answer) -> bool:
        """Leave the jobs to be described, and return whether to read the listing again later."""
        error = answer.error
        if isinstance(error, CredentialsExpired) and not answer.exhausted:
            for job in self._listed():
                # One error for each job, because an error carries the outcome of its job.
                self._kernel.put(job.news, answer._replace(error=type(error)(str(error), code=error.code)))
            return False
        if not self._has_failed:
            await self._notice(f"the jobs will be described one by one, because the listing failed: {error}")
        self._detach(self._listed())
        if not answer.exhausted:
            return False
        # In a general outage the describes wait it out. Then the listing saves calls again.
        self._has_failed = True
        self._away = min(2 * self._away, _LONGEST_AWAY_S)
        await self._sleep(self._now + self._away)
        for jobs in self._by_name.values():
            for job in jobs:
                job.is_listed = not job.has_ended
        return self._is_needed()

    @property
    def _now(self) -> float:
        return self._clock.monotonic()

    def _next_sweep(self, begun: float) -> tuple[float, bool]:
        """Return when to sweep next, and whether that sweep is the last: the one at the deadline."""
        interval = self._interval * (0.95 + 0.1 * self._clock.random())
        if isinstance(self._options.poll, PhaseAware):
            youngest = max((job.created for job in self._listed()), default=-math.inf)
            interval = min(interval, promised_lag(self._now - youngest))
        interval = max(interval, self._pages / (self._rate * _SHARE)) * self._calls.slowdown
        # Retries may have taken longer than the interval, but another sweep at once would not help.
        at = max(begun, self._now - interval / 2) + interval
        last = self._deadline - (self._pages - 1) * (1 / self._rate + 0.2)
        return (max(last, self._now), True) if at >= last else (at, False)

    async def _sleep(self, until: float) -> None:
        while (beat := self._now + HEARTBEAT_EVERY_S) < until:
            await self._kernel.sleep_until(beat)
            await self._kernel.emit(Heartbeat(None, self._clock.now(), None, max(0.0, until - self._now)))
        await self._kernel.sleep_until(until)

    async def _notice(self, message: str) -> None:
        await self._kernel.emit(Notice(None, self._clock.now(), message))
