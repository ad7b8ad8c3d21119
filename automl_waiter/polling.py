"""When to look again: poll policies, frozen values that know nothing of clocks.

A policy is asked after each look and answers with the seconds from that look to the next. It is handed what
it may decide by, the randomness included.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from automl_waiter.errors import InvalidRequest
from automl_waiter.snapshot import Snapshot
from automl_waiter.statuses import Stage, stage_of
from automl_waiter.text import seconds_of


@dataclass(frozen=True)
class PollContext:
    """What a policy may decide by.

    Attributes:
        snapshot: What the look found: a job that has not ended.
        polls: How many looks there were, this one included.
        elapsed: Seconds since the job's CreationTime.
        phase_age: Seconds for which the job is known to have been in its present state, at least.
        time_left: Seconds until the caller's deadline; None without one.
        slowdown: 1, and more after calls were throttled: a factor for delays.
        random: Gives the next random number, uniform in [0, 1).
    """

    snapshot: Snapshot
    polls: int
    elapsed: float
    phase_age: float
    time_left: float | None
    slowdown: float
    random: Callable[[], float]


class PollPolicy(Protocol):
    """Anything with this method is a poll policy. It must return a positive, finite number of seconds."""

    def next_delay(self, context: PollContext, /) -> float:
        """Seconds from the look described by `context` to the next one."""
        ...


@dataclass(frozen=True)
class Fixed:
    """Every `interval` seconds, exactly, from look to look; with `jitter`, each ± that share of it."""

    interval: float | timedelta
    jitter: float = 0.0

    def __post_init__(self) -> None:
        _positive("poll interval", seconds_of(self.interval))
        if not 0 <= self.jitter < 1:
            raise InvalidRequest(f"a poll's jitter is a share from 0 to below 1, not {self.jitter}")

    def next_delay(self, context: PollContext, /) -> float:
        """Seconds to the next look."""
        return _jittered(seconds_of(self.interval), self.jitter, context)


@dataclass(frozen=True)
class Exponential:
    """Smithy's backoff of waiters: uniform(min, min(max, min·2^(n−1))) after the n-th look, seconds.

    Jittered at its ceiling too, so that waiters that started together drift apart. Slower while AWS throttles.
    Source: https://smithy.io/2.0/additional-specs/waiters.html#waiter-retries
    """

    min_delay: float = 2.0
    max_delay: float = 120.0

    def __post_init__(self) -> None:
        _positive("min_delay", self.min_delay)
        if not self.min_delay <= self.max_delay < math.inf:
            raise InvalidRequest(f"max_delay must be at least min_delay ({self.min_delay} s), not {self.max_delay}")

    def next_delay(self, context: PollContext, /) -> float:
        """Seconds to the next look."""
        # The exponent is bounded because 2.0 ** 1024 overflows, and a wait may well look that often.
        ceiling = min(self.max_delay, self.min_delay * 2.0 ** min(context.polls - 1, 64))
        return (self.min_delay + (ceiling - self.min_delay) * context.random()) * context.slowdown


@dataclass(frozen=True)
class PhaseAware:
    """The default: look rarely while the job trains, often in the phases that come before its end.

    With `lag_per_call` = κ, the seconds of lag that one call is worth, s(x) = 2·√(κx) is the delay that costs
    least, to a factor of √2, when the end may come any time after x seconds. So:

    - finishing (the last report, deploying, stopping): s(age of the phase, at least 60 s)
    - reporting (an earlier report): twice that
    - working: s(the job's age + 2 min), doubled for tabular jobs, whose reports come before the end; at most `longest`
    - the job's own MaxAutoMLJobRuntimeInSeconds ends it: look 2 s after it, then after half the time since it
    - the first delay is anything up to twice that: waits that begin in the same second must not go on in step
    - a tenth of jitter, never below `shortest`; slower while AWS throttles

    Attributes:
        lag_per_call: κ, in seconds.
        shortest: No delay is shorter, in seconds.
        longest: No delay while working is longer, in seconds.
        jitter: The share by which a delay varies.
    """

    lag_per_call: float = 0.2
    shortest: float = 2.0
    longest: float = 120.0
    jitter: float = 0.1

    def next_delay(self, context: PollContext, /) -> float:
        """Seconds to the next look."""
        snapshot = context.snapshot
        delay = self._by_stage(snapshot, context)
        limit = snapshot.completion_criteria.max_runtime_seconds
        if limit is not None:
            overdue = context.elapsed - limit
            if overdue >= 0:
                delay = min(delay, overdue / 2)
            elif -overdue < 1.25 * delay:
                # Not jittered: the point is to be there just after it.
                return max(self.shortest, (2.0 - overdue) * context.slowdown)
        if context.polls == 1:
            spread = min(2 * delay, self.longest) * context.random()
            return max(self.shortest, spread * context.slowdown)
        return max(self.shortest, _jittered(delay * context.slowdown, self.jitter, context))

    def _by_stage(self, snapshot: Snapshot, context: PollContext) -> float:
        match stage_of(snapshot.state):
            case Stage.FINISHING:
                return self._unknown_end(max(context.phase_age, 60.0))
            case Stage.REPORTING:
                return 2 * self._unknown_end(max(context.phase_age, 60.0))
            case _:
                factor = 2 if snapshot.problem_type in (None, "Tabular") else 1
                return min(factor * self._unknown_end(context.elapsed + 120.0), self.longest)

    def _unknown_end(self, elapsed: float) -> float:
        return 2 * math.sqrt(self.lag_per_call * elapsed)


def _jittered(delay: float, jitter: float, context: PollContext) -> float:
    return delay * (1 + jitter * (2 * context.random() - 1)) if jitter else delay


def _positive(what: str, seconds: float) -> None:
    if not 0 < seconds < math.inf:
        raise InvalidRequest(f"a {what} is a positive number of seconds, not {seconds}")


def poll_policy(poll: PollPolicy | float | timedelta | None) -> PollPolicy:
    """The policy that is meant by `poll`: a number or timedelta is `Fixed`, None the default.

    Raises:
        InvalidRequest: It is none of these, or the interval is not positive.
    """
    if poll is None:
        return PhaseAware()
    if isinstance(poll, int | float | timedelta):
        return Fixed(poll)
    if not callable(getattr(poll, "next_delay", None)):
        raise InvalidRequest(f"poll is a number of seconds, a timedelta or a poll policy, not {type(poll).__name__}")
    return poll
