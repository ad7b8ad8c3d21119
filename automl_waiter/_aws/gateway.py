"""One attempt of one call to AWS, with its errors by class."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NoReturn

from automl_waiter._aws.connection import Connection
from automl_waiter._aws.errors import from_code, from_sdk, quoted, raised_in
from automl_waiter._aws.token_buckets import bucket_of
from automl_waiter._model.errors import AccessDenied, CredentialsExpired, InvalidRequest, TransientError, TransientKind
from automl_waiter._model.text import nearest_names
from automl_waiter._model.token_bucket import DEFAULT_MAX_RATE, TokenBucket

# The required members of a snapshot: a 200 with a cut or foreign body parses to an empty dict.
_REQUIRED = (
    "AutoMLJobName",
    "AutoMLJobArn",
    "AutoMLJobStatus",
    "AutoMLJobSecondaryStatus",
    "CreationTime",
    "LastModifiedTime",
)
_CANDIDATE_MEMBERS = ("CandidateName", "CandidateStatus", "CreationTime")

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
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        client, called_at = self._connection.client, datetime.now(UTC)
        try:
            self._connection.learn_secrets()
            return getattr(client, _METHODS[operation])(**arguments)
        except AccessDenied as error:
            problem: Exception = error
        except ClientError as error:
            problem = self._waiting_for_credentials(
                from_code(error, operation, subject, self.region, called_at), client, answered=True
            )
        except (BotoCoreError, ResponseParserError, OSError, EOFError) as error:
            problem = self._waiting_for_credentials(from_sdk(error), client, answered=False)
        except Exception as error:
            # The SDK's failures on a body of unexpected form, and on an environment whose credentials have expired by
            # their own date. An exception from anywhere else did not come from a response.
            match raised_in(error):
                case "botocore.parsers" | "botocore.utils":
                    said = f"{type(error).__name__}: not the JSON that it should be"
                    problem = TransientError(TransientKind.RESPONSE, said, code=type(error).__name__)
                case "botocore.credentials":
                    expired = CredentialsExpired(f"the credentials have expired ({quoted(error)}): renew them")
                    problem = self._waiting_for_credentials(expired, client, answered=True)
                case _:
                    said = f"{type(error).__name__}: {quoted(error)}"
                    problem = InvalidRequest(f"{operation} cannot be called ({said})", code=type(error).__name__)
        finally:
            # They may have been refreshed, and what is answered may repeat them.
            with suppress(AccessDenied):
                self._connection.learn_secrets()
        # Not in a handler: the SDK's error may repeat a secret, and a traceback would print it.
        raise problem

    def _waiting_for_credentials(self, problem: Exception, client: Any, *, answered: bool) -> Exception:
        """Return a transient error if `problem` is expired credentials that can be renewed; otherwise `problem`.

        `answered` is False if there were no credentials at all: a failed login, unless an earlier call succeeded.
        """
        if not isinstance(problem, CredentialsExpired) or not (answered or self._was_answered):
            return problem
        if not self._connection.renew(client):
            return problem
        return TransientError(TransientKind.CREDENTIALS, f"{problem}; new ones are looked for", code=problem.code)


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
        response: Mapping[str, Any] = self._call("DescribeAutoMLJobV2", job_name, AutoMLJobName=job_name)
        missing = [member for member in _REQUIRED if response.get(member) is None]
        if missing:
            raise TransientError(TransientKind.RESPONSE, f"the response lacks {missing[0]}: cut short, or not from AWS")
        self._was_answered = True
        return response

    def stop(self, job_name: str) -> None:
        """Call StopAutoMLJob."""
        response = self._call("StopAutoMLJob", job_name, AutoMLJobName=job_name)
        # The response is empty, and so is a captive portal's page; but AWS sends a request id.
        if response and not response.get("ResponseMetadata", {}).get("RequestId"):
            raise TransientError(TransientKind.RESPONSE, "the response has no request id: not from AWS")

    def find_names(self, job_name: str) -> list[str]:
        """Return the nearest names among the 100 newest jobs, three at most."""
        page = self._call("ListAutoMLJobs", job_name, SortBy="CreationTime", SortOrder="Descending", MaxResults=100)
        jobs = page.get("AutoMLJobSummaries") or ()
        return nearest_names(job_name, (job["AutoMLJobName"] for job in jobs if "AutoMLJobName" in job))

    def list_jobs(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the response of ListAutoMLJobs: a page."""
        page: Mapping[str, Any] = self._call("ListAutoMLJobs", "", **request)
        jobs = page.get("AutoMLJobSummaries")
        whole = [job for job in jobs or () if all(job.get(member) is not None for member in _REQUIRED)]
        if jobs is None or (jobs and not whole):
            raise TransientError(TransientKind.RESPONSE, "the response is no page of jobs: cut short, or not from AWS")
        self._was_answered = True
        # A job with an incomplete summary is treated as if it were not listed.
        return {**page, "AutoMLJobSummaries": whole}

    def list_candidates(self, job_name: str, token: str | None) -> Mapping[str, Any]:
        """Return the response of ListCandidatesForAutoMLJob: the first page, or the one for `token`."""
        more = {} if token is None else {"NextToken": token}
        page: Mapping[str, Any] = self._call(
            "ListCandidatesForAutoMLJob", job_name, AutoMLJobName=job_name, MaxResults=100, **more
        )
        if page.get("Candidates") is None:
            raise TransientError(
                TransientKind.RESPONSE, "the response is no page of candidates: cut short, or not from AWS"
            )
        whole = [one for one in page["Candidates"] if all(one.get(member) is not None for member in _CANDIDATE_MEMBERS)]
        return {**page, "Candidates": whole}


class ClosedGateway:
    """A gateway without credentials. Every call fails, so that each job reports the reason."""

    region = ""
    credentials_expire_at: datetime | None = None

    def __init__(self, reason: AccessDenied) -> None:
        self._reason = reason
        self.bucket = TokenBucket()

    def describe(self, *_: object) -> NoReturn:
        """Raise AccessDenied."""
        # Each job needs an error of its own, because an error carries the job's outcome.
        raise AccessDenied(str(self._reason), code=self._reason.code)

    stop = find_names = list_jobs = list_candidates = describe
