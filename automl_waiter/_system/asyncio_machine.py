"""The machine of the asyncio shell: calls run in threads, and waiting costs none."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections import deque
from contextlib import suppress
from typing import Any, Self

from automl_waiter._system.clock import SLICE_S, SystemClock
from automl_waiter._system.question import OPEN, end_questions
from automl_waiter._system.threads import CallThreads, Work

# A signal that comes just before the loop falls asleep does not wake it.
_FIRST_SLICE_S = 0.25


@functools.cache
def _threads_of(process_id: int) -> CallThreads:  # noqa: ARG001 - a fork has none of its parent's threads
    return CallThreads(SystemClock().monotonic)


class AsyncioMachine(SystemClock):
    """Runs calls and waits for them. Creating one starts nothing.

    All waits of a process share the threads, because hundreds of waits may share its loop.
    """

    def __init__(self) -> None:
        self._returned: deque[Work] = deque()
        self._news = asyncio.Event()
        self._has_ended = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End what is asked on the terminal. The threads end when they are idle."""
        self._has_ended.set()
        if OPEN:
            end_questions(self._has_ended)

    def start(self, call: Work) -> None:
        """Run a call in another thread; a later `wait_async` returns it."""
        loop = asyncio.get_running_loop()

        def done() -> None:
            with suppress(RuntimeError):  # the loop is closed, so nobody waits any more
                loop.call_soon_threadsafe(self._take, call)

        _threads_of(os.getpid()).submit(call, done, self._has_ended)

    async def wait_async(self, until: float) -> Any:
        """Return the next call that has returned, or None when the clock has reached `until`."""
        slice_s = _FIRST_SLICE_S
        while not self._returned:
            left = until - self.monotonic()
            if left <= 0:
                return None
            self._news.clear()
            # Not asyncio.timeout: one that expires at once takes an earlier cancel for its own.
            alarm = asyncio.get_running_loop().call_later(min(left, slice_s), self._wake)
            try:
                await self._news.wait()
            finally:
                alarm.cancel()
            slice_s = SLICE_S
        return self._returned.popleft()

    def _take(self, call: Work) -> None:
        self._returned.append(call)
        self._wake()

    def _wake(self) -> None:
        with suppress(asyncio.InvalidStateError):  # in the middle of this, the handler of SIGINT has cancelled the task
            self._news.set()
