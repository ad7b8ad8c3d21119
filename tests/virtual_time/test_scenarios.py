"""The scenarios of the sandbox."""

import functools
from datetime import datetime
from typing import Any

import botocore.session
import pytest

from automl_waiter.sandbox.scenarios import SCENARIOS
from automl_waiter.sandbox.timeline import PROBLEM_TYPES
from automl_waiter.testing import EPOCH, Timeline, simulate


@pytest.mark.parametrize(
    ("scenario", "code"),
    [
        ("completed", 0),
        ("failed", 10),
        ("candidates-failed", 10),
        ("stopped", 11),
        ("runtime-reached", 0),
        ("explainability-error", 0),
        ("deploy-error", 12),
        ("merging-reports", 0),
        ("quick", 0),
    ],
)
def test_each_scenario_ends_with_its_exit_code(scenario: str, code: int) -> None:
    """Each scenario ends as its name says."""
    assert simulate(SCENARIOS[scenario]).outcome.exit_code == code
    assert set(SCENARIOS) >= {scenario}
    assert len(SCENARIOS) == 9


def conforms(shape: Any, value: Any, path: str) -> None:
    if shape.type_name == "structure":
        assert set(shape.required_members) <= set(value) <= set(shape.members), path
        for name, member in value.items():
            conforms(shape.members[name], member, f"{path}.{name}")
    elif shape.type_name == "list":
        for item in value:
            conforms(shape.member, item, path)
    elif shape.type_name == "map":
        for item in value.values():
            conforms(shape.value, item, path)
    else:
        kinds = {"string": str, "integer": int, "float": (int, float), "boolean": bool, "timestamp": datetime}
        assert isinstance(value, kinds[shape.type_name]), path  # type: ignore[arg-type]
        enum = getattr(shape, "enum", None)
        assert not enum or value in enum or value == "MergingAutoMLTaskReports", path


@functools.cache
def service_model() -> Any:
    return botocore.session.get_session().get_service_model("sagemaker")


@pytest.mark.parametrize("problem_type", PROBLEM_TYPES)
@pytest.mark.parametrize("timeline", SCENARIOS.values(), ids=SCENARIOS)
def test_every_scripted_response_conforms_to_botocores_model(timeline: Timeline, problem_type: str) -> None:
    """At every instant a scripted response has the required members and the types of botocore's model."""
    shape = service_model().operation_model("DescribeAutoMLJobV2").output_shape
    script = Timeline(timeline.entries, problem_type=problem_type, max_runtime=9000, deploy=timeline.deploy)
    for second, _, _ in script.entries:
        conforms(shape, script.response(second, name="a", created=EPOCH, arn="arn"), "response")
