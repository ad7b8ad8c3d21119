"""The asyncio shell: the names of `automl_waiter`, to be awaited. Cancel the task to cancel a wait.

Only the describe itself runs in a thread (boto3 knows no asyncio), in few threads over one shared client;
waiting costs none. Callbacks may be coroutine functions, and are awaited in order, for at most 30 s each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol

from automl_waiter._engine.job_wait import CANDIDATES_EVERY
from automl_waiter._engine.kernel import Loop, Pause, Start
from automl_waiter._engine.retries import Clock
from automl_waiter._engine.watch import matching
from automl_waiter._model.errors import Cancelled
from automl_waiter._model.events import Ended, Event
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.options import StopOn, wait_options
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.polling import PollPolicy
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.tracker import Transition
from automl_waiter._model.until import Condition
from automl_waiter._model.verdicts import DEFAULT_REQUIREMENT
from automl_waiter._system.callbacks import Subscribers
from automl_waiter._system.threads import CallThreads, Completion, SystemClock
from automl_waiter._wiring import ONE_LOOK, Gateways, LoopOn, check_watched, looked_at, waiting_for, watching
from automl_waiter.display import is_notebook, notebook_view

if TYPE_CHECKING:
    from automl_waiter.display.notebook import NotebookView

__all__ = ["Waiter", "as_completed", "describe", "wait_for", "wait_for_all", "watch"]

# asyncio's timers stand still while the machine sleeps, and its clock goes on.
_SLICE = 30.0


class AsyncMachine(Clock, Protocol):
    """What this shell needs: see `Machine` here, and `testing.ManualClock` for one in virtual time."""

    def start(self, ticket: int, call: Callable[[], Any], until: float) -> None: ...
    def wait_async(self, until: float) -> Awaitable[Completion | None]: ...
    def close(self) -> None: ...


class Machine(SystemClock):
    """The real machine, for asyncio."""

    def __init__(self) -> None:
        self._threads = CallThreads(self.monotonic)
        self._completions: deque[Completion] = deque()
        self._news = asyncio.Event()

    def start(self, ticket: int, call: Callable[[], Any], until: float) -> None:
        """Makes a call in another thread; a later `wait_async` returns its completion, if it is over at `until`."""
        loop = asyncio.get_running_loop()

        def done(result: Any, error: BaseException | None) -> None:
            with suppress(RuntimeError):  # the loop is closed, so nobody waits any more
                loop.call_soon_threadsafe(self._take, Completion(ticket, result, error))

        self._threads.submit(call, done, until)

    async def wait_async(self, until: float) -> Completion | None:
        """The next completion, or None once the clock shows `until`."""
        while not self._completions:
            left = until - self.monotonic()
            if left <= 0:
                return None
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, _SLICE)):
                    await self._news.wait()
        return self._completions.popleft()

    def close(self) -> None:
        """Lets go of the threads."""
        self._threads.close()

    def _take(self, completion: Completion) -> None:
        self._completions.append(completion)
        self._news.set()


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
        max_rate: float | None = None,
    ) -> None:
        self._options = wait_options(
            timeout=timeout,
            poll=poll,
            until=until,
            require=require,
            stop_on=stop_on,
            error_budget=error_budget,
            max_rate=max_rate,
        )
        self._gateways = Gateways(client, max_rate=self._options.max_rate)
        self._callbacks = on_transition, on_event

    async def wait(self, job: object, *, check: bool = True) -> Outcome:
        """Returns when the job has ended; see `automl_waiter.wait_for`."""
        [outcome] = (await self._wait([job])).values()
        return outcome.check() if check else outcome

    async def wait_for_all(self, jobs: Iterable[object]) -> dict[str, Outcome]:
        """Returns when every job has ended; see `automl_waiter.wait_for_all`."""
        return await self._wait(jobs)

    async def as_completed(self, jobs: Iterable[object]) -> AsyncIterator[Outcome]:
        """The outcome of each job, as soon as it is known."""
        async for event in self._run(waiting_for(jobs, self._gateways, self._options)):
            if isinstance(event, Ended):
                yield event.outcome

    async def watch(
        self,
        job: object = None,
        *,
        name_contains: str | None = None,
        since: datetime | timedelta | float | None = None,
        until_idle: bool = False,
    ) -> AsyncIterator[Transition]:
        """The transitions of a job, or of all that match, as they are seen; see `automl_waiter.watch`."""
        which = matching(name_contains, since)
        async for event in self._run(watching(job, self._gateways, self._options, which, until_idle=until_idle)):
            if isinstance(event, Transition):
                yield event
            elif isinstance(event, Ended) and job is not None:
                check_watched(event.outcome)

    async def describe(self, job: object) -> Snapshot:
        """The job as it is now; see `automl_waiter.describe`."""
        loop_on = waiting_for([job], self._gateways, ONE_LOOK)
        [outcome] = [event.outcome async for event in self._run(loop_on) if isinstance(event, Ended)]
        return looked_at(outcome)

    async def _wait(self, jobs: Iterable[object]) -> dict[str, Outcome]:
        """Returns when every job has ended, while a notebook shows how they are."""
        refs = [job_ref(job) for job in jobs]
        options = replace(self._options, candidates_every=CANDIDATES_EVERY) if is_notebook() else self._options
        loop_on = waiting_for(refs, self._gateways, options)
        events = self._run(loop_on, notebook_view(ref.name for ref in refs))
        outcomes = {event.outcome.job: event.outcome async for event in events if isinstance(event, Ended)}
        return {ref.key: outcomes[ref.key] for ref in refs}

    async def _run(self, loop_on: LoopOn, view: NotebookView | None = None) -> AsyncIterator[Event]:
        machine, subscribers = Machine(), Subscribers(*self._callbacks)
        try:
            async for event in events_of(loop_on(machine), machine):
                await subscribers.tell_async(event)
                if view is not None:
                    view.tell(event)
                yield event
        finally:
            if view is not None:
                view.close()
            machine.close()


async def events_of(loop: Loop, machine: AsyncMachine) -> AsyncIterator[Event]:
    """The events of a loop that is driven on a machine. It goes on while whoever reads them does something else."""
    news: asyncio.Queue[Event | asyncio.Future[None]] = asyncio.Queue()
    driving = asyncio.ensure_future(_drive(loop, machine, news.put_nowait))
    driving.add_done_callback(news.put_nowait)
    try:
        while not isinstance(item := await news.get(), asyncio.Future):
            yield item
        item.result()
    finally:
        driving.cancel()


async def _drive(loop: Loop, machine: AsyncMachine, tell: Callable[[Event], None]) -> None:
    steps = loop.run()
    advance: Callable[[Any], Any] = steps.send
    value: Any = None
    while True:
        try:
            step = advance(value)
        except StopIteration:
            return
        advance, value = steps.send, None
        match step:
            case Start(ticket=ticket, call=call, until=until):
                machine.start(ticket, call, until)
            case Pause(until=until):
                try:
                    value = await machine.wait_async(until)
                except Cancelled as cancelled:
                    advance, value = steps.throw, cancelled
            case _:
                tell(step)


async def wait_for(job: object, *, client: Any = None, check: bool = True, **options: Any) -> Outcome:
    """Returns when the job has ended; `options` are those of `Waiter`. See `automl_waiter.wait_for`."""
    return await Waiter(client, **options).wait(job, check=check)


async def wait_for_all(jobs: Iterable[object], *, client: Any = None, **options: Any) -> dict[str, Outcome]:
    """Returns when every job has ended; see `automl_waiter.wait_for_all`."""
    return await Waiter(client, **options).wait_for_all(jobs)


def as_completed(jobs: Iterable[object], *, client: Any = None, **options: Any) -> AsyncIterator[Outcome]:
    """The outcome of each job as soon as it is known; see `automl_waiter.as_completed`."""
    return Waiter(client, **options).as_completed(jobs)


def watch(
    job: object = None,
    *,
    client: Any = None,
    name_contains: str | None = None,
    since: datetime | timedelta | float | None = None,
    until_idle: bool = False,
    **options: Any,
) -> AsyncIterator[Transition]:
    """The transitions of a job, or of all that match, as they are seen; see `automl_waiter.watch`."""
    waiter = Waiter(client, **options)
    return waiter.watch(job, name_contains=name_contains, since=since, until_idle=until_idle)


async def describe(job: object, *, client: Any = None) -> Snapshot:
    """The job as it is now; see `automl_waiter.describe`."""
    return await Waiter(client).describe(job)
