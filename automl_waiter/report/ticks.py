"""The ticks of an axis, at round values."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_STEPS = (
    *(1, 2, 5, 10, 15, 30),
    *(minutes * _MINUTE for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * _HOUR for hours in (1, 2, 3, 6, 12)),
    *(days * _DAY for days in (1, 2, 5, 10, 20, 50, 100, 1000, 10_000)),
)
_MOST = 7
# Labels with seconds are longer.
_MOST_SECONDS = 4
_MIDNIGHT = datetime(1970, 1, 1, tzinfo=UTC)


class Tick(NamedTuple):
    """A round moment (UTC), and its label."""

    at: datetime
    label: str


def time_ticks(begin: datetime, end: datetime) -> list[Tick]:
    """Return round clock times (UTC) between two times, seven at most; a midnight is labelled with its date."""
    since, until = ((at - _MIDNIGHT).total_seconds() for at in (begin, end))
    for step in _STEPS:
        first, last = math.ceil(since / step), math.floor(until / step)
        if last - first < (_MOST_SECONDS if step < _MINUTE else _MOST):
            break
    form = "%H:%M:%S" if step < _MINUTE else "%H:%M"
    moments = (_MIDNIGHT + timedelta(seconds=number * step) for number in range(first, last + 1))
    return [Tick(at, f"{at:%b} {at.day}" if _is_midnight(at) else f"{at:{form}}") for at in moments]


def _is_midnight(at: datetime) -> bool:
    return (at - _MIDNIGHT).total_seconds() % _DAY == 0


def value_ticks(low: float, high: float) -> list[float]:
    """Return about three to six round values between two values."""
    rough = (high - low) / 6
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
