"""The command through outages, signals and a soak test, in processes of its own."""

import json
import runpy
import shlex
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from environments import endpoint_environment
from faulty_endpoint import PASSING_FAULTS, PERMANENT_FAULTS, Fault, FaultyEndpoint, Handler, lasting, service_error
from programs import HURRIED, start
from reliability import (
    ABSENT,
    DENIED,
    ENDLESS,
    MOMENTS,
    ORDEALS,
    Moment,
    Signalled,
    Soaked,
    Survived,
    can_be_first,
    free_port,
    signal_at,
    soak,
    survive,
)
from repository import ROOT

from automl_waiter import Verdict
from automl_waiter._engine import retries
from automl_waiter._system import threads


@pytest.fixture(scope="module")
def endpoint() -> Iterator[FaultyEndpoint]:
    """Serve an endpoint with scripted faults."""
    with FaultyEndpoint() as endpoint:
        yield endpoint


@pytest.mark.long
def test_each_fault_script_ends_with_the_jobs_own_exit_code(endpoint: FaultyEndpoint, tmp_path: Path) -> None:
    """Throttles, resets, HTTP 500, broken bodies, an expired token and a late job are survived, with shorter pauses."""
    shorter: dict[str, list[Fault]] = {
        "60 s of HTTP 500": [lasting(1, service_error(500, "InternalFailure"))],
        "12 throttles in a row": [Handler.answer_rightly, *[service_error(400, "ThrottlingException")] * 4],
    }
    ordeals = [replace(it, faults=lambda it=it: shorter.get(it.name, it.faults())) for it in ORDEALS]
    assert_survived(survive(endpoint, ordeals, tmp_path, program=HURRIED))


@pytest.mark.soak
def test_each_fault_script_is_survived_with_the_real_retry_pauses(endpoint: FaultyEndpoint, tmp_path: Path) -> None:
    """The same, with the real pauses and a whole minute of HTTP 500."""
    assert_survived(survive(endpoint, ORDEALS, tmp_path))


def assert_survived(all_survived: list[Survived]) -> None:
    """Check that each exit code is the job's, on stdout too."""
    for survived in all_survived:
        name = survived.ordeal.name
        assert survived.code == survived.ordeal.code, (name, survived.stderr)
        assert survived.document["exit_code"] == survived.ordeal.code
        assert (survived.document["jobs"][0]["retries"] > 0) == survived.ordeal.is_retried, name
        assert "Traceback" not in survived.stderr


def test_refused_connection_is_retried() -> None:
    """A refused connection is retried until the endpoint accepts connections."""
    port = free_port()
    with start("wait", "late", "-o", "json", env=endpoint_environment(f"http://127.0.0.1:{port}")) as process:
        assert process.stderr is not None
        assert "retrying in" in process.stderr.readline()
        with FaultyEndpoint(port) as endpoint:
            endpoint.add("late", ABSENT.timeline)
            stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == ABSENT.code, stderr
    assert json.loads(stdout)["jobs"][0]["retries"] >= 1


def test_access_denied_ends_within_two_seconds_with_the_iam_action(endpoint: FaultyEndpoint, tmp_path: Path) -> None:
    """AccessDenied is not retried: the process exits in less than 2 s and names the IAM action."""
    seconds = []
    for _ in range(5):  # other tests run at the same time
        [denied] = survive(endpoint, [DENIED], tmp_path)
        assert denied.code == 77
        assert "sagemaker:DescribeAutoMLJobV2" in denied.stderr
        assert denied.document["jobs"][0]["polls"] == 1
        seconds.append(denied.seconds)
        if denied.seconds < 2:
            break
    assert min(seconds) < 2


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", MOMENTS, ids=[moment.name for moment in MOMENTS])
def test_a_signal_ends_the_wait_at_once(endpoint: FaultyEndpoint, moment: Moment, signum: signal.Signals) -> None:
    """At each tested moment a signal ends the wait at once, with the outcome so far and the command that resumes it."""
    if moment.is_first_process and not can_be_first():
        pytest.skip("this user may make no process namespace")
    seconds = []
    for attempt in range(5):
        job = f"s{MOMENTS.index(moment)}-{signum.name}-{attempt}"
        signalled = signal_at(endpoint, moment, signum, job)
        assert_reported(signalled, moment, signum, job)
        seconds.append(signalled.seconds)
        if signalled.seconds < 1:
            break
    # The page has the seconds of an idle machine, and must be below 0.5. Here other tests run at the same time, and
    # what could delay the exit (a call, a pause, a command, a poll) lasts for 10 s and more.
    assert min(seconds) < 1


def assert_reported(signalled: Signalled, moment: Moment, signum: signal.Signals, job: str) -> None:
    """Check that stdout has the outcome so far, stderr the resume command, and that a requested stop was sent."""
    assert signalled.code == 128 + signum
    document = json.loads(signalled.stdout)
    assert document["exit_code"] == signalled.code
    assert document["jobs"][0]["verdict"] == "cancelled"
    assert document["jobs"][0]["status"] == ("InProgress" if moment.is_begun else None)
    [resume] = [line for line in signalled.stderr.splitlines() if line.startswith("to resume: ")]
    words = shlex.split(resume.removeprefix("to resume: "))
    assert words == ["automl-waiter", "wait", job, *moment.arguments, "--output", "json"]
    assert signalled.stops == ("interrupt" in moment.arguments)
    assert "Traceback" not in signalled.stderr


def test_second_signal_exits_at_once(endpoint: FaultyEndpoint) -> None:
    """The first signal waits for a hanging stop; the second one does not."""
    endpoint.add("twice", ENDLESS)
    env = endpoint_environment(endpoint.url)
    with start("wait", "twice", "--stop-on", "interrupt", "--poll", "60s", env=env) as process:
        assert process.stderr is not None
        assert "InProgress" in process.stderr.readline()
        endpoint.then("twice", Handler.is_silent)
        process.send_signal(signal.SIGINT)
        while not endpoint.calls("StopAutoMLJob", "twice"):
            time.sleep(0.02)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 143
        assert time.monotonic() - begun < 2


def test_reliability_page_has_every_tested_case() -> None:
    """The page has a row for each fault, error, fault script and moment, and each of its waits ended as it should."""
    page = (ROOT / "docs" / "explanation" / "reliability.md").read_text()
    rows = {cells[1].strip(): cells for cells in (line.split("|") for line in page.splitlines()) if len(cells) > 3}
    tried = [*PASSING_FAULTS, *PERMANENT_FAULTS, *(it.name for it in [*ORDEALS, ABSENT]), *(it.name for it in MOMENTS)]
    assert [name for name in tried if name not in rows] == []
    assert {int(rows[name][3]) for name in PASSING_FAULTS} == {10}
    assert {name: int(rows[name][3]) for name in PERMANENT_FAULTS} == {
        name: code for name, (_, code, _) in PERMANENT_FAULTS.items()
    }
    ordeals = [*ORDEALS, ABSENT]
    assert {it.name: int(rows[it.name][3]) for it in ordeals} == {it.name: it.code for it in ordeals}
    assert max(float(rows[it.name][3]) for it in MOMENTS) < 0.5


def test_the_results_at_the_top_of_the_page_are_those_of_its_sections() -> None:
    page = (ROOT / "docs" / "explanation" / "reliability.md").read_text()
    assert f"\n{runpy.run_path(str(ROOT / 'docs' / 'make_reliability.py'))['results'](page)}\n" in page


@pytest.mark.long
def test_short_soak_leaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty waits with every fifth call failing get the right outcomes and leave no thread or descriptor."""
    monkeypatch.setattr(retries, "_HERD_PAUSE_S", 1)  # after a first call that is throttled
    monkeypatch.setattr(threads, "_IDLE_S", 1)
    assert_clean(soak(20, 3))


@pytest.mark.soak
def test_two_hundred_waits_for_two_minutes_leak_nothing() -> None:
    """Two hundred waits with every fifth call failing for two minutes lose no outcome, leak nothing and do not grow."""
    soaked = soak(200, 120)
    assert_clean(soaked)
    assert {len(outcome.transitions) for outcome in soaked.outcomes} == {3}
    assert soaked.late.memory - soaked.early.memory < 6


def assert_clean(soaked: Soaked) -> None:
    """Check that every outcome is right, that enough calls failed, and that the process holds no more than before."""
    assert {outcome.verdict for outcome in soaked.outcomes} == {Verdict.COMPLETED}
    assert 0.15 < soaked.faults / soaked.calls < 0.25
    assert soaked.after.threads <= soaked.before.threads
    assert soaked.after.descriptors <= soaked.before.descriptors
