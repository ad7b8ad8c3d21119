"""The CPU of a poll against that of the describe call: `python -m benchmarks.poll_cpu JOB`, in a process of its own."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from automl_waiter._aws.connection import connect
from benchmarks.contender import PAUSE, automl_waiter

_BLOCKS, _POLLS = 20, 40


def main(job: str) -> None:
    """Prints the median seconds of each as JSON, of blocks that alternate."""
    client, ours = connect().client, automl_waiter()
    polls = [_cpu(lambda: ours.poll(job, _POLLS))]
    calls = [_cpu(lambda: _describe(client, job))]
    for _ in range(_BLOCKS):
        polls.append(_cpu(lambda: ours.poll(job, _POLLS)))
        calls.append(_cpu(lambda: _describe(client, job)))
    # The first block of each filled caches.
    print(json.dumps({"poll": statistics.median(polls[1:]), "call": statistics.median(calls[1:])}))


def _describe(client: Any, job: str) -> None:
    """The same client in a loop, at the same pace: what a script would do by hand."""
    for _ in range(_POLLS):
        begun = time.monotonic()
        client.describe_auto_ml_job_v2(AutoMLJobName=job)
        time.sleep(max(0.0, begun + PAUSE - time.monotonic()))


def _cpu(block: Callable[[], object]) -> float:
    begun = time.process_time()
    block()
    return (time.process_time() - begun) / _POLLS


if __name__ == "__main__":
    main(*sys.argv[1:])
