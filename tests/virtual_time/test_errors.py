"""The classes of the errors that AWS and its SDK raise."""

from typing import Any

import pytest
from clients import Answering, client_error

import automl_waiter
from automl_waiter import AccessDenied
from automl_waiter._aws.connection import Connection
from automl_waiter._aws.gateway import Boto3Gateway
from automl_waiter._model.errors import TransientError, TransientKind


def login_errors() -> list[Any]:
    """Return the errors of `aws login`, which old SDKs do not define."""
    from botocore import exceptions as sdk

    names = ("LoginRefreshRequired", "LoginTokenLoadError", "LoginInsufficientPermissions")
    return [error for name in names if (error := getattr(sdk, name, None))]


def sdk_errors() -> list[Any]:
    from botocore import exceptions as sdk
    from botocore.parsers import ResponseParserError

    return [
        (client_error("ThrottlingException"), TransientKind.THROTTLED),
        (client_error("Whatever", 429), TransientKind.THROTTLED),
        (client_error("InternalFailure", 500), TransientKind.SERVER),
        (client_error("503", 503), TransientKind.SERVER),
        (sdk.EndpointConnectionError(endpoint_url="x"), TransientKind.CONNECTION),
        (sdk.ReadTimeoutError(endpoint_url="x"), TransientKind.TIMEOUT),
        (ConnectionResetError("reset"), TransientKind.CONNECTION),
        (ResponseParserError("html"), TransientKind.RESPONSE),
        ({}, TransientKind.RESPONSE),
        (client_error("ResourceNotFound"), automl_waiter.JobNotFound),
        (client_error("AccessDeniedException"), automl_waiter.AccessDenied),
        (client_error("Unheard", 403), automl_waiter.AccessDenied),
        (client_error("NotAuthorizedException"), automl_waiter.AccessDenied),
        (client_error("UnrecognizedClientException"), automl_waiter.AccessDenied),
        (client_error("ExpiredTokenException"), automl_waiter.CredentialsExpired),
        (client_error("ValidationException"), automl_waiter.InvalidRequest),
        (sdk.NoCredentialsError(), automl_waiter.AccessDenied),
        (sdk.UnauthorizedSSOTokenError(), automl_waiter.CredentialsExpired),
        (sdk.SSOTokenLoadError(error_msg="x"), automl_waiter.CredentialsExpired),
        (sdk.RefreshWithMFAUnsupportedError(), automl_waiter.CredentialsExpired),
        *((error(error_msg="x"), automl_waiter.CredentialsExpired) for error in login_errors()),
        (FileNotFoundError(2, "No such file", "/token"), automl_waiter.CredentialsExpired),
        (OverflowError("port must be 0-65535"), automl_waiter.InvalidRequest),
        (sdk.ParamValidationError(report="x"), automl_waiter.InvalidRequest),
    ]


@pytest.mark.parametrize(("answer", "meaning"), sdk_errors())
def test_errors_are_classified_by_class_and_code(answer: Any, meaning: Any) -> None:
    """Each AWS or SDK error is transient or permanent by its class and code, with a clean one-line message."""
    with pytest.raises((TransientError, automl_waiter.AutoMLWaiterError)) as raised:
        Boto3Gateway(Connection(Answering(answer))).describe("churn")
    assert "\x1b" not in str(raised.value)
    if isinstance(meaning, TransientKind):
        assert isinstance(raised.value, TransientError)
        assert raised.value.kind is meaning
    else:
        assert type(raised.value) is meaning
    if type(raised.value) is AccessDenied and "Denied" in (raised.value.code or ""):
        assert "sagemaker:DescribeAutoMLJobV2" in str(raised.value)
