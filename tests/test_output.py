"""What the command writes, where nobody reads, where there is no room, and where only ASCII is understood."""

import itertools
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from faulty_endpoint import FaultyEndpoint
from processes import clean_environment, endpoint_environment, start

from automl_waiter.cli.output import Reporter
from automl_waiter.events import Heartbeat, Poll, Retry
from automl_waiter.statuses import State
from automl_waiter.testing import Timeline
from automl_waiter.tracker import Transition

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
TUNING = State("InProgress", "ModelTuning")

# What a job's own text may do to a terminal (ESC, CSI, DEL, a carriage return, a right-to-left override) and to a CI runner.
HOSTILE = "no data\x1b[31m\x9b31m\x7f\r\n::error::forged\n##vso[task.setvariable variable=x]y\n##[error]z\n##teamcity[a]\u202e"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[FaultyEndpoint]:
    """An endpoint with a job that fails after two seconds and says why, as nobody should."""
    with FaultyEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def job(endpoint: FaultyEndpoint) -> str:
    """A job that fails after two seconds, with hostile text in its statuses and in its reason."""
    script = [(0, "InProgress", "ModelTuning"), (1, "InProgress", HOSTILE), (2, "Failed", "Failed")]
    return endpoint.add(f"job-{os.urandom(6).hex()}", Timeline(script, failure_reason=HOSTILE))


def run(endpoint: FaultyEndpoint, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    env = endpoint_environment(endpoint.url, **environment)
    words = [sys.executable, "-m", "automl_waiter", *arguments]
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("stream", "output"), [("stdout", "text"), ("stdout", "jsonl"), ("stderr", "json")])
def test_a_closed_pipe_stops_the_drawing_and_not_the_wait(
    endpoint: FaultyEndpoint, job: str, stream: str, output: str
) -> None:
    """`| head -1` that has gone costs neither the wait nor its exit code, and the other stream says everything."""
    env = endpoint_environment(endpoint.url)
    with start("wait", job, "--poll", "0.2s", "-o", output, env=env) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        pipe, other = process.stdout, process.stderr
        if stream == "stderr":
            pipe, other = other, pipe
            pipe.readline()
        pipe.close()
        told = other.read()
        assert process.wait(30) == 10
    assert "Failed" in told
    assert "Traceback" not in told
    assert "BrokenPipe" not in told


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_a_stream_that_is_closed_from_the_start_is_no_error(
    endpoint: FaultyEndpoint, job: str, redirection: str
) -> None:
    """With `>&-` or `2>&-` the exit code still says how the job ended, and nothing lands in the other stream."""
    env = endpoint_environment(endpoint.url)
    line = f'exec "$0" -m automl_waiter wait "$1" --poll 0.2s -o json {redirection}'
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
        ("<&-", "no job: standard input holds no names"),
        ("</dev/null", "no job: standard input holds no names"),
        ("<latin-1", "'m\\\\xfcller' is not the name of an AutoML job"),
    ],
)
def test_names_that_cannot_be_read_are_one_line(tmp_path: Path, redirection: str, line: str) -> None:
    """Standard input that is closed, empty or not UTF-8 is bad usage: one line and 2."""
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
    [told] = result.stderr.splitlines()
    assert told.startswith(f"automl-waiter: {line}")


def test_a_result_that_finds_no_room_is_told(endpoint: FaultyEndpoint, job: str) -> None:
    """On a full disk the result is lost, but not silently, and the exit code still says how the job ended."""
    env = endpoint_environment(endpoint.url)
    with Path("/dev/full").open("w") as full, start("wait", job, "--poll", "0.2s", env=env, stdout=full) as process:
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 10
    assert "error: the result could not be written: No space left on device" in stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_does_not_cut_a_result_that_is_being_written(endpoint: FaultyEndpoint, signum: signal.Signals) -> None:
    """A job that has ended keeps its exit code and its whole result when a signal comes while nobody reads it."""
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


@pytest.mark.parametrize("output", ["text", "json", "jsonl"])
def test_where_only_ascii_is_understood_the_result_is_still_written(
    endpoint: FaultyEndpoint, job: str, output: str
) -> None:
    """In a C locale or a log that takes ASCII alone, text that is not is written in escapes, and nothing fails."""
    endpoint.add(job, Timeline([(0, "Failed", "Failed")], failure_reason="größe – 数据"))
    result = run(endpoint, "wait", job, "-o", output, PYTHONIOENCODING="ascii")
    assert result.returncode == 10, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout.isascii()
    if output == "text":
        assert "gr\\xf6\\xdfe \\u2013 \\u6570\\u636e" in result.stdout
    else:
        document = json.loads(result.stdout.splitlines()[-1])
        assert (document["jobs"][0] if output == "json" else document)["failure_reason"] == "größe – 数据"


@pytest.mark.parametrize("flags", [[], ["--log-format", "json"], ["-o", "json"], ["-o", "jsonl"]])
def test_what_a_job_says_is_never_obeyed(endpoint: FaultyEndpoint, job: str, flags: list[str]) -> None:
    """Nothing in a status or in a reason moves a cursor, begins a line, or is a command to a CI runner; JSON keeps it."""
    result = run(endpoint, "wait", job, "--poll", "0.2s", *flags)
    assert result.returncode == 10
    written = result.stdout + result.stderr
    assert "forged" in written
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", written)
    assert not re.search(r"^\s*::|##\[|##vso|##teamcity", written, re.MULTILINE)
    if "-o" in flags:
        last = json.loads(result.stdout.splitlines()[-1])
        assert last.get("jobs", [last])[0]["failure_reason"] == HOSTILE


def test_a_silent_log_gets_a_line_every_few_minutes(capsys: pytest.CaptureFixture[str]) -> None:
    """Off a terminal a wait of an hour without news still writes a line at least every five minutes, and few more."""
    reporter = Reporter("console", quiet=False)
    reporter.tell(Transition("churn", "arn", None, TUNING, NOW, None))
    for minute in range(1, 61):
        at = NOW + timedelta(minutes=minute)
        reporter.tell(Heartbeat("churn", at, TUNING, 90.0) if minute % 2 else Poll("churn", at, TUNING, minute, 90.0))
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == "2026-11-24 09:30:00Z  churn: InProgress/ModelTuning"
    assert all(line.endswith("churn: still InProgress/ModelTuning, next look in 1m 30s") for line in lines)
    instants = [datetime.fromisoformat(line[:20]) for line in [first, *lines]]
    gaps = [after - before for before, after in itertools.pairwise(instants)]
    assert max(gaps) <= timedelta(minutes=5)
    assert len(lines) <= 20


def test_an_outage_is_told_ever_more_rarely(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a hundred failed attempts those are told whose number is a power of two, each with how it failed."""
    reporter = Reporter("console", quiet=False)
    for attempt in range(1, 101):
        at = NOW + timedelta(seconds=attempt)
        reporter.tell(Retry("churn", at, "DescribeAutoMLJobV2", attempt, "server", "InternalFailure", "said no", 2.0))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 7
    assert lines[0] == "2026-11-24 09:30:01Z  churn: DescribeAutoMLJobV2 failed (said no), again in 2.0s"
