"""The commands that docs/howto/pipelines.md says to paste, run by a shell with AWS's own command line against moto."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from environments import clean_environment
from event_bus import EventBus
from forking_programs import search_path
from guide import GUIDE, pasted

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:wait-for-automl"


@pytest.fixture(scope="module")
def aws() -> Iterator[EventBus]:
    """A server for the services in the guide's commands, with an event bus."""
    with EventBus() as server:
        yield server


def run(lines: str, aws: EventBus, programs: Path, place: Path, **more: str) -> str:
    """Runs lines of shell where `automl-waiter` and `aws` can be found."""
    environment = clean_environment(
        PATH=search_path(programs), AWS_ENDPOINT_URL=aws.url, AWS_REGION="us-east-1", **more
    )
    environment["AWS_DEFAULT_REGION"] = "us-east-1"
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines],
        env=environment,
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_step_functions_commands_of_the_guide_run(aws: EventBus, programs: Path, tmp_path: Path) -> None:
    """The commands create the definition, the policy and the state machine, and start it."""
    role = "arn:aws:iam::123456789012:role/waiter"
    run(pasted("Step Functions", "sh"), aws, programs, tmp_path, ROLE=role)
    made = aws.client("stepfunctions").describe_state_machine(stateMachineArn=MACHINE)
    assert json.loads(made["definition"]) == json.loads((tmp_path / "wait.asl.json").read_text())
    [execution] = aws.client("stepfunctions").list_executions(stateMachineArn=MACHINE)["executions"]
    found = aws.client("stepfunctions").describe_execution(executionArn=execution["executionArn"])
    assert json.loads(found["input"]) == {"AutoMLJobName": "churn-2026"}
    [statement] = json.loads((tmp_path / "policy.json").read_text())["Statement"]
    assert statement["Action"] == ["sagemaker:DescribeAutoMLJobV2"]


def test_eventbridge_commands_of_the_guide_run(aws: EventBus, programs: Path, tmp_path: Path) -> None:
    """The commands create a rule with a target on the bus to which the watch publishes."""
    bus, *rule, watch = pasted("EventBridge", "sh").splitlines()
    assert bus == f"aws events create-event-bus --name {aws.name}"  # it is there
    assert watch.startswith(f"automl-waiter watch --publish eventbridge:{aws.name} ")
    run("\n".join(rule), aws, programs, tmp_path, QUEUE="arn:aws:sqs:us-east-1:123456789012:target")
    found = aws.client().describe_rule(Name="automl-failed", EventBusName=aws.name)
    assert json.loads(found["EventPattern"]) == {"detail": {"Verdict": ["failed"]}}
    [target] = aws.client().list_targets_by_rule(Rule="automl-failed", EventBusName=aws.name)["Targets"]
    assert target["Arn"].endswith(":target")


def test_each_engine_of_the_table_has_a_section() -> None:
    """Each engine in the guide's first table links to a section with code and a table of cases."""
    rows = [line for line in GUIDE.splitlines() if line.startswith("| [")]
    for row in rows:
        title, _, target = row.removeprefix("| [").partition("](#")
        assert target.partition(")")[0] == title.lower().replace(" ", "-")
        section = GUIDE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
        assert "```" in section, title
        cases = section.partition("|---|---|\n")[2]
        assert all(word in cases for word in ("fails", "timeout", "kill")), title
    assert len(rows) == GUIDE.count("\n## ")
