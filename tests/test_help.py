"""What the command says of itself, and of what it does not understand."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Command

from automl_waiter.cli.github import outputs_of
from automl_waiter.cli.output import DISPLAYS
from automl_waiter.testing import Timeline, simulate

OUTPUT = (ROOT / "docs" / "reference" / "output.md").read_text()
COMMANDS = ["wait", "watch", "status", "report", "history", "demo", "sandbox", "export"]


@pytest.mark.parametrize("name", [*COMMANDS, "export asl", "export iam-policy"])
def test_each_command_has_a_page(inside: Command, name: str) -> None:
    """--help has an example and no option without a word on it."""
    text = inside(*name.split(), "--help").stdout
    assert "\nExamples:\n" in text
    assert f"    $ automl-waiter {name}" in text
    lines = text.splitlines()
    flags = [number for number, line in enumerate(lines) if line.startswith("  -")]
    assert flags
    for number in flags:
        assert len(lines[number].split("  ")) > 2 or lines[number + 1].startswith("      ")


def test_the_pages_in_the_docs_are_those_of_the_inside() -> None:
    """docs/reference/command.md is what docs/make_command.py makes, but for where lines are broken."""
    code = "import runpy; print(runpy.run_path('docs/make_command.py')['page']())"
    made = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert made.split() == (ROOT / "docs" / "reference" / "command.md").read_text().split()


def test_the_most_used_commands_come_first(inside: Command) -> None:
    """The list of commands begins with those that people use, not with those that the alphabet prefers."""
    listed = [
        line.split()[0] for line in inside("--help").stdout.partition("Commands:\n")[2].split("\n\n")[0].splitlines()
    ]
    assert listed == COMMANDS


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["wiat", "a"], "no command 'wiat'; did you mean wait?"),
        (["xyz"], "no command 'xyz'; commands: wait, watch, status, report, history, demo, sandbox, export"),
        (["wait", "a", "--timeuot", "3"], "--timeout"),
        (["wait", "a", "--output", "jsn"], "'json'"),
    ],
)
def test_the_nearest_word_is_named(inside: Command, arguments: list[str], told: str) -> None:
    """A command, a flag or a value that there is not is one line that names the one that was meant."""
    result = inside(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert told in line


def test_the_nearest_job_of_a_journal_is_named(inside: Command, new_job: object, tmp_path: Path) -> None:
    """A job that the journal does not hold is one line with the one that was meant."""
    assert callable(new_job)
    job, journal = new_job("failed"), str(tmp_path / "jobs.db")
    assert inside("wait", job, "--journal", journal, "--poll", "0.2s").returncode == 10
    result = inside("history", "--journal", journal, f"{job}x")
    assert result.returncode == 2
    assert f"has no job '{job}x'; did you mean {job}?" in result.stderr


def test_the_page_of_the_output_has_each_choice_of_progress() -> None:
    for choice in DISPLAYS[1:]:
        assert f"| `{choice}` | " in OUTPUT


def test_the_page_of_the_output_names_the_outputs_of_a_step() -> None:
    outcome = simulate(Timeline([(0, "Completed", "Completed")])).outcome
    assert all(f"`{name}`" in OUTPUT for name in outputs_of([outcome], outcome.exit_code))
