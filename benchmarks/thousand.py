"""A thousand waits in one process, and a hundred against a limit, for real: over HTTP, each in a process of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from listing_service import Throttle

from automl_waiter._model.token_bucket import DEFAULT_MAX_RATE
from automl_waiter.testing import Timeline
from benchmarks.endpoint import RUNNING, CountingSandbox, Process
from benchmarks.waits import ALONE, DESCRIBED, LISTED, PROBE

JOBS, FEWER = 1000, 100
RAISED = 50.0
"""The max rate of the thousand, so that the endpoint is their limit."""
LIMIT, BURST = 10.0, 20.0
"""What the endpoint admits of the hundred, in calls per second."""
_SECONDS = 60
# Every tenth job fails, and every tenth is stopped, so that an end is not right by chance.
_SCRIPTS = {
    verdict: Timeline(
        [
            (0, "InProgress", "Starting"),
            (_SECONDS / 4, "InProgress", "ModelTuning"),
            (_SECONDS * 3 / 4, "InProgress", "GeneratingModelInsightsReport"),
            (_SECONDS, status, status),
        ]
    )
    for verdict, status in (("completed", "Completed"), ("failed", "Failed"), ("stopped", "Stopped"))
}
_ENDS_OF_TEN = ("failed", "stopped", *["completed"] * 8)
_JOIN_SLICE_S = 0.02


@dataclass(frozen=True)
class Many:
    """What many waits in a process took.

    Attributes:
        way: How they waited.
        jobs: For how many jobs.
        megabytes: The most memory, in MiB, over what the process held after one describe call.
        threads: The most threads of the process.
        cpu: Seconds of CPU.
        calls: Describes and pages of listings.
        throttled: How many of them were.
        late: Seconds from the last job's end until the last wait returned.
        wrong: How many outcomes were not what became of the job.
    """

    way: str
    jobs: int
    megabytes: float
    threads: int
    cpu: float
    calls: int
    throttled: int
    late: float
    wrong: int


def measure() -> tuple[list[Many], list[Many]]:
    """The thousand, and the hundred against the limit; it takes about five minutes."""
    thousand = [_measure(way, JOBS, RAISED) for way in (LISTED, DESCRIBED)]
    hundred = [_measure(way, FEWER, DEFAULT_MAX_RATE, Throttle(LIMIT, BURST)) for way in (LISTED, ALONE)]
    return thousand, hundred


def criteria(thousand: Sequence[Many], hundred: Sequence[Many]) -> list[tuple[str, float, float]]:
    """What is promised: in words, as measured, and the bound."""
    return [
        (f"{JOBS} waits: MiB over a client that made one call", max(many.megabytes for many in thousand), 30),
        (f"{JOBS} waits: threads", max(many.threads for many in thousand), 40),
        (
            f"{FEWER} waits against {LIMIT:g} calls/s, begun together: wrong ends",
            sum(many.wrong for many in hundred),
            0,
        ),
    ]


def _measure(way: str, count: int, max_rate: float, limit: Throttle | None = None) -> Many:
    with CountingSandbox(scripts=_SCRIPTS, limit=limit) as sandbox:
        sandbox.create_job(PROBE, scenario=RUNNING)
        with Process(way, str(max_rate), sandbox.environment, module="benchmarks.waits") as process:
            looks = sandbox.looks
            expected = {f"job-{number:04}": _ENDS_OF_TEN[number % len(_ENDS_OF_TEN)] for number in range(count)}
            for name, scenario in expected.items():
                sandbox.create_job(name, scenario=scenario)
            with _most_threads(process.popen.pid) as threads:
                process.begin(" ".join(expected))
                answer = process.answer()
        told = answer["verdicts"]
        return Many(
            way,
            count,
            megabytes=answer["peak"] - answer["bare"],
            threads=max(threads),
            cpu=answer["cpu"],
            calls=sandbox.looks - looks,
            throttled=sandbox.throttled,
            late=answer["finished"] - answer["last_end"],
            wrong=sum(told.get(name) != verdict for name, verdict in expected.items()),
        )


@contextlib.contextmanager
def _most_threads(process_id: int) -> Iterator[list[int]]:
    """How many threads the process has, at each of many glances (Linux)."""
    seen: list[int] = []
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(_JOIN_SLICE_S):
            with contextlib.suppress(OSError):
                seen.append(len(list(Path(f"/proc/{process_id}/task").iterdir())))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        is_over.set()
        watcher.join()
