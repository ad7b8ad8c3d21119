"""Poll policies: when to poll a job next. They are frozen values and read no clock.

After each poll, a policy returns the seconds from that poll to the next. Its context holds everything it may use,
including the random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from automl_waiter._model.errors import InvalidRequest
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.statuses import Stage, stage_of
from automl_waiter._model.text import Duration, seconds_of


@dataclass(frozen=True)
class PollContext:
    """What a policy may use for its decision.

    Attributes:
        snapshot: The last response, of a job that has not ended.
        polls: The number of polls so far, this one included.
        elapsed: Seconds since the job's CreationTime.
        phase_age: Seconds for which the job has been in its present state, at least.
        time_left: Seconds until the caller's deadline; None if there is none.
        slowdown: A factor for delays: 1, or more after calls were throttled.
        random: Returns the next random number, uniform in [0, 1).
    """

    snapshot: Snapshot
    polls: int
    elapsed: float
    phase_age: float
    time_left: float | None
    slowdown: float
    random: Callable[[], float]


class PollPolicy(Protocol):
    """Any object with this method is a poll policy. It must return a positive, finite number of seconds."""

    def next_delay(self, context: PollContext, /) -> float:
        """Return the seconds from the poll described by `context` to the next one."""


@dataclass(frozen=True)
class Fixed:
    """Poll every `interval` seconds, from start to start; `jitter` varies each interval by ± that share."""

    interval: Duration
    jitter: float = 0.0

    def __post_init__(self) -> None:
        _positive("poll interval", seconds_of(self.interval, "a poll interval"))
        if not 0 <= self.jitter < 1:
            raise InvalidRequest(f"a poll's jitter is a share from 0 to below 1, not {self.jitter}")

    def next_delay(self, context: PollContext, /) -> float:
        """Return the seconds to the next poll."""
        return _jittered(seconds_of(self.interval), self.jitter, context)


@dataclass(frozen=True)
class Exponential:
    """Smithy's backoff for waiters: uniform(min, min(max, min·2^(n−1))) seconds after the n-th poll.

    Jitter at the ceiling too lets waiters that started together drift apart. It slows down while AWS throttles.
    Source: https://smithy.io/2.0/additional-specs/waiters.html#waiter-retries
    """

    min_delay: Duration = 2.0
    max_delay: Duration = 120.0

    def __post_init__(self) -> None:
        shortest, longest = seconds_of(self.min_delay, "min_delay"), seconds_of(self.max_delay, "max_delay")
        _positive("min_delay", shortest)
        if not shortest <= longest < math.inf:
            raise InvalidRequest(f"max_delay must be at least min_delay ({self.min_delay} s), not {self.max_delay}")

    def next_delay(self, context: PollContext, /) -> float:
        """Return the seconds to the next poll."""
        # The exponent is bounded because 2.0 ** 1024 overflows, and a long wait may poll that often.
        shortest, longest = seconds_of(self.min_delay), seconds_of(self.max_delay)
        ceiling = min(longest, shortest * 2.0 ** min(context.polls - 1, 64))
        return (shortest + (ceiling - shortest) * context.random()) * context.slowdown


# In 15 of 19 recorded jobs training took at most 15 minutes, and a job without reports ends straight from it: training
# younger than this is polled every 45 s (seconds).
_TRAINING_IS_YOUNG = 600.0
_YOUNG_TRAINING_DELAY = 45.0
# Recorded reports took from 2.7 to 9 minutes, half of them over 7: one rarely ends in its first minutes (seconds). In a
# job younger than 108 minutes these are a share of its age, because a job with a short training has little to report.
_QUIET = 270.0
_QUIET_SHARE = 1 / 24
_SHORTEST_DELAY = 2.0
_JITTER = 0.1
# The service may end a job a moment after its runtime limit.
_AFTER_LIMIT = 2.0


def promised_lag(age: float) -> float:
    """Return the longest lag of the default policy for a job that ends at this age, both in seconds."""
    return min(60.0, max(5.0, age / 20))


@dataclass(frozen=True)
class PhaseAware:
    """The default: a wait returns within 5 s of the job's end, or a twentieth of its age, and never later than 60 s.

    So no delay is longer than that; only calls and throttling come on top. The delay is

    - that long while the job prepares and trains, and in a report before a deployment; at most 45 s in the first ten
      minutes of training
    - half the square root of the phase's age where the end is near: in a report or a deployment, after an error in one,
      and while the job stops. When a report or a deployment begins, half of what is left of its first 4.5 minutes, or
      of a 24th of the job's age, if that is longer
    - at most until 2 s after the job's runtime limit (MaxAutoMLJobRuntimeInSeconds); then half the time since the limit
    - at least 2 s, then shortened at random: the first by anything, so that waits that start in the same second spread
      out, later ones by up to a tenth
    - longer while AWS throttles
    """

    def next_delay(self, context: PollContext, /) -> float:
        """Return the seconds to the next poll."""
        longest = max(_SHORTEST_DELAY, min(_longest_in_phase(context), promised_lag(context.elapsed)))
        share = 1.0 if context.polls == 1 else _JITTER
        delay = longest * (1 - share * context.random())
        limit = context.snapshot.completion_criteria.max_runtime_seconds
        if limit is not None:
            left = limit - context.elapsed
            delay = min(delay, left + _AFTER_LIMIT if left > 0 else max(_SHORTEST_DELAY, -left / 2))
        return delay * context.slowdown


def _longest_in_phase(context: PollContext) -> float:
    """Return the longest delay in the job's phase, in seconds; infinity if the end is not near."""
    snapshot, phase_age, quiet = context.snapshot, context.phase_age, 0.0
    match stage_of(snapshot.state):
        case Stage.PREPARING:
            return math.inf
        case Stage.TRAINING:
            return _YOUNG_TRAINING_DELAY if phase_age < _TRAINING_IS_YOUNG else math.inf
        case Stage.REPORTING if snapshot.is_to_deploy:
            return math.inf
        case Stage.REPORTING | Stage.DEPLOYING:
            quiet = min(_QUIET, context.elapsed * _QUIET_SHARE)
    return max(math.sqrt(phase_age) / 2, (quiet - phase_age) / 2)


def _jittered(delay: float, jitter: float, context: PollContext) -> float:
    return delay * (1 + jitter * (2 * context.random() - 1)) if jitter else delay


def _positive(what: str, seconds: float) -> None:
    if not 0 < seconds < math.inf:
        raise InvalidRequest(f"a {what} is a positive number of seconds, not {seconds}")


def poll_policy(poll: PollPolicy | Duration | None) -> PollPolicy:
    """Return the policy for `poll`: `Fixed` for a duration, the default for None.

    Raises:
        InvalidRequest: It is none of these, or the interval is not positive.
    """
    if poll is None:
        return PhaseAware()
    if isinstance(poll, type):
        raise InvalidRequest(f"poll is a policy, not its class: write {poll.__name__}()")
    if callable(getattr(poll, "next_delay", None)):
        return poll  # type: ignore[return-value]
    return Fixed(poll)  # type: ignore[arg-type]  # it rejects anything but a duration
