"""Many jobs followed in a listing, in virtual time: each end is seen in time and once, also when the listing fails."""

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from listing_service import Job, Service, Throttle
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


def script(end: float, *, status: str = "Completed") -> Timeline:
    """A job that trains, reports and ends."""
    return Timeline(
        [
            (0, "InProgress", "Starting"),
            (end * 0.2, "InProgress", "ModelTuning"),
            (end * 0.8, "InProgress", "GeneratingModelInsightsReport"),
            (end, status, status),
        ],
        failure_reason="no data",
    )


def fleet(count: int, *, longest: float = HOUR, seed: int = 0) -> list[Job]:
    """Return jobs that were created in the hour before second 0 and end at different times after it."""
    chance = random.Random(seed)
    jobs = []
    for number in range(count):
        age = chance.uniform(0, HOUR)
        timeline = script(age + chance.uniform(300, longest), status=chance.choice(["Completed", "Failed", "Stopped"]))
        jobs.append(Job(f"job-{number}", -age, timeline))
    return jobs


def older(count: int, *, age: float = 2 * HOUR) -> list[Job]:
    """Return jobs that ended before second 0, created at that age and before."""
    return [Job(f"old-{number}", -age - number, script(600)) for number in range(count)]


class Fleet:
    """A wait for many jobs that is over."""

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
        """The pages that each sweep read."""
        return [event.pages for event in self.events if isinstance(event, Sweep)]

    def transitions(self, name: str) -> list[str]:
        told = [event for event in self.events if isinstance(event, Transition) and event.job_name == name]
        return [str(event.after.secondary_status) for event in told]


def lateness(fleet: Fleet, jobs: Sequence[Job]) -> float:
    """Return by how many seconds an end was seen later than promised, at most: the describes of ends may queue."""
    return max(fleet.lags[job.name] - promised_lag((job.end or 0.0) - job.created) for job in jobs)


def is_right(fleet: Fleet, jobs: Sequence[Job]) -> bool:
    """Whether each job's outcome is how it ended, with the whole of its last response."""
    verdicts = {"Completed": Verdict.COMPLETED, "Failed": Verdict.FAILED, "Stopped": Verdict.STOPPED}
    return all(
        fleet.outcomes[job.name].verdict is verdicts[job.timeline.entries[-1][1]]
        and "RoleArn" in fleet.outcomes[job.name].snapshot.raw  # type: ignore[union-attr]
        for job in jobs
    )


class Own:
    """A policy of somebody's own."""

    def next_delay(self, context: PollContext, /) -> float:
        return PhaseAware().next_delay(context)


# What it costs, and how late it is


def test_a_few_jobs_are_described_one_by_one() -> None:
    """Six jobs are cheaper described than listed, seven are listed."""
    assert Fleet(fleet(6)).service.lists == 0
    assert Fleet(fleet(7)).service.lists > 0


def test_many_jobs_are_read_from_a_page_and_described_once() -> None:
    """A hundred jobs take one call every 10 s or so, and a describe when they have ended; each end is seen in time."""
    jobs = fleet(100)
    waited = Fleet(jobs)
    assert is_right(waited, jobs)
    assert lateness(waited, jobs) < 0.3
    # The last few are described each by itself.
    assert waited.service.describes < 100 + 60
    assert waited.service.lists == pytest.approx(waited.seconds / 10, rel=0.25)
    assert waited.notices == []


def test_every_transition_that_a_page_shows_is_told_once() -> None:
    """A job that is followed in a listing tells what one tells that is described, in order."""
    waited = Fleet(fleet(20, longest=2 * HOUR))
    assert {tuple(waited.transitions(name)[-3:]) for name in waited.outcomes} <= {
        ("ModelTuning", "GeneratingModelInsightsReport", end) for end in ("Completed", "Failed", "Stopped")
    }
    for outcome in waited.outcomes.values():
        told = [event for event in waited.events if isinstance(event, Transition) and event.job_name == outcome.job]
        assert list(outcome.transitions) == told
        assert [event.before for event in told] == [None, *(event.after for event in told[:-1])]


def test_hundreds_of_jobs_take_a_page_for_each_hundred() -> None:
    """Three hundred jobs take three pages every 10 s, and every end is seen within that and the time of reading."""
    jobs = fleet(300)
    waited = Fleet(jobs)
    assert is_right(waited, jobs)
    assert lateness(waited, jobs) < 1
    assert max(waited.pages) == 3
    assert waited.service.lists < 3 * (waited.seconds / 10 + 1)
    assert waited.notices == []


def test_older_jobs_cost_no_call() -> None:
    """Two hundred jobs take two pages a sweep, however many older jobs the account has."""
    jobs = fleet(200)
    waited = Fleet(jobs, older(3000), limit=Throttle(2, 4), max_rate=2)
    assert is_right(waited, jobs)
    assert waited.longest_lag < 16
    assert max(waited.pages) <= 3
    assert waited.service.lists <= 3 * (waited.seconds / 10 + 1)


def test_a_listing_of_more_than_25_pages_leaves_its_jobs_to_be_described() -> None:
    """A sweep reads 25 pages at most. The jobs that it has not shown by then are described; the others stay listed."""
    jobs = fleet(150)
    deep = [Job(f"deep-{number}", -30 * HOUR, script(30 * HOUR + 600 + number)) for number in range(50)]
    waited = Fleet([*jobs, *deep], older(2600))
    assert is_right(waited, [*jobs, *deep])
    assert waited.pages[0] == max(waited.pages) == 25
    assert waited.notices == ["50 jobs were not in the listing and will be described one by one"]
    assert set(waited.pages[1:]) <= {1, 2}
    assert max(waited.lags[job.name] for job in jobs) < 16


def test_a_listing_that_shows_no_job_in_25_pages_is_not_read_again() -> None:
    """Where thousands of newer jobs hide all that are waited for, the wait costs 25 pages once, and then describes."""
    jobs = [Job(f"job-{number}", -30 * HOUR, script(30 * HOUR + 600 + number)) for number in range(200)]
    waited = Fleet(jobs, older(2600))
    assert is_right(waited, jobs)
    assert waited.service.lists == 25


def test_pages_that_shift_while_they_are_read_hide_no_end() -> None:
    """Jobs that others create all the time shift the pages, and every end is seen all the same."""
    jobs = fleet(300, longest=HOUR)
    others = [Job(f"new-{number}", number * 1.5, script(HOUR)) for number in range(4000)]
    waited = Fleet(jobs, others)
    assert is_right(waited, jobs)
    assert waited.longest_lag < 100


def test_tokens_that_are_always_refused_leave_the_jobs_to_be_described() -> None:
    """A listing whose second page cannot be read is given up, and that is said once."""

    def refusing(service: Service) -> None:
        service.token_life = 0.0

    jobs = fleet(120, longest=HOUR / 4)
    waited = Fleet(jobs, service=refusing)
    assert is_right(waited, jobs)
    [notice] = waited.notices
    assert "the jobs will be described one by one" in notice
    assert waited.service.lists == 4


# Where there is no listing


def denied(service: Service) -> None:
    service.list_jobs = failing(AccessDenied("ListAutoMLJobs was denied"))  # type: ignore[method-assign]


def failing(*errors: Exception, then: Callable[[Mapping[str, Any]], Any] | None = None) -> Callable[..., Any]:
    """A call that fails with each of these, the last for ever if nothing is to come then."""
    left = list(errors)

    def call(request: Mapping[str, Any]) -> Any:
        if left:
            raise left.pop(0) if then or len(left) > 1 else left[0]
        assert then is not None
        return then(request)

    return call


def listing_as(
    answer: Callable[[Service, Callable[[Mapping[str, Any]], Any], Mapping[str, Any]], Any],
) -> Callable[[Service], None]:
    """Makes a service list as `answer` says, which is handed the service, its own listing, and the request."""

    def change(service: Service) -> None:
        read = service.list_jobs
        service.list_jobs = lambda request: answer(service, read, request)  # type: ignore[method-assign]

    return change


def test_a_denied_listing_leaves_each_job_to_be_described() -> None:
    """Describing alone suffices: what was denied is said once, with the IAM action, and every job ends right."""
    jobs = fleet(50)
    waited = Fleet(jobs, service=denied)
    assert is_right(waited, jobs)
    assert len(waited.notices) == 1
    assert "denied" in waited.notices[0]
    assert waited.service.lists == 0


def test_jobs_that_the_listing_does_not_show_are_described() -> None:
    """Jobs that are older than the newest that are worth reading are described one by one, and the others listed."""
    jobs = fleet(50)
    ancient = [Job(f"ancient-{number}", -30 * HOUR, script(31 * HOUR)) for number in range(3)]
    others = [Job(f"other-{number}", -10 * HOUR - number, script(600)) for number in range(2000)]
    waited = Fleet([*jobs, *ancient], others)
    assert is_right(waited, [*jobs, *ancient])
    assert waited.notices == ["3 jobs were not in the listing and will be described one by one"]
    assert waited.service.lists < waited.seconds / 10 * 3


def test_a_job_that_there_is_not_hides_no_other() -> None:
    """A name without a job gives the outcome not_found, and the others end as they do."""
    jobs = fleet(20)
    waited = Fleet(jobs, names=[*(job.name for job in jobs), "nobody"])
    assert is_right(waited, jobs)
    assert waited.outcomes["nobody"].verdict is Verdict.NOT_FOUND


def test_the_same_job_under_several_names_has_an_outcome_for_each() -> None:
    """A name, the same in capitals, and its ARN are three keys of one job."""
    jobs = fleet(10)
    arn = "arn:aws:sagemaker:us-east-1:123456789012:automl-job/job-0"
    waited = Fleet(jobs, names=[*(job.name for job in jobs), "JOB-0", arn])
    assert len(waited.outcomes) == 12
    assert waited.outcomes["JOB-0"].verdict == waited.outcomes[arn].verdict == waited.outcomes["job-0"].verdict


def test_an_arn_of_another_account_is_no_job_of_this_one() -> None:
    """A listing of this account shows a job of that name, but the ARN names another."""
    jobs = fleet(10)
    arn = "arn:aws:sagemaker:us-east-1:999999999999:automl-job/job-0"
    waited = Fleet(jobs, names=[*(job.name for job in jobs), arn])
    assert waited.outcomes[arn].verdict is Verdict.REPLACED


# Failures


def test_an_outage_of_the_listing_is_waited_out() -> None:
    """A listing that fails for passing reasons is read again, within the error budget."""

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
    """Credentials that cannot be renewed are no use for describes either: each job's outcome says so by itself."""
    error = CredentialsExpired("log in", code="ExpiredToken")
    waited = Fleet(fleet(20), service=lambda service: setattr(service, "list_jobs", failing(error)))
    assert {outcome.exit_code for outcome in waited.outcomes.values()} == {77}
    assert waited.seconds == 0
    assert waited.service.describes == 0
    assert len({id(outcome.error) for outcome in waited.outcomes.values()}) == 20


def test_a_listing_that_alone_fails_is_left_and_tried_again() -> None:
    """After a minute without a page the jobs are described; when the listing is back, it spares the calls again."""

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


def test_an_outage_of_everything_ends_the_wait_by_the_error_budget() -> None:
    """Where describes fail too, every job ends with 69, a minute after the error budget at most."""

    def down(service: Service) -> None:
        service.list_jobs = service.describe = failing(no_network())  # type: ignore[method-assign]

    waited = Fleet(fleet(20), service=down)
    assert {outcome.exit_code for outcome in waited.outcomes.values()} == {69}
    assert 900 <= waited.seconds < 1000


def test_a_throttled_listing_is_read_less_often() -> None:
    """Where AWS allows a call in twenty seconds, no more than a few are refused."""
    jobs = fleet(8, longest=HOUR)
    waited = Fleet(jobs, limit=Throttle(0.05, 5), error_budget=10 * HOUR)
    assert is_right(waited, jobs)
    assert waited.service.throttled < len(waited.service.calls) / 2
    assert len(waited.service.calls) < waited.seconds / 5


def test_news_that_are_older_than_a_describe_are_no_news() -> None:
    """A page that was read before a describe was answered takes nothing back."""
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
        told = [event for event in waited.events if isinstance(event, Transition) and event.job_name == job.name]
        assert [str(event.after.secondary_status) for event in told][-2:] == ["ModelTuning", "Failed"]
        assert len(told) <= 3
        assert all(event.not_before is None or event.not_before <= event.observed_at for event in told)


def test_a_listing_does_not_wait_behind_names_that_there_are_not() -> None:
    """Hundreds of unknown names are described one by one, and the ends of the others are seen all the same."""
    jobs = fleet(50, longest=HOUR / 4)
    waited = Fleet(
        jobs, names=[*(f"nobody-{number}" for number in range(300)), *(job.name for job in jobs)], max_rate=2
    )
    assert is_right(waited, jobs)
    assert max(waited.lags[job.name] for job in jobs) < 20


def test_a_failure_that_only_the_listing_has_time_to_show_counts() -> None:
    """At the deadline there are turns for a few describes; who has none is told by the listing how a job failed."""
    jobs = [Job(f"job-{number}", 0.0, script(997, status="Failed")) for number in range(40)]
    waited = Fleet(jobs, timeout=1000, max_rate=5)
    assert {outcome.verdict for outcome in waited.outcomes.values()} == {Verdict.FAILED}
    assert {outcome.failure_reason for outcome in waited.outcomes.values()} == {"no data", None}


def test_an_auto_deadline_has_a_last_look_too() -> None:
    """With timeout="auto" each job is described at its own deadline, and what has ended by then has ended."""
    limited = Timeline([(0, "InProgress", "ModelTuning"), (1000 + 1800 - 3, "Failed", "Failed")], max_runtime=1000)
    jobs = [Job(f"job-{number}", 0.0, limited) for number in range(8)]
    waited = Fleet(jobs, timeout="auto")
    assert {outcome.verdict for outcome in waited.outcomes.values()} == {Verdict.FAILED}


def test_a_throttled_service_is_called_less() -> None:
    """A fleet that is given a rate above the service's comes down to it, and ends right."""
    jobs = fleet(100)
    waited = Fleet(jobs, poll=Own(), max_rate=50, limit=Throttle(2, 4))
    assert is_right(waited, jobs)
    assert waited.service.throttled < len(waited.service.calls) / 4


def test_no_second_has_more_calls_than_the_budget_allows() -> None:
    """The first looks of many jobs, too, are spread by the call budget."""
    waited = Fleet(fleet(200), poll=Own(), max_rate=5, timeout=400)
    seconds = Counter(math.floor(at) for at in waited.service.calls)
    assert max(seconds.values()) <= 10
    assert max(seconds[second] + seconds[second + 1] for second in seconds) <= 15


# Deadlines, conditions, signs of life


@pytest.mark.parametrize("count", [20, 300])
def test_one_deadline_ends_the_wait_for_all(count: int) -> None:
    """At the deadline there is a last look; who has ended by then has ended, the others are timed out."""
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


def test_a_success_in_the_last_look_counts() -> None:
    """Jobs that end just before the deadline are found completed by the last look at the listing."""
    jobs = [Job(f"job-{number}", 0.0, script(999.5)) for number in range(7)]
    waited = Fleet(jobs, timeout=1000, max_rate=20)
    assert {outcome.verdict for outcome in waited.outcomes.values()} == {Verdict.COMPLETED}
    assert waited.seconds <= 1001


def test_an_auto_timeout_is_each_jobs_own() -> None:
    """With timeout="auto" each job is described once, for its limit, and then followed in the listing."""
    jobs = fleet(20)
    waited = Fleet(jobs, timeout="auto")
    assert is_right(waited, jobs)
    assert len(waited.notices) == 20
    assert waited.service.describes >= 40
    assert waited.service.lists > 100


def test_a_phase_that_is_waited_for_is_read_from_the_listing() -> None:
    """`until` a phase holds when a page shows it, and the job is then described once."""
    jobs = fleet(20)
    waited = Fleet(jobs, until="GeneratingModelInsightsReport")
    assert {outcome.verdict for outcome in waited.outcomes.values()} == {Verdict.CONDITION_MET}
    assert waited.service.describes < 20 + 60
    assert waited.service.lists > 100


def test_a_condition_on_the_response_needs_describes() -> None:
    """A summary has no best candidate, so each job is described where `until` asks for one."""
    waited = Fleet(fleet(8), until="BestCandidate.CandidateName != 'x'")
    assert waited.service.lists == 0


@pytest.mark.parametrize(("poll", "is_listed"), [(30, True), (None, True), (Own(), False)])
def test_a_fixed_interval_is_that_of_the_listing(poll: Any, is_listed: bool) -> None:
    """`poll=30` reads the listing every 30 s; a policy of one's own is asked for each job."""
    waited = Fleet(fleet(10), poll=poll)
    assert (waited.service.lists > 0) == is_listed
    if poll == 30:
        reads = [event.next_in for event in waited.events if isinstance(event, Sweep)]
        assert all(28 <= seconds <= 32 for seconds in reads)


def test_a_listing_shows_signs_of_life() -> None:
    """Every look at a listing is an event, and in a long pause there is a heartbeat; both have a JSON form."""
    waited = Fleet(fleet(10), poll=1000)
    assert {event.job_name for event in waited.events if isinstance(event, Sweep | Heartbeat)} == {None}
    told = [event_dict(event) for event in waited.events if isinstance(event, Sweep | Heartbeat)]
    assert told[0]["running"] == 10
    assert any(event["event"] == "heartbeat" for event in told)


def test_a_job_that_stalls_is_warned_of_in_a_listing_too() -> None:
    """A job that changes nothing for hours is told, though nobody describes it."""
    jobs = [Job(f"job-{number}", 0.0, script(60 * HOUR)) for number in range(8)]
    waited = Fleet(jobs, service=lambda service: setattr(service, "moves_every", math.inf), timeout=8 * HOUR)
    assert {event.job_name for event in waited.events if isinstance(event, Warned)} == {job.name for job in jobs}


def test_one_job_decides_for_all() -> None:
    """With the first that has ended the wait for the others ends too, and the listing is not read any more."""
    jobs = fleet(50)
    waited = Fleet(jobs, decides=lambda outcome: True)
    first = min(jobs, key=lambda job: job.end or 0)
    assert waited.outcomes.pop(first.name).verdict is not Verdict.IN_PROGRESS
    assert {outcome.verdict for outcome in waited.outcomes.values()} == {Verdict.IN_PROGRESS}


def test_a_signal_stops_every_listed_job() -> None:
    """Jobs that are followed in a listing are stopped by an interrupt too, each once, and nothing is read then."""
    clock = Sleepy(signal_at=100)
    service, names = Faulty(clock), [f"job-{number}" for number in range(10)]
    for name in names:
        service.add(name, script(HOUR))
    options = replace(wait_options(), stop_on=frozenset({"interrupt"}))
    events = run(names, [service] * 10, options, clock)
    assert [event.outcome.exit_code for event in events if isinstance(event, Ended)] == [143] * 10
    assert service.stops == 10


def test_a_cancel_ends_every_wait() -> None:
    """Who cancels a wait for many has an outcome for each."""
    waited = Fleet(fleet(50), cancel_at=100)
    assert {outcome.verdict for outcome in waited.outcomes.values()} == {Verdict.CANCELLED}
    assert waited.seconds == 100


# What the listing says and a describe does not


def test_an_end_that_only_the_listing_shows_is_no_end() -> None:
    """Where a describe contradicts the listing, the describe is believed, and the job is described from then on."""
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


@settings(max_examples=25)
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
def test_every_end_is_seen_whichever_calls_fail(
    jobs: list[tuple[float, float, str]],
    others: int,
    faults: list[str | None],
    max_rate: float,
) -> None:
    """Whichever calls of the listing fail, each job ends as it did, within the bound, and each change is reported once."""
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


def test_the_page_states_the_bounds_that_hold() -> None:
    """docs/howto/many_jobs.md has the numbers of the code: the budget, the pace of a listing, and when jobs are described."""
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


def test_an_outage_at_the_deadline_is_a_timeout() -> None:
    """Who cannot read the listing when the time is up has timed out, and reads what the last call failed of."""

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


def test_young_jobs_in_a_listing_are_reported_as_soon_as_one_alone() -> None:
    """While a job is younger than 200 s, the listing is read as often as the default policy promises."""
    jobs = [Job(f"quick-{number}", -10, script(100 + 7 * number)) for number in range(12)]
    waited = Fleet(jobs)
    assert lateness(waited, jobs) < 0.3


def test_the_last_jobs_of_a_fleet_are_described() -> None:
    """When hundreds have ended and ten are left on several pages, those are described, each at its own pace."""
    late = [Job(f"late-{number}", -2 * HOUR, script(6 * HOUR)) for number in range(10)]
    jobs = [*fleet(300, longest=1000), *late]
    waited = Fleet(jobs)
    assert is_right(waited, jobs)
    assert waited.pages == [4] * len(waited.pages)
    # A page every 10 s, and every 5 s while a job is younger than 200 s.
    assert waited.service.lists < 4 * (1000 / 10 + 200 / 10 + 10)


def test_a_slow_budget_is_not_taken_by_the_listing_alone() -> None:
    """At one call in five seconds the ends of hundreds of jobs are described too."""
    jobs = fleet(300, longest=4 * HOUR)
    waited = Fleet(jobs, max_rate=0.2)
    assert is_right(waited, jobs)
    assert waited.longest_lag < 900


def test_a_token_that_is_refused_once_restarts_the_listing() -> None:
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


def test_after_a_machines_sleep_the_listing_is_read_once_and_the_ends_are_described() -> None:
    """After eight hours of sleep no missed sweep is made up for."""
    clock = Sleepy([(600.0, 8 * HOUR)])
    jobs = fleet(300, longest=12 * HOUR)
    service = Service(clock, jobs, max_rate=10)
    events = run([job.name for job in jobs], [service] * 300, wait_options(timeout=9 * HOUR), clock)
    woken = Counter(int((at - 600 - 8 * HOUR) // 60) for at in service.calls if at > 600 + 8 * HOUR)
    ended = sum((job.end or 0) < 600 + 8 * HOUR for job in jobs)
    assert ended > 150
    assert sum(woken[minute] for minute in range(3)) < ended + 80
    assert len([event for event in events if isinstance(event, Ended)]) == 300


def test_a_mass_stop_is_seen_in_one_sweep() -> None:
    """Jobs that are stopped in the same moment are shown by the next sweep, and each is described once."""
    jobs = [Job(f"job-{number}", 0.0, script(1000, status="Stopped")) for number in range(290)]
    jobs += [Job(f"late-{number}", 0.0, script(1500)) for number in range(100)]
    waited = Fleet(jobs, max_rate=50)
    assert is_right(waited, jobs)
    assert waited.longest_lag < 20
    assert waited.service.describes < len(jobs) + 60
    assert waited.notices == []


@pytest.mark.parametrize("second", [*range(596, 616, 2)])
def test_a_machine_that_slept_past_the_deadline_reads_the_listing_once_more(second: float) -> None:
    """On waking there is a last look, and who has ended meanwhile has ended."""
    jobs = [Job(f"job-{number}", 0.0, script(2000)) for number in range(10)]
    clock = Sleepy([(second, HOUR)])
    service = Service(clock, jobs, max_rate=50)
    events = run([job.name for job in jobs], [service] * 10, wait_options(timeout=1000), clock)
    assert {event.outcome.verdict for event in events if isinstance(event, Ended)} == {Verdict.COMPLETED}


def test_auto_timeout_of_a_listed_job_ends_its_wait() -> None:
    """Each job's own runtime limit and 30 minutes, although the listing shows neither."""
    script = Timeline([(0, "InProgress", "ModelTuning"), (9000, "Completed", "Completed")], max_runtime=600)
    jobs = [Job(f"job-{number}", 0.0, script) for number in range(8)]
    waited = Fleet(jobs, timeout="auto")
    assert {outcome.verdict for outcome in waited.outcomes.values()} == {Verdict.TIMED_OUT}
    assert all(2399 <= outcome.waited <= 2402 for outcome in waited.outcomes.values())


def test_a_listing_that_is_denied_later_leaves_each_job_to_be_described() -> None:
    """A listing that is denied after a while, on any page, is given up, and that is said once."""

    def partly(service: Service, read: Callable[..., Any], request: Mapping[str, Any]) -> Any:
        if "NextToken" in request and service.clock.monotonic() > 100:
            raise AccessDenied("ListAutoMLJobs was denied")
        return read(request)

    jobs = fleet(150, longest=HOUR / 8)
    waited = Fleet(jobs, service=listing_as(partly))
    assert is_right(waited, jobs)
    assert len(waited.notices) == 1


def test_a_foreign_job_that_only_the_listing_has_time_to_show_is_replaced() -> None:
    """At the deadline the failure of a job of that name is none of the job whose ARN was given."""
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
