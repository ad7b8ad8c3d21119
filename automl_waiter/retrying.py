"""A plan's calls, made of attempts: tenacity says whether and when a failed attempt is made again.

`steps` takes a plan and yields only what every shell can do: `Attempt`, `Sleep` and events. Tenacity never
sleeps itself: its pauses are handed on, so that a cancel, a signal and virtual time reach into them, and the
same generator serves threads and asyncio.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from automl_waiter.errors import AutoMLWaiterError, Cancelled, Passing, PassingFailure, ServiceUnavailable
from automl_waiter.events import Event, Retry
from automl_waiter.gateway import Gateway, served_at
from automl_waiter.outcome import Outcome
from automl_waiter.plan import Answer, Call, Describe, FindNames, Plan, Sleep, Stop
from automl_waiter.text import format_duration

if TYPE_CHECKING:
    from tenacity import RetryCallState

# An attempt may outlive the deadline by less than the second that is promised.
_OVERTIME = 0.9
# After the machine slept through the deadline, the last look needs the time of a cold connection.
_OVERSLEPT_OVERTIME = 10.0
# No attempt takes longer, whatever the client's own timeouts are.
_LONGEST_ATTEMPT = 60.0
_FIND_NAMES_TIMEOUT = 5.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = {Passing.THROTTLED: 30.0}
_LONGEST_OTHER_PAUSE = 10.0


class Clock(Protocol):
    """What the time is. `monotonic` is in seconds and counts a machine's sleep; `now` is an instant in UTC."""

    def monotonic(self) -> float: ...
    def now(self) -> datetime: ...
    def random(self) -> float: ...


@dataclass(frozen=True)
class Attempt:
    """Make this call, and abandon it when the clock shows `until` by throwing a PassingFailure."""

    call: Callable[[], Any]
    until: float


Step = Attempt | Sleep | Event
Steps = Generator[Step, Any, Outcome]


def steps(plan: Plan, gateway: Gateway, clock: Clock, *, error_budget: float) -> Steps:
    """The plan with its calls made of attempts. `error_budget` is in seconds."""
    advance: Callable[[Any], Any] = plan.send
    value: Any = None
    while True:
        try:
            action = advance(value)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            return outcome
        advance = plan.send
        try:
            if isinstance(action, Describe | FindNames | Stop):
                value = yield from _answer(action, gateway, clock, error_budget)
            else:
                value = yield action
        except Cancelled as cancelled:
            advance, value = plan.throw, cancelled


def _answer(call: Call, gateway: Gateway, clock: Clock, error_budget: float) -> Generator[Step, Any, Answer]:
    """Makes attempts until one succeeds, or fails for good, or the deadline or the error budget is reached."""
    from tenacity import Retrying, retry_if_exception_type

    begun = started = clock.monotonic()
    match call:
        case Describe(deadline=None):
            budget_ends, deadline = begun + error_budget, math.inf
        case Describe(deadline=float(deadline)) | Stop(deadline=deadline):
            budget_ends = begun + error_budget
        case _:
            budget_ends, deadline = begun, begun + _FIND_NAMES_TIMEOUT
    last_attempt_at = min(budget_ends, max(deadline, begun))
    failures: list[PassingFailure] = []
    pauses: list[float] = []

    def pause(state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        assert isinstance(failure, PassingFailure)
        failures.append(failure)
        longest = _LONGEST_PAUSE.get(failure.kind, _LONGEST_OTHER_PAUSE)
        ceiling = min(longest, _FIRST_PAUSE * 2.0 ** min(len(failures), 16))
        delay = _FIRST_PAUSE + (ceiling - _FIRST_PAUSE) * clock.random()
        return max(0.0, min(delay, last_attempt_at - clock.monotonic()))

    def answer(response: Any = None, error: AutoMLWaiterError | None = None) -> Answer:
        return Answer(
            started=started,
            finished=clock.monotonic(),
            at=clock.now(),
            response=response,
            error=error,
            served_at=served_at(response),
            retries=max(0, len(failures) - bool(error)) if isinstance(error, ServiceUnavailable) else len(failures),
            throttled=any(failure.kind is Passing.THROTTLED for failure in failures),
        )

    try:
        for attempt in Retrying(
            sleep=lambda seconds: pauses.append(float(seconds)),
            wait=pause,
            stop=lambda _: clock.monotonic() >= last_attempt_at,
            retry=retry_if_exception_type(PassingFailure),
            reraise=True,
        ):
            while pauses:
                delay, failure = pauses.pop(), failures[-1]
                yield Retry(
                    call.job_name,
                    clock.now(),
                    call.operation,
                    len(failures),
                    failure.kind,
                    failure.code,
                    str(failure),
                    delay,
                )
                yield Sleep(clock.monotonic() + delay)
            started = clock.monotonic()
            overtime = _OVERTIME if started <= deadline + _OVERTIME else _OVERSLEPT_OVERTIME
            with attempt:
                response = yield Attempt(
                    _bound(call, gateway), min(started + _LONGEST_ATTEMPT, max(deadline, started) + overtime)
                )
    except PassingFailure as last:
        words = (
            f"{call.operation} failed {_times(len(failures))} in {format_duration(clock.monotonic() - begun)}"
            f" without one good answer; the last error, {last.kind}: {last}"
        )
        return answer(error=ServiceUnavailable(words, code=last.code))
    except AutoMLWaiterError as error:
        return answer(error=error)
    return answer(response)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _bound(call: Call, gateway: Gateway) -> Callable[[], Any]:
    match call:
        case Describe():
            return partial(gateway.describe, call.job_name)
        case FindNames():
            return partial(gateway.find_names, call.job_name)
        case Stop():
            return partial(gateway.stop, call.job_name)
