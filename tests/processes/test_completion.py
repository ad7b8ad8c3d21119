"""Shell completion: job names, statuses and flags, and nothing if anything fails."""

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from environments import clean_environment, endpoint_environment
from forking_programs import search_path
from programs import COMMAND, Command, run

from automl_waiter.sandbox.server import Sandbox

NewJob = Callable[[str], str]


def completed(env: dict[str, str], *words: str) -> list[str]:
    """Return what bash would offer for the last of these words."""
    asked = {"_AUTOML_WAITER_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(["automl-waiter", *words])}
    result = run(COMMAND, env=env | asked | {"COMP_CWORD": str(len(words))})
    assert (result.returncode, result.stderr) == (0, "")
    return [line.partition(",")[2] for line in result.stdout.splitlines() if line]


@pytest.mark.parametrize("words", [["wait"], ["status", "-q"], ["report"], ["wait", "--timeout", "6h"]])
def test_job_names_are_completed(endpoint: Sandbox, new_job: NewJob, words: list[str]) -> None:
    """A job argument completes names with this prefix in any case, except those already on the line."""
    job = new_job("held")
    env = endpoint_environment(endpoint.url)
    assert completed(env, *words, job[:9].upper()) == [job]
    if words == ["wait"]:
        assert completed(env, *words, job, job[:9]) == []


def test_region_and_endpoint_on_the_command_line_apply(endpoint: Sandbox, new_job: NewJob) -> None:
    """Options before or after the command decide where the names are listed."""
    job = new_job("held")
    env = clean_environment()
    where = ["--region", "us-east-1", "--endpoint-url", endpoint.url]
    assert completed(env, *where, "wait", job[:9]) == [job]
    assert completed(env, "wait", *where, job[:9]) == [job]


@pytest.mark.parametrize(
    "env",
    [
        {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
        {"AWS_ENDPOINT_URL_SAGEMAKER": "http://127.0.0.1:9", "AWS_REGION": "us-east-1"},
        {"AWS_PROFILE": "none"},
        {},
    ],
)
def test_completion_fails_silently(env: dict[str, str]) -> None:
    """Without credentials, network, profile or region there are no suggestions, no message and no long delay."""
    begun = time.monotonic()
    assert completed(clean_environment(**env), "wait", "a") == []
    assert time.monotonic() - begun < 15  # two seconds, and the start of a process on a busy machine


def test_history_completes_names_from_the_journal(command: Command, new_job: NewJob, tmp_path: Path) -> None:
    """`history` completes names in the given journal."""
    job, journal = new_job("failed"), str(tmp_path / "jobs.db")
    assert command("wait", job, "--journal", journal, "--poll", "0.1s").returncode == 10
    assert completed(clean_environment(), "history", "--journal", journal, job[:3]) == [job]
    assert completed(clean_environment(), "history", "--journal", str(tmp_path / "none"), "a") == []


def test_statuses_and_flags_are_completed() -> None:
    """`--until` completes phases and statuses, and a dash completes flags."""
    assert completed(clean_environment(), "wait", "a", "--until", "mo") == [
        "ModelTuning",
        "ModelInsightsError",
        "ModelDeploymentError",
    ]
    assert "--stop-on" in completed(clean_environment(), "wait", "a", "--st")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_works_in_each_shell(
    shell: str, endpoint: Sandbox, new_job: NewJob, programs: Path, tmp_path: Path
) -> None:
    """The line from the help completes a name in the shell itself; a shell that is not installed is skipped."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")
    job = new_job("held")
    env = endpoint_environment(endpoint.url, PATH=search_path(programs), HOME=str(tmp_path), TERM="dumb")
    beginning = job[:9]
    scripts = {
        "bash": f"""
            eval "$(_AUTOML_WAITER_COMPLETE=bash_source automl-waiter)"
            COMP_WORDS=(automl-waiter wait {beginning}) COMP_CWORD=2
            _automl_waiter_completion automl-waiter
            echo "${{COMPREPLY[@]}}"
        """,
        # zsh completes only what is typed, so the function that offers is replaced by one that prints.
        "zsh": f"""
            compdef() {{ :; }}
            compstate=()
            eval "$(_AUTOML_WAITER_COMPLETE=zsh_source automl-waiter)"
            _describe() {{ print -r -- ${{(P)3}}; }}
            compadd() {{ print -r -- "$@"; }}
            words=(automl-waiter wait {beginning}) CURRENT=3
            _automl_waiter_completion
        """,
        "fish": f"""
            _AUTOML_WAITER_COMPLETE=fish_source automl-waiter | source
            complete -C 'automl-waiter wait {beginning}'
        """,
    }
    words = {"bash": ["bash", "--norc"], "zsh": ["zsh", "-f"], "fish": ["fish", "--no-config"]}[shell]
    result = subprocess.run(
        [*words, "-c", scripts[shell]], env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert re.search(rf"\b{job}\b", result.stdout), result.stdout + result.stderr
