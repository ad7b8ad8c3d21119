"""The fixture `simulated_jobs`, with which people test their own code."""

import asyncio
import time

import pytest

from automl_waiter import (
    Event,
    Transition,
    Verdict,
    aio,
    as_completed,
    wait_for,
    wait_for_all,
)
from automl_waiter.testing import ScriptedJobs, Timeline, simulated_jobs

__all__ = ["simulated_jobs"]


def test_simulated_jobs_fixture_needs_neither_aws_nor_real_time(simulated_jobs: ScriptedJobs) -> None:
    """With the fixture, `wait_for` follows a scripted job in virtual time, with and without asyncio."""
    simulated_jobs.add("churn", Timeline([(0, "InProgress", "Starting"), (36000, "Completed", "Completed")]))
    begun = time.monotonic()
    assert wait_for("churn").verdict == "completed"
    assert asyncio.run(aio.wait_for("churn")).verdict == "completed"
    assert time.monotonic() - begun < 5


def test_waits_in_one_simulation_share_the_clock_but_no_calls(simulated_jobs: ScriptedJobs) -> None:
    """A wait inside another's callback, an abandoned wait and two interleaved waits do not disturb each other."""
    for name in "abcdef":
        simulated_jobs.add(name, Timeline([(0, "InProgress", "ModelTuning"), (60, "Completed", "Completed")]))
    inside: list[Verdict] = []

    def on_transition(transition: Transition) -> None:
        if transition.after.is_terminal:
            inside.append(wait_for("d").verdict)

    def on_event(_: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait_for_all(["a", "b", "c"], on_event=on_event)
    in_turn = zip(as_completed(["a", "b"]), as_completed(["e", "f"]), strict=True)
    assert [one.ok and other.ok for one, other in in_turn] == [True, True]
    assert all(outcome.ok for outcome in wait_for_all(["a", "b", "c"], on_transition=on_transition).values())
    assert inside == ["completed"] * 3
