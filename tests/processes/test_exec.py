"""`--exec`: what the user's command receives, and what it cannot do to the wait."""

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
from environments import endpoint_environment
from programs import Command, start

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
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_command_gets_each_transition_in_its_environment(command: Command, new_job: NewJob, tmp_path: Path) -> None:
    """The command runs once for each transition, in order, with both statuses, the previous ones and the time."""
    printed = tmp_path / "printed"
    program = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('AUTOML_')}))"
    script = tmp_path / "notify.sh"
    script.write_text(f'exec {shlex.quote(sys.executable)} -c "$1" >>{shlex.quote(str(printed))}\n')
    name = new_job("failed")
    line = shlex.join(["sh", str(script), program])
    result = command("wait", name, "--poll", "0.1s", "-o", "json", "--exec", line)
    assert result.returncode == 10, result.stderr
    [job] = json.loads(result.stdout)["jobs"]
    first, last = map(json.loads, printed.read_text().splitlines())
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


def test_command_is_not_run_by_a_shell(command: Command, new_job: NewJob, tmp_path: Path) -> None:
    """A pipe, a variable and a semicolon are ordinary words; the command's output goes to stderr."""
    line = f"printf '%s|' one > {tmp_path}/file; $HOME `id` 'two words'"
    result = command("wait", new_job("completed"), "--poll", "0.1s", "-o", "json", "-q", "--exec", line)
    assert result.returncode == 0
    assert json.loads(result.stdout)["exit_code"] == 0, "stdout is for the result alone"
    assert f"one|>|{tmp_path}/file;|$HOME|`id`|two words|" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flags", [[], ["-q"], ["--log-format", "json"]])
def test_failing_command_is_reported_and_changes_no_exit_code(
    command: Command, new_job: NewJob, flags: list[str]
) -> None:
    """Stderr has its exit code, also with -q; the wait ends with the job's own exit code."""
    result = command("wait", new_job("completed"), "--poll", "0.1s", "-o", "none", *flags, "--exec", "sh -c 'exit 3'")
    assert result.returncode == 0
    [line] = [line for line in result.stderr.splitlines() if "Completed/Completed)" in line]
    assert "--exec sh exited with 3" in line
    if "json" in flags:
        assert json.loads(line)["level"] == "error"


def test_slow_command_does_not_block_the_wait(endpoint: Sandbox, new_job: NewJob, tmp_path: Path) -> None:
    """The wait observes the job's end while the command runs, and exits after the command ran for each transition."""
    ends, may_end = tmp_path / "ends", tmp_path / "may-end"
    line = f"sh -c 'until test -e {may_end}; do sleep 0.05; done; echo $AUTOML_SECONDARY_STATUS >>{ends}'"
    env = endpoint_environment(endpoint.url)
    with start("wait", new_job("completed"), "--poll", "0.1s", "-o", "jsonl", "--exec", line, env=env) as process:
        assert process.stdout is not None
        printed = [json.loads(process.stdout.readline())["event"] for _ in range(3)]
        assert not ends.exists()
        may_end.touch()
        assert process.wait(30) == 0
    assert printed == ["transition", "transition", "outcome"]
    assert ends.read_text().split() == ["ModelTuning", "Completed"]


@pytest.mark.long
def test_hanging_command_is_killed_with_its_process_group(tmp_path: Path) -> None:
    """The whole group is killed at the limit, although it ignores SIGTERM; the next transition is delivered."""
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


def test_interrupted_wait_kills_the_command_and_reports_the_rest(tmp_path: Path) -> None:
    """`abandon` kills the running command at once; it and those that did not run are reported."""
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


def test_interrupt_during_the_start_kills_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that is being started when the signal comes does not keep running."""
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


def test_command_that_cannot_be_killed_does_not_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that runs as another user (sudo) is reported, and the next transition is delivered."""

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


def test_signal_kills_the_last_command_and_keeps_the_exit_code(
    endpoint: Sandbox, new_job: NewJob, tmp_path: Path
) -> None:
    """A job that has ended keeps its exit code and its result when a signal ends its command."""
    env = endpoint_environment(endpoint.url)
    line = "sh -c 'echo begun $AUTOML_STATUS; test $AUTOML_STATUS = InProgress || sleep 60'"
    with start("wait", new_job("completed"), "--poll", "0.1s", "-o", "json", "--exec", line, env=env) as process:
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


def test_command_that_cannot_start_is_reported(tmp_path: Path) -> None:
    """A program that no longer exists is reported for each transition, and raises nothing."""
    runner = CommandRunner([str(tmp_path / "gone")], reports := Reports())
    runner.deliver(transition())
    runner.finish()
    [line] = reports.lines
    assert line.startswith("job-0: --exec gone could not be run: ")
    assert "No such file" in line


def test_status_in_the_environment_has_no_control_characters(tmp_path: Path) -> None:
    """An environment variable cannot contain NUL, and an escape could reach a terminal."""
    printed = tmp_path / "printed"
    program = f"import os; open({str(printed)!r}, 'w').write(os.environ['AUTOML_STATUS'])"
    runner = CommandRunner(python(program), reports := Reports())
    runner.deliver(transition(status="In\x1b[2J\x00Progress"))
    runner.finish()
    assert printed.read_text() == "In [2J Progress"
    assert reports.lines == []


def test_finish_leaves_no_thread() -> None:
    """`finish` returns after the runner's thread has ended."""
    before = threading.active_count()
    runner = CommandRunner(["true"], Reports())
    runner.deliver(transition())
    runner.finish()
    assert threading.active_count() == before


def test_lock_is_held_while_the_command_runs(tmp_path: Path) -> None:
    """The lock is released afterwards."""
    path = tmp_path / "lock"
    runner = CommandRunner(["test", "-e", str(path)], reports := Reports(), lock_of=lambda *_: FileLock(path))
    runner.deliver(transition())
    runner.finish()
    assert reports.lines == []
    assert not path.exists()
