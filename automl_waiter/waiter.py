"""The synchronous shell: it drives the loop of one job or of several in the caller's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
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
from automl_waiter._system.threads import Completion, Machine
from automl_waiter._wiring import ONE_LOOK, Gateways, LoopOn, check_watched, looked_at, waiting_for, watching
from automl_waiter.display import is_notebook, notebook_view

if TYPE_CHECKING:
    from automl_waiter.display.notebook import NotebookView


class WaitMachine(Clock, Protocol):
    """What this shell needs: see `machine.Machine`, and `testing.ManualClock` for one in virtual time."""

    def start(self, ticket: int, call: Callable[[], Any], until: float) -> None: ...
    def wait(self, until: float) -> Completion | None: ...
    def close(self) -> None: ...


class Waiter:
    """Waits for AutoML jobs. Reusable, for one job or several; see `wait_for` for what the arguments mean.

    `max_rate` is the most calls per second to an account and region, for all waits of a process that have the same; by
    default 5, or what a fixed `poll` needs.
    """

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
        cancel_event: threading.Event | None = None,
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
        self._cancel_event = cancel_event

    def wait(self, job: object, *, check: bool = True) -> Outcome:
        """Blocks until the job has ended; see `wait_for`."""
        [outcome] = self._wait([job]).values()
        return outcome.check() if check else outcome

    def wait_for_all(self, jobs: Iterable[object]) -> dict[str, Outcome]:
        """Blocks until every job has ended; see the function of this name."""
        return self._wait(jobs)

    def as_completed(self, jobs: Iterable[object]) -> Iterator[Outcome]:
        """The outcome of each job, as soon as it is known."""
        for event in self._run(waiting_for(jobs, self._gateways, self._options)):
            if isinstance(event, Ended):
                yield event.outcome

    def watch(
        self,
        job: object = None,
        *,
        name_contains: str | None = None,
        since: datetime | timedelta | float | None = None,
        until_idle: bool = False,
    ) -> Iterator[Transition]:
        """The transitions of a job, or of all that match, as they are seen; see the function of this name."""
        which = matching(name_contains, since)
        for event in self._run(watching(job, self._gateways, self._options, which, until_idle=until_idle)):
            if isinstance(event, Transition):
                yield event
            elif isinstance(event, Ended) and job is not None:
                check_watched(event.outcome)

    def _wait(self, jobs: Iterable[object]) -> dict[str, Outcome]:
        """Blocks until every job has ended, while a notebook shows how they are."""
        refs = [job_ref(job) for job in jobs]
        options = replace(self._options, candidates_every=CANDIDATES_EVERY) if is_notebook() else self._options
        loop_on = waiting_for(refs, self._gateways, options)
        events = self._run(loop_on, notebook_view(ref.name for ref in refs))
        outcomes = {event.outcome.job: event.outcome for event in events if isinstance(event, Ended)}
        return {ref.key: outcomes[ref.key] for ref in refs}

    def _run(self, loop_on: LoopOn, view: NotebookView | None = None) -> Iterator[Event]:
        machine, subscribers = Machine(self._cancel_event), Subscribers(*self._callbacks)
        try:
            for event in events_of(loop_on(machine), machine):
                subscribers.tell(event, self._cancel_event)
                if view is not None:
                    view.tell(event)
                yield event
        finally:
            if view is not None:
                view.close()
            subscribers.close()
            machine.close()


def events_of(
    loop: Loop, machine: WaitMachine, decides: Callable[[Outcome], bool] = lambda _: False
) -> Iterator[Event]:
    """The events of a loop that is driven on a machine, in the caller's thread."""
    steps = loop.run(decides)
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
                    value = machine.wait(until)
                except Cancelled as cancelled:
                    advance, value = steps.throw, cancelled
            case _:
                yield step


def wait_for(
    job: object,
    *,
    client: Any = None,
    timeout: float | timedelta | Literal["auto"] | None = None,
    poll: PollPolicy | float | timedelta | None = None,
    until: str | Condition | None = None,
    require: str | Iterable[str] = DEFAULT_REQUIREMENT,
    check: bool = True,
    stop_on: StopOn | Iterable[StopOn] = (),
    on_transition: Callable[[Transition], object] | None = None,
    on_event: Callable[[Event], object] | None = None,
    cancel_event: threading.Event | None = None,
    error_budget: float | timedelta = 900,
) -> Outcome:
    """Blocks until an AutoML job has ended, and returns how.

    Args:
        job: Its name or ARN, the response of `create_auto_ml_job_v2` or `describe_auto_ml_job_v2`, or an SDK's job.
        client: A boto3 SageMaker client; by default one is made, for the ARN's region where an ARN was given.
        timeout: Seconds or timedelta for the whole wait; 0: one look; None: no limit; "auto": until the job's own
            limit and 30 minutes, or 72 hours where it names none, both since its creation.
        poll: When to look again: a poll policy, or seconds or timedelta for `Fixed`; None: `PhaseAware`.
        until: Return earlier: a status, a phase, a JMESPath expression over the response, or a callable of a Snapshot.
            An expression that names BestCandidate is tried on the candidates too, while the job trains: a response
            names none until then (18 of 18 recorded ones).
        require: The parts of a success that must be there: any of `Part`, or "all" or "none".
        check: False: return an ended job however it ended, and an ended wait too, instead of raising.
        stop_on: Call StopAutoMLJob when "until" holds or at the "timeout", and wait up to 10 minutes for the stop.
        on_transition: Called with each Transition, in order, the first observation included.
        on_event: Called with each event, in order. Callbacks run in a thread of their own, with the caller's context
            variables, while the wait stands still for them, for at most 30 s each. One that raises, or takes longer,
            is logged and changes nothing.
        cancel_event: Setting it ends the wait at once.
        error_budget: Seconds without one good response that are tolerated while calls fail for passing reasons.

    Raises:
        JobEnded: The job ended, but not as asked.
        WaitTimeout: The timeout passed first; also a TimeoutError.
        WaitCancelled: `cancel_event` was set.
        JobNotFound: There is no such job; a name is looked for again for 10 s.
        JobReplaced: The name means another job than it did, or than the ARN.
        ServiceError: AWS refused, or could not be reached.
        InvalidRequest: An argument makes no sense; found before the first call.
    """
    waiter = Waiter(
        client,
        timeout=timeout,
        poll=poll,
        until=until,
        require=require,
        stop_on=stop_on,
        on_transition=on_transition,
        on_event=on_event,
        cancel_event=cancel_event,
        error_budget=error_budget,
    )
    return waiter.wait(job, check=check)


def wait_for_all(jobs: Iterable[object], *, client: Any = None, **options: Any) -> dict[str, Outcome]:
    """Blocks until every job has ended. None hides another: not found, denied or timed out is an Outcome too.

    Args:
        jobs: What `wait_for` takes, each.
        client: As in `wait_for`.
        options: Those of `Waiter`.

    Returns:
        The outcomes by the strings given; an object's key is its ARN. In the order given, without duplicates.
    """
    return Waiter(client, **options).wait_for_all(jobs)


def as_completed(jobs: Iterable[object], *, client: Any = None, **options: Any) -> Iterator[Outcome]:
    """The outcome of each job as soon as it is known; like `wait_for_all`, it raises for none of them."""
    return Waiter(client, **options).as_completed(jobs)


def watch(
    job: object = None,
    *,
    client: Any = None,
    name_contains: str | None = None,
    since: datetime | timedelta | float | None = None,
    until_idle: bool = False,
    **options: Any,
) -> Iterator[Transition]:
    """The transitions of a job as they are seen, the first observation included, until it has ended, however it ends.

    Without a job it follows all that match in the account and region, new ones included, and does not end; how each of
    them ended is in the `Ended` event that `on_event` is told.

    Args:
        job: What `wait_for` takes; None: every job.
        client: As in `wait_for`.
        name_contains: Only jobs whose names contain this, in any case.
        since: Only jobs that were created since then, or for so many seconds, also those that have ended. By default
            those that are in progress, and new ones.
        until_idle: End when no job is in progress.
        options: Those of `Waiter`.

    Raises:
        WaitInterrupted, JobNotFound, JobReplaced: As in `wait_for`, where the watch of a job ended before the job.
        ServiceError: AWS refused, or could not be reached; a watch of all needs ListAutoMLJobs.
    """
    waiter = Waiter(client, **options)
    return waiter.watch(job, name_contains=name_contains, since=since, until_idle=until_idle)


def describe(job: object, *, client: Any = None) -> Snapshot:
    """The job as it is now: one look, repeated for at most 10 s while it fails for passing reasons.

    Raises:
        JobNotFound: There is no such job.
        JobReplaced: The name means another job than the ARN.
        ServiceError: AWS refused, or could not be reached.
    """
    loop_on, machine = waiting_for([job], Gateways(client), ONE_LOOK), Machine()
    try:
        [outcome] = [event.outcome for event in events_of(loop_on(machine), machine) if isinstance(event, Ended)]
    finally:
        machine.close()
    return looked_at(outcome)
