"""When the jobs of a wait will end: one listing of the account's past jobs, and an estimate for each job."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

from automl_waiter._engine.calls import Gateway
from automl_waiter._engine.kernel import Kernel, Slot
from automl_waiter._engine.listing import NEWEST_FIRST
from automl_waiter._model.estimates import Estimate, Forecast, PastJob, literal_part, past_jobs, sibling_durations
from automl_waiter._model.events import Estimated
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.statuses import Status

# A listing that takes longer is not waited for.
_LISTING_TIMEOUT_S = 2.0
# An estimate is emitted again once it has moved by more than this.
_MOVED = timedelta(minutes=1)
# A watch of weeks keeps only the newest.
_MOST_PAST_JOBS = 500


class Siblings:
    """The past jobs of an account and region, shared by all waits through one gateway.

    The listing is one attempt that takes no token of the rate limit and is not retried: whatever happens to it, the
    waits poll as they would without it.

    Args:
        gateway: Lists the jobs.
        kernel: Runs the waits.
        names: The names of the jobs, or what their names have in common.
    """

    def __init__(self, gateway: Gateway, kernel: Kernel, names: Iterable[str]) -> None:
        self.kernel = kernel
        self.is_read = False
        """Whether the past jobs are known, or will not be."""
        self._gateway = gateway
        # One page shows 100 jobs, too few where hundreds run or fail, or where the account has thousands of others. The
        # filters help there, and nothing relies on them: without them, the page has the newest jobs of the account.
        self._request = {**NEWEST_FIRST, "StatusEquals": str(Status.COMPLETED)}
        parts = {literal_part(name) for name in names}
        if len(parts) == 1 and "" not in parts:
            self._request["NameContains"] = parts.pop()
        self._past: deque[PastJob] = deque(maxlen=_MOST_PAST_JOBS)
        self._waiting: list[JobEstimate] = []

    async def read(self) -> None:
        """Read the past jobs, and emit the first estimates of the jobs that have been polled by then."""
        list_jobs = partial(self._gateway.list_jobs, self._request)
        with suppress(Exception):  # whatever fails, no listing means no estimates
            call = await self.kernel.call(list_jobs, self.kernel.clock.monotonic() + _LISTING_TIMEOUT_S)
            page: Mapping[str, Any] = call.result() if call is not None else {}
            self._past.extend(past_jobs(map(Snapshot, reversed(page.get("AutoMLJobSummaries", ())))))
        self.is_read = True
        waiting, self._waiting = self._waiting, []
        for job in waiting:
            await job.listed()

    def forecast(self, name: str) -> Forecast:
        """Return how long a job of this name will take."""
        return Forecast(sibling_durations(name, self._past))

    def new_estimate(self) -> JobEstimate:
        """Return the estimate of a job that was not polled yet."""
        estimate = JobEstimate(self)
        if not self.is_read:
            self._waiting.append(estimate)
        return estimate

    def add(self, ended: Snapshot) -> None:
        """Add a job that has ended: it may be a sibling of later ones."""
        with suppress(Exception):  # as above
            self._past.extend(past_jobs([ended]))


class JobEstimate:
    """When one job will end. It is estimated at each poll, and emitted when it has moved."""

    def __init__(self, siblings: Siblings) -> None:
        self._siblings = siblings
        self._kernel = siblings.kernel
        self._forecast: Forecast | None = None
        self._is_listed = Slot[bool]()
        self._observed: tuple[Snapshot, float] | None = None
        """The last response, and when the job was created, on the kernel's clock."""
        self._last: Estimate | None = None

    async def observe(self, snapshot: Snapshot, created: float) -> None:
        """Estimate again after a poll of a job that was created at `created`, on the kernel's clock."""
        self._observed = snapshot, created
        await self._estimate()

    async def listed(self) -> None:
        """Estimate for the first time, now that the siblings are known."""
        self._kernel.put(self._is_listed, True)
        await self._estimate()

    async def settled(self) -> None:
        """Wait until the siblings are known or the listing took too long."""
        await self._kernel.wait(self._is_listed)

    def end(self, snapshot: Snapshot | None = None) -> None:
        """Estimate no more. `snapshot` is the last response if the wait has ended."""
        self._observed = None
        if snapshot is not None:
            self._siblings.add(snapshot)

    def of(self, snapshot: Snapshot | None) -> Estimate | None:
        """Return the last estimate, if this response is of a job that still runs."""
        return self._last if snapshot is not None and _is_running(snapshot) else None

    async def _estimate(self) -> None:
        if self._observed is None or not self._siblings.is_read or not _is_running(self._observed[0]):
            return
        snapshot, created = self._observed
        now, age = self._kernel.clock.now(), self._kernel.clock.monotonic() - created
        try:
            self._forecast = self._forecast or self._siblings.forecast(snapshot.name)
            estimate = self._forecast.estimate(now, age, snapshot.completion_criteria.max_runtime_seconds)
        except Exception:  # an estimate is extra: what cannot be computed ends no wait
            self.end()
            return
        if estimate is not None and (self._last is None or abs(estimate.ends_at - self._last.ends_at) > _MOVED):
            self._last = estimate
            await self._kernel.emit(Estimated(**vars(estimate), job_name=snapshot.name, at=now))


def _is_running(snapshot: Snapshot) -> bool:
    return not snapshot.state.is_terminal and snapshot.status != Status.STOPPING
