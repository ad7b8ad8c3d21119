"""The synchronous shell: it drives the waits for one job or several in the caller's thread."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol, TypeVar, Unpack, cast

from automl_waiter._engine.calls import Calls, Gateway
from automl_waiter._engine.failure_logs import LogReader
from automl_waiter._engine.kernel import Clock, Kernel, Pause, PendingCall
from automl_waiter._engine.watch import matching
from automl_waiter._model.errors import Cancelled, InvalidRequest
from automl_waiter._model.events import Ended, Event
from automl_waiter._model.failure_logs import LINES, FailureLog
from automl_waiter._model.naming import name_publicly
from automl_waiter._model.options import CANDIDATES_EVERY_S, DEFAULTS, Options, WaitOptions, shows_options, wait_options
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.snapshot import Candidate, Snapshot
from automl_waiter._model.text import Duration
from automl_waiter._model.tracker import Transition
from automl_waiter._system.callbacks import Callbacks
from automl_waiter._system.machine import Machine
from automl_waiter._wiring import (
    ONE_POLL,
    Gateways,
    Target,
    check_watch,
    check_watched,
    log_connections,
    logs_kernel,
    snapshot_of,
    wait_kernel,
    watch_or_wait,
)
from automl_waiter.display import is_notebook, notebook_view

T = TypeVar("T")
Subscriber = Callable[[Event], object]


class SyncOptions(Options, total=False):
    """The options of this shell's waits. `wait_for` says what they mean."""

    on_transition: Callable[[Transition], object] | None
    on_event: Callable[[Event], object] | None
    cancel_event: threading.Event | None


class SyncMachine(Clock, AbstractContextManager[object], Protocol):
    """What this shell needs: see `_system.machine`, and `testing.ManualClock` for one in virtual time."""

    def start(self, call: PendingCall) -> None: ...
    def wait(self, until: float) -> PendingCall | None: ...


class Waiter:
    """Waits for AutoML jobs. Reusable, for one job or several.

    Args:
        client: A boto3 SageMaker client; by default one is made.
        options: Those of `wait_for`.

    Raises:
        TypeError: There is no option of a name.
        InvalidRequest: A value makes no sense.
    """

    @shows_options(SyncOptions, DEFAULTS)
    def __init__(self, client: Any = None, **options: Unpack[SyncOptions]) -> None:
        self._callbacks = Callbacks(options.pop("on_transition", None), options.pop("on_event", None))
        self._cancel_event = options.pop("cancel_event", None)
        if self._cancel_event is not None and not isinstance(self._cancel_event, threading.Event):
            raise InvalidRequest(f"cancel_event is a threading.Event, not of type {type(self._cancel_event).__name__}")
        self._options = wait_options(**cast("Options", options))
        self._gateways = Gateways(client, max_rate=self._options.max_rate)

    def wait(self, job: object, *, check: bool = True) -> Outcome:
        """Block until the job has ended; see `wait_for`."""
        [outcome] = self.wait_for_all([job]).values()
        return outcome.check() if check else outcome

    def wait_for_all(self, jobs: Iterable[object]) -> dict[str, Outcome]:
        """Block until every job has ended; see the function of this name."""
        targets = self._gateways.targets(jobs)
        options = self._options
        if is_notebook():
            options = replace(options, candidates_every=CANDIDATES_EVERY_S, estimate=True)
        names = dict.fromkeys(target.job.name for target in targets.values())
        kernel_on = partial(wait_kernel, targets.values(), options)
        with notebook_view(names) as subscribers, closing(self._events(kernel_on, *subscribers)) as events:
            outcomes = {event.outcome.job: event.outcome for event in events if isinstance(event, Ended)}
        return {key: outcomes[target.job.key] for key, target in targets.items()}

    def as_completed(self, jobs: Iterable[object]) -> Iterator[Outcome]:
        """Yield the outcome of each job as soon as it is known; see the function of this name."""
        return self._as_completed(self._gateways.targets(jobs).values())

    def watch(
        self,
        job: object = None,
        *,
        name_contains: str | None = None,
        since: datetime | Duration | None = None,
        until_idle: bool = False,
    ) -> Iterator[Transition]:
        """Yield the transitions of a job, or of all that match, as they are observed; see the function of this name."""
        which = matching(name_contains, since)
        ref = check_watch(job, self._gateways, which, until_idle=until_idle)
        kernel_on = watch_or_wait(ref, self._gateways, which, self._options, until_idle=until_idle)
        return self._watch(kernel_on, is_one=job is not None)

    def describe(self, job: object) -> Snapshot:
        """Return the job as it is now; see the function of this name."""
        return snapshot_of(outcome_of(self._gateways.target(job), ONE_POLL))

    def _as_completed(self, targets: Iterable[Target]) -> Iterator[Outcome]:
        with closing(self._events(partial(wait_kernel, targets, self._options))) as events:
            for event in events:
                if isinstance(event, Ended):
                    yield event.outcome

    def _watch(self, kernel_on: Callable[[Clock], Kernel], *, is_one: bool) -> Iterator[Transition]:
        with closing(self._events(kernel_on)) as events:
            for event in events:
                if isinstance(event, Transition):
                    yield event
                elif isinstance(event, Ended) and is_one:
                    check_watched(event.outcome)

    def _events(self, kernel_on: Callable[[Clock], Kernel], *subscribers: Subscriber) -> Generator[Event, None, None]:
        machine = Machine(self._cancel_event)
        return events_of(kernel_on(machine), machine, self._callbacks.call, *subscribers)


# Driving the engine


def events_of(
    kernel: Kernel,
    machine: SyncMachine,
    *subscribers: Subscriber,
    decides: Callable[[Outcome], bool] = lambda _: False,
) -> Generator[Event, None, None]:
    """Drive a kernel on a machine, and yield its events after the subscribers have had them.

    An outcome for which `decides` is true ends the wait for the others.
    """
    is_cancelled = False
    with machine, closing(kernel):
        while (step := kernel.step()) is not None:
            match step:
                case PendingCall():
                    machine.start(step)
                case Pause(until=until):
                    try:
                        kernel.wake(machine.wait(until))
                    except Cancelled as cancelled:
                        is_cancelled = True
                        kernel.cancel(cancelled)
                case event:
                    for subscriber in subscribers:
                        subscriber(event)
                    yield event
                    if isinstance(event, Ended) and not is_cancelled and decides(event.outcome):
                        is_cancelled = True
                        kernel.cancel(Cancelled(decided=True))


def outcome_of(target: Target, options: WaitOptions, machine: SyncMachine | None = None) -> Outcome:
    """Wait for one job, and return how that ended."""
    machine = machine or Machine()
    with closing(events_of(wait_kernel([target], options, machine), machine)) as events:
        [outcome] = [event.outcome for event in events if isinstance(event, Ended)]
    return outcome


def result_of(
    function: Callable[[Calls], Awaitable[T]],
    gateway: Gateway,
    machine: SyncMachine | None = None,
    *,
    error_budget: float,
) -> T:
    """Run a coroutine over calls, and return its result."""
    machine, results = machine or Machine(), list[T]()
    kernel = Kernel(machine)

    async def run() -> None:
        results.append(await function(Calls(gateway, kernel, error_budget=error_budget)))

    kernel.spawn(run)
    with closing(events_of(kernel, machine)) as events:
        for _ in events:
            pass  # retries: nobody needs to know
    return results[0]


def read_logs(
    outcomes: Iterable[Outcome],
    connect_to: Callable[[Outcome], tuple[Gateway, LogReader]],
    candidates: Sequence[Candidate] | None = None,
    count: int = LINES,
) -> dict[str, list[FailureLog]]:
    """Read the logs of what failed in these jobs, for at most 5 s; see `_wiring.logs_kernel`."""
    machine, found = Machine(), dict[str, list[FailureLog]]()
    kernel = logs_kernel(outcomes, connect_to, machine, found, candidates=candidates, count=count)
    with closing(events_of(kernel, machine)) as events:
        for _ in events:
            pass  # retries: nobody needs to know
    return found


# The public functions


@shows_options(SyncOptions, DEFAULTS)
def wait_for(job: object, *, client: Any = None, check: bool = True, **options: Unpack[SyncOptions]) -> Outcome:
    """Block until an AutoML job has ended, and return how it ended.

    Durations are seconds, a timedelta or text like "5m".

    Args:
        job: Its name or ARN, the response of `create_auto_ml_job_v2` or `describe_auto_ml_job_v2`, an SDK's job, or a
            Snapshot, an Outcome or a Transition.
        client: A boto3 SageMaker client; by default one is made, for the ARN's region where an ARN was given, and
            another one in a process that was forked. Make yours after a fork: two processes that share a connection
            get each other's answers.
        check: False: return the outcome, whatever it is, instead of raising.
        timeout: A duration for the whole wait; 0: poll once; None: no limit; "auto": until the job's runtime limit and
            30 minutes, or 72 hours where it names none, both since its creation.
        poll: When to poll again: a poll policy, or a duration for `Fixed`; None: `PhaseAware`. Below 0.1 s it needs a
            `max_rate`.
        until: Return earlier: a status, a phase, a JMESPath expression over the response, or a callable of a Snapshot.
            An expression that names BestCandidate is evaluated on the candidates too, while the job trains: a response
            names none until then (18 of 18 recorded ones).
        good_enough: Stop the job as soon as the objective of a candidate is at least this value (at most, for a metric
            that is minimized), and wait until it has stopped. It is `until` and `stop_on="until"` in one.
        require: The parts of a success that must be there: any of `Part`, or "all" or "none".
        stop_on: Call StopAutoMLJob when "until" holds or at the "timeout", and wait up to 10 minutes for the stop.
        error_budget: How long calls may keep failing for transient reasons without one good response (a duration).
        max_rate: The most calls per second to an account and region, for all waits of a process that have the same; by
            default 5, or what a fixed `poll` needs.
        estimate: Estimate when the job will end, from similar jobs in ListAutoMLJobs, and emit `Estimated` events. A
            listing that is denied, fails or takes over 2 s changes nothing: there is no estimate then.
        on_transition: Called with each Transition, in order, the first observation included.
        on_event: Called with each event, in order. Callbacks are called in the caller's thread, and the wait stands
            still for them. One that raises is logged and changes nothing; one that takes longer than 30 s is named in a
            warning in the log.
        cancel_event: A threading.Event; setting it ends the wait at once.

    Raises:
        JobEnded: The job ended, but not as required.
        WaitTimeout: The timeout was reached first; also a TimeoutError.
        WaitCancelled: `cancel_event` was set.
        JobNotFound: There is no such job. A name that is listed, or cannot be listed, is polled again for 10 s.
        JobReplaced: The name means another job than it did, or than the ARN.
        ServiceError: AWS refused, or could not be reached.
        InvalidRequest: An argument makes no sense; found before the first call. Or `until` or the poll policy raised,
            which is the `__cause__`. Also a ValueError.
        InternalError: There is a bug in this library.
        TypeError: There is no option of a name.
    """
    return Waiter(client, **options).wait(job, check=check)


@shows_options(SyncOptions, DEFAULTS)
def wait_for_all(jobs: Iterable[object], *, client: Any = None, **options: Unpack[SyncOptions]) -> dict[str, Outcome]:
    """Block until every job has ended. None hides another: not found, denied or timed out is an Outcome too.

    Args:
        jobs: What `wait_for` takes, each. A job that is given under two names is polled once.
        client: As in `wait_for`.
        options: Those of `wait_for`.

    Returns:
        The outcomes by the strings given; an object's key is its ARN. In the order given, without duplicates.
    """
    return Waiter(client, **options).wait_for_all(jobs)


@shows_options(SyncOptions, DEFAULTS)
def as_completed(jobs: Iterable[object], *, client: Any = None, **options: Unpack[SyncOptions]) -> Iterator[Outcome]:
    """Yield the outcome of each job as soon as it is known; like `wait_for_all`, it raises for none of them."""
    return Waiter(client, **options).as_completed(jobs)


@shows_options(SyncOptions, DEFAULTS)
def watch(
    job: object = None,
    *,
    client: Any = None,
    name_contains: str | None = None,
    since: datetime | Duration | None = None,
    until_idle: bool = False,
    **options: Unpack[SyncOptions],
) -> Iterator[Transition]:
    """Yield the transitions of a job, the first observation included, until it has ended, however it ends.

    Without a job it follows all that match in the account and region, new ones included, and does not end; how each of
    them ended is in the `Ended` event that `on_event` receives.

    Args:
        job: What `wait_for` takes; None: every job.
        client: As in `wait_for`.
        name_contains: Only jobs whose names contain this, in any case.
        since: Only jobs created since then (an aware datetime, or a duration before now), also those that have ended.
            By default those that are in progress, and new ones.
        until_idle: End when no job is in progress.
        options: Those of `wait_for`.

    Raises:
        WaitInterrupted: The watch of a job ended before the job.
        JobNotFound: As in `wait_for`.
        JobReplaced: As in `wait_for`.
        ServiceError: AWS refused, or could not be reached; a watch of all needs ListAutoMLJobs.
    """
    waiter = Waiter(client, **options)
    return waiter.watch(job, name_contains=name_contains, since=since, until_idle=until_idle)


def failure_logs(outcome: Outcome, *, session: Any = None) -> list[FailureLog]:
    """Return the logs in CloudWatch that explain why a job or its candidates failed, in at most 5 s.

    The first is that of the job that FailureReason names; then come the earliest failed candidates, three at most, each
    with another reason. It needs logs:DescribeLogStreams and logs:GetLogEvents, and
    sagemaker:ListCandidatesForAutoMLJob for the candidates. A log that cannot be read says why, in `problem`.

    Args:
        outcome: How a wait ended.
        session: A boto3 session; by default one is made, for the job's region.
    """
    return read_logs([outcome], partial(log_connections, session)).get(outcome.job, [])


def describe(job: object, *, client: Any = None) -> Snapshot:
    """Return the job as it is now: one poll, retried for at most 10 s while it fails for transient reasons.

    Raises:
        JobNotFound: There is no such job.
        JobReplaced: The name means another job than the ARN.
        ServiceError: AWS refused, or could not be reached.
    """
    return Waiter(client).describe(job)


name_publicly(Waiter, as_completed, describe, failure_logs, wait_for, wait_for_all, watch)
