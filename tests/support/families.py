"""Waits for jobs whose families have ended before, in virtual time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from listing_service import Job, Service, script
from virtual import run

from automl_waiter import Event
from automl_waiter._model.options import wait_options
from automl_waiter.testing import ManualClock

HOUR = 3600.0


def past() -> list[Job]:
    """Return six jobs, one a day, that took about an hour each."""
    return [Job(f"churn-{number}", -HOUR * 24 * number, script(HOUR + 20 * (-1) ** number)) for number in range(1, 7)]


def running(*names: str, end: float = HOUR, created: float = -600.0) -> list[Job]:
    return [Job(name, created, script(end)) for name in names]


FIVE, MANY = [f"churn-{number}" for number in range(7, 12)], [f"churn-{number}" for number in range(7, 20)]


def waited(
    *names: str,
    jobs: list[Job] | None = None,
    clock: ManualClock | None = None,
    change: Callable[[Service], None] = lambda _: None,
    **options: Any,
) -> tuple[list[Event], Service]:
    """Return the events of a wait with estimates, and the service."""
    clock, names = clock or ManualClock(), names or ("churn-7",)
    service = Service(clock, [*past(), *(running(*names) if jobs is None else jobs)], max_rate=10)
    change(service)
    once = options.pop("once", False)
    checked = replace(wait_options(**{"estimate": True, **options}), once=once)
    return run(names, [service] * len(names), checked, clock), service
