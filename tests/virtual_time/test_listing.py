"""Many jobs followed by listing, in virtual time: each end is observed in time and once, also if the listing fails."""

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listing_service import Job, Service, Throttle, failing, listing_as, script
from repository import ROOT
from virtual import Faulty, Sleepy, no_network, run, throttle

from automl_waiter import (
    AccessDenied,
    CredentialsExpired,
    Ended,
    InvalidRequest,
    Notice,
    Outcome,
    PhaseAware,
    PollContext,
    Retry,
    Transition,
    Verdict,
    Warned,
)
from automl_waiter._engine import listing, retries
from automl_waiter._engine.calls import Calls
from automl_waiter._engine.following import ListedJob
from automl_waiter._engine.job_wait import JobWait
from automl_waiter._engine.kernel import Kernel
from automl_waiter._engine.retries import Answer
from automl_waiter._model import token_bucket as budget
from automl_waiter._model.events import Heartbeat, Sweep, event_dict
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.options import wait_options
from automl_waiter._model.polling import promised_lag
from automl_waiter._model.token_bucket import DEFAULT_MAX_RATE
from automl_waiter.testing import EPOCH, ManualClock, Timeline
from automl_waiter.waiter import events_of

HOUR = 3600.0


def fleet(count: int, *, longest: float = HOUR / 2, seed: int = 0) -> list[Job]:
    """Return jobs that were created in the hour before second 0 and end at different times after it."""
    chance = random.Random(seed)
    jobs = []
    for number in range(count):
        age = chance.uniform(0, HOUR)
        timeline = script(age + chance.uniform(300, longest), status=chance.choice(["Completed", "Failed", "Stopped"]))
        jobs.append(Job(f"job-{number}", -age, timeline))
    return jobs


def older(count: int, *, age: float = 2 * HOUR) -> list[Job]:
    """Return jobs that ended before second 0, created `age` seconds ago and earlier."""
    return [Job(f"old-{number}", -age - number, script(600)) for number in range(count)]


class Fleet:
    """A finished wait for many jobs."""

    def __init__(
        self,
        jobs: Sequence[Job],
        others: Sequence[Job] = (),
        *,
        names: Sequence[str] | None = None,
        service: Callable[[Service], None] = lambda _: None,
        limit: Throttle | None = None,
        max_rate: float = 10.0,
        cancel_at: float | None = None,
        decides: Callable[[Outcome], bool] = lambda _: False,
        **options: Any,
    ) -> None:
        clock = ManualClock(cancel_at=cancel_at)
        self.service = Service(clock, [*jobs, *others], throttle=limit, max_rate=max_rate)
        service(self.service)
        names = [job.name for job in jobs] if names is None else names
        ends = {job.name: job.end or 0.0 for job in jobs}
        self.events = run(names, [self.service] * len(names), wait_options(**options), clock, decides)
        self.outcomes = {event.outcome.job: event.outcome for event in self.events if isinstance(event, Ended)}
        self.lags = {key: outcome.waited - ends.get(key, 0.0) for key, outcome in self.outcomes.items()}
        self.seconds = clock.monotonic()

    @property
    def notices(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Notice)]

    @property
    def longest_lag(self) -> float:
        return max(self.lags.values())

    @property
    def pages(self) -> list[int]:
        """Return the pages that each sweep read."""
        return [event.pages for event in self.events if isinstance(event, Sweep)]

    def transitions(self, name: str) -> list[str]:
        changes = [event for event in self.events if isinstance(event, Transition) and event.job_name == name]
        return [str(event.after.secondary_status) for event in changes]


def lateness(fleet: Fleet, jobs: Sequence[Job]) -> float:
    """Return the largest delay in seconds of an observed end beyond the promise: describes of ends may queue."""
    return max(fleet.lags[job.name] - promised_lag((job.end or 0.0) - job.created) for job in jobs)


def is_right(fleet: Fleet, jobs: Sequence[Job]) -> bool:
    """Return whether each job has its scripted outcome, with the whole of its last response."""
    verdicts = {"Completed": Verdict.COMPLETED, "Failed": Verdict.FAILED, "Stopped": Verdict.STOPPED}
    return all(
        fleet.outcomes[job.name].verdict is verdicts[job.timeline.entries[-1][1]]
        and "RoleArn" in fleet.outcomes[job.name].snapshot.raw  # type: ignore[union-attr]
        for job in jobs
    )


class Own:
    """A policy of a user."""

    def next_delay(self, context: PollContext, /) -> float:
        return PhaseAware().next_delay(context)


# Number of calls and delay


def test_six_jobs_are_described_and_seven_are_listed() -> None:
    """Six jobs cost fewer calls when described, seven when listed."""
    assert Fleet(fleet(6)).service.lists == 0
    assert Fleet(fleet(7)).service.lists > 0


def test_hundred_jobs_take_one_page_per_sweep_and_one_describe_each() -> None:
    """A hundred jobs cost a page about every 10 s and one describe each at their end; each end is observed in time."""
    jobs = fleet(100)
    waited = Fleet(jobs)
    assert is_right(waited, jobs)
    assert lateness(waited, jobs) < 0.3
    # The last few jobs are described one by one.
    assert waited.service.describes < 100 + 60
    assert waited.service.lists == pytest.approx(waited.seconds / 10, rel=0.25)
    assert waited.notices == []


def test_listed_job_emits_the_same_transitions_as_a_described_one() -> None:
    """A job that is followed by listing emits the transitions of a described one, once each and in order."""
    waited = Fleet(fleet(20, longest=2 * HOUR))
    assert {tuple(waited.transitions(name)[-3:]) for name in waited.outcomes} <= {
        ("ModelTuning", "GeneratingModelInsightsReport", end) for end in ("Completed", "Failed", "Stopped")
    }
    for outcome in waited.outcomes.values():
        emitted = [event for event in waited.events if isinstance(event, Transition) and event.job_name == outcome.job]
        assert list(outcome.transitions) == emitted
        assert [event.before for event in emitted] == [None, *(event.after for event in emitted[:-1])]


@pytest.mark.large
def test_two_hundred_and_one_jobs_take_three_pages_per_sweep() -> None:
    """201 jobs cost three pages every 10 s, and each end is observed within that plus the reading time."""
    jobs = fleet(201)
    waited = Fleet(jobs)
    assert is_right(waited, jobs)
    assert lateness(waited, jobs) < 1
    assert max(waited.pages) == 3
    assert waited.service.lists < 3 * (waited.seconds / 10 + 1)
    assert waited.notices == []


def test_older_jobs_of_the_account_cost_no_call() -> None:
    """Two hundred jobs cost two pages a sweep, however many older jobs the account has."""
    jobs = fleet(200)
    waited = Fleet(jobs, older(3000), limit=Throttle(2, 4), max_rate=2)
    assert is_right(waited, jobs)
    assert waited.longest_lag < 16
    assert max(waited.pages) <= 3
    assert waited.service.lists <= 3 * (waited.seconds / 10 + 1)


@pytest.mark.large
def test_sweep_reads_25_pages_and_describes_the_jobs_beyond() -> None:
    """A sweep reads at most 25 pages. Jobs beyond them are described; the others stay listed."""
    jobs = fleet(150)
    deep = [Job(f"deep-{number}", -30 * HOUR, script(30 * HOUR + 60 + number)) for number in range(50)]
    waited = Fleet([*jobs, *deep], older(2600))
    assert is_right(waited, [*jobs, *deep])
    assert waited.pages[0] == max(waited.pages) == 25
    assert waited.notices == ["50 jobs were not in the listing and will be described one by one"]
    assert set(waited.pages[1:]) <= {1, 2}
    assert max(waited.lags[job.name] for job in jobs) < 16


@pytest.mark.large
def test_listing_without_a_job_in_25_pages_is_read_once() -> None:
    """If 25 pages of newer jobs show none of the awaited ones, they are read once, and every job is described."""
    jobs = [Job(f"job-{number}", -30 * HOUR, script(30 * HOUR + 60 + number / 2)) for number in range(200)]
    waited = Fleet(jobs, older(2600))
    assert is_right(waited, jobs)
    assert waited.service.lists == 25


@pytest.mark.large
def test_jobs_created_during_a_sweep_hide_no_end() -> None:
    """Newly created jobs shift the pages between two calls, and every end is still observed."""
    jobs = fleet(201)
    others = [Job(f"new-{number}", number * 1.5, script(HOUR)) for number in range(1200)]
    waited = Fleet(jobs, others)
    assert is_right(waited, jobs)
    assert waited.longest_lag < 100


@pytest.mark.large
def test_jobs_are_described_if_every_next_token_is_refused() -> None:
    """A listing whose second page cannot be read is abandoned with one notice."""

    def refusing(service: Service) -> None:
        service.token_life = 0.0

    jobs = fleet(120, longest=600)
    waited = Fleet(jobs, service=refusing)
    assert is_right(waited, jobs)
    [notice] = waited.notices
    assert "the jobs will be described one by one" in notice
    assert waited.service.lists == 4


# Without a listing


def denied(service: Service) -> None:
    service.list_jobs = failing(AccessDenied("ListAutoMLJobs was denied"))  # type: ignore[method-assign]


@pytest.mark.large
def test_jobs_are_described_if_listing_is_denied() -> None:
    """One notice names the denied IAM action, and every job gets the right outcome from describes alone."""
    jobs = fleet(50, longest=600)
    waited = Fleet(jobs, service=denied)
    assert is_right(waited, jobs)
    assert len(waited.notices) == 1
    assert "denied" in waited.notices[0]
    assert waited.service.lists == 0


def test_jobs_beyond_the_first_pages_are_described() -> None:
    """Jobs that are too old for the pages that are read are described one by one, and the others are listed."""
    jobs = fleet(50)
    ancient = [Job(f"ancient-{number}", -30 * HOUR, script(31 * HOUR)) for number in range(3)]
    others = [Job(f"other-{number}", -10 * HOUR - number, script(600)) for number in range(2000)]
    waited = Fleet([*jobs, *ancient], others)
    assert is_right(waited, [*jobs, *ancient])
    assert waited.notices == ["3 jobs were not in the listing and will be described one by one"]
    assert waited.service.lists < waited.seconds / 10 * 3


def test_missing_job_does_not_affect_the_others() -> None:
    """A name without a job gets the outcome not_found, and the other jobs get theirs."""
    jobs = fleet(20)
    waited = Fleet(jobs, names=[*(job.name for job in jobs), "nobody"])
    assert is_right(waited, jobs)
    assert waited.outcomes["nobody"].verdict is Verdict.NOT_FOUND


def test_the_same_job_under_several_names_has_an_outcome_for_each() -> None:
    """A name, the same name in capitals and the ARN are three keys of one job."""
    jobs = fleet(10)
    arn = "arn:aws:sagemaker:us-east-1:123456789012:automl-job/job-0"
    waited = Fleet(jobs, names=[*(job.name for job in jobs), "JOB-0", arn])
    assert len(waited.outcomes) == 12
    assert waited.outcomes["JOB-0"].verdict == waited.outcomes[arn].verdict == waited.outcomes["job-0"].verdict


def test_arn_of_another_account_does_not_match_a_listed_name() -> None:
    """A listing of this account shows a job of that name, but the ARN names another account."""
    jobs = fleet(10)
    arn = "arn:aws:sagemaker:us-east-1:999999999999:automl-job/job-0"
    waited = Fleet(jobs, names=[*(job.name for job in jobs), arn])
    assert waited.outcomes[arn].verdict is Verdict.REPLACED


# Failures


def test_listing_is_retried_through_an_outage() -> None:
    """A listing that fails with transient errors is retried within the error budget."""

    def shaky(service: Service) -> None:
        service.list_jobs = failing(  # type: ignore[method-assign]
            throttle(), no_network(), no_network(), then=service.list_jobs
        )

    jobs = fleet(20)
    waited = Fleet(jobs, service=shaky)
    assert is_right(waited, jobs)
    retries = [event for event in waited.events if isinstance(event, Retry)]
    assert [event.job_name for event in retries] == [None] * 3
    assert {event.operation for event in retries} == {"ListAutoMLJobs"}


def test_expired_credentials_end_every_wait_at_once() -> None:
    """Describes cannot succeed either with credentials that cannot be refreshed, so each outcome reports them."""
    error = CredentialsExpired("log in", code="ExpiredToken")
    waited = Fleet(fleet(20), service=lambda service: setattr(service, "list_jobs", failing(error)))
    assert {outcome.exit_code for outcome in waited.outcomes.values()} == {77}
    assert waited.seconds == 0
    assert waited.service.describes == 0
    assert len({id(outcome.error) for outcome in waited.outcomes.values()}) == 20


def test_jobs_are_described_while_only_the_listing_fails() -> None:
    """After a minute without a page the jobs are described; when the listing works again, it is used again."""

    def away(service: Service, read: Callable[..., Any], request: Mapping[str, Any]) -> Any:
        if 300 < service.clock.monotonic() < 1500:
            raise throttle()
        return read(request)

    jobs = fleet(30, longest=2 * HOUR)
    waited = Fleet(jobs, service=listing_as(away))
    assert is_right(waited, jobs)
    assert len(waited.notices) == 1
    assert "described one by one" in waited.notices[0]
    assert waited.longest_lag < 250
    assert waited.service.lists > 200
    assert 60 < waited.service.describes < 1000


@pytest.mark.large
def test_outage_of_all_calls_ends_the_wait_by_the_error_budget() -> None:
    """If describes fail too, every job ends with 69, at most a minute after the error budget."""

    def down(service: Service) -> None:
        service.list_jobs = service.describe = failing(no_network())  # type: ignore[method-assign]

    waited = Fleet(fleet(20), service=down)
    assert {outcome.exit_code for outcome in waited.outcomes.values()} == {69}
    assert 900 <= waited.seconds < 1000


def test_a_throttled_listing_is_read_less_often() -> None:
    """If the service admits one call in twenty seconds, only a few calls are throttled."""
    jobs = fleet(8, longest=HOUR)
    waited = Fleet(jobs, limit=Throttle(0.05, 5), error_budget=10 * HOUR)
    assert is_right(waited, jobs)
    assert waited.service.throttled < len(waited.service.calls) / 2
    assert len(waited.service.calls) < waited.seconds / 5


def test_page_older_than_a_describe_is_ignored() -> None:
    """A page that was read before a describe returned does not revert what the describe showed."""
    faults = [no_network(), no_network(), no_network()]

    def shaky(service: Service) -> None:
        describe = service.describe

        def failing_describe(job_name: str) -> Mapping[str, Any]:
            if job_name == "job-0" and faults:
                raise faults.pop()
            return describe(job_name)

        service.describe = failing_describe  # type: ignore[method-assign]

    jobs = [
        Job(
            f"job-{number}",
            -1.0,
            Timeline([(0, "InProgress", "Starting"), (2, "InProgress", "ModelTuning"), (500, "Failed", "Failed")]),
        )
        for number in range(8)
    ]
    waited = Fleet(jobs, service=shaky, timeout="auto")
    for job in jobs:
        emitted = [event for event in waited.events if isinstance(event, Transition) and event.job_name == job.name]
        assert [str(event.after.secondary_status) for event in emitted][-2:] == ["ModelTuning", "Failed"]
        assert len(emitted) <= 3
        assert all(event.not_before is None or event.not_before <= event.observed_at for event in emitted)


def test_missing_names_do_not_delay_the_listing() -> None:
    """Hundreds of unknown names are described one by one, and the ends of the other jobs are still observed in time."""
    jobs = fleet(50, longest=HOUR / 4)
    waited = Fleet(
        jobs, names=[*(f"nobody-{number}" for number in range(300)), *(job.name for job in jobs)], max_rate=2
    )
    assert is_right(waited, jobs)
    assert max(waited.lags[job.name] for job in jobs) < 20


def test_failure_shown_by_the_listing_at_the_deadline_counts() -> None:
    """The rate limit allows few describes at the deadline; the listing supplies the failure of the other jobs."""
    jobs = [Job(f"job-{number}", 0.0, script(997, status="Failed")) for number in range(40)]
    waited = Fleet(jobs, timeout=1000, max_rate=5)
    assert {outcome.verdict for outcome in waited.outcomes.values()} == {Verdict.FAILED}
    assert {outcome.failure_reason for outcome in waited.outcomes.values()} == {"no data", None}


def test_auto_timeout_polls_each_job_at_its_deadline() -> None:
    """With timeout="auto" each job is described once more at its own deadline, and an end found then counts."""
    limited = Timeline([(0, "InProgress", "ModelTuning"), (1000 + 1800 - 3, "Failed", "Failed")], max_runtime=1000)
    jobs = [Job(f"job-{number}", 0.0, limited) for number in range(8)]
    waited = Fleet(jobs, timeout="auto")
    assert {outcome.verdict for outcome in waited.outcomes.values()} == {Verdict.FAILED}


@pytest.mark.large
def test_rate_adapts_to_a_lower_service_limit() -> None:
    """A fleet with a max_rate above the service's limit slows down to it, and every outcome is right."""
    jobs = fleet(100)
    waited = Fleet(jobs, poll=Own(), max_rate=50, limit=Throttle(2, 4))
    assert is_right(waited, jobs)
    assert waited.service.throttled < len(waited.service.calls) / 4


def test_first_polls_of_many_jobs_keep_to_the_rate_limit() -> None:
    """The rate limit spreads the first polls of many jobs too."""
    waited = Fleet(fleet(200), poll=Own(), max_rate=5, timeout=400)
    seconds = Counter(math.floor(at) for at in waited.service.calls)
    assert max(seconds.values()) <= 10
    assert max(seconds[second] + seconds[second + 1] for second in seconds) <= 15


# Deadlines, conditions, heartbeats


@pytest.mark.large
@pytest.mark.parametrize("count", [20, 201])
def test_one_deadline_ends_the_wait_for_all(count: int) -> None:
    """All jobs are polled once more at the deadline; those that have ended by then count, the others are timed out."""
    jobs = fleet(count, longest=2 * HOUR)
    waited = Fleet(jobs, timeout=HOUR)
    assert HOUR <= waited.seconds <= HOUR + 1
    for job in jobs:
        outcome = waited.outcomes[job.name]
        if (job.end or 0) < HOUR - 4:
            assert outcome.status == job.timeline.entries[-1][1]
            assert outcome.verdict is not Verdict.TIMED_OUT
        elif (job.end or 0) > HOUR:
            assert (outcome.verdict, outcome.exit_code) == (Verdict.TIMED_OUT, 124)
            assert outcome.status == "InProgress"
            assert outcome.created_at is not None


def test_success_at_the_deadline_counts_in_a_listing() -> None:
    """Jobs that end just before the deadline count as completed after the last sweep."""
    jobs = [Job(f"job-{number}", 0.0, script(999.5)) for number in range(7)]
    waited = Fleet(jobs, timeout=1000, max_rate=20)
    assert {outcome.verdict for outcome in waited.outcomes.values()} == {Verdict.COMPLETED}
    assert waited.seconds <= 1001


def test_auto_timeout_describes_each_job_once_for_its_limit() -> None:
    """With timeout="auto" each job is described once for its runtime limit and then followed by listing."""
    jobs = fleet(20)
    waited = Fleet(jobs, timeout="auto")
    assert is_right(waited, jobs)
    assert len(waited.notices) == 20
    assert waited.service.describes >= 40
    assert waited.service.lists > 100


def test_until_phase_is_read_from_the_listing() -> None:
    """`until` a phase is met when a page shows it; the job is then described once."""
    jobs = fleet(20, longest=HOUR)
    waited = Fleet(jobs, until="GeneratingModelInsightsReport")
    assert {outcome.verdict for outcome in waited.outcomes.values()} == {Verdict.CONDITION_MET}
    assert waited.service.describes < 20 + 60
    assert waited.service.lists > 100


def test_until_on_the_response_describes_each_job() -> None:
    """A summary has no best candidate, so each job is described if `until` asks for one."""
    waited = Fleet(fleet(8), until="BestCandidate.CandidateName != 'x'")
    assert waited.service.lists == 0


@pytest.mark.parametrize(("poll", "is_listed"), [(30, True), (None, True), (Own(), False)])
def test_fixed_interval_applies_to_the_listing(poll: Any, is_listed: bool) -> None:
    """`poll=30` reads the listing every 30 s; a user's own policy is asked for each job."""
    waited = Fleet(fleet(10), poll=poll)
    assert (waited.service.lists > 0) == is_listed
    if poll == 30:
        reads = [event.next_in for event in waited.events if isinstance(event, Sweep)]
        assert all(28 <= seconds <= 32 for seconds in reads)


def test_listing_emits_poll_and_heartbeat_events() -> None:
    """Every sweep emits an event, and a long pause emits a heartbeat; both have a JSON form."""
    waited = Fleet(fleet(10), poll=1000)
    assert {event.job_name for event in waited.events if isinstance(event, Sweep | Heartbeat)} == {None}
    documents = [event_dict(event) for event in waited.events if isinstance(event, Sweep | Heartbeat)]
    assert documents[0]["running"] == 10
    assert any(event["event"] == "heartbeat" for event in documents)


def test_stall_of_a_listed_job_is_reported() -> None:
    """A job without a change for hours is reported although it is never described."""
    jobs = [Job(f"job-{number}", 0.0, script(60 * HOUR)) for number in range(8)]
    waited = Fleet(jobs, service=lambda service: setattr(service, "moves_every", math.inf), timeout=8 * HOUR)
    assert {event.job_name for event in waited.events if isinstance(event, Warned)} == {job.name for job in jobs}


def test_first_ended_job_ends_the_wait_with_first() -> None:
    """The first job that ends ends the wait for the others too, and the listing is not read any more."""
    jobs = fleet(50)
    waited = Fleet(jobs, decides=lambda outcome: True)
    first = min(jobs, key=lambda job: job.end or 0)
    assert waited.outcomes.pop(first.name).verdict is not Verdict.IN_PROGRESS
    assert {outcome.verdict for outcome in waited.outcomes.values()} == {Verdict.IN_PROGRESS}


def test_a_signal_stops_every_listed_job() -> None:
    """With stop_on interrupt each listed job is stopped once, and the listing is not read any more."""
    clock = Sleepy(signal_at=100)
    service, names = Faulty(clock), [f"job-{number}" for number in range(10)]
    for name in names:
        service.add(name, script(HOUR))
    options = replace(wait_options(), stop_on=frozenset({"interrupt"}))
    events = run(names, [service] * 10, options, clock)
    assert [event.outcome.exit_code for event in events if isinstance(event, Ended)] == [143] * 10
    assert service.stops == 10


def test_cancel_returns_an_outcome_for_each_job() -> None:
    """Cancelling a wait for many jobs gives an outcome for each."""
    waited = Fleet(fleet(50), cancel_at=100)
    assert {outcome.verdict for outcome in waited.outcomes.values()} == {Verdict.CANCELLED}
    assert waited.seconds == 100


# Listing and describe disagree


def test_describe_overrules_an_end_shown_by_the_listing() -> None:
    """If a describe contradicts the listing, the describe counts, and the job is described from then on."""
    jobs = fleet(20, longest=1000)

    def hasty(service: Service, read: Callable[..., Any], request: Mapping[str, Any]) -> Any:
        page = read(request)
        for summary in page["AutoMLJobSummaries"]:
            if summary["AutoMLJobName"] == "job-3":
                summary |= {"AutoMLJobStatus": "Completed", "AutoMLJobSecondaryStatus": "Completed"}
        return page

    waited = Fleet(jobs, service=listing_as(hasty))
    assert waited.lags["job-3"] > 0
    assert waited.outcomes["job-3"].verdict is not Verdict.ERROR
    assert is_right(waited, jobs)


@pytest.mark.large
@settings(max_examples=12)
@given(
    jobs=st.lists(
        st.tuples(st.floats(0, 5000), st.floats(10, 5_000), st.sampled_from(["Completed", "Failed"])),
        min_size=7,
        max_size=25,
    ),
    others=st.integers(0, 400),
    faults=st.lists(st.sampled_from([None, None, None, "throttled", "network", "invalid"]), max_size=60),
    max_rate=st.sampled_from([0.5, 2.0, 5.0, 50.0]),
)
def test_every_end_is_observed_whichever_listing_calls_fail(
    jobs: list[tuple[float, float, str]],
    others: int,
    faults: list[str | None],
    max_rate: float,
) -> None:
    """Whichever listing calls fail, each end is observed within the bound, and each transition is reported once."""
    made = [
        Job(f"job-{number}", -age, script(age + left, status=status)) for number, (age, left, status) in enumerate(jobs)
    ]

    def shaky(service: Service, read: Callable[..., Any], request: Mapping[str, Any]) -> Any:
        match faults.pop(0) if faults else None:
            case "throttled":
                raise throttle()
            case "network":
                raise no_network()
            case "invalid":
                raise InvalidRequest("the token is not valid")
        return read(request)

    waited = Fleet(made, older(others), service=listing_as(shaky), max_rate=max_rate)
    assert is_right(waited, made)
    assert waited.longest_lag < len(made) / max_rate + 300
    for outcome in waited.outcomes.values():
        assert Counter(outcome.transitions).most_common(1)[0][1] == 1


def test_many_jobs_page_states_the_bounds_of_the_code() -> None:
    """docs/howto/many_jobs.md has the code's rate limit, listing interval and number of described jobs."""
    page = (ROOT / "docs" / "howto" / "many_jobs.md").read_text()
    assert f"{DEFAULT_MAX_RATE:g} calls a second" in page
    assert f"grows back within {budget._RECOVERY / 60:g} minutes" in page
    assert f"within {retries._HERD_PAUSE_S:g} seconds" in page
    assert budget._LEAST_SHARE == 1 / 8
    assert f"| up to {listing.WORTH_LISTING - 1} jobs |" in page
    assert (
        f"| {listing.WORTH_LISTING} jobs and more | the newest jobs are listed every {listing._SWEEP_EVERY_S:g} s"
        in page
    )
    assert f"or fails for {listing._LISTING_PATIENCE_S:g} seconds" in page
    assert f"more than {listing._MOST_PAGES} pages, or more than one page for {listing._JOBS_PER_PAGE} jobs" in page
    assert f"fewer than {listing._JOBS_PER_PAGE} of the others each" in page
    assert f"intervals of up to {listing._LONGEST_AWAY_S / 60:g} minutes" in page
    assert f"timeout of less than {listing._LEAST_TIMEOUT_S:g} seconds" in page
    assert listing._SHARE == 1 / 2


def test_outage_at_the_deadline_is_a_timeout_with_the_last_error() -> None:
    """If the listing cannot be read at the deadline, the jobs are timed out, and the outcome has the last error."""

    def down(service: Service) -> None:
        def until_down(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
            def made(asked: Any) -> Any:
                if service.clock.monotonic() > 100:
                    raise no_network()
                return call(asked)

            return made

        service.list_jobs = until_down(service.list_jobs)  # type: ignore[method-assign]
        service.describe = until_down(service.describe)  # type: ignore[method-assign]

    waited = Fleet([Job(f"job-{number}", 0.0, script(HOUR)) for number in range(8)], service=down, timeout=300)
    assert {outcome.verdict for outcome in waited.outcomes.values()} == {Verdict.TIMED_OUT}
    assert 300 <= waited.seconds <= 301
    assert "no route to host" in waited.outcomes["job-0"].summary


def test_young_jobs_are_listed_as_often_as_the_default_policy_polls() -> None:
    """While a job is younger than 200 s, the listing is read as often as the default policy promises."""
    jobs = [Job(f"quick-{number}", -10, script(100 + 7 * number)) for number in range(12)]
    waited = Fleet(jobs)
    assert lateness(waited, jobs) < 0.3


@pytest.mark.large
def test_the_last_jobs_of_a_fleet_are_described() -> None:
    """When ten jobs of hundreds are left on several pages, they are described, each at its own interval."""
    late = [Job(f"late-{number}", -2 * HOUR, script(6 * HOUR)) for number in range(10)]
    jobs = [*fleet(201, longest=1000), *late]
    waited = Fleet(jobs)
    assert is_right(waited, jobs)
    assert waited.pages == [3] * len(waited.pages)
    # A page every 10 s, and every 5 s while a job is younger than 200 s.
    assert waited.service.lists < 3 * (1000 / 10 + 200 / 10 + 10)


@pytest.mark.large
def test_low_rate_limit_leaves_tokens_for_describes() -> None:
    """At one call in five seconds the ends of hundreds of jobs are described too."""
    jobs = fleet(201, longest=3 * HOUR)
    waited = Fleet(jobs, max_rate=0.2)
    assert is_right(waited, jobs)
    assert waited.longest_lag < 900


def test_refused_next_token_restarts_the_listing() -> None:
    """After a refused NextToken the listing is read from its first page, without a notice."""
    refused: list[str] = []

    def once(service: Service, read: Callable[..., Any], request: Mapping[str, Any]) -> Any:
        if "NextToken" in request and not refused:
            refused.append(request["NextToken"])
            raise InvalidRequest("the token is not valid")
        return read(request)

    jobs = fleet(200, longest=HOUR / 4)
    waited = Fleet(jobs, service=listing_as(once))
    assert is_right(waited, jobs)
    assert len(refused) == 1
    assert waited.notices == []
    assert waited.longest_lag < 13


@pytest.mark.large
def test_one_sweep_follows_a_long_sleep_of_the_machine() -> None:
    """After eight hours of sleep there is one sweep, not one for each that was missed; ended jobs are described."""
    clock = Sleepy([(600.0, 8 * HOUR)])
    jobs = fleet(201, longest=12 * HOUR)
    service = Service(clock, jobs, max_rate=10)
    events = run([job.name for job in jobs], [service] * 201, wait_options(timeout=9 * HOUR), clock)
    woken = Counter(int((at - 600 - 8 * HOUR) // 60) for at in service.calls if at > 600 + 8 * HOUR)
    ended = sum((job.end or 0) < 600 + 8 * HOUR for job in jobs)
    assert ended > 100
    assert sum(woken[minute] for minute in range(3)) < ended + 80
    assert len([event for event in events if isinstance(event, Ended)]) == 201


@pytest.mark.large
def test_jobs_stopped_together_are_observed_in_one_sweep() -> None:
    """The next sweep shows all jobs that were stopped at the same instant, and each is described once."""
    jobs = [Job(f"job-{number}", 0.0, script(1000, status="Stopped")) for number in range(150)]
    jobs += [Job(f"late-{number}", 0.0, script(1500)) for number in range(60)]
    waited = Fleet(jobs, max_rate=50)
    assert is_right(waited, jobs)
    assert waited.longest_lag < 20
    assert waited.service.describes < len(jobs) + 60
    assert waited.notices == []


@pytest.mark.parametrize("second", [*range(596, 616, 2)])
def test_listing_is_read_once_more_after_sleeping_past_the_deadline(second: float) -> None:
    """On waking there is one more sweep, and jobs that ended meanwhile count as ended."""
    jobs = [Job(f"job-{number}", 0.0, script(2000)) for number in range(10)]
    clock = Sleepy([(second, HOUR)])
    service = Service(clock, jobs, max_rate=50)
    events = run([job.name for job in jobs], [service] * 10, wait_options(timeout=1000), clock)
    assert {event.outcome.verdict for event in events if isinstance(event, Ended)} == {Verdict.COMPLETED}


def test_auto_timeout_of_a_listed_job_ends_its_wait() -> None:
    """The timeout is each job's own runtime limit plus 30 minutes, although the listing shows no limit."""
    script = Timeline([(0, "InProgress", "ModelTuning"), (9000, "Completed", "Completed")], max_runtime=600)
    jobs = [Job(f"job-{number}", 0.0, script) for number in range(8)]
    waited = Fleet(jobs, timeout="auto")
    assert {outcome.verdict for outcome in waited.outcomes.values()} == {Verdict.TIMED_OUT}
    assert all(2399 <= outcome.waited <= 2402 for outcome in waited.outcomes.values())


@pytest.mark.large
def test_jobs_are_described_if_listing_is_denied_later() -> None:
    """A listing that is denied later, on any page, is abandoned with one notice."""

    def partly(service: Service, read: Callable[..., Any], request: Mapping[str, Any]) -> Any:
        if "NextToken" in request and service.clock.monotonic() > 100:
            raise AccessDenied("ListAutoMLJobs was denied")
        return read(request)

    jobs = fleet(150, longest=HOUR / 8)
    waited = Fleet(jobs, service=listing_as(partly))
    assert is_right(waited, jobs)
    assert len(waited.notices) == 1


def test_job_of_another_arn_in_the_last_sweep_is_replaced() -> None:
    """At the deadline the listed failure of a job with the same name but another ARN does not count."""
    job = job_ref("arn:aws:sagemaker:us-east-1:999999999999:automl-job/churn")
    clock = ManualClock()
    clock.advance(99.9)
    gateway = Faulty(clock)
    gateway.is_down = lambda _: True
    kernel, listed, options = Kernel(clock), ListedJob("churn"), wait_options(timeout=100)
    summary = {
        "AutoMLJobName": "churn",
        "AutoMLJobArn": job.arn and job.arn.replace("9", "1"),
        "AutoMLJobStatus": "Failed",
        "AutoMLJobSecondaryStatus": "Failed",
        "CreationTime": EPOCH,
        "LastModifiedTime": EPOCH,
    }
    kernel.put(listed.news, Answer(99.9, 99.9, EPOCH, response=summary))
    calls = Calls(gateway, kernel, error_budget=900)
    kernel.spawn(JobWait(job, options, calls, started=0.0, listed=listed).run)
    [outcome] = [event.outcome for event in events_of(kernel, clock) if isinstance(event, Ended)]
    assert gateway.looks, "it is described before the listing is believed"
    assert outcome.verdict is Verdict.REPLACED
