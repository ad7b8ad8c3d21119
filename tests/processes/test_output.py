"""The command's output with a closed or unread reader, on a full disk, and in ASCII."""

import itertools
import json
import os
import re
import select
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from environments import clean_environment, endpoint_environment
from faulty_endpoint import FaultyEndpoint
from forked import FULL_END
from hostile import HOSTILE
from programs import Command, run, start
from scripts import NEVER, Seen

from automl_waiter import Event
from automl_waiter._model.events import HEARTBEAT_EVERY_S, Estimated, Heartbeat, Poll, Retry, StopRequested
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.statuses import State
from automl_waiter._model.tracker import Transition
from automl_waiter.cli.output import Reporter
from automl_waiter.testing import Timeline

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
TUNING = State("InProgress", "ModelTuning")
TUNING_JOB = Snapshot(Timeline([(0, *TUNING)]).response(0, name="churn", created=NOW, arn="arn"))


@pytest.fixture(scope="module")
def endpoint() -> Iterator[FaultyEndpoint]:
    """Serve an endpoint with hostile texts in its jobs."""
    with FaultyEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def job(endpoint: FaultyEndpoint) -> str:
    """Create a job that fails after each status was polled, with hostile text in its statuses and reason."""
    script = [(0, "InProgress", "ModelTuning"), (NEVER, "InProgress", HOSTILE), (2 * NEVER, "Failed", "Failed")]
    return endpoint.add(f"job-{os.urandom(6).hex()}", Seen(script, failure_reason=HOSTILE))


@pytest.mark.parametrize(("stream", "output"), [("stdout", "text"), ("stdout", "jsonl"), ("stderr", "json")])
def test_closed_pipe_ends_the_view_but_not_the_wait(
    endpoint: FaultyEndpoint, job: str, stream: str, output: str
) -> None:
    """After `| head -1` has exited, the wait continues, keeps its exit code and reports on the other stream."""
    env = endpoint_environment(endpoint.url)
    with start("wait", job, "--poll", "0.1s", "-o", output, env=env) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        pipe, other = process.stdout, process.stderr
        if stream == "stderr":
            pipe, other = other, pipe
            pipe.readline()
        pipe.close()
        output = other.read()
        assert process.wait(30) == 10
    assert "Failed" in output
    assert "Traceback" not in output
    assert "BrokenPipe" not in output


@pytest.mark.parametrize("redirection", [">&-", "2>&- <&-", ">&- 2>&-"])
def test_stream_closed_at_start_is_not_an_error(endpoint: FaultyEndpoint, job: str, redirection: str) -> None:
    """Whatever is closed, the exit code is the job's, and the other stream gets none of the closed one's output."""
    env = endpoint_environment(endpoint.url)
    line = f'exec "$0" -m automl_waiter wait "$1" --poll 0.1s -o json {redirection}'
    result = subprocess.run(
        ["sh", "-c", line, sys.executable, job], env=env, capture_output=True, text=True, check=False
    )
    assert result.returncode == 10
    assert "Traceback" not in result.stderr
    if not redirection.startswith(">"):
        assert json.loads(result.stdout)["exit_code"] == 10
    if "2>" not in redirection:
        assert '"jobs"' not in result.stderr


@pytest.mark.parametrize(
    ("redirection", "line"),
    [
        ("<&-", "no job: standard input has no names"),
        ("</dev/null", "no job: standard input has no names"),
        ("<latin-1", "standard input, line 1: 'm\\\\xfcller' is not the name of an AutoML job"),
    ],
)
def test_unreadable_standard_input_is_a_usage_error(tmp_path: Path, redirection: str, line: str) -> None:
    """Closed, empty or non-UTF-8 standard input gives one line and exit code 2."""
    (tmp_path / "latin-1").write_bytes("müller".encode("latin-1"))
    result = subprocess.run(
        ["sh", "-c", f'exec "$0" -m automl_waiter wait - {redirection}', sys.executable],
        env=clean_environment(AWS_REGION="us-east-1", PYTHONIOENCODING="utf-8"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    [message] = result.stderr.splitlines()
    assert message.startswith(f"automl-waiter: {line}")


@pytest.mark.parametrize(("flags", "signum", "code"), [(["--timeout", "2s"], None, 124), ([], signal.SIGTERM, 143)])
def test_full_stderr_pipe_does_not_block_the_wait(
    endpoint: FaultyEndpoint, flags: list[str], signum: signal.Signals | None, code: int
) -> None:
    """If nothing reads stderr and its pipe is full, the wait still ends at its deadline and on a signal."""
    job = endpoint.add(f"unread-{code}", Timeline([(0, "InProgress", "ModelTuning")]))
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"." * 4096)
    os.set_blocking(writer, True)
    env = endpoint_environment(endpoint.url)
    with start("wait", job, "--poll", "0.1s", "-o", "json", *flags, env=env, stderr=writer) as process:
        while len(endpoint.calls("DescribeAutoMLJobV2", job)) < 3:
            time.sleep(0.05)
        if signum is not None:
            process.send_signal(signum)
        stdout, _ = process.communicate(timeout=10)
    assert process.returncode == json.loads(stdout)["exit_code"] == code
    os.close(reader)
    os.close(writer)


def test_closed_socket_on_stdout_keeps_the_exit_code(endpoint: FaultyEndpoint, job: str) -> None:
    """If stdout is a socket and its peer has closed it, the exit code is still the job's."""
    env = endpoint_environment(endpoint.url) | {"PYTHONUNBUFFERED": "1"}
    ours, theirs = socket.socketpair()
    with start("wait", job, "--poll", "0.1s", env=env, stdout=theirs.fileno()) as process:
        theirs.close()
        ours.close()
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 10, stderr
    assert "Traceback" not in stderr


def test_signal_after_the_result_keeps_the_exit_code(endpoint: FaultyEndpoint) -> None:
    """A signal after the last line of the result does not change the exit code."""
    codes = set()
    for number, signum in enumerate([signal.SIGTERM, signal.SIGINT] * 3):
        job = endpoint.add(f"read-{number}", Timeline([(0, "Completed", "Completed")]))
        env = endpoint_environment(endpoint.url) | FULL_END
        with start("wait", job, "-o", "json", env=env) as process:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["exit_code"] == 0
            time.sleep(number / 100)  # somewhere between the last line and the end of the process
            process.send_signal(signum)
            codes.add(process.wait(30))
    assert codes == {0}


def test_signal_while_the_command_is_loading_prints_the_document(endpoint: FaultyEndpoint) -> None:
    """A signal at any time after the process's first moments prints the outcome so far."""
    env = endpoint_environment(endpoint.url)
    for delay in (0.1, 0.15, 0.2, 0.3):
        job = endpoint.add("early", Timeline([(0, "InProgress", "ModelTuning")]))
        with start("wait", job, "-o", "json", env=env) as process:
            time.sleep(delay)
            process.send_signal(signal.SIGTERM)
            stdout, stderr = process.communicate(timeout=30)
        if process.returncode == -signal.SIGTERM:
            continue  # Python itself had not started
        assert process.returncode == json.loads(stdout)["exit_code"] == 143, stderr


def test_result_lost_on_a_full_disk_is_reported(endpoint: FaultyEndpoint, job: str) -> None:
    """On a full disk stderr reports that the result is lost, and the exit code is still the job's."""
    env = endpoint_environment(endpoint.url)
    with Path("/dev/full").open("w") as full, start("wait", job, "--poll", "0.1s", env=env, stdout=full) as process:
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 10
    assert "error: the result could not be written: No space left on device" in stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signal_does_not_truncate_the_result(endpoint: FaultyEndpoint, signum: signal.Signals) -> None:
    """An ended job keeps its exit code and its whole result if a signal arrives while its reader is slow."""
    name = f"large-{signum.name}"
    endpoint.add(name, Timeline([(0, "Failed", "Failed")], failure_reason="no data. " * 50_000))
    env = endpoint_environment(endpoint.url)
    with start("wait", name, "-o", "json", env=env, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 30)[0]
        process.send_signal(signum)
        time.sleep(0.2)
        document = json.loads(process.stdout.read())
        assert process.wait(30) == document["exit_code"] == 10


EACH_OUTPUT = """
import sys
from automl_waiter.cli import main
print([main(["wait", sys.argv[1], "-o", output]) for output in ("text", "json", "jsonl")])
"""


def test_non_ascii_text_is_escaped_in_an_ascii_locale(endpoint: FaultyEndpoint, job: str) -> None:
    """In a C locale or an ASCII log other characters are written as escapes, and nothing fails."""
    endpoint.add(job, Timeline([(0, "Failed", "Failed")], failure_reason="größe – 数据"))
    env = endpoint_environment(endpoint.url, PYTHONIOENCODING="ascii")
    result = run([sys.executable, "-c", EACH_OUTPUT, job], env=env)
    assert "Traceback" not in result.stderr
    assert result.stdout.isascii()
    assert result.stdout.endswith("[10, 10, 10]\n")
    assert "gr\\xf6\\xdfe \\u2013 \\u6570\\u636e" in result.stdout
    document, *_, last = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    assert document["jobs"][0]["failure_reason"] == last["failure_reason"] == "größe – 数据"


@pytest.mark.parametrize("flags", [[], ["--log-format", "json"], ["-o", "json"], ["-o", "jsonl"]])
def test_control_characters_in_a_jobs_texts_have_no_effect(inside: Command, job: str, flags: list[str]) -> None:
    """No status or reason moves a cursor, starts a line or forms a CI runner command; JSON keeps the text."""
    result = inside("wait", job, "--poll", "0.1s", *flags)
    assert result.returncode == 10
    written = result.stdout + result.stderr
    assert "forged" in written
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", written)
    assert not re.search(r"^\s*::|##\[|##vso|##teamcity", written, re.MULTILINE)
    if "-o" in flags:
        last = json.loads(result.stdout.splitlines()[-1])
        assert last.get("jobs", [last])[0]["failure_reason"] == HOSTILE


def test_lines_have_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    reporter = Reporter("console", quiet=False, clock=lambda: now)

    def printed(*events: Event) -> list[str]:
        nonlocal now
        for event in events:
            now += 600
            reporter.report(event)
        return [line.partition("  ")[2] for line in capsys.readouterr().err.splitlines()]

    ends_at = NOW + timedelta(minutes=12)
    estimate = Estimated(ends_at, ends_at, ends_at + timedelta(minutes=4), 6, "churn", NOW)
    later = replace(estimate, ends_at=ends_at + timedelta(minutes=3))
    latest = replace(estimate, ends_at=ends_at + timedelta(minutes=5), latest=ends_at + timedelta(minutes=9))
    heartbeat = Heartbeat("churn", NOW + timedelta(minutes=2), TUNING, 25)

    assert printed(estimate, heartbeat, replace(heartbeat, job_name="fraud")) == [
        "churn: about 12m left, done around 09:42 UTC (09:42–09:46), based on 6 similar jobs",
        "churn: still InProgress/ModelTuning, about 10m left, next check in 25s",
        "fraud: still InProgress/ModelTuning, next check in 25s",
    ]
    assert printed(later, latest) == [
        "churn: about 17m left, done around 09:47 UTC (09:42–09:51), based on 6 similar jobs"
    ]
    assert printed(replace(heartbeat, state=State("Stopping", "ModelTuning"))) == [
        "churn: still Stopping/ModelTuning, next check in 25s"
    ]
    assert printed(StopRequested("churn", NOW, "timeout"), heartbeat)[1:] == [
        "churn: still InProgress/ModelTuning, next check in 25s"
    ]


@pytest.mark.parametrize("delay", [2.0, 30.0, 90.0, 120.0, 239.0, 240.0, 600.0])
def test_log_gets_a_line_at_least_every_five_minutes(capsys: pytest.CaptureFixture[str], delay: float) -> None:
    """Off a terminal a day without a transition writes a line at least every five minutes of any wall clock."""
    now, lines = 0.0, [0.0]
    reporter = Reporter("console", quiet=False, clock=lambda: now)
    reporter.report(Transition("churn", "arn", None, TUNING, NOW, None))
    capsys.readouterr()
    while now < 86400:
        left = delay
        reporter.report(Poll("churn", NOW, TUNING_JOB, 1, left))
        while left:
            if output := capsys.readouterr().err:
                lines.append(now)
                assert output.startswith("2026-11-24 09:30:00Z  churn: still InProgress/ModelTuning, next check in ")
                assert output.count("\n") == 1
            slept = min(left, HEARTBEAT_EVERY_S)
            now, left = now + slept, left - slept
            if left:
                reporter.report(Heartbeat("churn", NOW, TUNING, left))
    gaps = [after - before for before, after in itertools.pairwise(lines)]
    assert max(gaps) <= 300
    assert statistics.mean(gaps) > 200


def test_outage_reports_only_attempts_at_powers_of_two(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a hundred failed attempts those at powers of two are reported, each with its error."""
    reporter = Reporter("console", quiet=False)
    for attempt in range(1, 101):
        at = NOW + timedelta(seconds=attempt)
        reporter.report(Retry("churn", at, "DescribeAutoMLJobV2", attempt, "server", "InternalFailure", "said no", 2.0))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 7
    assert lines[0] == "2026-11-24 09:30:01Z  churn: DescribeAutoMLJobV2 failed (said no), retrying in 2.0s"
