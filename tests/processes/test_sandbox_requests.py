"""Requests that the sandbox refuses, sent to its WSGI application in this process."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from automl_waiter.sandbox.server import Sandbox

JSON = "application/x-amz-json-1.1"
DESCRIBE = {"X-Amz-Target": "SageMaker.DescribeAutoMLJobV2"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        running.create_job("churn")
        yield running


def posted(sandbox: Sandbox, body: Any, target: str = "SageMaker.DescribeAutoMLJobV2", **more: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body)
    headers = {"Host": "127.0.0.1", "X-Amz-Target": target, **more.pop("headers", {})}
    return sandbox.app.test_client().post(**{"path": "/", "data": data, "content_type": JSON, **more}, headers=headers)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:5000", "LOCALHOST", "[::1]:5000"])
def test_every_name_of_this_machine_is_an_allowed_host(sandbox: Sandbox, host: str) -> None:
    """A name of this machine is allowed with or without a port."""
    assert posted(sandbox, {"AutoMLJobName": "churn"}, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:5000", "127.0.0.1.evil.example", "localhost.evil", "[", ""]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_foreign_host_is_refused(sandbox: Sandbox, host: str, method: str) -> None:
    """A page whose host name resolves to this machine (DNS rebinding) gets 403 and one plain line, on any path."""
    answer = sandbox.app.test_client().open("/any", method=method, headers={"Host": host, **DESCRIBE})
    assert (answer.status_code, answer.mimetype) == (403, "text/plain")
    assert answer.text.count("\n") == 1


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", None]
)
def test_a_form_of_a_web_page_is_refused(sandbox: Sandbox, kind: str | None) -> None:
    """A request that any page may send to any site gets 403, with or without an Origin header."""
    body = b"Action=StopAutoMLJob&AutoMLJobName=churn"
    answer = sandbox.app.test_client().post("/", data=body, content_type=kind, headers={"Host": "127.0.0.1"})
    assert (answer.status_code, answer.text) == (403, "refused: the sandbox does not answer web pages\n")


def test_a_request_with_an_origin_is_refused(sandbox: Sandbox) -> None:
    """Only browsers send the header, also for a page from this machine."""
    for origin in ("https://evil.example", "null", "http://localhost:3000"):
        assert posted(sandbox, {"AutoMLJobName": "churn"}, headers={"Origin": origin}).status_code == 403


def test_a_program_may_send_another_content_type(sandbox: Sandbox) -> None:
    """curl sends a form's content type with the name of the operation, which a page cannot send."""
    answer = posted(sandbox, {"AutoMLJobName": "churn"}, content_type="application/x-www-form-urlencoded")
    assert json.loads(answer.text)["AutoMLJobName"] == "churn"


CREATE = "SageMaker.CreateAutoMLJobV2"
LIST = "SageMaker.ListAutoMLJobs"


@pytest.mark.parametrize(
    ("target", "body", "code", "words"),
    [
        ("SageMaker.DescribeAutoMLJobV2", [], "SerializationException", "not a JSON object"),
        ("SageMaker.DescribeAutoMLJobV2", None, "SerializationException", "not a JSON object"),
        ("SageMaker.DescribeAutoMLJobV2", b"{", "SerializationException", "not a JSON object"),
        ("SageMaker.DescribeAutoMLJobV2", b"\xff", "SerializationException", "not a JSON object"),
        ("SageMaker.DescribeAutoMLJobV2", b"[" * 100_000, "SerializationException", "not a JSON object"),
        ("SageMaker.DescribeAutoMLJobV2", b'{"AutoMLJobName": NaN}', "SerializationException", "not a JSON object"),
        ("SageMaker.DescribeAutoMLJobV2", b"", "ValidationException", "'autoMLJobName' failed"),
        ("SageMaker.DescribeAutoMLJobV2", {"AutoMLJobName": None}, "ValidationException", "must not be null"),
        ("SageMaker.DescribeAutoMLJobV2", {"AutoMLJobName": 5}, "SerializationException", "autoMLJobName is not"),
        ("SageMaker.DescribeAutoMLJobV2", {"AutoMLJobName": ["a"]}, "SerializationException", "of type string"),
        ("SageMaker.DescribeAutoMLJobV2", {"AutoMLJobName": ""}, "ValidationException", "between 1 and 32"),
        (LIST, {"MaxResults": "5"}, "SerializationException", "maxResults is not of type integer"),
        (LIST, {"MaxResults": True}, "SerializationException", "maxResults is not of type integer"),
        (LIST, {"MaxResults": 0}, "ValidationException", "between 1 and 100"),
        (LIST, {"SortBy": "nonsense"}, "ValidationException", "enum value set: [Name, CreationTime, Status]"),
        (LIST, {"CreationTimeAfter": "yesterday"}, "SerializationException", "creationTimeAfter"),
        (LIST, {"CreationTimeAfter": 1e30}, "SerializationException", "creationTimeAfter is not a time"),
        (LIST, {"NextToken": "9" * 5000}, "ValidationException", "token"),
        (CREATE, {"AutoMLJobName": "a"}, "ValidationException", "autoMLJobInputDataConfig"),
        (CREATE, {"AutoMLJobInputDataConfig": {}}, "SerializationException", "of type list"),
        (CREATE, {"AutoMLJobInputDataConfig": [{"DataSource": 1}]}, "SerializationException", "1.member.dataSource"),
        ("SageMaker.Nonsense", {}, "UnknownOperationException", "names no operation"),
        ("Nonsense", {}, "UnknownOperationException", "names no operation"),
        ("", {}, "UnknownOperationException", "names no operation"),
        ("Logs_20140328.GetLogEvents", {"logGroupName": 1}, "SerializationException", "logGroupName"),
        ("Logs_20140328.Nonsense", {}, "UnknownOperationException", "names no operation"),
    ],
)
def test_bad_input_is_an_error_of_the_service(
    sandbox: Sandbox, capfd: pytest.CaptureFixture[str], target: str, body: Any, code: str, words: str
) -> None:
    """The response is a 400 in JSON that describes the error, and nothing is logged to the terminal."""
    answer = posted(sandbox, body, target)
    error = json.loads(answer.text)
    assert (answer.status_code, error["__type"]) == (400, code), error
    assert words in error["message"]
    assert answer.headers["x-amzn-ErrorType"] == code
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("HEAD", "/"), ("OPTIONS", "/"), ("POST", "/a"), ("POST", "/?Action=x")]
)
def test_other_paths_get_no_html(sandbox: Sandbox, method: str, path: str) -> None:
    """A request for another path gets a plain error."""
    answer = sandbox.app.test_client().open(path, method=method, headers={"Host": "127.0.0.1", **DESCRIBE})
    assert (answer.status_code, answer.mimetype) == (400, JSON)


def test_unknown_members_of_a_request_are_ignored(sandbox: Sandbox) -> None:
    """A newer client may send more members."""
    assert posted(sandbox, {"AutoMLJobName": "churn", "Newer": {"a": [None]}}).status_code == 200


def test_request_that_is_not_http_is_not_logged(
    sandbox: Sandbox, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A client of another protocol gets an error, and nothing is logged to the terminal."""
    with socket.create_connection(("127.0.0.1", int(sandbox.url.rpartition(":")[2]))) as client:
        client.sendall(b"\x16\x03\x01 \x00 \x00 \x00\r\n\r\n")
        assert b"400" in client.recv(1000)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
