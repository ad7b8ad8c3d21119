"""Events of AutoML jobs on an EventBridge bus, over HTTP, with a rule and its target."""

import asyncio
import json
import logging
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from environments import endpoint_environment
from event_bus import EventBus, answering, error, refusing, silent
from programs import Command, run, start
from repository import ROOT

from automl_waiter import InvalidRequest, Transition, aio, wait_for, wait_for_all
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.statuses import State
from automl_waiter.integrations.eventbridge import DETAIL_TYPE, SOURCE, EventBridgePublisher, event_entry
from automl_waiter.integrations.eventbridge.entries import size_of
from automl_waiter.sandbox.server import Sandbox
from automl_waiter.sandbox.timeline import Timeline

NewJob = Callable[[str], str]
PUBLISH = f"eventbridge:{EventBus.name}"
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
ARN = "arn:aws:sagemaker:us-east-1:123456789012:automl-job/"


@pytest.fixture(scope="module")
def one_bus() -> Iterator[EventBus]:
    with EventBus() as bus:
        yield bus


@pytest.fixture
def bus(one_bus: EventBus) -> EventBus:
    """A bus without events yet."""
    one_bus.forget()
    return one_bus


@pytest.fixture(scope="module")
def events(one_bus: EventBus) -> Any:
    """A client of the bus."""
    return one_bus.client()


Wait = Callable[..., Any]


@pytest.fixture
def wait(inside: Command, bus: EventBus) -> Wait:
    """Runs `automl-waiter wait --publish` with these arguments."""

    def run(*arguments: str) -> Any:
        more = ("--publish", PUBLISH, "--poll", "0.1s", "-o", "none")
        return inside("wait", *more, *arguments, environment={"AWS_ENDPOINT_URL_EVENTBRIDGE": bus.url})

    return run


class Reports(list[str]):
    """What a publisher reported."""

    def __call__(self, line: str) -> None:
        self.append(line)


def transition(number: int = 0, secondary: str = "ModelTuning", status: str = "InProgress", **more: Any) -> Transition:
    state = State(status, secondary)
    return Transition(f"job-{number}", f"{ARN}job-{number}", None, state, NOW, None, **more)


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def details(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event["detail"] for event in events]


def test_target_receives_each_transition(wait: Wait, bus: EventBus, new_job: NewJob, endpoint: Sandbox) -> None:
    """The events arrive in order, with the statuses before and after and the time."""
    name = new_job("failed")
    assert wait(name).returncode == 10
    first, last = bus.received()
    arn = endpoint.client().describe_auto_ml_job_v2(AutoMLJobName=name)["AutoMLJobArn"]
    for event in (first, last):
        assert (event["source"], event["detail-type"], event["resources"]) == (SOURCE, DETAIL_TYPE, [arn])
        assert (event["detail"]["AutoMLJobName"], event["detail"]["AutoMLJobArn"]) == (name, arn)
        # EventBridge keeps whole seconds.
        assert event["time"] == event["detail"]["ObservedAt"][:19] + "Z"
    members = (
        "AutoMLJobStatus",
        "AutoMLJobSecondaryStatus",
        "PreviousAutoMLJobStatus",
        "PreviousAutoMLJobSecondaryStatus",
    )
    assert [first["detail"][member] for member in members] == ["InProgress", "AnalyzingData", None, None]
    assert [last["detail"][member] for member in members] == ["Failed", "Failed", "InProgress", "AnalyzingData"]
    assert first["detail"]["ObservedAt"] <= last["detail"]["NotBefore"] <= last["detail"]["ObservedAt"]


@pytest.mark.parametrize(
    ("script", "verdict", "shortfalls", "reason"),
    [
        ("completed", "completed", [], None),
        ("failed", "failed", [], "no\x1b[31m data"),
        ("stopped", "stopped", [], None),
        ("deploy-error", "degraded", ["endpoint"], None),
        ("explainability-error", "degraded", ["explainability"], None),
    ],
)
def test_final_event_has_the_verdict(
    script: str, verdict: str, shortfalls: list[str], reason: str | None, wait: Wait, bus: EventBus, new_job: NewJob
) -> None:
    """Only the last event has the verdict, the shortfalls and AWS's reason, whatever was required."""
    wait(new_job(script))
    *before, end = details(bus.received())
    assert not any("Verdict" in detail for detail in before)
    assert (end["Verdict"], end["Shortfalls"], end["FailureReason"]) == (verdict, shortfalls, reason)
    assert end["CreationTime"] < end["EndTime"] <= end["ObservedAt"]


def test_a_watch_publishes_every_job(inside: Command, bus: EventBus, endpoint: Sandbox) -> None:
    """`watch` publishes the transitions of each job that it follows."""
    names = {f"followed-{script}" for script in ("completed", "failed")}
    for name in names:
        endpoint.create_job(name, scenario=name.removeprefix("followed-"))
    environment = {"AWS_ENDPOINT_URL_EVENTBRIDGE": bus.url}
    flags = ("--publish", PUBLISH, "--poll", "0.1s", "--until-idle", "-o", "none", "--name-contains", "followed")
    assert inside("watch", *flags, environment=environment).returncode == 10
    ends = {detail["AutoMLJobName"]: detail["Verdict"] for detail in details(bus.received()) if "Verdict" in detail}
    assert ends == {name: name.removeprefix("followed-") for name in names}


def test_publisher_is_an_event_callback(bus: EventBus, events: Any, endpoint: Sandbox, new_job: NewJob) -> None:
    """A publisher is passed as on_event; leaving its block publishes the remaining events."""
    with EventBridgePublisher(bus.name, client=events) as publisher:
        outcome = wait_for(new_job("completed"), client=endpoint.client(), poll=0.1, on_event=publisher)
    received = details(bus.received())
    assert [detail["AutoMLJobSecondaryStatus"] for detail in received] == ["ModelTuning", "Completed"]
    assert received[-1]["EndTime"] == outcome.to_dict()["ended_at"]


def test_publisher_works_under_asyncio(bus: EventBus, events: Any, endpoint: Sandbox, new_job: NewJob) -> None:
    """The publisher is an asynchronous context manager and blocks no other task."""

    async def run() -> None:
        async with EventBridgePublisher(bus.name, client=events) as publisher:
            await aio.wait_for(new_job("completed"), client=endpoint.client(), poll=0.1, on_event=publisher)

    asyncio.run(run())
    assert details(bus.received())[-1]["Verdict"] == "completed"


def test_many_events_go_in_batches(bus: EventBus, events: Any, endpoint: Sandbox) -> None:
    """Events of many jobs go up to ten in one request, and all arrive."""
    names = [f"batch-{number}-{time.monotonic_ns()}" for number in range(12)]
    for name in names:
        endpoint.create_job(name, scenario="failed")
    bus.fail(silent(0.5), operation="DescribeEventBus")  # while they come in
    with EventBridgePublisher(bus.name, client=events) as publisher:
        wait_for_all(names, client=endpoint.client(), poll=0.1, max_rate=200, on_event=publisher)
    ended = [detail["AutoMLJobName"] for detail in details(bus.received()) if "Verdict" in detail]
    assert sorted(ended) == sorted(names)
    assert 10 in map(len, bus.puts)
    assert max(map(len, bus.puts)) <= 10


def test_a_request_has_at_most_256_kilobytes(bus: EventBus, events: Any) -> None:
    """Long texts are cut, and events too large for one request go in two."""
    raw = Timeline([(0, "Failed", "Failed")], failure_reason="x" * 9000).response(
        0, name="job-0", created=NOW, arn=f"{ARN}job-0"
    )
    longest = event_entry(transition(status="Failed", secondary="Failed"), Snapshot(raw))
    reason = json.loads(longest["Detail"])["FailureReason"]
    assert (len(reason), reason[-4:]) == (2000, "x...")
    assert size_of(longest) < 256 * 1024 / 20
    text = "\N{SNOWMAN}" * 20_000
    bus.fail(silent(0.5), operation="DescribeEventBus")
    large = [replace(transition(number, text, text), job_name=text) for number in range(10)]
    with EventBridgePublisher(bus.name, client=events) as publisher:
        publisher.deliver(transition(99))
        until(lambda: not bus.faults["DescribeEventBus"])
        for one in large:
            publisher.deliver(one)
    assert len(bus.received()) == 11
    assert len(bus.puts) == 3
    assert all(sum(len(entry["Detail"]) for entry in entries) < 256 * 1024 for entries in bus.puts)


def test_refused_entry_is_retried_alone(bus: EventBus, events: Any) -> None:
    """Only the refused entry of a batch is sent again, and later events of its job wait for it."""
    bus.fail(silent(0.3), operation="DescribeEventBus")
    taken: list[tuple[str, bool]] = []
    with EventBridgePublisher(bus.name, client=events) as publisher:
        bus.fail(refusing(None, "ThrottlingException", None))
        for number, secondary in [(0, "A"), (1, "B"), (2, "C"), (1, "D")]:
            publisher.deliver(transition(number, secondary), lambda ok, it=secondary: taken.append((it, ok)))
    put = [[json.loads(entry["Detail"])["AutoMLJobSecondaryStatus"] for entry in entries] for entries in bus.puts]
    assert put == [["A", "B", "C"], ["B"], ["D"]]
    assert taken == [("A", True), ("C", True), ("B", True), ("D", True)]


@pytest.mark.parametrize(
    "fault",
    [
        *(error(400, "ThrottlingException"), error(500, "InternalException"), error(503, "")),
        *(refusing("InternalFailure"), answering({}), answering(None)),
    ],
    ids=["throttled", "500", "503", "entry", "empty entry", "null entry"],
)
def test_transient_error_is_retried(fault: Any, wait: Wait, bus: EventBus, new_job: NewJob) -> None:
    """A transient error loses no event, publishes none twice, and is not reported."""
    bus.fail(fault, times=2)
    result = wait(new_job("failed"))
    assert len(bus.puts) >= 3
    received = details(bus.received())
    assert received[-1]["Verdict"] == "failed"
    assert len({detail["TransitionId"] for detail in received}) == len(received)
    assert "publish" not in result.stderr


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (error(413, "", ""), "AWS rejected PutEvents as too large (HTTP 413)"),
        (
            error(400, "ValidationException"),
            "AWS rejected PutEvents as invalid (ValidationException: said the service)",
        ),
        (error(403, "AccessDeniedException"), "allow the IAM action events:PutEvents"),
        (error(400, "ResourceNotFoundException"), "there is no such bus"),
        (refusing("MalformedDetail"), "AWS rejected PutEvents as invalid (MalformedDetail: no)"),
    ],
    ids=["413", "invalid", "denied", "no bus", "entry"],
)
def test_permanent_error_is_reported_at_once(fault: Any, words: str, bus: EventBus, events: Any) -> None:
    reports, accepted = Reports(), list[bool]()
    bus.fail(fault)
    with EventBridgePublisher(bus.name, client=events, report=reports) as publisher:
        publisher.deliver(transition(), accepted.append)
        until(lambda: accepted)
        [report] = reports
    assert words in report
    assert (accepted, len(bus.puts)) == ([False], 1)


@pytest.mark.parametrize(
    ("fault", "words"),
    [(error(500, "InternalException"), "server error: InternalException: said the service"), (silent(), "no answer")],
    ids=["500", "silent"],
)
def test_the_reason_of_an_outage_is_reported_at_the_end(fault: Any, words: str, bus: EventBus, events: Any) -> None:
    bus.fail(fault, times=50)
    reports = Reports()
    with EventBridgePublisher(bus.name, client=events, report=reports, limit=0.3) as publisher:
        publisher.deliver(transition())
        until(lambda: bus.puts)
    assert any(words in report for report in reports), reports
    assert "1 of 1 event was not published" in reports[-1]


@pytest.mark.long
def test_lasting_outage_is_reported_and_changes_no_exit_code(wait: Wait, bus: EventBus, new_job: NewJob) -> None:
    """After the error budget stderr says what was not published; the exit code is the job's."""
    bus.fail(error(500, "InternalException"), times=200)
    result = wait(new_job("completed"), "--error-budget", "1s")
    assert result.returncode == 0
    assert bus.received() == []
    assert f"cannot publish to the event bus {bus.name}: PutEvents failed for " in result.stderr
    assert re.search(
        r"\d events? (was|were) not published to the event bus|of \d events were not published", result.stderr
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("eventbridge:no-such", "there is no such bus in us-east-1: check the name, the region and the account"),
        (
            PUBLISH,
            "PutEvents was denied in us-east-1: allow the IAM action events:PutEvents (AccessDeniedException: no)",
        ),
    ],
)
def test_unusable_bus_is_reported_once(flags: str, said: str, inside: Command, bus: EventBus, new_job: NewJob) -> None:
    """A missing or denied bus is reported in one line for the whole wait, and unpublished events are counted."""
    if flags == PUBLISH:
        bus.fail(error(400, "AccessDeniedException", "no"), times=9)
    environment = {"AWS_ENDPOINT_URL_EVENTBRIDGE": bus.url}
    result = inside(
        "wait", new_job("completed"), "--publish", flags, "--poll", "0.1s", "-o", "none", environment=environment
    )
    assert result.returncode == 0
    [line] = [line for line in result.stderr.splitlines() if "cannot publish" in line]
    assert said in line
    assert "2 of 2 events were not published" in result.stderr


def test_second_outage_is_reported_again(bus: EventBus, events: Any) -> None:
    """After an accepted event, the next refused one is reported again."""
    reports, taken = Reports(), list[bool]()
    with EventBridgePublisher(bus.name, client=events, report=reports) as publisher:
        for number, fault in enumerate(
            [error(400, "AccessDeniedException"), None, error(400, "AccessDeniedException")]
        ):
            if fault:
                bus.fail(fault)
            publisher.deliver(transition(number), taken.append)
            until(lambda number=number: len(taken) > number)
    assert taken == [False, True, False]
    assert len([line for line in reports if "events:PutEvents" in line]) == 2


FORGETFUL = """
import sys
from automl_waiter import wait_for
from automl_waiter.integrations.eventbridge import EventBridgePublisher
wait_for(sys.argv[1], poll=0.1, check=False, on_event=EventBridgePublisher(sys.argv[2]))
"""


def test_publisher_without_a_block_publishes_at_exit(bus: EventBus, endpoint: Sandbox, new_job: NewJob) -> None:
    """A program that never leaves its publisher's block publishes the last event before it exits."""
    bus.fail(silent(0.5), operation="DescribeEventBus")
    environment = endpoint_environment(endpoint.url, AWS_ENDPOINT_URL_EVENTBRIDGE=bus.url)
    words = [sys.executable, "-c", FORGETFUL, new_job("completed"), bus.name]
    assert run(words, env=environment).returncode == 0
    assert details(bus.received())[-1]["Verdict"] == "completed"


def test_denied_describe_event_bus_does_not_prevent_publishing(wait: Wait, bus: EventBus, new_job: NewJob) -> None:
    """Without permission for DescribeEventBus, events are published unchecked."""
    bus.fail(error(400, "AccessDeniedException"), operation="DescribeEventBus")
    assert "publish" not in wait(new_job("completed")).stderr
    assert details(bus.received())[-1]["Verdict"] == "completed"


def test_journal_prevents_publishing_twice(wait: Wait, bus: EventBus, new_job: NewJob, tmp_path: Path) -> None:
    """An event that the bus accepted is not published again by a later run with the same journal."""
    name, journal = new_job("completed"), str(tmp_path / "jobs.db")
    wait(name, "--journal", journal)
    assert bus.received()
    wait(name, "--journal", journal)
    assert bus.received() == []


def test_refused_events_are_published_by_the_next_run(
    wait: Wait, bus: EventBus, new_job: NewJob, tmp_path: Path
) -> None:
    """The journal keeps events that the bus refused; the next run publishes them with the same TransitionId."""
    name, journal = new_job("completed"), str(tmp_path / "jobs.db")
    bus.fail(error(400, "AccessDeniedException"), times=9)
    wait(name, "--journal", journal)
    refused = [json.loads(entry["Detail"])["TransitionId"] for entries in bus.puts for entry in entries]
    bus.faults["PutEvents"].clear()
    wait(name, "--journal", journal)
    received = details(bus.received())
    assert [detail["TransitionId"] for detail in received] == refused
    assert received[-1]["Verdict"] == "completed"


def test_hanging_bus_does_not_block_the_wait(bus: EventBus, events: Any, endpoint: Sandbox, new_job: NewJob) -> None:
    """The wait continues; at its end the publisher stops at its limit and reports what was not published."""
    bus.fail(silent(), operation="DescribeEventBus")
    reports = Reports()
    begun = time.monotonic()
    with EventBridgePublisher(bus.name, client=events, report=reports, limit=0.5) as publisher:
        outcome = wait_for(new_job("completed"), client=endpoint.client(), poll=0.1, on_event=publisher)
        assert outcome.polls == 2
    assert time.monotonic() - begun < 15
    assert reports == [f"2 of 2 events were not published to the event bus {bus.name}: no answer from EventBridge"]


def test_signal_ends_the_publisher(bus: EventBus, endpoint: Sandbox, new_job: NewJob) -> None:
    """SIGTERM does not wait for a hanging bus: the process ends and reports what was not published."""
    bus.fail(silent(), operation="DescribeEventBus")
    environment = endpoint_environment(endpoint.url, AWS_ENDPOINT_URL_EVENTBRIDGE=bus.url)
    process = start("wait", new_job("endless"), "--publish", PUBLISH, "--poll", "0.1s", env=environment)
    until(lambda: not bus.faults["DescribeEventBus"])
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert time.monotonic() - begun < 5
    assert process.returncode == 143
    assert f"1 of 1 event was not published to the event bus {bus.name}: the wait was interrupted" in said


def test_events_of_a_killed_wait_are_published_by_the_next_run(
    wait: Wait, bus: EventBus, endpoint: Sandbox, new_job: NewJob, tmp_path: Path
) -> None:
    """With a journal no event is lost if the process ends before the bus has answered."""
    bus.fail(silent(), operation="DescribeEventBus")
    name, journal = new_job("completed"), str(tmp_path / "jobs.db")
    environment = endpoint_environment(endpoint.url, AWS_ENDPOINT_URL_EVENTBRIDGE=bus.url)
    flags = ("--publish", PUBLISH, "--poll", "0.1s", "--journal", journal)
    process = start("wait", name, *flags, env=environment)
    until(lambda: not bus.faults["DescribeEventBus"])
    process.kill()
    process.communicate()
    wait(name, "--journal", journal)
    assert [detail["AutoMLJobSecondaryStatus"] for detail in details(bus.received())] == ["ModelTuning", "Completed"]


@pytest.mark.parametrize(
    "value", ["ml-events", "eventbridge:", "eventbridge:a/b", "sns:topic", "eventbridge:arn:aws:x"]
)
def test_invalid_publish_value_is_explained(value: str, inside: Command) -> None:
    """The message says how to write a bus, in one line."""
    result = inside("wait", "a", "--publish", value)
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    problem = f"{value!r} is not a bus: write eventbridge:NAME or eventbridge:ARN"
    assert line == f"automl-waiter: Invalid value for '--publish': {problem} (see automl-waiter wait --help)"


@pytest.mark.parametrize("bus_name", ["", "a/b", "arn:aws:x"])
def test_publisher_refuses_an_invalid_bus(bus_name: str) -> None:
    """The error is raised when the publisher is created."""
    with pytest.raises(InvalidRequest, match="is not an event bus"):
        EventBridgePublisher(bus_name)


def test_bus_region_comes_from_the_job_or_the_arn() -> None:
    """A name means the bus in the job's region, an ARN the bus that it names."""
    asked: list[str | None] = []

    def connect_to(region: str | None) -> Any:
        asked.append(region)
        raise InvalidRequest("not here")

    for name in ("ml-events", "arn:aws:events:eu-west-1:123456789012:event-bus/ml-events"):
        with EventBridgePublisher(name, connect_to=connect_to, report=Reports()) as publisher:
            publisher.deliver(transition())
    assert asked == ["us-east-1", "eu-west-1"]


def test_a_publisher_leaves_no_thread(bus: EventBus, events: Any) -> None:
    """The publisher's thread has ended when its block is left."""
    before = set(threading.enumerate())
    with EventBridgePublisher(bus.name, client=events) as publisher:
        publisher.deliver(transition())
        assert any(thread.name == "automl-waiter-publish" for thread in set(threading.enumerate()) - before)
    assert not any(thread.name == "automl-waiter-publish" for thread in set(threading.enumerate()) - before)


def test_unpublished_events_are_logged_without_a_report_function(
    bus: EventBus, events: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """In the library, an unpublished event is logged as an error."""
    bus.fail(error(400, "AccessDeniedException", "no"))
    with caplog.at_level(logging.ERROR), EventBridgePublisher(bus.name, client=events) as publisher:
        publisher.deliver(transition())
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "events:PutEvents" in caplog.messages[0]


def examples() -> list[dict[str, Any]]:
    page = (ROOT / "docs" / "howto" / "notifications.md").read_text()
    return [json.loads(found) for found in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]


def test_event_on_the_page_matches_a_received_one(wait: Wait, bus: EventBus, new_job: NewJob) -> None:
    """The event in docs/howto/notifications.md has the members of a real one, in the same order and of the same types."""
    wait(new_job("completed"))
    end = bus.received()[-1]
    shown, _ = examples()
    # What moto leaves out of the envelope is EventBridge's own.
    assert set(end) <= set(shown)
    assert list(end["detail"]) == list(shown["detail"])
    assert {name: type(value) for name, value in end["detail"].items()} == {
        name: type(value) for name, value in shown["detail"].items()
    }
    page = (ROOT / "docs" / "howto" / "notifications.md").read_text()
    table = page.partition("| member of `detail` |")[2].partition("\n\n")[0]
    members = {name for row in re.findall(r"(?m)^\| (`.*?) \|", table) for name in re.findall(r"`(\w+)`", row)}
    assert members == set(shown["detail"])


def test_rule_on_the_page_matches_failed_jobs_only(wait: Wait, bus: EventBus, new_job: NewJob) -> None:
    """The rule in docs/howto/notifications.md passes on the end of a failed job, and not that of a completed one."""
    _, pattern = examples()
    bus.add_rule(pattern)
    wait(new_job("completed"), bad := new_job("failed"))
    [detail] = details(bus.received())
    assert detail["AutoMLJobName"] == bad
