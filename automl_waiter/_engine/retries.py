"""The retry rule: a call is attempted until it succeeds, fails permanently, or its time is up.

Tenacity decides whether and when to try again. It sleeps on the kernel, so that a cancel, a signal and virtual time
reach into its pauses.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Coroutine
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from automl_waiter._engine.kernel import Kernel
from automl_waiter._model.errors import (
    AutoMLWaiterError,
    Cancelled,
    CredentialsExpired,
    JobNotFound,
    JobReplaced,
    ServiceUnavailable,
    TransientError,
    TransientKind,
)
from automl_waiter._model.events import Retry
from automl_waiter._model.snapshot import served_at
from automl_waiter._model.text import format_duration, isoformat
from automl_waiter._model.token_bucket import TokenBucket

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState

OVERSLEPT_S = 5.0
"""A sleep that ends later than planned by more than this was not ours: the machine slept, or the process stopped."""
WAKING_S = 15.0
"""After waking, what is past its deadline is still tried for as long: the network needs some seconds to come back."""

# An attempt may outlive the deadline by less than the second that is promised.
_OVERTIME_S = 0.9
# No attempt takes longer, whatever the client's own timeouts are.
_ATTEMPT_TIMEOUT_S = 60.0
# The poll at the deadline waits for a token no longer than this, so that there is time for the call.
_LAST_TOKEN_S = 0.4

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0
# Where calling more often does not help, the pause keeps growing, to a quarter of the time since the first failure.
_NEEDS_CREDENTIALS = frozenset({TransientKind.CREDENTIALS, TransientKind.NO_CREDENTIALS})
_PATIENT = _NEEDS_CREDENTIALS | {TransientKind.THROTTLED}
_LONGEST_PATIENT_PAUSE_S = 60.0
_ABOUT_ANOTHER = frozenset({TransientKind.FOREIGN, TransientKind.NAMESAKE})
# A client throttled on its first call is probably one of hundreds that started in the same second.
_HERD_PAUSE_S = 100.0


class Priority(Enum):
    """When a call gets its token from the bucket."""

    IN_ORDER = "in order"
    FIRST = "ahead of others"
    IMMEDIATE = "it needs no token"


class Call(NamedTuple):
    """One call to AWS.

    Attributes:
        operation: The API's name for it.
        job_name: The job that it is about; None for a listing.
        function: Makes one attempt.
        deadline: No attempt begins later, on the kernel's clock.
        error_budget: How long it may keep failing for transient reasons, in seconds, if that is less than for others of
            the wait; with 0 there is one attempt.
        priority: When it gets its token.
        slows_down: Whether throttling of this call slows down the others.
        check: Raises a TransientError for a response that answers something else.
        foreign_for: How long every answer may be about another job, in seconds. After it, the requested job does not
            exist.
    """

    operation: str
    job_name: str | None
    function: Callable[[], Any]
    deadline: float
    error_budget: float = math.inf
    priority: Priority = Priority.IN_ORDER
    slows_down: bool = True
    check: Callable[[Any], object] = lambda _: None
    foreign_for: float = math.inf


class Answer(NamedTuple):
    """What a call resulted in, retries included: a response, or the error that ended it.

    Attributes:
        started: When the last attempt began, on the kernel's clock (seconds).
        finished: When it ended, on the same clock.
        at: The same, as an instant (UTC).
        response: What was answered: a mapping, a list of names, or None.
        error: What ended the call instead.
        served_at: The service's own clock, where the response shows it (UTC).
        exhausted: Whether the error is only the last of several transient ones, so that a later call may succeed.
    """

    started: float
    finished: float
    at: datetime
    response: Any = None
    error: AutoMLWaiterError | None = None
    served_at: datetime | None = None
    exhausted: bool = False


class Retrier:
    """Makes the calls of one wait, and counts what it retries.

    Args:
        kernel: Runs the wait.
        bucket: Holds a token for each attempt.
        error_budget: How long a call may keep failing for transient reasons, in seconds.
    """

    def __init__(self, kernel: Kernel, bucket: TokenBucket, error_budget: float) -> None:
        self.kernel = kernel
        self.bucket = bucket
        self.error_budget = error_budget
        self.retries = 0
        """How many attempts were repeated."""
        self.interrupted: AutoMLWaiterError | None = None
        """What a call was failing with when the wait was cancelled."""

    def answer(self, call: Call) -> Coroutine[Any, Any, Answer]:
        """Make a call, and return what it resulted in."""
        return _Attempts(call, self).answer()


class _Attempts:
    """The attempts of one call."""

    def __init__(self, call: Call, retrier: Retrier) -> None:
        self._call = call
        self._retrier = retrier
        self._kernel = retrier.kernel
        self._clock = retrier.kernel.clock
        self._bucket = retrier.bucket
        self._begun = self._started = self._clock.monotonic()
        self._begun_at = self._clock.now()
        budget = min(call.error_budget, retrier.error_budget)
        self._limits = _Limits(self._begun, call.deadline, budget, foreign_for=call.foreign_for)
        self._failures = 0
        self._last_failure: TransientError | None = None

    async def answer(self) -> Answer:
        """Make them, and return what the call resulted in."""
        try:
            try:
                return self._answer(await self._attempt())
            except TransientError as failure:
                first = failure
            return self._answer(await self._retry_after(first))
        except TransientError as last:
            return self._answer(error=self._given_up(last), exhausted=True)
        except AutoMLWaiterError as error:
            return self._answer(error=error)
        except Cancelled:
            if self._last_failure is not None:
                self._retrier.interrupted = self._given_up(self._last_failure)
            raise

    async def _attempt(self) -> Any:
        """Make one attempt, when there is a token for it."""
        asked = self._started = self._clock.monotonic()
        if self._call.priority is not Priority.IMMEDIATE and not self._bucket.take(asked):
            is_first = self._call.priority is Priority.FIRST
            # The deadline bounds this, and the error budget does not: waiting for a token extends it.
            until = self._limits.deadline + _LAST_TOKEN_S
            if not await self._kernel.token(self._bucket, until, is_first=is_first):
                raise TransientError(TransientKind.TIMEOUT, "no token of the rate limit in time: raise the max rate")
            self._started = self._clock.monotonic()
            self._limits.extend(self._started - asked)
        until = self._limits.attempt_until(self._started)
        try:
            returned = await self._kernel.call(self._call.function, until)
            if returned is None:
                raise TransientError(TransientKind.TIMEOUT, "no answer in time")
            response = returned.result()
            self._call.check(response)
        except TransientError as failure:
            if failure.kind not in _ABOUT_ANOTHER:
                self._limits.foreign_ends = math.inf
            if failure.kind is TransientKind.THROTTLED and self._call.slows_down:
                self._bucket.throttled(self._clock.monotonic())
            self._limits.failed(failure, self._clock.monotonic())
            raise
        else:
            self._bucket.succeeded()
            return response
        finally:
            self._limits.passed(until, self._clock.monotonic())

    async def _retry_after(self, first: TransientError) -> Any:
        """Retry a call whose first attempt failed, and return the response of the attempt that succeeds."""
        # Loaded by the first failure: most waits never need it.
        from tenacity import retry_if_exception_type

        failed = [first]
        retrying = _retrying()(
            sleep=self._sleep,
            wait=self._pause,
            stop=lambda _: self._clock.monotonic() >= self._limits.last_attempt_at,
            retry=retry_if_exception_type(TransientError),
            reraise=True,
        )
        # Not `retrying(attempt)`: a signal in its middle leaves a coroutine that was never awaited, with a warning.
        async for attempt in retrying:
            with attempt:
                if failed:
                    raise failed.pop()
                response = await self._attempt()
        return response

    def _pause(self, state: RetryCallState) -> float:
        """Return the seconds from the failure of an attempt to the next one."""
        failure = state.outcome.exception() if state.outcome else None
        assert isinstance(failure, TransientError)
        self._failures += 1
        # A copy, because an outage has many failures, and tracebacks are large.
        self._last_failure = TransientError(failure.kind, str(failure), code=failure.code)
        now = self._clock.monotonic()
        longest = _LONGEST_PAUSE_S
        if failure.kind in _PATIENT:
            longest = min(_LONGEST_PATIENT_PAUSE_S, max(longest, (now - self._begun) / 4))
        ceiling = min(longest, _FIRST_PAUSE_S * 2.0 ** min(self._failures, 16))
        if failure.kind is TransientKind.THROTTLED and self._failures == 1 and self._bucket.is_new:
            ceiling = max(_FIRST_PAUSE_S, min(_HERD_PAUSE_S, self._limits.last_attempt_at - now))
        delay = _FIRST_PAUSE_S + (ceiling - _FIRST_PAUSE_S) * self._clock.random()
        return max(0.0, min(delay, self._limits.last_attempt_at - now))

    async def _sleep(self, seconds: float) -> None:
        """Report the failure, and sleep until the next attempt."""
        last, delay = self._last_failure, float(seconds)
        assert last is not None
        self._retrier.retries += 1
        await self._kernel.emit(
            Retry(
                self._call.job_name,
                self._clock.now(),
                self._call.operation,
                self._failures,
                last.kind,
                last.code,
                str(last),
                delay,
            )
        )
        until = self._clock.monotonic() + delay
        await self._kernel.sleep_until(until)
        self._limits.passed(until, self._clock.monotonic())

    def _answer(
        self, response: Any = None, error: AutoMLWaiterError | None = None, *, exhausted: bool = False
    ) -> Answer:
        finished, at = self._clock.monotonic(), self._clock.now()
        return Answer(self._started, finished, at, response, error, served_at(response), exhausted)

    def _given_up(self, last: TransientError) -> AutoMLWaiterError:
        lasted = format_duration(self._clock.monotonic() - self._begun)
        if last.kind in _ABOUT_ANOTHER and self._clock.monotonic() >= self._limits.foreign_ends:
            absent = JobReplaced if last.kind is TransientKind.NAMESAKE else JobNotFound
            return absent(f"no AutoML job {self._call.job_name!r} was found in {lasted}: {last}", code=last.code)
        times = "once" if self._failures == 1 else f"{self._failures} times"
        kind = CredentialsExpired if last.kind in _NEEDS_CREDENTIALS else ServiceUnavailable
        return kind(
            f"{self._call.operation} failed {times} since {isoformat(self._begun_at)} ({lasted}), without one "
            f"successful call; the last error, {last.kind}: {last}",
            code=last.code,
        )


class _Limits:
    """Until when attempts of a call may begin: its deadline and its error budget.

    The error budget is spent awake: a machine that slept has not been trying. A deadline that passed during its sleep,
    or before the call began, is put off, so that the job is polled once more before the wait gives up.

    `foreign_ends` is when answers about other jobs mean that there is no such job; infinity if there were others.
    """

    def __init__(self, begun: float, deadline: float, error_budget: float, *, foreign_for: float) -> None:
        self.budget_ends = begun + error_budget
        self.foreign_ends = begun + foreign_for
        self.deadline = max(deadline, begun)
        self._is_shortened = False
        if begun > deadline + OVERSLEPT_S:
            self.deadline = begun + WAKING_S

    @property
    def last_attempt_at(self) -> float:
        """No attempt begins later."""
        return min(self.budget_ends, self.deadline, self.foreign_ends)

    def extend(self, seconds: float) -> None:
        """Put off what is spent only while calls are attempted."""
        self.budget_ends += seconds
        self.foreign_ends += seconds

    def attempt_until(self, started: float) -> float:
        """Return when to abandon an attempt."""
        last_second = max(self.deadline + _OVERTIME_S, started + _OVERTIME_S - _LAST_TOKEN_S)
        return min(started + _ATTEMPT_TIMEOUT_S, last_second)

    def failed(self, failure: TransientError, now: float) -> None:
        """Shorten the error budget by the first failure that asks for it."""
        if failure.retry_for is not None and not self._is_shortened:
            self._is_shortened = True
            self.budget_ends = min(self.budget_ends, now + failure.retry_for)

    def passed(self, until: float, now: float) -> None:
        """Extend the limits if the machine slept while something that was to last until `until` lasted until `now`."""
        overslept = now - until
        if overslept > OVERSLEPT_S:
            self.extend(overslept)
            if now > self.deadline:
                self.deadline = now + WAKING_S


@functools.cache
def _retrying() -> type[AsyncRetrying]:
    from tenacity import AsyncRetrying

    class AnyThreadRetrying(AsyncRetrying):
        """Tenacity keeps its statistics for each thread, but a wait may be advanced from one and then another."""

        @functools.cached_property
        def statistics(self) -> dict[str, Any]:
            return {}

    return AnyThreadRetrying
