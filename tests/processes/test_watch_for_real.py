"""Watches through the command and the library over HTTP: killed, signalled, and with a journal."""

import asyncio
import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from environments import endpoint_environment
from programs import Command, start
from scripts import NEVER, Seen

from automl_waiter import Transition, aio, waiter
from automl_waiter._model.events import Sweep
from automl_waiter.cli.output import Reporter
from automl_waiter.sandbox.server import Sandbox
from automl_waiter.testing import EPOCH, Timeline

# The library


PHASES = [
    (0, "InProgress", "AnalyzingData"),
    (NEVER, "InProgress", "FeatureEngineering"),
    (2 * NEVER, "InProgress", "ModelTuning"),
    (3 * NEVER, "InProgress", "GeneratingModelInsightsReport"),
    (4 * NEVER, "Completed", "Completed"),
]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Serve an endpoint whose jobs advance after a poll, or when a test advances them."""
    scripts = {
        "short": Seen([(0, "InProgress", "ModelTuning"), (NEVER, "Completed", "Completed")]),
        "phases": Seen(PHASES, looks=2),
        "held": Timeline(PHASES),
        "failure": Seen([(0, "InProgress", "AnalyzingData"), (NEVER, "Failed", "Failed")], failure_reason="no data"),
    }
    with Sandbox(scenarios=scripts, scenario="short") as sandbox:
        yield sandbox


def created(sandbox: Sandbox, word: str, *scripts: str) -> list[str]:
    """Create jobs whose names contain the word."""
    names = [f"{word}-{number}" for number in range(len(scripts))]
    for name, scenario in zip(names, scripts, strict=True):
        sandbox.create_job(name, scenario=scenario)
    return names


@pytest.mark.parametrize("shell", ["sync", "aio"])
def test_library_watches_all_matching_jobs(sandbox: Sandbox, shell: str) -> None:
    """`watch()` yields the transitions of every job until idle, with and without asyncio, and never raises for a job."""
    names = created(sandbox, f"lib-{shell}", "short", "failure")
    options: dict[str, Any] = {"client": sandbox.client(), "poll": 0.3, "name_contains": f"lib-{shell}"}
    if shell == "sync":
        transitions = list(waiter.watch(until_idle=True, **options))
    else:

        async def collect() -> list[Transition]:
            return [transition async for transition in aio.watch(until_idle=True, **options)]

        transitions = asyncio.run(collect())
    assert {
        (transition.job_name, transition.after.status) for transition in transitions if transition.after.is_terminal
    } == {
        (names[0], "Completed"),
        (names[1], "Failed"),
    }


# The command


def lines(stdout: str, kind: str = "transition") -> list[tuple[str, str]]:
    """Return the job and phase of each transition on stdout."""
    events = [json.loads(line) for line in stdout.splitlines()]
    return [(event["job_name"], event["after"]["secondary_status"]) for event in events if event["event"] == kind]


def test_command_watches_until_idle(endpoint: Sandbox) -> None:
    """Each transition and each end has a line, and the exit code is that of the worst outcome."""
    for number, scenario in enumerate(["held", "held-failure"]):
        endpoint.create_job(f"idle-{number}", scenario=scenario)
    arguments = ("watch", "--until-idle", "--poll", "0.1s", "--name-contains", "idle-")
    with start(*arguments, env=endpoint_environment(endpoint.url)) as process:
        assert process.stdout is not None
        output = process.stdout.readline() + process.stdout.readline()
        for number in range(2):
            endpoint.advance(f"idle-{number}")
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 10
    assert "idle-0: InProgress/ModelTuning" in output
    assert "idle-1: InProgress/AnalyzingData" in output
    assert "idle-0: completed" in stdout
    assert "idle-1: failed: A scripted failure." in stdout
    summary, bad = stderr.splitlines()
    assert summary.startswith("2 jobs followed: 1 ")
    assert bad == "  ✗ idle-1: failed: A scripted failure."


def test_a_signal_ends_a_watch_cleanly(endpoint: Sandbox) -> None:
    """SIGTERM ends a watch with 143 at once, and no outcome is reported for running jobs."""
    endpoint.create_job("signalled-1", scenario="endless")
    arguments = ("watch", "--name-contains", "signalled", "-o", "jsonl")
    with start(*arguments, env=endpoint_environment(endpoint.url)) as process:
        assert process.stdout is not None
        assert "transition" in process.stdout.readline()
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 143
    assert time.monotonic() - begun < 3
    assert stdout == ""
    assert "Traceback" not in stderr


# The journal


def counted(path: Path) -> list[tuple[str, str]]:
    """Return what a command that writes a line for each transition has written."""
    return [tuple(line.split()) for line in path.read_text().splitlines()] if path.exists() else []  # type: ignore[misc]


def acknowledged(journal: Path) -> int:
    """Return the number of acknowledged deliveries in a journal."""
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as database:
        return int(database.execute("SELECT count(acknowledged_at) FROM delivery").fetchone()[0])
    return 0


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_killed_wait_resumes_without_loss_or_repetition(sandbox: Sandbox, tmp_path: Path) -> None:
    """Killed several times, it delivers each transition once to stdout and to --exec, and loses none."""
    names = created(sandbox, "killed", "held", "held")
    log, journal = tmp_path / "log", tmp_path / "journal"
    program = tmp_path / "notify"
    program.write_text(f'#!/bin/sh\necho "$AUTOML_JOB_NAME" "$AUTOML_SECONDARY_STATUS" >> {log}\n')
    program.chmod(0o700)
    arguments = ["wait", *names, "--poll", "0.3s", "-o", "jsonl", "--journal", str(journal), "--exec", str(program)]
    out = tmp_path / "out"
    environment = endpoint_environment(sandbox.url)
    for phase in range(1, len(PHASES)):
        with out.open("a") as stdout, start(*arguments, env=environment, stdout=stdout) as process:
            # Two jobs with two subscribers each. A kill in between repeats at most one delivery.
            until(lambda phase=phase: acknowledged(journal) == 4 * phase)
            process.send_signal(signal.SIGKILL)
        for name in names:  # while nothing watches
            sandbox.advance(name)
    with out.open("a") as stdout, start(*arguments, env=environment, stdout=stdout) as process:
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    for seen in (lines(out.read_text()), counted(log)):
        assert sorted(seen) == sorted((name, phase) for name in names for _, _, phase in PHASES)


@pytest.mark.long
def test_two_processes_with_one_journal_run_a_command_once(sandbox: Sandbox, tmp_path: Path) -> None:
    """Two watches of the same jobs with the same command run it once for each transition."""
    names = created(sandbox, "shared", "held", "held")
    log, program, journal = tmp_path / "log", tmp_path / "notify", tmp_path / "journal"
    # Once it takes so long that the other process sees the same before it is done.
    slowly = '\ntest "$AUTOML_SECONDARY_STATUS" != ModelTuning || sleep 1\n'
    program.write_text(f'#!/bin/sh\necho "$AUTOML_JOB_NAME" "$AUTOML_SECONDARY_STATUS" >> {log}{slowly}')
    program.chmod(0o700)
    arguments = ["watch", "--name-contains", "shared", "--until-idle", "--poll", "0.1s", "-o", "none"]
    arguments += ["--journal", str(journal), "--exec", str(program)]
    environment = endpoint_environment(sandbox.url)
    with start(*arguments, env=environment) as one, start(*arguments, env=environment) as other:
        for process in (one, other):
            assert process.stderr is not None
            assert "InProgress" in process.stderr.readline()
        for phase in range(1, len(PHASES)):
            until(lambda phase=phase: acknowledged(journal) == 2 * phase)
            for name in names:
                sandbox.advance(name)
        for process in (one, other):
            process.communicate(timeout=60)
            assert process.returncode == 0
    assert sorted(counted(log)) == sorted((name, phase) for name in names for _, _, phase in PHASES)


def test_failed_command_is_run_again_by_the_next_process(sandbox: Sandbox, tmp_path: Path) -> None:
    """A transition that its command did not acknowledge is delivered again by the next wait for the job."""
    [name] = created(sandbox, "refused", "short")
    log, program, is_well = tmp_path / "log", tmp_path / "notify", tmp_path / "well"
    program.write_text(f'#!/bin/sh\necho "$AUTOML_SECONDARY_STATUS" >> {log}\ntest -e {is_well}\n')
    program.chmod(0o700)
    arguments = ["wait", name, "--poll", "0.3s", "-o", "none", "-q", "--journal", str(tmp_path / "journal")]
    for _ in range(3):
        with start(*arguments, "--exec", str(program), env=endpoint_environment(sandbox.url)) as process:
            process.communicate(timeout=40)
        assert process.returncode == 0
        is_well.touch()
    runs = [line for [line] in counted(log)]  # type: ignore[misc]
    assert runs.count("Completed") == 2


def test_unusable_journal_is_bad_usage(inside: Command, tmp_path: Path) -> None:
    """A wait never starts without the journal that was requested."""
    for words in (["wait", "churn"], ["watch"]):
        done = inside(*words, "-o", "json", "--journal", str(tmp_path / "no" / "journal"))
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("cannot be created: there is no such directory") == 1


def test_a_resumed_wait_for_some_of_the_jobs_repeats_nothing(inside: Command, sandbox: Sandbox, tmp_path: Path) -> None:
    """Standard output is the same subscriber, whichever jobs are waited for."""
    one, two = created(sandbox, "some", "held", "held")
    options = ["--poll", "0.1s", "-o", "jsonl", "-q", "--journal", str(tmp_path / "journal"), "--timeout"]
    environment = {"AWS_ENDPOINT_URL_SAGEMAKER": sandbox.url}
    first = inside("wait", one, two, *options, "0s", environment=environment)
    assert sorted(lines(first.stdout)) == [(one, "AnalyzingData"), (two, "AnalyzingData")]
    assert lines(inside("wait", two, *options, "0s", environment=environment).stdout) == []


def test_lines_for_a_closed_standard_output_are_not_acknowledged(sandbox: Sandbox, tmp_path: Path) -> None:
    """The next process delivers them."""
    [name] = created(sandbox, "closed", "short")
    arguments = ["wait", name, "--poll", "0.1s", "-o", "jsonl", "-q", "--journal", str(tmp_path / "journal")]
    environment = endpoint_environment(sandbox.url)
    with start(*arguments, env=environment, before=("sh", "-c", 'exec "$@" >&-', "sh")) as process:
        process.communicate(timeout=30)
    with start(*arguments, env=environment) as process:
        stdout, _ = process.communicate(timeout=30)
    assert lines(stdout) == [(name, "ModelTuning"), (name, "Completed")]


def test_resumed_watch_reports_jobs_created_and_ended_meanwhile(
    inside: Command, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Its listing reaches back to its last one, and nothing is reported again."""
    arguments = ["watch", "--until-idle", "--name-contains", "missed", "--poll", "0.1s", "-o", "jsonl", "-q"]
    arguments += ["--journal", str(tmp_path / "journal")]
    for number in range(3):
        if number:
            sandbox.create_job(f"missed-{number}", scenario="short")
            sandbox.advance(f"missed-{number}")
        sandbox.create_job(f"missed-later-{number}", scenario="short")
        done = inside(*arguments, environment={"AWS_ENDPOINT_URL_SAGEMAKER": sandbox.url})
        names = {event["job_name"] for event in map(json.loads, done.stdout.splitlines())}
        assert names == ({f"missed-{number}"} if number else set()) | {f"missed-later-{number}"}


@pytest.mark.long
def test_orphaned_command_is_never_run_twice_at_the_same_time(sandbox: Sandbox, tmp_path: Path) -> None:
    """If a wait is killed during its command, the next one runs it again after it has ended, with the same ID."""
    [name] = created(sandbox, "outlived", "held")
    runs, may_end, program = tmp_path / "runs", tmp_path / "may-end", tmp_path / "notify"
    program.write_text(
        f'#!/bin/sh\necho "begin $AUTOML_TRANSITION_ID" >> {runs}\n'
        f"until test -e {may_end}; do sleep 0.02; done\necho end >> {runs}\n"
    )
    program.chmod(0o700)
    arguments = [
        "wait",
        name,
        "--poll",
        "0.1s",
        "--timeout",
        "2s",
        "-o",
        "none",
        "--journal",
        str(tmp_path / "journal"),
    ]
    environment = endpoint_environment(sandbox.url)
    with start(*arguments, "--exec", str(program), env=environment) as process:
        until(runs.exists)
        process.send_signal(signal.SIGKILL)
    with start(*arguments, "--exec", str(program), env=environment) as process:
        assert process.stderr is not None
        assert "AnalyzingData" in process.stderr.readline()
        assert "timed out" in process.stderr.readline()
        assert runs.read_text().count("begin") == 1
        may_end.touch()
        process.communicate(timeout=30)
    first, one, second, two = runs.read_text().splitlines()
    assert (first, one, two) == (second, "end", "end")


def test_history_shows_the_content_of_the_journal(command: Command, new_job: Any, tmp_path: Path) -> None:
    """After a wait the journal has the job, its transitions and its outcome; a missing journal is bad usage."""
    name, path = new_job("failed"), str(tmp_path / "journal")
    command("wait", name, "--poll", "0.1s", "--journal", path)
    assert oct(os.stat(path).st_mode)[-3:] == "600"
    shown = command("history", "--journal", path)
    assert shown.returncode == 0
    assert f"{name}: Failed/Failed, failed (exit code 10)" in shown.stdout
    assert "no [31m data" in shown.stdout
    assert "\x1b" not in shown.stdout
    [job] = json.loads(command("history", "--journal", path, "-o", "json", name.upper()).stdout)["jobs"]
    assert (job["job_name"], job["verdict"], job["exit_code"]) == (name, "failed", 10)
    missing = command("history", "--journal", str(tmp_path / "none"))
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "there is no journal" in missing.stderr
    assert datetime.fromisoformat(job["created_at"]).tzinfo == UTC


@pytest.mark.long
def test_line_without_a_reader_is_delivered_by_the_next_process(sandbox: Sandbox, tmp_path: Path) -> None:
    """After the reader of stdout has exited, no line counts as delivered; the next process delivers it."""
    [name] = created(sandbox, "unread", "phases")
    arguments = ["wait", name, "--poll", "0.3s", "-o", "jsonl", "-q", "--journal", str(tmp_path / "journal")]
    environment = endpoint_environment(sandbox.url)
    with start(*arguments, env=environment) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        process.wait(30)
    with start(*arguments, env=environment) as process:
        stdout, _ = process.communicate(timeout=30)
    assert [phase for _, phase in lines(stdout)][-2:] == ["GeneratingModelInsightsReport", "Completed"]


def test_failed_watch_prints_its_jobs_and_the_error(sandbox: Sandbox) -> None:
    """A watch that is denied prints the observed jobs and the error, with the error's exit code."""
    environment = endpoint_environment("http://127.0.0.1:9")
    with start("watch", "-o", "json", "--error-budget", "1s", env=environment) as process:
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 69
    assert json.loads(stdout) == {"exit_code": 69, "jobs": []}
    summary, reason = stderr.splitlines()[-2:]
    assert summary == "no jobs followed", "whether there is one, nobody knows"
    assert reason.startswith("automl-waiter: ListAutoMLJobs failed")


def test_watch_without_transitions_writes_a_line_every_five_minutes() -> None:
    """In CI a watch without transitions writes a line at least every five minutes."""
    seconds = [0.0]
    written: list[str] = []
    reporter = Reporter("console", quiet=False, progress=False, is_running=True, clock=lambda: seconds[0])
    reporter._lines.write = written.append  # type: ignore[method-assign]
    for _ in range(360):
        seconds[0] += 10
        reporter.report(Sweep(None, EPOCH, 3, 1, 10.0))
    assert 12 <= len(written) <= 15
    assert "3 jobs are in progress, next check in 10s" in written[0]
