"""The synchronous shell: it drives the loop of one job or of several in the caller's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from automl_waiter.actions import Member
from automl_waiter.budget import DEFAULT_MAX_RATE
from automl_waiter.conditions import Condition
from automl_waiter.connection import Connection, connect
from automl_waiter.errors import AccessDenied, AutoMLWaiterError, Cancelled, InvalidRequest
from automl_waiter.events import Ended, Event
from automl_waiter.gateway import Boto3Gateway, ClosedGateway, Gateway
from automl_waiter.jobs import JobRef, job_ref
from automl_waiter.listing import Listing, is_worth_listing
from automl_waiter.loop import Loop, Pause, Start
from automl_waiter.machine import Completion, Machine
from automl_waiter.options import StopOn, WaitOptions, wait_options
from automl_waiter.outcome import DEFAULT_REQUIREMENT, UNDECIDED, Outcome
from automl_waiter.plan import wait_plan
from automl_waiter.polling import PollPolicy
from automl_waiter.retrying import Clock, steps
from automl_waiter.snapshot import Snapshot
from automl_waiter.subscribers import Subscribers
from automl_waiter.tracker import Transition
from automl_waiter.watching import Matching, Watch, matching

ONE_LOOK = WaitOptions(error_budget=10.0, once=True)
"""To see how a job is: no grace for a name that is not found, and not much patience."""


class WaitMachine(Clock, Protocol):
    """What this shell needs: see `machine.Machine`, and `testing.ManualClock` for one in virtual time."""

    def start(self, ticket: int, call: Callable[[], Any], until: float) -> None: ...
    def wait(self, until: float) -> Completion | None: ...
    def close(self) -> None: ...


class Gateways:
    """The gateways of a wait: the caller's client, or one made for each region that an ARN names."""

    def __init__(
        self,
        client: Any = None,
        connect_to: Callable[[str | None], Connection] | None = None,
        *,
        max_rate: float = DEFAULT_MAX_RATE,
    ) -> None:
        self._client = client
        self._max_rate = max_rate
        self._connect = connect_to or (lambda region: connect(region=region))
        self._made: dict[str | None, Gateway] = {}

    def default(self) -> Gateway:
        """The gateway to the caller's account and default region.

        Raises:
            InvalidRequest: There is no region.
        """
        return self._in_region(None)

    def of(self, job: JobRef) -> Gateway:
        """The gateway to a job.

        Raises:
            InvalidRequest: There is no region, or the caller's client is one of another region than the job.
        """
        if self._client is not None and job.region not in (None, self._client.meta.region_name):
            raise InvalidRequest(
                f"{job.arn} is in {job.region}, but the client that was given is for {self._client.meta.region_name}"
            )
        return self._in_region(job.region)

    def _in_region(self, region: str | None) -> Gateway:
        if region not in self._made:
            given = self._client is not None
            try:
                connection = Connection(self._client) if given else self._connect(region)
            except AccessDenied as error:
                return ClosedGateway(error)  # not kept: somebody may log in before the next wait
            # One for the default region and for those who name it: they share a listing.
            gateway = self._made.get(connection.region) or Boto3Gateway(connection, self._max_rate)
            self._made[region] = self._made[connection.region] = gateway
        return self._made[region]


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
        if job is None:
            gateway = self._gateways.default()
            events = self._run(lambda clock: watch_loop(gateway, which, self._options, clock, until_idle=until_idle))
        else:
            check_one(which, until_idle)
            events = self._events([job])
        for event in events:
            if isinstance(event, Transition):
                yield event
            elif isinstance(event, Ended) and job is not None:
                check_watched(event.outcome)

    def _events(self, jobs: Iterable[object]) -> Iterator[Event]:
        refs = list({ref.key: ref for ref in map(job_ref, jobs)}.values())
        gateways = [self._gateways.of(ref) for ref in refs]
        return self._run(lambda clock: loop_of(refs, gateways, self._options, clock))

    def _run(self, loop_on: Callable[[Clock], Loop]) -> Iterator[Event]:
        machine, subscribers = Machine(self._cancel_event), Subscribers(*self._callbacks)
        try:
            for event in events_of(loop_on(machine), machine):
                subscribers.tell(event, self._cancel_event)
                yield event
        finally:
            subscribers.close()
            machine.close()


def check_watched(outcome: Outcome) -> None:
    """Raises what ended a watch before its job, so that its end is not taken for the job's."""
    if outcome.verdict in UNDECIDED:
        outcome.check()


def check_one(which: Matching, until_idle: bool) -> None:
    """Refuses what makes sense only for a watch of all jobs.

    Raises:
        InvalidRequest: Something of that was given beside a job.
    """
    if which != Matching() or until_idle:
        raise InvalidRequest("name_contains, since and until_idle choose among all jobs: give them or a job")


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


def loop_of(jobs: Sequence[JobRef], gateways: Sequence[Gateway], options: WaitOptions, clock: Clock) -> Loop:
    """The loop of a wait for these jobs, each through its gateway; those that share one share a listing."""
    loop, started = Loop(clock), clock.monotonic()
    members: dict[int, Member] = {}
    fleets = []
    for gateway in dict.fromkeys(gateways):
        mine = [index for index, other in enumerate(gateways) if other is gateway]
        if is_worth_listing(len(mine), options):
            found = {index: Member(jobs[index].name) for index in mine}
            members |= found
            fleets.append((gateway, list(found.values())))
    told: set[Gateway] = set()
    for index, (job, gateway) in enumerate(zip(jobs, gateways, strict=True)):
        plan = wait_plan(
            job,
            options,
            started=started,
            random=clock.random,
            member=members.get(index),
            # Said once for the jobs that share a client, by the first.
            credentials_expire_at=None if gateway in told else gateway.credentials_expire_at,
        )
        told.add(gateway)
        loop.add(steps(plan, gateway, clock, error_budget=options.error_budget))
    for gateway, fleet in fleets:
        rate = gateway.budget.max_rate
        listing = Listing(fleet, options, started=started, max_rate=rate, random=clock.random)
        loop.add(steps(listing.run(), gateway, clock, error_budget=options.error_budget), is_job=False)
    return loop


def watch_loop(
    gateway: Gateway,
    which: Matching,
    options: WaitOptions,
    clock: Clock,
    *,
    until_idle: bool = False,
    known: Iterable[JobRef] = (),
) -> Loop:
    """The loop that follows every job that matches, in the account and region of a gateway."""
    watch = Watch(
        which,
        options,
        started=clock.monotonic(),
        max_rate=gateway.budget.max_rate,
        random=clock.random,
        until_idle=until_idle,
        known=known,
        credentials_expire_at=gateway.credentials_expire_at,
    )
    loop = Loop(clock)
    loop.add(steps(watch.run(), gateway, clock, error_budget=options.error_budget))
    return loop


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


def watch(
    job: object = None,
    *,
    client: Any = None,
    name_contains: str | None = None,
    since: datetime | timedelta | float | None = None,
    until_idle: bool = False,
    **options: Any,
) -> Iterator[Transition]:
    """The transitions of a job as they are seen, the first sighting included, until it has ended, however it ends.

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
    ref = job_ref(job)
    loop = loop_of([ref], [Gateways(client).of(ref)], ONE_LOOK, machine := Machine())
    try:
        [outcome] = [event.outcome for event in events_of(loop, machine) if isinstance(event, Ended)]
    finally:
        machine.close()
    if outcome.snapshot is None or outcome.error is not None:
        raise outcome.error or AutoMLWaiterError(outcome.summary)
    return outcome.snapshot
