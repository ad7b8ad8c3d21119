"""The loop: the steps of many jobs side by side, in one thread, whichever shell it is driven by.

`Loop.run` yields events, and two things for the shell to do: `Start` a call beside it, and `Pause` until a call is over
or a time has come, answered with the `Completion` or None. Throwing `Cancelled` into it ends the wait for every job.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

from automl_waiter._engine.calls import Follow, Member, Sleep, Tell
from automl_waiter._engine.retries import Attempt, Clock, Launch, Steps, Turn
from automl_waiter._model.errors import Cancelled, TransientError, TransientKind
from automl_waiter._model.events import Ended, Event
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.token_bucket import TokenBucket
from automl_waiter._system.threads import Completion


class Start(NamedTuple):
    """Make this call beside the loop; its completion bears the ticket. Nobody waits for it after `until`."""

    ticket: int
    call: Callable[[], Any]
    until: float


class Pause(NamedTuple):
    """Wait for the next completion, at most until the clock shows `until`."""

    until: float


class _Task:
    """The steps of one job or listing, and what they wait for."""

    def __init__(self, steps: Steps, *, is_job: bool) -> None:
        self.steps = steps
        self.is_job = is_job
        self.waits = 0
        """How often it has waited: an alarm that was set for an earlier wait is of no concern any more."""
        self.waits_for: str | None = None
        """What is wrong if its alarm rings; None: nothing is, it only slept."""


class _Turns:
    """Who waits for a turn of a call budget, in the order in which they came."""

    def __init__(self, budget: TokenBucket) -> None:
        self.bucket = budget
        self.queue: deque[tuple[_Task, int]] = deque()
        self.next_at: float | None = None
        """When the turn comes that is reserved for the first."""

    def reserve(self, now: float) -> float:
        """When the turn of the first comes."""
        if self.next_at is None:
            self.next_at = self.bucket.reserve(now)
        return self.next_at


class Loop:
    """The steps of many jobs. They begin with `run`, in the order in which they were added."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jobs = 0
        self._tasks: dict[_Task, None] = {}
        self._ready: deque[tuple[_Task, Any, BaseException | None]] = deque()
        self._alarms: list[tuple[float, int, _Task, int]] = []
        self._order = itertools.count()
        self._calls: dict[int, tuple[_Task, int]] = {}
        self._turns: dict[TokenBucket, _Turns] = {}
        self._following: dict[Member, tuple[_Task, int]] = {}
        self._news: dict[Member, Any] = {}

    def add(self, steps: Steps, *, is_job: bool = True) -> None:
        """Adds the steps of a job, or of something that goes on only as long as there is a job."""
        task = _Task(steps, is_job=is_job)
        self._tasks[task] = None
        self._jobs += is_job
        self._ready.append((task, None, None))

    def run(
        self, decides: Callable[[Outcome], bool] = lambda _: False
    ) -> Generator[Start | Pause | Event, Completion | None, None]:
        """Goes on until the last job has ended, or one with an outcome that `decides` for all."""
        is_cancelled = False
        while self._jobs:
            try:
                while self._ready:
                    task, value, error = self._ready.popleft()
                    for step in self._advance(task, value, error):
                        yield step
                        if isinstance(step, Ended) and not is_cancelled and decides(step.outcome):
                            raise Cancelled(self._clock.monotonic(), self._clock.now(), decided=True)
                if self._jobs:
                    self._wake((yield Pause(self._next_time())))
            except Cancelled as cancelled:
                is_cancelled = True
                self._ready.clear()
                for task in self._tasks:
                    self._go_on(task, None, cancelled)
        for task in self._tasks:
            task.steps.close()

    def _next_time(self) -> float:
        at = self._alarms[0][0] if self._alarms else math.inf
        for turns in self._turns.values():
            if turns.queue and turns.next_at is not None:
                at = min(at, turns.next_at)
        return at

    def _wake(self, completion: Completion | None) -> None:
        """Lets all go on who need not wait any longer."""
        if completion is not None:
            # Neither, if the call was abandoned meanwhile.
            task, wait = self._calls.pop(completion.ticket, (None, 0))
            if task is not None and task.waits == wait:
                self._go_on(task, completion.result, completion.error)
        now = self._clock.monotonic()
        # Not while there are completions: a call may be over by now whose alarm rang while something else took time.
        while completion is None and self._alarms and self._alarms[0][0] <= now:
            _, _, task, wait = heapq.heappop(self._alarms)
            if task.waits == wait:
                self._go_on(
                    task, None, TransientError(TransientKind.TIMEOUT, task.waits_for) if task.waits_for else None
                )
        for turns in self._turns.values():
            while turns.queue:
                task, wait = turns.queue[0]
                if task.waits == wait:
                    if turns.reserve(now) > now:
                        break
                    turns.next_at = None
                    self._go_on(task, None)
                turns.queue.popleft()

    def _go_on(self, task: _Task, value: Any, error: BaseException | None = None) -> None:
        task.waits += 1
        self._ready.append((task, value, error))

    def _advance(self, task: _Task, value: Any, error: BaseException | None) -> Iterator[Start | Event]:
        """Takes a task's steps up to the next one that takes time."""
        steps, task.waits_for = task.steps, None
        try:
            step = steps.send(value) if error is None else steps.throw(error)
            while True:
                value = None
                match step:
                    case Sleep(until=until):
                        return self._set_alarm(task, until)
                    case Attempt(call=call, until=until):
                        ticket = next(self._order)
                        self._calls[ticket] = task, task.waits
                        task.waits_for = "no answer in time"
                        self._set_alarm(task, until)
                        yield Start(ticket, call, until)
                        return None
                    case Turn(budget=budget, until=until, is_urgent=is_urgent):
                        turns = self._turns.setdefault(budget, _Turns(budget))
                        turns.reserve(self._clock.monotonic())
                        (turns.queue.appendleft if is_urgent else turns.queue.append)((task, task.waits))
                        task.waits_for = "its turn in the call budget did not come in time: see the max rate"
                        return self._set_alarm(task, until)
                    case Follow(member=member, until=until):
                        value = self._news.pop(member, None)
                        if value is None:
                            self._following[member] = task, task.waits
                            return self._set_alarm(task, math.inf if until is None else until)
                    case Tell(member=member, answer=answer):
                        self._tell(member, answer)
                    case Launch(steps=launched):
                        self.add(launched)
                    case _:
                        if isinstance(step, Ended):
                            self._drop(task)
                        yield step
                step = steps.send(value)
        except (StopIteration, Cancelled):
            # It is over, or it had not begun when all were cancelled, and then there is nothing to tell.
            self._drop(task)
        return None

    def _set_alarm(self, task: _Task, at: float) -> None:
        if len(self._alarms) > 1000 + 3 * len(self._tasks):
            # Who follows a listing sets an alarm for its deadline at each piece of news.
            self._alarms = [alarm for alarm in self._alarms if alarm[2].waits == alarm[3] and alarm[2] in self._tasks]
            heapq.heapify(self._alarms)
        if at < math.inf:
            heapq.heappush(self._alarms, (at, next(self._order), task, task.waits))

    def _tell(self, member: Member, news: Any) -> None:
        """News for who follows; where nobody does just now, the latest is kept."""
        task, wait = self._following.pop(member, (None, 0))
        if task is not None and task.waits == wait:
            self._go_on(task, news)
        elif not member.is_over:
            self._news[member] = news

    def _drop(self, task: _Task) -> None:
        if task in self._tasks:
            del self._tasks[task]
            self._jobs -= task.is_job
