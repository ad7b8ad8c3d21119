"""What SECURITY.md promises of the whole command; each other promise has its tests beside the feature."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from environments import endpoint_environment
from programs import Command

from automl_waiter._model import secrets
from automl_waiter.sandbox.server import Sandbox
from automl_waiter.testing import Timeline


def test_commands_connect_to_the_aws_endpoint_only(
    inside: Command, new_job: Callable[[str], str], endpoint: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No telemetry: a wait, a status and a report, with the log of the failure, open no other connection."""
    reached: set[Any] = set()
    connect = socket.socket.connect

    def recorded(self: socket.socket, address: Any) -> None:
        reached.add(address)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", recorded)
    name = new_job("failed")
    assert inside("wait", name, "--poll", "0.1s").returncode == 10
    assert inside("status", name).returncode == 10
    assert inside("report", name, "--format", "html").returncode == 0
    url = urlsplit(endpoint.url)
    assert reached == {(url.hostname, url.port)}


def test_no_secret_is_in_the_journal(inside: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a key that AWS's text repeats nor an argument of the user's command is in a file of the journal."""
    monkeypatch.setattr(secrets, "_forms", {})
    monkeypatch.setattr(secrets, "_compiled", None)
    key, journal = "wJalrXUtnFEMIK7MDENG", str(tmp_path / "journal")
    script = Timeline([(0, "Failed", "Failed")], failure_reason=f"denied for {key}")
    with Sandbox(scenario="denied", scenarios={"denied": script}) as sandbox:
        sandbox.create_job("churn")
        environment = endpoint_environment(sandbox.url, AWS_SECRET_ACCESS_KEY=key)
        words = ("wait", "churn", "--journal", journal, "--exec", "true --token hunter2")
        result = inside(*words, environment=environment)
    assert result.returncode == 10
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"denied for ***" in kept
    for text in (key, "hunter2"):
        assert text.encode() not in kept
        assert text not in result.stdout + result.stderr
