"""A bug in the command: its result, its exit code and its one line on stderr."""

import json
import os
import sys
from collections.abc import Callable

import programs
import pytest
from environments import endpoint_environment
from programs import Command

from automl_waiter import (
    Outcome,
)
from automl_waiter._wiring import Gateways
from automl_waiter.sandbox.server import Sandbox

NewJob = Callable[[str], str]

BUG = "a bug in automl-waiter, please report it"


def test_command_shows_the_corrected_expression(command: Command) -> None:
    """A quoted number is a one-line usage error, with nothing on stdout."""
    expression = "BestCandidate.FinalAutoMLJobObjectiveMetric.Value > '0.9'"
    result = command("wait", "churn", "--until", expression, "-o", "json")
    assert (result.returncode, result.stdout) == (2, "")
    assert expression.replace("'", "`") in result.stderr
    assert "Traceback" not in result.stderr


# The command


def test_bug_in_the_progress_display_changes_no_result(
    inside: Command, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result and the exit code are the job's, and one line asks the user to report the bug."""
    monkeypatch.setattr("automl_waiter.cli.output.Reporter.report", lambda *_: 1 / 0)
    result = inside("wait", new_job("failed"), "--poll", "0.1s", "-o", "json")
    assert json.loads(result.stdout)["exit_code"] == result.returncode == 10
    assert result.stderr.count(BUG) == 1


@pytest.mark.parametrize(
    "place",
    [
        "session.wait_kernel",
        "output.ResultWriter.write_event",
        "session.Session._hand_out",
        "session.combined_exit_code",
    ],
)
def test_bug_in_the_command_prints_the_document_and_exits_with_70(
    inside: Command, new_job: NewJob, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """The JSON document has an outcome for each job; stderr has one line and no traceback."""
    monkeypatch.setattr(f"automl_waiter.cli.{place}", lambda *_: 1 / 0)
    job = new_job("failed")
    result = inside("wait", job, "--poll", "0.1s", "-o", "json")
    document = json.loads(result.stdout)
    assert result.returncode == document["exit_code"] == 70
    assert [one["job_name"] for one in document["jobs"]] == [job]
    assert result.stderr.count(f"automl-waiter: {BUG} (ZeroDivisionError in ") == 1
    assert "Traceback" not in result.stderr


def test_bug_in_the_document_prints_a_shorter_one(
    inside: Command, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a response cannot be printed, the verdicts still are."""
    to_dict = Outcome.to_dict
    monkeypatch.setattr(Outcome, "to_dict", lambda outcome: to_dict(outcome) if outcome.snapshot is None else 1 / 0)
    job = new_job("failed")
    result = inside("wait", job, "--poll", "0.1s", "-o", "json")
    document = json.loads(result.stdout)
    assert result.returncode == document["exit_code"] == 70
    assert [(one["job_name"], one["verdict"]) for one in document["jobs"]] == [(job, "failed")]


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("report {job}", "report._document"),
        ("export asl", "export._print"),
        ("status {job} -o json", "waiting.ResultWriter"),
    ],
)
def test_every_command_exits_with_70_after_a_bug(
    inside: Command, new_job: NewJob, monkeypatch: pytest.MonkeyPatch, words: str, place: str
) -> None:
    """No command exits with 1 or prints a traceback."""
    monkeypatch.setattr(f"automl_waiter.cli.{place}", lambda *_, **__: 1 / 0)
    result = inside(*words.format(job=new_job("failed")).split())
    assert (result.returncode, result.stdout) == (70, "")
    assert result.stderr.startswith(f"automl-waiter: {BUG} (ZeroDivisionError in ")
    assert "Traceback" not in result.stderr


def test_the_debug_log_has_the_traceback_and_no_control_character(new_job: NewJob, endpoint: Sandbox) -> None:
    """AUTOML_WAITER_DEBUG turns the traceback on, for a bug report."""
    code = (
        "import sys; from automl_waiter.cli import main, app, session\n"
        "session.wait_kernel = lambda *_: int('\\x1b[31m')\n"
        "sys.exit(main())"
    )
    environment = endpoint_environment(endpoint.url, AUTOML_WAITER_DEBUG="1")
    words = [sys.executable, "-c", code, "wait", new_job("failed")]
    result = programs.run(words, env=environment)
    assert result.returncode == 70
    assert "Traceback (most recent call last):\n  File " in result.stderr
    assert "\x1b" not in result.stderr


# A fork


def test_forked_child_makes_its_own_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that share a connection would read each other's responses."""
    made: list[int] = []

    class Connection:
        region, account_key = "us-east-1", "an account"

        def __init__(self, _: object) -> None:
            made.append(os.getpid())

    gateways = Gateways(connect_to=Connection)  # type: ignore[arg-type]
    parent = gateways.default()
    assert gateways.default() is parent
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert gateways.default() is not parent
    assert gateways.default() is gateways.default()
    assert len(made) == 2
