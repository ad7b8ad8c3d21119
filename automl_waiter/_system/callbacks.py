"""The caller's callbacks: called in order, in the caller's thread or loop, while the wait stands still for them."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from automl_waiter._model.errors import InvalidRequest
from automl_waiter._model.events import Event
from automl_waiter._model.tracker import Transition
from automl_waiter._system.log import log_event, log_problem

CALLBACK_LIMIT_S = 30.0
"""A callback that takes longer is named in a warning; a coroutine is cancelled then."""

Callback = Callable[[Any], object]


class Callbacks:
    """The log and the caller's callbacks, in this order. A callback that raises is logged and changes nothing.

    Args:
        on_transition: Called with each Transition.
        on_event: Called with each event, after `on_transition`.
        limit: Seconds that a callback may take.

    Raises:
        InvalidRequest: One of them is not callable.
    """

    def __init__(self, on_transition: object, on_event: object, *, limit: float = CALLBACK_LIMIT_S) -> None:
        self._on_transition = _checked("on_transition", on_transition)
        self._on_event = _checked("on_event", on_event)
        self._limit = limit

    def call(self, event: Event) -> None:
        """Log an event and call back. What is meant to end more than a callback (KeyboardInterrupt) passes through."""
        log_event(event)
        for callback in self._callbacks(event):
            begun = time.monotonic()
            try:
                result = callback(event)
                if inspect.iscoroutine(result):
                    result.close()
                    raise TypeError("a coroutine is awaited by automl_waiter.aio only")
            except Exception as error:
                _log(logging.ERROR, callback, event, error=error)
            self._check_duration(callback, event, begun)

    async def call_async(self, event: Event) -> None:
        """The same under asyncio: a coroutine is awaited, and cancelled at its limit; a function is called.

        Cancelling the caller's task cancels the coroutine too; one that others have cancelled only failed.
        """
        log_event(event)
        for callback in self._callbacks(event):
            begun = time.monotonic()
            try:
                result = callback(event)
                if inspect.isawaitable(result):
                    await self._bounded(result, callback, event)
                else:
                    self._check_duration(callback, event, begun)
            except Exception as error:
                _log(logging.ERROR, callback, event, error=error)

    async def _bounded(self, result: Awaitable[object], callback: Callback, event: Event) -> None:
        import asyncio

        scope = asyncio.timeout(self._limit)
        try:
            async with scope:
                await result
        except TimeoutError:
            if not scope.expired():
                raise
            _log(logging.WARNING, callback, event, f"was cancelled after {self._limit:g}s")
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            _log(logging.ERROR, callback, event, error=error)

    def _check_duration(self, callback: Callback, event: Event, begun: float) -> None:
        seconds = time.monotonic() - begun
        if seconds > self._limit:
            _log(logging.WARNING, callback, event, f"took {seconds:.0f}s, and the wait stood still meanwhile,")

    def _callbacks(self, event: Event) -> Iterator[Callback]:
        if self._on_transition is not None and isinstance(event, Transition):
            yield self._on_transition
        if self._on_event is not None:
            yield self._on_event


def _checked(name: str, callback: object) -> Callback | None:
    if callback is not None and not callable(callback):
        raise InvalidRequest(f"{name} is a function, not of type {type(callback).__name__}")
    return callback


def _log(level: int, callback: Callback, event: Event, problem: str = "", error: BaseException | None = None) -> None:
    name = getattr(callback, "__qualname__", type(callback).__qualname__)
    problem = f"raised {type(error).__name__}" if error else problem
    log_problem(level, f"the callback {name} {problem} on {event.event} of {event.job_name}", error)
