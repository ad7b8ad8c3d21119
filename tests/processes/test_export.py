"""The wait as a Step Functions definition, run by moto's interpreter, and the least IAM policy for a wait."""

import copy
import itertools
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import botocore.session
import pytest
from guide import pasted
from moto.core.exceptions import JsonRESTError
from moto.sagemaker.exceptions import ResourceNotFound
from moto.sagemaker.models import SageMakerModelBackend
from programs import Command

import automl_waiter._aws.gateway
from automl_waiter._aws.permissions import Feature, iam_policy
from automl_waiter._model import errors
from automl_waiter._model.errors import AutoMLWaiterError
from automl_waiter._model.outcome import shortfalls_of
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.statuses import TERMINAL
from automl_waiter._model.verdicts import DEFAULT_REQUIREMENT, Part
from automl_waiter.integrations.stepfunctions import EVENTS_PER_POLL, fragment, long_pause, state_machine
from automl_waiter.sandbox.timeline import Timeline

ROLE = "arn:aws:iam::123456789012:role/waiter"
CREATED = datetime(2026, 1, 1, tzinfo=UTC)
TUNING, EXPLAINING = ("InProgress", "ModelTuning"), ("InProgress", "GeneratingExplainabilityReport")


def response(status: str, secondary: str, **members: Any) -> dict[str, Any]:
    """Return the describe response of a job in that state."""
    timeline = Timeline([(0, status, secondary)], failure_reason="no data" if status == "Failed" else None)
    made = timeline.response(
        0, name="churn", created=CREATED, arn="arn:aws:sagemaker:us-east-1:123456789012:automl-job/churn"
    )
    return timeless({name: value for name, value in (made | members).items() if value is not None})


def timeless(value: Any) -> Any:
    """Remove the times: Step Functions converts them to text, which moto's interpreter cannot."""
    if isinstance(value, dict):
        return {name: timeless(member) for name, member in value.items() if not isinstance(member, datetime)}
    return [timeless(member) for member in value] if isinstance(value, list) else value


def hurried(definition: dict[str, Any]) -> dict[str, Any]:
    """Return the definition without pauses and with at most one retry of a failed call; it counts down as before."""
    quick = copy.deepcopy(definition)
    for state in quick["States"].values():
        if state["Type"] == "Wait":
            state.pop("SecondsPath", None)
            state["Seconds"] = 0
        for retry in state.get("Retry", ()):
            retry |= {"IntervalSeconds": 1, "MaxAttempts": min(retry.get("MaxAttempts", 1), 1)}
    return quick


Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def stepfunctions() -> Iterator[Any]:
    from interpreter import interpreter  # half a second, which only the process that runs these tests needs

    with interpreter():
        yield boto3.client("stepfunctions", region_name="us-east-1")


@pytest.fixture
def run(stepfunctions: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a definition; each poll gets the next of the given answers, and the last one is repeated."""

    def execute(definition: dict[str, Any], *polls: Any, given: object = {"AutoMLJobName": "churn"}) -> dict[str, Any]:
        found = itertools.chain(polls, itertools.repeat(polls[-1]))

        def describe(_: SageMakerModelBackend, auto_ml_job_name: str) -> Any:
            answer = next(found)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(SageMakerModelBackend, "describe_auto_ml_job_v2", describe)
        name = f"run-{os.urandom(6).hex()}"
        # In AWS errors have the SDK's name of the service; moto takes the one of the resource.
        text = json.dumps(definition).replace("SageMaker.", "sagemaker.")
        machine = stepfunctions.create_state_machine(name=name, definition=text, roleArn=ROLE)
        execution = stepfunctions.start_execution(
            stateMachineArn=machine["stateMachineArn"], name=name, input=json.dumps(given)
        )["executionArn"]
        result = stepfunctions.describe_execution(executionArn=execution)
        assert result["status"] != "RUNNING"
        pages = stepfunctions.get_execution_history(executionArn=execution, maxResults=1000)
        return {**result, "events": pages["events"]}

    return execute


def throttled() -> Exception:
    return JsonRESTError("ThrottlingException", "Rate exceeded")


def denied(code: str) -> Exception:
    return JsonRESTError(
        code, "User: me is not authorized to perform: sagemaker:DescribeAutoMLJobV2 on resource: churn"
    )


@pytest.mark.parametrize(
    ("polls", "expected"),
    [
        ([response("Failed", "Failed")], ("JobFailed", "no data")),
        ([response("Failed", "Failed", FailureReason=None)], ("JobFailed", "AWS gave no reason")),
        ([response("Stopping", "Stopping"), response("Stopped", "Stopped")], ("JobStopped", "The job was stopped")),
        ([response(*TUNING)], ("WaitTimeout", "The job has not ended within 600 seconds, and keeps running")),
        ([ResourceNotFound("Could not find AutoML job")], ("JobNotFound", "No AutoML job has this name")),
        ([throttled()], ("ServiceUnavailable", "Rate exceeded")),
        (
            [denied("AccessDeniedException")],
            ("AccessDenied", "Allow sagemaker:DescribeAutoMLJobV2 for the role"),
        ),
        ([denied("SageMakerException")], ("AccessDenied", "Allow sagemaker:DescribeAutoMLJobV2 for the role")),
        (
            [response("Completed", "Completed", BestCandidate=None)],
            ("JobDegraded", "Completed, but there is no best candidate"),
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_execution_fails_with_the_name_of_the_librarys_error(
    run: Run, polls: list[Any], expected: tuple[str, str]
) -> None:
    """An execution fails with the error that the library raises for such a job, and its cause says why."""
    result = run(hurried(state_machine(timeout=600)), *polls)
    assert (result["status"], result["error"]) == ("FAILED", expected[0])
    assert result["cause"].startswith(expected[1])
    assert issubclass(getattr(errors, expected[0]), AutoMLWaiterError)


ARN = "arn:aws:sagemaker:us-east-1:123456789012:automl-job/churn"


def test_create_response_is_a_valid_input(run: Run) -> None:
    result = run(
        hurried(state_machine()), response(*TUNING), response("Completed", "Completed"), given={"AutoMLJobArn": ARN}
    )
    assert result["status"] == "SUCCEEDED"
    assert json.loads(result["output"])["AutoMLJobName"] == "churn"


def test_invalid_input_fails_as_invalid_request(run: Run) -> None:
    """It never fails with States.Runtime, which no caller's Catch expects."""
    names = [{"AutoMLJobName": name} for name in ("", ["churn"])]
    arns = [
        *(5, ARN.replace("automl-job", "training-job"), ARN.removesuffix("churn"), ARN.replace("/", "//")),
        *(ARN.replace("us-east-1", ""), ARN.replace("us-east-1", "eu-west-1"), ARN.replace("123", "321")),
    ]
    for given in ({}, "churn", *names, *({"AutoMLJobArn": arn} for arn in arns)):
        result = run(state_machine(), response("Completed", "Completed"), given=given)
        assert (result["status"], result["error"]) == ("FAILED", "InvalidRequest"), given


def test_a_name_that_aws_calls_invalid_fails_at_once(run: Run) -> None:
    words = "1 validation error detected: Value 'no name' at 'autoMLJobName' failed to satisfy constraint"
    refused = [JsonRESTError("ValidationException", words), response("Completed", "Completed")]
    result = run(state_machine(), *refused, given={"AutoMLJobName": "no name"})
    assert (result["status"], result["error"]) == ("FAILED", "InvalidRequest")
    assert words in result["cause"]


def test_output_is_the_completed_job(run: Run) -> None:
    """An execution passes the phases and a throttled call, and returns the response of the completed job."""
    polls = [response(*TUNING), throttled(), response(*EXPLAINING), response("Completed", "Completed")]
    result = run(hurried(state_machine(timeout=600)), *polls)
    assert result["status"] == "SUCCEEDED"
    output = json.loads(result["output"])
    assert (output["AutoMLJobStatus"], output["AutoMLJobName"]) == ("Completed", "churn")
    entered = [
        event["stateEnteredEventDetails"]["name"] for event in result["events"] if "stateEnteredEventDetails" in event
    ]
    assert [name for name in entered if name.endswith("Pause") and not name.startswith("After")] == [
        "Pause",
        "ShortPause",
    ]


def test_a_success_at_the_deadline_counts(run: Run) -> None:
    """The job is polled once more at the deadline, and a job found completed then is a success."""
    polls = [response(*TUNING)] * 2 + [response("Completed", "Completed")]
    result = run(hurried(state_machine(timeout=100)), *polls)
    entered = [
        event["stateEnteredEventDetails"]["name"] for event in result["events"] if "stateEnteredEventDetails" in event
    ]
    assert (result["status"], "LastPause" in entered) == ("SUCCEEDED", True)


@pytest.mark.parametrize(
    ("polls", "error"),
    [
        ([response(*TUNING), response("Completed", "Completed")], None),
        ([response("Failed", "Failed")], "Caught"),
        ([ResourceNotFound("Could not find AutoML job")], "JobNotFound"),
    ],
    ids=["completed", "failed", "not found"],
)
def test_embedded_fragment_fails_its_step_by_error_name(run: Run, polls: list[Any], error: str | None) -> None:
    """In the guide's step, Catch names the library's errors, and the next state has the job."""
    step = json.loads(pasted("Step Functions", "json"))
    step["WaitForJob"]["Branches"] = [hurried(fragment())]
    states = {**step, "Deploy": {"Type": "Succeed"}, "Alert": {"Type": "Fail", "Error": "Caught"}}
    result = run({"StartAt": "WaitForJob", "States": states}, *polls)
    assert result.get("error") == error
    if error is None:
        assert json.loads(result["output"])["Job"]["AutoMLJobStatus"] == "Completed"


DEPLOYING = {"ModelDeployConfig": {"AutoGenerateEndpointName": True}}
ENDINGS = {
    "whole": response("Completed", "Completed"),
    "runtime": response("Completed", "MaxAutoMLJobRuntimeReached"),
    "no candidate": response("Completed", "Completed", BestCandidate=None),
    "definitions": response(
        "Completed",
        "CandidateDefinitionsGenerated",
        BestCandidate=None,
        AutoMLProblemTypeConfig={
            "TabularJobConfig": {"TargetAttributeName": "y", "GenerateCandidateDefinitionsOnly": True}
        },
    ),
    "deployed": response("Completed", "Completed", **DEPLOYING, ModelDeployResult={"EndpointName": "churn-1"}),
    "not deployed": response("Completed", "Completed", ModelDeployConfig={"EndpointName": "churn-1"}),
    "not to deploy": response("Completed", "Completed", ModelDeployConfig={"AutoGenerateEndpointName": False}),
    "deploy error": response(
        "Completed", "ModelDeploymentError", **DEPLOYING, ModelDeployResult={"EndpointName": "churn-1"}
    ),
    "explainability": response("Completed", "ExplainabilityError"),
    "insights": response("Completed", "ModelInsightsError"),
    "partial": response("Completed", "Completed", PartialFailureReasons=[{"PartialFailureMessage": "a part"}]),
    # Not one with an empty message: moto makes a list of what a path through an index leads to, and AWS does not.
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("required", [frozenset(Part), frozenset(DEFAULT_REQUIREMENT)], ids=["all", "default"])
def test_shortfalls_match_those_of_the_library(run: Run, ending: str, required: frozenset[Part]) -> None:
    """A completed job is degraded in Step Functions exactly if it is degraded in the library."""
    found = ENDINGS[ending]
    result = run(state_machine(required=required), found)
    is_degraded = bool(set(shortfalls_of(Snapshot(found))) & required)
    assert result.get("error") == ("JobDegraded" if is_degraded else None)


def test_without_requirements_every_completed_job_succeeds(run: Run) -> None:
    """A job without a best candidate succeeds too."""
    assert run(state_machine(required=()), ENDINGS["no candidate"])["status"] == "SUCCEEDED"


def test_each_poll_takes_the_expected_number_of_events(run: Run) -> None:
    """The pauses are sized by the number of history events between two polls."""
    result = run(hurried(state_machine(timeout=600)), *[response(*TUNING)] * 3, response("Completed", "Completed"))
    polls = [
        event["id"] for event in result["events"] if event.get("stateEnteredEventDetails", {}).get("name") == "Describe"
    ]
    assert {after - before for before, after in itertools.pairwise(polls)} == {EVENTS_PER_POLL}


@pytest.mark.parametrize("hours", [1, 24, 72, 24 * 30])
def test_the_history_has_room_for_the_longest_wait(hours: int) -> None:
    """All polls of a wait, including the short pauses, leave a fifth of the history for retries."""
    polls = hours * 3600 / long_pause(hours * 3600) + 240
    assert polls * EVENTS_PER_POLL <= 20_000


def test_short_pauses_are_bounded(run: Run) -> None:
    """A job that stays in its last phase is polled less often after a while, so that the history has room."""
    states = state_machine()["States"]
    [rule] = [rule for rule in states["How"]["Choices"] if rule["Next"] == "ShortPause"]
    assert rule["And"][0] == {"Variable": "$.Short", "NumericGreaterThan": 0}
    states["ByName"]["Parameters"]["Short"] = 1
    machine = hurried({**state_machine(), "States": states})
    result = run(machine, *[response(*EXPLAINING)] * 2, response("Completed", "Completed"))
    entered = [
        event["stateEnteredEventDetails"]["name"] for event in result["events"] if "stateEnteredEventDetails" in event
    ]
    assert [name for name in entered if name in ("Pause", "ShortPause")] == ["ShortPause", "Pause"]


def test_every_terminal_status_is_handled() -> None:
    """The choice after a poll knows each primary status that ends a job."""
    text = json.dumps(state_machine()["States"]["How"])
    assert all(f'"StringEquals": "{status}"' in text for status in TERMINAL)


def test_export_prints_the_librarys_definitions(inside: Command) -> None:
    """export prints JSON with the values of the flags on stdout, and exits with 0."""
    result = inside("export", "asl", "--timeout", "6h", "--require", "all")
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout) == state_machine(timeout=6 * 3600, required=frozenset(Part))
    assert json.loads(inside("export", "asl", "--fragment").stdout) == fragment()
    result = inside("export", "iam-policy", "--with", "stop", "--jobs", "arn:aws:sagemaker:*:*:automl-job/nightly-*")
    assert result.returncode == 0
    assert json.loads(result.stdout) == iam_policy([Feature.STOP], ["arn:aws:sagemaker:*:*:automl-job/nightly-*"])
    result = inside("export", "iam-policy", "--with", "publish", "--bus", "arn:aws:events:*:*:event-bus/ml-*")
    assert json.loads(result.stdout) == iam_policy([Feature.PUBLISH], buses=["arn:aws:events:*:*:event-bus/ml-*"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["asl", "--timeout", "1000d"], "1 second to 364 days"),
        (["asl", "--require", "all", "--require", "none"], "alone"),
        (["iam-policy", "--jobs", "churn"], "'churn' is no ARN of AutoML jobs"),
        (["iam-policy", "--bus", "ml-events"], "'ml-events' is no ARN of event buses"),
        (["iam-policy", "--with", "stops"], "'stop'"),
        (["iam-polcy"], "did you mean iam-policy?"),
    ],
)
def test_bad_usage_of_export_is_one_line(inside: Command, arguments: list[str], expected: str) -> None:
    """Bad usage of export exits with 2 and one line."""
    result = inside("export", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert expected in line


def test_policy_of_a_plain_wait_has_one_action() -> None:
    """Without features the policy allows DescribeAutoMLJobV2 on the jobs and nothing else."""
    [statement] = iam_policy()["Statement"]
    assert (statement["Action"], statement["Resource"]) == (
        ["sagemaker:DescribeAutoMLJobV2"],
        ["arn:*:sagemaker:*:*:automl-job/*"],
    )


def test_estimate_and_listing_share_one_action() -> None:
    for features in ([Feature.ESTIMATE], [Feature.ESTIMATE, Feature.LISTING]):
        _, lists = iam_policy(features)["Statement"]
        assert lists["Action"] == ["sagemaker:ListAutoMLJobs"]


def test_the_policy_of_every_feature_allows_every_call() -> None:
    """With all features the policy allows exactly the calls that the gateway makes."""
    allowed = {action for statement in iam_policy(Feature)["Statement"] for action in statement["Action"]}
    models = [botocore.session.get_session().get_service_model(name) for name in ("sagemaker", "events", "logs")]
    assert allowed == {
        f"{model.signing_name}:{operation}"
        for operation in automl_waiter._aws.gateway._METHODS
        for model in models
        if operation in model.operation_names
    }


def test_publish_actions_are_limited_to_the_bus() -> None:
    """With publish, and only then, the policy allows putting events on the given buses."""
    bus = "arn:aws:events:us-east-1:123456789012:event-bus/ml-events"
    _, statement = iam_policy([Feature.PUBLISH], buses=[bus])["Statement"]
    assert (statement["Action"], statement["Resource"]) == (["events:DescribeEventBus", "events:PutEvents"], [bus])
