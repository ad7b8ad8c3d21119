"""The asyncio shell: the names of `automl_waiter`, to be awaited. Cancel the task to cancel a wait.

Only the describe itself runs in a thread (boto3 knows no asyncio), in few threads over one shared client;
waiting costs none. Callbacks may be coroutine functions, and are awaited in order, for at most 30 s each.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, Literal, Protocol

from automl_waiter.conditions import Condition
from automl_waiter.errors import AutoMLWaiterError, Passing, PassingFailure
from automl_waiter.events import Ended, Event
from automl_waiter.jobs import job_ref
from automl_waiter.machine import CallThreads, SystemClock
from automl_waiter.options import StopOn, WaitOptions, wait_options
from automl_waiter.outcome import DEFAULT_REQUIREMENT, Outcome
from automl_waiter.plan import Sleep
from automl_waiter.polling import PollPolicy
from automl_waiter.retrying import Attempt, Clock, Steps
from automl_waiter.snapshot import Snapshot
from automl_waiter.subscribers import Subscribers
from automl_waiter.tracker import Transition
from automl_waiter.waiter import ONE_LOOK, Gateways, all_steps, check_watched

__all__ = ["Waiter", "as_completed", "describe", "wait_for", "wait_for_all", "watch"]

# asyncio's timers stand still while the machine sleeps, and its clock goes on.
_SLICE = 30.0


class AsyncMachine(Clock, Protocol):
    """What this shell needs: see `Machine` here, and `testing.ManualClock` for one in virtual time."""

    def sleep_async(self, until: float) -> Awaitable[None]: ...
    def call_async(self, call: Callable[[], Any], until: float) -> Awaitable[Any]: ...
    def close(self) -> None: ...


class Machine(SystemClock):
    """The real machine, for asyncio."""

    def __init__(self) -> None:
        self._threads = CallThreads(self.monotonic)

    async def sleep_async(self, until: float) -> None:
        """Returns once the clock shows `until`."""
        while (left := until - self.monotonic()) > 0:
            await asyncio.sleep(min(left, _SLICE))

    async def call_async(self, call: Callable[[], Any], until: float) -> Any:
        """The result of a call that is made in another thread.

        Raises:
            PassingFailure: There was none when the clock showed `until`; the call is abandoned.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def done(result: Any, error: BaseException | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, result, error)

        self._threads.submit(call, done, until)
        try:
            return await asyncio.wait_for(future, max(0.0, until - self.monotonic()))
        except TimeoutError:
            raise PassingFailure(Passing.TIMEOUT, "no answer in time") from None

    def close(self) -> None:
        """Lets go of the threads."""
        self._threads.close()


class Waiter:
    """Waits for AutoML jobs under asyncio; see `automl_waiter.wait_for` for what the arguments mean."""

    def __init__(
        self,
        client: Any = None,
        *,
        timeout: float | timedelta | Literal["auto"] | None = None,
        poll: PollPolicy | float | timedelta | None = None,
        until: str | Condition | None = None,
        require: str | Iterable[str] = DEFAULT_REQUIREMENT,
        stop_on: StopOn | Iterable[StopOn] = (),
        on_transition: Callable[[Transition], object] | None = None,
        on_event: Callable[[Event], object] | None = None,
        error_budget: float | timedelta = 900,
    ) -> None:
        self._options = wait_options(
            timeout=timeout, poll=poll, until=until, require=require, stop_on=stop_on, error_budget=error_budget
        )
        self._gateways = Gateways(client)
        self._callbacks = on_transition, on_event

    async def wait(self, job: object, *, check: bool = True) -> Outcome:
        """Returns when the job has ended; see `automl_waiter.wait_for`."""
        outcomes = [outcome async for outcome in self.as_completed([job])]
        return outcomes[0].check() if check else outcomes[0]

    async def wait_for_all(self, jobs: Iterable[object]) -> dict[str, Outcome]:
        """Returns when every job has ended; see `automl_waiter.wait_for_all`."""
        refs = [job_ref(job) for job in jobs]
        outcomes = {outcome.job: outcome async for outcome in self.as_completed(refs)}
        return {ref.key: outcomes[ref.key] for ref in refs}

    async def as_completed(self, jobs: Iterable[object]) -> AsyncIterator[Outcome]:
        """The outcome of each job, as soon as it is known."""
        async for event in self._events(jobs, self._options):
            if isinstance(event, Ended):
                yield event.outcome

    async def watch(self, job: object) -> AsyncIterator[Transition]:
        """The transitions of a job as they are seen, until it has ended; see `automl_waiter.watch`."""
        async for event in self._events([job], self._options):
            if isinstance(event, Transition):
                yield event
            elif isinstance(event, Ended):
                check_watched(event.outcome)

    async def describe(self, job: object) -> Snapshot:
        """The job as it is now; see `automl_waiter.describe`."""
        [outcome] = [event.outcome async for event in self._events([job], ONE_LOOK) if isinstance(event, Ended)]
        if outcome.snapshot is None or outcome.error is not None:
            raise outcome.error or AutoMLWaiterError(outcome.summary)
        return outcome.snapshot

    async def _events(self, jobs: Iterable[object], options: WaitOptions) -> AsyncIterator[Event]:
        refs = list({ref.key: ref for ref in map(job_ref, jobs)}.values())
        gateways = [self._gateways.of(ref) for ref in refs]
        machine, subscribers = Machine(), Subscribers(*self._callbacks)
        try:
            async for event in events_of(list(all_steps(refs, gateways, options, machine)), machine):
                await subscribers.tell_async(event)
                yield event
        finally:
            machine.close()


async def events_of(generators: Sequence[Steps], machine: AsyncMachine) -> AsyncIterator[Event]:
    """The events of several jobs whose steps are taken side by side."""
    news: asyncio.Queue[Event | asyncio.Future[None]] = asyncio.Queue()
    running = {asyncio.ensure_future(_drive(generator, machine, news.put_nowait)) for generator in generators}
    for task in running:
        task.add_done_callback(news.put_nowait)
    try:
        while running:
            item = await news.get()
            if isinstance(item, asyncio.Future):
                running.discard(item)
                item.result()
            else:
                yield item
    finally:
        for task in running:
            task.cancel()


async def _drive(generator: Steps, machine: AsyncMachine, emit: Callable[[Event], None]) -> None:
    """Takes the steps of one job to its end."""
    advance: Callable[[Any], Any] = generator.send
    value: Any = None
    while True:
        try:
            step = advance(value)
        except StopIteration:
            return
        advance, value = generator.send, None
        match step:
            case Sleep(until=until):
                await machine.sleep_async(until)
            case Attempt(call=call, until=until):
                try:
                    value = await machine.call_async(call, until)
                except Exception as error:
                    advance, value = generator.throw, error
            case _:
                emit(step)


async def wait_for(job: object, *, client: Any = None, check: bool = True, **options: Any) -> Outcome:
    """Returns when the job has ended; `options` are those of `Waiter`. See `automl_waiter.wait_for`."""
    return await Waiter(client, **options).wait(job, check=check)


async def wait_for_all(jobs: Iterable[object], *, client: Any = None, **options: Any) -> dict[str, Outcome]:
    """Returns when every job has ended; see `automl_waiter.wait_for_all`."""
    return await Waiter(client, **options).wait_for_all(jobs)


def as_completed(jobs: Iterable[object], *, client: Any = None, **options: Any) -> AsyncIterator[Outcome]:
    """The outcome of each job as soon as it is known; see `automl_waiter.as_completed`."""
    return Waiter(client, **options).as_completed(jobs)


def watch(job: object, *, client: Any = None, **options: Any) -> AsyncIterator[Transition]:
    """The transitions of a job as they are seen; see `automl_waiter.watch`."""
    return Waiter(client, **options).watch(job)


async def describe(job: object, *, client: Any = None) -> Snapshot:
    """The job as it is now; see `automl_waiter.describe`."""
    return await Waiter(client).describe(job)
