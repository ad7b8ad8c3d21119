"""docs/troubleshooting.md quotes what the command prints."""

import os
from collections.abc import Iterator

import pytest
from faulty_endpoint import FaultyEndpoint, service_error
from pages import ALL
from programs import Command

from automl_waiter.testing import Timeline

DONE = Timeline([(0, "Completed", "Completed")])
QUOTED = [
    line
    for block in ALL
    if block.page == "docs/troubleshooting.md" and block.language == "text"
    for line in block.text.splitlines()
]


@pytest.fixture
def faulty() -> Iterator[FaultyEndpoint]:
    with FaultyEndpoint() as endpoint:
        endpoint.add("denied", DONE, [service_error(400, "AccessDeniedException")])
        endpoint.add("unknown", DONE, [service_error(400, "UnrecognizedClientException")])
        endpoint.add("throttled", DONE, [lambda handler: handler.fail(400, "ThrottlingException", "Rate exceeded")])
        yield endpoint


def test_each_quoted_message_is_printed(inside: Command, faulty: FaultyEndpoint) -> None:
    """A search of the page for a printed line finds it. The length of a pause may differ."""
    here = {"AWS_ENDPOINT_URL_SAGEMAKER": faulty.url}
    nowhere = {"AWS_REGION": "", "AWS_CONFIG_FILE": os.devnull}
    proxy = {"HTTPS_PROXY": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_SAGEMAKER": "https://127.0.0.2"}
    printed = "".join(
        [
            inside("status", "churn-2026", environment=nowhere).stderr,
            inside("status", "churn-2062").stderr,
            *(
                inside("wait", name, "--timeout", "0.5s", environment=here).stderr
                for name in ("denied", "unknown", "throttled")
            ),
            inside("wait", "churn-2026", "--error-budget", "0s", environment=proxy).stderr,
        ]
    )
    for line in QUOTED:
        assert line.partition(", retrying in")[0] in printed, printed
