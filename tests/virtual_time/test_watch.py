"""Watches, in virtual time: which jobs are followed, what is reported, and how a watch ends and resumes."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from listing_service import Filters, Job, Service, failing, script
from test_listing import fleet, older
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
    """Return jobs that are created one after the other during the watch."""
    return [Job(f"new-{number}", 50 + every * number, script(end)) for number in range(count)]


def watched(
    jobs: Sequence[Job],
    *,
    which: Matching | None = None,
    until_idle: bool = False,
    earlier: Earlier = NOTHING_EARLIER,
    filters: Filters = Filters.INDEXED,
    seconds: float = HOUR,
    change: Any = lambda service: None,
) -> tuple[list[Event], Service, ManualClock]:
    """Return the events of a watch that is cancelled after some seconds."""
    clock = ManualClock(cancel_at=seconds)
    service = Service(clock, jobs, filters=filters, max_rate=10)
    change(service)
    options = wait_options()
    kernel = watch_kernel(service, which or Matching(), options, clock, until_idle=until_idle, earlier=earlier)
    return list(waiter.events_of(kernel, clock)), service, clock


def ends(events: Sequence[Event]) -> dict[str, str]:
    """Return the verdict of each job that ended."""
    outcomes = [event.outcome for event in events if isinstance(event, Ended)]
    return {outcome.job_name: str(outcome.status) for outcome in outcomes if outcome.verdict != "cancelled"}


# Which jobs


@pytest.mark.parametrize("filters", Filters)
def test_jobs_in_progress_and_new_ones_are_followed(filters: Filters) -> None:
    """Jobs that run at the start or are created later are reported to their ends; jobs that had ended are not."""
    running, later = fleet(30), new(20)
    events, _, _ = watched([*running, *later, *older(500)], filters=filters)
    assert ends(events) == {job.name: job.timeline.entries[-1][1] for job in [*running, *later]}


def test_job_created_and_ended_between_two_sweeps_is_reported() -> None:
    """A job that failed within seconds was never observed in progress, and its end is reported."""
    quick = Job("quick", 101.0, Timeline([(0, "InProgress", "Starting"), (3, "Failed", "Failed")]))
    events, _, _ = watched([quick], seconds=200)
    assert ends(events) == {"quick": "Failed"}


@pytest.mark.large
def test_many_new_jobs_at_once_are_all_found() -> None:
    """Hundreds of jobs created in the same seconds take several pages, and none is missed."""
    burst = [Job(f"burst-{number}", 100 + number * 0.01, script(500)) for number in range(250)]
    events, _, _ = watched([*burst, *older(500)], seconds=1000)
    assert len(ends(events)) == 250


@pytest.mark.large
def test_hundreds_of_jobs_and_new_ones_are_followed_page_by_page() -> None:
    """Every end of hundreds of jobs, and of those created meanwhile, is observed soon."""
    running, later = fleet(201), new(30, every=80)
    events, service, clock = watched([*running, *later])
    assert len(ends(events)) == 231
    due = {job.name: job.end or 0.0 for job in [*running, *later]}
    seen = {
        event.outcome.job_name: (event.at - EPOCH).total_seconds()
        for event in events
        if isinstance(event, Ended) and event.outcome.verdict != "cancelled"
    }
    assert max(at - due[name] for name, at in seen.items()) < 16
    assert service.lists < 4 * (clock.monotonic() / 5 + 1), "there is always a job younger than 200 s"


@pytest.mark.parametrize("filters", Filters)
def test_name_filter_is_case_insensitive_also_if_the_service_ignores_it(filters: Filters) -> None:
    """A part of a name selects the jobs, also if the service ignores the filter."""
    jobs = [Job("Nightly-1", -10.0, script(500)), Job("nightly-2", 20.0, script(500)), Job("other", -10.0, script(500))]
    events, _, _ = watched(jobs, which=matching("NIGHTLY"), filters=filters)
    assert set(ends(events)) == {"Nightly-1", "nightly-2"}
    assert {event.job_name for event in events if isinstance(event, Transition)} == {"Nightly-1", "nightly-2"}


@pytest.mark.parametrize("since", [1000.0, EPOCH - timedelta(seconds=1000)])
def test_since_adds_ended_jobs_and_omits_older_ones(since: Any) -> None:
    """`since` selects the jobs created within that time, ended or running."""
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
def test_invalid_names_or_times_are_refused(asked: dict[str, Any]) -> None:
    """A watch with invalid names or times is refused before the first call."""
    with pytest.raises(InvalidRequest):
        matching(**asked)
    with pytest.raises(InvalidRequest, match="among all jobs"):
        waiter.watch("churn", name_contains="x")


# How it ends


def test_until_idle_ends_when_no_job_is_in_progress() -> None:
    """A watch until idle returns soon after the last end, and at once if no job runs."""
    jobs = fleet(10)
    events, _, clock = watched([*jobs, *older(50)], until_idle=True, seconds=9 * HOUR)
    assert len(ends(events)) == 10
    assert clock.monotonic() < max(job.end or 0.0 for job in jobs) + 25
    _, service, clock = watched(older(50), until_idle=True)
    assert clock.monotonic() < 25
    assert service.describes == 0


def test_watch_without_permission_to_list_ends_with_the_denial() -> None:
    """A watch cannot work without ListAutoMLJobs, so it ends with the denied action."""
    denied = AccessDenied("ListAutoMLJobs was denied: allow the IAM action sagemaker:ListAutoMLJobs")
    with pytest.raises(AccessDenied, match="sagemaker:ListAutoMLJobs"):
        watched(fleet(3), change=lambda service: setattr(service, "list_jobs", failing(denied)))


def test_an_outage_longer_than_the_error_budget_ends_a_watch() -> None:
    """A watch whose calls have all failed for 15 minutes ends with the error."""
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


def test_job_known_to_an_earlier_watch_is_reported_after_its_end() -> None:
    """The next watch reports what ended between two watches; a job of another account is not polled."""
    ended = Job("ended", -HOUR, script(1000))
    known = [job_ref(ARN + "ended"), job_ref(ARN.replace("123456789012", "999999999999") + "foreign")]
    events, service, _ = watched([ended, *fleet(2), *older(3)], earlier=Earlier(known), seconds=100)
    assert ends(events) == {"ended": "Completed"}
    assert service.describes == 1


@pytest.mark.parametrize("account", ["123456789012", ""])
@pytest.mark.parametrize("which", [None, matching(since=60)])
def test_resumed_watch_reports_jobs_created_and_ended_meanwhile(account: str, which: Matching | None) -> None:
    """It lists back to its last listing, also an empty one; jobs that ended before that one are not reported."""
    missed = [Job(f"missed-{number}", -HOUR - number, script(1000)) for number in range(150)]
    reported_to = {account: EPOCH - timedelta(minutes=90), "999999999999": EPOCH - timedelta(days=9)}
    earlier = Earlier((), reported_to, {f"{ARN}missed-7"})
    events, service, _ = watched([*missed, *older(500)], which=which, earlier=earlier, seconds=200)
    followed = [job for job in missed if job.name != "missed-7"]
    assert ends(events) == {job.name: "Completed" for job in followed}
    check_promise(events, followed)
    assert service.lists < 3 + 3 + 200 / 10 * 1.2


def test_last_listing_of_another_account_is_ignored() -> None:
    """The first listing of an account does not reach back."""
    earlier = Earlier(reported_to={"999999999999": EPOCH - timedelta(days=9)})
    events, _, _ = watched(older(50), earlier=earlier, seconds=100)
    assert ends(events) == {}


def test_reported_to_covers_only_reported_jobs() -> None:
    """It waits for the describes of ended jobs; a job may be listed a minute late."""
    jobs = [Job("running", -HOUR, script(9000)), *(Job(f"new-{at}", at, script(15)) for at in range(20, 300, 40))]
    events, _, _ = watched(jobs, seconds=400)
    sweeps = [event for event in events if isinstance(event, Sweep)]
    assert {sweep.account for sweep in sweeps} == {"123456789012"}
    instants = [sweep.reported_to for sweep in sweeps if sweep.reported_to is not None]
    assert instants == sorted(instants)
    assert (instants[0], instants[-1]) == (EPOCH, sweeps[-1].at - timedelta(seconds=60))
    check_promise(events, jobs)


def check_promise(events: Sequence[Event], jobs: Sequence[Job]) -> None:
    """Check that each job created before a sweep's `reported_to` was reported before that sweep."""
    reported: set[str] = set()
    for event in events:
        if isinstance(event, Transition):
            reported.add(event.job_name)
        if isinstance(event, Sweep) and (until := event.reported_to) is not None:
            assert {job.name for job in jobs if EPOCH + timedelta(seconds=job.created) < until} <= reported


def test_reported_to_excludes_jobs_still_to_be_described() -> None:
    """A watch that is killed before it has described an ended job has to list back to it."""
    events, _, _ = watched(
        [Job(f"ended-{number}", -HOUR, script(1000)) for number in range(60)],
        which=matching(since=2 * HOUR),
        seconds=100,
    )
    first = next(event for event in events if isinstance(event, Sweep) and event.reported_to is not None)
    before = {event.job_name for event in events[: events.index(first)] if isinstance(event, Transition)}
    assert len(before) == 60


def test_name_filter_without_a_match_costs_one_page_per_sweep() -> None:
    """If names are compared after paging, the long history of an account is not read again and again."""
    _, service, clock = watched(older(3000), which=matching("zzz"), filters=Filters.POST_FILTERED, seconds=HOUR)
    assert service.lists < clock.monotonic() / 10 * 1.2 + 100


def test_until_idle_waits_for_a_job_that_was_just_created() -> None:
    """A watch until idle gives a job that is not listed yet ten seconds, as a wait does."""
    events, _, _ = watched([Job("late", 5.0, script(300))], until_idle=True)
    assert ends(events) == {"late": "Completed"}


def test_account_without_running_jobs_is_identified_by_older_jobs() -> None:
    """Jobs of an earlier watch are also reported if no job runs any more."""
    events, _, _ = watched([Job("ended", -HOUR, script(1000))], earlier=Earlier([job_ref(ARN + "ended")]), seconds=100)
    assert ends(events) == {"ended": "Completed"}


def test_job_with_an_unknown_arn_format_is_followed() -> None:
    """AWS may have other ARN formats; the job is watched by its name."""

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


def test_simulated_jobs_fixture_supports_watch(simulated_jobs: ScriptedJobs) -> None:  # noqa: F811
    """With `simulated_jobs` a user's test watches all scripted jobs, in virtual time and without AWS."""
    simulated_jobs.add("a", script(600))
    simulated_jobs.add("b", script(900))
    final = [change for change in waiter.watch(until_idle=True) if change.after.is_terminal]
    assert [change.job_name for change in final] == ["a", "b"]
