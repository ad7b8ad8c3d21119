"""How a wait reads AWS's responses: only those about the requested job, and only the members that are valid."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from virtual import run

from automl_waiter import Ended, Event, JobNotFound, JobReplaced, Notice, Outcome, Retry, Transition, Warned, waiter
from automl_waiter._aws.connection import Connection
from automl_waiter._aws.gateway import Boto3Gateway
from automl_waiter._engine.watch import Matching
from automl_waiter._model.errors import ServiceUnavailable, TransientError, TransientKind
from automl_waiter._model.options import WaitOptions, wait_options
from automl_waiter._wiring import watch_kernel
from automl_waiter.sandbox.paging import page_of, summary_of
from automl_waiter.testing import EPOCH, ManualClock, Timeline

ARN = "arn:aws:sagemaker:us-east-1:123456789012:automl-job/"
SCRIPT = Timeline([(0, "InProgress", "Starting"), (60, "InProgress", "ModelTuning"), (600, "Completed", "Completed")])
OVERFLOWING = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))

Change = Callable[[dict[str, Any], float], Any]


class Client:
    """A boto3 client to scripted jobs. `change` returns a replacement for a response, given it and its second."""

    def __init__(
        self,
        clock: ManualClock,
        *names: str,
        change: Change = lambda answer, _: answer,
        listed: Change = lambda page, _: page,
        candidates: Change = lambda page, _: page,
        region: Any = "us-east-1",
    ) -> None:
        self.clock, self.names = clock, names
        self.change, self.listed, self.candidates = change, listed, candidates
        self.meta = type("Meta", (), {"region_name": region})()

    def describe_auto_ml_job_v2(self, AutoMLJobName: str) -> Any:
        return self.change(self._job(AutoMLJobName), self.clock.monotonic())

    def list_auto_ml_jobs(self, **request: Any) -> Any:
        page = page_of([summary_of(self._job(name)) for name in self.names], request)
        return self.listed(page, self.clock.monotonic())

    def list_candidates_for_auto_ml_job(self, AutoMLJobName: str, **_: Any) -> Any:
        elapsed = self.clock.monotonic()
        found = SCRIPT.candidates(elapsed, name=AutoMLJobName, created=EPOCH, arn=ARN + AutoMLJobName)
        return self.candidates({"Candidates": found}, elapsed)

    def _job(self, name: str) -> dict[str, Any]:
        return SCRIPT.response(self.clock.monotonic(), name=name, created=EPOCH, arn=ARN + name)


def waited(
    *names: str, options: WaitOptions | None = None, jobs: Sequence[str] = (), **changes: Any
) -> tuple[dict[str, Outcome], list[Event], ManualClock]:
    """Return the outcomes of a wait by name, its events, and its clock at the end."""
    clock = ManualClock()
    gateway = Boto3Gateway(Connection(Client(clock, *names, **changes)), max_rate=1e6)
    events = run(jobs or names, [gateway] * len(names), options or wait_options(poll=20), clock)
    return {event.job_name: event.outcome for event in events if isinstance(event, Ended)}, events, clock


def about(**members: str) -> Change:
    """Return a change that answers about another job."""
    return lambda answer, _: answer | members


OTHER = about(AutoMLJobName="other", AutoMLJobArn=f"{ARN}other")
FOREIGN = {
    "another name": about(AutoMLJobName="other"),
    "another name and ARN": OTHER,
    "another name in the ARN": about(AutoMLJobArn=f"{ARN}other"),
    "another region": about(AutoMLJobArn=ARN.replace("us-east-1", "eu-west-1") + "churn"),
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN)
def test_responses_about_another_job_only_are_not_found_after_ten_seconds(change: Change) -> None:
    """A response about another job is a transient error; after 10 s of nothing else the job does not exist."""
    outcomes, events, clock = waited("churn", change=change)
    assert (outcomes["churn"].exit_code, type(outcomes["churn"].error)) == (14, JobNotFound)
    assert clock.monotonic() == pytest.approx(10)
    retries = [event for event in events if isinstance(event, Retry)]
    assert {event.kind for event in retries} == {TransientKind.FOREIGN}
    assert all("the response is about " in event.message for event in retries)
    assert outcomes["churn"].transitions == ()


@pytest.mark.parametrize("answer", [about(AutoMLJobArn=ARN.replace("1234", "9999") + "churn")])
def test_job_of_the_same_name_in_another_account_is_not_found(answer: Change) -> None:
    """The job of the same name is retried for 10 s too, and the error asks for the account's credentials."""
    outcomes, events, clock = waited("churn", jobs=[f"{ARN}churn"], change=answer)
    assert (outcomes["churn"].exit_code, type(outcomes["churn"].error)) == (14, JobReplaced)
    assert "credentials of that account" in str(outcomes["churn"].error)
    assert clock.monotonic() == pytest.approx(10)
    assert {event.kind for event in events if isinstance(event, Retry)} == {TransientKind.NAMESAKE}


@pytest.mark.parametrize("job", ["churn", f"{ARN}churn"])
@pytest.mark.parametrize("change", [OTHER, about(AutoMLJobArn=ARN.replace("1234", "9999") + "churn")])
def test_responses_about_another_job_are_retried_within_the_error_budget(job: str, change: Change) -> None:
    """After the first good response the wait survives some minutes of them, and ends with the error budget."""

    def between(begin: float, end: float) -> Change:
        return lambda answer, second: change(answer, second) if begin <= second < end else answer

    outcomes, _, _ = waited("churn", jobs=[job], change=between(70, 400))
    assert outcomes["churn"].exit_code == 0
    assert [str(one.after.secondary_status) for one in outcomes["churn"].transitions][-1] == "Completed"
    outcomes, _, clock = waited("churn", jobs=[job], change=between(70, 1e9))
    assert (outcomes["churn"].exit_code, type(outcomes["churn"].error)) == (69, ServiceUnavailable)
    assert 70 + 900 <= clock.monotonic() <= 100 + 900


def test_other_errors_extend_the_grace_of_ten_seconds() -> None:
    """Only responses about another job mean that the job does not exist; mixed with other errors they mean a fault."""

    def mixed(answer: dict[str, Any], second: float) -> Any:
        return {} if second < 5 else OTHER(answer, second) if second < 100 else answer

    outcomes, _, _ = waited("churn", change=mixed)
    assert outcomes["churn"].exit_code == 0


def test_shorter_error_budget_or_timeout_precedes_the_grace() -> None:
    """Whatever ends the wait first decides the exit code."""
    outcomes, _, _ = waited("churn", change=OTHER, options=wait_options(error_budget=5))
    assert outcomes["churn"].exit_code == 69
    outcomes, _, _ = waited("churn", change=OTHER, options=wait_options(timeout=5))
    assert outcomes["churn"].exit_code == 124


@pytest.mark.parametrize(
    "change",
    [
        about(AutoMLJobName="CHURN"),
        about(AutoMLJobArn=f"{ARN}CHURN"),
        about(AutoMLJobArn="arn:of:a:stub"),
    ],
)
def test_job_names_are_compared_case_insensitively(change: Change) -> None:
    """Names, and the names in ARNs, match in any case, and a test's made-up ARN is accepted."""
    outcomes, _, _ = waited("churn", change=change)
    assert next(iter(outcomes.values())).exit_code == 0


def test_mock_client_has_no_region_to_compare() -> None:
    """A mock client reports no region, so none is compared."""
    assert waited("churn", region=object())[0]["churn"].exit_code == 0


@pytest.mark.parametrize("value", [OVERFLOWING, "abc", 5, [[]]])
@pytest.mark.parametrize("member", ["CreationTime", "LastModifiedTime"])
def test_invalid_required_member_is_a_transient_error(member: str, value: Any) -> None:
    """The call is retried until the member is valid, and the message names it."""
    outcomes, events, _ = waited(
        "churn", change=lambda answer, second: answer | ({member: value} if second < 30 else {})
    )
    assert outcomes["churn"].exit_code == 0
    assert outcomes["churn"].transitions[0].observed_at >= EPOCH + timedelta(seconds=30)
    retries = [event for event in events if isinstance(event, Retry)]
    assert {event.kind for event in retries} == {TransientKind.RESPONSE}
    assert f"the response's {member} cannot be read" in retries[0].message


@pytest.mark.parametrize("answer", [None, [], "page", 5])
def test_response_that_is_no_mapping_is_a_transient_error(answer: Any) -> None:
    """Whatever a client returns instead of a mapping is retried."""
    outcomes, _, _ = waited("churn", change=lambda good, second: answer if second < 5 else good)
    assert outcomes["churn"].exit_code == 0


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("EndTime", datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-14)))),
        ("FailureReason", [[["nested"]]]),
        ("ResolvedAttributes", {"CompletionCriteria": {"MaxAutoMLJobRuntimeInSeconds": "abc"}}),
        ("AutoMLProblemTypeConfig", {"TabularJobConfig": {"CompletionCriteria": "none", "TargetAttributeName": "y"}}),
    ],
)
def test_invalid_optional_member_is_absent_with_one_warning(member: str, value: Any) -> None:
    """The wait gets the job's outcome, and warns once, however often the member occurs."""
    outcomes, events, _ = waited(
        "churn", change=lambda answer, _: answer | {member: value}, options=wait_options(timeout="auto", poll=20)
    )
    assert outcomes["churn"].exit_code == 0
    warnings = [event.message for event in events if isinstance(event, Warned)]
    assert len(warnings) == 1
    assert f"the response's {member}" in warnings[0]
    json.dumps(outcomes["churn"].to_dict(), allow_nan=False)


def with_bad(page: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return a page whose summary of job-0 has these members."""
    jobs = page["AutoMLJobSummaries"]
    return page | {"AutoMLJobSummaries": [job | (members if job["AutoMLJobName"] == "job-0" else {}) for job in jobs]}


BAD = [
    {"CreationTime": OVERFLOWING},
    {"AutoMLJobStatus": ["Completed"]},
    {"AutoMLJobArn": ARN.replace("us-east-1", "eu-west-1") + "job-0"},
    {"AutoMLJobArn": f"{ARN}other"},
]


@pytest.mark.parametrize("members", BAD)
def test_job_with_an_invalid_summary_is_described(members: dict[str, Any]) -> None:
    """The other eight jobs stay in the listing."""
    names = [f"job-{number}" for number in range(9)]
    outcomes, events, _ = waited(
        *names, listed=lambda page, _: with_bad(page, **members), options=wait_options(timeout=7200)
    )
    assert {name: outcome.exit_code for name, outcome in outcomes.items()} == dict.fromkeys(names, 0)
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert len([message for message in notices if message.startswith("in the listing this cannot be read")]) == 1
    assert f"job-0 ({next(iter(members))})" in " ".join(notices)


@pytest.mark.parametrize("members", BAD)
def test_invalid_summary_does_not_end_a_watch(members: dict[str, Any]) -> None:
    """A watch follows the other jobs, and one whose only summary is invalid keeps waiting for more."""
    for names in (["job-0", "job-1"], ["job-0"]):
        clock = ManualClock(cancel_at=3600)
        client = Client(clock, *names, listed=lambda page, _: with_bad(page, **members))
        kernel = watch_kernel(Boto3Gateway(Connection(client)), Matching(), wait_options(), clock)
        events = list(waiter.events_of(kernel, clock))
        assert clock.monotonic() == pytest.approx(3600)
        assert {event.job_name for event in events if isinstance(event, Transition)} == {*names} - {"job-0"}


@pytest.mark.parametrize("summaries", [None, "page", ["a", 5], [{}], [{"AutoMLJobName": "a"}]])
def test_response_without_the_members_of_a_page_is_a_transient_error(summaries: Any) -> None:
    """A response without any member of a page is retried."""
    gateway = Boto3Gateway(Connection(Client(ManualClock(), listed=lambda *_: {"AutoMLJobSummaries": summaries})))
    with pytest.raises(TransientError, match="not a page of jobs"):
        gateway.list_jobs({})


@pytest.mark.parametrize("member", ["CreationTime", "CandidateStatus", "EndTime", "FinalAutoMLJobObjectiveMetric"])
def test_invalid_candidate_does_not_affect_the_others(member: str) -> None:
    """A condition on a candidate is met by a valid one beside invalid ones, with one warning."""

    def one_bad(page: dict[str, Any], _: float) -> Any:
        return {"Candidates": [{"CandidateName": ["none"]}, "none", *page["Candidates"], {**BEST, member: [[]]}]}

    outcomes, events, _ = waited("churn", candidates=one_bad, options=wait_options(until=IS_GOOD, poll=20))
    assert outcomes["churn"].verdict == "condition_met"
    assert outcomes["churn"].best_candidate is not None
    assert outcomes["churn"].best_candidate.name != BEST["CandidateName"]
    warnings = [event.message for event in events if isinstance(event, Warned)]
    assert [
        f"the response's {name} cannot be read" in message
        for name, message in zip(("CandidateName", member), warnings, strict=True)
    ]


IS_GOOD = "BestCandidate.FinalAutoMLJobObjectiveMetric.Value > `0.5`"
BEST: Mapping[str, Any] = {
    "CandidateName": "bad",
    "CandidateStatus": "Completed",
    "CreationTime": datetime(2026, 1, 1, tzinfo=UTC),
    "FinalAutoMLJobObjectiveMetric": {"MetricName": "F1", "Value": 0.1},
}


def test_json_nested_too_deeply_is_a_transient_error() -> None:
    """JSON of a hundred thousand nested lists cannot be parsed: it is not from AWS."""

    def deep(answer: dict[str, Any], second: float) -> Any:
        return json.loads("[" * 100_000) if second < 5 else answer

    outcomes, events, _ = waited("churn", change=deep)
    assert outcomes["churn"].exit_code == 0
    assert "nested too deeply" in next(event.message for event in events if isinstance(event, Retry))
