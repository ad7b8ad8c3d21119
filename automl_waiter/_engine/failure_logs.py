"""Reading the logs that explain why a job failed, within a few seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from automl_waiter._engine.calls import Calls, Gateway
from automl_waiter._engine.candidates import read_candidates
from automl_waiter._engine.kernel import Kernel
from automl_waiter._model.errors import TransientError, TransientKind
from automl_waiter._model.failure_logs import LINES, FailedJob, FailureLog, failed_jobs, telling_lines
from automl_waiter._model.snapshot import Candidate, Snapshot
from automl_waiter._model.text import clean, format_duration

T = TypeVar("T")

TIMEOUT_S = 5.0
"""Seconds for all calls together: the outcome waits for them."""

_RETRIED = frozenset(
    {TransientKind.THROTTLED, TransientKind.SERVER, TransientKind.CREDENTIALS, TransientKind.NO_CREDENTIALS}
)
_PAUSE_S = 1.0


class LogReader(Protocol):
    """Reads logs. Its errors are those of a gateway."""

    def lines(self, job: FailedJob) -> Sequence[str]:
        """Return the last lines of the job's log, in the order of time; none if there is no log."""


Connect = Callable[[], tuple[Gateway, LogReader]]


async def read_failure_logs(
    kernel: Kernel,
    snapshot: Snapshot,
    connect: Connect,
    *,
    candidates: Sequence[Candidate] | None = None,
    count: int = LINES,
) -> list[FailureLog]:
    """Return the logs of what failed in a job, each with at most `count` lines, or with the reason why there are none.

    Args:
        kernel: Runs this.
        snapshot: The job.
        connect: Returns the gateway to the job and a reader of its logs; called in a call thread.
        candidates: The job's candidates, if they are known; None: they are listed.
        count: The maximum number of lines of each log.
    """
    if candidates is not None and not failed_jobs(snapshot, candidates):
        return []
    until = kernel.clock.monotonic() + TIMEOUT_S
    try:
        gateway, reader = await _within(kernel, connect, until)
    except Exception as error:  # a log is extra: whatever fails, the outcome of the job is what counts
        return [_log(job, problem=clean(error)) for job in failed_jobs(snapshot)]
    if candidates is None:
        pages = await read_candidates(Calls(gateway, kernel, error_budget=0.0), snapshot.name, deadline=until)
        candidates = pages.leaderboard.candidates  # denied or late: the job's own log is the one that counts
    logs: list[FailureLog] = []
    for job in failed_jobs(snapshot, candidates):
        try:
            lines = await _lines(kernel, reader, job, count, until)
        except Exception as error:
            return [*logs, _log(job, problem=clean(error))]  # the next one would say the same
        logs.append(_log(job, lines, None if lines else "no log found"))
    return logs


async def _lines(kernel: Kernel, reader: LogReader, job: FailedJob, count: int, until: float) -> tuple[str, ...]:
    """Return the lines to show of a job's log. They are chosen in the call thread, because a log may be large."""
    while True:
        try:
            return await _within(kernel, lambda: telling_lines(reader.lines(job), count), until)
        except TransientError as error:
            if error.kind not in _RETRIED:
                raise
        await kernel.sleep_until(min(kernel.clock.monotonic() + _PAUSE_S, until))


async def _within(kernel: Kernel, function: Callable[[], T], until: float) -> T:
    """Return the value of a function that runs in a call thread; raise TimeoutError if it is not there in time."""
    call = await kernel.call(function, until) if kernel.clock.monotonic() < until else None
    if call is None:
        raise TimeoutError(f"the log could not be read within {format_duration(TIMEOUT_S)}")
    value: T = call.result()
    return value


def _log(job: FailedJob, lines: Sequence[str] = (), problem: str | None = None) -> FailureLog:
    return FailureLog(job.arn, job.candidate, job.group, tuple(lines), problem, job.console_url)
