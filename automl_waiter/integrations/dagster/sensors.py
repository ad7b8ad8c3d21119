"""A sensor that requests one run for each AutoML job that has ended, however it ended; no process waits meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from dagster import RunRequest, SensorResult, sensor

from automl_waiter._engine.calls import Calls
from automl_waiter._engine.listing import NEWEST_FIRST
from automl_waiter._engine.watch import LISTED_WITHIN, matching
from automl_waiter._model.events import Ended
from automl_waiter._model.options import WaitOptions
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.text import clean, redact, seconds_of
from automl_waiter._model.verdicts import DEFAULT_REQUIREMENT, Verdict, required_parts
from automl_waiter._system.machine import Machine
from automl_waiter._wiring import ONE_POLL, Gateways, wait_kernel
from automl_waiter.waiter import events_of, result_of

TAG = "automl_waiter"
"""Before the slash in the tags of a run: job_name, job_arn, status and verdict."""

_ENDS = frozenset({Verdict.COMPLETED, Verdict.DEGRADED, Verdict.FAILED, Verdict.STOPPED})
# A tick has 60 s, and the default call budget is 5 a second.
_MOST_DESCRIBED = 100
_TOLD = 5


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
    """A sensor that requests one run for each AutoML job that has ended, however it ended.

    A tick reads the newest page of the listing, and describes only the jobs that have ended. The first tick takes in
    what is in progress; the next ones tell what has ended since. The run knows its job by its tags: see `TAG`.

    Args:
        target: What is run: a Dagster job, or assets.
        name: The sensor's.
        name_contains: Only jobs whose names contain this, in any case.
        look_back: How old a job in progress may be at the first tick (seconds or timedelta); an older one is not met.
        client: A boto3 SageMaker client; by default one is made.
        require: What a verdict asks of a job, as in `wait_for`.
        run_config: Makes the run's config of the outcome.
        minimum_interval_seconds: Seconds between two ticks, at least.
        arguments: More of Dagster's `sensor`.

    Raises:
        InvalidRequest: An argument makes no sense.
    """
    matching(name_contains, look_back)
    options = WaitOptions(error_budget=ONE_POLL.error_budget, once=True, required=required_parts(require))

    @sensor(name=name, target=target, minimum_interval_seconds=minimum_interval_seconds, **arguments)
    def ticks(context):  # type: ignore[no-untyped-def]  # Dagster reads annotations
        gateways = Gateways(client)
        cursor = _Cursor.of(context.cursor)
        tick = _tick(cursor, _listed(gateways, cursor.since, look_back), name_contains or "")
        outcomes = _look_at(tick.due, gateways, options)
        ended = [outcome for outcome in outcomes if outcome.verdict in _ENDS]
        for outcome in outcomes:
            if outcome.error is not None:
                context.log.warning(redact(clean(outcome.summary)))
        # A job that was listed and is no more has no end that could be told.
        settled = {outcome.job for outcome in outcomes if outcome.verdict in (*_ENDS, Verdict.NOT_FOUND)}
        return SensorResult(
            run_requests=[_run_request(outcome, run_config) for outcome in ended],
            skip_reason=None if ended else _how_they_are(tick, outcomes),
            cursor=tick.cursor_after(settled),
        )

    return ticks


class _Cursor(NamedTuple):
    """What a tick leaves to the next.

    Attributes:
        since: Jobs that were created later may not have been shown yet (UTC); None: there was no tick.
        followed: The jobs whose end is to be told.
        told: Those of which nothing is to be told any more, as far as they may still be met.
    """

    since: datetime | None = None
    followed: Sequence[str] = ()
    told: Sequence[str] = ()

    @classmethod
    def of(cls, text: str | None) -> _Cursor:
        """The cursor of what Dagster has kept."""
        if not text:
            return cls()
        kept = json.loads(text)
        return cls(datetime.fromisoformat(kept["since"]), kept["followed"], kept["told"])


class _Listed(NamedTuple):
    """The newest jobs.

    Attributes:
        begun_at: When the first page was served (UTC).
        since: All that were created since then are among them (UTC).
        jobs: The newest first, by ARN.
    """

    begun_at: datetime
    since: datetime
    jobs: Mapping[str, Snapshot]


class _Tick(NamedTuple):
    """What a tick has to do.

    Attributes:
        since: For the next tick; see `_Cursor`.
        followed: All jobs whose end is to be told.
        told: Those that may be met again.
        due: The ones to be described now.
        shown: How the others are.
    """

    since: datetime
    followed: Sequence[str]
    told: Sequence[str]
    due: Sequence[str]
    shown: Sequence[Snapshot]

    def cursor_after(self, settled: set[str]) -> str:
        """What to leave to the next tick when these are told. Who was looked at in vain comes last then."""
        asked = set(self.due)
        waiting = [job for job in self.followed if job not in asked]
        waiting += [job for job in self.due if job not in settled]
        told = [*self.told, *sorted(settled)]
        return json.dumps({"since": self.since.isoformat(), "followed": waiting, "told": told})


def _tick(cursor: _Cursor, listed: _Listed, name_contains: str) -> _Tick:
    jobs, since_after = listed.jobs, listed.begun_at - LISTED_WITHIN
    # What had ended before the first tick is not told.
    over = cursor.told if cursor.since else [arn for arn, one in jobs.items() if one.state.is_terminal]
    met = {*cursor.followed, *over}
    new = [
        arn
        for arn, one in jobs.items()
        if arn not in met and one.created_at >= listed.since and name_contains.lower() in one.name.lower()
    ]
    # The oldest first, so that those have their turn that have waited longest.
    followed = [*cursor.followed, *reversed(new)]
    due = [arn for arn in followed if arn not in jobs or jobs[arn].state.is_terminal][:_MOST_DESCRIBED]
    return _Tick(
        since_after,
        followed,
        told=[arn for arn in over if arn in jobs and jobs[arn].created_at >= since_after],
        due=due,
        shown=[jobs[arn] for arn in followed if arn in jobs and arn not in due],
    )


def _listed(gateways: Gateways, since: datetime | None, look_back: float | timedelta) -> _Listed:
    """Reads the newest jobs, a page of them or as many as were created since then."""

    async def read(calls: Calls) -> _Listed:
        token, before = None, None
        while before is None or token:
            more: dict[str, Any] = {"NextToken": token} if token else {}
            answer = await calls.list_jobs({**NEWEST_FIRST, **more})
            if answer.error is not None:
                raise answer.error
            begun_at = before.begun_at if before else answer.served_at or answer.at
            page = [Snapshot(summary) for summary in answer.response["AutoMLJobSummaries"]]
            jobs = {**(before.jobs if before else {}), **{one.arn: one for one in page}}
            before = _Listed(begun_at, since or begun_at - timedelta(seconds=seconds_of(look_back)), jobs)
            is_enough = page and page[-1].created_at < before.since
            token = None if is_enough else answer.response.get("NextToken")
        return before

    with Machine() as machine:
        return result_of(read, gateways.default(), machine, error_budget=ONE_POLL.error_budget)


def _look_at(jobs: Sequence[str], gateways: Gateways, options: WaitOptions) -> list[Outcome]:
    if not jobs:
        return []
    targets = gateways.targets(jobs).values()
    with Machine() as machine, closing(events_of(wait_kernel(targets, options, machine), machine)) as events:
        return [event.outcome for event in events if isinstance(event, Ended)]


def _run_request(outcome: Outcome, run_config: Callable[[Outcome], Any] | None) -> Any:
    known = {
        "job_name": outcome.job_name,
        "job_arn": outcome.arn,
        "status": outcome.status,
        "verdict": outcome.verdict.value,
    }
    return RunRequest(
        # Dagster starts no second run for a key, so what two ticks show is told once.
        run_key=f"{outcome.arn} {outcome.status}",
        run_config=None if run_config is None else run_config(outcome),
        tags={f"{TAG}/{name}": value for name, value in known.items()},
    )


def _how_they_are(tick: _Tick, outcomes: Sequence[Outcome]) -> str:
    told = [f"{one.name}: {one.state}" for one in tick.shown] + [outcome.summary for outcome in outcomes]
    if not told:
        return "no job that matches is in progress"
    more = [f"and {len(told) - _TOLD} more"] if len(told) > _TOLD else []
    return redact("; ".join([*map(clean, told[:_TOLD]), *more]))
