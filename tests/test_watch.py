"""Every job watched, in virtual time: which are followed, what is told of them, and how a watch ends and goes on."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from listing_service import Filters, Job, Service
from test_listing import failing, fleet, older, script
from virtual import no_network

from automl_waiter import AccessDenied, Ended, Event, InvalidRequest, ServiceUnavailable, Sweep, Transition, waiter
from automl_waiter._engine.watch import NOTHING_EARLIER, Earlier, Matching, matching
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.options import wait_options
from automl_waiter._wiring import watch_kernel
from automl_waiter.testing import EPOCH, ManualClock, ScriptedJobs, Timeline, simulated_jobs  # noqa: F401

HOUR = 3600.0
ARN = "arn:aws:sagemaker:us-east-1:123456789012:automl-job/"


def new(count: int, *, every: float = 100.0, end: float = 1000.0) -> list[Job]:
    """Jobs that are created one after the other while somebody watches."""
    return [Job(f"new-{number}", 50 + every * number, script(end)) for number in range(count)]


def watched(
    jobs: Sequence[Job],
    *,
    which: Matching | None = None,
    until_idle: bool = False,
    earlier: Earlier = NOTHING_EARLIER,
    filters: Filters = Filters.INDEXED,
    seconds: float = 2 * HOUR,
    change: Any = lambda service: None,
) -> tuple[list[Event], Service, ManualClock]:
    """The events of a watch that is cancelled after some seconds."""
    clock = ManualClock(cancel_at=seconds)
    service = Service(clock, jobs, filters=filters, max_rate=10)
    change(service)
    options = wait_options()
    kernel = watch_kernel(service, which or Matching(), options, clock, until_idle=until_idle, earlier=earlier)
    return list(waiter.events_of(kernel, clock)), service, clock


def ends(events: Sequence[Event]) -> dict[str, str]:
    """How each job ended, of those that did."""
    outcomes = [event.outcome for event in events if isinstance(event, Ended)]
    return {outcome.job_name: str(outcome.status) for outcome in outcomes if outcome.verdict != "cancelled"}


# Which jobs


@pytest.mark.parametrize("filters", Filters)
def test_jobs_in_progress_and_new_ones_are_followed(filters: Filters) -> None:
    """Each job that runs when the watch begins, or is created later, is told to its end; what had ended is not."""
    running, later = fleet(30), new(20)
    events, _, _ = watched([*running, *later, *older(500)], filters=filters)
    assert ends(events) == {job.name: job.timeline.entries[-1][1] for job in [*running, *later]}


def test_a_job_that_comes_and_goes_between_two_looks_is_told() -> None:
    """A job that has failed within seconds was never seen in progress, and its end is told."""
    quick = Job("quick", 101.0, Timeline([(0, "InProgress", "Starting"), (3, "Failed", "Failed")]))
    events, _, _ = watched([quick], seconds=200)
    assert ends(events) == {"quick": "Failed"}


def test_many_new_jobs_at_once_are_all_found() -> None:
    """Hundreds of jobs that are created in the same seconds take several pages, and none is missed."""
    burst = [Job(f"burst-{number}", 100 + number * 0.01, script(1000)) for number in range(450)]
    events, _, _ = watched([*burst, *older(1000)])
    assert len(ends(events)) == 450


def test_hundreds_of_jobs_and_new_ones_are_followed_page_by_page() -> None:
    """Every end of hundreds of jobs, and of those that are created meanwhile, is seen soon."""
    running, later = fleet(300), new(30)
    events, service, clock = watched([*running, *later])
    assert len(ends(events)) == 330
    due = {job.name: job.end or 0.0 for job in [*running, *later]}
    seen = {
        event.outcome.job_name: (event.at - EPOCH).total_seconds()
        for event in events
        if isinstance(event, Ended) and event.outcome.verdict != "cancelled"
    }
    assert max(at - due[name] for name, at in seen.items()) < 16
    assert service.lists < 4 * (clock.monotonic() / 5 + 1), "there is always a job younger than 200 s"


@pytest.mark.parametrize("filters", Filters)
def test_names_choose_in_any_case_whatever_the_filters_do(filters: Filters) -> None:
    """A part of a name chooses among the jobs, also where the service ignores it."""
    jobs = [Job("Nightly-1", -10.0, script(500)), Job("nightly-2", 20.0, script(500)), Job("other", -10.0, script(500))]
    events, _, _ = watched(jobs, which=matching("NIGHTLY"), filters=filters)
    assert set(ends(events)) == {"Nightly-1", "nightly-2"}
    assert {event.job_name for event in events if isinstance(event, Transition)} == {"Nightly-1", "nightly-2"}


@pytest.mark.parametrize("since", [1000.0, EPOCH - timedelta(seconds=1000)])
def test_since_adds_what_has_ended_and_leaves_out_what_is_older(since: Any) -> None:
    """With `since` each job that was created within that time is told, and no other, whether it has ended or runs."""
    jobs = [
        Job("ended", -900.0, script(300)),
        Job("running", -900.0, script(2000)),
        Job("older", -1100.0, script(3000)),
    ]
    events, _, _ = watched([*jobs, *older(300)], which=matching(since=since))
    assert set(ends(events)) == {"ended", "running"}


@pytest.mark.parametrize(
    "asked",
    [
        {"name_contains": ""},
        {"name_contains": 5},
        {"name_contains": "x" * 64},
        {"since": -1.0},
        {"since": datetime(2026, 1, 1)},
        {"since": 1e11},
    ],
)
def test_what_makes_no_sense_is_refused(asked: dict[str, Any]) -> None:
    """A watch of impossible names or times is refused before the first call."""
    with pytest.raises(InvalidRequest):
        matching(**asked)
    with pytest.raises(InvalidRequest, match="among all jobs"):
        waiter.watch("churn", name_contains="x")


# How it ends


def test_until_idle_ends_when_no_job_is_in_progress() -> None:
    """A watch until idle returns soon after the last end, and at once where nothing runs."""
    jobs = fleet(10)
    events, _, clock = watched([*jobs, *older(50)], until_idle=True, seconds=9 * HOUR)
    assert len(ends(events)) == 10
    assert clock.monotonic() < max(job.end or 0.0 for job in jobs) + 25
    _, service, clock = watched(older(50), until_idle=True)
    assert clock.monotonic() < 25
    assert service.describes == 0


def test_a_watch_that_may_not_list_says_so() -> None:
    """Without ListAutoMLJobs there is no watch: it ends with what was denied."""
    denied = AccessDenied("ListAutoMLJobs was denied: allow the IAM action sagemaker:ListAutoMLJobs")
    with pytest.raises(AccessDenied, match="sagemaker:ListAutoMLJobs"):
        watched(fleet(3), change=lambda service: setattr(service, "list_jobs", failing(denied)))


def test_an_outage_longer_than_the_error_budget_ends_a_watch() -> None:
    """A watch is waited for by somebody too: when nothing can be had for 15 minutes it says so."""
    clock = ManualClock()
    service = Service(clock, fleet(3))
    read = service.list_jobs

    def list_jobs(request: Mapping[str, Any]) -> Mapping[str, Any]:
        if clock.monotonic() > 300:
            raise no_network()
        return read(request)

    service.list_jobs = list_jobs  # type: ignore[method-assign]
    kernel = watch_kernel(service, Matching(), wait_options(), clock)
    with pytest.raises(ServiceUnavailable):
        list(waiter.events_of(kernel, clock))
    assert 1200 <= clock.monotonic() < 1230


def test_a_job_that_an_earlier_watch_knew_is_followed_though_it_has_ended() -> None:
    """What ended while nobody watched is told by the next watch; a job of another account is not looked for."""
    ended = Job("ended", -HOUR, script(1000))
    known = [job_ref(ARN + "ended"), job_ref(ARN.replace("123456789012", "999999999999") + "foreign")]
    events, service, _ = watched([ended, *fleet(2), *older(3)], earlier=Earlier(known), seconds=100)
    assert ends(events) == {"ended": "Completed"}
    assert service.describes == 1


@pytest.mark.parametrize("account", ["123456789012", ""])
@pytest.mark.parametrize("which", [None, matching(since=60)])
def test_a_watch_that_was_down_reports_the_jobs_that_came_and_went(account: str, which: Matching | None) -> None:
    """It lists back to its last listing, also where that had shown no job; what ended before that one is not told."""
    missed = [Job(f"missed-{number}", -HOUR - number, script(1000)) for number in range(150)]
    reported_to = {account: EPOCH - timedelta(minutes=90), "999999999999": EPOCH - timedelta(days=9)}
    earlier = Earlier((), reported_to, {f"{ARN}missed-7"})
    events, service, _ = watched([*missed, *older(500)], which=which, earlier=earlier, seconds=200)
    followed = [job for job in missed if job.name != "missed-7"]
    assert ends(events) == {job.name: "Completed" for job in followed}
    check_promise(events, followed)
    assert service.lists < 3 + 3 + 200 / 10 * 1.2


def test_another_accounts_last_listing_says_nothing() -> None:
    """An account that is listed for the first time is not listed back."""
    earlier = Earlier(reported_to={"999999999999": EPOCH - timedelta(days=9)})
    events, _, _ = watched(older(50), earlier=earlier, seconds=100)
    assert ends(events) == {}


def test_a_sweep_says_up_to_when_every_new_job_was_reported() -> None:
    """Not while an ended job still waits for its describe; and a job may be listed a minute late."""
    jobs = [Job("running", -HOUR, script(9000)), *(Job(f"new-{at}", at, script(15)) for at in range(20, 300, 40))]
    events, _, _ = watched(jobs, seconds=400)
    sweeps = [event for event in events if isinstance(event, Sweep)]
    assert {sweep.account for sweep in sweeps} == {"123456789012"}
    told = [sweep.reported_to for sweep in sweeps if sweep.reported_to is not None]
    assert told == sorted(told)
    assert (told[0], told[-1]) == (EPOCH, sweeps[-1].at - timedelta(seconds=60))
    check_promise(events, jobs)


def check_promise(events: Sequence[Event], jobs: Sequence[Job]) -> None:
    """Checks that each job which was created before a sweep's `reported_to` was reported before that sweep."""
    seen: set[str] = set()
    for event in events:
        if isinstance(event, Transition):
            seen.add(event.job_name)
        if isinstance(event, Sweep) and (until := event.reported_to) is not None:
            assert {job.name for job in jobs if EPOCH + timedelta(seconds=job.created) < until} <= seen


def test_what_is_still_to_be_described_is_not_reported_yet() -> None:
    """A watch that is killed before it has described an ended job has to list back to it."""
    events, _, _ = watched(
        [Job(f"ended-{number}", -HOUR, script(1000)) for number in range(60)],
        which=matching(since=2 * HOUR),
        seconds=100,
    )
    first = next(event for event in events if isinstance(event, Sweep) and event.reported_to is not None)
    before = {event.job_name for event in events[: events.index(first)] if isinstance(event, Transition)}
    assert len(before) == 60


def test_a_name_that_matches_nothing_costs_a_page_a_sweep() -> None:
    """Where names are compared after paging, an account with a long history is not read again and again."""
    _, service, clock = watched(older(3000), which=matching("zzz"), filters=Filters.POST_FILTERED, seconds=HOUR)
    assert service.lists < clock.monotonic() / 10 * 1.2 + 100


def test_a_job_created_just_now_is_waited_for_until_idle() -> None:
    """A watch until idle gives a job that is not listed yet ten seconds, as a wait does."""
    events, _, _ = watched([Job("late", 5.0, script(300))], until_idle=True)
    assert ends(events) == {"late": "Completed"}


def test_an_account_without_running_jobs_is_known_by_its_older_ones() -> None:
    """What an earlier watch knew is told where nothing runs any more, too."""
    events, _, _ = watched([Job("ended", -HOUR, script(1000))], earlier=Earlier([job_ref(ARN + "ended")]), seconds=100)
    assert ends(events) == {"ended": "Completed"}


def test_an_arn_of_a_form_that_is_not_known_is_followed_all_the_same() -> None:
    """AWS may have other ARNs than we know; the job is watched by its name."""

    def odd(service: Service) -> None:
        def changed(call: Any) -> Any:
            def made(asked: Any) -> Any:
                answer = call(asked)
                for job in answer.get("AutoMLJobSummaries", [answer]):
                    job["AutoMLJobArn"] = "arn:aws:sagemaker::automl"
                return answer

            return made

        service.list_jobs = changed(service.list_jobs)  # type: ignore[method-assign]
        service.describe = changed(service.describe)  # type: ignore[method-assign]

    events, _, _ = watched([Job("odd", -10.0, script(500))], change=odd)
    assert ends(events) == {"odd": "Completed"}


def test_the_fixture_serves_a_watch_of_all(simulated_jobs: ScriptedJobs) -> None:  # noqa: F811
    """With `simulated_jobs` a test of one's own watches all scripted jobs, in virtual time and without AWS."""
    simulated_jobs.add("a", script(600))
    simulated_jobs.add("b", script(900))
    told = [change for change in waiter.watch(until_idle=True) if change.after.is_terminal]
    assert [change.job_name for change in told] == ["a", "b"]
