"""Estimates during a wait, in virtual time: when they are emitted, and that a failing listing changes nothing else."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from families import FIVE, HOUR, MANY, past, running, waited
from listing_service import Job, Service, failing, script
from virtual import Recording, no_network, throttle

from automl_waiter import AccessDenied, Ended, Estimated, Event, Outcome, Poll, Retry, Transition, waiter
from automl_waiter._engine.kernel import PendingCall
from automl_waiter._engine.watch import Matching
from automl_waiter._model.events import event_dict
from automl_waiter._model.options import wait_options
from automl_waiter._wiring import watch_kernel
from automl_waiter.testing import ManualClock, Timeline


class SlowListing(ManualClock):
    """A machine on which a listing takes some seconds and every other call none."""

    def __init__(self, seconds: float, **options: Any) -> None:
        super().__init__(**options)
        self.seconds = seconds
        self.late: list[tuple[float, PendingCall]] = []

    def start(self, call: PendingCall) -> None:
        super().start(call)
        if call._function.func.__name__ == "list_jobs":  # type: ignore[attr-defined]
            self.late.append((self.monotonic() + self.seconds, self._returned.pop()))

    def wait(self, until: float) -> PendingCall | None:
        if not self._returned and self.late and self.late[0][0] <= until:
            at, call = self.late.pop(0)
            self.advance(max(0.0, at - self.monotonic()))
            return call
        return super().wait(until)


def estimates(events: list[Event], name: str = "churn-7") -> list[Estimated]:
    return [event for event in events if isinstance(event, Estimated) and event.job_name == name]


def outcome_of(events: list[Event], name: str = "churn-7") -> Outcome:
    [outcome] = [event.outcome for event in events if isinstance(event, Ended) and event.job_name == name]
    return outcome


def log_of(events: list[Event]) -> list[dict[str, Any]]:
    return [event_dict(event) for event in events]


# When estimates are emitted


def test_the_first_estimate_comes_with_the_first_poll() -> None:
    events, service = waited()

    first = events.index(estimates(events)[0])
    assert [type(event) for event in events[: first + 1]] in (
        [Transition, Estimated],
        [Transition, Poll, Estimated],
    )
    left = (estimates(events)[0].ends_at - estimates(events)[0].at).total_seconds()
    assert left == pytest.approx(HOUR - 600, abs=120)
    assert estimates(events)[0].based_on == 6
    assert service.lists == 1


def test_a_listing_that_takes_a_second_is_not_left_for_the_second_poll() -> None:
    events, _ = waited(clock=SlowListing(1.0))

    [first, *_] = estimates(events)
    assert (first.at - events[0].at).total_seconds() == 1.0
    assert events.index(first) < [type(event) for event in events].index(Poll) + 2


def test_estimate_is_emitted_again_if_it_has_changed_by_a_minute() -> None:
    first, *more = estimates(waited(jobs=running("churn-7", end=HOUR + 400))[0])

    assert more
    for before, after in zip([first, *more], more, strict=False):
        assert (after.ends_at - before.ends_at).total_seconds() > 60


def test_the_limit_of_the_job_bounds_the_estimate() -> None:
    limited = Job("churn-7", -600.0, Timeline(script(HOUR).entries, max_runtime=1800))

    [estimate] = estimates(waited(jobs=[limited], timeout=600)[0])

    assert (estimate.latest - estimate.at).total_seconds() == pytest.approx(1200)


def test_no_estimate_follows_the_outcome_of_a_job() -> None:
    """One wait ends before the listing has been read, and the wait for the other job continues."""
    events, _ = waited("churn-7", "churn-8", clock=SlowListing(1.0), until=lambda snapshot: snapshot.name == "churn-7")

    assert estimates(events, "churn-8")
    assert not estimates(events, "churn-7")


def test_a_job_without_siblings_has_no_estimate() -> None:
    events, _ = waited("fraud-1")

    assert not estimates(events, "fraud-1")
    assert outcome_of(events, "fraud-1").estimate is None


def test_a_stopping_job_has_no_estimate() -> None:
    stopping = Timeline([(0, "Stopping", "ModelTuning"), (1000, "Stopped", "Stopped")])

    assert not estimates(waited(jobs=[Job("churn-7", -600.0, stopping)])[0])


def test_no_estimate_after_the_wait_has_stopped_the_job() -> None:
    def stopped(service: Service) -> None:
        service.stop = lambda _: None  # type: ignore[attr-defined]

    events, _ = waited(change=stopped, timeout=60, stop_on="timeout")

    assert len(estimates(events)) == 1
    assert outcome_of(events).estimate is None


# Many jobs


def test_the_jobs_of_a_wait_share_one_listing() -> None:
    events, service = waited(*FIVE)

    assert all(estimates(events, name) for name in FIVE)
    assert service.lists == 1


def test_jobs_that_are_followed_in_a_listing_are_estimated() -> None:
    events, _ = waited(*MANY)

    assert all(estimates(events, name) for name in MANY)


def watch(
    which: Matching,
    jobs: list[Job],
    *,
    seconds: float = 2 * HOUR,
    change: Callable[[Service], None] = lambda _: None,
) -> list[Event]:
    """Return the events of a watch with estimates that is cancelled after some seconds."""
    clock = ManualClock(cancel_at=seconds)
    service = Service(clock, jobs, max_rate=10)
    change(service)
    return list(waiter.events_of(watch_kernel(service, which, wait_options(estimate=True), clock), clock))


def test_a_watch_estimates_each_job_and_new_ones() -> None:
    new = running("churn-8", created=300.0)

    events = watch(Matching(), [*past(), *running("churn-7"), *new])

    assert estimates(events)
    assert estimates(events, "churn-8")


def test_a_job_that_ended_during_the_watch_is_a_sibling_of_later_ones() -> None:
    new = [Job(f"fraud-{number}", 100.0 + HOUR * number, script(HOUR / 2)) for number in range(3)]

    events = watch(Matching(), new, seconds=5 * HOUR)

    assert not estimates(events, "fraud-1")
    assert estimates(events, "fraud-2")[0].based_on == 2


# The requested listing


def recording(requests: list[Mapping[str, Any]]) -> Callable[[Service], None]:
    """Return a change that makes a service record the requests for a listing."""

    def change(service: Service) -> None:
        answer = service.list_jobs
        service.list_jobs = lambda request: (requests.append(request), answer(request))[1]  # type: ignore[method-assign]

    return change


@pytest.mark.parametrize(
    ("names", "part"),
    [(["churn-7"], "churn-"), (["churn-7", "churn-8"], "churn-"), (["churn-7", "fraud-1"], None), (["77"], None)],
)
def test_listing_is_filtered_by_the_common_part_of_the_names(names: list[str], part: str | None) -> None:
    requests: list[Mapping[str, Any]] = []

    waited(*names, change=recording(requests))

    [request] = requests
    assert request.get("NameContains") == part
    assert (request["SortBy"], request["SortOrder"], request["MaxResults"]) == ("CreationTime", "Descending", 100)


def test_listing_of_a_watch_is_filtered_by_the_common_part_of_the_names() -> None:
    requests: list[Mapping[str, Any]] = []

    watch(Matching("churn-7"), running("churn-7"), seconds=60, change=recording(requests))

    assert [one.get("NameContains") for one in requests if one.get("StatusEquals") == "Completed"] == ["churn-"]


# A failing listing


def denied(service: Service) -> None:
    service.list_jobs = failing(AccessDenied("ListAutoMLJobs was denied"))  # type: ignore[method-assign]


def down(service: Service) -> None:
    service.list_jobs = failing(no_network())  # type: ignore[method-assign]


def throttled(service: Service) -> None:
    service.list_jobs = failing(throttle())  # type: ignore[method-assign]


def empty(service: Service) -> None:
    service.list_jobs = lambda _: {"AutoMLJobSummaries": []}  # type: ignore[assignment,method-assign,return-value]


@pytest.mark.parametrize("names", [["churn-7"], FIVE])
@pytest.mark.parametrize(
    ("change", "clock"),
    [
        (denied, ManualClock),
        (down, ManualClock),
        (throttled, ManualClock),
        (empty, ManualClock),
        (lambda _: None, lambda: Recording("list_jobs")),
        (lambda _: None, lambda: SlowListing(2.5)),
    ],
    ids=["denied", "no network", "throttled", "empty", "hangs", "slow"],
)
def test_failing_listing_changes_no_other_event(
    names: list[str], change: Callable[[Service], None], clock: Callable[[], ManualClock]
) -> None:
    """Every event is the same, at the same time, as in a wait without estimates."""
    events, service = waited(*names, change=change, clock=clock())
    without, other = waited(*names, estimate=False)

    assert log_of(events) == log_of(without)
    assert not [event for event in events if isinstance(event, Retry)]
    assert service.bucket.rate(0.0) == other.bucket.rate(0.0)


def test_listing_takes_no_token_from_a_low_rate_limit() -> None:
    """Polls at one call in ten seconds come at the same times as without estimates."""

    def scarce(service: Service) -> None:
        service.bucket = type(service.bucket)(0.1)
        empty(service)

    events, _ = waited(*FIVE, change=scarce)
    without, _ = waited(*FIVE, change=scarce, estimate=False)

    assert log_of(events) == log_of(without)


def test_estimates_do_not_change_the_times_of_polls() -> None:
    events, _ = waited()
    without, _ = waited(estimate=False)

    assert log_of([event for event in events if not isinstance(event, Estimated)]) == log_of(without)


# A single poll, and the outcome


@pytest.mark.parametrize("clock", [ManualClock, lambda: SlowListing(1.5)])
def test_a_single_poll_waits_for_the_listing(clock: Callable[[], ManualClock]) -> None:
    events, _ = waited(clock=clock(), once=True)

    outcome = outcome_of(events)
    [estimate] = estimates(events)
    assert outcome.estimate is not None
    assert outcome.to_dict()["estimate"] == {
        name: event_dict(estimate)[name] for name in ("ends_at", "earliest", "latest", "based_on")
    }


def test_retried_single_poll_does_not_wait_for_the_listing() -> None:
    def failing_once(service: Service) -> None:
        describe, faults = service.describe, [no_network()]

        def describes(job_name: str) -> Mapping[str, Any]:
            if faults:
                raise faults.pop()
            return describe(job_name)

        service.describe = describes  # type: ignore[method-assign]

    events, _ = waited(change=failing_once, once=True)

    assert outcome_of(events).estimate is not None


@pytest.mark.parametrize("seconds", [2.5, math.inf])
def test_a_single_poll_waits_for_the_listing_no_longer_than_two_seconds(seconds: float) -> None:
    clock = SlowListing(seconds)
    events, _ = waited(clock=clock, once=True)

    assert clock.monotonic() == 2.0
    assert outcome_of(events).to_dict()["estimate"] is None


def test_single_poll_of_an_ended_job_does_not_wait_for_the_listing() -> None:
    clock = SlowListing(1.0)
    events, _ = waited("churn-1", jobs=[], clock=clock, once=True)

    assert clock.monotonic() == 0.0
    assert "estimate" not in outcome_of(events, "churn-1").to_dict()


def test_a_wait_that_times_out_keeps_the_last_estimate() -> None:
    events, _ = waited(timeout=600)

    assert outcome_of(events).estimate is not None
    assert "estimate" not in outcome_of(events).to_dict()


def test_an_ended_job_has_no_estimate() -> None:
    events, _ = waited()

    assert estimates(events)
    assert outcome_of(events).estimate is None


def test_estimates_are_off_by_default() -> None:
    assert waited(estimate=False)[1].lists == 0
