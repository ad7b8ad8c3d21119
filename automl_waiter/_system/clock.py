"""The clock of this machine."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from automl_waiter._system.portable import monotonic

SLICE_S = 30.0
"""A sleep is taken in slices, because the timers of a machine that sleeps stand still while its clock goes on."""


class SystemClock:
    """The machine's clock. `monotonic` counts the time that a machine sleeps."""

    def monotonic(self) -> float:
        """Return the seconds since some instant in the past; they never go back."""
        return monotonic()

    def now(self) -> datetime:
        """Return the time of day (UTC): to report, never to decide by."""
        return datetime.now(UTC)

    def random(self) -> float:
        """Return a random number in [0, 1)."""
        return random.random()  # noqa: S311 - it spreads polls; nothing secret depends on it
