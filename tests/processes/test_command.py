"""The command in a process of its own, against the sandbox's HTTP endpoint."""

import json
import re
import signal
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from environments import clean_environment
from programs import COMMAND, Command, run, start
from repository import ROOT

from automl_waiter import Outcome, Transition, Verdict
from automl_waiter._model.exit_codes import ExitCode
from automl_waiter._model.statuses import State
from automl_waiter.cli.execute import environment_of
from automl_waiter.sandbox.server import Sandbox

NewJob = Callable[[str], str]


@pytest.mark.parametrize(
    ("script", "code", "arguments"),
    [
        ("completed", 0, ["--poll", "0.1s"]),
        ("failed", 10, ["--poll", "0.1s"]),
        ("stopped", 11, ["--poll", "0.1s"]),
        ("deploy-error", 12, ["--poll", "0.1s"]),
        ("explainability-error", 0, ["--poll", "0.1s"]),
        ("explainability-error", 12, ["--poll", "0.1s", "--require", "all"]),
        ("deploy-error", 0, ["--poll", "0.1s", "--require", "none"]),
        ("completed", 15, ["--poll", "0.1s", "--until", "DeployingModel"]),
        ("failed", 10, ["--poll", "0.1s", "--until", "DeployingModel"]),
        ("endless", 0, ["--until", "ModelTuning"]),
        ("endless", 0, ["--until", "InProgress"]),
        ("endless", 0, ["--until", "length(AutoMLJobInputDataConfig) == `1`"]),
        ("endless", 124, ["--timeout", "0"]),
        ("endless", 124, ["--timeout", "1s", "--poll", "0.3s"]),
    ],
)
def test_exit_code_reports_how_the_wait_ended(
    inside: Command, new_job: NewJob, script: str, code: int, arguments: list[str]
) -> None:
    """Each way a wait can end has its own exit code, also in the JSON."""
    result = inside("wait", new_job(script), *arguments, "-o", "json")
    assert result.returncode == code, result.stderr
    document = json.loads(result.stdout)
    assert document["exit_code"] == document["jobs"][0]["exit_code"] == code
    assert "Traceback" not in result.stderr


def test_status_of_a_running_job_is_75(inside: Command, new_job: NewJob) -> None:
    """`status` polls once and exits with 75 while the job is in progress."""
    result = inside("status", new_job("endless"), "-o", "json")
    assert result.returncode == 75
    [job] = json.loads(result.stdout)["jobs"]
    assert (job["verdict"], job["polls"]) == ("in_progress", 1)


def test_unknown_job_exits_with_14_and_suggests_the_nearest_name(inside: Command, new_job: NewJob) -> None:
    """The message names the region and the job with the most similar name."""
    name = new_job("endless")
    result = inside("status", name[:-1] + "z")
    assert result.returncode == 14
    assert "us-east-1" in result.stderr
    assert name in result.stderr


@pytest.mark.long
def test_unknown_job_has_a_document_with_nulls(inside: Command) -> None:
    """`wait` polls a name that the listing lacks once more, and its document has nulls."""
    result = inside("wait", "no-such-job", "-o", "json")
    assert result.returncode == 14
    assert "no AutoML job 'no-such-job'" in result.stderr
    [job] = json.loads(result.stdout)["jobs"]
    assert job["status"] is None
    assert job["job_arn"] is None
    assert job["describe"] == {}
    assert job["error"]["type"] == "JobNotFound"


@pytest.mark.parametrize(
    "arguments",
    [
        ["wait"],
        ["wait", "a", "--unknown-flag"],
        ["wait", "a_b"],
        ["wait", "a" * 33],
        ["wait", "arn:aws:sagemaker:us-east-1:1234:automl-job/x"],
        ["wait", "a", "--timeout", "soon"],
        ["wait", "a", "--poll", "0"],
        ["wait", "a", "--poll", "1h30"],
        ["wait", "a", "--until", "Complet"],
        ["wait", "a", "--until", "BestCandidate.["],
        ["wait", "a", "--until", "[" * 3000 + "]" * 3000],
        ["wait", "a", "--timeout", "9" * 400],
        ["wait", "a", "--until", "BestCandidate.FinalAutoMLJobObjectiveMetric.Valu > `1`"],
        ["wait", "a", "--stop-on", "until"],
        ["wait", "a", "b", "--any", "--fail-fast"],
        ["wait", "a", "--require", "everything"],
        ["wait", "a", "--profile", "no-such-profile"],
        ["wait", "a", "--exec", ""],
        ["wait", "a", "--exec", "no-such-program"],
        ["wait", "a", "--exec", "echo 'open"],
        ["observe"],
    ],
)
def test_bad_usage_exits_with_2_and_one_line(inside: Command, arguments: list[str]) -> None:
    """Bad usage exits with 2, one line on stderr and nothing on stdout."""
    result = inside(*arguments, "-o", "json") if arguments[0] == "wait" else inside(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr


def test_command_without_arguments_prints_the_help(inside: Command) -> None:
    """The help goes to stderr, and the exit code is that of bad usage."""
    result = inside()
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == inside("--help").stdout


def test_invalid_endpoint_is_one_line(inside: Command) -> None:
    """An endpoint that the SDK cannot call is reported as each job's outcome, in one line."""
    result = inside("wait", "a", "--endpoint-url", "http://127.0.0.1:99999", "-o", "json")
    assert result.returncode == json.loads(result.stdout)["exit_code"] == 2
    assert "Port out of range" in result.stderr
    assert "Traceback" not in result.stderr


def test_quiet_any_prints_nothing_on_success(inside: Command, new_job: NewJob) -> None:
    """With --any, jobs that are still running are not an error, so -q prints nothing."""
    result = inside("wait", new_job("endless"), new_job("completed"), "--any", "--poll", "0.1s", "-q")
    assert (result.returncode, result.stderr) == (0, "")


def test_missing_region_exits_with_2(inside: Command) -> None:
    """Without a region no call is made, and the message says what to set."""
    result = inside("wait", "a", environment={"AWS_REGION": "", "AWS_DEFAULT_REGION": ""})
    assert (result.returncode, result.stdout) == (2, "")
    assert "--region" in result.stderr


def test_missing_credentials_exit_with_77(inside: Command) -> None:
    """Without credentials the wait ends at once with one line."""
    result = inside("wait", "a", environment={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""})
    assert result.returncode == 77
    assert "no AWS credentials" in result.stderr
    assert "Traceback" not in result.stderr


def test_json_has_exactly_the_documented_members(inside: Command, new_job: NewJob) -> None:
    """`-o json` prints one object with the documented members and no others."""
    result = inside("wait", new_job("completed"), "--poll", "0.1s", "-o", "json")
    document = json.loads(result.stdout)
    assert list(document) == ["exit_code", "jobs"]
    [job] = document["jobs"]
    assert set(job) == set(
        "job_name job_arn status secondary_status verdict exit_code shortfalls failure_reason partial_failure_reasons error "
        "created_at ended_at waited_seconds polls retries transitions best_candidate endpoint_name describe".split()
    )
    assert job["best_candidate"] == {"name": f"{job['job_name']}-001", "metric": "F1", "value": 0.91}
    assert job["transitions"][0]["before"] is None
    assert job["transitions"][-1]["after"] == {"status": "Completed", "secondary_status": "Completed"}
    assert "ResponseMetadata" not in job["describe"]
    for instant in (job["created_at"], job["ended_at"], job["transitions"][0]["observed_at"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", instant)


def test_output_page_names_every_member_and_variable() -> None:
    """The page lists each member of a job in the JSON and each environment variable of --exec."""
    page = (ROOT / "docs" / "reference" / "output.md").read_text()
    outcome = Outcome(job="a", job_name="a", verdict=Verdict.IN_PROGRESS, exit_code=ExitCode.IN_PROGRESS)
    at = datetime(2026, 11, 24, tzinfo=UTC)
    variables = environment_of(Transition("a", "arn", None, State("InProgress", "Starting"), at, None))
    assert [name for name in [*outcome.to_dict(), *variables] if f"`{name}`" not in page] == []


def test_jsonl_prints_one_event_per_line(inside: Command, new_job: NewJob) -> None:
    """`-o jsonl` has a line for each transition and one for the outcome, each with event, at and job_name."""
    name = new_job("completed")
    result = inside("wait", name, "--poll", "0.1s", "-o", "jsonl")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert all({"event", "at", "job_name"} <= set(event) for event in events)
    assert {event["job_name"] for event in events} == {name}
    assert [event["event"] for event in events] == ["transition", "transition", "outcome"]
    assert events[-1]["verdict"] == "completed"


def test_output_to_a_file_has_no_control_characters(inside: Command, new_job: NewJob) -> None:
    """Text from AWS is cleaned for people and unchanged in the JSON."""
    name = new_job("failed")
    text = inside("wait", name, "--poll", "0.1s")
    assert "no [31m data" in text.stdout
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text.stdout + text.stderr)
    document = json.loads(inside("status", name, "-o", "json").stdout)
    assert document["jobs"][0]["failure_reason"] == "no\x1b[31m data"


def test_quiet_prints_errors_only(inside: Command, new_job: NewJob) -> None:
    """`-q` prints nothing to stderr for a success, and an error for a failure."""
    assert inside("wait", new_job("completed"), "--poll", "0.1s", "-q").stderr == ""
    assert "error" in inside("wait", new_job("failed"), "--poll", "0.1s", "-q", "-o", "none").stderr


def test_log_format_json_prints_one_json_object_per_line(inside: Command, new_job: NewJob) -> None:
    """`--log-format json` makes every line of stderr a JSON object with an event and a level."""
    result = inside("wait", new_job("completed"), "--poll", "0.1s", "--log-format", "json", "-o", "none")
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert {"transition", "outcome"} <= {line["event"] for line in lines}
    assert all("level" in line for line in lines)


def test_exit_code_of_several_jobs_is_the_most_severe(command: Command, new_job: NewJob) -> None:
    """The document has every outcome in the given order, and the most severe one decides the exit code."""
    good, bad = new_job("completed"), new_job("failed")
    result = command("wait", "-", "--poll", "0.1s", "-o", "json", typed=f"{good}\n{bad}\n")
    assert result.returncode == 10
    assert [job["job_name"] for job in json.loads(result.stdout)["jobs"]] == [good, bad]


@pytest.mark.parametrize(
    ("flag", "scripts", "code", "verdicts"),
    [
        ("--any", ["endless", "completed"], 0, ["in_progress", "completed"]),
        ("--any", ["endless", "failed"], 10, ["in_progress", "failed"]),
        ("--fail-fast", ["endless", "failed"], 10, ["in_progress", "failed"]),
        ("--fail-fast", ["completed", "explainability-error"], 0, ["completed", "degraded"]),
    ],
)
def test_any_and_fail_fast_end_the_wait_at_the_deciding_job(
    inside: Command, new_job: NewJob, flag: str, scripts: list[str], code: int, verdicts: list[str]
) -> None:
    """With --any the first end decides, with --fail-fast the first without success; the other jobs stay in progress."""
    jobs = [new_job(script) for script in scripts]
    result = inside("wait", *jobs, flag, "--poll", "0.1s", "-o", "json", "--timeout", "30s")
    assert result.returncode == code
    assert [job["verdict"] for job in json.loads(result.stdout)["jobs"]] == verdicts


@pytest.mark.parametrize(("cause", "code"), [("timeout", 124), ("until", 0)])
def test_stop_on_stops_the_job(inside: Command, new_job: NewJob, cause: str, code: int) -> None:
    """--stop-on stops the job, waits until it has stopped, and keeps the exit code of the cause."""
    arguments = ["--timeout", "0.5s"] if cause == "timeout" else ["--until", "ModelTuning"]
    result = inside("wait", new_job("endless"), *arguments, "--stop-on", cause, "--poll", "0.1s", "-o", "json")
    assert result.returncode == code
    assert json.loads(result.stdout)["jobs"][0]["status"] == "Stopped"


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signal_ends_the_wait_and_prints_the_outcome_so_far(
    endpoint: Sandbox, new_job: NewJob, signum: signal.Signals, code: int
) -> None:
    """SIGINT, SIGTERM and SIGHUP end the wait, and stdout has the last known state."""
    env = clean_environment(AWS_ENDPOINT_URL_SAGEMAKER=endpoint.url, AWS_REGION="us-east-1")
    with start("wait", new_job("endless"), "-o", "json", env=env) as process:
        assert process.stderr is not None
        assert "ModelTuning" in process.stderr.readline()
        process.send_signal(signum)
        stdout, _ = process.communicate(timeout=10)
    assert process.returncode == code
    document = json.loads(stdout)
    assert document["exit_code"] == code
    assert document["jobs"][0]["verdict"] == "cancelled"
    assert document["jobs"][0]["status"] == "InProgress"


def test_aws_flags_work_before_and_after_the_command(endpoint: Sandbox, new_job: NewJob) -> None:
    """--region and --endpoint-url work on either side of the command."""
    name = new_job("endless")
    flags = ["--region", "us-east-1", "--endpoint-url", endpoint.url]
    for arguments in ([*flags, "status", name], ["status", *flags, name]):
        assert run([*COMMAND, *arguments], env=clean_environment()).returncode == 75


def test_an_arn_names_the_job_and_its_region(inside: Command, endpoint: Sandbox, new_job: NewJob) -> None:
    """With an ARN the client uses the ARN's region, whatever region is configured."""
    arn = f"arn:aws:sagemaker:us-east-1:123456789012:automl-job/{new_job('endless')}"
    result = inside("status", arn, environment={"AWS_REGION": "eu-west-1"})
    assert result.returncode == 75, result.stderr
