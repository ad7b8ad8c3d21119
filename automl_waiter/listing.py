"""Many jobs followed by ListAutoMLJobs: one page shows how a hundred are, and only a job that ended is described.

How the service filters is not relied on, because its siblings return empty pages with a NextToken, or ignore a filter
(aws/aws-cli#7596, aws/aws-sdk-net#926). It is read in one of two ways:

- *all*: the newest jobs first, without any filter, until every job that is waited for was shown. What the others in
  the account are, and how the service pages, does not matter. So it begins, and a few hundred jobs need no more.
- *ends*: where that takes many pages, the jobs that have ended since the sweep before, by status and LastModifiedTime.
  All are still read, but at a trickle: within 15 minutes and 8 seconds a page each job was shown, whatever the
  filters hide (at 0.5 calls a second and more). If that finds an end which they hid, or if they cost more pages than
  all, all are read from then on.

A job that is not shown is described, and so is each where listing is denied or costs more than describing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from automl_waiter.actions import Action, Answer, ListingPlan, ListJobs, Member, Sleep, Tell
from automl_waiter.errors import Cancelled, CredentialsExpired, InvalidRequest
from automl_waiter.events import Heartbeat, Notice, Sweep
from automl_waiter.options import WaitOptions
from automl_waiter.plan import HEARTBEAT
from automl_waiter.polling import Fixed, PhaseAware
from automl_waiter.snapshot import Snapshot
from automl_waiter.statuses import Status
from automl_waiter.text import clean, seconds_of

PAGE = 100
"""The most summaries that a page of ListAutoMLJobs holds (API reference, MaxResults)."""

# The default policy looks at a job every 68 s on average, so as many looks as a page every 10 s takes are those at 7.
_WORTH_LISTING = 7
# Looks at one job are placed better than a listing's are, so a page that shows fewer jobs than this is not worth it.
_JOBS_PER_PAGE = 5
_SWEEP = 10.0
# Reading ends costs a call for each terminal status.
_SWEEP_OF_ENDS = 12.0
# Beside sweeps of ends: seconds for each page that is read to see the other changes, and how often each job is.
_TRICKLE = 8.0
VERIFIED_EVERY = 900.0
"""Seconds after which the reading of every job begins anew, whatever the filters show."""
# The most of the call budget that sweeps take, the trickle half of it; the rest describes what ended.
_SHARE = 0.5
# LastModifiedTime is up to 1.45 s ahead of the response's Date, which has no fractions; and a listing may lag behind.
_OVERLAP = timedelta(seconds=10)
# A plan looks for stalls when it is told of its job, so it is told now and then, changed or not.
_TOLD_EVERY = 600.0
# A timeout that is not longer needs no listing.
_LEAST_TIMEOUT = 30.0
# A listing that fails for as long is left, because describing may still be possible; and when it is tried again.
_LISTING_PATIENCE = 60.0
_LONGEST_AWAY = 900.0
# A sweep of ends takes three calls, and as much again beside it.
_WORTH_READING_ENDS = 30
_ENDS = (Status.COMPLETED, Status.FAILED, Status.STOPPED)
_NEWEST_FIRST = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": PAGE}


def sweep_interval(options: WaitOptions) -> float | None:
    """How often to read a listing, in seconds; None, if each job must be looked at by itself.

    That is where `until` asks for more than a summary holds, where a poll policy of one's own decides for each job, and
    for a single look.
    """
    is_short = options.once or (isinstance(options.timeout, float | int) and options.timeout < _LEAST_TIMEOUT)
    if is_short or not options.is_listable:
        return None
    match options.poll:
        case Fixed(interval=interval):
            return seconds_of(interval)
        case PhaseAware():
            return _SWEEP
        case _:
            return None


def is_worth_listing(jobs: int, options: WaitOptions) -> bool:
    """Whether that many jobs of an account and region are better followed in a listing."""
    return jobs >= _WORTH_LISTING and sweep_interval(options) is not None


@dataclass
class Reading:
    """A listing that is being read: what it is asked for, how far it is, and what it has not shown yet."""

    request: Mapping[str, Any]
    missing: set[Member]
    pages: int = 0
    useful_pages: int = 1
    """How many of them it took to show the jobs that were shown."""
    token: str | None = None
    is_done: bool = False
    begun: float = 0.0
    begun_at: datetime | None = None
    """When the first page was answered, by the service's clock if it told it."""
    last_created: datetime | None = None
    """The CreationTime of the last job that was shown."""
    shown: int = 0
    """How many jobs it has shown that were asked for, whoever follows them."""
    has_begun_anew: bool = False

    def asks_for(self, shown: Snapshot) -> bool:
        """Whether a job passes its filters: they may be ignored."""
        status, after = self.request.get("StatusEquals"), self.request.get("LastModifiedTimeAfter")
        return status in (None, shown.status) and (after is None or shown.last_modified_at > after)


class ListingFailed(Exception):
    """The listing cannot be read."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class Listing:
    """Follows the jobs of an account and region. `run` is the plan of that.

    Args:
        members: The jobs that are waited for.
        options: What is asked of the wait.
        started: What the shell's clock showed when it began (seconds).
        max_rate: The call budget's, in calls per second.
        random: Gives the next random number, uniform in [0, 1).
    """

    _patience: float | None = _LISTING_PATIENCE

    def __init__(
        self,
        members: Iterable[Member],
        options: WaitOptions,
        *,
        started: float,
        max_rate: float,
        random: Callable[[], float],
    ) -> None:
        self._options = options
        self._rate = max_rate
        self._random = random
        self._interval = sweep_interval(options) or _SWEEP
        self._now = started
        self._at = datetime.min
        self._deadline = started + options.timeout if isinstance(options.timeout, float | int) else None
        self._by_name: dict[str, list[Member]] = {}
        for member in members:
            self._by_name.setdefault(member.name.lower(), []).append(member)
        self._slowdown = 1.0
        self._pages_of_all = 0
        """How many pages it took to show all."""
        self._reads_ends = False
        self._may_read_ends = True
        self._ended_since: datetime | None = None
        self._changed_since: datetime | None = None
        self._hidden_end: str | None = None
        """A job whose end the filters hid."""
        self._has_failed = False
        self._away = _LISTING_PATIENCE
        self._trickle: Reading | None = None
        self._trickled = self._verified = started

    def run(self) -> ListingPlan:
        """Reads until nobody follows any more."""
        try:
            while True:
                try:
                    return (yield from self._sweeps())
                except ListingFailed as failed:
                    if not (yield from self._goes_on_without(failed.answer)):
                        return
        except Cancelled:
            return

    def _sweeps(self) -> ListingPlan:
        is_last = False
        while True:
            begun = self._now
            pages = yield from (self._sweep_ends() if self._reads_ends else self._sweep_all())
            if is_last or not self._goes_on():
                return  # who was not told of an end by the last sweep is late
            if self._is_too_dear() and not (yield from self._goes_on_cheaper()):
                return
            next_at, is_last = self._next_sweep(begun)
            yield Sweep(None, self._at, len(self._listed()), pages, max(0.0, next_at - self._now))
            yield from self._sleep(next_at)

    # What is read

    def _sweep_all(self) -> Generator[Action, Any, int]:
        """Reads the newest jobs until each that is followed was shown; who is not, is described from now on."""
        is_first = self._pages_of_all == 0
        reading = self._reading()
        limit = max(1, len(reading.missing) // _JOBS_PER_PAGE)
        while self._is_to_go_on(reading, limit):
            yield from self._page(reading)
        hidden = [member for member in reading.missing if not member.is_over]
        if hidden and is_first:
            few = "1 job was" if len(hidden) == 1 else f"{len(hidden)} jobs were"
            yield self._notice(f"{few} not found in the listing: described one by one")
        yield from self._detach(hidden)
        self._pages_of_all = reading.useful_pages
        self._has_read_newest(reading)
        if self._may_read_ends and self._ends_are_cheaper() and len(self._listed()) >= _WORTH_READING_ENDS:
            self._reads_ends = True
            self._ended_since = self._changed_since = since_begun(reading)
            self._verified = reading.begun
            self._trickled = self._now
        return reading.pages

    def _sweep_ends(self) -> Generator[Action, Any, int]:
        """Reads what has ended since the sweep before, and a little of all."""
        pages = shown = 0
        since = None
        for status in _ENDS:
            reading = self._reading(StatusEquals=str(status), LastModifiedTimeAfter=self._ended_since)
            while not reading.is_done:
                # Many jobs may end at once, but then the pages are full.
                is_sparse = shown + reading.shown < pages * PAGE / 2
                if is_sparse and pages >= max(self._pages_of_all, 2 * len(_ENDS)):
                    return pages + (yield from self._sweep_all_instead("filters only after paging"))
                yield from self._page(reading)
                pages += 1
            shown += reading.shown
            since = since or since_begun(reading)
        self._ended_since = since
        try:
            pages += yield from self._read_a_little()
        except ListingFailed as failed:
            if not isinstance(failed.answer.error, InvalidRequest):
                raise
            return pages + (yield from self._sweep_all_instead("takes its own tokens back"))
        if self._hidden_end is not None:
            name = clean(self._hidden_end)
            return pages + (yield from self._sweep_all_instead(f"did not show by its filters that {name} has ended"))
        return pages

    def _sweep_all_instead(self, why: str) -> Generator[Action, Any, int]:
        """Gives up reading ends, and says why."""
        yield self._notice(f"ListAutoMLJobs {why}: the newest jobs are read instead")
        self._reads_ends = self._may_read_ends = False
        self._trickle = None
        return (yield from self._sweep_all())

    def _read_a_little(self) -> Generator[Action, Any, int]:
        """The pages of the trickle that are due: of what has changed, or, now and then, of all."""
        due = int((self._now - self._trickled) / self._gap)
        self._trickled += due * self._gap
        # Of what was missed while the machine slept no more is made up for than all.
        pages = min(due, self._pages_of_all)
        for _ in range(pages):
            reading = self._trickle
            is_due = self._now - self._verified >= VERIFIED_EVERY
            is_verifying = reading is not None and "LastModifiedTimeAfter" not in reading.request
            if reading is None or (is_due and not is_verifying):
                is_verifying = is_due
                since = {} if is_due else {"LastModifiedTimeAfter": self._changed_since}
                reading = self._trickle = self._reading(**since)
            yield from self._page(reading)
            limit = max(self._pages_of_all, len(self._listed()) // _JOBS_PER_PAGE)
            if not reading.is_done and reading.pages < limit and not (is_verifying and not reading.missing):
                continue
            if is_verifying:
                self._verified = reading.begun
                self._pages_of_all = reading.useful_pages
                yield from self._detach([member for member in reading.missing if not member.is_over])
            self._changed_since, self._trickle = since_begun(reading), None
        return pages

    def _reading(self, **filters: Any) -> Reading:
        return Reading({**_NEWEST_FIRST, **filters}, set(self._listed()))

    def _has_read_newest(self, reading: Reading) -> None:
        """Takes in that the newest jobs were read."""

    def _is_to_go_on(self, reading: Reading, limit: int) -> bool:
        return not reading.is_done and bool(reading.missing) and reading.pages < limit

    def _page(self, reading: Reading) -> Generator[Action, Any, None]:
        """Reads the next page, and tells of what it shows."""
        token = {"NextToken": reading.token} if reading.token else {}
        answer: Answer = yield ListJobs({**reading.request, **token}, self._deadline, self._patience)
        self._now, self._at, self._slowdown = answer.finished, answer.at, answer.slowdown
        reading.pages += 1
        if answer.error is not None:
            # A token is not good for ever.
            if not isinstance(answer.error, InvalidRequest) or not reading.token or reading.has_begun_anew:
                raise ListingFailed(answer)
            reading.token, reading.has_begun_anew = None, True
            return
        if reading.begun_at is None:
            reading.begun, reading.begun_at = answer.started, answer.served_at or answer.at
        summaries: Sequence[Mapping[str, Any]] = answer.response["AutoMLJobSummaries"]
        for shown in map(Snapshot, summaries):
            reading.shown += reading.asks_for(shown)
            yield from self._show(shown, answer, reading)
        if summaries:
            reading.last_created = Snapshot(summaries[-1]).created_at
        token_after = answer.response.get("NextToken")
        reading.is_done = not token_after or token_after == reading.token
        reading.token = token_after

    def _show(self, shown: Snapshot, answer: Answer, reading: Reading) -> Generator[Action, Any, None]:
        """Tells whom it concerns of a job that the listing shows, if there is news of it."""
        for member in self._by_name.get(shown.name.lower(), ()):
            if member in reading.missing:
                reading.missing.discard(member)
                reading.useful_pages = reading.pages
            if member.is_over:
                continue
            is_news = shown.state != member.state or not member.is_listed
            if is_news or self._now - member.told_at >= _TOLD_EVERY:
                if shown.state.is_terminal and member.state is not None and self._should_be_known(shown, reading):
                    self._hidden_end = shown.name
                member.is_listed, member.state, member.told_at = True, shown.state, self._now
                yield Tell(member, answer._replace(response=shown.raw, retries=0))

    def _should_be_known(self, shown: Snapshot, reading: Reading) -> bool:
        """Whether the sweeps of ends should have shown an end that is found now."""
        is_filtered = "StatusEquals" in reading.request
        return self._reads_ends and not is_filtered and shown.last_modified_at < (self._ended_since or shown.created_at)

    # Who follows

    def _listed(self) -> list[Member]:
        """The jobs that are followed here."""
        return [
            member
            for members in self._by_name.values()
            for member in members
            if member.is_listed and not member.is_over
        ]

    def _goes_on(self) -> bool:
        return bool(self._listed())

    def _is_too_dear(self) -> bool:
        """Whether it is cheaper to describe the jobs that are left."""
        if self._reads_ends:
            return len(self._listed()) < _WORTH_READING_ENDS
        return self._pages_of_all * _JOBS_PER_PAGE > len(self._listed())

    def _goes_on_cheaper(self) -> Generator[Action, Any, bool]:
        """Leaves the jobs to be described, and says whether to go on reading."""
        yield from self._detach(self._listed())
        return False

    def _detach(self, members: Iterable[Member]) -> Generator[Action, Any, None]:
        """Leaves these to be described, each by its plan."""
        for member in members:
            member.is_listed, member.state = False, None
            yield Tell(member, Answer(self._now, self._now, self._at))

    def _goes_on_without(self, answer: Answer) -> Generator[Action, Any, bool]:
        """Leaves the jobs to be described, and says whether to come back to the listing after a while."""
        error = answer.error
        if isinstance(error, CredentialsExpired) and not answer.exhausted:
            for member in self._listed():
                # Each its own: an error carries the outcome of its job.
                own = type(error)(str(error), code=error.code)
                yield Tell(member, answer._replace(error=own, retries=0))
            return False
        if not self._has_failed:
            yield self._notice(f"each job is described by itself, at the pace that the call budget allows: {error}")
        yield from self._detach(self._listed())
        if not answer.exhausted:
            return False
        # It may be an outage of all, which the describes sit out. Then the listing spares calls again.
        self._has_failed = True
        self._away = min(2 * self._away, _LONGEST_AWAY)
        yield from self._sleep(self._now + self._away)
        for members in self._by_name.values():
            for member in members:
                member.is_listed = not member.is_over
        self._reads_ends, self._trickle = False, None
        return self._goes_on()

    # When

    @property
    def _interval_of_all(self) -> float:
        return max(self._interval, self._pages_of_all / (self._rate * _SHARE))

    @property
    def _interval_of_ends(self) -> float:
        return max(self._interval, _SWEEP_OF_ENDS, len(_ENDS) / (self._rate * _SHARE / 2))

    @property
    def _gap(self) -> float:
        """Seconds between two pages of the trickle."""
        return max(_TRICKLE, 1 / (self._rate * _SHARE / 2)) * self._slowdown

    def _ends_are_cheaper(self) -> bool:
        """Whether reading ends, and all at a trickle, takes fewer calls a second than reading all in each sweep."""
        return self._pages_of_all / self._interval_of_all > len(_ENDS) / self._interval_of_ends + 1 / self._gap

    def _next_sweep(self, begun: float) -> tuple[float, bool]:
        """When to sweep next, and whether that is the last time: the one that is over at the deadline."""
        pages = len(_ENDS) if self._reads_ends else self._pages_of_all
        interval = self._interval_of_ends if self._reads_ends else self._interval_of_all
        interval *= self._slowdown
        jittered = interval * (0.95 + 0.1 * self._random())
        # Retries may have taken longer than the interval, and that is no reason to go on at once.
        at = max(begun, self._now - interval / 2) + jittered
        if self._deadline is None:
            return at, False
        last = self._deadline - (pages - 1) * (1 / self._rate + 0.2)
        return (max(last, self._now), True) if at > last - 1 else (at, False)

    def _sleep(self, until: float) -> Generator[Action, Any, None]:
        """Sleeps, and shows signs of life on the way."""
        while (beat := self._now + HEARTBEAT) < until:
            yield from self._nap(beat)
            yield Heartbeat(None, self._at, None, max(0.0, until - self._now))
        yield from self._nap(until)

    def _nap(self, until: float) -> Generator[Action, Any, None]:
        woken = yield Sleep(until)
        self._now, self._at = woken.now, woken.at

    def _notice(self, message: str) -> Notice:
        return Notice(None, self._at, message)


def since_begun(reading: Reading) -> datetime | None:
    """Since when a later reading must ask for changes, so that it misses none."""
    return None if reading.begun_at is None else reading.begun_at - _OVERLAP
