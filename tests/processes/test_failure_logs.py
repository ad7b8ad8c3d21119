"""The log of what failed, as the command, GitHub and the library show it."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from environments import endpoint_environment
from programs import Command, start

from automl_waiter import Outcome, Verdict, aio, describe, failure_logs
from automl_waiter._engine.failure_logs import TIMEOUT_S
from automl_waiter._model.exit_codes import ExitCode
from automl_waiter.cli import demo
from automl_waiter.sandbox.scenarios import SCENARIOS
from automl_waiter.sandbox.server import Sandbox
from automl_waiter.testing import Timeline

NOW = datetime(2026, 11, 24, tzinfo=UTC)
ARN = "arn:aws:sagemaker:us-east-1:123456789012:processing-job/db-1"
REASON = f"Could not complete. Failed Job Arn: {ARN}, Error message: ClientError: no column"
SECRET = "hunter2hunter2"
LOG = ["starting", "\x1b[31mERROR\x1b[0m no column \u202e'churned'", f"PASSWORD={SECRET}", "exit 1"]
FAILED = Timeline([(0, "Failed", "Failed")], failure_reason=REASON, failure_log=LOG)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox with a failed job, whose log holds escape sequences and a secret."""
    bare = Timeline(
        [(0, "InProgress", "ModelTuning"), (900, "Completed", "CandidateDefinitionsGenerated")],
        candidate_failure="no memory",
        failure_log=["MemoryError"],
    )
    with Sandbox(scenarios=SCENARIOS | {"completed": FAILED, "bare": bare}, speed=50_000) as sandbox:
        sandbox.create_job("churn")
        for name in ("candidates-failed", "bare"):
            sandbox.create_job(name, scenario=name)
        yield sandbox


# Through the public interfaces


def is_clean(text: str) -> bool:
    return (
        "ERROR no column" in text and not {"\x1b", "\u202e"} & set(text) and SECRET not in text and "[31m" not in text
    )


@pytest.mark.parametrize(
    ("words", "is_shown"),
    [
        (["wait", "churn"], True),
        (["wait", "churn", "-q"], False),
        (["report", "churn"], True),
        (["report", "churn", "--format", "markdown"], True),
        (["report", "churn", "--format", "html"], True),
        (["report", "churn", "--logs", "none"], False),
    ],
)
def test_command_shows_the_line_that_explains_the_failure(
    inside: Command, sandbox: Sandbox, words: list[str], is_shown: bool
) -> None:
    """Each form shows it without escape sequences and secrets."""
    result = inside(*words, environment=endpoint_environment(sandbox.url))
    assert result.returncode == (10 if words[0] == "wait" else 0)
    assert is_clean(result.stdout) is is_shown
    assert ("Log of processing job db-1" in result.stdout) is is_shown


@pytest.mark.parametrize("command", ["wait", "report"])
def test_command_shows_the_log_of_a_failed_candidate(inside: Command, sandbox: Sandbox, command: str) -> None:
    """The log is that of the first candidate that failed for this reason."""
    result = inside(command, "candidates-failed", environment=endpoint_environment(sandbox.url))
    assert result.stdout.count("Log of training job candidates-failed-008 of candidate candidates-failed-008") == 1
    assert "ERROR - Cannot allocate 61.2 GiB" in result.stdout


def test_summary_shows_why_a_completed_job_has_no_best_candidate(inside: Command, sandbox: Sandbox) -> None:
    """The job gives no reason, but its candidates do."""
    result = inside("wait", "bare", environment=endpoint_environment(sandbox.url))
    assert result.returncode == 12
    assert "Log of training job bare-008 of candidate bare-008\n  MemoryError\n" in result.stdout


@pytest.mark.parametrize("words", [[], ["-q"]])
def test_demo_shows_the_log_unless_quiet(inside: Command, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    """The demo shows the log as a wait does."""
    monkeypatch.setattr(demo, "_PAUSES_S", 0.1)
    monkeypatch.setattr(demo, "_POLLS", 5)
    assert ("Log of" in inside("demo", "--scenario", "failed", *words).stdout) is (not words)


def test_github_summary_shows_the_log(inside: Command, sandbox: Sandbox, tmp_path: Any) -> None:
    """The summary has the log also if stdout is JSON."""
    page = tmp_path / "page"
    environment = endpoint_environment(sandbox.url, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(page))
    inside("wait", "churn", "-o", "json", environment=environment)
    assert is_clean(page.read_text())


def test_library_returns_logs_in_both_shells(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller may pass a session or let the library create one."""
    for name, value in endpoint_environment(sandbox.url).items():
        monkeypatch.setenv(name, value)
    snapshot = describe("churn")
    outcome = Outcome(
        job="churn", job_name="churn", verdict=Verdict.FAILED, exit_code=ExitCode.FAILED, snapshot=snapshot
    )
    [log] = failure_logs(outcome)
    assert log.lines == ("ERROR no column 'churned'", "starting", "PASSWORD=***", "exit 1")
    assert failure_logs(outcome, session=boto3.Session()) == [log] == asyncio.run(aio.failure_logs(outcome))
    assert failure_logs(Outcome(job="x", job_name="x", verdict=Verdict.NOT_FOUND, exit_code=ExitCode.NOT_FOUND)) == []


def test_signal_ends_the_reading_and_keeps_the_exit_code(sandbox: Sandbox) -> None:
    """The job has ended, so the summary is printed without the log."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        env = endpoint_environment(sandbox.url, AWS_ENDPOINT_URL_CLOUDWATCH_LOGS=url)
        with start("wait", "churn", env=env) as process:
            connection, _ = silent.accept()
            process.send_signal(signal.SIGINT)
            begun = time.monotonic()
            stdout, stderr = process.communicate(timeout=30)
            connection.close()
    assert process.returncode == 10, stderr
    assert "churn: failed" in stdout
    assert time.monotonic() - begun < TIMEOUT_S - 1
    assert os.linesep + "Log of" not in stdout
