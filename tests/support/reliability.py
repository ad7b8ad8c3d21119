"""Outages, signals and a soak test of the command, measured for the tests and docs/explanation/reliability.md."""

import asyncio
import gc
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from environments import endpoint_environment, write_credentials
from faulty_endpoint import (
    PASSING_FAULTS,
    PERMANENT_FAULTS,
    WRONG_TYPES,
    Fault,
    FaultyEndpoint,
    Handler,
    expired_key,
    lasting,
    not_found,
    service_error,
)
from programs import start
from scripts import NEVER, Seen

from automl_waiter import Outcome, PollContext, aio, wait_for_all
from automl_waiter.testing import Timeline

COMPLETED = Timeline([(0, "Completed", "Completed")])
FAILED = Timeline([(0, "Failed", "Failed")], failure_reason="no data")
SOON_FAILED = Seen([(0, "InProgress", "ModelTuning"), (NEVER, "Failed", "Failed")], failure_reason="no data")
STOPPED = Timeline([(0, "Stopped", "Stopped")])
DEGRADED = Timeline([(0, "Completed", "ModelDeploymentError")], deploy=True)
TRAINING = Seen([(0, "InProgress", "ModelTuning"), (NEVER, "Stopped", "Stopped")])
ENDLESS = Timeline([(0, "InProgress", "ModelTuning")])


@dataclass(frozen=True)
class Ordeal:
    """The faults before a wait's first good response, and the exit code that the job requires all the same."""

    name: str
    faults: Callable[[], list[Fault]]
    timeline: Timeline = COMPLETED
    code: int = 0
    key: str = "KEY"
    absent: float = 0.0
    """For how many seconds there is no endpoint at all."""
    failing_runs: range = range(0)
    """Which runs of its credential_process print HTML. It is run twice for the first call, and again for each one."""
    is_retried: bool = True
    """Whether the faults count as failed calls."""


def _passing(name: str) -> Fault:
    return PASSING_FAULTS[name][1]


def _reset(handler: Handler) -> None:
    handler.hang_up(reset=True)


ORDEALS = [
    Ordeal(
        "12 throttles in a row",
        lambda: [Handler.answer_rightly, *[service_error(400, "ThrottlingException")] * 12],
        SOON_FAILED,
        10,
    ),
    Ordeal("6 resets in a row", lambda: [_reset] * 6, STOPPED, 11),
    Ordeal("60 s of HTTP 500", lambda: [lasting(60, service_error(500, "InternalFailure"))], DEGRADED, 12),
    Ordeal("one truncated body", lambda: [_passing("half a body")], FAILED, 10),
    Ordeal("one truncated JSON", lambda: [_passing("a JSON that is cut")], STOPPED, 11),
    Ordeal("one page of a captive portal", lambda: [_passing("a captive portal's page with 200")], DEGRADED, 12),
    Ordeal("optional members of the wrong types", lambda: [WRONG_TYPES] * 9, FAILED, 10, is_retried=False),
    Ordeal("an expired token, a refreshed file behind it", lambda: [expired_key("OLD")], FAILED, 10, key="OLD"),
    Ordeal("a credential_process that prints HTML at first", list, FAILED, 10, failing_runs=range(3)),
    Ordeal("a credential_process that prints HTML amid the wait", list, TRAINING, 11, failing_runs=range(2, 5)),
    Ordeal("NotFound for the first 3 s", lambda: [lasting(3, not_found)], COMPLETED, 0, is_retried=False),
]
ABSENT = Ordeal("connections refused for the first 3 s", list, STOPPED, 11, absent=3.0)
DENIED = Ordeal("AccessDenied", lambda: [PERMANENT_FAULTS["AccessDeniedException"][2]], COMPLETED, 77)


@dataclass(frozen=True)
class Survived:
    """The result of a wait with scripted faults."""

    ordeal: Ordeal
    code: int
    seconds: float
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        return json.loads(self.stdout)


def free_port() -> int:
    """Return a port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def appear(port: int, ordeal: Ordeal) -> Survived:
    """Run a process whose endpoint starts only after it has been called for some time."""
    env = endpoint_environment(f"http://127.0.0.1:{port}")
    begun = time.monotonic()
    with start("wait", "late", "-o", "json", env=env) as process:
        time.sleep(ordeal.absent)
        with FaultyEndpoint(port) as endpoint:
            endpoint.add("late", ordeal.timeline)
            stdout, stderr = process.communicate(timeout=60)
    return Survived(ordeal, process.returncode, time.monotonic() - begun, stdout, stderr)


def write_process(path: Path, failing_runs: range) -> dict[str, str]:
    """Write a credential_process, and return its environment. Its keys expire too soon to be cached."""
    keys = {"Version": 1, "AccessKeyId": "KEY", "SecretAccessKey": "secret", "SessionToken": "t"}
    keys["Expiration"] = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    path.with_suffix(".json").write_text(json.dumps(keys))
    script, config = path.with_suffix(".sh"), path.with_suffix(".config")
    script.write_text(
        f"runs=$(cat {path} 2> /dev/null || echo 0)\necho $((runs + 1)) > {path}\n"
        f"[ $runs -ge {failing_runs.start} ] && [ $runs -lt {failing_runs.stop} ] && echo '<html>' && exit\n"
        f"cat {path.with_suffix('.json')}\n"
    )
    config.write_text(f"[default]\ncredential_process = sh {script}\n")
    return {"AWS_CONFIG_FILE": str(config), "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


def survive(endpoint: FaultyEndpoint, ordeals: Sequence[Ordeal], folder: Path, **options: Any) -> list[Survived]:
    """Run a process for each fault script, all at once."""

    def run(number: int, ordeal: Ordeal) -> None:
        path = folder / f"credentials-{number}"
        source = (
            write_process(path, ordeal.failing_runs) if ordeal.failing_runs else write_credentials(path, ordeal.key)
        )
        env = endpoint_environment(endpoint.url, **source)
        # A copy, because polls change a script of `scripts.Seen`.
        job = endpoint.add(f"ordeal-{number}", deepcopy(ordeal.timeline), ordeal.faults())
        begun = time.monotonic()
        with start("wait", job, "-o", "json", "--poll", "2s", env=env, **options) as process:
            if ordeal.key == "OLD":
                # The file is refreshed by somebody else, once the old token has been refused.
                while not endpoint.calls("DescribeAutoMLJobV2", job):
                    time.sleep(0.05)
                write_credentials(path, "NEW")
            stdout, stderr = process.communicate(timeout=170)
        results[number] = Survived(ordeal, process.returncode, time.monotonic() - begun, stdout, stderr)

    results: dict[int, Survived] = {}
    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(ordeals)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[number] for number in range(len(ordeals))]


# Signals


@dataclass(frozen=True)
class Signalled:
    """The result of a wait that a signal ended."""

    code: int
    seconds: float
    stdout: str
    stderr: str
    stops: int


@dataclass(frozen=True)
class Moment:
    """The state of the command in which a signal arrives."""

    name: str
    faults: list[Fault] = field(default_factory=list)
    arguments: tuple[str, ...] = ()
    shows: str = "InProgress"
    """The text on stderr in this state."""
    is_first_process: bool = False
    is_begun: bool = True
    """Whether there has been a good response."""
    env: dict[str, str] = field(default_factory=dict)


_FIRST_PROCESS = ("unshare", "--pid", "--fork", "--mount-proc")

_SLOW_SDK = str(Path(__file__).with_name("slow_sdk"))

MOMENTS = [
    Moment("between two polls", arguments=("--poll", "1m")),
    Moment("in the middle of a call", [Handler.is_silent], shows="", is_begun=False),
    Moment("in the pause after a throttle", [service_error(400, "SlowDown")] * 99, shows="failed", is_begun=False),
    Moment("while the SDK is loaded", shows="importing", env={"PYTHONPATH": _SLOW_SDK}, is_begun=False),
    Moment("while --exec runs", arguments=("--exec", "sh -c 'echo begun; sleep 60'"), shows="begun"),
    Moment("as the first process of a container", arguments=("--poll", "1m"), is_first_process=True),
    Moment("with --stop-on interrupt", arguments=("--poll", "1m", "--stop-on", "interrupt")),
]


def signal_at(endpoint: FaultyEndpoint, moment: Moment, signum: signal.Signals, job: str) -> Signalled:
    """Send a signal to a wait at that moment, and measure the time until the process has ended."""
    endpoint.add(job, ENDLESS, moment.faults)
    env = endpoint_environment(endpoint.url) | moment.env
    before = _FIRST_PROCESS if moment.is_first_process else ()
    with start("wait", job, *moment.arguments, "-o", "json", env=env, before=before) as process:
        assert process.stderr is not None
        told = [""]
        if moment.shows:
            while moment.shows not in told[-1]:
                told.append(process.stderr.readline())
                assert told[-1], "".join(told)
        else:
            while not endpoint.calls("DescribeAutoMLJobV2", job):
                time.sleep(0.02)
        time.sleep(0.1)
        begun = time.monotonic()
        os.kill(child_of(process.pid) if moment.is_first_process else process.pid, signum)
        process.wait(30)
        seconds = time.monotonic() - begun
        stdout, rest = process.communicate(timeout=30)
    stops = len(endpoint.calls("StopAutoMLJob", job))
    return Signalled(process.returncode, seconds, stdout, "".join(told) + rest, stops)


def child_of(pid: int) -> int:
    """Return the only child of a process."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def can_be_first() -> bool:
    """Return whether this user may start a process as PID 1 of its own process namespace."""
    with suppress(OSError):
        return subprocess.run([*_FIRST_PROCESS, "true"], capture_output=True, check=False).returncode == 0
    return False


# The soak


@dataclass(frozen=True)
class Footprint:
    """The resources of a process: threads, file descriptors, and its resident memory in MiB."""

    threads: int
    descriptors: int
    memory: float

    @staticmethod
    def now() -> "Footprint":
        status = Path("/proc/self/status").read_text()
        [threads] = re.findall(r"Threads:\s*(\d+)", status)
        [resident] = re.findall(r"VmRSS:\s*(\d+) kB", status)
        return Footprint(int(threads), len(os.listdir("/proc/self/fd")), int(resident) / 1024)

    def is_more_than(self, other: "Footprint") -> bool:
        """Return whether it has more threads or more file descriptors."""
        return self.threads > other.threads or self.descriptors > other.descriptors


@dataclass(frozen=True)
class Soaked:
    """The result of a soak test: the outcomes, and the process's resources before, in the middle and after."""

    outcomes: list[Outcome]
    before: Footprint
    early: Footprint
    late: Footprint
    after: Footprint

    @property
    def calls(self) -> int:
        return sum(outcome.polls + outcome.retries for outcome in self.outcomes)

    @property
    def faults(self) -> int:
        return sum(outcome.retries for outcome in self.outcomes)


def soak(waits: int, seconds: float, rate: float = 0.2) -> Soaked:
    """Wait for so many jobs at once, half of them under asyncio, while this share of the calls fails."""
    with faulty_service(rate, waits, seconds) as url:
        # One client for all; the silent fault is sat out in a second instead of twenty.
        config = Config(retries={"total_max_attempts": 1}, read_timeout=1, max_pool_connections=32)
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        client = boto3.client("sagemaker", "us-east-1", endpoint_url=url, config=config, **keys)
        warm_up(client)
        gc.collect()
        before = Footprint.now()
        outcomes: list[Outcome] = []
        names = [f"job-{number}" for number in range(waits)]
        # A wait that is throttled at first retries at some time before the deadline.
        options: dict[str, Any] = {"client": client, "poll": Each(seconds / 60), "max_rate": 1000}
        options["timeout"] = seconds + 10
        shells = [
            lambda: outcomes.extend(wait_for_all(names[::2], **options).values()),
            lambda: outcomes.extend(asyncio.run(aio.wait_for_all(names[1::2], **options)).values()),
        ]
        threads = [threading.Thread(target=shell) for shell in shells]
        for thread in threads:
            thread.start()
        time.sleep(seconds * 0.35)
        early = Footprint.now()
        time.sleep(seconds * 0.35)
        late = Footprint.now()
        for thread in threads:
            thread.join()
        client.close()
        deadline = time.monotonic() + 20
        while (after := Footprint.now()).is_more_than(before) and time.monotonic() < deadline:
            time.sleep(0.1)  # for the calls that were abandoned
            gc.collect()
        return Soaked(outcomes, before, early, late, after)


class Each:
    """A user's policy, so that each job is polled by itself."""

    def __init__(self, delay: float) -> None:
        self.delay = delay

    def next_delay(self, _: PollContext, /) -> float:
        return self.delay


def warm_up(client: Any) -> None:
    """Load what is loaded only once."""
    wait_for_all(["job-0"], client=client, timeout=0)
    asyncio.run(aio.wait_for_all(["job-0"], client=client, timeout=0))


@contextmanager
def faulty_service(rate: float, jobs: int, seconds: float) -> Iterator[str]:
    """Return the URL of an endpoint in its own process, where this share of the calls fails."""
    program = [sys.executable, str(Path(__file__).with_name("faulty_endpoint.py")), str(rate), str(jobs), str(seconds)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()
