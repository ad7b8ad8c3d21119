"""The publisher: it puts an event on a bus for each transition, in batches and in order, beside the wait."""

from __future__ import annotations

import atexit
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

from automl_waiter._aws.connection import Connection, connect
from automl_waiter._aws.errors import quoted
from automl_waiter._model.errors import AutoMLWaiterError, TransientError
from automl_waiter._model.events import Ended, Event
from automl_waiter._model.job_refs import region_of
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.text import format_duration
from automl_waiter._model.tracker import Transition
from automl_waiter.integrations.eventbridge.bus import MOST_BYTES, MOST_ENTRIES, Bus, region_of_bus
from automl_waiter.integrations.eventbridge.entries import event_entry, size_of

FINISH_LIMIT = 10.0
"""Seconds for the remaining events after the wait has ended."""

_LOGGER = logging.getLogger("automl_waiter")

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_LAST_PAUSE = 1.0
_DIES_WITHIN = 0.2
_JOIN_SLICE_S = 0.05


class _Delivery(NamedTuple):
    """A transition to publish. `job` is its ARN in lower case."""

    job: str
    region: str | None
    entry: dict[str, Any]
    done: Callable[[bool], object]


class EventBridgePublisher:
    """Publish each transition to a bus, in a thread of its own: a bus that hangs does not delay the wait.

    Pass it to a wait as `on_event`. The event of a job's end is held until the outcome is known, so that it says how
    the job ended. Events are put in batches; those of one job in order, each after the bus accepted the previous one.

    The end of its `with` or `async with` block, or of the program, publishes the rest, in at most 10 seconds.

    Args:
        bus: The name of an event bus in the job's region, or the ARN of one.
        client: A boto3 EventBridge client; by default one is created for each region.
        report: Called with one line about events that could not be published; by default it is logged.
        connect_to: Makes the connection to a region; None is the default region.
        error_budget: Seconds for which an event is retried after transient errors.
        limit: Seconds for the remaining events at the end.

    Raises:
        InvalidRequest: `bus` is neither a name nor an ARN.
    """

    def __init__(
        self,
        bus: str,
        *,
        client: Any = None,
        report: Callable[[str], object] = _LOGGER.error,
        connect_to: Callable[[str | None], Connection] = lambda region: connect(region=region, service="events"),
        error_budget: float = 900.0,
        limit: float = FINISH_LIMIT,
    ) -> None:
        self.bus = bus
        self._region = region_of_bus(bus)
        self._report = report
        self._connect = connect_to if client is None else lambda _: Connection(client)
        self._error_budget = error_budget
        self._limit = limit
        self._buses: dict[str | None, Bus] = {}
        self._held: dict[str, tuple[Transition, Callable[[bool], object]]] = {}
        """The end of each job whose outcome is not known yet, by ARN."""
        # SimpleQueues, because their put is safe in a signal handler.
        self._inbox: queue.SimpleQueue[_Delivery | None] = queue.SimpleQueue()
        self._hurry: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._handed = self._taken = 0
        self._reported: set[tuple[type[Exception], str | None]] = set()
        self._unreported: str | None = None
        """Why the batch that is being put was not accepted so far."""
        self._until = float("inf")
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="automl-waiter-publish", daemon=True)
        self._thread.start()
        # Without a block, the last events are put when Python exits.
        atexit.register(self.finish)

    @property
    def words(self) -> list[str]:
        """The words that identify the publisher in a journal."""
        return ["eventbridge", self.bus]

    def __call__(self, event: Event) -> None:
        """Accept an event of a wait, and return at once."""
        match event:
            case Transition():
                self.deliver(event)
            case Ended(outcome=outcome):
                self.end(outcome)

    def deliver(self, transition: Transition, done: Callable[[bool], object] = lambda _: None) -> None:
        """Publish a transition after the job's earlier ones; call `done` with whether the bus accepted it."""
        if transition.after.is_terminal:
            self._held[transition.job_arn.lower()] = (transition, done)
        else:
            self._put(transition, done)

    def end(self, outcome: Outcome) -> None:
        """Publish the end of a job, whose outcome is known now."""
        held = self._held.pop((outcome.arn or "").lower(), None)
        if held is not None:
            self._put(*held, outcome.snapshot)

    def finish(self) -> None:
        """Wait until every event was put, at most until the limit; report how many were not."""
        atexit.unregister(self.finish)
        for transition, done in self._held.values():
            self._put(transition, done)
        self._held.clear()
        self._until = time.monotonic() + self._limit
        self._inbox.put(None)
        self._hurry.put(None)
        while self._thread.is_alive() and not self._is_closed and time.monotonic() < self._until:
            self._thread.join(_JOIN_SLICE_S)
        self._thread.join(_DIES_WITHIN)
        lost, of = self._handed - self._taken, "1 event was" if self._handed == 1 else f"{self._handed} events were"
        if lost:
            why = "the wait was interrupted" if self._is_closed else self._unreported
            self._is_closed = True  # so that a hanging call reports nothing later
            self._report(f"{lost} of {of} not published to the event bus {self.bus}{f': {why}' if why else ''}")

    def abandon(self) -> None:
        """Publish no more: `finish` then returns at once. Safe in a signal handler."""
        self._is_closed = True
        self._hurry.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        import asyncio

        await asyncio.to_thread(self.finish)

    def _put(self, transition: Transition, done: Callable[[bool], object], snapshot: Snapshot | None = None) -> None:
        job = transition.job_arn.lower()
        # Like SageMaker's own events, on the bus of the job's region.
        region = self._region or region_of(job)
        self._handed += 1
        self._inbox.put(_Delivery(job, region, event_entry(transition, snapshot, bus=self.bus), done))

    def _run(self) -> None:
        waiting: list[_Delivery] = []
        is_last = False
        while waiting or not is_last:
            while not is_last and (not waiting or not self._inbox.empty()):
                delivery = self._inbox.get()
                if delivery is None:
                    is_last = True
                else:
                    waiting.append(delivery)
            batch, waiting = _batch_of(waiting)
            if batch:
                self._publish(batch)

    def _publish(self, batch: list[_Delivery]) -> None:
        from tenacity import Retrying, retry_if_exception_type, wait_random_exponential

        begun = time.monotonic()
        self._unreported = "no answer from EventBridge"
        try:
            for attempt in Retrying(
                retry=retry_if_exception_type(TransientError),
                wait=wait_random_exponential(_FIRST_PAUSE, _LONGEST_PAUSE),
                stop=lambda _: time.monotonic() >= min(begun + self._error_budget, self._until),
                sleep=self._pause,
                reraise=True,
            ):
                with attempt:
                    try:
                        self._attempt(batch)
                    except TransientError as failure:
                        self._unreported = f"{failure.kind}: {failure}"
                        raise
        except TransientError as failure:
            lasted = format_duration(time.monotonic() - begun)
            self._report_once(failure, f"PutEvents failed for {lasted}; the last error, {failure.kind}: {failure}")
        except AutoMLWaiterError as error:
            self._report_once(error, str(error))
        except Exception as error:  # whatever it is, the next batch may succeed
            self._report_once(error, f"{type(error).__name__}: {quoted(error)}")
        self._unreported = None
        for delivery in batch:
            delivery.done(False)

    def _attempt(self, batch: list[_Delivery]) -> None:
        """Put a batch once. Accepted and permanently refused deliveries are settled and leave the batch.

        Raises:
            TransientError: The rest of the batch may be accepted in another attempt.
            AutoMLWaiterError: The whole batch failed with a permanent error.
        """
        if self._is_closed:
            return
        failure, region = None, batch[0].region
        if region not in self._buses:
            self._buses[region] = Bus(self.bus, self._connect(region))
        problems = self._buses[region].put([delivery.entry for delivery in batch])
        for delivery, problem in zip(list(batch), problems, strict=True):
            if isinstance(problem, TransientError):
                failure = failure or problem
                continue
            batch.remove(delivery)
            if problem is None:
                self._taken += 1
                self._reported.clear()
            else:
                self._report_once(problem, str(problem))
            delivery.done(problem is None)
        if failure is not None:
            raise failure

    def _pause(self, seconds: float) -> None:
        """Sleep; at the end, put the rest at once, and retry at short intervals."""
        if self._until < float("inf"):
            seconds = min(seconds, _LAST_PAUSE)
        with contextlib.suppress(queue.Empty):
            self._hurry.get(timeout=seconds)

    def _report_once(self, problem: Exception, words: str) -> None:
        """Report a problem, each kind once until an event is accepted: a watch may have it for weeks."""
        kind = type(problem), getattr(problem, "code", None)
        if kind not in self._reported and not self._is_closed:
            self._reported.add(kind)
            self._report(f"cannot publish to the event bus {self.bus}: {words}")


def _batch_of(waiting: Sequence[_Delivery]) -> tuple[list[_Delivery], list[_Delivery]]:
    """Return the next batch, oldest first, and the rest.

    A batch has one delivery of each job, so that none overtakes an earlier one that must be retried.
    """
    batch: list[_Delivery] = []
    rest: list[_Delivery] = []
    jobs: set[str] = set()
    size = 0
    for delivery in waiting:
        fits = len(batch) < MOST_ENTRIES and (not batch or size + size_of(delivery.entry) <= MOST_BYTES)
        if fits and delivery.job not in jobs and delivery.region == waiting[0].region:
            batch.append(delivery)
            size += size_of(delivery.entry)
        else:
            rest.append(delivery)
        jobs.add(delivery.job)
    return batch, rest
