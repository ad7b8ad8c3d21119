"""The rate limit of an account and region: one token bucket for all waits of a process.

Throttling halves the rate, which then grows back linearly: additive increase, multiplicative decrease, as in TCP.
Callers pass the time; the bucket reads no clock.
"""

from __future__ import annotations

import math

DEFAULT_MAX_RATE = 5.0
"""Calls per second. AWS publishes no limit for these calls; a sibling, ListTrainingJobs, is reported at 2 a second
(aws-solutions/deepracer-on-aws#87). Other clients in the account share the limit."""

# The lowest rate after throttling, as a share of max_rate; and the seconds in which the rate recovers from 0.
_LEAST_SHARE = 1 / 8
_RECOVERY = 600.0
# Seconds. Calls that are in flight when the service starts to throttle count as one event.
_ONE_EVENT = 1.0


class TokenBucket:
    """A token bucket that holds one second of calls, two at least, and slows down while calls are throttled.

    Args:
        max_rate: The maximum calls per second: a positive, finite number.
    """

    def __init__(self, max_rate: float = DEFAULT_MAX_RATE) -> None:
        self.max_rate = max_rate
        self._rate = max_rate
        self._rated_at = -math.inf
        """When `_rate` was set."""
        self.is_new = True
        """Whether no call has succeeded yet."""
        self._full_at = -math.inf
        """When the bucket is full again if nobody takes a token until then."""

    def rate(self, now: float) -> float:
        """Return the calls per second at that instant."""
        if self._rate == self.max_rate:
            return self.max_rate
        return min(self.max_rate, self._rate + self.max_rate * (now - self._rated_at) / _RECOVERY)

    def slowdown(self, now: float) -> float:
        """Return the factor by which to call less often: 1, or up to 8 after calls were throttled."""
        return self.max_rate / self.rate(now)

    def reserve(self, now: float) -> float:
        """Return when the next call may be made, now or later. Its token is taken, used or not."""
        at = max(now, self._next_at(now))
        self._full_at = max(self._full_at, at) + 1 / self.rate(now)
        return at

    def take(self, now: float) -> bool:
        """Take a token if there is one now, and return whether there was. Reserved tokens come first."""
        if self._next_at(now) > now:
            return False
        self._full_at = max(self._full_at, now) + 1 / self.rate(now)
        return True

    def _next_at(self, now: float) -> float:
        """Return when the bucket has a token; that may be long ago."""
        rate = self.rate(now)
        return self._full_at - (max(rate, 2.0) - 1) / rate

    def succeeded(self) -> None:
        """Note that the service answered a call."""
        self.is_new = False

    def throttled(self, now: float) -> None:
        """Reduce the rate after the service throttled a call.

        Before the first success, other clients cause the throttling and continue: the rate drops to its minimum.
        """
        if now - self._rated_at < _ONE_EVENT:
            return
        self._rate = max(0.0 if self.is_new else self.rate(now) / 2, self.max_rate * _LEAST_SHARE)
        self._rated_at = now
