"""No secret is in the output of a failed connection, nor of a command whose credentials are malformed."""

import json
import traceback
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from environments import endpoint_environment
from faulty_endpoint import FaultyEndpoint
from programs import start

from automl_waiter import wait_for
from automl_waiter._aws.connection import Connection
from automl_waiter._aws.gateway import Boto3Gateway
from automl_waiter._model.errors import AutoMLWaiterError, TransientError
from automl_waiter.testing import Timeline

SECRET = 'wJalr/XUtn"FEMI+K7MDENG'
TOKEN = "FwoGZXIvYXdzEJr//////wEaDE"


def test_the_sdks_error_is_no_cause_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback prints the causes of an error too, and the SDK's message may contain a token."""
    client = boto3.client(
        "sagemaker", "us-east-1", endpoint_url="http://127.0.0.1:9", aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key=SECRET,
        config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip
    with pytest.raises(TransientError) as raised:
        Boto3Gateway(Connection(client)).describe("churn")
    assert raised.value.__cause__ is raised.value.__context__ is None
    with pytest.raises(AutoMLWaiterError) as failure:
        wait_for("churn", client=client, error_budget=0)
    assert "botocore" not in "".join(traceback.format_exception(failure.value))
    assert SECRET not in "".join(traceback.format_exception(failure.value))


@pytest.fixture(scope="module")
def endpoint() -> Iterator[FaultyEndpoint]:
    with FaultyEndpoint() as endpoint:
        yield endpoint


def test_a_token_with_a_line_break_is_77_and_is_not_printed(endpoint: FaultyEndpoint, tmp_path: Path) -> None:
    """A token pasted from a file ends in a newline: no call is made, and no output shows it."""
    files = {name: str(tmp_path / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    env = endpoint_environment(endpoint.url, AWS_SESSION_TOKEN=f"{TOKEN}\n", GITHUB_ACTIONS="true", **files)
    with start(
        "wait", endpoint.add("token", Timeline([(0, "Completed", "Completed")])), "-o", "json", env=env
    ) as process:
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 77
    assert "AWS_SESSION_TOKEN" in stderr
    assert json.loads(stdout)["exit_code"] == 77
    assert not endpoint.calls("DescribeAutoMLJobV2", "token")
    for text in (stdout, stderr, *(path.read_text() for path in tmp_path.iterdir())):
        assert "ZXIvYXdz" not in text
