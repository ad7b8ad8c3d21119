"""The asyncio shell: the names of `automl_waiter`, to be awaited. Cancel the task to cancel a wait.

Only the calls to AWS run in threads (boto3 knows no asyncio), in few of them over one shared client. Callbacks may be
coroutine functions; they are awaited in order, for at most 30 s each.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, closing
from dataclasses import replace
from datetime import datetime
from functools import partial
from inspect import isawaitable
from typing import Any, TypeVar, Unpack, cast

from automl_waiter._engine.kernel import Clock, Kernel, Pause, PendingCall
from automl_waiter._engine.watch import matching
from automl_waiter._model.errors import Cancelled
from automl_waiter._model.events import Ended, Event
from automl_waiter._model.failure_logs import FailureLog
from automl_waiter._model.job_refs import JobRef
from automl_waiter._model.options import CANDIDATES_EVERY_S, DEFAULTS, Options, shows_options, wait_options
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.text import Duration
from automl_waiter._model.tracker import Transition
from automl_waiter._system.asyncio_machine import AsyncioMachine
from automl_waiter._system.callbacks import Callbacks
from automl_waiter._wiring import (
    ONE_POLL,
    Gateways,
    check_watch,
    check_watched,
    log_connections,
    logs_kernel,
    snapshot_of,
    wait_kernel,
    watch_or_wait,
)
from automl_waiter.display import is_notebook, notebook_view

__all__ = ["Waiter", "as_completed", "describe", "failure_logs", "wait_for", "wait_for_all", "watch"]

T = TypeVar("T")
Subscriber = Callable[[Event], object]


class AsyncOptions(Options, total=False):
    """The options of this shell's waits. `automl_waiter.wait_for` says what they mean."""

    on_transition: Callable[[Transition], object] | None
    on_event: Callable[[Event], object] | None


class Waiter:
    """Waits for AutoML jobs under asyncio; see `automl_waiter.Waiter`."""

    @shows_options(AsyncOptions, DEFAULTS)
    def __init__(self, client: Any = None, **options: Unpack[AsyncOptions]) -> None:
        self._callbacks = Callbacks(options.pop("on_transition", None), options.pop("on_event", None))
        self._options = wait_options(**cast("Options", options))
        self._gateways = Gateways(client, max_rate=self._options.max_rate)

    async def wait(self, job: object, *, check: bool = True) -> Outcome:
        """Return when the job has ended; see `automl_waiter.wait_for`."""
        [outcome] = (await self.wait_for_all([job])).values()
        return outcome.check() if check else outcome

    async def wait_for_all(self, jobs: Iterable[object]) -> dict[str, Outcome]:
        """Return when every job has ended; see `automl_waiter.wait_for_all`."""
        targets = await _in_thread(partial(self._gateways.targets, self._gateways.check(jobs)))
        options = self._options
        if is_notebook():
            options = replace(options, candidates_every=CANDIDATES_EVERY_S, estimate=True)
        with notebook_view(dict.fromkeys(target.job.name for target in targets.values())) as subscribers:
            kernel_on = partial(wait_kernel, targets.values(), options)
            async with aclosing(self._events(kernel_on, *subscribers)) as events:
                outcomes = {event.outcome.job: event.outcome async for event in events if isinstance(event, Ended)}
        return {key: outcomes[target.job.key] for key, target in targets.items()}

    def as_completed(self, jobs: Iterable[object]) -> AsyncIterator[Outcome]:
        """Yield the outcome of each job as soon as it is known; see `automl_waiter.as_completed`."""
        return self._as_completed(self._gateways.check(jobs))

    def watch(
        self,
        job: object = None,
        *,
        name_contains: str | None = None,
        since: datetime | Duration | None = None,
        until_idle: bool = False,
    ) -> AsyncIterator[Transition]:
        """Yield the transitions of a job, or of all that match, as they are observed; see `automl_waiter.watch`."""
        which = matching(name_contains, since)
        ref = check_watch(job, self._gateways, which, until_idle=until_idle)
        connect = partial(watch_or_wait, ref, self._gateways, which, self._options, until_idle=until_idle)
        return self._watch(connect, is_one=job is not None)

    async def describe(self, job: object) -> Snapshot:
        """Return the job as it is now; see `automl_waiter.describe`."""
        [target] = (await _in_thread(partial(self._gateways.targets, self._gateways.check([job])))).values()
        machine = AsyncioMachine()
        async with aclosing(events_of(wait_kernel([target], ONE_POLL, machine), machine)) as events:
            [outcome] = [event.outcome async for event in events if isinstance(event, Ended)]
        return snapshot_of(outcome)

    async def _as_completed(self, refs: Sequence[JobRef]) -> AsyncIterator[Outcome]:
        targets = await _in_thread(partial(self._gateways.targets, refs))
        async with aclosing(self._events(partial(wait_kernel, targets.values(), self._options))) as events:
            async for event in events:
                if isinstance(event, Ended):
                    yield event.outcome

    async def _watch(
        self, connect: Callable[[], Callable[[Clock], Kernel]], *, is_one: bool
    ) -> AsyncIterator[Transition]:
        kernel_on = await _in_thread(connect)
        async with aclosing(self._events(kernel_on)) as events:
            async for event in events:
                if isinstance(event, Transition):
                    yield event
                elif isinstance(event, Ended) and is_one:
                    check_watched(event.outcome)

    def _events(self, kernel_on: Callable[[Clock], Kernel], *subscribers: Subscriber) -> AsyncGenerator[Event, None]:
        machine = AsyncioMachine()
        return events_of(kernel_on(machine), machine, self._callbacks.call_async, *subscribers)


async def _in_thread(function: Callable[[], T]) -> T:
    """Return what `function` returns. It runs in a thread, because loading the SDK and making clients block."""
    machine, call = AsyncioMachine(), PendingCall(function, math.inf)
    machine.start(call)
    while await machine.wait_async(math.inf) is None:
        pass
    result: T = call.result()
    return result


# Driving the engine


async def events_of(kernel: Kernel, machine: AsyncioMachine, *subscribers: Subscriber) -> AsyncGenerator[Event, None]:
    """Drive a kernel on a machine, and yield its events after the subscribers have had them."""
    with machine, closing(kernel):
        while (step := kernel.step()) is not None:
            match step:
                case PendingCall():
                    machine.start(step)
                case Pause(until=until):
                    try:
                        kernel.wake(await machine.wait_async(until))
                    except Cancelled as cancelled:
                        kernel.cancel(cancelled)
                case event:
                    for subscriber in subscribers:
                        result = subscriber(event)
                        if isawaitable(result):
                            await result
                    yield event


# The public functions


@shows_options(AsyncOptions, DEFAULTS)
async def wait_for(job: object, *, client: Any = None, check: bool = True, **options: Unpack[AsyncOptions]) -> Outcome:
    """Return when the job has ended; see `automl_waiter.wait_for`."""
    return await Waiter(client, **options).wait(job, check=check)


@shows_options(AsyncOptions, DEFAULTS)
async def wait_for_all(
    jobs: Iterable[object], *, client: Any = None, **options: Unpack[AsyncOptions]
) -> dict[str, Outcome]:
    """Return when every job has ended; see `automl_waiter.wait_for_all`."""
    return await Waiter(client, **options).wait_for_all(jobs)


@shows_options(AsyncOptions, DEFAULTS)
def as_completed(
    jobs: Iterable[object], *, client: Any = None, **options: Unpack[AsyncOptions]
) -> AsyncIterator[Outcome]:
    """Yield the outcome of each job as soon as it is known; see `automl_waiter.as_completed`."""
    return Waiter(client, **options).as_completed(jobs)


@shows_options(AsyncOptions, DEFAULTS)
def watch(
    job: object = None,
    *,
    client: Any = None,
    name_contains: str | None = None,
    since: datetime | Duration | None = None,
    until_idle: bool = False,
    **options: Unpack[AsyncOptions],
) -> AsyncIterator[Transition]:
    """Yield the transitions of a job, or of all that match, as they are observed; see `automl_waiter.watch`."""
    waiter = Waiter(client, **options)
    return waiter.watch(job, name_contains=name_contains, since=since, until_idle=until_idle)


async def describe(job: object, *, client: Any = None) -> Snapshot:
    """Return the job as it is now; see `automl_waiter.describe`."""
    return await Waiter(client).describe(job)


async def failure_logs(outcome: Outcome, *, session: Any = None) -> list[FailureLog]:
    """Return the logs that explain why a job or its candidates failed; see `automl_waiter.failure_logs`."""
    machine, found = AsyncioMachine(), dict[str, list[FailureLog]]()
    async with aclosing(
        events_of(logs_kernel([outcome], partial(log_connections, session), machine, found), machine)
    ) as events:
        async for _ in events:
            pass  # retries: nobody needs to know
    return found.get(outcome.job, [])
