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


# The chance that a phase is the job's last. Of 14 jobs recorded since 2021, all continued from training to reports, and
# 2 of 8 ended after their explainability report. All are tabular: other problem types may make no other report. The
# exact values cost least in the benchmark.
_TRAINING_IS_LAST = 1 / 24
_REPORT_IS_LAST = 2 / 5
# Recorded reports took from 2.7 to 9 minutes, half of them over 7. With so wide a spread, a phase as old as the median
# ends at a rate of about 2 / age; a younger one ends less often.
_REPORT_ENDS = 2.0
# So a report rarely ends in its first minutes (seconds). In a job younger than 108 minutes they are a share of its age,
# because jobs with a short training have little to report on.
_QUIET = 270.0
_QUIET_SHARE = 1 / 24
# A failure in the first minutes is usually a mistake in the request, which the user wants to fix.
_SHORTEST_PREPARING = 20.0
# The service may end a job a moment after its runtime limit.
_AFTER_LIMIT = 2.0
# A poll this close to a known instant, in delays, is postponed to it.
_NEARLY = 1.25


@dataclass(frozen=True)
class PhaseAware:
    """The default: poll rarely while the job trains, and often in the phases before its end.

    With `lag_per_call` = κ, the seconds of lag that one call is worth, √(2κ/h) is the cheapest delay if the end comes
    at a rate of h a second (Keller 1974). The delay follows from what is known of h:

    - finishing, deploying or stopping: h = 2 / the phase's age, and 2/5 of that in an earlier report, because 2 jobs
      in 5 end there; at the start of a report or a deployment, half of what is left of 4.5 minutes, or of a 24th of the
      job's age
    - training: h = 1/24 / the job's age, because reports follow; at most `longest`, because they may not. A report
      before a deployment counts as training; so does preparing, if the job makes candidate definitions only
    - preparing: half the job's age, from 20 s to twice `longest`, because only a failure ends a job here
    - near the job's runtime limit (MaxAutoMLJobRuntimeInSeconds): 2 s after it, then after half the time since
    - near the caller's deadline: at it, instead of just before it
    - the first delay is anything up to twice its value, so that waits that start in the same second spread out
    - jittered by a tenth, never below `shortest`; slower while AWS throttles

    Attributes:
        lag_per_call: κ, a duration. At 0.1, an hour of polls every 30 s is worth 12 s of lag.
        shortest: The shortest delay.
        longest: The longest delay once the job trains. At 90 s, jobs that end straight from training, after
            some hours, cost at most a tenth more than with a poll every 30 s.
        jitter: The share by which a delay varies.
    """

    lag_per_call: Duration = 0.1
    shortest: Duration = 2.0
    longest: Duration = 90.0
    jitter: float = 0.1

    def __post_init__(self) -> None:
        for name in ("lag_per_call", "shortest", "longest"):
            _positive(f"poll policy's {name}", seconds_of(getattr(self, name), name))
        if not 0 <= self.jitter < 1:
            raise InvalidRequest(f"a poll policy's jitter is a share from 0 to below 1, not {self.jitter}")

    def next_delay(self, context: PollContext, /) -> float:
        """Return the seconds to the next poll."""
        delay, shortest = self._by_stage(context), seconds_of(self.shortest)
        limit = context.snapshot.completion_criteria.max_runtime_seconds
        until_limit = math.inf if limit is None else limit - context.elapsed
        if until_limit <= 0:
            delay = min(delay, -until_limit / 2)
        delay = 2 * delay * context.random() if context.polls == 1 else _jittered(delay, self.jitter, context)
        delay = max(shortest, delay * context.slowdown)
        # An instant is met exactly: it is neither jittered nor slowed down.
        if 0 < until_limit < _NEARLY * delay:
            delay = max(shortest, until_limit + _AFTER_LIMIT)
        if context.time_left is not None and context.time_left < _NEARLY * delay:
            delay = max(shortest, context.time_left)
        return delay

    def _by_stage(self, context: PollContext) -> float:
        snapshot, age, phase_age = context.snapshot, context.elapsed, context.phase_age
        stage = stage_of(snapshot.state)
        if stage is Stage.PREPARING and snapshot.makes_definitions_only:
            stage = Stage.TRAINING
        is_stopping = snapshot.status == Status.STOPPING
        if stage in (Stage.REPORTING, Stage.FINISHING) and snapshot.is_to_deploy and not is_stopping:
            stage = Stage.TRAINING
        match stage:
            case Stage.PREPARING:
                return min(max(age / 2, _SHORTEST_PREPARING), 2 * seconds_of(self.longest))
            case Stage.TRAINING:
                return self._best_delay(_TRAINING_IS_LAST / max(age, 1.0))
        is_last = _REPORT_IS_LAST if stage is Stage.REPORTING else 1.0
        delay = self._best_delay(is_last * _REPORT_ENDS / max(phase_age, 1.0))
        # A stop may take seconds; and a phase found by the first poll may be older than is known.
        if is_stopping or context.polls == 1:
            return delay
        return max(delay, (min(_QUIET, age * _QUIET_SHARE) - phase_age) / 2)

    def _best_delay(self, rate: float) -> float:
        """Return Keller's delay for an end at `rate` a second, at most `longest`."""
        return min(math.sqrt(2 * seconds_of(self.lag_per_call) / rate), seconds_of(self.longest))


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
