"""An estimate in words, the same in lines, live views and the status of a job."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from automl_waiter._model.estimates import Estimate
from automl_waiter._model.text import format_duration

# For times left below the first number, in seconds, the second is the precision: an estimate is not exact.
_PRECISION = ((60.0, 10), (600.0, 30), (3 * 3600.0, 60), (86400.0, 600))
_COARSEST = 3600


def time_left(estimate: Estimate, now: datetime) -> str:
    """Return the time left: `about 12m left`; then `due any moment`, and `overdue` after the interval."""
    left = (estimate.ends_at - now).total_seconds()
    if estimate.latest < now:
        return "overdue"
    if left <= 0:
        return "due any moment"
    precision = next((precision for below, precision in _PRECISION if left < below), _COARSEST)
    return f"about {format_duration(max(1, round(left / precision)) * precision)} left"


def estimate_words(estimate: Estimate, now: datetime, tz: tzinfo | None = None) -> str:
    """Return `about 12m left, done around 14:32 UTC (14:30–14:36), based on 6 similar jobs`.

    A time that is not on the day of `now` has its date.

    Args:
        estimate: The estimate.
        now: The time of day.
        tz: The reader's time zone. Its name is not shown; None: UTC, which is.
    """
    zone = tz or UTC
    today, ends_at = now.astimezone(zone), estimate.ends_at.astimezone(zone)
    verb = "done" if estimate.ends_at > now else "expected"
    words = f"{verb} around {_clock(ends_at, today)}{'' if tz else ' UTC'}"
    interval = [_clock(end.astimezone(zone), ends_at) for end in (estimate.earliest, estimate.latest)]
    if interval[0] != interval[1]:
        words += f" ({'–'.join(interval)})"
    return f"{time_left(estimate, now)}, {words}, based on {estimate.based_on} similar jobs"


def _clock(instant: datetime, day: datetime) -> str:
    """Return the time of day, after the date if that is not the date of `day`."""
    return f"{instant:%H:%M}" if instant.date() == day.date() else f"{instant:%Y-%m-%d %H:%M}"
