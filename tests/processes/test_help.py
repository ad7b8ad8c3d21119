"""The help of the command, and its messages for unknown words."""

import subprocess
import sys
from pathlib import Path

import pytest
from programs import Command
from repository import ROOT

from automl_waiter.cli.github import outputs_of
from automl_waiter.cli.output import DISPLAYS
from automl_waiter.testing import Timeline, simulate

OUTPUT = (ROOT / "docs" / "reference" / "output.md").read_text()
COMMANDS = ["wait", "watch", "status", "report", "history", "demo", "sandbox", "export"]


@pytest.mark.parametrize("name", [*COMMANDS, "export asl", "export iam-policy"])
def test_help_has_examples_and_describes_every_option(inside: Command, name: str) -> None:
    """The help of each command has an example and a description of each option."""
    text = inside(*name.split(), "--help").stdout
    assert "\nExamples:\n" in text
    assert f"    $ automl-waiter {name}" in text
    lines = text.splitlines()
    flags = [number for number, line in enumerate(lines) if line.startswith("  -")]
    assert flags
    for number in flags:
        assert len(lines[number].split("  ")) > 2 or lines[number + 1].startswith("      ")


def test_command_page_matches_the_help() -> None:
    """docs/reference/command.md is the output of docs/make_command.py, except for line breaks."""
    code = "import runpy; print(runpy.run_path('docs/make_command.py')['page']())"
    made = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert made.split() == (ROOT / "docs" / "reference" / "command.md").read_text().split()


def test_the_most_used_commands_come_first(inside: Command) -> None:
    """The list of commands begins with the most used ones, not in alphabetical order."""
    listed = [
        line.split()[0] for line in inside("--help").stdout.partition("Commands:\n")[2].split("\n\n")[0].splitlines()
    ]
    assert listed == COMMANDS


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["wiat", "a"], "no command 'wiat'; did you mean wait?"),
        (["xyz"], "no command 'xyz'; commands: wait, watch, status, report, history, demo, sandbox, export"),
        (["wait", "a", "--timeuot", "3"], "--timeout"),
        (["wait", "a", "--output", "jsn"], "'json'"),
    ],
)
def test_unknown_word_suggests_the_nearest(inside: Command, arguments: list[str], expected: str) -> None:
    """An unknown command, flag or value is one line with a suggestion."""
    result = inside(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert expected in line


def test_unknown_job_in_a_journal_suggests_the_nearest(inside: Command, new_job: object, tmp_path: Path) -> None:
    """A job that the journal does not contain is one line with a suggestion."""
    assert callable(new_job)
    job, journal = new_job("failed"), str(tmp_path / "jobs.db")
    assert inside("wait", job, "--journal", journal, "--poll", "0.1s").returncode == 10
    result = inside("history", "--journal", journal, f"{job}x")
    assert result.returncode == 2
    assert f"has no job '{job}x'; did you mean {job}?" in result.stderr


def test_output_page_lists_each_progress_choice() -> None:
    for choice in DISPLAYS[1:]:
        assert f"| `{choice}` | " in OUTPUT


def test_output_page_lists_the_step_outputs() -> None:
    outcome = simulate(Timeline([(0, "Completed", "Completed")])).outcome
    assert all(f"`{name}`" in OUTPUT for name in outputs_of([outcome], outcome.exit_code))
