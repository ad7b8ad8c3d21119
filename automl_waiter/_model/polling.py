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
from automl_waiter._model.statuses import Stage, Status, stage_of
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


# The chance that a report is the job's last phase: 2 of 8 recorded jobs ended after their explainability report. The
# exact value costs least in the benchmark.
_REPORT_IS_LAST = 2 / 5
# Recorded reports took from 2.7 to 9 minutes, half of them over 7. With so wide a spread, a phase as old as the median
# ends at a rate of about 2 / age; a younger one ends less often.
_REPORT_ENDS = 2.0
# So a report rarely ends in its first minutes (seconds). In a job younger than 108 minutes they are a share of its age,
# because jobs with a short training have little to report on.
_QUIET = 270.0
_QUIET_SHARE = 1 / 24
# The seconds of lag that one call is worth: an hour of polls every 30 s is worth 12 s.
_LAG_PER_CALL = 0.1
_SHORTEST_DELAY = 2.0
_JITTER = 0.1
# The service may end a job a moment after its runtime limit.
_AFTER_LIMIT = 2.0
# A poll this close to the runtime limit, in delays, is postponed to it.
_NEARLY = 1.25


# The promise of the default policy: a wait returns within so many seconds of the job's end.
_LEAST_LAG = 5.0
_MOST_LAG = 60.0
_LAG_PER_AGE = 1 / 20


def promised_lag(age: float) -> float:
    """Return the longest lag of the default policy for a job that ends at this age, both in seconds."""
    return min(_MOST_LAG, max(_LEAST_LAG, age * _LAG_PER_AGE))


@dataclass(frozen=True)
class PhaseAware:
    """The default: a wait returns within 5 s of the job's end, or a twentieth of its age, and never later than 60 s.

    That is the longest delay (`promised_lag`); calls and throttling come on top. It holds while the job prepares and
    trains, and in a report before a deployment. Where the end is near, the delay is shorter. If the end comes at a rate
    of h a second, and one call is worth κ = 0.1 seconds of lag, √(2κ/h) is the cheapest delay (Keller 1974):

    - finishing, deploying or stopping: h = 2 / the phase's age
    - in an earlier report, 2/5 of that, because 2 jobs in 5 end there
    - at the start of a report or a deployment: half of what is left of 4.5 minutes, or of a 24th of the job's age
    - near the job's runtime limit (MaxAutoMLJobRuntimeInSeconds): 2 s after it, then after half the time since

    The first delay is a random part of its value, so that waits that start in the same second spread out. Later ones
    are shortened by up to a tenth at random, and are at least 2 s. Each is longer while AWS throttles.
    """

    def next_delay(self, context: PollContext, /) -> float:
        """Return the seconds to the next poll."""
        longest = promised_lag(context.elapsed)
        delay = min(_cheapest_delay(context), longest)
        limit = context.snapshot.completion_criteria.max_runtime_seconds
        until_limit = math.inf if limit is None else limit - context.elapsed
        if until_limit <= 0:
            delay = min(delay, -until_limit / 2)
        if context.polls == 1:
            return delay * (1 - context.random()) * context.slowdown
        delay = max(_SHORTEST_DELAY, delay * (1 - _JITTER * context.random()))
        if 0 < until_limit < _NEARLY * delay:
            delay = until_limit + _AFTER_LIMIT
        return min(delay, longest) * context.slowdown


def _cheapest_delay(context: PollContext) -> float:
    """Return Keller's delay for what is known of the end, in seconds; infinity, if no report has begun."""
    snapshot, phase_age = context.snapshot, context.phase_age
    stage, is_stopping = stage_of(snapshot.state), snapshot.status == Status.STOPPING
    is_before_deployment = snapshot.is_to_deploy and stage is not Stage.DEPLOYING and not is_stopping
    if stage in (Stage.PREPARING, Stage.TRAINING) or is_before_deployment:
        return math.inf
    rate = _REPORT_ENDS / max(phase_age, 1.0) * (_REPORT_IS_LAST if stage is Stage.REPORTING else 1.0)
    delay = math.sqrt(2 * _LAG_PER_CALL / rate)
    if is_stopping:
        return delay  # a stop may take seconds
    # A phase found by the first poll may be older than is known.
    quiet = 0.0 if context.polls == 1 else min(_QUIET, context.elapsed * _QUIET_SHARE) - phase_age
    return max(delay, _LEAST_LAG, quiet / 2)


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
