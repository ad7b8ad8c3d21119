"""What is asked of a wait, checked before the first call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from automl_waiter._model.errors import InvalidRequest
from automl_waiter._model.polling import Fixed, PollPolicy, poll_policy
from automl_waiter._model.text import clean, seconds_of
from automl_waiter._model.token_bucket import DEFAULT_MAX_RATE, TokenBucket
from automl_waiter._model.until import Condition, Expression, HasStatus, condition
from automl_waiter._model.verdicts import DEFAULT_REQUIREMENT, Part, required_parts

NOT_FOUND_GRACE = 10.0
"""Seconds for which a name that is not found is looked for again: AWS does not promise read-after-create."""

StopOn = Literal["until", "timeout"]
StopCause = Literal["until", "timeout", "interrupt"]
"""What makes a wait stop its job. An interrupt is a signal: the command alone handles them."""


@dataclass(frozen=True, kw_only=True)
class WaitOptions:
    """What is asked of a wait, checked. `timeout` is in seconds, "auto" or None; `wait_options` makes one."""

    timeout: float | Literal["auto"] | None = None
    poll: PollPolicy = field(default_factory=lambda: poll_policy(None))
    until: Condition | None = None
    required: frozenset[Part] = frozenset(DEFAULT_REQUIREMENT)
    stop_on: frozenset[StopCause] = frozenset()
    error_budget: float = 900.0
    grace: float = NOT_FOUND_GRACE
    max_rate: float = DEFAULT_MAX_RATE
    """The most calls per second to an account and region."""
    once: bool = False
    """Look once, and say how the job is: neither grace nor a second look."""

    candidates_every: float | None = None
    """Seconds after which the candidates are listed again while they are trained, because somebody watches."""

    @property
    def is_listable(self) -> bool:
        """Whether a summary of ListAutoMLJobs tells when the wait is over: it has the statuses, and little more."""
        return self.until is None or isinstance(self.until, HasStatus)

    @property
    def is_for_a_candidate(self) -> bool:
        """Whether the wait may be over with a candidate, while the job is still training."""
        return isinstance(self.until, Expression) and self.until.reads_best_candidate


def wait_options(
    *,
    timeout: float | timedelta | Literal["auto"] | None = None,
    poll: PollPolicy | float | timedelta | None = None,
    until: str | Condition | None = None,
    require: str | Iterable[str] = DEFAULT_REQUIREMENT,
    stop_on: str | Iterable[str] = (),
    error_budget: float | timedelta = 900.0,
    max_rate: float | None = None,
) -> WaitOptions:
    """The options of `wait_for` and of `Waiter`, checked. The max rate is by default one that leaves `poll` as it is.

    Raises:
        InvalidRequest: One of them makes no sense.
    """
    stops: list[StopCause] = []
    for stop in [stop_on] if isinstance(stop_on, str) else stop_on:
        match stop:
            case "until" | "timeout":
                stops.append(stop)
            case _:
                raise InvalidRequest(f"stop_on is until or timeout, not {clean(stop)!r}")
    if "until" in stops and until is None:
        raise InvalidRequest("stop_on until needs an until condition")
    if "timeout" in stops and timeout is None:
        raise InvalidRequest("stop_on timeout needs a timeout")
    policy = poll_policy(poll)
    if max_rate is None:
        max_rate = DEFAULT_MAX_RATE
        if isinstance(policy, Fixed):
            max_rate = max(max_rate, 2 / seconds_of(policy.interval))
    return WaitOptions(
        timeout=_timeout(timeout),
        poll=policy,
        max_rate=TokenBucket(max_rate).max_rate,
        until=condition(until),
        required=required_parts(require),
        stop_on=frozenset(stops),
        error_budget=_not_negative("error_budget", error_budget),
    )


def _timeout(timeout: float | timedelta | str | None) -> float | Literal["auto"] | None:
    if timeout is None or timeout == "auto":
        return "auto" if timeout else None
    if isinstance(timeout, str):
        raise InvalidRequest(f"a timeout is seconds, a timedelta, auto or None, not {clean(timeout)!r}")
    return _not_negative("timeout", timeout)


def _not_negative(what: str, duration: float | timedelta) -> float:
    seconds = seconds_of(duration)
    if not seconds >= 0:
        raise InvalidRequest(f"{what} is not a negative number of seconds, as {seconds} is")
    return seconds
