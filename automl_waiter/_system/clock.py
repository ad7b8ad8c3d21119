"""The clock of this machine."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from functools import partial

from automl_waiter._system.portable import CLOCK

# A partial, because freezegun stops the functions of `time` that it finds in a module.
_monotonic = partial(time.monotonic)

SLICE_S = 30.0
"""A sleep is divided into slices, because on a machine that sleeps the timers stand still while the clock advances."""


class SystemClock:
    """The machine's clock. `monotonic` counts the time that a machine sleeps."""

    def monotonic(self) -> float:
        """Return the seconds since some instant in the past; they never go back."""
        return _monotonic() if CLOCK is None else time.clock_gettime(CLOCK)

    def now(self) -> datetime:
        """Return the time of day (UTC): to report, never to decide by."""
        return datetime.now(UTC)

    def random(self) -> float:
        """Return a random number in [0, 1)."""
        return random.random()  # noqa: S311 - it spreads polls; nothing secret depends on it
