"""Prefect: a task that waits for an AutoML job, with the run's logger and a Markdown artifact; sync, and for asyncio.

Both are tried again only where calls failed, for a wait changes nothing; a job that failed would be the same the next
time. The timeout counts for each try. No result is taken from a cache: a task that is run again returns the job as it
is then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from automl_waiter import aio
from automl_waiter._model.events import Event
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.text import clean, redact
from automl_waiter.integrations.results import FAILED_CALLS, logging_to, markdown_of, result_of
from automl_waiter.waiter import wait_for

try:
    from prefect import get_run_logger, task
    from prefect.artifacts import create_markdown_artifact
    from prefect.cache_policies import NO_CACHE
except ModuleNotFoundError as error:
    raise ImportError("Prefect is not installed here: pip install 'automl-waiter[prefect]'") from error


_SHARED_SETTINGS: dict[str, Any] = {
    "description": "Returns when an Amazon SageMaker AutoML job has ended.",
    # Each try has an error budget of its own.
    "retries": 3,
    "retry_delay_seconds": 60,
    "retry_condition_fn": lambda _task, _run, state: isinstance(state.data, FAILED_CALLS),
    "cache_policy": NO_CACHE,
}


@task(name="wait_for_automl_job", **_SHARED_SETTINGS)
def wait_for_automl_job(
    job: object,
    *,
    client: Any = None,
    on_event: Callable[[Event], object] | None = None,
    has_artifact: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Block until a job has ended, and return its outcome as a dict; `with_options` changes the retries.

    Args:
        job: What `wait_for` takes.
        client: A boto3 SageMaker client; by default one is made.
        on_event: As in `wait_for`.
        has_artifact: Whether to make an artifact of the outcome, in Markdown: `automl-job-` and the name in lower case.
        options: The others of `wait_for`, but `check`.

    Raises:
        AutoMLWaiterError: The job or the wait did not end as asked; see `wait_for`.
    """
    log = get_run_logger()
    outcome = wait_for(job, client=client, check=False, on_event=logging_to(log, on_event), **options)
    if has_artifact:
        try:
            create_markdown_artifact(**_artifact_of(outcome))
        except Exception as error:
            _warn_of(error, log)
    return result_of(outcome.check())


@task(name="wait_for_automl_job", **_SHARED_SETTINGS)
async def wait_for_automl_job_async(
    job: object,
    *,
    client: Any = None,
    on_event: Callable[[Event], object] | None = None,
    has_artifact: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Do the same in an asynchronous flow: many waits are in progress in one thread. Cancelling it ends the wait."""
    log = get_run_logger()
    outcome = await aio.wait_for(job, client=client, check=False, on_event=logging_to(log, on_event), **options)
    if has_artifact:
        try:
            await create_markdown_artifact(**_artifact_of(outcome))
        except Exception as error:
            _warn_of(error, log)
    return result_of(outcome.check())


def _artifact_of(outcome: Outcome) -> dict[str, str]:
    return {
        "key": f"automl-job-{outcome.job_name.lower()}",
        "markdown": markdown_of(outcome),
        "description": redact(clean(outcome.summary)),
    }


def _warn_of(error: Exception, log: Any) -> None:
    # The job took hours, and its outcome is known: no server that is away for a moment may lose it.
    log.warning("the artifact could not be made: %s", clean(f"{type(error).__name__}: {error}"))
