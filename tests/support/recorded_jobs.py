"""The recorded jobs, as parameters of a test, and what a wait for one should report."""

import json
from typing import Any

import pytest
from repository import RECORDED, TRACES

from automl_waiter import Outcome, Verdict

VERDICTS = {"Completed": Verdict.COMPLETED, "Failed": Verdict.FAILED, "Stopped": Verdict.STOPPED}


def recorded() -> list[Any]:
    """Return a parameter of a test for each recorded job: its transitions."""
    jobs = RECORDED
    if (TRACES / "jobs.json").exists():
        jobs = [job for job in json.loads((TRACES / "jobs.json").read_text()) if job["complete"]]
    return [pytest.param([tuple(entry) for entry in job["timeline"]], id=job["id"]) for job in jobs]


def verdict_of(entries: list[tuple[float, str, str]]) -> Verdict:
    """Return the verdict on a recorded job."""
    _, status, secondary = entries[-1]
    return Verdict.DEGRADED if secondary == "ExplainabilityError" else VERDICTS[status]


def seen(outcome: Outcome) -> list[tuple[str, str]]:
    """Return the states that a wait observed."""
    return [tuple(transition.after) for transition in outcome.transitions]
