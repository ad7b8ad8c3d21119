"""A plan's calls, made of attempts: tenacity says whether and when a failed attempt is made again.

`steps` takes a plan and yields only what the loop can do: `Turn`, `Attempt`, `Sleep`, what plans tell each other, and
events. Tenacity never sleeps itself: its pauses are handed on, so that a cancel, a signal and virtual time reach into
them, and the same generator serves threads and asyncio.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Generator
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from automl_waiter._aws.errors import served_at
from automl_waiter._aws.gateway import Gateway
from automl_waiter._engine.calls import (
    OVERSLEPT,
    WAKING,
    Answer,
    Begin,
    Call,
    Describe,
    FindNames,
    Follow,
    ListCandidates,
    ListingPlan,
    ListJobs,
    Plan,
    Sleep,
    Stop,
    Tell,
    Woken,
)
from automl_waiter._model.errors import (
    AutoMLWaiterError,
    Cancelled,
    CredentialsExpired,
    ServiceUnavailable,
    TransientError,
    TransientKind,
)
from automl_waiter._model.events import Event, Retry
from automl_waiter._model.text import format_duration, isoformat
from automl_waiter._model.token_bucket import TokenBucket

if TYPE_CHECKING:
    from tenacity import RetryCallState, Retrying

# An attempt may outlive the deadline by less than the second that is promised.
_OVERTIME = 0.9
# No attempt takes longer, whatever the client's own timeouts are.
_LONGEST_ATTEMPT = 60.0
_FIND_NAMES_TIMEOUT = 5.0

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
# Where calling more often helps nobody, the pause grows on, to a quarter of the time for which it has gone on.
_PATIENT = frozenset({TransientKind.THROTTLED, TransientKind.CREDENTIALS})
_LONGEST_PATIENT_PAUSE = 60.0
# Who is throttled in the first call may be one of hundreds that began in the same second, on many machines.
_HERD_PAUSE = 100.0
# A look at the deadline waits for its turn no longer than this, so that there is time for the call.
_LAST_TURN = 0.4


class Clock(Protocol):
    """What the time is. `monotonic` is in seconds and counts a machine's sleep; `now` is an instant in UTC."""

    def monotonic(self) -> float: ...
    def now(self) -> datetime: ...
    def random(self) -> float: ...


class Attempt(NamedTuple):
    """Make this call, and abandon it when the clock shows `until` by throwing a TransientError."""

    call: Callable[[], Any]
    until: float


class Turn(NamedTuple):
    """Wait until the call budget has a turn; when the clock shows `until`, throw a TransientError instead."""

    budget: TokenBucket
    until: float
    is_urgent: bool = False


class Launch(NamedTuple):
    """Begin with another job's steps, beside the others."""

    steps: Steps


Step = Turn | Attempt | Sleep | Follow | Tell | Launch | Event
Steps = Generator[Step, Any, None]


def steps(plan: Plan | ListingPlan, gateway: Gateway, clock: Clock, *, error_budget: float) -> Steps:
    """The plan with its calls made of attempts. `error_budget` is in seconds."""
    advance: Callable[[Any], Any] = plan.send
    value: Any = None
    while True:
        try:
            action = advance(value)
        except StopIteration:
            return
        advance = plan.send
        try:
            match action:
                case Describe() | FindNames() | Stop() | ListJobs() | ListCandidates():
                    value = yield from _Attempts(action, gateway, clock, error_budget).answer()
                case Sleep():
                    yield action
                    value = Woken(clock.monotonic(), clock.now())
                case Follow():
                    value = (yield action) or Woken(clock.monotonic(), clock.now())
                case Begin(plan=begun):
                    value = yield Launch(steps(begun, gateway, clock, error_budget=error_budget))
                case _:
                    value = yield action
        except Cancelled as cancelled:
            advance, value = plan.throw, cancelled


class _Limits:
    """Until when attempts of a call may begin: its deadline, and the error budget.

    The budget is spent awake: a machine that slept has not been trying. A deadline that passed in its sleep, or
    had passed when the call began, is put off, so that the job is looked at before the wait gives up.
    """

    def __init__(self, call: Call, begun: float, error_budget: float) -> None:
        self.budget_ends = begun + error_budget
        self.deadline = math.inf
        match call:
            case FindNames(deadline=deadline):
                self.budget_ends = begun
                self.deadline = min(begun + _FIND_NAMES_TIMEOUT, math.inf if deadline is None else deadline)
            case ListJobs(patience=float(patience)) | ListCandidates(patience=patience):
                self.budget_ends = begun + min(error_budget, patience)
        match call:
            case ListCandidates(deadline=float(deadline)):
                self.deadline = max(deadline, begun)
            case Describe(deadline=float(deadline)) | ListJobs(deadline=float(deadline)) | Stop(deadline=deadline):
                self.deadline = max(deadline, begun)
                if begun > deadline + OVERSLEPT:
                    self.deadline = begun + WAKING

    @property
    def last_attempt_at(self) -> float:
        """No attempt begins later."""
        return min(self.budget_ends, self.deadline)

    @property
    def turn_until(self) -> float:
        """Until when to wait for a turn: what ends then is the time, not the error budget."""
        return self.deadline + _LAST_TURN

    def attempt_until(self, started: float) -> float:
        """When to abandon an attempt."""
        last_second = max(self.deadline + _OVERTIME, started + _OVERTIME - _LAST_TURN)
        return min(started + _LONGEST_ATTEMPT, last_second)

    def waited_for_turn(self, seconds: float) -> None:
        """Takes in that nothing was tried for a while, because it was the turn of others."""
        self.budget_ends += seconds

    def passed(self, until: float, now: float) -> None:
        """Takes in that something which was to last until `until` was over when the clock showed `now`."""
        overslept = now - until
        if overslept > OVERSLEPT:
            self.budget_ends += overslept
            if now > self.deadline:
                self.deadline = now + WAKING


class _Attempts:
    """The attempts of a call, until one succeeds or fails for good, or the deadline or the error budget is reached."""

    def __init__(self, call: Call, gateway: Gateway, clock: Clock, error_budget: float) -> None:
        self._call = call
        self._gateway = gateway
        self._clock = clock
        self._begun = self._started = clock.monotonic()
        self._begun_at = clock.now()
        self._limits = _Limits(call, self._begun, error_budget)
        self._failures = _Failures()

    def answer(self) -> Generator[Step, Any, Answer]:
        """Makes them, and says what came of the call."""
        try:
            try:
                return self._answer((yield from self._attempt()))
            except TransientError as failure:
                first = failure
            # Tenacity comes in with a failure: most calls never need it, and a wait makes thousands.
            return self._answer((yield from self._again_after(first)))
        except TransientError as last:
            return self._answer(error=self._given_up(last), exhausted=True)
        except Cancelled as cancelled:
            last_failure = self._failures.last
            if last_failure is None:
                raise
            raise cancelled.amid(self._failures.count, self._given_up(last_failure)) from None
        except AutoMLWaiterError as error:
            return self._answer(error=error)

    def _attempt(self) -> Generator[Step, Any, Any]:
        budget, asked = self._gateway.bucket, self._clock.monotonic()
        self._started = asked
        waits_for_none = isinstance(self._call, Stop) and self._call.is_urgent
        if not waits_for_none and not budget.take(asked):
            # A page tells of a hundred jobs, and takes no more than half of the budget.
            is_urgent = isinstance(self._call, ListJobs) or (isinstance(self._call, Describe) and self._call.is_urgent)
            yield Turn(budget, self._limits.turn_until, is_urgent)
            self._started = self._clock.monotonic()
            self._limits.waited_for_turn(self._started - asked)
        until = self._limits.attempt_until(self._started)
        try:
            response = yield Attempt(_bound(self._call, self._gateway), until)
        except TransientError as failure:
            # What is read for people, or at a pace that gives way by itself, must not slow down the looks.
            if failure.kind is TransientKind.THROTTLED and not isinstance(self._call, ListCandidates):
                budget.throttled(self._clock.monotonic())
            raise
        else:
            budget.succeeded()
            return response
        finally:
            self._limits.passed(until, self._clock.monotonic())

    def _again_after(self, first: TransientError | None) -> Generator[Step, Any, Any]:
        """The response of an attempt after the first, which failed and is tenacity's first one."""
        from tenacity import retry_if_exception_type

        clock, failures, pauses = self._clock, self._failures, list[float]()
        response = None
        for attempt in _retrying()(
            sleep=lambda seconds: pauses.append(float(seconds)),
            wait=self._pause,
            stop=lambda _: clock.monotonic() >= self._limits.last_attempt_at,
            retry=retry_if_exception_type(TransientError),
            reraise=True,
        ):
            while pauses:
                delay = pauses.pop()
                assert failures.last is not None
                yield _retry(self._call, clock.now(), failures.count, failures.last, delay)
                until = clock.monotonic() + delay
                yield Sleep(until)
                self._limits.passed(until, clock.monotonic())
            with attempt:
                if first is not None:
                    try:
                        raise first
                    finally:
                        first = None
                response = yield from self._attempt()
        return response

    def _pause(self, state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        assert isinstance(failure, TransientError)
        self._failures.take(failure)
        now = self._clock.monotonic()
        longest = _LONGEST_PAUSE
        if failure.kind in _PATIENT:
            longest = min(_LONGEST_PATIENT_PAUSE, max(longest, (now - self._begun) / 4))
        ceiling = min(longest, _FIRST_PAUSE * 2.0 ** min(self._failures.count, 16))
        if failure.kind is TransientKind.THROTTLED and self._failures.count == 1 and self._gateway.bucket.is_new:
            ceiling = max(_FIRST_PAUSE, min(_HERD_PAUSE, self._limits.last_attempt_at - now))
        delay = _FIRST_PAUSE + (ceiling - _FIRST_PAUSE) * self._clock.random()
        return max(0.0, min(delay, self._limits.last_attempt_at - now))

    def _answer(
        self, response: Any = None, error: AutoMLWaiterError | None = None, *, exhausted: bool = False
    ) -> Answer:
        return Answer(
            started=self._started,
            finished=self._clock.monotonic(),
            at=self._clock.now(),
            response=response,
            error=error,
            served_at=served_at(response),
            # The last failure of a call that was given up was not repeated.
            retries=self._failures.count - exhausted,
            slowdown=self._gateway.bucket.slowdown(self._clock.monotonic()),
            exhausted=exhausted,
        )

    def _given_up(self, last: TransientError) -> AutoMLWaiterError:
        lasted = format_duration(self._clock.monotonic() - self._begun)
        return _given_up(self._call, last, self._failures.count, self._begun_at, lasted)


class _Failures:
    """The failed attempts of a call: not each is kept, because an outage has many, and tracebacks are large."""

    def __init__(self) -> None:
        self.count = 0
        self.last: TransientError | None = None

    def take(self, failure: TransientError) -> None:
        """Takes in another one."""
        self.count += 1
        self.last = TransientError(failure.kind, str(failure), code=failure.code)


def _retry(call: Call, at: datetime, count: int, last: TransientError, delay: float) -> Retry:
    return Retry(call.job_name, at, call.operation, count, last.kind, last.code, str(last), delay)


def _given_up(call: Call, last: TransientError, count: int, since: datetime, lasted: str) -> AutoMLWaiterError:
    often = "once" if count == 1 else f"{count} times"
    words = (
        f"{call.operation} failed {often} since {isoformat(since)} ({lasted}) without one good answer; "
        f"the last error, {last.kind}: {last}"
    )
    kind = CredentialsExpired if last.kind is TransientKind.CREDENTIALS else ServiceUnavailable
    return kind(words, code=last.code)


def _bound(call: Call, gateway: Gateway) -> Callable[[], Any]:
    match call:
        case Describe():
            return partial(gateway.describe, call.job_name)
        case FindNames():
            return partial(gateway.find_names, call.job_name)
        case Stop():
            return partial(gateway.stop, call.job_name)
        case ListJobs(request=request):
            return partial(gateway.list_jobs, request)
        case ListCandidates(token=token):
            return partial(gateway.list_candidates, call.job_name, token)


@functools.cache
def _retrying() -> type[Retrying]:
    from tenacity import Retrying

    class AnyThreadRetrying(Retrying):
        """Tenacity keeps its figures for each thread, but a generator may be advanced from one and then another."""

        @functools.cached_property
        def statistics(self) -> dict[str, Any]:
            return {}

    return AnyThreadRetrying
