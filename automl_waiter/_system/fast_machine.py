"""A machine with a fast clock, to play a recorded job."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from automl_waiter._system.machine import Machine


class FastMachine(Machine):
    """A machine whose clock runs some times as fast as the real one, and stands still while a call runs.

    So the calls of a fast wait take no time, and its timeouts keep their meaning, however slow the computer is.

    Args:
        speed: How many seconds of this clock pass in one real second.
        start: The time of day that it shows first (UTC).
    """

    def __init__(self, speed: float, start: datetime) -> None:
        self._start = start
        # The clock when a pause began and when it ends at the latest, and the real time when it began. It is one value,
        # because other threads read it.
        self._pause = 0.0, 0.0, 0.0
        super().__init__()
        self.speed = speed

    def monotonic(self) -> float:
        """Return the seconds since the machine was made, on its clock."""
        begun, end, since = self._pause
        return min(end, begun + (super().monotonic() - since) * self.speed)

    def now(self) -> datetime:
        """Return the time of day on its clock (UTC)."""
        return self._start + timedelta(seconds=self.monotonic())

    def wait(self, until: float) -> Any:
        """Return the next call that has returned, or None when the clock has reached `until`; see `Machine`."""
        now = self.monotonic()
        self._pause = now, now if self._running else max(now, until), super().monotonic()
        try:
            return super().wait(until)
        finally:
            now = self.monotonic()
            self._pause = now, now, 0.0
