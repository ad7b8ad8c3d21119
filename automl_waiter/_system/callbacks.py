"""Who is told of the events of a wait: the log, and the caller's callbacks, which can neither break nor hold it."""

from __future__ import annotations

import contextvars
import inspect
import queue
import threading
from collections.abc import Callable
from typing import Any

from automl_waiter._model.events import Event
from automl_waiter._model.tracker import Transition
from automl_waiter._system.log import log_event, log_subscriber_problem

CALLBACK_LIMIT = 30.0
"""Seconds for which a wait stands still for a callback; then it goes on without it."""

# How often the caller's cancel_event is looked at while a callback runs.
_CANCEL_SLICE = 0.05


class Subscribers:
    """The log and the caller's callbacks, in this order.

    `tell` calls back in a thread of its own, one call at a time and in order, and stands still until the
    callback has returned, but not for longer than `limit` seconds. One that hangs holds up the callbacks behind
    it, and nothing else.
    """

    def __init__(
        self,
        on_transition: Callable[[Transition], object] | None,
        on_event: Callable[[Event], object] | None,
        *,
        limit: float = CALLBACK_LIMIT,
    ) -> None:
        self._on_transition = on_transition
        self._on_event = on_event
        self._limit = limit
        self._thread: _CallbackThread | None = None

    def tell(self, event: Event, cancel_event: threading.Event | None = None) -> None:
        """Tells everybody of an event. Setting `cancel_event` ends the standing still, not the callback."""
        log_event(event)
        for callback in self._callbacks(event):
            if self._thread is None:
                self._thread = _CallbackThread()
            self._thread.call(callback, event, self._limit, cancel_event)

    async def tell_async(self, event: Event) -> None:
        """The same under asyncio: a coroutine function is awaited, for `limit` seconds at most.

        A plain function is called in the loop's thread, as asyncio's own callbacks are, and nothing bounds it.
        Cancelling the caller's task cancels both; a coroutine that was cancelled by others only failed.
        """
        import asyncio

        log_event(event)
        for callback in self._callbacks(event):
            scope = asyncio.timeout(self._limit)
            try:
                result = callback(event)
                if inspect.isawaitable(result):
                    async with scope:
                        await result
            except (Exception, asyncio.CancelledError) as error:
                task = asyncio.current_task()
                if isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling()):
                    raise
                is_ours = isinstance(error, TimeoutError) and scope.expired()
                log_subscriber_problem(event, f"was ended after {self._limit:g}s" if is_ours else error)

    def close(self) -> None:
        """Lets the thread go; what a callback that hangs has held up is told as lost."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.close()

    def _callbacks(self, event: Event) -> list[Callable[[Any], object]]:
        wanted = [self._on_transition if isinstance(event, Transition) else None, self._on_event]
        return [callback for callback in wanted if callback is not None]


class _Call:
    """One call of a callback, with the context variables of the thread that asked for it."""

    def __init__(self, callback: Callable[[Any], object], event: Event) -> None:
        self.event = event
        self.is_over = threading.Event()
        self.raised: BaseException | None = None
        """What was raised to end more than the callback: KeyboardInterrupt, SystemExit and their like."""
        self._callback = callback
        self._context = contextvars.copy_context()

    def make(self) -> None:
        try:
            self._context.run(self._callback, self.event)
        except Exception as error:
            log_subscriber_problem(self.event, error)
        except BaseException as error:
            self.raised = error
        self.is_over.set()


class _CallbackThread:
    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._last: _Call | None = None
        threading.Thread(target=self._run, name="automl-waiter-callback", daemon=True).start()

    def call(
        self, callback: Callable[[Any], object], event: Event, limit: float, cancel_event: threading.Event | None
    ) -> None:
        is_held_up = self._last is not None and not self._last.is_over.is_set()
        self._last = call = _Call(callback, event)
        self._calls.put(call)
        if is_held_up:
            return  # that something hangs was told, and one call that hangs is waited for once
        slices = [limit] if cancel_event is None else [_CANCEL_SLICE] * round(limit / _CANCEL_SLICE)
        for duration in slices:
            if call.is_over.wait(duration):
                break
            if cancel_event is not None and cancel_event.is_set():
                return
        else:
            log_subscriber_problem(event, f"has not returned for {limit:g}s")
        if call.raised is not None:
            raise call.raised

    def close(self) -> None:
        lost = []
        if self._last is not None and not self._last.is_over.is_set():
            while not self._calls.empty():
                lost.append(self._calls.get())
        self._calls.put(None)
        for call in lost:
            if call is not None:
                log_subscriber_problem(call.event, "was not called: an earlier call has not returned")

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call.make()
            del call
