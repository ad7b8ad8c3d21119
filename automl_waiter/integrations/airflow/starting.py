"""The start of a task's job: once for all its tries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from automl_waiter._aws.errors import from_code, from_sdk
from automl_waiter._model.errors import InvalidRequest, ServiceUnavailable, TransientError
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.statuses import Status
from automl_waiter._model.text import clean

IfExists = Literal["resume", "fail", "increment"]

# The task state with the job that a task has started, or was about to start.
_KEY = "automl_job"
_LONGEST_NAME = 32
_MOST_NUMBERS = 100
# AWS accepts a clock that is wrong by as much.
_CLOCK_SKEW = timedelta(minutes=5)
_OPERATION = "CreateAutoMLJobV2"


class Started(NamedTuple):
    """The job of a task: its ARN, and whether it was `started`, `resumed`, or `incremented`: started as NAME-2."""

    job: str
    origin: str


def start_job(
    client: Any, request: object, if_exists: IfExists, context: Any, describe: Callable[[str], Snapshot]
) -> Started:
    """Start the job of a task, or return the one that the task has started before.

    Args:
        client: A boto3 SageMaker client, with the SDK's retries.
        request: The request of CreateAutoMLJobV2.
        if_exists: What to do if the name is taken.
        context: The task's context.
        describe: Describes a job.

    Raises:
        InvalidRequest: The request is invalid, or its name is taken by a job that this task did not start.
        AutoMLWaiterError: AWS denied the call, or could not be reached.
    """
    if not isinstance(request, Mapping):
        raise InvalidRequest(
            f"request must be a mapping, not of type {type(request).__name__}: a template of the whole request needs a "
            "DAG with render_template_as_native_obj=True"
        )
    name = clean(request.get("AutoMLJobName", ""))
    tries = _Tries(context, name, is_resuming=if_exists != "fail")
    if tries.job is not None:
        if if_exists == "resume" or describe(tries.job).status not in (Status.FAILED, Status.STOPPED):
            return Started(tries.job, "resumed")
        tries.since = None
    for number in range(1, _MOST_NUMBERS + 1):
        tried = name if number == 1 else _numbered(name, number)
        tries.begin()
        with _raising_our_errors(client, tried):
            try:
                response = client.create_auto_ml_job_v2(**{**request, "AutoMLJobName": tried} if tried else request)
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceInUse":
                    raise
                since = tries.refused(was_repeated=bool(error.response["ResponseMetadata"].get("RetryAttempts")))
            else:
                tries.succeeded(response["AutoMLJobArn"])
                return Started(response["AutoMLJobArn"], "started" if number == 1 else "incremented")
        if since is not None and (job := describe(tried)).created_at >= since:
            return Started(job.arn, "resumed")
        if if_exists != "increment":
            break
    raise InvalidRequest(
        f"a job {tried} exists already, and this task did not start it: give another name, wait for it with job=, "
        'or set if_exists="increment"'
    )


class _Tries:
    """What the tries of a task know about its job. A worker may die between the call and its answer.

    Airflow keeps it since 3.3. Before that, whatever was created since the run has begun counts as the task's.

    Attributes:
        job: The ARN of the job that an earlier try has started.
        since: A job of that name, if created since then, may be the task's; None: it is not.
    """

    def __init__(self, context: Any, name: str, *, is_resuming: bool) -> None:
        self._store = context.get("task_state_store")
        self._name = name
        self.job: str | None = None
        self.since: datetime | None = None
        if not is_resuming:
            return
        if self._store is None:
            self.since = context["dag_run"].start_date
            return
        known = self._store.get(_KEY) or {}
        if known.get("name") == name:
            self.job, self.since = known["job"], datetime.fromisoformat(known["since"])

    def begin(self) -> None:
        """Note that the task is about to start its job."""
        self._begun = datetime.now(UTC) - _CLOCK_SKEW
        if self.since is None:
            self._note(None, self._begun)

    def succeeded(self, job: str) -> None:
        """Note the job."""
        self._note(job, self._begun)

    def refused(self, *, was_repeated: bool) -> datetime | None:
        """Return since when a job of the refused name may be the task's own.

        `was_repeated`: the SDK repeated the call, so the first answer may be lost.
        """
        since = self.since or (self._begun if was_repeated else None)
        if since is None and self._store is not None:
            self._store.delete(_KEY)
        return since

    def _note(self, job: str | None, since: datetime) -> None:
        if self._store is not None:
            self._store.set(_KEY, {"name": self._name, "job": job, "since": since.isoformat()})


def _numbered(name: str, number: int) -> str:
    suffix = f"-{number}"
    return name[: _LONGEST_NAME - len(suffix)].rstrip("-") + suffix


@contextmanager
def _raising_our_errors(client: Any, name: str) -> Iterator[None]:
    try:
        yield
        return
    except ClientError as error:
        code = error.response["Error"]["Code"]
        problem = from_code(error, _OPERATION, name, client.meta.region_name, datetime.now(UTC))
        # A quota of concurrent jobs: it has room again when another job ends.
        is_retryable = code == "ResourceLimitExceeded"
    except BotoCoreError as error:
        problem, is_retryable = from_sdk(error), False
    if is_retryable or isinstance(problem, TransientError):
        raise ServiceUnavailable(f"{_OPERATION} failed: {problem}", code=getattr(problem, "code", None))
    raise problem
