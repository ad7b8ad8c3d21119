"""Waits in virtual time: the real loops over scripted jobs whose calls fail as scripts of faults say."""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.credentials import RefreshableCredentials

from automl_waiter import Ended, Event, Outcome, aio, waiter
from automl_waiter._engine.calls import Gateway
from automl_waiter._engine.kernel import Clock, Kernel, PendingCall
from automl_waiter._model.errors import Cancelled, TransientError, TransientKind
from automl_waiter._model.events import event_dict
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.options import WaitOptions, wait_options
from automl_waiter._wiring import Target, wait_kernel
from automl_waiter.testing import ManualClock, ScriptedJobs, Timeline

TRAINING = [(0, "InProgress", "Starting"), (60, "InProgress", "ModelTuning")]
COMPLETED = Timeline([*TRAINING, (600, "Completed", "Completed")])
FAILED = Timeline([*TRAINING, (600, "Failed", "Failed")], failure_reason="no data")
ENDLESS = Timeline(TRAINING)


class Sleepy(ManualClock):
    """A machine that sleeps: each nap has a start and a length in seconds, and a wait during it wakes late.

    `signal_at` seconds after its start a signal ends the wait.
    """

    def __init__(
        self, naps: list[tuple[float, float]] | None = None, *, signal_at: float = math.inf, signum: int = 15
    ) -> None:
        super().__init__()
        self.naps = naps or []
        self.signal_at = signal_at
        self.signum = signum

    def wait(self, until: float) -> PendingCall | None:
        if not self._returned and until >= self.signal_at:
            self._seconds[0], self.signal_at = max(self._seconds[0], self.signal_at), math.inf
            raise Cancelled(signal=self.signum)
        returned = super().wait(until)
        self._nap()
        return returned

    def _nap(self) -> None:
        while self.naps and self.naps[0][0] <= self.monotonic():
            _, seconds = self.naps.pop(0)
            self.advance(seconds)


class Recording(ManualClock):
    """A machine that records each call, and when it is abandoned. Calls of the methods in `hanging` never return."""

    def __init__(self, hanging: str = "") -> None:
        super().__init__()
        self.hanging = hanging
        self.calls: list[tuple[str, float]] = []

    def start(self, call: PendingCall) -> None:
        name = call._function.func.__name__  # type: ignore[attr-defined]
        self.calls.append((name, call.until))
        super().start(call)
        if name == self.hanging:
            self._returned.remove(call)


class Faulty(ScriptedJobs):
    """Scripted jobs whose calls fail as `faults` says, one by one; None is a good answer.

    `is_down` says at which seconds there is no network.
    """

    def __init__(self, clock: ManualClock, faults: list[Exception | None] | None = None) -> None:
        super().__init__(clock)
        self.faults = faults or []
        self.looks: list[float] = []
        self.clock = clock
        self.stops = 0
        self.is_deaf = False
        """Whether it takes a stop and does nothing."""
        self.stop_fault: Exception | None = None
        self.stop_seconds = 0.0
        """How long AWS takes to answer a stop."""
        self.is_down: Callable[[float], bool] = lambda second: False
        self.change: Callable[[dict[str, Any]], dict[str, Any]] = lambda response: response

    def describe(self, job_name: str) -> Mapping[str, Any]:
        self.looks.append(self.clock.monotonic())
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        if self.is_down(self.clock.monotonic()):
            raise no_network()
        return self.change(dict(super().describe(job_name)))

    def stop(self, job_name: str) -> None:
        self.stops += 1
        self.clock.advance(self.stop_seconds)
        if self.stop_fault is not None:
            raise self.stop_fault
        if not self.is_deaf:
            super().stop(job_name)


class Wait:
    """A finished wait: its events, its outcome and the times of its polls."""

    def __init__(
        self,
        timeline: Timeline | None,
        *,
        shell: str = "sync",
        faults: list[Exception | None] | None = None,
        change: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        job: str = "churn",
        cancel_at: float | None = None,
        once: bool = False,
        start: float = 0.0,
        clock: ManualClock | None = None,
        is_down: Callable[[float], bool] | None = None,
        credentials_expire_at: datetime | None = None,
        stop_fault: Exception | None = None,
        stop_seconds: float = 0.0,
        stop_on_interrupt: bool = False,
        is_deaf: bool = False,
        **options: Any,
    ) -> None:
        clock = clock or ManualClock(cancel_at=cancel_at)
        self.gateway = Faulty(clock, faults)
        self.gateway.is_down = is_down or self.gateway.is_down
        self.gateway.credentials_expire_at = credentials_expire_at
        self.gateway.stop_fault = stop_fault
        self.gateway.stop_seconds = stop_seconds
        self.gateway.is_deaf = is_deaf
        self.gateway.change = change or self.gateway.change
        if timeline is not None:
            self.gateway.add("churn", timeline, start=start)
        chosen = WaitOptions(once=True) if once else wait_options(**options)
        if stop_on_interrupt:
            chosen = replace(chosen, stop_on=chosen.stop_on | {"interrupt"})
        if shell == "sync":
            self.events = run([job], [self.gateway], chosen, clock)
        else:
            self.events = asyncio.run(self._events(job, chosen, clock))
        ends = [event for event in self.events if isinstance(event, Ended)]
        assert ends == self.events[-1:], "the outcome is the last event, and there is one"
        self.outcome: Outcome = ends[0].outcome
        self.seconds = clock.monotonic()

    async def _events(self, job: str, options: WaitOptions, clock: ManualClock) -> list[Event]:
        kernel = kernel_of([job], [self.gateway], options, clock)
        return [event async for event in aio.events_of(kernel, clock)]

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [event_dict(event) for event in self.events if event.event == kind]


def run(
    jobs: Sequence[str],
    gateways: Sequence[Gateway],
    options: WaitOptions,
    clock: ManualClock,
    decides: Callable[[Outcome], bool] = lambda _: False,
) -> list[Event]:
    """Return the events of a wait for these jobs."""
    kernel = kernel_of(jobs, gateways, options, clock)
    return list(waiter.events_of(kernel, clock, decides=decides))


def kernel_of(jobs: Sequence[object], gateways: Sequence[Gateway], options: WaitOptions, clock: Clock) -> Kernel:
    """Return a kernel that waits for these jobs, each through its gateway."""
    targets = [Target(job_ref(job), gateway) for job, gateway in zip(jobs, gateways, strict=True)]
    return wait_kernel(targets, options, clock)


def no_network() -> TransientError:
    return TransientError(TransientKind.CONNECTION, "no route to host", code="EndpointConnectionError")


def throttle() -> TransientError:
    return TransientError(TransientKind.THROTTLED, "Rate exceeded", code="ThrottlingException")


def from_source(error: Exception) -> None:
    """Raise botocore's error for credentials that could not be refreshed."""

    def refresh() -> dict[str, str]:
        raise error

    RefreshableCredentials("x", "x", "x", datetime.now(UTC), refresh, "assume-role").get_frozen_credentials()


both_shells = pytest.mark.parametrize("shell", ["sync", "aio"])
