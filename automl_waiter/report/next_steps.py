"""The next steps for each way in which a job failed or lacks a part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from automl_waiter._model.failure_logs import failed_jobs
from automl_waiter._model.job_refs import region_of
from automl_waiter._model.statuses import SecondaryStatus
from automl_waiter._model.verdicts import Part, Verdict
from automl_waiter._system.portable import quoted
from automl_waiter.report.document import Note, Notes

if TYPE_CHECKING:
    from automl_waiter._model.outcome import Outcome
    from automl_waiter._model.snapshot import Snapshot


def next_steps(outcome: Outcome) -> Notes | None:
    """Return the next steps, a sentence and a command for each problem; None if there is no problem."""
    notes = tuple(_notes(outcome))
    return Notes("Next steps", notes) if notes else None


def report_command(outcome: Outcome) -> str | None:
    """Return the command that reports everything about a job; None if the job was never observed."""
    return _command("report", outcome)


def wait_command(outcome: Outcome) -> str | None:
    """Return the command that continues to wait for a job; None if the job was never observed."""
    return _command("wait", outcome)


def _command(name: str, outcome: Outcome) -> str | None:
    if outcome.snapshot is None:
        return None
    return f"automl-waiter {name} {quoted([outcome.snapshot.name])}{_region_of(outcome.snapshot)}"


def _region_of(snapshot: Snapshot) -> str:
    region = region_of(snapshot.arn)
    return f" --region {quoted([region])}" if region else ""


def _notes(outcome: Outcome) -> Iterator[Note]:
    snapshot = outcome.snapshot
    if snapshot is None:
        return
    where = _region_of(snapshot)
    since = f"{snapshot.created_at:%Y-%m-%dT%H:%M:%SZ}"
    for part in outcome.shortfalls:
        match part:
            case Part.BEST_CANDIDATE:
                yield Note(
                    "No candidate completed. The report lists the status of each. A higher limit "
                    "(MaxAutoMLJobRuntimeInSeconds, MaxCandidates) may help.",
                    report_command(outcome),
                )
            case Part.ENDPOINT if snapshot.secondary_status == SecondaryStatus.MAX_AUTO_ML_JOB_RUNTIME_REACHED:
                # docs.aws.amazon.com, CreateAutoMLJobV2, MaxAutoMLJobRuntimeInSeconds: then nothing is deployed.
                yield Note(
                    "The job reached its runtime limit, so it did not deploy. Deploy the best candidate yourself, or "
                    "create a new job with a higher MaxAutoMLJobRuntimeInSeconds.",
                    report_command(outcome),
                )
            case Part.ENDPOINT:
                yield Note(
                    "Read the FailureReason of the failed endpoint. You can still deploy the best candidate's "
                    "InferenceContainers yourself.",
                    f"aws sagemaker list-endpoints --status-equals Failed --creation-time-after {since}{where}",
                )
            case Part.EXPLAINABILITY | Part.INSIGHTS:
                report = "explainability" if part is Part.EXPLAINABILITY else "model insights"
                yield Note(
                    f"The model works without its {report} report. Read the failed processing job's FailureReason.",
                    f"aws sagemaker list-processing-jobs --status-equals Failed --creation-time-after {since}{where}",
                )
            case _:
                yield Note("The partial failures above list what is missing from the result.")
    if snapshot.status == "Failed":
        yield from _after_failure(snapshot, where)
    if outcome.verdict is Verdict.STOPPED:
        yield Note(
            "You can still use the completed candidates that the report lists. CloudTrail records who stopped the job.",
            "aws cloudtrail lookup-events "
            f"--lookup-attributes AttributeKey=EventName,AttributeValue=StopAutoMLJob{where}",
        )


def _after_failure(snapshot: Snapshot, where: str) -> Iterator[Note]:
    jobs = failed_jobs(snapshot)
    if not jobs:
        cause = "Fix the cause" if snapshot.failure_reason else "AWS gave no reason: check the input data and the role"
        yield Note(f"{cause}. Then create a new job: a failed one cannot be restarted.")
    for job in jobs:
        yield Note(
            "Read the log and fix the cause. Then create a new job: a failed one cannot be restarted.",
            f"aws logs tail {job.group} --since 30d --log-stream-name-prefix {quoted([job.name])}{where}",
        )
