"""The recorded jobs, waited for in virtual time and over HTTP."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from repository import RECORDED, TRACES
from scripts import NEVER, Seen

from automl_waiter import Fixed, Outcome, Verdict, wait_for_all
from automl_waiter.sandbox.server import Sandbox
from automl_waiter.testing import Timeline, simulate

VERDICTS = {"Completed": Verdict.COMPLETED, "Failed": Verdict.FAILED, "Stopped": Verdict.STOPPED}


def recorded() -> list[Any]:
    jobs = RECORDED
    if (TRACES / "jobs.json").exists():
        jobs = [job for job in json.loads((TRACES / "jobs.json").read_text()) if job["complete"]]
    return [pytest.param([tuple(entry) for entry in job["timeline"]], id=job["id"]) for job in jobs]


def verdict_of(entries: list[tuple[float, str, str]]) -> Verdict:
    _, status, secondary = entries[-1]
    return Verdict.DEGRADED if secondary == "ExplainabilityError" else VERDICTS[status]


def seen(outcome: Outcome) -> list[tuple[str, str]]:
    return [tuple(transition.after) for transition in outcome.transitions]


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


@pytest.mark.parametrize("entries", recorded())
def test_polling_every_second_observes_every_transition(entries: list[tuple[float, str, str]]) -> None:
    """Under Fixed(1) the transitions are exactly those of the timeline, the first observation included."""
    result = simulate(Timeline(entries), poll=Fixed(1))
    assert seen(result.outcome) == [(status, secondary) for _, status, secondary in entries]


def test_replayed_over_http_each_job_ends_as_it_did() -> None:
    """Through boto3 over HTTP each verdict is right, and only transitions that happened are reported."""
    entries = {f"job-{index}": job.values[0] for index, job in enumerate(recorded())}
    # Phases do not change with time: at this speed a delayed response would be hours late.
    scripts = {
        name: Seen([(number * NEVER, *entry[1:]) for number, entry in enumerate(script)])
        for name, script in entries.items()
    }
    with Sandbox(scenarios=scripts, scenario="job-0") as sandbox:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: sandbox.create_job(name, scenario=name), entries))
        outcomes = wait_for_all(entries, client=sandbox.client(), poll=0.2, timeout=60)
    for name, script in entries.items():
        assert outcomes[name].verdict == verdict_of(script)
        truth = iter([(status, secondary) for _, status, secondary in script])
        assert all(state in truth for state in seen(outcomes[name])), "a subsequence"
