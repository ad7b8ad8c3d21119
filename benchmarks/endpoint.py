"""The endpoint that real waits are measured at: the sandbox, which counts, and processes that wait there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from listing_service import Throttle

from automl_waiter.sandbox.server import Sandbox
from automl_waiter.testing import Timeline
from benchmarks.workloads import recorded_jobs

ROOT = Path(__file__).parents[1]
ENDED, RUNNING = "ended", "running"
# A recorded one with a report, and one that trains for ever.
SCRIPTS = {
    ENDED: recorded_jobs()[0],
    RUNNING: Timeline([(0, "InProgress", "ModelTuning")], max_runtime=86400),
}


_DESCRIBE = "SageMaker.DescribeAutoMLJobV2"
_LIMITED = (_DESCRIBE, "SageMaker.ListAutoMLJobs")


class CountingSandbox(Sandbox):
    """The sandbox, with the recorded job and one that does not end; `calls` counts the describes by job name.

    Args:
        speed: Seconds of a job that are played in a second.
        scripts: Other jobs, by the name of their scenario.
        limit: That of describes and listings together; `throttled` counts those that it refused.
    """

    def __init__(
        self, speed: float = 1.0, *, scripts: Mapping[str, Timeline] | None = None, limit: Throttle | None = None
    ) -> None:
        super().__init__(scenarios=SCRIPTS | dict(scripts or {}), scenario=RUNNING, speed=speed)
        self.calls: Counter[str] = Counter()
        self.looks = 0
        """Describes and pages of listings, the throttled ones included."""
        self.throttled = 0
        self._limit = limit
        self._lock = threading.Lock()
        answer: Any = self._server.app

        def counted(environ: dict[str, Any], start_response: Any) -> Any:
            operation = environ.get("HTTP_X_AMZ_TARGET")
            if operation in _LIMITED:
                body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
                environ["wsgi.input"] = _Body(body)
                job = json.loads(body)["AutoMLJobName"] if operation == _DESCRIBE else None
                if not self._admits(job):
                    return _refuse(start_response)
            return answer(environ, start_response)

        self._server.app = counted

    def _admits(self, job: str | None) -> bool:
        """Counts a describe of a job, or a page of a listing, and says whether it is answered."""
        with self._lock:
            self.looks += 1
            if job is not None:
                self.calls[job] += 1
            is_admitted = self._limit is None or self._limit.admits(time.monotonic())
            self.throttled += not is_admitted
        return is_admitted

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a process whose AWS is here, and whose Python starts as a user's does."""
        foreign = ("AWS_", "PYTHON", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        clean = {name: value for name, value in os.environ.items() if not name.upper().startswith(foreign)}
        return clean | {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_SAGEMAKER": self.url,
            "PYTHONPATH": str(ROOT),
        }


class _Body:
    """A request's body, to be read once more."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def read(self, size: int = -1) -> bytes:
        taken, self._body = (self._body, b"") if size < 0 else (self._body[:size], self._body[size:])
        return taken


def _refuse(start_response: Any) -> list[bytes]:
    body = json.dumps({"__type": "ThrottlingException", "message": "Rate exceeded"}).encode()
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "Content-Length": str(len(body)),
        "x-amzn-ErrorType": "ThrottlingException",
    }
    start_response("400 Bad Request", list(headers.items()))
    return [body]


@dataclass(frozen=True)
class Waited:
    """What a waiting process measured of itself.

    Attributes:
        finished: When it was done (seconds since 1970).
        cpu: Seconds of CPU that its task took.
        megabytes: The most memory that the process has held, in MiB.
    """

    finished: float
    cpu: float
    megabytes: float


class Process:
    """A contender in a process of its own, loaded and ready."""

    def __init__(
        self, waiter: str, task: str, environment: Mapping[str, str], *more: str, module: str = "benchmarks.contender"
    ) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", module, waiter, task, *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(environment),
        )
        self._lines: Iterable[str] = self.popen.stdout or ()
        self._expect("ready")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.popen.kill()
        self.popen.wait()

    def begin(self, job: str) -> None:
        """Lets it begin."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(f"{job}\n")
        self.popen.stdin.flush()

    def result(self) -> Waited:
        """What it measured, once it is done."""
        return Waited(**self.answer())

    def answer(self) -> dict[str, Any]:
        """The same, as it said it."""
        for line in self._lines:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise RuntimeError(f"a contender ended without a result: {self.popen.args!r}")

    def _expect(self, word: str) -> None:
        for line in self._lines:
            if line.strip() == word:
                return
        raise RuntimeError(f"a contender ended before it was {word}: {self.popen.args!r}")


def cpu_of(process: subprocess.Popen[Any]) -> float:
    """The seconds of CPU that the threads of a running process have taken so far, to the nanosecond (Linux)."""
    if process.poll() is not None:
        raise RuntimeError(f"it was to wait, and has ended with {process.returncode}: {process.args!r}")
    threads = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def command(name: str) -> str:
    """The path of a command that is installed beside this Python."""
    path = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if path is None:
        raise SystemExit(f"{name} is not installed: pip install -e '.[bench]'")
    return path


def python(*arguments: str) -> Sequence[str]:
    """A command line of this Python."""
    return (sys.executable, *arguments)
