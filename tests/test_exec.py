"""`--exec`: what the user's own command is told, and what it cannot do to the wait."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from processes import endpoint_environment, start

from automl_waiter._model.statuses import State
from automl_waiter._model.tracker import Transition
from automl_waiter._system.file_lock import FileLock
from automl_waiter.cli import execute
from automl_waiter.cli.execute import CommandRunner
from automl_waiter.sandbox.server import Sandbox

NewJob = Callable[[str], str]

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


def transition(number: int = 0, status: str = "InProgress") -> Transition:
    return Transition(f"job-{number}", f"arn:job-{number}", None, State(status, "Starting"), NOW, None)


class Reports:
    """What a runner reported."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, job_name: str, line: str) -> None:
        self.lines.append(f"{job_name}: {line}")


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not collected yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_each_transition_is_told_in_the_environment(command: Command, new_job: NewJob, tmp_path: Path) -> None:
    """The command runs once for each transition, in order, with both statuses, the one before, and the instant."""
    told = tmp_path / "told"
    program = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('AUTOML_')}))"
    script = tmp_path / "tell.sh"
    script.write_text(f'exec {shlex.quote(sys.executable)} -c "$1" >>{shlex.quote(str(told))}\n')
    name = new_job("failed")
    line = shlex.join(["sh", str(script), program])
    result = command("wait", name, "--poll", "0.2s", "-o", "json", "--exec", line)
    assert result.returncode == 10, result.stderr
    [job] = json.loads(result.stdout)["jobs"]
    first, last = map(json.loads, told.read_text().splitlines())
    assert first == {
        "AUTOML_JOB_NAME": name,
        "AUTOML_JOB_ARN": job["job_arn"],
        "AUTOML_STATUS": "InProgress",
        "AUTOML_SECONDARY_STATUS": "AnalyzingData",
        "AUTOML_PREVIOUS_STATUS": "",
        "AUTOML_PREVIOUS_SECONDARY_STATUS": "",
        "AUTOML_OBSERVED_AT": job["transitions"][0]["observed_at"],
        "AUTOML_TRANSITION_ID": first["AUTOML_TRANSITION_ID"],
    }
    assert len({first["AUTOML_TRANSITION_ID"], last["AUTOML_TRANSITION_ID"]}) == 2
    assert (last["AUTOML_STATUS"], last["AUTOML_PREVIOUS_STATUS"]) == ("Failed", "InProgress")
    assert (last["AUTOML_SECONDARY_STATUS"], last["AUTOML_PREVIOUS_SECONDARY_STATUS"]) == ("Failed", "AnalyzingData")


def test_no_shell_reads_the_command(command: Command, new_job: NewJob, tmp_path: Path) -> None:
    """A pipe, a variable and a semicolon are words like any other; what the command prints goes to stderr."""
    line = f"printf '%s|' one > {tmp_path}/file; $HOME `id` 'two words'"
    result = command("wait", new_job("completed"), "--poll", "0.2s", "-o", "json", "-q", "--exec", line)
    assert result.returncode == 0
    assert json.loads(result.stdout)["exit_code"] == 0, "stdout is for the result alone"
    assert f"one|>|{tmp_path}/file;|$HOME|`id`|two words|" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flags", [[], ["-q"], ["--log-format", "json"]])
def test_a_command_that_fails_is_told_and_changes_nothing(command: Command, new_job: NewJob, flags: list[str]) -> None:
    """Its exit code stands on stderr, also with -q; the wait ends with the job's own exit code."""
    result = command("wait", new_job("completed"), "--poll", "0.2s", "-o", "none", *flags, "--exec", "sh -c 'exit 3'")
    assert result.returncode == 0
    [line] = [line for line in result.stderr.splitlines() if "Completed/Completed)" in line]
    assert "--exec sh exited with 3" in line
    if "json" in flags:
        assert json.loads(line)["level"] == "error"


def test_a_command_that_is_slow_does_not_hold_up_the_wait(endpoint: Sandbox, new_job: NewJob, tmp_path: Path) -> None:
    """The wait sees the job's end while the command runs, and ends when the command has run for each transition."""
    ends, may_end = tmp_path / "ends", tmp_path / "may-end"
    line = f"sh -c 'until test -e {may_end}; do sleep 0.05; done; echo $AUTOML_SECONDARY_STATUS >>{ends}'"
    env = endpoint_environment(endpoint.url)
    with start("wait", new_job("completed"), "--poll", "0.2s", "-o", "jsonl", "--exec", line, env=env) as process:
        assert process.stdout is not None
        told = [json.loads(process.stdout.readline())["event"] for _ in range(3)]
        assert not ends.exists()
        may_end.touch()
        assert process.wait(30) == 0
    assert told == ["transition", "transition", "outcome"]
    assert ends.read_text().split() == ["ModelTuning", "Completed"]


def test_a_command_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    """After its limit the whole process group is gone, though it ignores SIGTERM; the next transition is told."""
    pids = tmp_path / "pids"
    program = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if os.environ['AUTOML_JOB_NAME'] == 'job-1': sys.exit()\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(60)\n"
    )
    runner = CommandRunner(python(program), reports := Reports(), limit=1.0)
    for number in range(2):
        runner.deliver(transition(number))
    begun = time.monotonic()
    runner.finish()
    assert time.monotonic() - begun < 15
    assert not any(is_alive(int(pid)) for pid in pids.read_text().split())
    name = os.path.basename(sys.executable)
    assert reports.lines == [f"job-0: --exec {name} was killed after 1s (on InProgress/Starting)"]


def test_an_interrupted_wait_ends_the_command_and_says_what_was_not_run(tmp_path: Path) -> None:
    """`abandon` ends the command that runs, at once; it and those that did not run are told."""
    runner = CommandRunner(["sh", "-c", f"touch {tmp_path}/begun; sleep 60"], reports := Reports())
    for number in range(2):
        runner.deliver(transition(number))
    wait_until((tmp_path / "begun").exists)
    begun = time.monotonic()
    runner.abandon()
    runner.finish()
    assert time.monotonic() - begun < 5
    assert reports.lines == [
        "job-0: --exec sh was killed: the wait was interrupted (on InProgress/Starting)",
        "job-1: --exec sh did not run: the wait was interrupted (on InProgress/Starting)",
    ]


def test_an_interrupt_in_the_moment_of_the_start_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that is being started when the signal comes does not run on."""
    runner = CommandRunner(["sleep", "60"], reports := Reports())
    popen = subprocess.Popen

    def slow_start(*words: Any, **options: Any) -> Any:
        process = popen(*words, **options)
        runner.abandon()
        return process

    monkeypatch.setattr(subprocess, "Popen", slow_start)
    runner.deliver(transition())
    begun = time.monotonic()
    runner.finish()
    assert time.monotonic() - begun < 5
    assert reports.lines == ["job-0: --exec sleep was killed: the wait was interrupted (on InProgress/Starting)"]


def test_a_command_that_is_not_ours_to_end_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs as somebody else by now (sudo) cannot be killed: that is told, and the next transition is, too."""

    def refuse(*_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "killpg", refuse)
    monkeypatch.setattr(execute, "_KILL_AFTER", 0.1)
    script = "test $AUTOML_JOB_NAME = job-1 || sleep 3"
    runner = CommandRunner(["sh", "-c", script], reports := Reports(), limit=0.2)
    for number in range(2):
        runner.deliver(transition(number))
    runner.finish()
    assert reports.lines == ["job-0: --exec sh has run for 0.2s and cannot be killed (on InProgress/Starting)"]

    runner = CommandRunner(["sleep", "3"], Reports())
    runner.deliver(transition())
    begun = time.monotonic()
    runner.abandon()
    runner.finish()
    assert time.monotonic() - begun < 2.5


def test_a_signal_while_the_last_command_runs_ends_that_command(
    endpoint: Sandbox, new_job: NewJob, tmp_path: Path
) -> None:
    """A job that has ended keeps its exit code and its result when a signal cuts its command short."""
    env = endpoint_environment(endpoint.url)
    line = "sh -c 'echo begun $AUTOML_STATUS; test $AUTOML_STATUS = InProgress || sleep 60'"
    with start("wait", new_job("completed"), "--poll", "0.2s", "-o", "json", "--exec", line, env=env) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["exit_code"] == 0
        while "begun Completed" not in process.stderr.readline():
            pass
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - begun < 5
        assert "was killed: the wait was interrupted" in process.stderr.read()


def test_a_command_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    """A program that went away meanwhile is reported for each transition, and raises nothing."""
    runner = CommandRunner([str(tmp_path / "gone")], reports := Reports())
    runner.deliver(transition())
    runner.finish()
    [line] = reports.lines
    assert line.startswith("job-0: --exec gone could not be run: ")
    assert "No such file" in line


def test_a_status_from_aws_reaches_the_command_without_control_characters(tmp_path: Path) -> None:
    """What AWS sent is cleaned for the environment too: a NUL could not be passed, an escape would reach a terminal."""
    told = tmp_path / "told"
    program = f"import os; open({str(told)!r}, 'w').write(os.environ['AUTOML_STATUS'])"
    runner = CommandRunner(python(program), reports := Reports())
    runner.deliver(transition(status="In\x1b[2J\x00Progress"))
    runner.finish()
    assert told.read_text() == "In [2J Progress"
    assert reports.lines == []


def test_no_thread_is_left() -> None:
    """`finish` returns when the runner's thread is over."""
    before = threading.active_count()
    runner = CommandRunner(["true"], Reports())
    runner.deliver(transition())
    runner.finish()
    assert threading.active_count() == before


def test_a_command_runs_under_its_lock(tmp_path: Path) -> None:
    """While it runs its lock is held, and then it is free again."""
    path = tmp_path / "lock"
    runner = CommandRunner(["test", "-e", str(path)], reports := Reports(), lock_of=lambda *_: FileLock(path))
    runner.deliver(transition())
    runner.finish()
    assert reports.lines == []
    assert not path.exists()
