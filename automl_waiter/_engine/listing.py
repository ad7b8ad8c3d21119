"""Many jobs followed by ListAutoMLJobs: one page shows a hundred jobs, and only a job that has ended is described.

The newest jobs are read, without any filter, until every job that is waited for was shown. Filters are not relied on:
sibling operations return empty pages with a NextToken, or ignore a filter (aws/aws-cli#7596, aws/aws-sdk-net#926).

A job that is not shown is described by itself, and so is every job where listing is denied, fails, or takes too many
pages.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from automl_waiter._engine.calls import Action, Answer, ListingPlan, ListJobs, Member, Sleep, Tell
from automl_waiter._engine.job_wait import HEARTBEAT
from automl_waiter._model.errors import Cancelled, CredentialsExpired, InvalidRequest
from automl_waiter._model.events import Heartbeat, Notice, Sweep
from automl_waiter._model.options import WaitOptions
from automl_waiter._model.polling import Fixed, PhaseAware
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.text import seconds_of

PAGE = 100
"""The most summaries that a page of ListAutoMLJobs holds (API reference, MaxResults)."""

# The default policy looks at a job every 68 s on average, so as many looks as a page every 10 s takes are those at 7.
_WORTH_LISTING = 7
# Looks at one job are placed better than a listing's are, so a page that shows fewer jobs than this is not worth it.
_JOBS_PER_PAGE = 5
# No more pages are read for a sweep, however many jobs are followed.
_MOST_PAGES = 25
_SWEEP = 10.0
# The most of the call budget that sweeps take; the rest describes what ended.
_SHARE = 0.5
# A plan looks for stalls when it is told of its job, so it is told now and then, changed or not.
_TOLD_EVERY = 600.0
# A timeout that is not longer needs no listing.
_LEAST_TIMEOUT = 30.0
# A listing that fails for as long is left, because describing may still be possible; and when it is tried again.
_LISTING_PATIENCE = 60.0
_LONGEST_AWAY = 900.0
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
    begun_at: datetime | None = None
    """When the first page was answered, by the service's clock if it told it."""
    last_created: datetime | None = None
    """The CreationTime of the last job that was shown."""
    has_begun_anew: bool = False


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
        self._has_failed = False
        self._away = _LISTING_PATIENCE

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
            pages = yield from self._sweep()
            if is_last or not self._goes_on():
                return  # who was not told of an end by the last sweep is late
            if self._is_too_dear() and not (yield from self._goes_on_cheaper()):
                return
            next_at, is_last = self._next_sweep(begun)
            yield Sweep(None, self._at, len(self._listed()), pages, max(0.0, next_at - self._now))
            yield from self._sleep(next_at)

    # What is read

    def _sweep(self) -> Generator[Action, Any, int]:
        """Reads the newest jobs until each that is followed was shown; who is not, is described from now on."""
        is_first = self._pages_of_all == 0
        reading = self._reading()
        limit = min(_MOST_PAGES, max(1, len(reading.missing) // _JOBS_PER_PAGE))
        while self._is_to_go_on(reading, limit):
            yield from self._page(reading)
        hidden = [member for member in reading.missing if not member.is_over]
        if hidden and is_first:
            few = "1 job was" if len(hidden) == 1 else f"{len(hidden)} jobs were"
            yield self._notice(f"{few} not found in the listing: described one by one")
        yield from self._detach(hidden)
        self._pages_of_all = reading.useful_pages
        self._has_read_newest(reading)
        return reading.pages

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
            reading.begun_at = answer.served_at or answer.at
        summaries: Sequence[Mapping[str, Any]] = answer.response["AutoMLJobSummaries"]
        for shown in map(Snapshot, summaries):
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
                member.is_listed, member.state, member.told_at = True, shown.state, self._now
                yield Tell(member, answer._replace(response=shown.raw, retries=0))

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
        return self._goes_on()

    # When

    def _next_sweep(self, begun: float) -> tuple[float, bool]:
        """When to sweep next, and whether that is the last time: the one that is over at the deadline."""
        pages = self._pages_of_all
        interval = max(self._interval, pages / (self._rate * _SHARE)) * self._slowdown
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
