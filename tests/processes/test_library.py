"""The public library on the real clock and network, against the sandbox."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import freezegun
import pytest
from clients import Answering, client_error
from environments import clean_environment

import automl_waiter
from automl_waiter import (
    AccessDenied,
    Event,
    InvalidRequest,
    JobFailed,
    JobNotFound,
    Transition,
    Verdict,
    WaitCancelled,
    WaitTimeout,
    aio,
    as_completed,
    describe,
    wait_for,
    wait_for_all,
    waiter,
    watch,
)
from automl_waiter._aws.connection import connect
from automl_waiter._model.options import wait_options
from automl_waiter.sandbox.server import Sandbox
from automl_waiter.testing import EPOCH, Timeline

NewJob = Callable[[str], str]


def test_wait_for_returns_the_outcome_and_calls_back_in_order(endpoint: Sandbox, new_job: NewJob) -> None:
    """`wait_for` returns when the job has ended; callbacks run in order, from the first observation on."""
    changes: list[Transition] = []
    events: list[Event] = []
    name = new_job("completed")
    outcome = wait_for(name, client=endpoint.client(), poll=0.1, on_transition=changes.append, on_event=events.append)
    assert outcome.verdict == Verdict.COMPLETED
    assert outcome.best_candidate is not None
    assert outcome.job_name == name
    assert outcome.arn == f"arn:aws:sagemaker:us-east-1:123456789012:automl-job/{name}"
    assert outcome.ended_at is not None
    assert [change.after.secondary_status for change in changes] == ["ModelTuning", "Completed"]
    assert changes[1].not_before is not None
    assert changes[0].observed_at <= changes[1].not_before < changes[1].observed_at
    assert [event for event in events if isinstance(event, Transition)] == changes


def test_callback_exception_is_logged_and_the_wait_continues(
    endpoint: Sandbox, new_job: NewJob, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception in a callback is logged, and the wait continues to its end."""

    def broken(_: Transition) -> None:
        raise RuntimeError("mine")

    with caplog.at_level(logging.DEBUG, "automl_waiter"):
        outcome = wait_for(new_job("completed"), client=endpoint.client(), poll=0.1, on_transition=broken)
    assert outcome.verdict == Verdict.COMPLETED
    assert any("RuntimeError" in record.message for record in caplog.records if record.levelno == logging.ERROR)
    assert any("completed" in record.message for record in caplog.records if record.levelno == logging.INFO)


def test_failed_job_raises_unless_check_is_false(endpoint: Sandbox, new_job: NewJob) -> None:
    """A failed job raises JobFailed with its reason; with check=False its outcome is returned."""
    name = new_job("failed")
    with pytest.raises(JobFailed, match="data") as raised:
        wait_for(name, client=endpoint.client(), poll=0.1)
    assert raised.value.outcome is not None
    assert raised.value.outcome.failure_reason == "no\x1b[31m data"
    assert wait_for(name, client=endpoint.client(), check=False).verdict == Verdict.FAILED


def test_the_cancel_event_ends_the_wait_at_once(endpoint: Sandbox, new_job: NewJob) -> None:
    """Setting the event ends a long sleep at once."""
    cancel = threading.Event()
    threading.Timer(0.5, cancel.set).start()
    begun = time.monotonic()
    with pytest.raises(WaitCancelled):
        wait_for(new_job("endless"), client=endpoint.client(), poll=600, cancel_event=cancel)
    assert time.monotonic() - begun < 5


class Hanging:
    """A client whose calls never return."""

    class meta:
        region_name = "us-east-1"

    def describe_auto_ml_job_v2(self, **_: str) -> Any:
        time.sleep(60)


def test_hanging_call_is_abandoned_at_the_deadline_or_cancel() -> None:
    """A hanging call is abandoned within a second of the deadline, or at once on a cancel."""
    begun = time.monotonic()
    with pytest.raises(WaitTimeout):
        wait_for("churn", client=Hanging(), timeout=0.3)
    assert time.monotonic() - begun < 3
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    with pytest.raises(WaitCancelled):
        wait_for("churn", client=Hanging(), cancel_event=cancel)
    assert time.monotonic() - begun < 5


def test_create_response_names_the_job(endpoint: Sandbox) -> None:
    """`wait_for` accepts the response of create_auto_ml_job_v2 as the job."""
    response = endpoint.create_job("from-create", scenario="completed")
    assert wait_for(response, client=endpoint.client(), poll=0.1).job == response["AutoMLJobArn"]


def test_wait_for_all_and_as_completed_return_an_outcome_for_each_job(
    endpoint: Sandbox, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`wait_for_all` returns an outcome for each string; `as_completed` yields each as it is known; neither raises."""
    # Without this, the missing job would cost its grace period of 10 seconds.
    monkeypatch.setattr(waiter, "wait_options", lambda **given: replace(wait_options(**given), grace=0.5))
    good, bad = new_job("completed"), new_job("failed")
    outcomes = wait_for_all([good, bad, "no-such", good], client=endpoint.client(), poll=0.1)
    assert {job: str(outcome.verdict) for job, outcome in outcomes.items()} == {
        good: "completed",
        bad: "failed",
        "no-such": "not_found",
    }
    assert {outcome.job for outcome in as_completed([good, bad], client=endpoint.client())} == {good, bad}


def test_watch_ends_with_the_job_and_describe_polls_once(endpoint: Sandbox, new_job: NewJob) -> None:
    """`watch` yields each transition until the job ends, whatever its end; `describe` returns a snapshot or raises."""
    name = new_job("failed")
    assert describe(name, client=endpoint.client()).secondary_status == "AnalyzingData"
    assert [change.after.status for change in watch(name, client=endpoint.client(), poll=0.1)][-1] == "Failed"
    with pytest.raises(JobNotFound):
        describe("no-such", client=endpoint.client())


def test_asyncio_has_the_same_names(endpoint: Sandbox, new_job: NewJob) -> None:
    """Each function exists under asyncio, callbacks may be coroutines, and cancelling the task ends the wait."""
    phases: list[str] = []

    async def record(change: Transition) -> None:
        await asyncio.sleep(0)
        phases.append(change.after.secondary_status)

    async def main() -> None:
        client = endpoint.client()
        good, bad, endless = new_job("completed"), new_job("failed"), new_job("endless")
        assert (await aio.wait_for(good, client=client, poll=0.1, on_transition=record)).verdict == "completed"
        assert phases == ["ModelTuning", "Completed"]
        outcomes = await aio.wait_for_all([good, bad], client=client, poll=0.1)
        assert [str(outcome.verdict) for outcome in outcomes.values()] == ["completed", "failed"]
        assert [outcome.job async for outcome in aio.as_completed([bad], client=client)] == [bad]
        assert [change.after.status async for change in aio.watch(bad, client=client)] == ["Failed"]
        assert (await aio.describe(endless, client=client)).status == "InProgress"
        with pytest.raises(JobNotFound):
            await aio.describe("no-such", client=client)
        with pytest.raises(WaitTimeout):
            await aio.wait_for("churn", client=Hanging(), timeout=0.2)
        task = asyncio.ensure_future(aio.wait_for(endless, client=client, poll=600))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_watch_that_ends_before_its_job_raises(endpoint: Sandbox, new_job: NewJob) -> None:
    """The iteration stops only when the job ends; a permanent error or a timeout is raised."""
    denied = Answering(client_error("AccessDeniedException"))
    with pytest.raises(AccessDenied):
        list(watch("churn", client=denied))
    changes = watch(new_job("endless"), client=endpoint.client(), timeout=0)
    assert next(changes).after.secondary_status == "ModelTuning"
    with pytest.raises(WaitTimeout):
        next(changes)

    async def main() -> None:
        async for _ in aio.watch("churn", client=denied):
            raise AssertionError

    with pytest.raises(AccessDenied):
        asyncio.run(main())


def test_a_waiter_may_be_shared_by_threads() -> None:
    """Concurrent waits of one Waiter call their own callbacks and do not delay each other."""
    calls: list[str] = []

    def on_event(event: Event) -> None:
        time.sleep(0.05)
        calls.append(f"{event.job_name} {event.event}")

    waiter = automl_waiter.Waiter(
        Answering(Timeline([(0, "Completed", "Completed")]).response(9, name="churn", created=EPOCH, arn="arn")),
        on_event=on_event,
    )
    threads = [threading.Thread(target=waiter.wait, args=["churn"]) for _ in range(8)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(calls) == ["churn outcome"] * 8 + ["churn transition"] * 8
    assert time.monotonic() - begun < 5


def test_a_cancelled_wait_under_asyncio_leaves_no_task() -> None:
    """Cancelling the task of a wait, or leaving its events early, leaves no pending task in the loop."""

    async def main() -> int:
        waiting = asyncio.create_task(aio.wait_for("churn", client=Moving(), poll=60))
        await asyncio.sleep(0.2)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        async for _ in aio.watch("churn", client=Moving(), poll=60):
            break
        await asyncio.sleep(0.1)
        return len(asyncio.all_tasks())

    assert asyncio.run(main()) == 1


def test_arn_of_another_region_than_the_client_is_refused(endpoint: Sandbox) -> None:
    """A client is never called for a job of another region."""
    with pytest.raises(InvalidRequest, match="eu-west-1"):
        wait_for("arn:aws:sagemaker:eu-west-1:123456789012:automl-job/churn", client=endpoint.client())


class Moving(Answering):
    """A client of a job that completes at its fourth poll."""

    def __init__(self) -> None:
        super().__init__(None)
        self.script = Timeline([(0, "InProgress", "ModelTuning"), (3, "Completed", "Completed")])
        self.polls = 0

    def describe_auto_ml_job_v2(self, **_: str) -> Any:
        self.polls += 1
        return self.script.response(self.polls - 1, name="churn", created=EPOCH, arn="arn")


def test_wall_clock_jumps_do_not_affect_a_wait() -> None:
    """A wall clock that stands still or jumps by a year changes neither the wait nor its timeout."""
    with freezegun.freeze_time("2026-06-01") as frozen:
        jump = threading.Timer(0.15, lambda: frozen.move_to("2027-06-01"))
        jump.start()
        outcome = wait_for("churn", client=Moving(), poll=0.1, timeout=60)
        jump.join()
    assert outcome.verdict == Verdict.COMPLETED
    assert [change.observed_at.year for change in outcome.transitions] == [2026, 2027]
    assert outcome.waited < 30
    with freezegun.freeze_time("2026-06-01"), pytest.raises(WaitTimeout):
        wait_for("churn", client=Answering(Moving().describe_auto_ml_job_v2()), poll=0.1, timeout=0.3)


def test_wall_clock_jumps_do_not_affect_a_wait_under_asyncio() -> None:
    """The same in asyncio, whose own clock freezegun would stop without `real_asyncio`."""
    with freezegun.freeze_time("2026-06-01", real_asyncio=True):
        outcome = asyncio.run(aio.wait_for("churn", client=Moving(), poll=0.1, timeout=60))
    assert outcome.verdict == Verdict.COMPLETED
    assert outcome.waited < 30


def test_default_client_makes_one_attempt_per_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that the library creates has the SDK's retries turned off and the requested region."""
    for name, value in clean_environment().items():
        monkeypatch.setenv(name, value)
    client = connect(region="eu-west-1").client
    assert client.meta.config.retries["total_max_attempts"] == 1
    assert client.meta.region_name == "eu-west-1"


def test_wait_works_under_mock_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's client works unchanged under moto's mock_aws."""
    from moto import mock_aws

    for name, value in clean_environment().items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        client = boto3.client("sagemaker", region_name="us-east-1")
        client.create_auto_ml_job_v2(
            AutoMLJobName="churn",
            AutoMLJobInputDataConfig=[{"ChannelType": "training"}],
            OutputDataConfig={"S3OutputPath": "s3://amzn-s3-demo-bucket/output"},
            AutoMLProblemTypeConfig={"ImageClassificationJobConfig": {"CompletionCriteria": {"MaxCandidates": 1}}},
            RoleArn="arn:aws:iam::123456789012:role/example",
        )
        outcome = wait_for("churn", client=client, timeout=0, check=False)
    assert outcome.verdict == Verdict.TIMED_OUT
    assert outcome.status == "InProgress"
