"""A sensor that requests one run for each AutoML job that has ended, however it ended. No process waits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from dagster import RunRequest, SensorResult, sensor

from automl_waiter._engine.calls import Calls
from automl_waiter._engine.listing import NEWEST_FIRST
from automl_waiter._engine.watch import LISTED_WITHIN, matching
from automl_waiter._model.events import Ended, Retry
from automl_waiter._model.options import WaitOptions
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.text import clean, format_duration, seconds_of
from automl_waiter._model.verdicts import DEFAULT_REQUIREMENT, Verdict, required_parts
from automl_waiter._system.machine import Machine
from automl_waiter._wiring import ONE_POLL, Gateways, wait_kernel
from automl_waiter.waiter import events_of, result_of

TAG = "automl_waiter"
"""The prefix of a run's tags: `TAG/job_name`, `TAG/job_arn`, `TAG/status` and `TAG/verdict`."""

_ENDS = frozenset({Verdict.COMPLETED, Verdict.DEGRADED, Verdict.FAILED, Verdict.STOPPED})
# Dagster ends a tick after 60 s and drops its cursor. What is known by then is returned, and the rest is left for the
# next tick.
_TICK_S = 40.0
# The default rate limit is 5 calls a second.
_MOST_DESCRIBED = 100
_MOST_SHOWN = 5


def automl_job_sensor(
    target: Any,
    *,
    name: str = "automl_jobs",
    name_contains: str | None = None,
    look_back: float | timedelta = timedelta(days=7),
    client: Any = None,
    require: str | Iterable[str] = DEFAULT_REQUIREMENT,
    run_config: Callable[[Outcome], Any] | None = None,
    minimum_interval_seconds: int = 60,
    **arguments: Any,
) -> Any:
    """Return a sensor that requests one run for each AutoML job that has ended, however it ended.

    A tick reads the newest page of the listing, and describes only the jobs that have ended. The first tick notes the
    jobs in progress; each later tick requests a run for every job that has ended since. The run's tags name its
    job: see `TAG`. A tick ends after 40 seconds: jobs that AWS has not described by then are left for the next one.

    Args:
        target: The Dagster job or assets to run.
        name: The sensor's name.
        name_contains: Only jobs whose names contain this, in any case.
        look_back: The maximum age of a job in progress at the first tick (seconds or timedelta); older ones are left
            out.
        client: A boto3 SageMaker client; by default one is created.
        require: The required parts of a success, as in `wait_for`.
        run_config: Makes the run's config from the outcome.
        minimum_interval_seconds: Seconds between two ticks, at least.
        arguments: Other arguments of Dagster's `sensor`.

    Raises:
        InvalidRequest: An argument is invalid.
    """
    matching(name_contains, look_back)
    options = WaitOptions(error_budget=_TICK_S, once=True, required=required_parts(require))
    part_of_name = (name_contains or "").lower()
    oldest = timedelta(seconds=seconds_of(look_back))

    @sensor(name=name, target=target, minimum_interval_seconds=minimum_interval_seconds, **arguments)
    def ticks(context):  # type: ignore[no-untyped-def]  # Dagster reads annotations
        gateways = Gateways(client)
        machine = Machine()
        deadline = machine.monotonic() + _TICK_S
        cursor = _Cursor.of(context.cursor)
        read_at, jobs = _newest_jobs(gateways, cursor.since or oldest, machine, deadline)
        # A job that had ended before the first tick gets no run.
        told = cursor.told if cursor.since else [arn for arn, job in jobs.items() if job.state.is_terminal]
        known, since = {*cursor.followed, *told}, cursor.since or read_at - oldest
        new = [
            arn
            for arn, job in jobs.items()
            if arn not in known and job.created_at >= since and part_of_name in job.name.lower()
        ]
        # The jobs that have waited longest come first.
        followed = [*cursor.followed, *reversed(new)]
        due = [arn for arn in followed if arn not in jobs or jobs[arn].state.is_terminal][:_MOST_DESCRIBED]
        outcomes, failure = _outcomes_of(due, gateways, options, machine, deadline)
        late = [outcome for outcome in outcomes if outcome.verdict is Verdict.TIMED_OUT]
        settled = [outcome for outcome in outcomes if outcome not in late]
        summaries = [outcome.summary for outcome in settled]
        problems = [outcome.summary for outcome in settled if outcome.error is not None]
        if late:
            some = "1 job was" if len(late) == 1 else f"{len(late)} jobs were"
            why = f": {failure.kind}: {failure.message}" if failure else ""
            words = f"{some} not described within {format_duration(_TICK_S)}; the next tick tries again{why}"
            summaries.append(words)
            problems.append(words)
        for problem in problems:
            context.log.warning(clean(problem))
        ended = [outcome for outcome in outcomes if outcome.verdict in _ENDS]
        shown = [f"{jobs[arn].name}: {jobs[arn].state}" for arn in followed if arn in jobs and arn not in due]
        # A job that was listed and no longer exists has no end to report.
        done = {outcome.job for outcome in outcomes if outcome.verdict in (*_ENDS, Verdict.NOT_FOUND)}
        # A job that could not be described comes last in the next tick.
        waiting = [arn for arn in followed if arn not in due] + [arn for arn in due if arn not in done]
        new_since = read_at - LISTED_WITHIN
        new_told = [arn for arn in told if arn in jobs and jobs[arn].created_at >= new_since] + sorted(done)
        return SensorResult(
            run_requests=[_run_request(outcome, run_config) for outcome in ended],
            skip_reason=None if ended else _skip_reason(shown + summaries),
            cursor=_Cursor(new_since, waiting, new_told).text,
        )

    return ticks


class _Cursor(NamedTuple):
    """The state that a tick passes to the next.

    Attributes:
        since: Jobs created later may not have been listed yet (UTC); None before the first tick.
        followed: The ARNs of the jobs whose end is still to be reported.
        told: The ARNs of jobs that need no run any more, and may still be listed as new.
    """

    since: datetime | None = None
    followed: Sequence[str] = ()
    told: Sequence[str] = ()

    @classmethod
    def of(cls, text: str | None) -> _Cursor:
        """Return the cursor from its text."""
        if not text:
            return cls()
        kept = json.loads(text)
        return cls(datetime.fromisoformat(kept["since"]), kept["followed"], kept["told"])

    @property
    def text(self) -> str:
        """The cursor as text, for Dagster to store."""
        return json.dumps(self._asdict(), default=datetime.isoformat)


def _newest_jobs(
    gateways: Gateways, since: datetime | timedelta, machine: Machine, deadline: float
) -> tuple[datetime, Mapping[str, Snapshot]]:
    """Return when the listing was read (UTC), and its newest jobs by ARN: a page, or all created since `since`."""

    async def read(calls: Calls) -> tuple[datetime, Mapping[str, Snapshot]]:
        jobs: dict[str, Snapshot] = {}
        read_at, request = None, dict[str, Any](NEWEST_FIRST)
        while True:
            answer = await calls.list_jobs(request, deadline)
            if answer.error is not None:
                raise answer.error
            read_at = read_at or answer.served_at or answer.at
            page = [Snapshot(summary) for summary in answer.response["AutoMLJobSummaries"]]
            jobs |= {job.arn: job for job in page}
            token = answer.response.get("NextToken")
            oldest = since if isinstance(since, datetime) else read_at - since
            if not token or (page and page[-1].created_at < oldest):
                return read_at, jobs
            request = {**NEWEST_FIRST, "NextToken": token}

    return result_of(read, gateways.default(), machine, error_budget=ONE_POLL.error_budget)


def _outcomes_of(
    jobs: Sequence[str], gateways: Gateways, options: WaitOptions, machine: Machine, deadline: float
) -> tuple[list[Outcome], Retry | None]:
    """Describe the jobs, and return their outcomes and the last failure of a call."""
    targets = gateways.targets(jobs).values()
    options = replace(options, timeout=max(0.0, deadline - machine.monotonic()))
    outcomes: list[Outcome] = []
    failure: Retry | None = None
    with closing(events_of(wait_kernel(targets, options, machine), machine)) as events:
        for event in events:
            match event:
                case Ended(outcome=outcome):
                    outcomes.append(outcome)
                case Retry():
                    failure = event
    return outcomes, failure


def _run_request(outcome: Outcome, run_config: Callable[[Outcome], Any] | None) -> Any:
    return RunRequest(
        # Dagster starts no second run for a key, so an end that two ticks report starts one run.
        run_key=f"{outcome.arn} {outcome.status}",
        run_config=None if run_config is None else run_config(outcome),
        tags={
            f"{TAG}/job_name": outcome.job_name,
            f"{TAG}/job_arn": outcome.arn,
            f"{TAG}/status": outcome.status,
            f"{TAG}/verdict": outcome.verdict.value,
        },
    )


def _skip_reason(states: Sequence[str]) -> str:
    if not states:
        return "no matching job is in progress"
    more = [f"and {len(states) - _MOST_SHOWN} more"] if len(states) > _MOST_SHOWN else []
    return "; ".join([*map(clean, states[:_MOST_SHOWN]), *more])
