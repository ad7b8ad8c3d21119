"""A wait in the body of an op or asset, and a ready-made op.

A Failure allows retries only if calls failed: a RetryPolicy then resumes the wait. Any other Failure would happen
again, so no policy retries it. The timeout applies to each try.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dagster import Failure, In, MetadataValue, Out, Output, op

from automl_waiter._model.errors import AutoMLWaiterError
from automl_waiter._model.events import Event
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.text import clean
from automl_waiter.integrations.results import FAILED_CALLS, logging_to, markdown_of, result_of
from automl_waiter.waiter import Waiter, wait_for


def wait_in(
    context: Any,
    job: object,
    *,
    client: Any = None,
    on_event: Callable[[Event], object] | None = None,
    **options: Any,
) -> Any:
    """Wait in the body of an op or an asset, and return its Output: the outcome as a dict, with metadata.

    Args:
        context: The context of the op or asset; its log receives the events.
        job: Any job that `wait_for` accepts.
        client: A boto3 SageMaker client; by default one is created.
        on_event: As in `wait_for`.
        options: The other options of `wait_for`, except `check`.

    Raises:
        Failure: The job or the wait did not succeed as required. It allows retries only if calls failed.
    """
    try:
        outcome = wait_for(job, client=client, on_event=logging_to(context.log, on_event), **options)
    except AutoMLWaiterError as error:
        raise Failure(
            clean(error),
            metadata=metadata_of(error.outcome) if error.outcome else None,
            allow_retries=isinstance(error, FAILED_CALLS),
        ) from error
    return Output(result_of(outcome), metadata=metadata_of(outcome))


def automl_job_op(
    name: str = "wait_for_automl_job",
    *,
    client: Any = None,
    retry_policy: Any = None,
    tags: Mapping[str, str] | None = None,
    **options: Any,
) -> Any:
    """Return an op that waits for its input `job`, from another op or from the run's config; see `wait_in`.

    Raises:
        InvalidRequest: An option is invalid.
    """
    Waiter(client, **options)  # checks the options when the code is loaded, not hours later in a run

    @op(
        name=name,
        ins={"job": In(description="The name or ARN of an AutoML job, or the response that created it")},
        out=Out(dict, description="How the job ended"),
        retry_policy=retry_policy,
        tags=tags,
        description="Wait until an Amazon SageMaker AutoML job has ended.",
    )
    def waits(context, job):  # type: ignore[no-untyped-def]  # an annotation would be a type that Dagster checks
        return wait_in(context, job, client=client, **options)

    return waits


def metadata_of(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome as metadata, named as in the result, without unknown values."""
    best = result_of(outcome)["best_candidate"] or {}
    text, number, instant = MetadataValue.text, MetadataValue.float, MetadataValue.timestamp
    took = outcome.ended_at and outcome.created_at and (outcome.ended_at - outcome.created_at).total_seconds()
    members: list[tuple[str, Callable[[Any], Any], Any]] = [
        ("verdict", text, outcome.verdict.value),
        ("job_name", text, outcome.job_name),
        ("job_arn", text, outcome.arn),
        ("status", text, outcome.status),
        ("secondary_status", text, outcome.secondary_status),
        ("best_candidate", text, best.get("name")),
        ("metric", text, best.get("metric")),
        ("value", number, best.get("value")),
        ("endpoint_name", text, outcome.endpoint_name),
        ("shortfalls", text, ", ".join(outcome.shortfalls) or None),
        ("failure_reason", text, outcome.failure_reason and clean(outcome.failure_reason)),
        ("created_at", instant, outcome.created_at),
        ("ended_at", instant, outcome.ended_at),
        ("duration_seconds", number, took),
        ("waited_seconds", number, outcome.waited),
        ("summary", MetadataValue.md, markdown_of(outcome)),
    ]
    return {name: typed(value) for name, typed, value in members if value is not None}
