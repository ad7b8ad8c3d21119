"""The wait itself, in virtual time: one script of a job drives the synchronous and the asyncio functions."""

import json
import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual import COMPLETED, ENDLESS, FAILED, TRAINING, Sleepy, Wait, both_shells, run, throttle

from automl_waiter import (
    AccessDenied,
    AutoMLWaiterError,
    ConditionNotMet,
    Ended,
    Exponential,
    Fixed,
    InvalidRequest,
    JobDegraded,
    JobFailed,
    JobNotFound,
    JobReplaced,
    JobStopped,
    PhaseAware,
    PollContext,
    Snapshot,
    Transition,
    Verdict,
    WaitCancelled,
    WaitTimeout,
)
from automl_waiter._model.events import event_dict
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.options import WaitOptions, wait_options
from automl_waiter._model.statuses import STATES, SecondaryStatus, State, Status
from automl_waiter._model.tracker import AnomalyKind, Tracker
from automl_waiter._model.verdicts import Part
from automl_waiter.testing import EPOCH, ManualClock, ScriptedJobs, Timeline, simulate


@both_shells
@pytest.mark.parametrize(
    ("timeline", "options", "verdict", "code"),
    [
        (COMPLETED, {}, Verdict.COMPLETED, 0),
        (FAILED, {}, Verdict.FAILED, 10),
        (Timeline([*TRAINING, (90, "Stopping", "Stopping"), (99, "Stopped", "Stopped")]), {}, Verdict.STOPPED, 11),
        (COMPLETED, {"until": "DeployingModel"}, Verdict.CONDITION_NOT_MET, 15),
        (FAILED, {"until": "DeployingModel"}, Verdict.FAILED, 10),
        (COMPLETED, {"until": "ModelTuning"}, Verdict.CONDITION_MET, 0),
        (FAILED, {"until": "Failed"}, Verdict.CONDITION_MET, 0),
        (COMPLETED, {"until": lambda snapshot: snapshot.best_candidate is not None}, Verdict.CONDITION_MET, 0),
        (ENDLESS, {"timeout": 100}, Verdict.TIMED_OUT, 124),
        (ENDLESS, {"timeout": timedelta(seconds=100)}, Verdict.TIMED_OUT, 124),
        (ENDLESS, {"timeout": 100, "stop_on": "timeout"}, Verdict.TIMED_OUT, 124),
        (ENDLESS, {"until": "ModelTuning", "stop_on": ["until"]}, Verdict.CONDITION_MET, 0),
        (None, {}, Verdict.NOT_FOUND, 14),
    ],
)
def test_sync_and_asyncio_reach_the_same_verdict(
    shell: str, timeline: Timeline | None, options: dict[str, Any], verdict: Verdict, code: int
) -> None:
    """One script gives one verdict, one exit code and one list of transitions, with and without asyncio."""
    wait = Wait(timeline, shell=shell, **options)
    assert (wait.outcome.verdict, wait.outcome.exit_code) == (verdict, code)
    assert [event for event in wait.events if isinstance(event, Transition)] == list(wait.outcome.transitions)
    assert wait.outcome.polls == len(wait.gateway.looks)


def test_a_transition_has_the_same_id_whenever_it_is_observed() -> None:
    """Waits that poll at other times agree on the ID; a job that returns to a state makes another transition."""
    timeline = Timeline(
        [(0, "InProgress", "A"), (60, "InProgress", "B"), (120, "InProgress", "A"), (180, "Completed", "Completed")]
    )
    ids = [[each.id for each in Wait(timeline, poll=poll).outcome.transitions] for poll in (7, 11)]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 4


@both_shells
def test_transient_errors_are_retried_counted_and_reported(shell: str) -> None:
    """Failed attempts are retried, reported one by one, and counted separately from polls."""
    wait = Wait(COMPLETED, shell=shell, faults=[None, throttle(), throttle(), None, throttle()], poll=30)
    assert wait.outcome.verdict == Verdict.COMPLETED
    assert wait.outcome.retries == len(wait.told("retry")) == 3
    assert [event["attempt"] for event in wait.told("retry")] == [1, 2, 1]
    assert wait.outcome.polls == len(wait.gateway.looks) - 3
    _, first, second, third, *_ = wait.gateway.looks
    assert 0.5 <= second - first <= 1
    assert 0.5 <= third - second <= 2


@both_shells
def test_a_permanent_error_ends_the_wait_at_once(shell: str) -> None:
    """A denied call is not retried."""
    wait = Wait(COMPLETED, shell=shell, faults=[AccessDenied("no", code="AccessDeniedException")])
    assert (wait.outcome.verdict, wait.outcome.exit_code) == (Verdict.ERROR, 77)
    assert wait.gateway.looks == [0.0]
    with pytest.raises(AccessDenied) as raised:
        wait.outcome.check()
    assert raised.value.outcome is wait.outcome


def test_a_permanent_error_at_the_deadline_is_no_timeout() -> None:
    """A denial of the last poll is reported as such, not as a timeout."""
    assert Wait(ENDLESS, timeout=0, faults=[AccessDenied("no")]).outcome.exit_code == 77


def test_error_budget_ends_a_wait_without_a_good_response() -> None:
    """Calls may keep failing for the length of the error budget, which one good response renews."""
    wait = Wait(ENDLESS, faults=[None, *(throttle() for _ in range(999))], error_budget=120, poll=10)
    assert (wait.outcome.verdict, wait.outcome.exit_code) == (Verdict.ERROR, 69)
    assert wait.seconds == pytest.approx(10 + 120)
    assert "times" in str(wait.outcome.error)
    renewed = [fault for _ in range(40) for fault in (throttle(), throttle(), None)]
    assert Wait(ENDLESS, faults=renewed, error_budget=20, poll=10, timeout=400).outcome.verdict == Verdict.TIMED_OUT


def test_no_retry_goes_past_the_deadline() -> None:
    """While calls fail the deadline still ends the wait, and the last error is reported."""
    wait = Wait(ENDLESS, faults=[throttle() for _ in range(999)], timeout=50)
    assert (wait.outcome.verdict, wait.seconds) == (Verdict.TIMED_OUT, 50)
    assert wait.gateway.looks[-1] == 50
    assert "Rate exceeded" in wait.outcome.summary


@pytest.mark.parametrize(("timeout", "seconds"), [(0, [0]), (90, [0, 30, 60, 90]), (91, [0, 30, 60, 90, 91])])
def test_the_last_poll_is_at_the_deadline(timeout: float, seconds: list[float]) -> None:
    """No sleep goes past the deadline, and no poll is postponed to it."""
    assert Wait(ENDLESS, poll=30, timeout=timeout).gateway.looks == seconds


def test_a_success_at_the_deadline_counts() -> None:
    """A job that the last poll finds completed counts as completed."""
    assert Wait(COMPLETED, poll=250, timeout=600).outcome.verdict == Verdict.COMPLETED


@pytest.mark.large
def test_the_auto_timeout_follows_the_jobs_own_limit() -> None:
    """`auto` is the job's runtime limit plus 30 minutes from its creation, or 72 hours, and is reported."""
    limited = Wait(Timeline(TRAINING, max_runtime=3600), timeout="auto", start=600)
    assert limited.seconds == 3600 + 1800 - 600
    assert "limit" in limited.told("notice")[0]["message"]
    assert Wait(ENDLESS, timeout="auto", start=600).seconds == 72 * 3600 - 600


def test_listed_name_has_ten_seconds_to_appear() -> None:
    """A job that the listing shows is polled for 10 s before it counts as not found."""
    missing = JobNotFound("no job", code="ResourceNotFound")
    assert Wait(COMPLETED, faults=[missing, missing]).outcome.verdict == Verdict.COMPLETED
    never = Wait(COMPLETED, faults=[missing] * 9)
    assert (never.seconds, never.outcome.snapshot) == (10, None)
    assert len(never.told("notice")) == 1


def test_unlisted_name_is_polled_once_more() -> None:
    """A wrong name costs 2 s, not 10, because the listing shows that there is no such job."""
    never = Wait(None)
    assert (never.seconds, never.outcome.polls, never.outcome.verdict) == (2, 2, Verdict.NOT_FOUND)
    assert never.told("notice") == []


def test_mistyped_name_suggests_the_nearest_job() -> None:
    """The listing has a job with a similar name."""
    assert "no AutoML job 'chrun'; did you mean churn?" in str(Wait(ENDLESS, job="chrun").outcome.error)


def test_observed_job_that_disappears_is_not_found_at_once() -> None:
    """A job that was observed has no grace period."""
    missing = JobNotFound("no job", code="ResourceNotFound")
    observed = Wait(COMPLETED, faults=[None, missing], poll=3)
    assert (observed.outcome.verdict, observed.outcome.polls) == (Verdict.NOT_FOUND, 2)


def test_single_poll_has_no_grace() -> None:
    """A single poll neither waits for a name nor polls again."""
    assert Wait(ENDLESS, once=True).outcome.verdict == Verdict.IN_PROGRESS
    assert Wait(None, once=True).seconds == 0


def test_another_job_under_the_name_is_an_error() -> None:
    """A change of CreationTime or ARN means another job; a given ARN is compared from the first poll on."""
    moved = iter([EPOCH, EPOCH + timedelta(days=1)])
    replaced = Wait(ENDLESS, change=lambda response: response | {"CreationTime": next(moved)}, poll=5)
    assert (replaced.outcome.verdict, replaced.outcome.exit_code) == (Verdict.REPLACED, 14)
    elsewhere = Wait(ENDLESS, job="arn:aws:sagemaker:us-east-1:999999999999:automl-job/churn")
    assert elsewhere.outcome.verdict == Verdict.REPLACED
    assert Wait(COMPLETED, job="arn:aws:sagemaker:us-east-1:123456789012:automl-job/CHURN").outcome.exit_code == 0


def test_stop_on_timeout_sends_one_stop_and_waits_for_it() -> None:
    """The stop is sent once, and the wait continues until the job has stopped, at most 10 minutes."""
    wait = Wait(ENDLESS, timeout=100, stop_on="timeout", poll=300)
    assert (wait.gateway.stops, wait.outcome.status) == (1, "Stopped")
    assert wait.seconds <= 100 + 60 + 10
    assert wait.told("stop_requested")[0]["cause"] == "timeout"
    stuck = Wait(ENDLESS, timeout=100, stop_on="timeout", change=lambda r: r | {"AutoMLJobStatus": "InProgress"})
    assert (stuck.seconds, stuck.outcome.verdict) == (700, Verdict.TIMED_OUT)


def test_job_that_completes_while_stopping_is_completed() -> None:
    """A job that completes after a requested stop is completed."""
    late = Timeline([(0, "InProgress", "ModelTuning"), (61, "Completed", "Completed")])
    wait = Wait(late, until="ModelTuning", stop_on="until", change=None)
    assert wait.outcome.verdict == Verdict.CONDITION_MET  # it stopped
    deaf = Wait(late, until="ModelTuning", stop_on="until", is_deaf=True)
    assert deaf.outcome.verdict == Verdict.COMPLETED


def test_refused_stop_is_reported() -> None:
    """A stop that AWS refuses leaves the verdict unchanged, gives a warning, and is in the outcome."""
    refused = AccessDenied("StopAutoMLJob was denied")
    for options in ({"timeout": 50, "stop_on": "timeout"}, {"until": "Starting", "stop_on": "until"}):
        wait = Wait(ENDLESS, stop_fault=refused, **options)
        assert wait.outcome.error is refused
        assert "denied" in wait.told("warning")[0]["message"]


def test_unknown_statuses_are_reported_once_and_end_nothing() -> None:
    """Unknown values are passed on unchanged, reported once each, and do not end the wait."""
    strange = [
        (0, "InProgress", "Dreaming"),
        (50, "Pondering", "ModelTuning"),
        (90, "InProgress", "Dreaming"),
        (120, "InProgress", "Stopped"),
        (150, "InProgress", "ModelTuning"),
        (180, "InProgress", "Starting"),
        (600, "Completed", "Completed"),
    ]
    wait = Wait(Timeline(strange), poll=10)
    assert [event.after for event in wait.outcome.transitions] == [State(*entry[1:]) for entry in strange]
    assert [event["kind"] for event in wait.told("anomaly")] == [
        "unknown_secondary_status",
        "unknown_status",
        "unexpected_state",
        "unexpected_move",
    ]
    assert wait.outcome.verdict == Verdict.COMPLETED


def test_a_stopping_job_may_keep_its_phase() -> None:
    """No warning is given: a recorded job shows Stopping/PreTraining."""
    script = [(0, "InProgress", "PreTraining"), (60, "Stopping", "PreTraining"), (120, "Stopped", "Stopped")]
    wait = Wait(Timeline(script), poll=10)
    assert wait.told("anomaly") == []
    assert wait.outcome.verdict == Verdict.STOPPED


@pytest.mark.parametrize(
    ("change", "required", "shortfalls", "code"),
    [
        ({"BestCandidate": None}, None, ["best-candidate"], 12),
        ({"BestCandidate": None}, "none", ["best-candidate"], 0),
        ({"ModelDeployConfig": {"EndpointName": "e"}}, None, ["endpoint"], 12),
        ({"ModelDeployConfig": {"AutoGenerateEndpointName": False}}, "all", [], 0),
        ({"AutoMLJobSecondaryStatus": "ExplainabilityError"}, None, ["explainability"], 0),
        ({"AutoMLJobSecondaryStatus": "ModelInsightsError"}, ["insights"], ["insights"], 12),
        ({"PartialFailureReasons": [{"PartialFailureMessage": "x"}]}, "all", ["no-partial-failures"], 12),
        ({"PartialFailureReasons": [{"PartialFailureMessage": ""}]}, "all", [], 0),
        (
            {
                "BestCandidate": None,
                "AutoMLProblemTypeConfig": {"TabularJobConfig": {"GenerateCandidateDefinitionsOnly": True}},
            },
            "all",
            [],
            0,
        ),
    ],
)
def test_a_completed_job_can_be_degraded(
    change: dict[str, Any], required: Any, shortfalls: list[str], code: int
) -> None:
    """Each missing output is named; it decides the exit code if it was required, and gives a warning if not."""
    options = {} if required is None else {"require": required}
    done = Timeline([(0, "Completed", "Completed")])
    wait = Wait(done, change=lambda response: response | change, **options)
    assert list(wait.outcome.shortfalls) == shortfalls
    assert wait.outcome.exit_code == code
    assert wait.outcome.verdict == (Verdict.DEGRADED if shortfalls else Verdict.COMPLETED)
    assert len(wait.told("warning")) == (1 if shortfalls and code == 0 else 0)
    assert wait.outcome.summary.startswith("churn: completed")


@pytest.mark.parametrize(
    ("wait", "error"),
    [
        (lambda: Wait(FAILED), JobFailed),
        (lambda: Wait(Timeline([(0, "Stopped", "Stopped")])), JobStopped),
        (lambda: Wait(COMPLETED, until="DeployingModel"), ConditionNotMet),
        (lambda: Wait(ENDLESS, timeout=9), WaitTimeout),
        (lambda: Wait(ENDLESS, cancel_at=9), WaitCancelled),
        (lambda: Wait(None), JobNotFound),
        (lambda: Wait(COMPLETED, change=lambda response: response | {"BestCandidate": None}), JobDegraded),
        (lambda: Wait(ENDLESS, job="arn:aws:sagemaker:us-east-1:999999999999:automl-job/churn"), JobReplaced),
    ],
)
def test_check_raises_the_error_of_the_verdict(wait: Callable[[], Wait], error: type[AutoMLWaiterError]) -> None:
    """`check` raises the class of the verdict, with the outcome; both survive pickling."""
    outcome = wait().outcome
    with pytest.raises(error) as raised:
        outcome.check()
    copy = pickle.loads(pickle.dumps(raised.value))
    assert copy.outcome.to_dict() == outcome.to_dict()


def test_check_returns_a_success() -> None:
    """`check` returns the outcome of a job that has every required output."""
    outcome = Wait(COMPLETED).outcome
    assert outcome.check() is outcome
    assert outcome.best_candidate is not None
    assert outcome.best_candidate.objective is not None
    assert outcome.best_candidate.objective.value == 0.91


def test_cancelled_wait_returns_the_outcome_so_far() -> None:
    """A cancel ends the wait at once, also during a sleep, with what was observed."""
    wait = Wait(ENDLESS, cancel_at=333)
    assert (wait.outcome.verdict, wait.outcome.exit_code, wait.seconds) == (Verdict.CANCELLED, 130, 333)
    assert wait.outcome.waited == 333
    assert wait.outcome.status == "InProgress"


def test_a_signal_gives_its_own_exit_code() -> None:
    """A wait that a signal ended is cancelled, with 128 plus the signal's number."""
    outcome = Wait(ENDLESS, clock=Sleepy(signal_at=5, signum=15)).outcome
    assert (outcome.verdict, outcome.exit_code) == (Verdict.CANCELLED, 143)


def test_a_deciding_job_leaves_the_others_in_progress() -> None:
    """When one job decides for all, the waits for the others end with their current states."""
    clock = ManualClock()
    jobs = ScriptedJobs(clock)
    jobs.add("done", COMPLETED)
    jobs.add("running", ENDLESS)
    events = run(["running", "done"], [jobs, jobs], WaitOptions(), clock, lambda outcome: True)
    ends = [event.outcome for event in events if isinstance(event, Ended)]
    assert [(outcome.job, outcome.exit_code) for outcome in ends] == [("done", 0), ("running", 75)]


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        (lambda: Wait(COMPLETED), "churn: completed"),
        (lambda: Wait(FAILED), "churn: failed: no data"),
        (lambda: Wait(Timeline([(0, "Stopped", "Stopped")])), "churn: stopped"),
        (lambda: Wait(COMPLETED, until="ModelTuning"), "churn: condition met (InProgress/ModelTuning)"),
        (lambda: Wait(COMPLETED, until="DeployingModel"), "churn: completed before the condition was met"),
        (lambda: Wait(ENDLESS, timeout=90), "churn: timed out after 1m 30s; the job is InProgress/ModelTuning"),
        (
            lambda: Wait(ENDLESS, cancel_at=90),
            "churn: wait interrupted after 1m 30s; the job is InProgress/ModelTuning",
        ),
        (lambda: Wait(ENDLESS, once=True), "churn: still in progress (InProgress/Starting)"),
        (lambda: Wait(ENDLESS, faults=[InvalidRequest("no")]), "churn: no"),
    ],
)
def test_outcome_has_a_one_line_summary(wait: Callable[[], Wait], words: str) -> None:
    """The summary is for people."""
    assert wait().outcome.summary == words


def test_every_event_has_a_json_form() -> None:
    """Each kind of event is strict JSON, with its name, its time and the job's name."""
    strange = Timeline([(0, "InProgress", "Dreaming"), (60, "InProgress", "ModelTuning")])
    wait = Wait(strange, timeout="auto", until="ModelTuning", stop_on="until", faults=[None, throttle()])
    documents = [event_dict(event) for event in wait.events]
    assert {event["event"] for event in documents} == {
        *("transition", "anomaly", "poll", "retry", "notice", "stop_requested", "outcome")
    }
    for event in documents:
        assert event["job_name"] == "churn"
        assert event["at"].endswith("Z")
        json.dumps(event, allow_nan=False)
    assert wait.told("poll")[0]["state"] == {"status": "InProgress", "secondary_status": "Dreaming"}


def test_invalid_request_is_2() -> None:
    """A request that AWS rejects as invalid ends the wait at once with the exit code of bad usage."""
    assert Wait(ENDLESS, faults=[InvalidRequest("no")]).outcome.exit_code == 2


def test_throttling_slows_polling_down_and_recovers() -> None:
    """After throttled polls the default policy waits longer, and gradually returns to its intervals."""
    calm = Wait(ENDLESS, timeout=2000).outcome.polls
    faults: list[Exception | None] = [fault for _ in range(200) for fault in (throttle(), None)]
    assert Wait(ENDLESS, timeout=2000, faults=faults).outcome.polls < calm / 2


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": -1},
        {"timeout": "soon"},
        {"poll": 0},
        {"poll": -5},
        {"poll": object()},
        {"poll": "often"},
        {"poll": PhaseAware},
        {"poll": 0.05},
        {"until": 5},
        {"require": None},
        {"require": [5]},
        {"stop_on": None},
        {"max_rate": "5"},
        {"error_budget": None},
        {"until": "Complet"},
        {"until": "a["},
        {"until": "BestCandidate.Nam"},
        {"until": "PartialFailureReasons[?Message=='x']"},
        {"until": "[" * 3000 + "]" * 3000},
        {"require": ["model"]},
        {"stop_on": "end"},
        {"stop_on": "until"},
        {"stop_on": "timeout"},
        {"error_budget": float("nan")},
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any]) -> None:
    """Invalid options are refused before the first call, in one line."""
    with pytest.raises(InvalidRequest) as refused:
        wait_options(**options)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("AutoMLJobStatus == 'Completed'", True),
        ("BestCandidate.FinalAutoMLJobObjectiveMetric.Value > `0.9`", True),
        ("BestCandidate.FinalAutoMLJobObjectiveMetric.Value > `0.95`", False),
        ("length(PartialFailureReasons) > `0`", False),
        ("PartialFailureReasons", False),
        ("`0`", True),
        ("''", False),
        ("AutoMLJobInputDataConfig[?ChannelType=='training'] | [0]", True),
        ("BestCandidate.InferenceContainers[0].Environment.SAGEMAKER_PROGRAM == 'sagemaker_serve'", True),
        ("BestCandidate.InferenceContainerDefinitions.CPU[0].Image", False),
        ("EndTime > '2026'", True),
        ("AutoMLJobInputDataConfig[:1]", True),
        ("AutoMLJobInputDataConfig[::-1].ChannelType | [0] == 'training'", True),
        ("PartialFailureReasons[1:]", False),
        ("ceil(`NaN`)", False),
        ("floor(`1e400`)", False),
    ],
)
def test_until_is_jmespath_over_the_response(expression: str, holds: bool) -> None:
    """An expression is met if JMESPath calls its result true; a function of null is not met."""
    done = Timeline([(0, "Completed", "Completed")])
    wait = Wait(done, until=expression)
    assert wait.outcome.verdict == (Verdict.CONDITION_MET if holds else Verdict.CONDITION_NOT_MET)


def context(snapshot: Snapshot, **changes: Any) -> PollContext:
    given_ = {"polls": 2, "elapsed": 0.0, "phase_age": 0.0, "time_left": None, "slowdown": 1.0, "random": lambda: 0.5}
    return PollContext(snapshot=snapshot, **(given_ | changes))


def snapshot_in(phase: str, status: str = "InProgress", **timeline: Any) -> Snapshot:
    script = Timeline([(0, status, phase)], **timeline)
    return Snapshot(script.response(0, name="a", created=EPOCH, arn="arn"))


@pytest.mark.parametrize(("random", "delays"), [(0.0, [2, 2, 2, 2]), (1.0, [2, 4, 8, 16])])
def test_exponential_is_smithys_backoff(random: float, delays: list[float]) -> None:
    """Exponential draws uniformly from min to min(max, min times 2^(n-1)), also jittered at its ceiling."""
    policy, snapshot = Exponential(2, 120), snapshot_in("ModelTuning")
    assert [policy.next_delay(context(snapshot, polls=n, random=lambda: random)) for n in range(1, 5)] == delays
    late = policy.next_delay(context(snapshot, polls=5000, random=lambda: 0.5))
    assert late == 61


@pytest.mark.parametrize(
    ("phase", "changes", "timeline", "delay"),
    [
        # Preparing and training, and what is unknown: the promise, shortened by half of a tenth.
        ("Starting", {"elapsed": 10}, {}, 4.75),
        ("AnalyzingData", {"elapsed": 200}, {}, 9.5),
        ("FeatureEngineering", {"elapsed": 9000}, {}, 57),
        ("PreTraining", {"elapsed": 9000, "phase_age": 600}, {}, 57),
        ("Dreaming", {"elapsed": 600}, {}, 28.5),
        ("TrainingModels", {"elapsed": 90000, "phase_age": 9000}, {"problem_type": "TextGeneration"}, 57),
        ("ModelTuning", {"elapsed": 90000, "phase_age": 9000, "slowdown": 4}, {}, 228),
        # Training has begun within ten minutes: 45 s at most.
        ("ModelTuning", {"elapsed": 1500, "phase_age": 599}, {}, 0.95 * 45),
        ("ModelTuning", {"elapsed": 800, "phase_age": 599}, {}, 38),
        # Near the end: half the square root of the phase's age, and 2 s at least.
        ("MergingAutoMLTaskReports", {"elapsed": 9000, "phase_age": 400}, {}, 9.5),
        ("GeneratingExplainabilityReport", {"elapsed": 9000, "phase_age": 400}, {}, 9.5),
        ("DeployingModel", {"elapsed": 9000, "phase_age": 400}, {"deploy": True}, 9.5),
        ("ExplainabilityError", {"elapsed": 9000, "phase_age": 9}, {}, 1.9),
        # A report has just started: half of the rest of 4.5 minutes, or of a 24th of the job's age.
        ("MergingAutoMLTaskReports", {"elapsed": 9000, "phase_age": 0}, {}, 57),
        ("GeneratingExplainabilityReport", {"elapsed": 9000, "phase_age": 170}, {}, 47.5),
        ("MergingAutoMLTaskReports", {"elapsed": 2400, "phase_age": 20}, {}, 38),
        # A deployment follows the report.
        ("MergingAutoMLTaskReports", {"elapsed": 9000, "phase_age": 400}, {"deploy": True}, 57),
        # The job's own limit.
        ("AnalyzingData", {"elapsed": 3550}, {"max_runtime": 3600}, 52),
        ("AnalyzingData", {"elapsed": 3540}, {"max_runtime": 3600}, 57),
        ("AnalyzingData", {"elapsed": 3599, "polls": 1, "random": lambda: 0.0}, {"max_runtime": 3600}, 3),
        ("AnalyzingData", {"elapsed": 3610}, {"max_runtime": 3600}, 5),
        ("AnalyzingData", {"elapsed": 3601}, {"max_runtime": 3600}, 2),
    ],
)
def test_the_default_policy_follows_the_phase(
    phase: str, changes: dict[str, Any], timeline: dict[str, Any], delay: float
) -> None:
    """The default polls at its promised interval in training, more often near the end, and just after the limit."""
    assert PhaseAware().next_delay(context(snapshot_in(phase, **timeline), **changes)) == pytest.approx(delay)


def test_stopping_job_is_polled_often_also_with_a_deployment() -> None:
    """No deployment follows a stop, which may take only seconds."""
    stopping = snapshot_in("Stopping", "Stopping", deploy=True)
    delays = [PhaseAware().next_delay(context(stopping, elapsed=9000, phase_age=age)) for age in (0, 400)]
    assert delays == pytest.approx([1.9, 9.5])


@pytest.mark.parametrize(("random", "delay"), [(0.0, 60), (0.25, 45), (0.75, 15)])
def test_first_delays_of_waits_that_start_together_differ(random: float, delay: float) -> None:
    """The first delay of the default is a random part of its value."""
    first = context(snapshot_in("AnalyzingData"), elapsed=9000, polls=1, random=lambda: random)
    assert PhaseAware().next_delay(first) == delay


@given(
    st.floats(0, 1e7),
    st.floats(0, 1e7),
    st.integers(1, 3),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.integers(600, 10**7),
    st.booleans(),
    st.sampled_from(sorted(STATES)),
)
def test_no_delay_of_the_default_is_longer_than_its_promise(
    elapsed: float, age: float, polls: int, random: float, limit: int | None, deploy: bool, state: State
) -> None:
    """It is at most 5 s, or a twentieth of the job's age, or a minute; from the second on, at least 2 s less a tenth."""
    snapshot = snapshot_in(state.secondary_status, state.status, max_runtime=limit, deploy=deploy)
    changes: dict[str, Any] = {"elapsed": elapsed, "phase_age": age, "polls": polls, "random": lambda: random}
    delay = PhaseAware().next_delay(context(snapshot, **changes))
    assert 0 < delay <= min(60, max(5, elapsed / 20))
    assert polls == 1 or delay >= 1.8


@pytest.mark.large
@given(
    st.lists(st.floats(1, 5000), min_size=2, max_size=6),
    st.floats(0, 4000),
    st.none() | st.integers(60, 9000),
    st.integers(0, 99),
)
def test_a_wait_returns_within_the_promise(durations: list[float], start: float, limit: int | None, seed: int) -> None:
    """Whenever the wait starts, the lag is at most 5 s, a twentieth of the job's age, or a minute."""
    phases = (
        "Starting",
        "AnalyzingData",
        "ModelTuning",
        "GeneratingExplainabilityReport",
        "DeployingModel",
        "Dreaming",
    )
    starts = [sum(durations[:index]) for index in range(len(durations))]
    end = sum(durations) if limit is None else min(sum(durations), limit)
    entries = [(at, "InProgress", phase) for at, phase in zip(starts, phases, strict=False) if at < end]
    timeline = Timeline([*entries, (end, "Completed", "Completed")], max_runtime=limit)
    lag = simulate(timeline, start=start, seed=seed).lag
    assert lag is not None
    assert lag <= min(60, max(5, end / 20)) + 0.001 or start >= end


def test_fixed_is_exact_unless_it_has_jitter() -> None:
    """Fixed(30) polls every 30 s, from poll to poll; with jitter the interval varies by that share."""
    assert Wait(ENDLESS, poll=Fixed(timedelta(seconds=30)), timeout=130).gateway.looks == [0, 30, 60, 90, 120, 130]
    assert Fixed(30, jitter=0.1).next_delay(context(snapshot_in("ModelTuning"), random=lambda: 0.0)) == 27
    for make in (lambda: Fixed(0), lambda: Fixed(30, jitter=1), lambda: Exponential(0), lambda: Exponential(9, 3)):
        with pytest.raises(InvalidRequest):
            make()


def test_users_policy_sets_the_delay_and_an_invalid_delay_names_it() -> None:
    """A user's policy decides each delay; an invalid delay raises an error that names the policy."""

    class Mine:
        def __init__(self, delay: float) -> None:
            self.delay = delay

        def next_delay(self, context: PollContext, /) -> float:
            assert context.time_left is not None
            return self.delay

    assert Wait(ENDLESS, poll=Mine(40), timeout=100).gateway.looks == [0, 40, 80, 100]
    nonsense = Wait(ENDLESS, poll=Mine(0), timeout=100).outcome
    assert nonsense.exit_code == 2
    with pytest.raises(ValueError, match="Mine"):
        nonsense.check()


STATUS = st.sampled_from([*Status, "Pondering"])
SECONDARY = st.sampled_from([*SecondaryStatus, "Dreaming"])


@given(st.lists(st.tuples(STATUS, SECONDARY), min_size=1, max_size=20))
def test_the_tracker_loses_and_repeats_no_transition(states: list[tuple[str, str]]) -> None:
    """Whatever a job shows, each transition is reported once, in order, and a terminal status is final."""
    tracker = Tracker(job_ref("a"))
    reported: list[State] = []
    anomalies = []
    expected: list[tuple[str, str]] = []
    for minute, (status, secondary) in enumerate(states):
        raw = {"AutoMLJobName": "a", "AutoMLJobArn": "arn", "CreationTime": EPOCH}
        snapshot = Snapshot(raw | {"AutoMLJobStatus": str(status), "AutoMLJobSecondaryStatus": str(secondary)})
        observation = tracker.observe(snapshot, EPOCH + timedelta(minutes=minute))
        if observation.transition:
            assert observation.transition.before == (reported[-1] if reported else None)
            reported.append(observation.transition.after)
        anomalies += [(anomaly.kind, anomaly.message) for anomaly in observation.anomalies]
        ended = bool(expected) and expected[-1][0] in ("Completed", "Failed", "Stopped")
        if not ended and (not expected or expected[-1] != (status, secondary)):
            expected.append((status, secondary))
        assert observation.is_terminal == (expected[-1][0] in ("Completed", "Failed", "Stopped"))
    assert reported == expected
    assert tracker.transitions[-1].after == expected[-1]
    assert len(anomalies) == len(set(anomalies))
    unknown = {kind for kind, _ in anomalies}
    assert (AnomalyKind.UNKNOWN_STATUS in unknown) == any(status == "Pondering" for status, _ in expected)


def test_a_simulated_job_that_never_ends_needs_a_timeout() -> None:
    """A simulation without an end and a timeout is refused."""
    with pytest.raises(ValueError, match="timeout"):
        simulate(ENDLESS)
    assert simulate(ENDLESS, timeout=60).lag is None


@pytest.mark.large
def test_simulation_of_three_days_is_fast() -> None:
    """A job of 72 h takes few polls, and its lag is that of the last delay."""
    result = simulate(Timeline([(0, "InProgress", "ModelTuning"), (259200, "Completed", "Completed")]), start=100)
    assert result.outcome.waited == pytest.approx(259100 + (result.lag or 0))
    assert 259200 / 60 < result.calls < 5000


@pytest.mark.parametrize(
    "entries",
    [[], [(-1, "InProgress", "Starting")], [(5, "a", "b"), (5, "c", "d")], [(0, "Failed", "Failed"), (1, "a", "b")]],
)
def test_invalid_timeline_is_refused(entries: list[tuple[float, str, str]]) -> None:
    """A timeline has ordered entries and one end."""
    with pytest.raises(ValueError, match="timeline"):
        Timeline(entries)
    with pytest.raises(ValueError, match="problem type"):
        Timeline([(0, "a", "b")], problem_type="Chess")


def test_several_jobs_are_waited_for_in_one_thread() -> None:
    """Each of several jobs gets its outcome, in the order of their ends, in the caller's thread alone."""
    clock = ManualClock()
    jobs = ScriptedJobs(clock)
    names = [f"job-{index}" for index in range(20)]
    for index, name in enumerate(names):
        jobs.add(name, Timeline([(0, "InProgress", "ModelTuning"), (1000 - 40 * index, "Completed", "Completed")]))
    events = run(names, [jobs] * 20, wait_options(poll=1), clock)
    ended = [event.outcome.job for event in events if isinstance(event, Ended)]
    assert ended == names[::-1]


def test_shortfalls_are_plain_strings() -> None:
    """JSON and flags use the same strings."""
    assert [str(part) for part in Part] == [
        "best-candidate",
        "endpoint",
        "explainability",
        "insights",
        "no-partial-failures",
    ]
