"""When a job will end, estimated from the durations of similar jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Estimate:
    """When a job will probably end: the median, and an interval that contains 8 of 10 ends.

    Attributes:
        ends_at: Half of the ends are before it (UTC).
        earliest: A tenth of the ends are before it (UTC).
        latest: A tenth of the ends are after it (UTC).
        based_on: The number of similar jobs on which it is based.
    """

    ends_at: datetime
    earliest: datetime
    latest: datetime
    based_on: int
