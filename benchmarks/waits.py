"""Waits for many jobs in a process of its own: `python -m benchmarks.waits WAY MAX_RATE`, told by standard input which.

It has made one describe call through its client when it says "ready". Then it reads the names of the jobs, all in one
line, waits, and prints what it measured as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from automl_waiter import Outcome, wait_for, wait_for_all
from automl_waiter._aws.connection import connect
from benchmarks.fleets import EachByItself

LISTED, DESCRIBED, ALONE = "wait_for_all", "wait_for_all, a describe per job", "a thread and wait_for each"
PROBE = "probe"
"""A job that runs."""


def main(way: str, max_rate: float) -> None:
    """Waits for the jobs in one of the three ways."""
    client = connect().client
    client.describe_auto_ml_job_v2(AutoMLJobName=PROBE)
    print("ready", flush=True)
    jobs = sys.stdin.readline().split()
    bare, cpu = memory("VmRSS"), time.process_time()
    outcomes = _wait(way, jobs, client, max_rate)
    finished, cpu, peak = time.time(), time.process_time() - cpu, memory("VmHWM")
    ends = [outcome.snapshot.ended_at for outcome in outcomes if outcome.snapshot is not None]
    measured = {
        "finished": finished,
        "last_end": max((end.timestamp() for end in ends if end is not None), default=0.0),
        "cpu": cpu,
        "bare": bare,
        "peak": peak,
        "verdicts": {outcome.job: outcome.verdict for outcome in outcomes},
    }
    print(json.dumps(measured), flush=True)


def _wait(way: str, jobs: Sequence[str], client: Any, max_rate: float) -> list[Outcome]:
    if way == ALONE:
        with ThreadPoolExecutor(len(jobs)) as threads:
            return list(threads.map(lambda job: wait_for(job, client=client, check=False), jobs))
    poll = EachByItself() if way == DESCRIBED else None
    return list(wait_for_all(jobs, client=client, max_rate=max_rate, poll=poll).values())


def memory(name: str) -> float:
    """What this process holds (VmRSS), or the most that it has held (VmHWM), in MiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
