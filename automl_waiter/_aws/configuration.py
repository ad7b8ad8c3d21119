"""The machine's AWS configuration: the session and the region for a client, and what is wrong with either.

What is wrong on this machine does not pass by itself, so it is a permanent error that names what to change.
"""

from __future__ import annotations

import difflib
import os
import socket
import ssl
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from automl_waiter._aws.errors import quoted
from automl_waiter._model.errors import InvalidRequest, TransientError, TransientKind
from automl_waiter._model.secrets import PROXY_VARIABLES, learn_url
from automl_waiter._model.text import clean

# By botocore's names for services.
_ENDPOINT_VARIABLES = {
    "sagemaker": "AWS_ENDPOINT_URL_SAGEMAKER",
    "logs": "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS",
    "events": "AWS_ENDPOINT_URL_EVENTBRIDGE",
}


def new_session(profile: str | None, region: str | None = None) -> Any:
    """Return a botocore session. An empty variable counts as unset.

    Args:
        profile: The profile; None: the one in the environment.
        region: For the source of the credentials, if no region is configured: a role is assumed there.
    """
    from botocore.session import Session

    # boto3 reads only AWS_DEFAULT_REGION; Lambda, ECS and the other SDKs set and read AWS_REGION.
    last = region or os.environ.get("AWS_REGION") or None
    profiles = [name for name in ("AWS_DEFAULT_PROFILE", "AWS_PROFILE") if os.environ.get(name)]
    regions = [name for name in ("AWS_DEFAULT_REGION",) if os.environ.get(name)]
    session: Any = Session(profile=profile)
    session.session_var_map["profile"] = (None, profiles or None, None, None)
    session.session_var_map["region"] = ("region", regions or None, last, None)
    return session


def region_for(session: Any, given: str | None) -> str:
    """Return the region for a client: the given one, or that of the environment or the configuration file.

    Raises:
        InvalidRequest: There is none, or it is no name of a region.
    """
    from botocore.exceptions import InvalidRegionError
    from botocore.utils import validate_region_name

    region = given or session.get_config_variable("region")
    if not region:
        raise InvalidRequest("no region: pass --region, set AWS_REGION, or give the job's ARN", code="NoRegionError")
    with suppress(InvalidRegionError):
        validate_region_name(region)
        if region.isprintable():
            return str(region)
    variables = (name for name in ("AWS_DEFAULT_REGION", "AWS_REGION") if os.environ.get(name) == region)
    place = "--region" if given else next(variables, "the region in the AWS configuration file")
    raise InvalidRequest(f"{place} is {clean(repr(region))}, which is not a region name, such as us-east-1")


def endpoint_problem(error: Exception, service: str, url: str | None) -> InvalidRequest:
    """Return the error for an endpoint's URL that the SDK refuses; None: it is in the machine's configuration."""
    place = "--endpoint-url"
    if url is None:
        names = (_ENDPOINT_VARIABLES[service], "AWS_ENDPOINT_URL")
        place = next((name for name in names if os.environ.get(name)), "endpoint_url in the AWS configuration file")
        url = os.environ.get(place)
    return _bad_endpoint(place, url, error)


def _bad_endpoint(place: str, url: str | None, error: Exception) -> InvalidRequest:
    learn_url(url)
    shown = f"{place} is {clean(repr(url))}, which" if url else place
    return InvalidRequest(f"{shown} is not an endpoint URL: {quoted(error)}", code=type(error).__name__)


def explanation(error: Exception, client: Any, *, was_answered: bool) -> Exception | None:
    """Return the error for a failed call if the machine's configuration explains it; None if it does not.

    Args:
        error: The SDK's exception.
        client: The client that made the call.
        was_answered: Whether there was a good answer before: then a file or a name may be missing for a moment only.
    """
    from botocore import exceptions as sdk

    match error:
        case sdk.SSLError():
            problem = None if was_answered else _bundle_problem(client)
            return problem or _unverified(error)
        case sdk.ProxyConnectionError():
            return _proxy_problem(client)
        case sdk.EndpointConnectionError() if not was_answered:
            return _region_problem(client)
        case ValueError() | OverflowError() | sdk.HTTPClientError():
            return _proxy_problem(client) or _url_problem(client)
        case _:
            return None


def _bundle_problem(client: Any) -> InvalidRequest | None:
    # botocore has no public way from a client to its certificates.
    verify = getattr(getattr(getattr(client, "_endpoint", None), "http_session", None), "_verify", None)
    if not isinstance(verify, str):
        return None
    try:
        ssl.create_default_context(cafile=verify)
    except (OSError, ValueError) as error:
        from_variable = os.environ.get("AWS_CA_BUNDLE") == verify
        place = "AWS_CA_BUNDLE" if from_variable else "the client's or the configuration file's bundle of certificates"
        return InvalidRequest(
            f"{place} is {clean(repr(verify))}, which cannot be read ({quoted(error)}): set it to a file of "
            "certificates in PEM",
            code=type(error).__name__,
        )
    return None


def _unverified(error: Exception) -> TransientError | None:
    """Return the transient error for a certificate that nobody known has signed: a captive portal has one too."""
    if "CERTIFICATE_VERIFY_FAILED" not in str(error):
        return None
    return TransientError(
        TransientKind.CONNECTION,
        f"{quoted(error)}; if a proxy or an endpoint here has a certificate of its own, set AWS_CA_BUNDLE to its file",
        code=type(error).__name__,
    )


def _proxy_problem(client: Any) -> InvalidRequest | None:
    from botocore.utils import get_environ_proxies

    endpoint = _endpoint_of(client)
    used = get_environ_proxies(endpoint).get(urlsplit(endpoint).scheme)
    for name in PROXY_VARIABLES:
        if used and os.environ.get(name) == used and (why := _fault_of(used)) is not None:
            return InvalidRequest(f"{name} is not a proxy URL ({why}): set it to http://USER:PASSWORD@HOST:PORT")
    return None


def _fault_of(proxy: str) -> str | None:
    """Return what is wrong with the URL of a proxy."""
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    if "://" in proxy and not proxy.lower().startswith(("http://", "https://")):
        return f"the SDK knows no {clean(proxy.partition(':')[0])} proxies"
    try:
        parts = parse_url(proxy if "//" in proxy else f"//{proxy}")
        unquote(parts.auth or "").encode("ascii")
    except LocationParseError:
        return "it cannot be parsed; a special character in the password is written as %XX"
    except UnicodeEncodeError:
        return "its user or password is not ASCII"
    return None if parts.host else "it names no host"


def _url_problem(client: Any) -> InvalidRequest | None:
    url = _endpoint_of(client)
    try:
        urlsplit(url).port  # noqa: B018 - it raises
    except ValueError as error:
        named = (name for name, value in os.environ.items() if name.startswith("AWS_ENDPOINT_URL") and value == url)
        return _bad_endpoint(next(named, "the endpoint's URL"), url, error)
    return None


def _endpoint_of(client: Any) -> str:
    return str(getattr(client.meta, "endpoint_url", ""))


def _region_problem(client: Any) -> InvalidRequest | None:
    """Return the error for a region that does not exist: botocore does not know it, and its host has no address."""
    from botocore.session import Session

    region, host = str(client.meta.region_name), urlsplit(_endpoint_of(client)).hostname or ""
    if f".{region.lower()}." not in host:
        return None  # the endpoint is not AWS's own
    session = Session()
    known = [
        name
        for partition in session.get_available_partitions()
        for name in session.get_available_regions("sagemaker", partition)
    ]
    if region in known:
        return None
    try:
        socket.getaddrinfo(host, None)
    except socket.gaierror as error:
        # Two, because swapped letters are as near to one region as to another: us-esat-1.
        nearest = " or ".join(difflib.get_close_matches(region.lower(), known, n=2, cutoff=0.0))
        words = f"there is no host {host}, and the SDK knows no region {clean(repr(region))}: did you mean {nearest}?"
        return InvalidRequest(words, code=type(error).__name__)
    return None
