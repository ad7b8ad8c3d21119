# pyright: strict
"""Typed uses of the public names: checked by mypy and pyright, never run."""

from datetime import timedelta

from automl_waiter import (
    Fixed,
    Outcome,
    PollContext,
    Snapshot,
    Transition,
    WaitTimeout,
    aio,
    as_completed,
    failure_logs,
    wait_for,
    watch,
)
from automl_waiter.testing import Timeline, simulate


class MyPolicy:
    def next_delay(self, context: PollContext, /) -> float:
        return 10.0 if context.snapshot.secondary_status == "DeployingModel" else 60.0


def use() -> None:
    def good_enough(snapshot: Snapshot) -> bool:
        best = snapshot.best_candidate
        return best is not None and best.objective is not None and best.objective.value > 0.9

    def tell(change: Transition) -> None:
        name: str = change.after.secondary_status
        print(name)

    outcome: Outcome = wait_for("a", timeout=timedelta(hours=1), poll=MyPolicy(), until=good_enough, on_transition=tell)
    wait_for({"AutoMLJobArn": "arn"}, timeout="auto", poll=Fixed(30), stop_on=["until", "timeout"], require="all")
    code: int = outcome.exit_code
    best = outcome.best_candidate
    value: float = best.objective.value if best and best.objective else 0.0
    for ended in as_completed(["a", "b"], timeout=code):
        print(ended.shortfalls, value)
    for change in watch("a"):
        tell(change)
    for change in watch(name_contains="nightly-", since=timedelta(hours=2), until_idle=True, max_rate=2.0):
        tell(change)
    try:
        outcome.check()
    except WaitTimeout as error:
        print(error.outcome and error.outcome.waited)
    ok: bool = wait_for(outcome, timeout="5m", poll="30s", max_rate=2).ok
    estimate = wait_for("a", estimate=True, check=False).estimate
    print(estimate and estimate.ends_at - estimate.earliest)
    wait_for("a", good_enough=0.9, stop_on="timeout", timeout="6h")
    lines: tuple[str, ...] = failure_logs(outcome)[0].lines
    print(lines)
    lag: float | None = simulate(Timeline([(0, "Completed", "Completed")])).lag
    print(lag, ok)


def misuse() -> None:
    """A type checker finds a misspelled option and a misspelled word in it."""
    wait_for("a", timout=4)  # type: ignore[call-arg]
    wait_for("a", require="endpont")  # type: ignore[arg-type]
    as_completed(["a"], stop_on=["untill"])  # type: ignore[list-item]
    aio.Waiter(cancel_event=None)  # type: ignore[call-arg]


async def use_asyncio() -> None:
    outcome: Outcome = await aio.wait_for("a")
    async for change in aio.watch("a"):
        print(change.after, outcome.verdict)
