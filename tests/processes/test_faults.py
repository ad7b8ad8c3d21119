"""Faults on the wire, through boto3 and real sockets: transient ones are retried, permanent ones end the wait at once."""

import logging
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.retries import standard
from environments import clean_environment
from faulty_endpoint import PASSING_FAULTS, PERMANENT_FAULTS, THROTTLING, FaultyEndpoint
from reliability import Each

from automl_waiter import (
    AccessDenied,
    Ended,
    Event,
    Outcome,
    Retry,
    Transition,
    Verdict,
    Waiter,
    describe,
    wait_for_all,
)
from automl_waiter._aws.connection import connect
from automl_waiter._aws.errors import _THROTTLED
from automl_waiter._model.errors import JobNotFound, ServiceUnavailable, TransientKind
from automl_waiter.testing import Timeline

DONE = Timeline([(0, "Completed", "Completed")])
SECRET, TOKEN = "s3cr3t/ThatNobodyMaySee0123456789abcdefgh", "t0ken//ThatNobodyMaySee=="


@pytest.fixture(scope="module")
def endpoint() -> Iterator[FaultyEndpoint]:
    """An endpoint, and an environment whose clients use it with short timeouts."""
    with FaultyEndpoint() as endpoint, pytest.MonkeyPatch.context() as patch:
        secrets = {"AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN}
        for name, value in clean_environment(AWS_ENDPOINT_URL_SAGEMAKER=endpoint.url, **secrets).items():
            patch.setenv(name, value)
        patch.setenv("AWS_REGION", "us-east-1")
        patch.setattr("automl_waiter._aws.connection._READ_TIMEOUT", 1)
        yield endpoint


@pytest.fixture(scope="module")
def survived(endpoint: FaultyEndpoint) -> tuple[dict[str, Outcome], list[Event]]:
    """Return the outcomes by fault, and the events, of waits in which each transient fault occurs twice."""
    events: list[Event] = []
    for number, (_, fault) in enumerate(PASSING_FAULTS.values()):
        endpoint.add(f"fault-{number}", DONE, [fault, fault])
    # One describe call each, as fast as possible. None is the first call, which would be retried late if throttled.
    waiter = Waiter(poll=Each(1), max_rate=1000, on_event=events.append)
    waiter.wait(endpoint.add("good", DONE))
    outcomes = waiter.wait_for_all([f"fault-{number}" for number in range(len(PASSING_FAULTS))])
    return dict(zip(PASSING_FAULTS, outcomes.values(), strict=True)), events


def test_transient_faults_are_retried(survived: tuple[dict[str, Outcome], list[Event]]) -> None:
    """After two failed attempts the wait ends as its job did, and reports both with their kind."""
    outcomes, events = survived
    # One test for all faults: with a parameter for each, every process would wait for all of them.
    for name, (kind, _) in PASSING_FAULTS.items():
        outcome = outcomes[name]
        assert (outcome.verdict, outcome.retries) == (Verdict.COMPLETED, 2), (name, outcome.summary)
        kinds = [event.kind for event in events if isinstance(event, Retry) and event.job_name == outcome.job]
        assert kinds == [kind, kind], name


@pytest.mark.parametrize("name", PERMANENT_FAULTS)
def test_permanent_faults_end_the_wait_at_once(endpoint: FaultyEndpoint, name: str) -> None:
    """A permanent error is not retried; its class and exit code identify it."""
    error_class, code, fault = PERMANENT_FAULTS[name]
    job = endpoint.add(f"p-{name[:28]}", DONE, [fault])
    outcome = wait_for_all([job])[job]
    assert (type(outcome.error).__name__, outcome.exit_code, outcome.retries) == (error_class, code, 0)
    assert len(endpoint.calls("DescribeAutoMLJobV2", job)) == 1


def test_a_denied_call_names_the_iam_action(endpoint: FaultyEndpoint) -> None:
    """AccessDenied names the missing IAM action and the region."""
    endpoint.add("denied", DONE, [PERMANENT_FAULTS["AccessDeniedException"][2]])
    with pytest.raises(AccessDenied, match=r"us-east-1.*sagemaker:DescribeAutoMLJobV2"):
        describe("denied")


def test_connection_errors_are_retried(endpoint: FaultyEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection, an unresolved name and a failed TLS handshake are retried; the last one is reported."""
    nowhere = {
        "http://127.0.0.1:9": "EndpointConnectionError",
        "http://no-such-host.invalid": "EndpointConnectionError",
        endpoint.url.replace("http:", "https:"): "SSLError",
    }

    def wait(url: str) -> Outcome:
        client = connect(endpoint_url=url, region="us-east-1").client
        return wait_for_all(["a"], client=client, error_budget=1.5)["a"]

    with ThreadPoolExecutor() as threads:
        outcomes = list(threads.map(wait, nowhere))
    for code, outcome in zip(nowhere.values(), outcomes, strict=True):
        assert (outcome.exit_code, type(outcome.error)) == (69, ServiceUnavailable)
        assert outcome.retries >= 1
        assert outcome.error is not None
        assert outcome.error.code == code
        assert f"failed {outcome.retries + 1} times since 20" in str(outcome.error)


def test_captive_portal_does_not_accept_a_stop(endpoint: FaultyEndpoint) -> None:
    """A page that answers StopAutoMLJob with 200 is no answer: the request is repeated until AWS answers."""
    training = Timeline([(0, "InProgress", "ModelTuning")])
    portal = PASSING_FAULTS["a captive portal's page with 200"][1]
    job = endpoint.add("portal", training)
    client = connect().client
    answers: list[Event] = []

    def then_portal(event: Event) -> None:
        answers.append(event)
        if isinstance(event, Transition) and event.before is None:
            endpoint.then(job, portal)

    outcome = wait_for_all([job], client=client, timeout=0, stop_on="timeout", poll=0.1, on_event=then_portal)[job]
    assert outcome.status == "Stopped"
    assert len(endpoint.calls("StopAutoMLJob", job)) == 2
    assert [event.kind for event in answers if isinstance(event, Retry)] == [TransientKind.RESPONSE]


def test_missing_job_is_not_found_if_similar_names_cannot_be_listed(endpoint: FaultyEndpoint) -> None:
    """JobNotFound is raised although the list of names fails or is not AWS's."""
    faults = [PASSING_FAULTS["a captive portal's page with 200"][1], PASSING_FAULTS["a JSON list"][1]]
    for fault in [*faults, PERMANENT_FAULTS["AccessDeniedException"][2]]:
        endpoint.add("", DONE, [fault])  # ListAutoMLJobs names no job
        with pytest.raises(JobNotFound, match="no AutoML job 'missing'"):
            describe("missing")


def test_every_throttling_code_of_the_sdk_is_known() -> None:
    """Every code that botocore treats as throttling is one of ours, and the endpoint returns each."""
    theirs = set(standard.ThrottledRetryableChecker._THROTTLED_ERROR_CODES)
    assert theirs <= _THROTTLED <= set(THROTTLING)


def test_credentials_are_never_written(
    endpoint: FaultyEndpoint,
    survived: tuple[dict[str, Outcome], list[Event]],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After every fault, no debug log, error, event or outcome contains a credential."""
    caplog.set_level(logging.DEBUG, "automl_waiter")
    written: list[Any] = []
    for name, (_, _, fault) in PERMANENT_FAULTS.items():
        job = endpoint.add(f"s-{name[:28]}", DONE, [fault])
        outcome = wait_for_all([job], on_event=written.append)[job]
        written += [outcome, outcome.error, outcome.to_dict()]
        written.append("".join(traceback.format_exception(outcome.error)))
    for url in ("http://user:pa@ss@127.0.0.1:9", "http://no-such-host.invalid/?secret"):
        client = connect(endpoint_url=url, region="us-east-1").client
        written.append(wait_for_all(["a"], client=client, error_budget=0, on_event=written.append)["a"].error)
    text = f"{written} {[str(error) for error in written]} {survived} {caplog.text} {[vars(r) for r in caplog.records]}"
    assert "SignatureDoesNotMatch" in text
    assert any(isinstance(event, Ended) for event in written)
    for secret in (SECRET, TOKEN, "pa@ss", "ss@127"):
        assert secret not in text
