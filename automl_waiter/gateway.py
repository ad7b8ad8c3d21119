"""The only door to AWS: one call, one attempt, errors by class.

Which error is which is decided by the SDK's exception types and AWS's error codes, never by a message's words.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from automl_waiter.errors import (
    AccessDenied,
    AutoMLWaiterError,
    CredentialsExpired,
    InvalidRequest,
    JobNotFound,
    Passing,
    PassingFailure,
)
from automl_waiter.text import clean

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

_CONNECT_TIMEOUT = 5
_READ_TIMEOUT = 20

# The members without which a response is no snapshot: a 200 whose body is cut or foreign parses to an empty dict.
_REQUIRED = (
    "AutoMLJobName",
    "AutoMLJobArn",
    "AutoMLJobStatus",
    "AutoMLJobSecondaryStatus",
    "CreationTime",
    "LastModifiedTime",
)

_THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
_SERVER = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "InternalServerException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
    }
)
_NOT_FOUND = frozenset({"ResourceNotFound", "ResourceNotFoundException"})
_DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "NotAuthorized", "UnauthorizedOperation", "OptInRequired"}
)
_BAD_CREDENTIALS = frozenset(
    {
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})

_METHODS = {
    "DescribeAutoMLJobV2": "describe_auto_ml_job_v2",
    "StopAutoMLJob": "stop_auto_ml_job",
    "ListAutoMLJobs": "list_auto_ml_jobs",
}


class Gateway(Protocol):
    """What a wait needs of AWS. Each method makes one attempt.

    Raises:
        PassingFailure: The attempt failed for a reason that may pass.
        AutoMLWaiterError: It can never succeed as it is.
    """

    def describe(self, job_name: str) -> Mapping[str, Any]:
        """The response of DescribeAutoMLJobV2."""
        ...

    def stop(self, job_name: str) -> None:
        """Calls StopAutoMLJob."""
        ...

    def find_names(self, job_name: str) -> list[str]:
        """Names of jobs that look like `job_name`, by ListAutoMLJobs."""
        ...


class Boto3Gateway:
    """A gateway through a boto3 SageMaker client."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.region: str = client.meta.region_name

    def describe(self, job_name: str) -> Mapping[str, Any]:
        """The response of DescribeAutoMLJobV2."""
        response: Mapping[str, Any] = self._call("DescribeAutoMLJobV2", job_name, AutoMLJobName=job_name)
        missing = [member for member in _REQUIRED if response.get(member) is None]
        if missing:
            raise PassingFailure(Passing.RESPONSE, f"the response lacks {missing[0]}: cut short, or not from AWS")
        return response

    def stop(self, job_name: str) -> None:
        """Calls StopAutoMLJob."""
        self._call("StopAutoMLJob", job_name, AutoMLJobName=job_name)

    def find_names(self, job_name: str) -> list[str]:
        """The nearest names among the 100 newest jobs, at most three."""
        page = self._call("ListAutoMLJobs", job_name, SortBy="CreationTime", SortOrder="Descending", MaxResults=100)
        names = {str(job["AutoMLJobName"]).lower(): str(job["AutoMLJobName"]) for job in page["AutoMLJobSummaries"]}
        return [names[name] for name in difflib.get_close_matches(job_name.lower(), names, n=3)]

    def _call(self, operation: str, job_name: str, **arguments: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        method = getattr(self._client, _METHODS[operation])
        try:
            return method(**arguments)
        except ClientError as error:
            raise self._from_code(error, operation, job_name) from error
        except (BotoCoreError, ResponseParserError, ValueError, OSError) as error:
            raise from_sdk(error) from error

    def _from_code(self, error: ClientError, operation: str, job_name: str) -> Exception:
        details = error.response.get("Error", {})
        code = str(details.get("Code", ""))
        said = f"{code}: {clean(details.get('Message', ''))}" if details.get("Message") else code
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in _THROTTLED or status == 429:
            return PassingFailure(Passing.THROTTLED, said, code=code)
        if code in _SERVER or status >= 500:
            return PassingFailure(Passing.SERVER, said, code=code)
        if code in _NOT_FOUND:
            return JobNotFound(
                f"no AutoML job {job_name!r} in {self.region}: check the name, the region and the account", code=code
            )
        if code in _EXPIRED:
            return CredentialsExpired(f"the credentials have expired ({said}): renew them and wait again", code=code)
        if code in _BAD_CREDENTIALS:
            return AccessDenied(f"AWS does not accept the credentials ({said}): check the profile and keys", code=code)
        if code in _DENIED or status in (401, 403):
            return AccessDenied(
                f"{operation} was denied in {self.region}: allow the IAM action sagemaker:{operation} ({said})",
                code=code,
            )
        return InvalidRequest(f"AWS calls {operation} invalid ({said})", code=code)


def from_sdk(error: Exception) -> Exception:
    """What an exception of the SDK that is no answer of AWS means."""
    from botocore import exceptions as sdk
    from botocore.parsers import ResponseParserError

    code = type(error).__name__
    said = f"{code}: {clean(error)}"
    match error:
        case sdk.NoRegionError():
            return InvalidRequest("no region: pass --region, set AWS_REGION, or give the job's ARN", code=code)
        case sdk.NoCredentialsError() | sdk.PartialCredentialsError():
            return AccessDenied("no AWS credentials: log in, set AWS_PROFILE, or pass --profile", code=code)
        case sdk.ProfileNotFound():
            return InvalidRequest(f"{clean(error)}: see aws configure list-profiles", code=code)
        case (
            sdk.UnauthorizedSSOTokenError()
            | sdk.SSOTokenLoadError()
            | sdk.TokenRetrievalError()
            | sdk.CredentialRetrievalError()
        ):
            return CredentialsExpired(f"no credentials can be had ({said}): log in and wait again", code=code)
        case sdk.ConnectTimeoutError() | sdk.ReadTimeoutError():
            return PassingFailure(Passing.TIMEOUT, said, code=code)
        case sdk.ConnectionError() | sdk.HTTPClientError() | OSError():
            return PassingFailure(Passing.CONNECTION, said, code=code)
        case sdk.IncompleteReadError() | ResponseParserError():
            return PassingFailure(Passing.RESPONSE, said, code=code)
        case _:
            return InvalidRequest(said, code=code)


def connect(*, profile: str | None = None, region: str | None = None, endpoint_url: str | None = None) -> Any:
    """A boto3 SageMaker client made for waiting: the SDK's own retries are off, because the wait makes and counts them.

    Raises:
        InvalidRequest: There is no region, no such profile, or no such endpoint.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, NoRegionError

    from automl_waiter import __version__

    config = Config(
        connect_timeout=_CONNECT_TIMEOUT,
        read_timeout=_READ_TIMEOUT,
        retries={"total_max_attempts": 1, "mode": "standard"},
        user_agent_extra=f"automl-waiter/{__version__}",
    )
    try:
        session = boto3.Session(profile_name=profile, region_name=region)
        # boto3 reads AWS_DEFAULT_REGION alone; Lambda, ECS and the other SDKs set and read AWS_REGION.
        region = session.region_name or os.environ.get("AWS_REGION")
        if not region:
            raise NoRegionError
        return session.client("sagemaker", region_name=region, endpoint_url=endpoint_url, config=config)
    except (BotoCoreError, ValueError) as error:
        problem = from_sdk(error)
        raise problem if isinstance(problem, AutoMLWaiterError) else InvalidRequest(str(problem)) from error


def served_at(response: Any) -> datetime | None:
    """The service's own time of an answer, from its HTTP Date header (whole seconds, UTC); None where there is none."""
    from email.utils import parsedate_to_datetime

    try:
        instant = parsedate_to_datetime(response["ResponseMetadata"]["HTTPHeaders"]["date"])
    except (KeyError, TypeError, ValueError):
        return None
    # A header without a zone reads as naive; HTTP's dates are all in UTC.
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
