"""The command's estimates over HTTP: in text lines, in `status`, and as JSON."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from faulty_endpoint import FaultyEndpoint, service_error
from programs import Command

from automl_waiter.testing import Timeline

TRAINING = [(0, "InProgress", "ModelTuning")]
DONE = Timeline([*TRAINING, (3600, "Completed", "Completed")])
WORDS = (
    r"about \d\dm left, done around (\d{4}-\d\d-\d\d )?\d\d:\d\d UTC "
    r"\((\d{4}-\d\d-\d\d )?\d\d:\d\d–(\d{4}-\d\d-\d\d )?\d\d:\d\d\), based on 4 similar jobs"
)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[FaultyEndpoint]:
    """An endpoint with a job that has run for 40 minutes, and four siblings that took an hour."""
    with FaultyEndpoint() as endpoint:
        for day in range(1, 5):
            endpoint.add(f"churn-{day}", DONE, age=86400.0 * day)
        endpoint.add("churn-5", DONE, age=2400)
        yield endpoint


def calls(endpoint: FaultyEndpoint) -> int:
    return len(endpoint.calls("ListAutoMLJobs", ""))


def test_status_says_when_the_job_will_end(inside: Command) -> None:
    result = inside("status", "churn-5")

    assert (result.returncode, result.stderr) == (75, "")
    assert re.fullmatch(rf"churn-5: InProgress/ModelTuning, 40m( \ds)? after creation, {WORDS}\n", result.stdout)


def test_status_has_the_estimate_in_json(inside: Command) -> None:
    [job] = json.loads(inside("status", "churn-5", "-o", "json").stdout)["jobs"]

    estimate = job["estimate"]
    assert estimate["based_on"] == 4
    ends = [datetime.fromisoformat(estimate[name]) for name in ("earliest", "ends_at", "latest")]
    assert datetime.now(UTC) < ends[0] < ends[1] < ends[2]
    assert abs(ends[1] - datetime.now(UTC) - timedelta(minutes=20)) < timedelta(minutes=2)


@pytest.mark.parametrize("flags", [["--no-estimate"], []])
def test_a_job_without_an_estimate_has_null(inside: Command, endpoint: FaultyEndpoint, flags: list[str]) -> None:
    name = "churn-5" if flags else endpoint.add("fraud-1", DONE, age=2400)
    before = calls(endpoint)

    [job] = json.loads(inside("status", name, "-o", "json", *flags).stdout)["jobs"]

    assert job["estimate"] is None
    assert calls(endpoint) - before == (0 if flags else 1)


def test_a_wait_prints_the_estimate_once(inside: Command) -> None:
    lines = inside("wait", "churn-5", "--timeout", "1s", "--poll", "0.1s", "-o", "none").stderr.splitlines()

    [line] = [line for line in lines if "similar jobs" in line]
    assert re.fullmatch(rf"\S+ \S+Z  churn-5: {WORDS}", line)


@pytest.mark.parametrize("words", [["wait", "churn-5", "--timeout", "1s"], ["status", "churn-5"]])
def test_an_estimate_is_an_event(inside: Command, words: list[str]) -> None:
    events = [json.loads(line) for line in inside(*words, "-o", "jsonl").stdout.splitlines()]

    assert [event["event"] for event in events] == ["transition", "estimate", "outcome"]
    assert events[1].keys() == {"event", "at", "job_name", "ends_at", "earliest", "latest", "based_on"}


@pytest.mark.parametrize("flags", [["-q"], ["--no-estimate"]])
def test_quiet_and_no_estimate_print_no_estimate(inside: Command, flags: list[str]) -> None:
    result = inside("wait", "churn-5", "--timeout", "1s", "-o", "none", *flags)

    assert "similar" not in result.stderr


def test_denied_listing_prints_neither_estimate_nor_error(inside: Command, endpoint: FaultyEndpoint) -> None:
    expected = inside("status", "churn-5", "--no-estimate").stdout
    endpoint.add("", DONE, [service_error(400, "AccessDeniedException")])  # ListAutoMLJobs names no job

    result = inside("status", "churn-5")

    assert (result.returncode, result.stderr) == (75, "")
    assert re.sub(r"40m( \ds)?", "40m", result.stdout) == re.sub(r"40m( \ds)?", "40m", expected)
    del endpoint.server.jobs[""]
