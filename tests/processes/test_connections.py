"""Clients: one for all waits of a process, none shared with a forked one, and clear errors about the local
configuration."""

import asyncio
import errno
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from botocore import exceptions as sdk
from environments import endpoint_environment, write_credentials
from faulty_endpoint import FaultyEndpoint

from automl_waiter import AccessDenied, InvalidRequest, ServiceUnavailable, aio, describe, wait_for
from automl_waiter._aws import connection as connections
from automl_waiter._aws import token_buckets
from automl_waiter._aws.connection import Connection, connect
from automl_waiter._aws.gateway import Boto3Gateway
from automl_waiter._model.errors import TransientError, TransientKind
from automl_waiter.cli import main
from automl_waiter.testing import Timeline

DONE = Timeline([(0, "Completed", "Completed")])


@pytest.fixture(scope="module")
def endpoint() -> Iterator[FaultyEndpoint]:
    with FaultyEndpoint() as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def _environment(endpoint: FaultyEndpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment whose SageMaker is the endpoint."""
    env = endpoint_environment(endpoint.url, HOME=str(tmp_path))
    for name in {*os.environ} - {*env}:
        monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def at_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """SageMaker's real endpoint, on a machine without a name server."""
    monkeypatch.delenv("AWS_ENDPOINT_URL_SAGEMAKER")

    def unknown(host: str, *_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)


class Raising:
    """A client whose calls raise an error."""

    class meta:
        region_name = "us-east-1"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def describe_auto_ml_job_v2(self, **_: str) -> Any:
        raise self.error


# Sharing


def test_sixty_waits_at_once_share_one_client(endpoint: FaultyEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits with the same profile, region and endpoint create one client; asyncio does so outside the loop's thread."""
    made: list[Any] = []
    threads: list[threading.Thread] = []
    client = boto3.Session.client

    def counted(self: boto3.Session, *arguments: Any, **options: Any) -> Any:
        threads.append(threading.current_thread())
        made.append(client(self, *arguments, **options))
        return made[-1]

    monkeypatch.setattr(boto3.Session, "client", counted)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "SIXTY")
    endpoint.add("shared", DONE)

    async def run() -> None:
        await asyncio.gather(*(aio.wait_for("shared", max_rate=1000) for _ in range(60)))

    asyncio.run(run())
    describe("shared")
    assert len(made) == 1
    assert threads != [threading.current_thread()]


def test_changed_credentials_make_another_client(endpoint: FaultyEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed variable or file, or refused credentials, lead to a new client."""
    path = Path(os.environ["HOME"]) / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    first = connect()
    assert connect() is first
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OTHER")
    second = connect()
    assert second is not first
    write_credentials(path, "NEW")
    third = connect()
    assert third is not second
    third.refused()
    assert connect() is not third


def test_refused_credentials_are_read_again_by_the_next_wait(endpoint: FaultyEndpoint) -> None:
    """AccessDenied drops the connection if the credentials are invalid, and keeps it if a permission is missing."""
    used = connect()
    endpoint.add("denied", DONE, [lambda handler: handler.fail(400, "AccessDeniedException")])
    with pytest.raises(AccessDenied):
        describe("denied")
    assert connect() is used
    endpoint.add("refused", DONE, [lambda handler: handler.fail(403, "InvalidClientTokenId")])
    with pytest.raises(AccessDenied):
        describe("refused")
    assert connect() is not used
    assert describe("refused").status == "Completed"


def test_no_client_is_shared_with_a_forked_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child creates its own client, and closes the inherited sockets of a client that the caller passed in."""
    ours, given = connect(), boto3.client("sagemaker", "us-east-1")
    theirs, closed = Connection(given), []
    client = ours.client
    monkeypatch.setattr(given, "close", lambda: closed.append(given))
    child = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: child)
    assert ours.client is not client
    assert connect() is not ours
    assert theirs.client is given
    assert closed == [given]
    monkeypatch.setattr(connections, "_is_forked", True)
    Connection(given)
    assert closed == [given], "once for each process"


def test_process_wide_caches_hold_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections and token buckets are keyed by digests."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOFTHISTEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-this-test")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token-of-this-test")
    token_buckets.bucket_of(connect(), 5)
    kept = repr([*token_buckets._BY_ACCOUNT, *connections._BY_PROCESS[os.getpid()].made])
    for value in ("AKIDOFTHISTEST", "secret-of-this-test", "token-of-this-test"):
        assert value not in kept


# Errors in the local configuration


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty profile means the default one, and an empty region does not hide the one in the file."""
    (tmp_path / "config").write_text("[default]\nregion = eu-west-1\n")
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert connect().region == "eu-west-1"
    assert connect(profile="").region == "eu-west-1"


@pytest.mark.usefixtures("at_aws")
def test_unknown_region_suggests_the_nearest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A host that does not resolve, in a region unknown to botocore, exits with 2 at once."""
    monkeypatch.setenv("AWS_REGION", "EU")
    assert main(["wait", "a"]) == 2
    assert "the SDK knows no region 'EU': did you mean eu-" in capsys.readouterr().err
    assert main(["wait", "a", "--region", "us-esat-1"]) == 2
    assert "us-east-1" in capsys.readouterr().err


@pytest.mark.usefixtures("at_aws")
def test_known_region_is_retried_without_a_network() -> None:
    """A name server that does not answer is an outage."""
    with pytest.raises(ServiceUnavailable):
        wait_for("a", error_budget=0.1)


@pytest.mark.parametrize("region", ["us-east-1\n", "us east 1", "us-east-1\x1b[31m", "-"])
def test_malformed_region_names_its_variable(monkeypatch: pytest.MonkeyPatch, region: str) -> None:
    """The error comes before any call and has no control characters."""
    monkeypatch.setenv("AWS_REGION", region)
    with pytest.raises(InvalidRequest, match="AWS_REGION is '") as raised:
        wait_for("a")
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("content", [None, "no certificates\n"])
def test_unreadable_ca_bundle_names_its_variable(
    endpoint: FaultyEndpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    """A certificate file that is missing or has no certificates is a permanent error."""
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", endpoint.url.replace("http:", "https:"))
    with pytest.raises(InvalidRequest, match=r"AWS_CA_BUNDLE is '.*bundle\.pem', which cannot be read"):
        wait_for("a")


@pytest.mark.usefixtures("at_aws")
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
@pytest.mark.parametrize(
    "url",
    [
        *("http://alice:S3c#r3t-pass@proxy:3128", "http://proxy:99999", "http://proxy:abc", "socks5://proxy:1080"),
        *("http://alice:geh\u00e4im@proxy:3128", "http://"),
    ],
)
def test_malformed_proxy_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> None:
    """A proxy URL that the SDK cannot use ends the wait at once, and no password is shown."""
    monkeypatch.setenv(name, url)
    with pytest.raises(InvalidRequest, match=f"^{name} is not a proxy URL") as raised:
        wait_for("a")
    assert "S3c" not in str(raised.value)


@pytest.mark.parametrize("url", ["foo", "localhost:8080", "http://", "http://127.0.0.1:99999", "http://a:b"])
@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_SAGEMAKER", "AWS_ENDPOINT_URL"])
def test_malformed_endpoint_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> None:
    """An invalid endpoint URL ends the wait at once; the message does not show the class of the exception."""
    monkeypatch.delenv("AWS_ENDPOINT_URL_SAGEMAKER")
    monkeypatch.setenv(name, url)
    with pytest.raises(InvalidRequest, match=f"^{name} is '{url}', which is not an endpoint URL") as raised:
        wait_for("a")
    assert "Error" not in str(raised.value)
    monkeypatch.delenv(name)
    with pytest.raises(
        InvalidRequest, match=f"^(--endpoint-url|the endpoint's URL) is '{url}', which is not an endpoint URL"
    ):
        Boto3Gateway(connect(endpoint_url=url)).describe("a")


def test_untrusted_certificate_is_retried_with_advice() -> None:
    """A captive portal has one too; the warning names the variable for a private certificate authority."""
    error = sdk.SSLError(endpoint_url="https://proxy", error="[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")
    with pytest.raises(TransientError, match="AWS_CA_BUNDLE") as raised:
        Boto3Gateway(Connection(Raising(error))).describe("a")
    assert raised.value.kind is TransientKind.CONNECTION


@pytest.mark.parametrize(
    ("error", "is_transient"),
    [
        (sdk.HTTPClientError(error=urllib3.exceptions.ClosedPoolError(None, "closed")), True),  # type: ignore[arg-type]
        (sdk.HTTPClientError(error=TimeoutError("late")), True),
        (OSError(errno.EMFILE, "Too many open files"), True),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), True),
        (sdk.HTTPClientError(error=ValueError("Invalid header value")), False),
        (sdk.HTTPClientError(error=urllib3.exceptions.LocationParseError("a:b")), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (sdk.DataNotFoundError(data_path="sagemaker"), False),
    ],
    ids=str,
)
def test_only_known_transient_errors_are_retried(error: Exception, is_transient: bool) -> None:
    """An SDK error that is not known to be transient ends the wait, and the message does not show its class."""
    with pytest.raises(TransientError if is_transient else InvalidRequest) as raised:
        Boto3Gateway(Connection(Raising(error))).describe("a")
    if not is_transient:
        assert type(error).__name__ not in str(raised.value)
