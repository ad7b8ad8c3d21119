"""The synchronous shell: one loop that drives the plans of one job or of several."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, Literal, Protocol

from automl_waiter.conditions import Condition
from automl_waiter.connection import Connection, connect
from automl_waiter.errors import AccessDenied, AutoMLWaiterError, Cancelled, InvalidRequest, Passing, PassingFailure
from automl_waiter.events import Ended, Event
from automl_waiter.gateway import Boto3Gateway, ClosedGateway, Gateway
from automl_waiter.jobs import JobRef, job_ref
from automl_waiter.machine import Completion, Machine
from automl_waiter.options import StopOn, WaitOptions, wait_options
from automl_waiter.outcome import DEFAULT_REQUIREMENT, UNDECIDED, Outcome
from automl_waiter.plan import Sleep, wait_plan
from automl_waiter.polling import PollPolicy
from automl_waiter.retrying import Attempt, Clock, Steps, steps
from automl_waiter.snapshot import Snapshot
from automl_waiter.subscribers import Subscribers
from automl_waiter.tracker import Transition

ONE_LOOK = WaitOptions(error_budget=10.0, once=True)
"""To see how a job is: no grace for a name that is not found, and not much patience."""

# Several jobs do not look all at once: their first looks are spread at this many a second.
_FIRST_LOOKS_PER_SECOND = 10.0


class WaitMachine(Clock, Protocol):
    """What the loop needs: see `machine.Machine`, and `testing.ManualClock` for one in virtual time."""

    def start(self, ticket: int, call: Callable[[], Any], until: float) -> None: ...
    def wait(self, until: float) -> Completion | None: ...
    def close(self) -> None: ...


class Gateways:
    """The gateways of a wait: the caller's client, or one made for each region that an ARN names."""

    def __init__(self, client: Any = None, connect_to: Callable[[str | None], Connection] | None = None) -> None:
        self._client = client
        self._connect = connect_to or (lambda region: connect(region=region))
        self._made: dict[str | None, Gateway] = {}

    def of(self, job: JobRef) -> Gateway:
        """The gateway to a job.

        Raises:
            InvalidRequest: There is no region, or the caller's client is one of another region than the job.
        """
        if self._client is not None and job.region not in (None, self._client.meta.region_name):
            raise InvalidRequest(
                f"{job.arn} is in {job.region}, but the client that was given is for {self._client.meta.region_name}"
            )
        if job.region not in self._made:
            given = self._client is not None
            try:
                connection = Connection(self._client) if given else self._connect(job.region)
            except AccessDenied as error:
                return ClosedGateway(error)  # not kept: somebody may log in before the next wait
            self._made[job.region] = Boto3Gateway(connection)
        return self._made[job.region]


class Waiter:
    """Waits for AutoML jobs. Reusable, for one job or several; see `wait_for` for what the arguments mean."""

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
    ) -> None:
        self._options = wait_options(
            timeout=timeout, poll=poll, until=until, require=require, stop_on=stop_on, error_budget=error_budget
        )
        self._gateways = Gateways(client)
        self._callbacks = on_transition, on_event
        self._cancel_event = cancel_event

    def wait(self, job: object, *, check: bool = True) -> Outcome:
        """Blocks until the job has ended; see `wait_for`."""
        [outcome] = self.as_completed([job])
        return outcome.check() if check else outcome

    def wait_for_all(self, jobs: Iterable[object]) -> dict[str, Outcome]:
        """Blocks until every job has ended; see the function of this name."""
        refs = [job_ref(job) for job in jobs]
        outcomes = {outcome.job: outcome for outcome in self.as_completed(refs)}
        return {ref.key: outcomes[ref.key] for ref in refs}

    def as_completed(self, jobs: Iterable[object]) -> Iterator[Outcome]:
        """The outcome of each job, as soon as it is known."""
        for event in self._events(jobs):
            if isinstance(event, Ended):
                yield event.outcome

    def watch(self, job: object) -> Iterator[Transition]:
        """The transitions of a job as they are seen, until it has ended; see the function of this name."""
        for event in self._events([job]):
            if isinstance(event, Transition):
                yield event
            elif isinstance(event, Ended):
                check_watched(event.outcome)

    def _events(self, jobs: Iterable[object]) -> Iterator[Event]:
        refs = list({ref.key: ref for ref in map(job_ref, jobs)}.values())
        gateways = [self._gateways.of(ref) for ref in refs]
        machine, subscribers = Machine(self._cancel_event), Subscribers(*self._callbacks)
        try:
            for event in EventLoop(refs, gateways, self._options, machine).run():
                subscribers.tell(event, self._cancel_event)
                yield event
        finally:
            subscribers.close()
            machine.close()


def check_watched(outcome: Outcome) -> None:
    """Raises what ended a watch before its job, so that its end is not taken for the job's."""
    if outcome.verdict in UNDECIDED:
        outcome.check()


class _Task:
    """The steps of one job, and what the loop knows of them."""

    def __init__(self, generator: Steps) -> None:
        self.steps = generator
        self.wake_at = 0.0
        self.ticket: int | None = None
        """The ticket of the call that it waits for; None while it sleeps."""


class EventLoop:
    """Drives the plans of several jobs on one machine, in the caller's thread."""

    def __init__(
        self, jobs: Sequence[JobRef], gateways: Sequence[Gateway], options: WaitOptions, machine: WaitMachine
    ) -> None:
        self._machine = machine
        self._tickets = itertools.count()
        self._tasks = [_Task(task_steps) for task_steps in all_steps(jobs, gateways, options, machine)]

    def run(self, decides: Callable[[Outcome], bool] = lambda _: False) -> Iterator[Event]:
        """The events of all the jobs, until the last has ended, or one with an outcome that `decides` for all."""
        for task in list(self._tasks):
            yield from self._advance(task, None)
        is_cancelled = False
        while self._tasks:
            try:
                for task, value, error in self._due(self._machine.wait(min(task.wake_at for task in self._tasks))):
                    for event in self._advance(task, value, error):
                        yield event
                        if isinstance(event, Ended) and not is_cancelled and decides(event.outcome):
                            raise Cancelled(self._machine.monotonic(), self._machine.now(), decided=True)
            except Cancelled as cancelled:
                is_cancelled = True
                yield from self._cancel(cancelled)

    def _due(self, completion: Completion | None) -> list[tuple[_Task, Any, BaseException | None]]:
        """The jobs that can go on, each with what it waited for."""
        if completion is not None:
            # None, if the call was abandoned meanwhile.
            return [
                (task, completion.result, completion.error) for task in self._tasks if task.ticket == completion.ticket
            ]
        now = self._machine.monotonic()
        late = PassingFailure(Passing.TIMEOUT, "no answer in time")
        return [(task, None, late if task.ticket is not None else None) for task in self._tasks if task.wake_at <= now]

    def _cancel(self, cancelled: Cancelled) -> Iterator[Event]:
        for task in list(self._tasks):
            yield from self._advance(task, None, cancelled)

    def _advance(self, task: _Task, value: Any, error: BaseException | None = None) -> Iterator[Event]:
        """Takes a job's steps up to the next one that takes time."""
        task.ticket = None
        try:
            step = task.steps.send(value) if error is None else task.steps.throw(error)
            while not isinstance(step, Sleep | Attempt):
                if isinstance(step, Ended):
                    self._tasks.remove(task)
                yield step
                step = task.steps.send(None)
        except StopIteration:
            return
        if isinstance(step, Attempt):
            task.ticket, task.wake_at = next(self._tickets), step.until
            self._machine.start(task.ticket, step.call, step.until)
        else:
            task.wake_at = step.until


def all_steps(
    jobs: Sequence[JobRef], gateways: Sequence[Gateway], options: WaitOptions, clock: Clock
) -> Iterator[Steps]:
    """The steps of a wait for these jobs, each through its gateway; the first looks are spread."""
    started = clock.monotonic()
    for index, (job, gateway) in enumerate(zip(jobs, gateways, strict=True)):
        first_look = started + index / _FIRST_LOOKS_PER_SECOND if index else None
        # Said once for the jobs that share a client, by the first.
        expiry = gateway.credentials_expire_at if gateways.index(gateway) == index else None
        plan = wait_plan(
            job,
            options,
            started=started,
            random=clock.random,
            first_look=first_look,
            credentials_expire_at=expiry,
        )
        yield steps(plan, gateway, clock, error_budget=options.error_budget)


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
            limit and 30 minutes, or 72 hours where it names none.
        poll: When to look again: a poll policy, or seconds or timedelta for `Fixed`; None: `PhaseAware`.
        until: Return earlier: a status, a phase, a JMESPath expression over the response, or a callable of a Snapshot.
        require: The parts of a success that must be there: any of `Part`, or "all" or "none".
        check: False: return an ended job however it ended, and an ended wait too, instead of raising.
        stop_on: Call StopAutoMLJob when "until" holds or at the "timeout", and wait up to 10 minutes for the stop.
        on_transition: Called with each Transition, in order, the first sighting included.
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


def watch(job: object, *, client: Any = None, **options: Any) -> Iterator[Transition]:
    """The transitions of a job as they are seen, the first sighting included, until it has ended, however it ends.

    Raises:
        WaitInterrupted, JobNotFound, JobReplaced, ServiceError: As in `wait_for`, where the watch ended before the job.
    """
    return Waiter(client, **options).watch(job)


def describe(job: object, *, client: Any = None) -> Snapshot:
    """The job as it is now: one look, repeated for at most 10 s while it fails for passing reasons.

    Raises:
        JobNotFound: There is no such job.
        JobReplaced: The name means another job than the ARN.
        ServiceError: AWS refused, or could not be reached.
    """
    ref = job_ref(job)
    loop = EventLoop([ref], [Gateways(client).of(ref)], ONE_LOOK, machine := Machine())
    try:
        [outcome] = [event.outcome for event in loop.run() if isinstance(event, Ended)]
    finally:
        machine.close()
    if outcome.snapshot is None or outcome.error is not None:
        raise outcome.error or AutoMLWaiterError(outcome.summary)
    return outcome.snapshot
