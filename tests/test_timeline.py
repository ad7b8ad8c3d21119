"""A scripted job, by itself."""

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
    """A script that no job can follow is a ValueError of one line that names what is wrong."""
    with pytest.raises(ValueError, match=word) as raised:
        Timeline(entries, problem_type=problem_type)
    assert "\n" not in str(raised.value)


def test_an_entry_holds_from_its_second_on() -> None:
    """A job is in an entry's state from that second to the next entry's, and in the first one's from its creation on."""
    late = Timeline([(50, "InProgress", "Starting"), (60, "InProgress", "ModelTuning")])
    shown = [late.state_at(second).secondary_status for second in (0, 50, 59.999, 60, 1e9)]
    assert shown == ["Starting", "Starting", "Starting", "ModelTuning", "ModelTuning"]
    assert (JOB.end, late.end) == (600, None)


@pytest.mark.parametrize("elapsed", [0, 49, 51, 70])
def test_a_job_whose_first_entry_is_late_has_a_best_candidate_from_its_creation_on(elapsed: float) -> None:
    """The listing has the candidate that the describe names, at any age."""
    late = Timeline([(50, "InProgress", "GeneratingExplainabilityReport"), (60, "Completed", "Completed")])
    listed = late.candidates(elapsed, name="Churn", created=CREATED, arn=ARN)
    assert [one["CandidateName"] for one in listed] == ["Churn-001"]
    assert response(late, elapsed)["BestCandidate"]["CandidateName"] == "Churn-001"


def test_a_script_is_a_value() -> None:
    """Lists and tuples make equal, hashable scripts, and a script survives pickling."""
    listed = Timeline([list(entry) for entry in JOB.entries], problem_type="Tabular")  # type: ignore[misc]
    assert {listed, JOB, pickle.loads(pickle.dumps(JOB))} == {JOB}


def test_a_stop_takes_the_place_of_what_was_to_come() -> None:
    """A stopped job is Stopping from the call on and Stopped `after` seconds later, whatever its script had planned."""
    stopped = JOB.stopped_at(100, after=30)
    assert stopped.state_at(99) == State("InProgress", "ModelTuning")
    assert stopped.state_at(100) == State("Stopping", "Stopping")
    assert (stopped.end, stopped.state_at(700)) == (130, State("Stopped", "Stopped"))


def test_a_stop_comes_too_late_for_an_end_or_another_stop() -> None:
    """Stopping a job that has ended, or is stopping, changes nothing."""
    assert JOB.stopped_at(600) is JOB
    stopping = JOB.stopped_at(100)
    assert stopping.stopped_at(120) is stopping


def test_the_times_are_those_of_the_last_change_played_at_the_speed() -> None:
    """LastModifiedTime is the last change's, EndTime comes with the end, 35 ms earlier; both follow the speed."""
    running = response(JOB, 300, speed=10)
    assert running["LastModifiedTime"] == after(6)
    assert "EndTime" not in running
    ended = response(JOB, 9000, speed=10)
    assert (ended["EndTime"], ended["LastModifiedTime"]) == (after(60), after(60.035))


def test_no_time_lies_ahead() -> None:
    """Before its first entry's second a job was modified when it was created, not in the future."""
    late = Timeline([(50, "InProgress", "Starting")])
    assert response(late, 10)["LastModifiedTime"] == CREATED


def test_only_a_failed_job_has_a_reason() -> None:
    """FailureReason is there once a job has Failed and not before; a stopped job never has one."""
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
def test_the_problem_type_and_its_limit_show(problem_type: str) -> None:
    """The problem type names its config, and the limits, if any, stand there: a V2 job has no resolved attributes."""
    entries = [(0, "InProgress", "Starting")]
    limited = response(Timeline(entries, problem_type=problem_type, max_runtime=3600, max_candidates=8), 1)
    criteria = {"MaxAutoMLJobRuntimeInSeconds": 3600, "MaxCandidates": 8}
    assert limited["AutoMLProblemTypeConfigName"] == problem_type
    assert limited["AutoMLProblemTypeConfig"][f"{problem_type}JobConfig"]["CompletionCriteria"] == criteria
    assert "ResolvedAttributes" not in limited
    free = response(Timeline(entries, problem_type=problem_type), 1)
    assert "CompletionCriteria" not in str(free)


def test_an_endpoint_has_a_name_only_when_it_was_deployed() -> None:
    """The endpoint's name is there once the job Completed, unless its deployment failed, had no time, or was not wanted."""
    deployed = Timeline(JOB.entries, deploy=True)
    assert "EndpointName" not in response(deployed, 599)["ModelDeployResult"]
    assert response(deployed, 600)["ModelDeployResult"] == {"EndpointName": "Churn-endpoint"}
    assert "EndpointName" not in response(SCENARIOS["deploy-error"], 9000)["ModelDeployResult"]
    reached = replace(SCENARIOS["runtime-reached"], deploy=True)
    assert response(reached, 9000)["ModelDeployResult"] == {}
    assert "ModelDeployConfig" not in response(JOB, 600)


def test_a_job_trains_no_more_candidates_than_it_may() -> None:
    """The best one is among them."""
    long = [(0, "InProgress", "ModelTuning"), (600, "Completed", "Completed")]
    for most, names in ((1, ["a-001"]), (3, ["a-008", "a-006", "a-001"])):
        listed = Timeline(long, max_candidates=most).candidates(600, name="a", created=CREATED, arn=ARN)
        assert [one["CandidateName"] for one in listed] == names


def test_a_response_is_its_callers_to_change() -> None:
    """What a caller does to a response's members does not show in the next response."""
    response(JOB, 5).clear()
    assert response(JOB, 5)["AutoMLJobStatus"] == "InProgress"


def test_a_second_look_at_a_state_is_cheap() -> None:
    """A look at a state that was seen before takes some microseconds, so that a job of days is simulated at once."""
    response(JOB, 300)
    assert min(timeit.repeat(lambda: response(JOB, 300), number=1000, repeat=5)) / 1000 < 50e-6


def test_the_scenarios_are_short_jobs_that_end() -> None:
    """Each scenario ends within two and a half hours of job time."""
    assert {name for name, script in SCENARIOS.items() if script.end is None or script.end > 9000} == set()


def test_a_token_that_no_page_gave_is_refused() -> None:
    """A listing goes on only from where an earlier page ended."""
    with pytest.raises(ValueError, match="token"):
        page_of([], {"NextToken": "x"})


def test_a_listing_is_filtered_by_status_and_time() -> None:
    """A page holds only jobs of the status that is asked for, created or changed between the instants."""
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


def test_a_page_leads_to_the_next_one() -> None:
    """A listing of more than a page gives the token of the rest, and the last page gives none."""
    jobs = [{"AutoMLJobName": name, "AutoMLJobStatus": "Failed"} for name in "ab"]
    first = page_of(jobs, {"MaxResults": 1})
    assert first["AutoMLJobSummaries"] == jobs[1:]
    assert page_of(jobs, {"MaxResults": 1, "NextToken": first["NextToken"]}) == {"AutoMLJobSummaries": jobs[:1]}
