"""The table of statuses, compared with botocore's model and the recordings."""

import itertools
from datetime import UTC, datetime
from typing import Any

import botocore.session
import pytest
from repository import RECORDED, ROOT

from automl_waiter._model.phases import pending_phases
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.statuses import REACHABLE, STAGES, STATES, STEPS, TERMINAL, SecondaryStatus, State, Status
from automl_waiter.testing import Timeline


def enum(name: str) -> set[str]:
    model: Any = botocore.session.get_session().get_service_model("sagemaker")
    return set(model.shape_for(name).enum)


def test_every_status_of_botocore_is_known() -> None:
    """The primary statuses of botocore and of the table are the same."""
    assert enum("AutoMLJobStatus") == set(Status)


def test_every_secondary_status_of_botocore_is_known() -> None:
    """The secondary statuses of botocore and of the table are the same, with one more in the table."""
    assert enum("AutoMLJobSecondaryStatus") | {"MergingAutoMLTaskReports"} == set(SecondaryStatus)


def test_every_secondary_status_is_in_the_table() -> None:
    """Each known value occurs in a state of the table."""
    assert {state.secondary_status for state in STATES} == set(SecondaryStatus)
    assert {state.status for state in STATES} == set(Status)


@pytest.mark.parametrize("state", sorted(STATES), ids=str)
def test_state_has_a_stage_or_is_final(state: State) -> None:
    """A state in progress has a stage and leads to every kind of final state; a final one leads nowhere."""
    if state.is_terminal:
        assert state not in STAGES
        assert not REACHABLE[state]
    else:
        assert state in STAGES
        assert {"Failed", "Stopped", "Completed"} <= {after.status for after in REACHABLE[state]}


def test_only_the_primary_status_ends_a_job() -> None:
    """A secondary status that sounds final does not end a job that is InProgress."""
    assert not State("InProgress", "Completed").is_terminal
    assert not State("Stopping", "Stopped").is_terminal
    assert State("Completed", "ModelTuning").is_terminal
    assert set(TERMINAL) == {"Completed", "Failed", "Stopped"}


def test_poll_may_skip_phases() -> None:
    """A move over several steps of the table is expected, and so is each step."""
    for step in STEPS:
        assert step.after in REACHABLE[step.before]
        assert REACHABLE[step.after] <= REACHABLE[step.before]
    assert State("InProgress", "ModelTuning") in REACHABLE[State("InProgress", "Starting")]
    assert State("InProgress", "Starting") not in REACHABLE[State("InProgress", "ModelTuning")]


@pytest.mark.parametrize("job", RECORDED, ids=lambda job: job["id"])
def test_every_recorded_move_is_expected(job: dict[str, Any]) -> None:
    """The table calls no move of a recorded job unexpected."""
    states = [State(status, secondary) for _, status, secondary in job["timeline"]]
    for before, after in itertools.pairwise(states):
        assert after in REACHABLE[before]


def test_the_page_is_made_from_the_table() -> None:
    """docs/reference/statuses.md is what docs/make_statuses.py makes."""
    namespace: dict[str, Any] = {"__name__": "make_statuses"}
    exec((ROOT / "docs" / "make_statuses.py").read_text(), namespace)
    assert (ROOT / "docs" / "reference" / "statuses.md").read_text() == namespace["page"]()


@pytest.mark.parametrize(
    ("state", "more", "pending"),
    [
        (("InProgress", "Starting"), {}, ["AnalyzingData", "FeatureEngineering", "ModelTuning", "reports, if any"]),
        (("InProgress", "ModelTuning"), {"deploy": True}, ["reports, if any", "DeployingModel"]),
        (("InProgress", "DeployingModel"), {"deploy": True}, []),
        (("InProgress", "Starting"), {"problem_type": "TimeSeriesForecasting"}, ["reports, if any"]),
        (("InProgress", "MergingAutoMLTaskReports"), {}, []),
        (("Stopping", "Stopping"), {}, []),
        (("Completed", "Completed"), {}, []),
    ],
)
def test_pending_phases_are_those_of_the_recorded_jobs_and_of_the_request(
    state: tuple[str, str], more: Any, pending: list[str]
) -> None:
    """A view shows no pending phase that may not happen."""
    timeline = Timeline([(0, *state)], **more)
    created = datetime(2026, 11, 26, tzinfo=UTC)
    snapshot = Snapshot(timeline.response(0, name="churn", created=created, arn="arn"))
    assert pending_phases(snapshot) == pending
