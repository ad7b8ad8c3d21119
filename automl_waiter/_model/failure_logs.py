"""The logs that explain a failure: which jobs inside an AutoML job failed, where their logs are, which lines count."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from automl_waiter._model.candidates import creation_of
from automl_waiter._model.console import console_origin
from automl_waiter._model.job_refs import region_of
from automl_waiter._model.text import LONGEST_TEXT, clean

if TYPE_CHECKING:
    from automl_waiter._model.snapshot import Candidate, Snapshot

LINES = 20
"""How many lines of a log are shown by default."""

FAILED_JOB = re.compile(
    r"\s*Failed Job Arn: (?P<arn>arn:[^\s,]+/(?P<name>[^\s,/]*[^\s,/.]))[,.]?\s*(?:Error message:\s*)?", re.DOTALL
)
"""In a FailureReason: which of the job's own jobs failed. That job's message follows."""

# Candidates usually fail for the same reason, so the first of each reason explains the others.
_MOST_CANDIDATES = 3
_LONGEST_LINE = 500
# An event has up to 1 MB. What follows is not shown, but a secret may begin before it.
_LONGEST_READ = 4000
_DEEPEST_INDENT = 12
# Nothing else becomes part of a URL.
_NAME = re.compile(r"[a-zA-Z0-9][\w.-]*", re.ASCII)
_GROUPS = {
    "processing-job": "/aws/sagemaker/ProcessingJobs",
    "training-job": "/aws/sagemaker/TrainingJobs",
    "transform-job": "/aws/sagemaker/TransformJobs",
}
LOG_GROUPS = tuple(_GROUPS.values())
"""The log groups of SageMaker's jobs (SageMaker's developer guide, "Log groups and streams")."""
_COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
# What a program printed of its settings. A sentence about a key or a token is no secret.
_SETTING = re.compile(
    r"((?:secret|token|passw(?:or)?d|authorization|(?:api|access)[-_]?key)[\w-]{0,40}['\"]?\s*[=:]\s*)"
    r"""(?:(?:basic|bearer)\s+)?(?:"[^"]*"|'[^']*'|\S+)""",
    re.IGNORECASE,
)
# A metric, such as train-error:0.12, is no error, and neither is a count of 0.
_ERROR = re.compile(
    r"error(?!s?\s*[=:]\s*(?:0\b|\d*\.\d))|exception|traceback|fatal|critical|\bfail(?:ed|ure)?\b|killed|out of memory",
    re.IGNORECASE,
)


class FailedJob(NamedTuple):
    """A processing, training or transform job that failed inside an AutoML job.

    Attributes:
        arn: Its ARN.
        name: Its name, with which the names of its log streams begin.
        group: Its log group.
        candidate: The candidate of which it was a step; None: a step of the whole AutoML job.
    """

    arn: str
    name: str
    group: str
    candidate: str | None = None

    @property
    def console_url(self) -> str:
        """The URL of its log streams in the AWS console."""
        # The console's own form: what follows the # is escaped twice, with a $ for each %.
        group = self.group.replace("/", "$252F")
        return (
            f"{console_origin(self.arn)}/cloudwatch/home?region={region_of(self.arn)}"
            f"#logsV2:log-groups/log-group/{group}$3FlogStreamNameFilter$3D{self.name}"
        )


@dataclass(frozen=True)
class FailureLog:
    """The log of a job that failed inside an AutoML job, or why it is not shown.

    Attributes:
        job_arn: The ARN of the failed processing, training or transform job.
        candidate: The candidate of which it was a step; None: a step of the whole AutoML job.
        log_group: The log group in CloudWatch Logs.
        lines: The chosen lines, cleaned and redacted: those with errors first, each part in the order of time.
        problem: Why there are no lines; None if there are.
        console_url: The URL of the log in the AWS console.
    """

    job_arn: str
    candidate: str | None
    log_group: str
    lines: tuple[str, ...]
    problem: str | None
    console_url: str

    @property
    def job_name(self) -> str:
        """The name of the failed job."""
        return self.job_arn.rpartition("/")[2]


def failed_jobs(snapshot: Snapshot, candidates: Iterable[Candidate] = ()) -> list[FailedJob]:
    """Return the jobs whose logs explain why an AutoML job or its candidates failed.

    These are the job that FailureReason names, and the last step of the earliest failed candidate of each distinct
    reason, for three reasons at most.
    """
    jobs: list[FailedJob] = []
    if found := FAILED_JOB.search(snapshot.failure_reason or "", 0, LONGEST_TEXT):
        jobs += _failed_job(found["arn"])
    by_reason: dict[str, list[FailedJob]] = {}
    for candidate in sorted(candidates, key=creation_of):
        if candidate.status == "Failed" and candidate.steps and candidate.steps[-1].raw.get("CandidateStepArn"):
            step = _failed_job(str(candidate.steps[-1].raw["CandidateStepArn"]), candidate.name)
            by_reason.setdefault(candidate.failure_reason or "", list(step))
    return [*jobs, *(job for found_jobs in list(by_reason.values())[:_MOST_CANDIDATES] for job in found_jobs)]


def _failed_job(arn: str, candidate: str | None = None) -> Iterator[FailedJob]:
    kind, _, name = arn.rpartition(":")[2].partition("/")
    if kind in _GROUPS and _NAME.fullmatch(name) and _NAME.fullmatch(region_of(arn) or ""):
        yield FailedJob(arn, name, _GROUPS[kind], candidate)


def telling_lines(lines: Sequence[str], count: int) -> tuple[str, ...]:
    """Return at most `count` lines of a log: the last ones with errors, then the last others; cleaned and redacted.

    Indented lines belong to the line before them, as in a traceback.
    """
    errors: list[str] = []
    others: list[str] = []
    is_error = False
    for line in lines:
        plain = _COLOURS.sub("", line[:_LONGEST_READ]).expandtabs(4)
        if plain.strip():
            is_error = bool(_ERROR.search(plain)) or (is_error and plain.startswith(" "))
            (errors if is_error else others).append(plain)
    shown = errors[max(0, len(errors) - count) :]
    shown += others[max(0, len(others) - count + len(shown)) :]
    return tuple(filter(None, map(_harmless, shown)))


def _harmless(plain: str) -> str:
    indent = " " * min(_DEEPEST_INDENT, len(plain) - len(plain.lstrip(" ")))
    words = _SETTING.sub(r"\1***", clean(plain))
    return indent + (words if len(words) <= _LONGEST_LINE else f"{words[:_LONGEST_LINE]}…") if words else ""
