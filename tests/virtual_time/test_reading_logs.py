"""Reading the log of what failed: which jobs, which lines, and what is shown when it cannot be read."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from texts import ANY_TEXT

from automl_waiter import FailureLog
from automl_waiter._aws.connection import Connection
from automl_waiter._aws.logs import CloudWatchLogs
from automl_waiter._engine.failure_logs import TIMEOUT_S, read_failure_logs
from automl_waiter._engine.kernel import Kernel
from automl_waiter._model.errors import AccessDenied, TransientError, TransientKind
from automl_waiter._model.failure_logs import FailedJob, failed_jobs, telling_lines
from automl_waiter._model.snapshot import Candidate, Snapshot
from automl_waiter.sandbox.scenarios import SCENARIOS
from automl_waiter.testing import ManualClock, ScriptedJobs, Timeline
from automl_waiter.waiter import events_of

NOW = datetime(2026, 11, 24, tzinfo=UTC)
ARN = "arn:aws:sagemaker:us-east-1:123456789012:processing-job/db-1"
REASON = f"Could not complete. Failed Job Arn: {ARN}, Error message: ClientError: no column"
SECRET = "hunter2hunter2"
LOG = ["starting", "\x1b[31mERROR\x1b[0m no column \u202e'churned'", f"PASSWORD={SECRET}", "exit 1"]


def candidate(number: int, reason: str | None = "no memory", **more: Any) -> Candidate:
    step = {"CandidateStepArn": f"arn:aws:sagemaker:us-east-1:123456789012:training-job/c-{number}"}
    raw = {"CandidateName": f"c-{number}", "CandidateStatus": "Failed", "CreationTime": NOW + timedelta(seconds=number)}
    return Candidate({**raw, "CandidateSteps": [{}, step], "FailureReason": reason, **more})


def read(
    lines: Any, *, candidates: Sequence[Candidate] | None = (), clock: ManualClock | None = None
) -> list[FailureLog]:
    """Read the logs of a failed job in virtual time; `lines` is called for each."""
    clock, found = clock or ManualClock(), list[FailureLog]()
    kernel, jobs = Kernel(clock), ScriptedJobs(clock)
    jobs.add("churn", Timeline([(0, "InProgress", "ModelTuning")]), start=500)

    class Reader:
        def lines(self, job: FailedJob) -> list[str]:
            return lines(job)

    async def run() -> None:
        snapshot = Snapshot({"AutoMLJobName": "churn", "FailureReason": REASON})
        found.extend(await read_failure_logs(kernel, snapshot, lambda: (jobs, Reader()), candidates=candidates))

    kernel.spawn(run)
    assert list(events_of(kernel, clock)) == []
    return found


# Which jobs


def test_failed_job_is_the_one_that_the_reason_names() -> None:
    """The log group follows from the kind of the failed job."""
    [job] = failed_jobs(Snapshot({"FailureReason": REASON}))
    assert job == FailedJob(ARN, "db-1", "/aws/sagemaker/ProcessingJobs")
    assert failed_jobs(Snapshot({"FailureReason": "something else"})) == []
    assert failed_jobs(Snapshot({})) == []


@pytest.mark.parametrize(
    "arn", ["arn:aws:sagemaker:us-east-1:1:endpoint/a", "arn:aws:sagemaker:<b>:1:training-job/a", "arn:x/a"]
)
def test_arn_of_another_kind_is_not_a_failed_job(arn: str) -> None:
    """Text from AWS becomes part of a request and of a URL only if it has the expected form."""
    assert failed_jobs(Snapshot({"FailureReason": f"Failed Job Arn: {arn}, Error message: x"})) == []


def test_full_stop_after_the_arn_is_not_part_of_the_name() -> None:
    """The failure reason is a sentence, so it may end with a full stop."""
    [job] = failed_jobs(Snapshot({"FailureReason": f"Could not complete. Failed Job Arn: {ARN}."}))
    assert job.name == "db-1"


def test_earliest_failed_candidate_of_each_reason_counts_up_to_three() -> None:
    """Candidates usually fail for the same reason, so one log for each reason is enough."""
    candidates = [candidate(9), candidate(3), candidate(5, "no data"), candidate(6, None), candidate(7, "other")]
    more = [
        candidate(1, CandidateStatus="Completed"),
        candidate(0, CandidateSteps=[]),
        candidate(2, "x", CandidateSteps=[{}]),
    ]
    assert [job.candidate for job in failed_jobs(Snapshot({}), [*candidates, *more])] == ["c-3", "c-5", "c-6"]


@pytest.mark.parametrize(
    ("partition", "host"),
    [
        ("aws", "us-east-1.console.aws.amazon.com"),
        ("aws-cn", "us-east-1.console.amazonaws.cn"),
        ("aws-us-gov", "us-east-1.console.amazonaws-us-gov.com"),
    ],
)
def test_console_url_is_in_the_job_s_partition(partition: str, host: str) -> None:
    """China and GovCloud have consoles of their own."""
    [job] = failed_jobs(Snapshot({"FailureReason": REASON.replace("arn:aws:", f"arn:{partition}:")}))
    assert job.console_url == (
        f"https://{host}/cloudwatch/home?region=us-east-1#logsV2:log-groups/log-group/"
        "$252Faws$252Fsagemaker$252FProcessingJobs$3FlogStreamNameFilter$3Ddb-1"
    )


# Which lines


def test_lines_with_errors_come_first_and_tracebacks_stay_whole() -> None:
    """The last other lines follow; each part keeps its order in time."""
    log = [
        "a",
        "b",
        "Traceback (most recent call last):",
        '  File "x.py", line 1',
        "    raise",
        "ValueError: no column",
        "c",
    ]
    assert telling_lines(log, 5) == (*log[2:6], "c")
    assert telling_lines(log, 2) == ("    raise", "ValueError: no column")
    assert telling_lines(log, 0) == ()


def test_error_among_ten_thousand_lines_is_found() -> None:
    """The last lines alone would not contain it."""
    log = [f"step {number}" for number in range(10_000)]
    log[40] = "MemoryError"
    assert telling_lines(log, 3) == ("MemoryError", "step 9998", "step 9999")


def test_indented_lines_with_tabs_belong_to_a_stack_trace() -> None:
    """Java indents with a tab."""
    log = ["java.lang.IllegalStateException: x", "\tat Reader.read", "end"]
    assert telling_lines(log, 2) == (log[0], "    at Reader.read")[:2]


@pytest.mark.parametrize("line", ["[7] train-error:0.12 validation-error:.3", "mean_squared_error = 3.2", "errors: 0"])
def test_metric_is_not_an_error(line: str) -> None:
    """A training job prints metrics at each step, after the line that matters."""
    assert telling_lines(["ClientError: 400, no column", line], 1) == ("ClientError: 400, no column",)


@pytest.mark.parametrize(
    "line",
    [
        f'{{"SecretAccessKey": "{SECRET}", "a": 1}}',
        f"Authorization: Bearer {SECRET}",
        f"aws_session_token = '{SECRET} {SECRET}'",
        f"api-key={SECRET}",
        f"https://me:{SECRET}@example.com",
    ],
)
def test_secrets_in_settings_are_redacted(line: str) -> None:
    """A program may print its own credentials."""
    [shown] = telling_lines([line], 1)
    assert SECRET not in shown
    assert "***" in shown


@pytest.mark.parametrize("text", ["token", "://a:", "\x1b[", "error  ", " " * 5])
def test_long_line_is_processed_quickly(text: str) -> None:
    """A log event may have 1 MB."""
    begun = time.process_time()
    telling_lines([text * (1_000_000 // len(text))], 20)
    assert time.process_time() - begun < 2.0


@given(st.lists(ANY_TEXT | st.sampled_from(LOG)), st.integers(0, 30))
def test_lines_are_clean_and_at_most_as_many_as_requested(log: list[str], count: int) -> None:
    """Every line is safe to print, whatever a program wrote."""
    lines = telling_lines(log, count)
    assert len(lines) <= count
    assert all(line.isprintable() or not any(map(str.isspace, line.strip())) or "\x1b" not in line for line in lines)
    assert SECRET not in "".join(lines)


# Reading them


def test_missing_permission_is_reported_with_the_console_url() -> None:
    """The next logs are not read: they would fail in the same way."""

    def denied(job: FailedJob) -> list[str]:
        raise AccessDenied("allow the IAM action logs:GetLogEvents")

    [log] = read(denied, candidates=[candidate(1)])
    assert (log.lines, log.problem) == ((), "allow the IAM action logs:GetLogEvents")
    assert log.console_url.endswith("db-1")
    assert log.job_name == "db-1"


def test_reading_stops_after_five_seconds() -> None:
    """The lines read by then are kept."""
    clock = ManualClock()

    def slow(job: FailedJob) -> list[str]:
        clock.advance(3.0)
        return ["an error"]

    logs = read(slow, candidates=[candidate(1), candidate(2, "other")], clock=clock)
    assert [log.problem for log in logs] == [None, None, "the log could not be read within 5s"]
    assert clock.monotonic() < TIMEOUT_S + 3


@pytest.mark.parametrize("kind", [TransientKind.THROTTLED, TransientKind.SERVER, TransientKind.CREDENTIALS])
def test_reading_is_retried_after_a_transient_error(kind: TransientKind) -> None:
    """The client itself does not retry."""
    errors = [TransientError(kind, "not now")]

    def lines(job: FailedJob) -> list[str]:
        if errors:
            raise errors.pop()
        return ["an error"]

    assert [log.lines for log in read(lines)] == [("an error",)]


def test_throttled_reading_ends_after_five_seconds() -> None:
    """Retries stop when the outcome no longer waits for the log."""
    clock = ManualClock()

    def throttled(job: FailedJob) -> list[str]:
        raise TransientError(TransientKind.THROTTLED, "Rate exceeded")

    assert [log.problem for log in read(throttled, clock=clock)] == ["the log could not be read within 5s"]
    assert clock.monotonic() == TIMEOUT_S


def test_reading_is_not_retried_without_a_connection() -> None:
    """Many networks have no route to CloudWatch Logs."""

    def unreachable(job: FailedJob) -> list[str]:
        raise TransientError(TransientKind.CONNECTION, "no \x1broute")

    assert [log.problem for log in read(unreachable)] == ["no  route"]


def pages(*answers: dict[str, Any]) -> tuple[CloudWatchLogs, list[dict[str, Any]]]:
    """Return a reader of one stream, whose pages are these, and its requests."""
    remaining, requests = list(answers), list[dict[str, Any]]()

    def get_log_events(**request: Any) -> dict[str, Any]:
        requests.append(request)
        return remaining.pop(0)

    streams = {"logStreams": [{"logStreamName": "db-1/algo-1-1"}]}
    client = SimpleNamespace(
        meta=SimpleNamespace(region_name="us-east-1"),
        describe_log_streams=lambda **_: streams,
        get_log_events=get_log_events,
    )
    return CloudWatchLogs(Connection(client)), requests


def test_older_page_is_read_if_the_newest_is_empty() -> None:
    """CloudWatch may return an empty page before the one with the events."""
    page = {"events": [{"timestamp": 1, "message": "a\rb"}], "nextBackwardToken": "c"}
    reader, requests = pages({"events": [], "nextBackwardToken": "b"}, page)
    assert reader.lines(FailedJob(ARN, "db-1", "/aws/sagemaker/ProcessingJobs")) == ["a", "b"]
    assert [request.get("nextToken") for request in requests] == [None, "b"]


@pytest.mark.parametrize(("tokens", "calls"), [("bb", 2), ("bcdefghi", 5)])
def test_empty_log_is_read_for_a_few_pages_at_most(tokens: str, calls: int) -> None:
    """The token stays the same at the oldest page, which ends the reading."""
    reader, requests = pages(*({"events": [], "nextBackwardToken": token} for token in tokens))
    assert reader.lines(FailedJob(ARN, "db-1", "/aws/sagemaker/ProcessingJobs")) == []
    assert len(requests) == calls


def refusing(code: str) -> CloudWatchLogs:
    """Return a reader whose first call AWS refuses with this code."""

    def refuse(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": code, "Message": "m"}}, "DescribeLogStreams")

    meta = SimpleNamespace(region_name="us-east-1")
    return CloudWatchLogs(Connection(SimpleNamespace(meta=meta, describe_log_streams=refuse)))


def test_missing_log_group_means_no_log() -> None:
    """AWS creates the log group with the first job of its kind."""
    [log] = read(refusing("ResourceNotFoundException").lines)
    assert log.problem == "no log found"


def test_denied_call_names_the_permission() -> None:
    """The message names the IAM action."""
    [log] = read(refusing("AccessDeniedException").lines)
    assert "allow the IAM action logs:DescribeLogStreams" in (log.problem or "")


def test_job_without_a_log_says_so() -> None:
    """A job that failed before it started has no log."""
    [log] = read(lambda job: [])
    assert (log.lines, log.problem) == ((), "no log found")


def test_candidates_are_listed_if_they_are_not_given() -> None:
    """The candidates of the scripted job have not failed, so only the job's own log is read."""
    assert [log.candidate for log in read(lambda job: ["an error"], candidates=None)] == [None]
    logs = read(lambda job: ["an error"], candidates=[candidate(1)])
    assert [(log.candidate, log.log_group) for log in logs] == [
        (None, "/aws/sagemaker/ProcessingJobs"),
        ("c-1", "/aws/sagemaker/TrainingJobs"),
    ]


def test_nothing_is_read_if_nothing_failed() -> None:
    """A job without failed candidates costs no call."""

    def connect() -> Any:
        raise AssertionError

    kernel, found = Kernel(ManualClock()), []

    async def run() -> None:
        found.append(await read_failure_logs(kernel, Snapshot({}), connect, candidates=[]))

    kernel.spawn(run)
    list(events_of(kernel, ManualClock()))
    assert found == [[]]


def test_failed_connection_is_reported_as_the_problem() -> None:
    """Without a client there is no log; the outcome is unaffected."""
    kernel, found = Kernel(ManualClock()), list[FailureLog]()

    def connect() -> Any:
        raise AccessDenied("no credentials")

    async def run() -> None:
        found.extend(await read_failure_logs(kernel, Snapshot({"FailureReason": REASON}), connect))

    kernel.spawn(run)
    list(events_of(kernel, ManualClock()))
    assert [log.problem for log in found] == ["no credentials"]


def test_sandbox_failure_arn_has_the_account_and_region() -> None:
    """Each failed job has its own log."""
    arn = "arn:aws-cn:sagemaker:cn-north-1:210987654321:automl-job/a"
    [job] = failed_jobs(Snapshot(SCENARIOS["failed"].response(1000, name="a", created=NOW, arn=arn)))
    assert job.arn == "arn:aws-cn:sagemaker:cn-north-1:210987654321:processing-job/db-1-a"
