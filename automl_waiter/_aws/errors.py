"""Translation of the SDK's exceptions and AWS's error codes into transient errors and our own errors.

Types and codes decide, never the words of a message. Foreign text is quoted in one harmless line.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
import traceback
from datetime import datetime
from typing import TYPE_CHECKING

from automl_waiter._aws.permissions import action_of
from automl_waiter._model.errors import (
    AccessDenied,
    CredentialsExpired,
    InvalidRequest,
    JobNotFound,
    TransientError,
    TransientKind,
)
from automl_waiter._model.snapshot import served_at
from automl_waiter._model.text import clean, format_duration

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

# The error of an SDK behind a captive portal may hold a whole page.
_LONGEST_MESSAGE = 400
# An access key id, the caller's or another's.
_KEY_ID = re.compile(r"\b((?:AKIA|ASIA))[A-Z2-7]{16}\b")
# Seconds. AWS accepts a signature that is up to 5 minutes off; a Date header is in whole seconds.
_CLOCK_SKEW = 240.0

# Of this machine: its network is away for a while, or it has too many files, processes or connections open.
_PASSING = frozenset(
    getattr(errno, name)
    for name in (
        *("ENETDOWN", "ENETUNREACH", "ENETRESET", "EHOSTDOWN", "EHOSTUNREACH", "EADDRNOTAVAIL", "ENOTCONN"),
        *("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EAGAIN", "EINTR"),
    )
    if hasattr(errno, name)
)
_THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
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
        "RequestInTheFuture",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
# The request itself is too large, and a retry would send the same. EventBridge answers 413 without an error code
# (boto/boto3#3411).
_TOO_LARGE = frozenset({413, 414, 431})
# The calls that the SDK makes to get credentials.
_CREDENTIAL_CALLS = frozenset(
    {"AssumeRole", "AssumeRoleWithWebIdentity", "CreateOAuth2Token", "CreateToken", "GetRoleCredentials"}
)


def from_code(error: ClientError, operation: str, job_name: str, region: str, called_at: datetime) -> Exception:
    """Return the error for an error response, by its code."""
    details = error.response.get("Error", {})
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code, message = str(details.get("Code", "")), quoted(details.get("Message", ""))
    said = f"{code}: {message}" if message else code
    if code in _THROTTLED or status == 429:
        return TransientError(TransientKind.THROTTLED, said, code=code)
    if code in _SERVER or status >= 500:
        return TransientError(TransientKind.SERVER, said, code=code)
    if status in _TOO_LARGE:
        return InvalidRequest(f"AWS rejected {operation} as too large (HTTP {status})", code=code)
    # The SDK uses the status if the body has no code: then a proxy, a load balancer or a captive portal answered.
    if code in ("", str(status)):
        return TransientError(TransientKind.RESPONSE, f"HTTP {status} without an AWS error: {message}", code=code)
    if code in _EXPIRED:
        return CredentialsExpired(f"the credentials have expired ({said}): renew them", code=code)
    if code in _BAD_CREDENTIALS:
        skew = ((served_at(error.response) or called_at) - called_at).total_seconds()
        if abs(skew) > _CLOCK_SKEW:
            way = "behind" if skew > 0 else "ahead of"
            words = f"{code}: this machine's clock is {format_duration(abs(skew))} {way} AWS's, or it slept"
            return TransientError(TransientKind.CLOCK, words, code=code)
        # AWS's message repeats the expected request, including the session token.
        return AccessDenied(f"AWS does not accept the credentials ({code}): check the profile and keys", code=code)
    if error.operation_name in _CREDENTIAL_CALLS:
        return AccessDenied(f"cannot get credentials: {error.operation_name} failed ({said})", code=code)
    if code in _NOT_FOUND:
        return JobNotFound(
            f"no AutoML job {job_name!r} in {region}: check the name, the region and the account", code=code
        )
    if code == "NotAuthorizedException":
        return AccessDenied(
            f"{operation} is denied, or not offered, in {region}: allow the IAM action {action_of(operation)}, or use "
            f"another region ({said})",
            code=code,
        )
    if code in _DENIED or status in (401, 403):
        return AccessDenied(
            f"{operation} was denied in {region}: allow the IAM action {action_of(operation)} ({said})", code=code
        )
    return InvalidRequest(f"AWS rejected {operation} as invalid ({said})", code=code)


def from_sdk(error: Exception) -> Exception:
    """Return the error for an exception of the SDK that is not a response of AWS.

    Only what is listed here is transient. Anything else would fail again.
    """
    from botocore import exceptions as sdk
    from botocore.parsers import ResponseParserError

    code, words = type(error).__name__, quoted(error)
    said = f"{code}: {words}"
    match error:
        case sdk.NoRegionError():
            return InvalidRequest("no region: pass --region, set AWS_REGION, or give the job's ARN", code=code)
        case sdk.NoCredentialsError() | sdk.PartialCredentialsError():
            return AccessDenied("no AWS credentials: log in, set AWS_PROFILE, or pass --profile", code=code)
        case sdk.ProfileNotFound():
            return InvalidRequest(f"{words}: see aws configure list-profiles", code=code)
        case sdk.ConfigParseError():
            return InvalidRequest(f"{words}: correct the AWS configuration file", code=code)
        case _ if isinstance(
            error,
            (
                *(sdk.SSOError, sdk.TokenRetrievalError, sdk.CredentialRetrievalError),
                # Nobody is there to type the code of a second factor.
                *(sdk.RefreshWithMFAUnsupportedError, EOFError),
                # Raised by `aws login`, which old SDKs do not have.
                getattr(sdk, "LoginError", ()),
            ),
        ):
            return CredentialsExpired(f"cannot get credentials ({words}): log in", code=code)
        # A token file or a credential_process is missing.
        case FileNotFoundError() | PermissionError() | NotADirectoryError():
            return CredentialsExpired(f"cannot get credentials ({words}): see the AWS configuration", code=code)
        case sdk.ConnectTimeoutError() | sdk.ReadTimeoutError():
            return TransientError(TransientKind.TIMEOUT, said, code=code)
        case sdk.IncompleteReadError() | sdk.ResponseStreamingError() | ResponseParserError():
            return TransientError(TransientKind.RESPONSE, said, code=code)
        case _ if _is_of_the_network(error):
            return TransientError(TransientKind.CONNECTION, said, code=code)
        case _:
            return InvalidRequest(f"the SDK cannot make the call: {words}", code=code)


def _is_of_the_network(error: Exception) -> bool:
    from botocore import exceptions as sdk
    from urllib3.exceptions import HTTPError, LocationValueError, URLSchemeUnknown

    # The SDK wraps what it does not know in this class.
    if type(error) is sdk.HTTPClientError:
        cause = vars(error).get("kwargs", {}).get("error")
        return isinstance(cause, HTTPError | OSError) and not isinstance(cause, LocationValueError | URLSchemeUnknown)
    known = sdk.ConnectionError | sdk.ConnectionClosedError
    return isinstance(error, known | ConnectionError | TimeoutError | socket.gaierror | ssl.SSLError) or (
        isinstance(error, OSError) and error.errno in _PASSING
    )


def is_for_credentials(problem: Exception) -> bool:
    """Return whether an error says that the credentials are no good, or missing: others may make the call succeed."""
    codes = _BAD_CREDENTIALS | {"NoCredentialsError", "PartialCredentialsError"}
    return isinstance(problem, CredentialsExpired) or (isinstance(problem, AccessDenied) and problem.code in codes)


def quoted(text: object) -> str:
    """Return foreign text as one harmless line of limited length."""
    line = _KEY_ID.sub(r"\1***", clean(text))
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[:_LONGEST_MESSAGE]}..."


def raised_in(error: BaseException) -> str:
    """Return the module whose code raised an error."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__", ""))
