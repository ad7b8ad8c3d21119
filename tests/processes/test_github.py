"""When the command writes the outputs, summary and annotations of GitHub Actions."""

import json
from pathlib import Path

import pytest
from github import outputs
from programs import Command

from automl_waiter import Verdict


def test_watch_writes_outputs_too(inside: Command, new_job: object, tmp_path: Path) -> None:
    """The outputs of a watch have the same members as those of a wait."""
    assert callable(new_job)
    job, output = new_job("failed"), tmp_path / "output"
    files = {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(output)}
    result = inside("watch", "--name-contains", job, "--until-idle", "--poll", "0.5s", "-o", "none", environment=files)
    assert result.returncode == 10
    found = outputs(output.read_text())
    assert (found["job-name"], found["status"], found["verdict"]) == (job, "Failed", "failed")


@pytest.mark.parametrize(
    ("flags", "setting", "is_written"),
    [
        ([], {"GITHUB_ACTIONS": "true"}, True),
        ([], {"GITHUB_ACTIONS": ""}, False),
        (["--progress", "lines"], {"GITHUB_ACTIONS": "true"}, False),
        (["--progress", "github"], {"GITHUB_ACTIONS": ""}, True),
        (["--log-format", "json"], {"GITHUB_ACTIONS": "true"}, True),
    ],
)
def test_github_progress_is_detected_and_can_be_switched(
    inside: Command, new_job: object, tmp_path: Path, flags: list[str], setting: dict[str, str], is_written: bool
) -> None:
    """The command writes all three in GitHub Actions or on request; a JSON log stays JSON."""
    assert callable(new_job)
    job = new_job("failed")
    files = {"GITHUB_OUTPUT": str(tmp_path / "output"), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    result = inside("wait", job, "--poll", "0.1s", *flags, environment=setting | files)
    assert result.returncode == 10
    assert (tmp_path / "output").exists() is (tmp_path / "summary").exists() is is_written
    is_json = "json" in flags
    commands = [line for line in result.stderr.splitlines() if line.startswith("::")]
    assert commands == ([f"::error title={job}::{job}: failed: no [31m data"] if is_written and not is_json else [])
    assert "::" not in result.stdout
    if is_written:
        assert outputs((tmp_path / "output").read_text())["verdict"] == Verdict.FAILED
    if is_json:
        assert all(json.loads(line) for line in result.stderr.splitlines())
