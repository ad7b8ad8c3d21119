"""How the wait for one job follows a listing that is read for many jobs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime

from automl_waiter._engine.kernel import Kernel, Slot
from automl_waiter._engine.retries import OVERSLEPT_S, WAKING_S, Answer
from automl_waiter._model.options import WaitOptions
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.statuses import State

# Seconds. The last read of a listing is at the deadline too, and its news arrive a moment later.
_NEWS_OVERTIME_S = 0.6


@dataclass(eq=False)
class ListedJob:
    """A job in a listing, shared by the job's wait and the reader of the listing.

    Two values are shared, so that no state is lost: the one last handed to the wait, and the newest.

    Attributes:
        name: The job's name.
        is_listed: Whether the listing shows the job. If not, the job's wait describes it.
        has_ended: Whether the wait for the job has ended.
        created: When the job was created, on the kernel's clock; -inf before the listing shows it.
        state: The statuses last handed to the wait.
        handed_at: When they were handed over, on the kernel's clock.
        news: The newest answer that the wait has not received yet. Its response is the job's summary, or None if the
            job must be described.
    """

    name: str
    is_listed: bool = True
    has_ended: bool = False
    created: float = -math.inf
    state: State | None = None
    handed_at: float = -math.inf
    news: Slot[Answer] = field(default_factory=Slot)


class Following:
    """What the wait for a job knows from the listing.

    Args:
        job: The job in the listing.
        options: The options of the wait.
        kernel: Runs the wait.
    """

    def __init__(self, job: ListedJob, options: WaitOptions, kernel: Kernel) -> None:
        self.job = job
        # Only a describe shows a deadline of the job's own, and only the job's wait knows it.
        self._is_own_deadline = options.timeout == "auto"
        self.is_enough = not self._is_own_deadline
        """Whether the listing is enough to follow the job: not after it was wrong, nor once the job is stopped."""
        self.end: tuple[Snapshot, datetime] | None = None
        """The end that the listing has shown, and when. A describe must confirm it."""
        self._kernel = kernel
        self._has_overslept = False

    @property
    def is_active(self) -> bool:
        """Whether the listing shows the job and is enough."""
        return self.job.is_listed and self.is_enough

    async def news(self, deadline: float) -> Answer | None:
        """Return the next news of the job; None if its deadline was reached."""
        until = deadline + (0.0 if self._is_own_deadline else _NEWS_OVERTIME_S)
        while True:
            news = await self._kernel.wait(self.job.news, until)
            clock = self._kernel.clock
            now = clock.monotonic()
            if news is not None:
                return news
            if self._is_own_deadline:
                self.is_enough = False
                return Answer(now, now, clock.now())
            if now < until + OVERSLEPT_S or self._has_overslept:
                return None
            # The machine slept past the deadline: the listing is read once more before the wait times out.
            self._has_overslept, until = True, now + WAKING_S
