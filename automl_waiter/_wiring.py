"""What a wait is made of: the gateways to its jobs, their plans and listings, in one loop. Every shell begins here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from automl_waiter._aws.connection import Connection, connect
from automl_waiter._aws.gateway import Boto3Gateway, ClosedGateway, Gateway
from automl_waiter._engine.calls import ListingPlan, Member, Stop
from automl_waiter._engine.candidate_pages import read_candidates
from automl_waiter._engine.job_wait import wait_plan
from automl_waiter._engine.kernel import Loop
from automl_waiter._engine.listing import Listing, is_worth_listing
from automl_waiter._engine.retries import Clock, steps
from automl_waiter._engine.watch import Matching, Watch
from automl_waiter._model.candidates import Leaderboard
from automl_waiter._model.errors import AccessDenied, AutoMLWaiterError, InvalidRequest
from automl_waiter._model.job_refs import JobRef, job_ref
from automl_waiter._model.options import WaitOptions
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.token_bucket import DEFAULT_MAX_RATE
from automl_waiter._model.verdicts import UNDECIDED

ONE_LOOK = WaitOptions(error_budget=10.0, once=True)
"""To see how a job is: no grace for a name that is not found, and not much patience."""

# Who kills a task waits for it no longer.
_STOP_WITHIN = 10.0

LoopOn = Callable[[Clock], Loop]
"""A wait that is ready to begin: its loop, on a clock."""


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


def waiting_for(jobs: Iterable[object], gateways: Gateways, options: WaitOptions) -> LoopOn:
    """The wait for these jobs, each once.

    Raises:
        InvalidRequest: One of them is no job, or there is no region.
    """
    refs = list({ref.key: ref for ref in map(job_ref, jobs)}.values())
    found = [gateways.of(ref) for ref in refs]
    return lambda clock: loop_of(refs, found, options, clock)


def watching(job: object, gateways: Gateways, options: WaitOptions, which: Matching, *, until_idle: bool) -> LoopOn:
    """The watch of a job; where it is None, of every job that matches.

    Raises:
        InvalidRequest: The job is none, there is no region, or there is a choice among jobs beside a job.
    """
    if job is None:
        gateway = gateways.default()
        return lambda clock: watch_loop(gateway, which, options, clock, until_idle=until_idle)
    if which != Matching() or until_idle:
        raise InvalidRequest("name_contains, since and until_idle choose among all jobs: give them or a job")
    return waiting_for([job], gateways, options)


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
        rate = gateway.bucket.max_rate
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
        max_rate=gateway.bucket.max_rate,
        random=clock.random,
        until_idle=until_idle,
        known=known,
        credentials_expire_at=gateway.credentials_expire_at,
    )
    loop = Loop(clock)
    loop.add(steps(watch.run(), gateway, clock, error_budget=options.error_budget))
    return loop


def candidates_loop(job_name: str, gateway: Gateway, clock: Clock, take: Callable[[Leaderboard], object]) -> Loop:
    """The loop that lists the candidates of a job once, all pages, and hands them over."""

    def plan() -> ListingPlan:
        reading = yield from read_candidates(job_name, deadline=None, patience=ONE_LOOK.error_budget)
        take(reading.leaderboard)

    loop = Loop(clock)
    loop.add(steps(plan(), gateway, clock, error_budget=ONE_LOOK.error_budget))
    return loop


def stopping(job: object, gateways: Gateways) -> LoopOn:
    """A loop that calls StopAutoMLJob, for some seconds if need be, and does not wait until the job has stopped.

    Whoever drives it is raised the ServiceError that the call ended with.

    Raises:
        InvalidRequest: It is no job, or there is no region.
    """
    ref = job_ref(job)
    gateway = gateways.of(ref)

    def loop_on(clock: Clock) -> Loop:
        def plan() -> ListingPlan:
            answer = yield Stop(ref.name, clock.monotonic() + _STOP_WITHIN, is_urgent=True)
            if answer.error is not None:
                raise answer.error

        loop = Loop(clock)
        loop.add(steps(plan(), gateway, clock, error_budget=_STOP_WITHIN))
        return loop

    return loop_on


def check_watched(outcome: Outcome) -> None:
    """Raises what ended a watch before its job, so that its end is not taken for the job's."""
    if outcome.verdict in UNDECIDED:
        outcome.check()


def looked_at(outcome: Outcome) -> Snapshot:
    """What one look has shown.

    Raises:
        AutoMLWaiterError: Nothing, and why.
    """
    if outcome.snapshot is None or outcome.error is not None:
        raise outcome.error or AutoMLWaiterError(outcome.summary)
    return outcome.snapshot
