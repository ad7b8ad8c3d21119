"""One waiter in a process of its own: `python -m benchmarks.contender WAITER TASK`, told by standard input which job.

It says "ready" once its libraries are loaded and its client is made, reads the job's name, and prints what it measured
as JSON. The endpoint and the credentials come from the environment, as they would for a user.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

AUTOML_WAITER, BOTOCORE, SAGEMAKER_CORE = "automl-waiter", "botocore", "sagemaker-core"
SPEED = 5
"""How many seconds of a job pass in one: sagemaker-core pauses for whole seconds, 5 by default."""
POLLS = 200
"""How many of them, for the waiters that can count."""
RATE = 100.0
"""The max rate that is asked for where jobs are played fast, so that the pace is the policy's."""
PAUSE = 0.03
"""Seconds from the beginning of a poll to that of the next, where the CPU of one is measured: some times a call's."""

# That of botocore's own waiters for SageMaker; of sagemaker-core's wait.
_BOTOCORE_DELAY = 30.0
_SAGEMAKER_CORE_DELAY = 5
_ENDLESS = 1_000_000


@dataclass(frozen=True)
class Contender:
    """Waits for a job as one waiter does.

    Attributes:
        wait: Waits until the job has ended, at the waiter's own pace, so many times faster.
        poll: Looks so many times, hurriedly.
        idle: Waits for a job that does not end.
    """

    wait: Callable[[str, int], object]
    poll: Callable[[str, int], object]
    idle: Callable[[str], object]


def automl_waiter() -> Contender:
    """This project, with its default policy."""
    from automl_waiter import PhaseAware, PollContext, Waiter
    from automl_waiter._aws.connection import connect

    client = connect().client

    class Hastened:
        """The default policy for a job that is played faster."""

        def __init__(self, speed: int) -> None:
            self._speed = speed

        def next_delay(self, context: PollContext, /) -> float:
            elapsed, age = context.elapsed * self._speed, context.phase_age * self._speed
            return PhaseAware().next_delay(replace(context, elapsed=elapsed, phase_age=age)) / self._speed

    class Few:
        """So many looks, and then the end of it."""

        def __init__(self, count: int) -> None:
            self._count = count

        def next_delay(self, context: PollContext, /) -> float:
            if context.polls >= self._count:
                raise KeyboardInterrupt
            return PAUSE

    def poll(job: str, count: int) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            Waiter(client, poll=Few(count), max_rate=RATE).wait(job)

    return Contender(
        wait=lambda job, speed: Waiter(client, poll=Hastened(speed), max_rate=RATE).wait(job),
        poll=poll,
        # The default's pace, once a job has trained for a while.
        idle=lambda job: Waiter(client, poll=60).wait(job),
    )


def botocore() -> Contender:
    """A waiter of botocore's, made of a model as its own are, at its usual pace."""
    import boto3
    from botocore.exceptions import WaiterError
    from botocore.waiter import WaiterModel, create_waiter_with_client

    acceptors = [
        {"matcher": "path", "argument": "AutoMLJobStatus", "expected": status, "state": state}
        for status, state in (("Completed", "success"), ("Failed", "failure"), ("Stopped", "failure"))
    ]
    ended = {"delay": 30, "maxAttempts": 60, "operation": "DescribeAutoMLJobV2", "acceptors": acceptors}
    model = WaiterModel({"version": 2, "waiters": {"AutoMLJobEnded": ended}})
    waiter: Any = create_waiter_with_client("AutoMLJobEnded", model, boto3.client("sagemaker"))

    def wait(job: str, delay: float, attempts: int) -> None:
        try:
            waiter.wait(AutoMLJobName=job, WaiterConfig={"Delay": delay, "MaxAttempts": attempts})
        except WaiterError as error:
            if "Max attempts exceeded" not in str(error):
                raise

    return Contender(
        wait=lambda job, speed: wait(job, _BOTOCORE_DELAY / speed, _ENDLESS),
        poll=lambda job, count: wait(job, PAUSE, count),
        idle=lambda job: wait(job, _BOTOCORE_DELAY, _ENDLESS),
    )


def sagemaker_core() -> Contender:
    """The AWS SDK for Python that comes after the SageMaker one."""
    from sagemaker.core.resources import AutoMLJobV2
    from sagemaker.core.utils.exceptions import TimeoutExceededError
    from sagemaker.core.utils.utils import SageMakerClient

    SageMakerClient()  # it is kept, and has the client

    def wait(job: str, poll: int, timeout: int | None) -> None:
        with contextlib.suppress(TimeoutExceededError):
            AutoMLJobV2.get(auto_ml_job_name=job).wait(poll=poll, timeout=timeout)

    return Contender(
        wait=lambda job, speed: wait(job, _SAGEMAKER_CORE_DELAY // speed, None),
        # It takes whole seconds only, so it polls without a pause, for a time.
        poll=lambda job, _: wait(job, 0, 5),
        idle=lambda job: wait(job, _SAGEMAKER_CORE_DELAY, None),
    )


CONTENDERS: dict[str, Callable[[], Contender]] = {
    AUTOML_WAITER: automl_waiter,
    BOTOCORE: botocore,
    SAGEMAKER_CORE: sagemaker_core,
}


def main(waiter: str, task: str, polls: str = str(POLLS)) -> None:
    """Does the task: to `wait` until a hastened job has ended, `idle` at the real pace, or `poll` so many times."""
    contender = CONTENDERS[waiter]()
    print("ready", flush=True)
    job = sys.stdin.readline().strip()
    begun = time.process_time()
    match task:
        case "wait":
            contender.wait(job, SPEED)
        case "poll":
            contender.poll(job, int(polls))
        case "idle":
            contender.idle(job)
    measured = {
        "finished": time.time(),
        "cpu": time.process_time() - begun,
        "megabytes": _peak_memory(),
    }
    print(json.dumps(measured), flush=True)


def _peak_memory() -> float:
    """The most memory that this process has held, in MiB (Linux): getrusage's may be its parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
