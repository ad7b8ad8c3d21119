"""Every job of an account and region followed, including new ones, until the watch ends."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from automl_waiter._engine.calls import Calls
from automl_waiter._engine.following import ListedJob
from automl_waiter._engine.job_wait import JobWait
from automl_waiter._engine.listing import Listing, PageReader
from automl_waiter._engine.retries import Answer
from automl_waiter._engine.siblings import Siblings
from automl_waiter._model.errors import AutoMLWaiterError, InvalidRequest
from automl_waiter._model.events import Sweep
from automl_waiter._model.job_refs import JobRef, account_of, job_ref
from automl_waiter._model.options import NOT_FOUND_GRACE_S, WaitOptions
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.statuses import Status
from automl_waiter._model.text import Duration, clean, format_duration, seconds_of

LISTED_WITHIN = timedelta(seconds=60)
"""A new job may appear in the listing this long after creation."""

_LONGEST_NAME_PART = 63
_LONGEST_SINCE_S = 36_500 * 86400.0


@dataclass(frozen=True)
class Matching:
    """Which jobs a watch follows. `matching` checks and makes one.

    Attributes:
        name_contains: A part of their names, in any case; None: any name.
        since: Jobs created since then (UTC), or within so many seconds, including ended ones. None: the jobs in
            progress, and new ones.
    """

    name_contains: str | None = None
    since: datetime | float | None = None


def matching(name_contains: str | None = None, since: datetime | Duration | None = None) -> Matching:
    """Return which jobs a watch follows, checked.

    Raises:
        InvalidRequest: The part of a name is empty or too long, or `since` has no time zone, or lies in the future or
            too far back.
    """
    if name_contains is not None and not isinstance(name_contains, str):
        raise InvalidRequest(f"name_contains is part of a name, not of type {type(name_contains).__name__}")
    if name_contains is not None and not 0 < len(name_contains) <= _LONGEST_NAME_PART:
        raise InvalidRequest(f"a part of a name has 1 to {_LONGEST_NAME_PART} characters, not {len(name_contains)}")
    if isinstance(since, datetime):
        if since.tzinfo is None:
            raise InvalidRequest(f"since is an instant with a time zone, not {since.isoformat()}")
        return Matching(name_contains, since)
    seconds = None if since is None else seconds_of(since, "since")
    if seconds is not None and not 0 <= seconds <= _LONGEST_SINCE_S:
        raise InvalidRequest(f"since is from 0 to {format_duration(_LONGEST_SINCE_S)}, not {clean(since)}")
    return Matching(name_contains, seconds)


@dataclass(frozen=True)
class Earlier:
    """What an earlier watch left to this one.

    Attributes:
        unfinished: Jobs to follow, whether or not they are in progress.
        reported_to: By account ("" if it was not known), its `Sweep.reported_to`. Jobs created since then are followed,
            also if they have ended.
        reported: The ARNs, in lower case, of those that need not be.
    """

    unfinished: Collection[JobRef] = ()
    reported_to: Mapping[str, datetime] = field(default_factory=dict)
    reported: Collection[str] = frozenset()


NOTHING_EARLIER = Earlier()
"""No watch was there before."""


class Watch(Listing):
    """Follow every job that matches, and start a wait for each.

    Args:
        which: The jobs.
        options: The options of each wait.
        calls: Makes the calls of the listing; its kernel sleeps, emits events and starts waits.
        started: When the watch began, on the kernel's clock (seconds).
        until_idle: Whether to end when no job is in progress.
        earlier: What an earlier watch left.
        siblings: The past jobs from which the ends are estimated; None: they are not.
    """

    _error_budget = math.inf  # the watch's: there is nothing to fall back to

    def __init__(
        self,
        which: Matching,
        options: WaitOptions,
        calls: Calls,
        *,
        started: float,
        until_idle: bool = False,
        earlier: Earlier = NOTHING_EARLIER,
        siblings: Siblings | None = None,
    ) -> None:
        super().__init__((), options, calls, started=started)
        self._which = which
        self._started = started
        self._until_idle = until_idle
        self._earlier = earlier
        self._reported_to: datetime | None = None
        self._unreported: list[tuple[datetime, ListedJob, JobWait]] = []
        """Jobs that the listing has shown, with their CreationTimes, and that may not have been reported yet."""
        self._siblings = siblings
        self._warns_of_expiry = True
        self._account: str | None = None
        self._met_at: datetime | None = None
        """The time from which every new job is found, by the service's clock; None before the first sweep."""
        self._new_since: datetime | None = None
        """Jobs created later may have been missing from the last read of the newest jobs."""

    async def _sweep(self) -> int:
        return await (self._meet() if self._met_at is None else super()._sweep())

    async def _meet(self) -> int:
        """Start the waits for the existing jobs."""
        by_status = [{"StatusEquals": str(status)} for status in (Status.IN_PROGRESS, Status.STOPPING)]
        # The name filter is used only here. If AWS applies it after paging, a page without a match does not show how
        # old its jobs are, and each sweep would read every job that ever existed.
        named = {"NameContains": self._which.name_contains} if self._which.name_contains else {}
        readers: list[PageReader] = []
        for filters in [{**status, **named} for status in by_status] if self._which.since is None else [{}]:
            while True:
                met = len(self._by_name)
                reader = self._reader(**filters)
                while not reader.is_done and not self._is_before(reader, self._since(reader)):
                    await self._read_page(reader)
                readers.append(reader)
                # If a job ends between two pages, the next page starts one job too late.
                if reader.pages == 1 or len(self._by_name) == met or not filters:
                    break
        self._met_at = readers[0].begun_at
        self._after_newest(readers[0])
        if self._earlier.reported_to or (self._earlier.unfinished and self._account is None):
            readers.append(newest := self._reader())
            await self._read_page(newest)
            while self._resumed_at and not newest.is_done and not self._is_before(newest, self._resumed_at):
                await self._read_page(newest)
        self._reported_to = self._resumed_at or self._met_at
        for ref in self._earlier.unfinished:
            # A journal may hold jobs of other accounts, which this account does not have.
            is_ours = ref.account == self._account and self._is_named(ref.name)
            if is_ours and ref.name.lower() not in self._by_name:
                self._start(ref)
        return sum(reader.pages for reader in readers)

    def _show(self, shown: Snapshot, answer: Answer, reader: PageReader) -> None:
        self._account = self._account or account_of(shown.arn)
        if shown.name.lower() not in self._by_name and self._is_wanted(shown, reader):
            try:
                ref = replace(job_ref(shown.arn), name=shown.name, created_at=shown.created_at)
            except InvalidRequest:
                ref = JobRef(shown.arn, shown.name, shown.arn, created_at=shown.created_at)
            self._start(ref)
        super()._show(shown, answer, reader)

    def _start(self, ref: JobRef) -> None:
        listed, calls = ListedJob(ref.name), self._calls.of_another_wait()
        self._by_name[ref.name.lower()] = [listed]
        wait = JobWait(
            ref,
            self._options,
            calls,
            started=self._now,
            listed=listed,
            siblings=self._siblings,
            # The jobs share a client, so they need one warning, from the first.
            warns_of_expiry=self._warns_of_expiry,
        )
        if ref.created_at is not None:
            self._unreported.append((ref.created_at, listed, wait))
        self._warns_of_expiry = False
        self._kernel.spawn(wait.run)

    async def _swept(self, pages: int, next_in: float) -> Sweep:
        await self._kernel.sleep_until(self._now)  # the waits report what the listing has shown
        self._unreported = [each for each in self._unreported if not (each[1].has_ended or each[2].is_reported)]
        sweep = replace(await super()._swept(pages, next_in), account=self._account)
        created = [created_at for created_at, _, _ in self._unreported]
        if self._reported_to and self._new_since and not (created and min(created) < self._reported_to):
            self._reported_to = max(self._reported_to, min([self._new_since, *created]))
            return replace(sweep, reported_to=self._reported_to)
        return sweep

    @property
    def _resumed_at(self) -> datetime | None:
        """The time up to which an earlier watch has reported every job of this account."""
        times = self._earlier.reported_to
        return times.get(self._account or "") or times.get("")

    def _is_wanted(self, shown: Snapshot, reader: PageReader) -> bool:
        if not self._is_named(shown.name):
            return False
        if self._resumed_at is not None and shown.created_at >= self._resumed_at:
            return shown.arn.lower() not in self._earlier.reported
        if (since := self._since(reader)) is not None:
            return shown.created_at >= since
        return not shown.state.is_terminal or (self._met_at is not None and shown.created_at >= self._met_at)

    def _is_named(self, name: str) -> bool:
        # The request filters too, but filters may be ignored.
        return (self._which.name_contains or "").lower() in name.lower()

    def _since(self, reader: PageReader) -> datetime | None:
        """Return the time of `since`; seconds count back from the first page's response."""
        match self._which.since:
            case float(seconds) if (begun := self._met_at or reader.begun_at) is not None:
                return begun - timedelta(seconds=seconds)
            case datetime() as instant:
                return instant
            case _:
                return None

    def _has_more_to_read(self, reader: PageReader, limit: int) -> bool:
        if reader.is_done:
            return False
        return (bool(reader.missing) and reader.pages < limit) or not self._is_before(reader, self._new_since)

    @staticmethod
    def _is_before(reader: PageReader, instant: datetime | None) -> bool:
        """Return whether a listing, newest first, has reached jobs created before `instant`."""
        return instant is not None and reader.last_created is not None and reader.last_created < instant

    def _after_newest(self, reader: PageReader) -> None:
        self._new_since = None if reader.begun_at is None else reader.begun_at - LISTED_WITHIN

    def _is_needed(self) -> bool:
        for name, jobs in self._by_name.items():
            # Only the names of ended jobs are kept, so that a watch of weeks hardly grows.
            if all(job.has_ended for job in jobs):
                self._by_name[name] = []
        # A job that was created just now may not be listed yet.
        is_early = not self._by_name and self._now - self._started < NOT_FOUND_GRACE_S
        return not self._until_idle or is_early or any(self._by_name.values())

    def _is_too_expensive(self) -> bool:
        return False  # only a listing shows new jobs

    async def _fall_back(self, answer: Answer) -> bool:
        raise answer.error or AutoMLWaiterError("the listing failed")
