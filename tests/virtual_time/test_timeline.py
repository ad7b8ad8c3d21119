"""A scripted job on its own."""

import pickle
import timeit
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from automl_waiter._model.statuses import State
from automl_waiter.sandbox.paging import page_of
from automl_waiter.sandbox.scenarios import SCENARIOS
from automl_waiter.sandbox.timeline import PROBLEM_TYPES, Timeline

CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ARN = "arn:aws-cn:sagemaker:cn-north-1:123456789012:automl-job/churn"
JOB = Timeline(
    [(0, "InProgress", "Starting"), (60, "InProgress", "ModelTuning"), (600, "Completed", "Completed")],
    problem_type="Tabular",
)


def response(timeline: Timeline, elapsed: float, speed: float = 1.0) -> dict[str, Any]:
    return timeline.response(elapsed, name="Churn", created=CREATED, arn=ARN, speed=speed)


def after(seconds: float) -> datetime:
    return CREATED + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("entries", "problem_type", "word"),
    [
        ([], None, "at least one"),
        ([(-1, "InProgress", "Starting")], None, "ascend"),
        ([(0, "InProgress", "Starting"), (0, "InProgress", "ModelTuning")], None, "ascend"),
        ([(float("nan"), "InProgress", "Starting")], None, "ascend"),
        ([(0, "InProgress", "Starting"), (float("inf"), "Completed", "Completed")], None, "ascend"),
        ([(0, "Failed", "Failed"), (5, "Completed", "Completed")], None, "terminal"),
        ([(0, "InProgress", "Starting")], "Tabulated", "'Tabulated'"),
    ],
)
def test_an_impossible_script_is_refused(entries: Any, problem_type: str | None, word: str) -> None:
    """A script that no job can follow raises a ValueError of one line that names the error."""
    with pytest.raises(ValueError, match=word) as raised:
        Timeline(entries, problem_type=problem_type)
    assert "\n" not in str(raised.value)


def test_entry_applies_from_its_second_on() -> None:
    """A job is in an entry's state from its second to the next entry's; the first applies from the creation on."""
    late = Timeline([(50, "InProgress", "Starting"), (60, "InProgress", "ModelTuning")])
    shown = [late.state_at(second).secondary_status for second in (0, 50, 59.999, 60, 1e9)]
    assert shown == ["Starting", "Starting", "Starting", "ModelTuning", "ModelTuning"]
    assert (JOB.end, late.end) == (600, None)


@pytest.mark.parametrize("elapsed", [0, 49, 51, 70])
def test_listing_has_the_best_candidate_before_the_first_entry(elapsed: float) -> None:
    """The listing has the candidate that the describe names, at any age."""
    late = Timeline([(50, "InProgress", "GeneratingExplainabilityReport"), (60, "Completed", "Completed")])
    listed = late.candidates(elapsed, name="Churn", created=CREATED, arn=ARN)
    assert [one["CandidateName"] for one in listed] == ["Churn-001"]
    assert response(late, elapsed)["BestCandidate"]["CandidateName"] == "Churn-001"


def test_script_is_hashable_comparable_and_picklable() -> None:
    """Lists and tuples make equal scripts."""
    listed = Timeline([list(entry) for entry in JOB.entries], problem_type="Tabular")  # type: ignore[misc]
    assert {listed, JOB, pickle.loads(pickle.dumps(JOB))} == {JOB}


def test_stop_replaces_the_rest_of_the_script() -> None:
    """A job is Stopping from the call on and Stopped `after` seconds later, whatever its script."""
    stopped = JOB.stopped_at(100, after=30)
    assert stopped.state_at(99) == State("InProgress", "ModelTuning")
    assert stopped.state_at(100) == State("Stopping", "Stopping")
    assert (stopped.end, stopped.state_at(700)) == (130, State("Stopped", "Stopped"))


def test_stop_of_an_ended_or_stopping_job_changes_nothing() -> None:
    """A stop applies once, and only to a job in progress."""
    assert JOB.stopped_at(600) is JOB
    stopping = JOB.stopped_at(100)
    assert stopping.stopped_at(120) is stopping


def test_times_follow_the_last_change_and_the_speed() -> None:
    """LastModifiedTime is the last change's, EndTime is 35 ms before it at the end; both follow the speed."""
    running = response(JOB, 300, speed=10)
    assert running["LastModifiedTime"] == after(6)
    assert "EndTime" not in running
    ended = response(JOB, 9000, speed=10)
    assert (ended["EndTime"], ended["LastModifiedTime"]) == (after(60), after(60.035))


def test_no_time_is_in_the_future() -> None:
    """Before its first entry's second a job's LastModifiedTime is its creation."""
    late = Timeline([(50, "InProgress", "Starting")])
    assert response(late, 10)["LastModifiedTime"] == CREATED


def test_only_a_failed_job_has_a_reason() -> None:
    """A job has a FailureReason from its status Failed on; a stopped job never has one."""
    entries = [(0, "InProgress", "AnalyzingData"), (9, "Failed", "Failed")]
    failing = Timeline(entries, failure_reason="no such column")
    assert "FailureReason" not in response(failing, 8)
    assert response(failing, 9)["FailureReason"] == "no such column"
    assert "FailureReason" not in response(failing.stopped_at(5), 1000)


def test_a_completed_job_has_a_best_candidate_unless_it_only_made_definitions() -> None:
    """Completed brings a BestCandidate of the job's account and region, unless only definitions were generated."""
    assert "BestCandidate" not in response(JOB, 599)
    [step] = response(JOB, 600)["BestCandidate"]["CandidateSteps"]
    assert step["CandidateStepArn"] == "arn:aws-cn:sagemaker:cn-north-1:123456789012:training-job/churn-001"
    definitions = Timeline([(0, "Completed", "CandidateDefinitionsGenerated")])
    assert "BestCandidate" not in response(definitions, 1)


@pytest.mark.parametrize("problem_type", PROBLEM_TYPES)
def test_response_has_the_problem_type_and_its_limits(problem_type: str) -> None:
    """The problem type names its config, which has the limits, if any: a V2 job has no resolved attributes."""
    entries = [(0, "InProgress", "Starting")]
    limited = response(Timeline(entries, problem_type=problem_type, max_runtime=3600, max_candidates=8), 1)
    criteria = {"MaxAutoMLJobRuntimeInSeconds": 3600, "MaxCandidates": 8}
    assert limited["AutoMLProblemTypeConfigName"] == problem_type
    assert limited["AutoMLProblemTypeConfig"][f"{problem_type}JobConfig"]["CompletionCriteria"] == criteria
    assert "ResolvedAttributes" not in limited
    free = response(Timeline(entries, problem_type=problem_type), 1)
    assert "CompletionCriteria" not in str(free)


def test_an_endpoint_has_a_name_only_when_it_was_deployed() -> None:
    """The endpoint name is there once the job Completed, unless deployment failed, timed out or was not requested."""
    deployed = Timeline(JOB.entries, deploy=True)
    assert "EndpointName" not in response(deployed, 599)["ModelDeployResult"]
    assert response(deployed, 600)["ModelDeployResult"] == {"EndpointName": "Churn-endpoint"}
    assert "EndpointName" not in response(SCENARIOS["deploy-error"], 9000)["ModelDeployResult"]
    reached = replace(SCENARIOS["runtime-reached"], deploy=True)
    assert response(reached, 9000)["ModelDeployResult"] == {}
    assert "ModelDeployConfig" not in response(JOB, 600)


def test_number_of_candidates_keeps_to_the_limit() -> None:
    """The best one is among them."""
    long = [(0, "InProgress", "ModelTuning"), (600, "Completed", "Completed")]
    for most, names in ((1, ["a-001"]), (3, ["a-008", "a-006", "a-001"])):
        listed = Timeline(long, max_candidates=most).candidates(600, name="a", created=CREATED, arn=ARN)
        assert [one["CandidateName"] for one in listed] == names


def test_changing_a_response_does_not_change_the_next_one() -> None:
    """A response shares no mutable member with the next one."""
    response(JOB, 5).clear()
    assert response(JOB, 5)["AutoMLJobStatus"] == "InProgress"


def test_repeated_describe_of_a_state_is_fast() -> None:
    """A describe of an unchanged state takes microseconds, so a simulation of days takes little time."""
    response(JOB, 300)
    assert min(timeit.repeat(lambda: response(JOB, 300), number=1000, repeat=5)) / 1000 < 50e-6


def test_the_scenarios_are_short_jobs_that_end() -> None:
    """Each scenario ends within two and a half hours of job time."""
    assert {name for name, script in SCENARIOS.items() if script.end is None or script.end > 9000} == set()


def test_unknown_next_token_is_refused() -> None:
    """A listing continues only with the token of an earlier page."""
    with pytest.raises(ValueError, match="token"):
        page_of([], {"NextToken": "x"})


def test_a_listing_is_filtered_by_status_and_time() -> None:
    """A page has only jobs of the requested status, created or changed between the instants."""
    early, late = (
        {
            "AutoMLJobName": name,
            "AutoMLJobStatus": status,
            "CreationTime": CREATED + timedelta(hours=hour),
            "LastModifiedTime": CREATED + timedelta(hours=hour + 1),
        }
        for name, status, hour in (("a", "Failed", 0), ("b", "InProgress", 2))
    )
    middle = CREATED + timedelta(hours=1.5)
    for only_early, only_late in (
        ({"StatusEquals": "Failed"}, {"StatusEquals": "InProgress"}),
        ({"CreationTimeBefore": middle}, {"CreationTimeAfter": middle}),
        ({"LastModifiedTimeBefore": middle}, {"LastModifiedTimeAfter": middle}),
    ):
        assert page_of([early, late], only_early) == {"AutoMLJobSummaries": [early]}
        assert page_of([early, late], only_late) == {"AutoMLJobSummaries": [late]}


def test_next_token_continues_the_listing() -> None:
    """A page has a token if more jobs follow, and the last page has none."""
    jobs = [{"AutoMLJobName": name, "AutoMLJobStatus": "Failed"} for name in "ab"]
    first = page_of(jobs, {"MaxResults": 1})
    assert first["AutoMLJobSummaries"] == jobs[1:]
    assert page_of(jobs, {"MaxResults": 1, "NextToken": first["NextToken"]}) == {"AutoMLJobSummaries": jobs[:1]}
