"""Prefect: a task that waits for an AutoML job, with the run's logger and a Markdown artifact; sync and async.

Prefect retries both tasks only if calls failed: a retry resumes the wait, but a failed job would fail again. The
timeout applies to each try. No result comes from a cache: a task that runs again polls the job again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from automl_waiter import aio
from automl_waiter._model.events import Event
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.text import clean
from automl_waiter.integrations.results import FAILED_CALLS, logging_to, markdown_of, result_of
from automl_waiter.waiter import wait_for

try:
    from prefect import get_run_logger, task
    from prefect.artifacts import create_markdown_artifact
    from prefect.cache_policies import NO_CACHE
except ModuleNotFoundError as error:
    raise ImportError("Prefect is not installed: pip install prefect") from error


_SHARED_SETTINGS: dict[str, Any] = {
    "description": "Wait until an Amazon SageMaker AutoML job has ended.",
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
    """Wait until a job has ended, and return its outcome as a dict; `with_options` changes the retries.

    Args:
        job: Any job that `wait_for` accepts.
        client: A boto3 SageMaker client; by default one is created.
        on_event: As in `wait_for`.
        has_artifact: Whether to make a Markdown artifact, `automl-job-` and the job's name in lower case.
        options: The other options of `wait_for`, except `check`.

    Raises:
        AutoMLWaiterError: The job or the wait did not succeed as required; see `wait_for`.
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
    """Do the same in an asynchronous flow, where many waits share one thread: prefer it for dozens of jobs.

    Cancelling the task ends the wait.
    """
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
        "description": clean(outcome.summary),
    }


def _warn_of(error: Exception, log: Any) -> None:
    # The outcome of hours of work is known: a server that is down for a moment must not lose it.
    log.warning("could not create the artifact: %s", clean(f"{type(error).__name__}: {error}"))
