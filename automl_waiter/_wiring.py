"""The parts of a wait: gateways to its jobs, and their waits and listings on one kernel. Front ends start here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from automl_waiter._aws.connection import Connection, client_config, connect
from automl_waiter._aws.gateway import Boto3Gateway
from automl_waiter._aws.logs import CloudWatchLogs
from automl_waiter._engine.calls import Calls, Gateway
from automl_waiter._engine.failure_logs import Connect, LogReader, read_failure_logs
from automl_waiter._engine.following import ListedJob
from automl_waiter._engine.job_wait import JobWait
from automl_waiter._engine.kernel import Clock, Kernel
from automl_waiter._engine.listing import WORTH_LISTING, Listing, sweep_interval
from automl_waiter._engine.siblings import Siblings
from automl_waiter._engine.watch import NOTHING_EARLIER, Earlier, Matching, Watch
from automl_waiter._model.errors import AutoMLWaiterError, InvalidRequest
from automl_waiter._model.failure_logs import LINES, FailureLog
from automl_waiter._model.job_refs import JobRef, job_ref, job_refs, region_of
from automl_waiter._model.options import WaitOptions
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.snapshot import Candidate, Snapshot
from automl_waiter._model.token_bucket import DEFAULT_MAX_RATE
from automl_waiter._model.verdicts import UNDECIDED

ONE_POLL = WaitOptions(error_budget=10.0, once=True)
"""The options to report a job's present state: no grace for a missing name, and a short error budget."""

STOP_WITHIN_S = 10.0
"""The maximum time for the call that stops a job when its task is killed."""


# A view shows no more jobs than this, so the candidates of more are not worth their calls.
_MOST_VIEWED = 40


class Target(NamedTuple):
    """A job to wait for, and the gateway to it."""

    job: JobRef
    gateway: Gateway


class Gateways:
    """The gateways of a wait: the caller's client, or one for each region in an ARN.

    Args:
        client: A boto3 SageMaker client.
        connect_to: Connects to a region; None is the default region.
        max_rate: The maximum calls per second to an account and region.

    Raises:
        InvalidRequest: `client` is not a SageMaker client.
    """

    def __init__(
        self,
        client: Any = None,
        connect_to: Callable[[str | None], Connection] | None = None,
        *,
        max_rate: float = DEFAULT_MAX_RATE,
    ) -> None:
        if client is not None and not hasattr(client, "describe_auto_ml_job_v2"):
            kind = type(client).__name__
            raise InvalidRequest(f"client is a SageMaker client, boto3.client('sagemaker'), not of type {kind}")
        self._client = client
        self._max_rate = max_rate
        self._connect = connect_to or (lambda region: connect(region=region))
        self._made: dict[str | None, Gateway] = {}
        self._made_in = os.getpid()

    def default(self) -> Gateway:
        """Return the gateway to the caller's account and default region; raise InvalidRequest if there is no region."""
        return self._in_region(None)

    def of(self, job: JobRef) -> Gateway:
        """Return the gateway to a job; InvalidRequest, if there is no region or the client is for another one."""
        self._check_region(job)
        return self._in_region(job.region)

    def check(self, jobs: object) -> list[JobRef]:
        """Return the jobs that a collection refers to, without connecting.

        Raises:
            InvalidRequest: It is not a collection of jobs, an item is not a job, or the client is for another region.
        """
        refs = job_refs(jobs)
        for ref in refs:
            self._check_region(ref)
        return refs

    def targets(self, jobs: object) -> dict[str, Target]:
        """Return the targets by given name. One job under two names is one target.

        Raises:
            InvalidRequest: It is not a collection of jobs, an item is not a job, or there is no region.
        """
        key_of: dict[str, str] = {}
        targets: dict[str, Target] = {}
        by_name: dict[tuple[Gateway, str], list[str]] = {}
        for ref in job_refs(jobs):
            gateway = self.of(ref)
            namesakes = by_name.setdefault((gateway, ref.name.lower()), [])
            key = next((key for key in namesakes if _is_same(targets[key].job, ref)), ref.key)
            if key in targets:
                ref_known = targets[key].job
                # Keep the ARN and the CreationTime, whichever name they came with.
                known = {name: value or getattr(ref, name) for name, value in vars(ref_known).items() if name != "key"}
                targets[key] = Target(replace(ref_known, **known), gateway)
            else:
                namesakes.append(key)
                targets[key] = Target(ref, gateway)
            key_of[ref.key] = key
        return {given: targets[key] for given, key in key_of.items()}

    def target(self, job: object) -> Target:
        """Return one target; raise InvalidRequest if it is not a job, or there is no region."""
        ref = job_ref(job)
        return Target(ref, self.of(ref))

    def _check_region(self, job: JobRef) -> None:
        if self._client is not None and job.region not in (None, self._client.meta.region_name):
            raise InvalidRequest(
                f"{job.arn} is in {job.region}, but the client that was given is for {self._client.meta.region_name}"
            )

    def _in_region(self, region: str | None) -> Gateway:
        if self._made_in != os.getpid() and self._client is None:
            # Two processes that share a connection get each other's answers.
            self._made, self._made_in = {}, os.getpid()
        if region not in self._made:
            connection = Connection(self._client) if self._client is not None else self._connect(region)
            # One gateway for the default region and for its name, so that they share a listing.
            gateway = self._made.setdefault(connection.region, Boto3Gateway(connection, self._max_rate))
            self._made[region] = gateway
        return self._made[region]


def _is_same(one: JobRef, other: JobRef) -> bool:
    accounts, created = {one.account, other.account}, {one.created_at, other.created_at}
    return len(accounts - {None}) < 2 and len(created - {None}) < 2


def wait_kernel(targets: Iterable[Target], options: WaitOptions, clock: Clock) -> Kernel:
    """Return a kernel that waits for jobs, each once; those that share a gateway share a listing."""
    kernel, started = Kernel(clock), clock.monotonic()
    by_gateway: dict[Gateway, list[Target]] = {}
    for target in (distinct := list(dict.fromkeys(targets))):
        by_gateway.setdefault(target.gateway, []).append(target)
    listed = {
        target: ListedJob(target.job.name)
        for sharing in by_gateway.values()
        if len(sharing) >= WORTH_LISTING and sweep_interval(options) is not None
        for target in sharing
    }
    siblings = {
        gateway: Siblings(gateway, kernel, [target.job.name for target in sharing])
        for gateway, sharing in by_gateway.items()
        if options.estimate
    }
    for target in distinct:
        gateway = target.gateway
        wait = JobWait(
            target.job,
            options if len(by_gateway[gateway]) <= _MOST_VIEWED else replace(options, candidates_every=None),
            Calls(gateway, kernel, error_budget=options.error_budget),
            started=started,
            listed=listed.get(target),
            siblings=siblings.get(gateway),
            # Jobs that share a client need one warning, from the first.
            warns_of_expiry=target is by_gateway[gateway][0],
        )
        kernel.spawn(wait.run)
    for gateway, sharing in by_gateway.items():
        if jobs := [listed[target] for target in sharing if target in listed]:
            calls = Calls(gateway, kernel, error_budget=options.error_budget)
            kernel.spawn(Listing(jobs, options, calls, started=started).run, is_daemon=True)
    for past in siblings.values():
        kernel.spawn(past.read, is_daemon=True)
    return kernel


def watch_kernel(
    gateway: Gateway,
    which: Matching,
    options: WaitOptions,
    clock: Clock,
    *,
    until_idle: bool = False,
    earlier: Earlier = NOTHING_EARLIER,
) -> Kernel:
    """Return a kernel that follows every job that matches, in the account and region of a gateway."""
    kernel = Kernel(clock)
    siblings = Siblings(gateway, kernel, filter(None, [which.name_contains])) if options.estimate else None
    watch = Watch(
        which,
        options,
        Calls(gateway, kernel, error_budget=options.error_budget),
        started=clock.monotonic(),
        until_idle=until_idle,
        earlier=earlier,
        siblings=siblings,
    )
    kernel.spawn(watch.run)
    if siblings is not None:
        kernel.spawn(siblings.read, is_daemon=True)
    return kernel


def check_watch(job: object, gateways: Gateways, which: Matching, *, until_idle: bool) -> JobRef | None:
    """Return the job to watch, or None for every job that matches, without connecting.

    Raises:
        InvalidRequest: It is not a job, the client is for another region, or a choice among all jobs is combined with
            a job.
    """
    if job is None:
        return None
    if which != Matching() or until_idle:
        raise InvalidRequest("name_contains, since and until_idle choose among all jobs: give them or a job")
    return gateways.check([job])[0]


def watch_or_wait(
    job: JobRef | None, gateways: Gateways, which: Matching, options: WaitOptions, *, until_idle: bool
) -> Callable[[Clock], Kernel]:
    """Return a function that makes the kernel for a job, or for every matching job if `job` is None.

    Raises:
        InvalidRequest: There is no region, no such profile, or no such endpoint.
    """
    if job is None:
        return partial(watch_kernel, gateways.default(), which, options, until_idle=until_idle)
    return partial(wait_kernel, [gateways.target(job)], options)


def logs_kernel(
    outcomes: Iterable[Outcome],
    connect_to: Callable[[Outcome], tuple[Gateway, LogReader]],
    clock: Clock,
    found: dict[str, list[FailureLog]],
    *,
    candidates: Sequence[Candidate] | None = None,
    count: int = LINES,
) -> Kernel:
    """Return a kernel that reads the logs of what failed in these jobs into `found`, by the keys of the outcomes."""
    kernel = Kernel(clock)

    async def read(outcome: Outcome, snapshot: Snapshot) -> None:
        connect: Connect = partial(connect_to, outcome)
        with suppress(Exception):  # a log is extra: the outcome of the job is what counts
            found[outcome.job] = await read_failure_logs(kernel, snapshot, connect, candidates=candidates, count=count)

    for outcome in outcomes:
        if outcome.snapshot is not None:
            kernel.spawn(partial(read, outcome, outcome.snapshot))
    return kernel


def log_connections(session: Any, outcome: Outcome) -> tuple[Gateway, LogReader]:
    """Return the gateway to a job and the reader of its logs, from a boto3 session or by default."""
    region = region_of(outcome.arn or "")
    if session is None:
        made = connect(region=region), connect(region=region, service="logs")
    else:
        config = client_config()
        clients = [session.client(name, region_name=region, config=config) for name in ("sagemaker", "logs")]
        made = Connection(clients[0]), Connection(clients[1])
    return Boto3Gateway(made[0]), CloudWatchLogs(made[1])


async def stop_job(calls: Calls, job_name: str) -> None:
    """Call StopAutoMLJob, with retries for some seconds, and raise its error; do not wait until the job has stopped."""
    until = calls.kernel.clock.monotonic() + STOP_WITHIN_S
    answer = await calls.stop(job_name, until, is_immediate=True)
    if answer.error is not None:
        raise answer.error


def check_watched(outcome: Outcome) -> None:
    """Raise the error of a watch that ended before its job, so that it is not mistaken for the job's end."""
    if outcome.verdict in UNDECIDED:
        outcome.check()


def snapshot_of(outcome: Outcome) -> Snapshot:
    """Return the response of one poll, or raise the error that says why there is none."""
    if outcome.snapshot is None or outcome.error is not None:
        raise outcome.error or AutoMLWaiterError(outcome.summary)
    return outcome.snapshot
