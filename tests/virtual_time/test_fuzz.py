"""Thousands of virtual jobs, with faults, unknown statuses, members that are missing or cannot be read, answers about
other jobs, callables that raise, machines that sleep and clocks that jump.

Every wait ends as the job did, or by its own deadline or error budget, and reports what it observed. The scripted client
records its answers, with which the events are compared.
"""

import asyncio
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from botocore import exceptions as sdk
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual import Sleepy, from_source, kernel_of

from automl_waiter import Ended, Event, Outcome, PhaseAware, PollContext, Snapshot, Transition, Verdict, aio
from automl_waiter._aws.connection import Connection
from automl_waiter._aws.gateway import Boto3Gateway
from automl_waiter._model.errors import AccessDenied, CredentialsExpired, InvalidRequest, ServiceUnavailable
from automl_waiter._model.options import wait_options
from automl_waiter.sandbox.paging import summary_of
from automl_waiter.testing import EPOCH, Timeline
from automl_waiter.waiter import events_of

TERMINAL = {"Completed", "Failed", "Stopped"}
ARN = "arn:aws:sagemaker:us-east-1:123456789012:automl-job/"

FOREIGN = ["foreign", "namesake"]
PASSING = ["ThrottlingException", "InternalFailure", "ServiceUnavailable", "reset", "silence", "cut", "empty", "page"]
PASSING += ["unreadable", "source", *FOREIGN]
PERMANENT = ["AccessDeniedException", "ValidationException", "ExpiredTokenException"]
OPTIONAL = ["EndTime", "FailureReason", "BestCandidate", "PartialFailureReasons", "AutoMLJobObjective"]
# Values of the wrong type for an optional member.
WRONG: list[Any] = ["abc", "NaN", 5, float("inf"), True, [], {}, [[[[]]]], ["a", 5], {"a": {"b": object()}}, object()]
WRONG += [datetime(9999, 12, 31, tzinfo=timezone(timedelta(hours=-14)))]
GARBLED = [*OPTIONAL, "ResolvedAttributes", "AutoMLProblemTypeConfig", "ModelDeployConfig", "RoleArn", "NotYetKnown"]


class JumpyClock(Sleepy):
    """A machine that sleeps, and whose time of day jumps: each jump has a second and a length in seconds."""

    def __init__(self, naps: list[tuple[float, float]], jumps: list[tuple[float, float]]) -> None:
        super().__init__(naps)
        self.jumps = jumps

    def now(self) -> datetime:
        jumped = sum(length for second, length in self.jumps if second <= self.monotonic())
        return super().now() + timedelta(seconds=jumped)


class Meta:
    """The `meta` of a client."""

    region_name = "us-east-1"


class Client:
    """A boto3 client of one scripted job, which fails by script and records its answers."""

    meta = Meta()

    def __init__(self, clock: JumpyClock, script: "Script", name: str) -> None:
        self.clock = clock
        self.script = script
        self.name = name
        self.faults = list(script.faults)
        self.answers: list[tuple[float, str]] = []
        """When each call was made, and what was answered: "" for a good answer, else the fault."""
        self.states: list[tuple[str, str]] = []

    def describe_auto_ml_job_v2(self, AutoMLJobName: str) -> dict[str, Any]:
        assert AutoMLJobName == self.name
        fault = self.faults.pop(0) if self.faults else ""
        now = self.clock.monotonic()
        if not fault and now < self.script.appears_at:
            fault = "ResourceNotFound"
        self.answers.append((now, fault))
        if fault:
            return self._fail(fault)
        response = self._good()
        for member in self.script.missing:
            response.pop(member, None)
        response |= self.script.garbled
        if self.script.has_date:
            date = format_datetime(EPOCH + timedelta(seconds=now), usegmt=True)
            response["ResponseMetadata"] = {"HTTPHeaders": {"date": date}, "RequestId": "x"}
        self.states.append((response["AutoMLJobStatus"], response["AutoMLJobSecondaryStatus"]))
        return response

    def _good(self) -> dict[str, Any]:
        elapsed = self.clock.monotonic()
        return self.script.timeline.response(elapsed, name=self.name, created=EPOCH, arn=ARN + self.name)

    def list_auto_ml_jobs(self, **_: Any) -> dict[str, Any]:
        # The job is listed from the start: otherwise a describe that does not find it ends the wait after two seconds.
        return {"AutoMLJobSummaries": [summary_of(self._good())]}

    def _fail(self, fault: str) -> dict[str, Any]:
        match fault:
            case "reset":
                raise sdk.ConnectionClosedError(endpoint_url="https://aws")
            case "silence":
                self.clock.advance(20)
                raise sdk.ReadTimeoutError(endpoint_url="https://aws")
            case "source":
                from_source(ValueError("Expecting value: line 1 column 1 (char 0)"))
                raise AssertionError
            case "cut":
                return {"AutoMLJobName": self.name, "AutoMLJobStatus": "Completed"}
            case "empty":
                return {}
            case "unreadable":
                return self._good() | {"CreationTime": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))}
            case "foreign":
                return self._good() | {"AutoMLJobName": "other", "AutoMLJobArn": f"{ARN}other"}
            case "namesake" if self.states:
                return self._good() | {"AutoMLJobArn": ARN.replace("1234", "9999") + self.name}
            case "namesake":  # the job's account is not known yet
                return self._fail("foreign")
            case "page":
                error = {"Code": "403", "Message": "<html>"}
            case code:
                error = {"Code": code, "Message": "said the service"}
        raise sdk.ClientError(
            {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 403 if fault == "page" else 400}},
            "DescribeAutoMLJobV2",
        )


@dataclass(frozen=True)
class Script:
    """One job: what it does, and how the calls for it fail."""

    timeline: Timeline
    faults: list[str]
    missing: list[str]
    garbled: dict[str, Any]
    appears_at: float
    has_date: bool


phases = st.sampled_from(
    "Starting AnalyzingData FeatureEngineering ModelTuning MaxCandidatesReached GeneratingModelInsightsReport Pondering "
    "MergingAutoMLTaskReports DeployingModel Completed Failed ExplainabilityError PreTraining".split()
)
statuses = st.sampled_from(["InProgress"] * 6 + ["Stopping", "Pondering"])
ends = st.sampled_from(
    [
        *[("Completed", phase) for phase in ("Completed", "ModelDeploymentError", "ExplainabilityError", "Wondering")],
        *[("Failed", "Failed"), ("Failed", "MaxAutoMLJobRuntimeReached"), ("Stopped", "Stopped")],
    ]
)
durations = st.sampled_from([0.5, 3.0, 9.0, 40.0]) | st.floats(0.1, 20_000)


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """A job that comes to an end."""
    second, entries = 0.0, []
    for _ in range(draw(st.integers(0, 6))):
        entries.append((second, draw(statuses), draw(phases)))
        second += draw(durations)
    max_runtime = draw(st.none() | st.integers(60, 30_000))
    return Timeline([*entries, (second, *draw(ends))], max_runtime=max_runtime, deploy=draw(st.booleans()))


faults = st.lists(
    st.lists(st.sampled_from(PASSING), max_size=6)
    | st.tuples(st.sampled_from(PASSING), st.integers(1, 40)).map(lambda burst: [burst[0]] * burst[1])
    | st.lists(st.just(""), min_size=1, max_size=8)
    | st.sampled_from([""] * 20 + [*PERMANENT, "ResourceNotFound"]).map(lambda fault: [fault]),
    max_size=8,
).map(lambda bursts: [fault for burst in bursts for fault in burst])

scripts = st.builds(
    Script,
    timeline=timelines(),
    faults=faults,
    missing=st.lists(st.sampled_from(OPTIONAL), unique=True),
    garbled=st.dictionaries(st.sampled_from(GARBLED), st.sampled_from(WRONG), max_size=3),
    appears_at=st.sampled_from([0.0] * 6 + [0.5, 5.0, 9.0, 500.0]),
    has_date=st.booleans(),
)

options = st.fixed_dictionaries(
    {
        "timeout": st.none() | st.just("auto") | st.sampled_from([0.0, 5.0]) | st.floats(0, 40_000),
        "poll": st.none() | st.floats(20, 900),
        "error_budget": st.sampled_from([900.0, 900.0, 0.0, 30.0, 7200.0]),
    }
)


class Mistake(Exception):
    """The exception that a callable of the caller raises."""


@dataclass(frozen=True)
class Raising:
    """A condition or a policy that raises for one job once it has reached an age in seconds."""

    job: str
    age: float

    def __call__(self, snapshot: Snapshot) -> bool:
        if snapshot.name == self.job and (snapshot.last_modified_at - EPOCH).total_seconds() >= self.age:
            raise Mistake
        return False

    def next_delay(self, context: PollContext, /) -> float:
        if context.snapshot.name == self.job and context.elapsed >= self.age:
            raise Mistake
        return PhaseAware().next_delay(context)


raising = st.none() | st.tuples(
    st.sampled_from(["until", "poll"]), st.builds(Raising, st.sampled_from(["job-0", "job-1"]), st.floats(0, 5_000))
)
seconds = st.floats(0, 30_000)
naps = st.lists(st.tuples(seconds, st.floats(1, 50_000)), max_size=3).map(sorted)
jumps = st.lists(st.tuples(seconds, st.floats(-1e6, 1e6)), max_size=3)


def check_waits(
    scripts: list[Script],
    options: dict[str, Any],
    naps: list[tuple[float, float]],
    jumps: list[tuple[float, float]],
    under_asyncio: bool,
    raising: tuple[str, Raising] | None = None,
) -> None:
    """Check that a wait ends as the job did or by its deadline or error budget, and reports each transition once."""
    clock = JumpyClock(list(naps), jumps)
    if raising is not None:
        options = options | dict([raising])
    clients = [Client(clock, script, f"job-{n}") for n, script in enumerate(scripts[:2] if under_asyncio else scripts)]
    ends: dict[str, float] = {}
    events: list[Event] = []
    for event in run(clients, options, clock, under_asyncio):
        assert event.job_name not in ends, "nothing is reported of a job after its outcome"
        events.append(event)
        if isinstance(event, Ended):
            # Under asyncio virtual time has advanced when an event is read.
            ends[event.job_name] = event.outcome.waited if under_asyncio else clock.monotonic()
    assert set(ends) == {client.name for client in clients}
    # In virtual time a hanging call delays all jobs, as a sleeping machine does.
    is_punctual = not naps and not any("silence" in script.faults for script in scripts)
    for client in clients:
        reported = [event for event in events if event.job_name == client.name]
        assert isinstance(reported[-1], Ended)
        check_transitions(client, reported, reported[-1].outcome)
        check_end(client, reported[-1].outcome, ends[client.name], options, is_punctual=is_punctual)


anything = given(
    scripts=st.lists(scripts, min_size=2, max_size=5),
    options=options,
    naps=naps,
    jumps=jumps,
    under_asyncio=st.booleans(),
    raising=raising,
)


@pytest.mark.large
@anything
def test_random_waits_end_correctly(**thrown: Any) -> None:
    """Waits with random faults end with a correct outcome."""
    check_waits(**thrown)


@pytest.mark.soak
@settings(max_examples=3000)
@anything
def test_thousands_of_random_waits_end_correctly(**thrown: Any) -> None:
    """Thousands of waits with random faults end with a correct outcome."""
    check_waits(**thrown)


def run(clients: Sequence[Client], options: dict[str, Any], clock: JumpyClock, under_asyncio: bool) -> list[Event]:
    """Return the events of a wait for these jobs."""
    names = [client.name for client in clients]
    gateways = [Boto3Gateway(Connection(client)) for client in clients]
    kernel = kernel_of(names, gateways, wait_options(**options), clock)
    if not under_asyncio:
        return events_of(kernel, clock)  # type: ignore[return-value]

    async def collect() -> list[Event]:
        return [event async for event in aio.events_of(kernel, clock)]

    return asyncio.run(collect())


def check_transitions(client: Client, events: list[Event], outcome: Outcome) -> None:
    """Check that each change in the responses is reported once, in order, and nothing after the first terminal one."""
    seen: list[tuple[str, str]] = []
    for state in client.states:
        if not seen or (state != seen[-1] and seen[-1][0] not in TERMINAL):
            seen.append(state)
    reported = [event for event in events if isinstance(event, Transition)]
    assert [(event.after.status, event.after.secondary_status) for event in reported] == seen
    assert list(outcome.transitions) == reported
    good = [fault for _, fault in client.answers if not fault]
    assert len(good) == len(client.states)


def check_end(client: Client, outcome: Outcome, ended: float, options: dict[str, Any], *, is_punctual: bool) -> None:
    """Check that the verdict is true of the job, or that the wait had a reason to end earlier."""
    last = client.answers[-1][1]
    last_state = client.states[-1] if client.states else ("", "")
    is_seen_to_end = last_state[0] in TERMINAL
    timeout = options["timeout"]
    match outcome.verdict:
        case Verdict.COMPLETED | Verdict.DEGRADED | Verdict.FAILED | Verdict.STOPPED:
            assert is_seen_to_end
            assert not last
            wanted = {"FAILED": "Failed", "STOPPED": "Stopped"}.get(outcome.verdict.name, "Completed")
            assert outcome.status == last_state[0] == wanted
        case Verdict.TIMED_OUT:
            assert not is_seen_to_end
            assert timeout is not None
            assert last not in PERMANENT
            if timeout != "auto":
                assert ended >= timeout
                assert not is_punctual or ended <= timeout + 1
        case Verdict.CONDITION_NOT_MET:
            assert last_state[0] == "Completed"
            assert "until" in options
        case Verdict.ERROR if isinstance(outcome.error and outcome.error.__cause__, Mistake):
            assert not last
            assert (client.name, outcome.exit_code) == (raising_in(options).job, 2)
        case Verdict.NOT_FOUND if last in FOREIGN:
            assert not client.states
            since = min(at for at, _ in trailing(client, FOREIGN))
            assert ended - since >= 10 - 1e-6
        case Verdict.NOT_FOUND:
            assert last == "ResourceNotFound"
            assert not is_seen_to_end
            assert client.states or ended >= min(10, math.inf if timeout in (None, "auto") else timeout)
        case Verdict.ERROR:
            assert not is_seen_to_end
            check_error(client, outcome, ended, options, last, is_punctual=is_punctual)
        case verdict:
            raise AssertionError(f"a wait cannot end as {verdict}")


def trailing(client: Client, faults: list[str]) -> Iterator[tuple[float, str]]:
    """Return the last answers that are such faults, latest first."""
    return itertools.takewhile(lambda answer: answer[1] in faults, reversed(client.answers))


def raising_in(options: dict[str, Any]) -> Raising:
    """Return the callable that raises, among the options."""
    return next(value for value in options.values() if isinstance(value, Raising))


def check_error(
    client: Client, outcome: Outcome, ended: float, options: dict[str, Any], last: str, *, is_punctual: bool
) -> None:
    """Check that an error is a permanent one just received, or transient ones for the whole error budget.

    A source of credentials that fails before the first good answer has 30 s.
    """
    kinds = {
        "AccessDeniedException": AccessDenied,
        "ValidationException": InvalidRequest,
        "ExpiredTokenException": CredentialsExpired,
        "source": CredentialsExpired,
    }
    assert type(outcome.error) is kinds.get(last, ServiceUnavailable)
    if last in PASSING:
        failures = [*trailing(client, PASSING)]
        due = min(at for at, _ in failures) + options["error_budget"]
        if not client.states:
            due = min([due, *(at + 30 for at, fault in failures if fault == "source")])
        assert ended >= due - 1e-6
        assert not is_punctual or ended <= due + 1
