"""The environments in which a synchronous wait works; test_library.py has threads and a clock that stands still."""

import asyncio
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from repository import ROOT

from automl_waiter import Outcome, wait_for
from automl_waiter.testing import Timeline

UNDER_GEVENT = """
import gevent.monkey
gevent.monkey.patch_all()
import test_environments
test_environments.wait_in_greenlets()
"""


class Training:
    """A client of a job that completes at its fourth poll."""

    class meta:
        region_name = "us-east-1"

    def __init__(self) -> None:
        self.script = Timeline([(0, "InProgress", "ModelTuning"), (3, "Completed", "Completed")])
        self.created = datetime.now(UTC)
        self.polls = 0

    def describe_auto_ml_job_v2(self, **_: str) -> Any:
        self.polls += 1
        return self.script.response(self.polls - 1, name="churn", created=self.created, arn="arn")


def wait_in_greenlets() -> None:
    """Wait in ten greenlets while another one ticks, and print the verdicts, the duration and the ticks."""
    import gevent

    ticks = 0

    def tick() -> None:
        nonlocal ticks
        while True:
            gevent.sleep(0.005)
            ticks += 1

    ticking = gevent.spawn(tick)
    begun = time.monotonic()
    waits = [gevent.spawn(wait_for, "churn", client=Training(), poll=0.1) for _ in range(10)]
    gevent.joinall(waits, raise_error=True)
    seconds = time.monotonic() - begun
    ticking.kill()
    print(json.dumps({"verdicts": [wait.value.verdict for wait in waits], "seconds": seconds, "ticks": ticks}))


def test_sync_wait_runs_under_gevent() -> None:
    """With gevent's patches, waits in greenlets run concurrently and block no other greenlet."""
    words = [sys.executable, "-c", UNDER_GEVENT]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support")}
    printed = json.loads(subprocess.check_output(words, cwd=Path(__file__).parent, env=env, timeout=60))
    assert printed["verdicts"] == ["completed"] * 10
    # One wait lasts 0.6 s, with room for 120 ticks; sleeps that block the hub leave a few.
    assert printed["seconds"] < 3
    assert printed["ticks"] > 20


def test_sync_wait_runs_inside_an_asyncio_loop() -> None:
    """A coroutine, such as a notebook cell, may call the plain function."""

    async def main() -> Outcome:
        return wait_for("churn", client=Training(), poll=0.1)

    assert asyncio.run(main()).verdict == "completed"
