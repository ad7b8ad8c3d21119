"""The sandbox, called by a plain AWS client."""

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import moto
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from environments import clean_environment
from programs import run

from automl_waiter.sandbox.server import Sandbox
from automl_waiter.testing import Timeline

REQUEST: dict[str, Any] = {
    "AutoMLJobInputDataConfig": [
        {"ChannelType": "training", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/in"}}}
    ],
    "OutputDataConfig": {"S3OutputPath": "s3://b/out"},
    "AutoMLProblemTypeConfig": {"TextClassificationJobConfig": {"ContentColumn": "text", "TargetLabelColumn": "label"}},
    "RoleArn": "arn:aws:iam::123456789012:role/mine",
}


@pytest.fixture
def sandbox() -> Any:
    with Sandbox(speed=2000) as running:
        yield running


def code_of(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    return str(raised.value.response["Error"]["Code"])


def test_a_created_job_runs_through_its_phases(sandbox: Sandbox) -> None:
    """A job runs to its end by itself, and its describe shows what it was created with."""
    client = sandbox.client()
    arn = client.create_auto_ml_job_v2(AutoMLJobName="Churn", ModelDeployConfig={"EndpointName": "mine"}, **REQUEST)
    assert arn["AutoMLJobArn"] == "arn:aws:sagemaker:us-east-1:123456789012:automl-job/Churn"
    first = client.describe_auto_ml_job_v2(AutoMLJobName="CHURN")
    assert first["AutoMLJobStatus"] == "InProgress"
    assert "EndTime" not in first
    assert first["AutoMLJobName"] == "Churn"
    assert {name: first[name] for name in REQUEST} == REQUEST
    assert first["AutoMLProblemTypeConfigName"] == "TextClassification"
    time.sleep(1.6)
    last = client.describe_auto_ml_job_v2(AutoMLJobName="churn")
    assert (last["AutoMLJobStatus"], last["ModelDeployResult"]) == ("Completed", {"EndpointName": "mine"})
    assert last["CreationTime"] < last["EndTime"] < last["LastModifiedTime"] < datetime.now(UTC) + timedelta(seconds=1)


def test_names_and_scenarios_are_checked(sandbox: Sandbox) -> None:
    """A taken name in any case, a malformed or unknown name and an unknown scenario get AWS's errors."""
    client = sandbox.client()
    sandbox.create_job("churn")
    assert code_of(client.create_auto_ml_job_v2, AutoMLJobName="CHURN", **REQUEST) == "ResourceInUse"
    assert code_of(client.create_auto_ml_job_v2, AutoMLJobName="a_b", **REQUEST) == "ValidationException"
    for call in (client.describe_auto_ml_job_v2, client.stop_auto_ml_job, client.list_candidates_for_auto_ml_job):
        assert code_of(call, AutoMLJobName="other") == "ResourceNotFound"
    tags = [{"Key": "automl-waiter:scenario", "Value": "nonsense"}]
    assert code_of(client.create_auto_ml_job_v2, AutoMLJobName="b", Tags=tags, **REQUEST) == "ValidationException"


def test_a_stopped_job_is_stopping_and_then_stopped() -> None:
    """StopAutoMLJob takes some time, and is refused for an ended job, as for those of the V1 API."""
    with Sandbox(speed=100) as sandbox:
        client = sandbox.client()
        sandbox.create_job("churn")
        client.stop_auto_ml_job(AutoMLJobName="Churn")
        assert client.describe_auto_ml_job_v2(AutoMLJobName="churn")["AutoMLJobStatus"] == "Stopping"
        time.sleep(0.8)
        assert client.describe_auto_ml_job_v2(AutoMLJobName="churn")["AutoMLJobStatus"] == "Stopped"
        with pytest.raises(ClientError) as raised:
            client.stop_auto_ml_job(AutoMLJobName="churn")
    error = raised.value.response["Error"]
    assert error["Code"] == "ValidationException"
    assert error["Message"] == "The request was rejected because the AutoML job is in status Stopped."


def test_a_job_is_advanced_to_its_next_status() -> None:
    """`advance` skips to the next status and moves the later ones forward; an ended job does not change."""
    script = [(0, "InProgress", "Starting"), (5000, "InProgress", "ModelTuning"), (7000, "Completed", "Completed")]
    with Sandbox(scenarios={"slow": Timeline(script)}, scenario="slow") as sandbox:
        sandbox.create_job("Churn")
        client = sandbox.client()
        responses = []
        for _ in range(4):
            responses.append(client.describe_auto_ml_job_v2(AutoMLJobName="churn"))
            sandbox.advance("churn")
    phases = ["Starting", "ModelTuning", "Completed", "Completed"]
    assert [job["AutoMLJobSecondaryStatus"] for job in responses] == phases
    assert (
        responses[0]["CreationTime"]
        == responses[2]["CreationTime"]
        < responses[1]["LastModifiedTime"]
        < responses[2]["EndTime"]
    )
    assert responses[2]["EndTime"] == responses[3]["EndTime"] <= datetime.now(UTC)


def test_jobs_are_listed_filtered_and_paged(sandbox: Sandbox) -> None:
    """A listing sorts by name from Z to A, filters, and pages by ten."""
    client = sandbox.client()
    for index in range(12):
        sandbox.create_job(f"job-{index:02}", scenario="failed" if index == 3 else None)
    page = client.list_auto_ml_jobs()
    names = [job["AutoMLJobName"] for job in page["AutoMLJobSummaries"]]
    assert names == [f"job-{index:02}" for index in range(11, 1, -1)]
    rest = client.list_auto_ml_jobs(NextToken=page["NextToken"])
    assert [job["AutoMLJobName"] for job in rest["AutoMLJobSummaries"]] == ["job-01", "job-00"]
    assert "NextToken" not in rest
    time.sleep(0.3)

    def listed(**filters: Any) -> list[str]:
        return [
            job["AutoMLJobName"] for job in client.list_auto_ml_jobs(MaxResults=100, **filters)["AutoMLJobSummaries"]
        ]

    assert listed(NameContains="B-0", SortOrder="Ascending") == [f"job-{index:02}" for index in range(10)]
    assert listed(StatusEquals="Failed") == ["job-03"]
    assert listed(CreationTimeAfter=datetime.now(UTC) + timedelta(hours=1)) == []
    assert len(listed(CreationTimeBefore=datetime.now(UTC) + timedelta(hours=1), SortBy="CreationTime")) == 12
    failed = client.list_auto_ml_jobs(StatusEquals="Failed")["AutoMLJobSummaries"][0]
    assert failed["FailureReason"].startswith("Could not complete the data builder")


def test_candidates_appear_during_training(sandbox: Sandbox) -> None:
    """A new job has no candidates; a completed one has all, the best among them."""
    client = sandbox.client()
    sandbox.create_job("churn")
    assert len(client.list_candidates_for_auto_ml_job(AutoMLJobName="churn")["Candidates"]) < 8
    time.sleep(1.6)
    candidates = client.list_candidates_for_auto_ml_job(
        AutoMLJobName="churn", SortBy="FinalObjectiveMetricValue", SortOrder="Descending"
    )["Candidates"]
    assert len(candidates) == 8
    best = client.describe_auto_ml_job_v2(AutoMLJobName="churn")["BestCandidate"]
    assert candidates[0]["CandidateName"] == best["CandidateName"]
    one = client.list_candidates_for_auto_ml_job(AutoMLJobName="churn", CandidateNameEquals=best["CandidateName"])
    assert len(one["Candidates"]) == 1


def test_the_aws_cli_can_use_it(endpoint: Sandbox) -> None:
    """The AWS CLI creates, describes, lists and stops jobs, and lists candidates."""
    env = clean_environment(AWS_DEFAULT_REGION="us-east-1", AWS_ENDPOINT_URL_SAGEMAKER=endpoint.url)
    name = f"cli-{os.urandom(6).hex()}"

    def aws(*arguments: str) -> Any:
        command = [sys.executable, "-m", "awscli", "sagemaker", *arguments]
        result = run(command, env=env)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout) if result.stdout else None

    request = {**REQUEST, "AutoMLJobName": name, "Tags": [{"Key": "automl-waiter:scenario", "Value": "endless"}]}
    assert aws("create-auto-ml-job-v2", "--cli-input-json", json.dumps(request))["AutoMLJobArn"].endswith(f"/{name}")
    aws("stop-auto-ml-job", "--auto-ml-job-name", name)
    assert aws("describe-auto-ml-job-v2", "--auto-ml-job-name", name)["AutoMLJobStatus"] in ("Stopping", "Stopped")
    [listed] = aws("list-auto-ml-jobs", "--name-contains", name)["AutoMLJobSummaries"]
    assert listed["AutoMLJobName"] == name
    assert "Candidates" in aws("list-candidates-for-auto-ml-job", "--auto-ml-job-name", name)


def test_broken_aws_configuration_of_the_machine_has_no_effect(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing profile, endpoints, proxies and invalid AWS variables change neither responses nor errors."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SAGEMAKER", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("AWS_PROFILE", "AWS_RETRY_MODE", "AWS_DEFAULTS_MODE"):
        monkeypatch.setenv(name, "nonsense")
    sandbox.create_job("churn")
    assert code_of(sandbox.create_job, name="churn") == "ResourceInUse"
    assert code_of(sandbox.client().describe_auto_ml_job_v2, AutoMLJobName="other") == "ResourceNotFound"


def test_unsupported_operation_is_an_aws_error(sandbox: Sandbox) -> None:
    """An unsupported operation or an internal failure is an AWS error in plain words, not a page of HTML."""
    client = sandbox.client()
    with pytest.raises(ClientError) as raised:
        client.describe_auto_ml_job(AutoMLJobName="churn")
    assert raised.value.response["Error"]["Code"] == "UnknownOperationException"
    with pytest.raises(ClientError) as raised:
        client.list_tags(ResourceArn="arn:aws:sagemaker:us-east-1:123456789012:nothing/other")
    assert raised.value.response["Error"]["Code"] == "InternalFailure"
    assert "<" not in raised.value.response["Error"]["Message"].replace("<class", "")


def test_mock_aws_in_the_same_process_is_separate(sandbox: Sandbox) -> None:
    """A test's own moto has none of the sandbox's jobs, and the sandbox keeps responding meanwhile."""
    sandbox.create_job("churn")
    with moto.mock_aws():
        mocked = boto3.client("sagemaker", "us-east-1")
        assert mocked.list_auto_ml_jobs()["AutoMLJobSummaries"] == []
        mocked.create_auto_ml_job_v2(
            AutoMLJobName="mocked",
            **REQUEST | {"AutoMLProblemTypeConfig": {"ImageClassificationJobConfig": {"CompletionCriteria": {}}}},
        )
        assert [job["AutoMLJobName"] for job in sandbox.client().list_auto_ml_jobs()["AutoMLJobSummaries"]] == ["churn"]


def test_regions_and_sandboxes_share_no_jobs(sandbox: Sandbox) -> None:
    """A job belongs to one region, whose partition is in its ARN, and to one sandbox."""
    arn = sandbox.client("cn-north-1").create_auto_ml_job_v2(AutoMLJobName="churn", **REQUEST)["AutoMLJobArn"]
    assert arn == "arn:aws-cn:sagemaker:cn-north-1:123456789012:automl-job/churn"
    assert sandbox.client().list_auto_ml_jobs()["AutoMLJobSummaries"] == []
    with Sandbox() as other:
        assert other.client("cn-north-1").list_auto_ml_jobs()["AutoMLJobSummaries"] == []


def test_port_in_use_is_an_oserror(sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    """The OSError names the port, and nothing is printed."""
    port = int(sandbox.url.rpartition(":")[2])
    with pytest.raises(OSError, match=rf"port {port} on 127\.0\.0\.1 is taken"):
        Sandbox(port=port)
    assert capfd.readouterr() == ("", "")


def test_a_sandbox_that_never_started_can_be_stopped() -> None:
    """Stopping returns at once and frees the port, started or not."""
    unused = Sandbox()
    stopping = threading.Thread(target=unused.stop, daemon=True)
    stopping.start()
    stopping.join(5)
    assert not stopping.is_alive()
    Sandbox(port=int(unused.url.rpartition(":")[2])).stop()


def test_stopped_sandbox_does_not_respond() -> None:
    """A client that it has served before gets no response after the stop."""
    with Sandbox() as sandbox:
        client = sandbox.client()
        client.list_auto_ml_jobs()
    with pytest.raises(BotoCoreError):
        client.list_auto_ml_jobs()


@pytest.mark.parametrize("options", [{"scenario": "nonsense"}, {"speed": 0}, {"speed": float("nan")}])
def test_unknown_scenario_or_invalid_speed_is_a_value_error(options: dict[str, Any]) -> None:
    """An unknown scenario or a speed of 0 or less raises before there is a job."""
    with pytest.raises(ValueError, match=r"scenario|speed"):
        Sandbox(**options)


def test_job_has_the_objective_of_its_request() -> None:
    """The job and all its candidates have the requested objective; a deployment that was not requested is not shown."""
    with Sandbox(speed=1e6) as sandbox:
        client = sandbox.client()
        client.create_auto_ml_job_v2(
            AutoMLJobName="churn",
            **REQUEST
            | {
                "AutoMLProblemTypeConfig": {"TabularJobConfig": {"TargetAttributeName": "price"}},
                "AutoMLJobObjective": {"MetricName": "RMSE"},
            },
        )
        time.sleep(0.05)
        job = client.describe_auto_ml_job_v2(AutoMLJobName="churn")
        candidates = client.list_candidates_for_auto_ml_job(AutoMLJobName="churn", MaxResults=100)["Candidates"]
    assert job["AutoMLJobObjective"] == {"MetricName": "RMSE"}
    metrics = [one["FinalAutoMLJobObjectiveMetric"] for one in candidates]
    assert {(metric["MetricName"], metric["Type"]) for metric in metrics} == {("RMSE", "Minimize")}
    assert job["BestCandidate"]["FinalAutoMLJobObjectiveMetric"]["Value"] == min(metric["Value"] for metric in metrics)
    assert not {"ModelDeployConfig", "ModelDeployResult"} & set(job)


def test_a_job_that_was_stopped_early_has_no_candidates() -> None:
    """A job stopped before training has no candidates; one stopped during training has some, but no best one."""
    scripts = {
        "early": Timeline([(0, "InProgress", "Starting"), (9, "Stopped", "Stopped")]),
        "training": Timeline(
            [(0, "InProgress", "ModelTuning"), (350, "Stopping", "Stopping"), (360, "Stopped", "Stopped")]
        ),
    }
    with Sandbox(scenarios=scripts, scenario="early", speed=1e6) as sandbox:
        for script in scripts:
            sandbox.create_job(script, scenario=script)
        time.sleep(0.05)
        found = {
            script: [
                one["CandidateName"]
                for one in sandbox.client().list_candidates_for_auto_ml_job(AutoMLJobName=script)["Candidates"]
            ]
            for script in scripts
        }
    assert found["early"] == []
    assert len(found["training"]) == 3
    assert "training-001" not in found["training"]


def test_request_without_a_runtime_limit_gets_the_scenarios() -> None:
    """A wait knows the limit before the job reaches it; a limit in the request takes precedence."""
    with Sandbox() as sandbox:
        client = sandbox.client()
        for name, config in {"a": {}, "b": {"CompletionCriteria": {"MaxCandidates": 3}}}.items():
            tags = [{"Key": "automl-waiter:scenario", "Value": "runtime-reached"}]
            request = {**REQUEST, "AutoMLProblemTypeConfig": {"ImageClassificationJobConfig": config}}
            client.create_auto_ml_job_v2(AutoMLJobName=name, Tags=tags, **request)
        given, chosen = (client.describe_auto_ml_job_v2(AutoMLJobName=name) for name in "ab")
    criteria = given["AutoMLProblemTypeConfig"]["ImageClassificationJobConfig"]["CompletionCriteria"]
    assert criteria == {"MaxAutoMLJobRuntimeInSeconds": 3600}
    assert chosen["AutoMLProblemTypeConfig"] == {
        "ImageClassificationJobConfig": {"CompletionCriteria": {"MaxCandidates": 3}}
    }
    assert "ResolvedAttributes" not in chosen


def test_a_failed_deployment_has_no_endpoint() -> None:
    """A job of the scenario deploy-error requests a deployment, and ends without an endpoint name."""
    with Sandbox(speed=1e6) as sandbox:
        sandbox.create_job("churn", scenario="deploy-error")
        time.sleep(0.05)
        job = sandbox.client().describe_auto_ml_job_v2(AutoMLJobName="churn")
    assert job["AutoMLJobSecondaryStatus"] == "ModelDeploymentError"
    assert job["ModelDeployConfig"] == {"AutoGenerateEndpointName": True}
    assert "EndpointName" not in job["ModelDeployResult"]


def test_tags_can_be_read(sandbox: Sandbox) -> None:
    """ListTags returns the tags that a job was created with, for its name in the ARN in any case."""
    arn = sandbox.create_job("Churn", scenario="failed")["AutoMLJobArn"]
    for known in (arn, arn.lower()):
        tags = sandbox.client().list_tags(ResourceArn=known)["Tags"]
        assert tags == [{"Key": "automl-waiter:scenario", "Value": "failed"}]


def test_concurrent_creates_of_one_name_succeed_once(sandbox: Sandbox) -> None:
    """One of many concurrent requests to create the same name succeeds."""

    def create(name: str) -> str:
        try:
            return str(sandbox.create_job(name)["AutoMLJobArn"])
        except ClientError as error:
            return str(error.response["Error"]["Code"])

    with ThreadPoolExecutor(4) as threads:
        answers = sorted(threads.map(create, ("churn", "Churn", "CHURN", "chUrn")))
    assert answers.count("ResourceInUse") == 3


def test_missing_extra_names_the_command_that_installs_it() -> None:
    """Without moto the package can be imported, and `Sandbox` raises SandboxUnavailable with the install command."""
    program = """
import sys
sys.modules["moto"] = None
import automl_waiter.sandbox, automl_waiter.sandbox.scenarios
try:
    automl_waiter.sandbox.Sandbox
except automl_waiter.sandbox.SandboxUnavailable as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install moto flask flask-cors" in done.stdout
