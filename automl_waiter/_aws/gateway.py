"""One attempt of one call to AWS: its errors by class, its responses checked."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from automl_waiter._aws.bodies import REMOVED
from automl_waiter._aws.configuration import explanation
from automl_waiter._aws.connection import Connection
from automl_waiter._aws.errors import from_code, from_sdk, is_for_credentials, quoted, raised_in
from automl_waiter._aws.sources import is_from_source, source_failure
from automl_waiter._aws.token_buckets import bucket_of
from automl_waiter._model.errors import AccessDenied, CredentialsExpired, InvalidRequest, TransientError, TransientKind
from automl_waiter._model.job_refs import region_of
from automl_waiter._model.snapshot import Candidate, Snapshot, readable, unreadable_in, with_unreadable
from automl_waiter._model.text import nearest_name
from automl_waiter._model.token_bucket import DEFAULT_MAX_RATE, TokenBucket

# What no wait can do without. A 200 with a cut or foreign body parses to an empty dict.
_REQUIRED = (
    "AutoMLJobName",
    "AutoMLJobArn",
    "AutoMLJobStatus",
    "AutoMLJobSecondaryStatus",
    "CreationTime",
    "LastModifiedTime",
)

_METHODS = {
    "DescribeAutoMLJobV2": "describe_auto_ml_job_v2",
    "StopAutoMLJob": "stop_auto_ml_job",
    "ListAutoMLJobs": "list_auto_ml_jobs",
    "ListCandidatesForAutoMLJob": "list_candidates_for_auto_ml_job",
    "DescribeEventBus": "describe_event_bus",
    "PutEvents": "put_events",
    "DescribeLogStreams": "describe_log_streams",
    "GetLogEvents": "get_log_events",
}


class Caller:
    """Calls AWS through a boto3 client. Each call is one attempt, and each failure is one of our errors."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.region = connection.region
        self._was_answered = False

    def _call(self, operation: str, subject: str, **arguments: Any) -> Any:
        """Return the response of an operation on the job or bus named `subject`."""
        client, called_at = self._connection.client, datetime.now(UTC)
        try:
            self._connection.learn_secrets()
            return getattr(client, _METHODS[operation])(**arguments)
        except Exception as error:
            problem = self._problem_with(error, operation, subject, client, called_at)
        finally:
            # They may have been refreshed, and what is answered may repeat them.
            with suppress(AccessDenied):
                self._connection.learn_secrets()
        if is_for_credentials(problem):
            self._connection.refused()
        # Not in a handler: the SDK's error may repeat a secret, and a traceback would print it.
        raise problem

    def _problem_with(
        self, error: Exception, operation: str, subject: str, client: Any, called_at: datetime
    ) -> Exception:
        """Return the error for an exception of the call."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        if isinstance(error, AccessDenied):
            return error
        if is_from_source(error):
            return source_failure(error, was_answered=self._was_answered, profile=self._connection.profile)
        if isinstance(error, ClientError):
            problem = from_code(error, operation, subject, self.region, called_at)
            return self._waiting_for_credentials(problem, client, answered=True)
        if (explained := explanation(error, client, was_answered=self._was_answered)) is not None:
            return explained
        if isinstance(error, BotoCoreError | ResponseParserError | OSError | EOFError):
            return self._waiting_for_credentials(from_sdk(error), client, answered=False)
        # The SDK's failures on a body of unexpected form. An exception from anywhere else did not come from a response.
        code = type(error).__name__
        if isinstance(error, RecursionError):
            return TransientError(TransientKind.RESPONSE, "the response is nested too deeply: not from AWS")
        if raised_in(error) in ("botocore.parsers", "botocore.utils"):
            return TransientError(TransientKind.RESPONSE, f"{code}: not the JSON that it should be", code=code)
        return InvalidRequest(f"{operation} cannot be called ({code}: {quoted(error)})", code=code)

    def _waiting_for_credentials(self, problem: Exception, client: Any, *, answered: bool) -> Exception:
        """Return a transient error if `problem` is expired credentials that can be renewed; otherwise `problem`.

        `answered` is False if there were no credentials at all: a failed login, unless an earlier call succeeded.
        """
        if not isinstance(problem, CredentialsExpired) or not (answered or self._was_answered):
            return problem
        if not self._connection.renew(client):
            return problem
        return TransientError(TransientKind.CREDENTIALS, f"{problem}; trying to get new ones", code=problem.code)


class Boto3Gateway(Caller):
    """A gateway that calls a boto3 SageMaker client."""

    def __init__(self, connection: Connection, max_rate: float = DEFAULT_MAX_RATE) -> None:
        super().__init__(connection)
        self.bucket: TokenBucket = bucket_of(connection, max_rate)

    @property
    def credentials_expire_at(self) -> datetime | None:
        """When the credentials are known to expire (UTC)."""
        return self._connection.credentials_expire_at

    def describe(self, job_name: str) -> Mapping[str, Any]:
        """Return the response of DescribeAutoMLJobV2."""
        response = self._call("DescribeAutoMLJobV2", job_name, AutoMLJobName=job_name)
        response = _job_in(response, job_name, self.region)
        self._was_answered = True
        return response

    def stop(self, job_name: str) -> None:
        """Call StopAutoMLJob."""
        response = self._call("StopAutoMLJob", job_name, AutoMLJobName=job_name)
        # The response is empty, and so is a captive portal's page; but AWS sends a request id.
        if response and not response.get("ResponseMetadata", {}).get("RequestId"):
            raise TransientError(TransientKind.RESPONSE, "the response has no request id: not from AWS")

    def find_name(self, job_name: str) -> str | None:
        """Return the name most similar to `job_name` among the 100 newest jobs: itself, if it is there."""
        newest = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 100}
        page = _jobs_in(self._call("ListAutoMLJobs", job_name, **newest), self.region)
        return nearest_name(job_name, (job["AutoMLJobName"] for job in page["AutoMLJobSummaries"]))

    def list_jobs(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the response of ListAutoMLJobs: a page."""
        page = _jobs_in(self._call("ListAutoMLJobs", "", **request), self.region)
        self._was_answered = True
        return page

    def list_candidates(self, job_name: str, token: str | None) -> Mapping[str, Any]:
        """Return the response of ListCandidatesForAutoMLJob: the first page, or the one for `token`."""
        more = {} if token is None else {"NextToken": token}
        return _candidates_in(
            self._call("ListCandidatesForAutoMLJob", job_name, AutoMLJobName=job_name, MaxResults=100, **more)
        )


# The one way in: each response is checked value by value, and against its request. A proxy, a mock, or a connection
# that two processes share can answer with the response to another request.


def _job_in(response: Any, job_name: str, region: object) -> Mapping[str, Any]:
    """Return a response of DescribeAutoMLJobV2 without the members that cannot be read.

    Args:
        response: The response.
        job_name: The requested name.
        region: The region that was called; text, unless a test replaces the client.

    Raises:
        TransientError: A required member is absent or cannot be read, or the response is about another job.
    """
    job = readable(_mapping(response))
    for member in _REQUIRED:
        if job.get(member) is None:
            is_there = member in unreadable_in(job)
            words = f"the response's {member} cannot be read" if is_there else f"the response lacks {member}"
            raise TransientError(TransientKind.RESPONSE, f"{words}: cut short, or not from AWS")
    if problem := _foreign(job, job_name, region):
        raise TransientError(TransientKind.FOREIGN, problem)
    return job


def _jobs_in(response: Any, region: object) -> Mapping[str, Any]:
    """Return a page of ListAutoMLJobs without the summaries that are of no use, of which it carries the names.

    Raises:
        TransientError: It is no page of jobs.
    """
    page = _mapping(response)
    summaries = page.get("AutoMLJobSummaries")
    jobs, left_out = [], []
    for summary in summaries if isinstance(summaries, list) else ():
        job = readable(summary) if isinstance(summary, Mapping) else {}
        name = job.get("AutoMLJobName")
        missing = next((member for member in _REQUIRED if job.get(member) is None), None)
        if missing is None and not _foreign(job, job["AutoMLJobName"], region):
            jobs.append(job)
        elif name is not None and job.get("AutoMLJobArn") is not None:
            left_out.append(f"{name} ({missing or 'AutoMLJobArn'})")
    if not isinstance(summaries, list) or (summaries and not jobs and not left_out):
        raise TransientError(TransientKind.RESPONSE, "the response is not a page of jobs: cut short, or not from AWS")
    return with_unreadable({**page, "AutoMLJobSummaries": jobs}, left_out)


def _candidates_in(response: Any) -> Mapping[str, Any]:
    """Return a page of ListCandidatesForAutoMLJob without the members that cannot be read, of which it has the names.

    Raises:
        TransientError: It is no page of candidates.
    """
    page = _mapping(response)
    listed = page.get("Candidates")
    if not isinstance(listed, list):
        raise TransientError(
            TransientKind.RESPONSE, "the response is not a page of candidates: cut short, or not from AWS"
        )
    candidates = [readable(one, Candidate) for one in listed if isinstance(one, Mapping)]
    unreadable = dict.fromkeys(name for one in candidates for name in unreadable_in(one))
    whole = [one for one in candidates if one.get("CandidateName") is not None]
    return with_unreadable({**page, "Candidates": whole}, list(unreadable))


def _mapping(response: Any) -> Mapping[str, Any]:
    if not isinstance(response, Mapping):
        kind = type(response).__name__
        raise TransientError(TransientKind.RESPONSE, f"the response is of type {kind}: not from AWS")
    kept = {name: value for name, value in response.items() if name != REMOVED}
    return with_unreadable(kept, response[REMOVED]) if REMOVED in response else response


def _foreign(job: Mapping[str, Any], job_name: str, region: object) -> str | None:
    """Return how a response is about another job than the requested one; None if it is not."""
    snapshot = Snapshot(job)
    their_name, their_arn = snapshot.name, snapshot.arn
    # Names and ARNs are compared without case: the service does so, and wrote ARNs in lower case until 2022.
    _, is_arn, name_in_arn = their_arn.lower().rpartition(":automl-job/")
    if their_name.lower() != job_name.lower() or (is_arn and name_in_arn != job_name.lower()):
        return f"the response is about the job {quoted(their_name)} ({quoted(their_arn)}), not about {job_name}"
    if is_arn and isinstance(region, str) and region_of(their_arn) != region:
        return f"the response is about {quoted(their_arn)}, not about a job in {region}"
    return None
