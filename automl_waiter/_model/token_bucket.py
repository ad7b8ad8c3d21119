"""How fast an account and region may be called: one budget for all the waits of a process there.

A token bucket spreads the calls. Throttling halves its rate, and without any the rate grows back evenly: additive
increase, multiplicative decrease, as in TCP. What it decides by is handed in; it reads no clock.
"""

from __future__ import annotations

import math

DEFAULT_MAX_RATE = 5.0
"""Calls per second. AWS publishes no limit for these calls; a sibling, ListTrainingJobs, is reported at 2 a second
(aws-solutions/deepracer-on-aws#87), and whoever else works in the account shares it."""

# The least that is left after throttling, as a share of the most; and how long it takes to grow back from nothing.
_LEAST_SHARE = 1 / 8
_RECOVERY = 600.0
# The calls that are on their way when the service begins to throttle are one event, not many.
_ONE_EVENT = 1.0


class TokenBucket:
    """A token bucket that holds a second's worth of calls, two at least, and slows down while calls are throttled.

    Args:
        max_rate: The most calls per second: a positive, finite number.
    """

    def __init__(self, max_rate: float = DEFAULT_MAX_RATE) -> None:
        self.max_rate = max_rate
        self._rate = max_rate
        self._rated_at = -math.inf
        """When the rate was what `_rate` says."""
        self.is_new = True
        """Whether no call has succeeded yet."""
        self._full_at = -math.inf
        """When the bucket is full again, should nobody call until then."""

    def rate(self, now: float) -> float:
        """Calls per second at that instant."""
        if self._rate == self.max_rate:
            return self.max_rate
        return min(self.max_rate, self._rate + self.max_rate * (now - self._rated_at) / _RECOVERY)

    def slowdown(self, now: float) -> float:
        """1, and up to 8 after calls were throttled: the factor by which to call less often."""
        return self.max_rate / self.rate(now)

    def reserve(self, now: float) -> float:
        """When the next call may be made: now or later. That turn is then taken, whether it is used or not."""
        at = max(now, self._next_at(now))
        self._full_at = max(self._full_at, at) + 1 / self.rate(now)
        return at

    def take(self, now: float) -> bool:
        """Whether there is a turn now; then it is taken. Nobody is overtaken: who waits has reserved the next one."""
        if self._next_at(now) > now:
            return False
        self._full_at = max(self._full_at, now) + 1 / self.rate(now)
        return True

    def _next_at(self, now: float) -> float:
        """When the bucket holds a call; it may have done so for long."""
        rate = self.rate(now)
        return self._full_at - (max(rate, 2.0) - 1) / rate

    def succeeded(self) -> None:
        """Takes in that the service has answered a call."""
        self.is_new = False

    def throttled(self, now: float) -> None:
        """Takes in that the service has throttled a call.

        If none has succeeded yet, others call too often, and will go on: the rate falls to its least.
        """
        if now - self._rated_at < _ONE_EVENT:
            return
        self._rate = max(0.0 if self.is_new else self.rate(now) / 2, self.max_rate * _LEAST_SHARE)
        self._rated_at = now
