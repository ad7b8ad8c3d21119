"""The recorded jobs, waited for in virtual time."""

import json

import pytest
from recorded_jobs import recorded, seen, verdict_of
from repository import RECORDED, TRACES

from automl_waiter import Fixed
from automl_waiter.testing import Timeline, simulate


def test_fixture_has_every_complete_recorded_job() -> None:
    """The project's copy agrees with the recordings, if these are present."""
    if not (TRACES / "jobs.json").exists():
        pytest.skip("the recordings are not at hand")
    complete = {job["id"]: job["timeline"] for job in json.loads((TRACES / "jobs.json").read_text()) if job["complete"]}
    assert {job["id"]: job["timeline"] for job in RECORDED} == complete


@pytest.mark.parametrize("entries", recorded())
def test_the_default_policy_gives_the_right_verdict(entries: list[tuple[float, str, str]]) -> None:
    """Under the default policy a recorded job gets the verdict that it had, soon after its end."""
    result = simulate(Timeline(entries))
    assert result.outcome.verdict == verdict_of(entries)
    assert result.lag is not None
    assert 0 <= result.lag <= 99


@pytest.mark.large
@pytest.mark.parametrize("entries", recorded())
def test_polling_every_second_observes_every_transition(entries: list[tuple[float, str, str]]) -> None:
    """Under Fixed(1) the transitions are exactly those of the timeline, the first observation included."""
    result = simulate(Timeline(entries), poll=Fixed(1))
    assert seen(result.outcome) == [(status, secondary) for _, status, secondary in entries]
