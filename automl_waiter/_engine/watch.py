"""Every job of an account and region followed, new ones included, for as long as somebody watches."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from automl_waiter._engine.calls import Action, Answer, Begin, Member
from automl_waiter._engine.job_wait import wait_plan
from automl_waiter._engine.listing import Listing, Reading
from automl_waiter._model.errors import AutoMLWaiterError, InvalidRequest
from automl_waiter._model.job_refs import JobRef, job_ref
from automl_waiter._model.options import NOT_FOUND_GRACE, WaitOptions
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.statuses import Status
from automl_waiter._model.text import clean, seconds_of

_LONGEST_NAME_PART = 63
# The part of an ARN in which the account stands.
_ACCOUNT = 4
# A new job may be listed a little later than it was created.
_LISTED_WITHIN = timedelta(seconds=60)


@dataclass(frozen=True)
class Matching:
    """Which jobs are watched; `matching` makes one.

    Attributes:
        name_contains: What their names contain, in any case; None: anything.
        since: Only jobs that were created since then (UTC), or for so many seconds, also those that have ended. None:
            the jobs that are in progress, and new ones.
    """

    name_contains: str | None = None
    since: datetime | float | None = None


def matching(name_contains: str | None = None, since: datetime | timedelta | float | None = None) -> Matching:
    """Which jobs are watched, checked.

    Raises:
        InvalidRequest: The part of a name is empty or too long, or `since` is a time without a zone or lies ahead.
    """
    if name_contains is not None and not 0 < len(name_contains) <= _LONGEST_NAME_PART:
        raise InvalidRequest(f"a part of a name has 1 to {_LONGEST_NAME_PART} characters, not {len(name_contains)}")
    if isinstance(since, datetime):
        if since.tzinfo is None:
            raise InvalidRequest(f"since is an instant with a time zone, not {since.isoformat()}")
        return Matching(name_contains, since)
    if since is not None and not 0 <= seconds_of(since) < timedelta.max.total_seconds():
        raise InvalidRequest(f"since is not a negative number of seconds, as {clean(since)} is")
    return Matching(name_contains, None if since is None else seconds_of(since))


class Watch(Listing):
    """Follows every job that matches. `run` is the plan of that, and begins the plans of the jobs.

    Args:
        which: The jobs.
        options: What is asked of each wait.
        started: What the shell's clock showed when it began (seconds).
        max_rate: The call budget's, in calls per second.
        random: Gives the next random number, uniform in [0, 1).
        until_idle: Whether to end when no job is in progress.
        known: Jobs that are followed whether or not they are in progress: an earlier watch has begun with them.
        credentials_expire_at: When they are known to (UTC).
    """

    _patience = None  # there is no other way

    def __init__(
        self,
        which: Matching,
        options: WaitOptions,
        *,
        started: float,
        max_rate: float,
        random: Callable[[], float],
        until_idle: bool = False,
        known: Iterable[JobRef] = (),
        credentials_expire_at: datetime | None = None,
    ) -> None:
        super().__init__((), options, started=started, max_rate=max_rate, random=random)
        self._which = which
        self._started = started
        self._until_idle = until_idle
        self._known = list(known)
        self._expiry = credentials_expire_at
        self._account: str | None = None
        self._met_at: datetime | None = None
        """Since when every job is met, by the service's clock; None, while that is to come."""
        self._new_since: datetime | None = None
        """What was created later may not have been listed yet when the newest were last read."""

    def _sweep(self) -> Generator[Action, Any, int]:
        if self._met_at is None:
            return (yield from self._meet())
        return (yield from super()._sweep())

    def _meet(self) -> Generator[Action, Any, int]:
        """Begins with the jobs that there are."""
        by_status = [{"StatusEquals": str(status)} for status in (Status.IN_PROGRESS, Status.STOPPING)]
        # Names are asked for only here: where they are compared after paging, a page without one does not tell how old
        # its jobs are, and so each sweep would read all that there ever were.
        named = {"NameContains": self._which.name_contains} if self._which.name_contains else {}
        readings: list[Reading] = []
        for filters in [{**status, **named} for status in by_status] if self._which.since is None else [{}]:
            while True:
                met = len(self._by_name)
                reading = self._reading(**filters)
                while not reading.is_done and not self._is_before(reading, self._since(reading)):
                    yield from self._page(reading)
                readings.append(reading)
                # Where a job has ended between two pages, the next page begins one job too late.
                if reading.pages == 1 or len(self._by_name) == met or not filters:
                    break
        self._met_at = readings[0].begun_at
        self._has_read_newest(readings[0])
        if self._known and self._account is None:
            yield from self._page(self._reading())
        for ref in self._known:
            # A journal may hold the jobs of other accounts, whom this one would find missing.
            is_ours = ref.account == self._account and self._is_named(ref.name)
            if is_ours and ref.name.lower() not in self._by_name:
                yield from self._begin(ref)
        return sum(reading.pages for reading in readings)

    def _show(self, shown: Snapshot, answer: Answer, reading: Reading) -> Generator[Action, Any, None]:
        name = shown.name.lower()
        if self._account is None and shown.arn.count(":") > _ACCOUNT:
            self._account = shown.arn.split(":")[_ACCOUNT]
        if name not in self._by_name and self._is_wanted(shown, reading):
            try:
                ref = replace(job_ref(shown.arn), name=shown.name, created_at=shown.created_at)
            except InvalidRequest:
                ref = JobRef(shown.arn, shown.name, shown.arn, created_at=shown.created_at)
            yield from self._begin(ref)
        yield from super()._show(shown, answer, reading)

    def _begin(self, ref: JobRef) -> Generator[Action, Any, None]:
        member = Member(ref.name)
        self._by_name[ref.name.lower()] = [member]
        expiry, self._expiry = self._expiry, None
        yield Begin(
            wait_plan(
                ref,
                self._options,
                started=self._now,
                random=self._random,
                member=member,
                credentials_expire_at=expiry,
            )
        )

    def _is_wanted(self, shown: Snapshot, reading: Reading) -> bool:
        if not self._is_named(shown.name):
            return False
        if (since := self._since(reading)) is not None:
            return shown.created_at >= since
        return not shown.state.is_terminal or (self._met_at is not None and shown.created_at >= self._met_at)

    def _is_named(self, name: str) -> bool:
        # It is asked for too, but filters may be ignored.
        return (self._which.name_contains or "").lower() in name.lower()

    def _since(self, reading: Reading) -> datetime | None:
        """The instant of `since`; counted back from when the first page was answered."""
        match self._which.since:
            case float(seconds) if (begun := self._met_at or reading.begun_at) is not None:
                return begun - timedelta(seconds=seconds)
            case datetime() as instant:
                return instant
            case _:
                return None

    def _is_to_go_on(self, reading: Reading, limit: int) -> bool:
        if reading.is_done:
            return False
        return (bool(reading.missing) and reading.pages < limit) or not self._has_shown_new(reading)

    def _has_shown_new(self, reading: Reading) -> bool:
        return self._is_before(reading, self._new_since)

    @staticmethod
    def _is_before(reading: Reading, instant: datetime | None) -> bool:
        """Whether a listing, the newest first, has come to what was created before that."""
        return None not in (instant, reading.last_created) and reading.last_created < instant  # type: ignore[operator]

    def _has_read_newest(self, reading: Reading) -> None:
        self._new_since = None if reading.begun_at is None else reading.begun_at - _LISTED_WITHIN

    def _forget_what_is_over(self) -> None:
        """Keeps only the name of a job that is over, so that a watch of weeks does not grow by much."""
        for name, members in self._by_name.items():
            if all(member.is_over for member in members):
                self._by_name[name] = []

    def _goes_on(self) -> bool:
        self._forget_what_is_over()
        # A job that was created just now may not be listed yet.
        is_early = not self._by_name and self._now - self._started < NOT_FOUND_GRACE
        return not self._until_idle or is_early or any(self._by_name.values())

    def _goes_on_cheaper(self) -> Generator[Action, Any, bool]:
        yield from ()
        return True  # there is no other way to meet new jobs

    def _goes_on_without(self, answer: Answer) -> Generator[Action, Any, bool]:
        yield from ()
        raise answer.error or AutoMLWaiterError("the listing failed")
