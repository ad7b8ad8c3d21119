"""How a wait ended: the verdict, what is missing, and the exit code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any

from automl_waiter.errors import (
    AccessDenied,
    AutoMLWaiterError,
    ConditionNotMet,
    CredentialsExpired,
    InvalidRequest,
    JobDegraded,
    JobFailed,
    JobNotFound,
    JobReplaced,
    JobStopped,
    WaitCancelled,
    WaitTimeout,
)
from automl_waiter.jsonform import jsonable
from automl_waiter.snapshot import Candidate, Snapshot
from automl_waiter.statuses import SecondaryStatus, Status
from automl_waiter.text import clean, format_duration
from automl_waiter.tracker import Transition


class Verdict(StrEnum):
    """How a wait ended."""

    COMPLETED = "completed"
    DEGRADED = "degraded"
    FAILED = "failed"
    STOPPED = "stopped"
    CONDITION_MET = "condition_met"
    CONDITION_NOT_MET = "condition_not_met"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    NOT_FOUND = "not_found"
    REPLACED = "replaced"
    ERROR = "error"
    IN_PROGRESS = "in_progress"


UNDECIDED = frozenset({Verdict.CANCELLED, Verdict.ERROR, Verdict.NOT_FOUND, Verdict.REPLACED, Verdict.TIMED_OUT})
"""The verdicts of a wait that ended otherwise than by its job's end or by what was waited for."""


class ExitCode(IntEnum):
    """What the command returns. 1 and 120 are never used: an uncaught error and a lost stdout give them."""

    OK = 0
    USAGE = 2
    FAILED = 10
    STOPPED = 11
    DEGRADED = 12
    NOT_FOUND = 14
    CONDITION_NOT_MET = 15
    UNAVAILABLE = 69
    IN_PROGRESS = 75
    DENIED = 77
    TIMED_OUT = 124
    INTERRUPTED = 130
    TERMINATED = 143


_PRECEDENCE = (130, 143, 2, 77, 69, 14, 10, 11, 12, 15, 124, 75, 0)


def combined_exit_code(codes: Iterable[int]) -> ExitCode:
    """The exit code of a wait for several jobs: of theirs, the one that a pipeline should act on first."""
    return ExitCode(min(codes, key=_PRECEDENCE.index, default=0))


class Part(StrEnum):
    """A part of a success that can be missing from a Completed job."""

    BEST_CANDIDATE = "best-candidate"
    ENDPOINT = "endpoint"
    EXPLAINABILITY = "explainability"
    INSIGHTS = "insights"
    NO_PARTIAL_FAILURES = "no-partial-failures"


DEFAULT_REQUIREMENT = (Part.BEST_CANDIDATE, Part.ENDPOINT)
"""What was asked of the job."""

EXPLANATIONS = {
    Part.BEST_CANDIDATE: "the job has no best candidate",
    Part.ENDPOINT: "a deployment was asked for, and there is no endpoint",
    Part.EXPLAINABILITY: "the explainability report could not be made",
    Part.INSIGHTS: "the model insights report could not be made",
    Part.NO_PARTIAL_FAILURES: "a part of the job failed",
}


def required_parts(require: str | Iterable[str]) -> frozenset[Part]:
    """The parts that `require` names; `"all"` and `"none"` stand for every one and for none.

    Raises:
        InvalidRequest: A part that there is not.
    """
    names = [require] if isinstance(require, str) else list(require)
    if names == ["all"]:
        return frozenset(Part)
    if names == ["none"]:
        return frozenset()
    unknown = [name for name in names if name not in [part.value for part in Part]]
    if unknown:
        raise InvalidRequest(
            f"{clean(unknown[0])!r} is no part that can be required: {', '.join(Part)}, or all or none alone"
        )
    return frozenset(map(Part, names))


def shortfalls_of(snapshot: Snapshot) -> tuple[Part, ...]:
    """The parts that a Completed job is missing, whatever was required; () for any other job."""
    if snapshot.status != Status.COMPLETED:
        return ()
    secondary = snapshot.secondary_status
    missing = {
        Part.BEST_CANDIDATE: snapshot.best_candidate is None and not snapshot.makes_definitions_only,
        Part.ENDPOINT: snapshot.is_to_deploy
        and (snapshot.endpoint_name is None or secondary == SecondaryStatus.MODEL_DEPLOYMENT_ERROR),
        Part.EXPLAINABILITY: secondary == SecondaryStatus.EXPLAINABILITY_ERROR,
        Part.INSIGHTS: secondary == SecondaryStatus.MODEL_INSIGHTS_ERROR,
        Part.NO_PARTIAL_FAILURES: bool(snapshot.partial_failure_reasons),
    }
    return tuple(part for part, is_missing in missing.items() if is_missing)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a wait for one job ended, with everything known about it.

    Attributes:
        job: How the caller named the job.
        job_name: The job's name.
        verdict: How the wait ended.
        exit_code: What the command returns for it.
        snapshot: The last look; None if the job was never seen.
        transitions: What was seen, the first sighting included.
        shortfalls: The parts of a success that are missing, whether or not they were required.
        polls: How many planned looks were made.
        retries: How many failed calls were made again.
        waited: How long the wait lasted, in seconds.
        error: What ended the wait, where that was an error; or what failed beside it (a stop that was refused).
    """

    job: str
    job_name: str
    verdict: Verdict
    exit_code: ExitCode
    snapshot: Snapshot | None = None
    transitions: tuple[Transition, ...] = ()
    shortfalls: tuple[Part, ...] = ()
    polls: int = 0
    retries: int = 0
    waited: float = 0.0
    error: AutoMLWaiterError | None = None

    # What is known of the best-known members, so that callers need not ask whether there is a snapshot.

    @property
    def status(self) -> str | None:
        """The primary status last seen."""
        return self.snapshot.status if self.snapshot else None

    @property
    def secondary_status(self) -> str | None:
        """The secondary status last seen."""
        return self.snapshot.secondary_status if self.snapshot else None

    @property
    def arn(self) -> str | None:
        """The job's ARN."""
        return self.snapshot.arn if self.snapshot else None

    @property
    def created_at(self) -> datetime | None:
        """The CreationTime (UTC)."""
        return self.snapshot.created_at if self.snapshot else None

    @property
    def ended_at(self) -> datetime | None:
        """The EndTime (UTC), once the job has ended."""
        return self.snapshot.ended_at if self.snapshot and self.snapshot.state.is_terminal else None

    @property
    def failure_reason(self) -> str | None:
        """Why the job failed, in AWS's words."""
        return self.snapshot.failure_reason if self.snapshot else None

    @property
    def partial_failure_reasons(self) -> tuple[str, ...]:
        """What failed beside the job's result, in AWS's words."""
        return self.snapshot.partial_failure_reasons if self.snapshot else ()

    @property
    def best_candidate(self) -> Candidate | None:
        """The best model so far."""
        return self.snapshot.best_candidate if self.snapshot else None

    @property
    def endpoint_name(self) -> str | None:
        """The endpoint that the job deployed."""
        return self.snapshot.endpoint_name if self.snapshot else None

    def check(self) -> Outcome:
        """Returns the outcome, if the job gave what was asked of it.

        Raises:
            AutoMLWaiterError: It did not: the class says how, `outcome` of the error is this outcome.
        """
        if self.exit_code == ExitCode.OK:
            return self
        error = self.error if self.verdict in _BY_ITS_ERROR and self.error else self._error()
        error.outcome = self
        raise error

    def _error(self) -> AutoMLWaiterError:
        return _ERRORS[self.verdict](self.summary)

    @property
    def summary(self) -> str:
        """One line for people that says how it ended."""
        waited = format_duration(self.waited)
        match self.verdict:
            case Verdict.COMPLETED:
                words = "completed"
            case Verdict.DEGRADED:
                words = f"completed, but {'; '.join(EXPLANATIONS[part] for part in self.shortfalls)}"
            case Verdict.FAILED:
                words = f"failed: {clean(self.failure_reason or 'AWS gives no reason')}"
            case Verdict.STOPPED:
                words = "was stopped"
            case Verdict.CONDITION_MET:
                words = f"the condition holds ({self._state})"
            case Verdict.CONDITION_NOT_MET:
                words = "completed before the condition held"
            case Verdict.TIMED_OUT:
                words = f"timed out after {waited}, the job is {self._state}"
                if self.error:
                    words += f"; the last call failed: {self.error}"
            case Verdict.CANCELLED:
                words = f"the wait was cancelled after {waited}, the job is {self._state}"
            case Verdict.IN_PROGRESS:
                words = f"still in progress ({self._state})"
            case _:
                words = str(self.error)
        return f"{self.job_name}: {words}"

    @property
    def _state(self) -> str:
        return clean(self.snapshot.state) if self.snapshot else "not seen yet"

    def to_dict(self) -> dict[str, Any]:
        """The outcome in JSON's types: a member of `jobs` in what `automl-waiter wait -o json` prints."""
        candidate = self.best_candidate.raw if self.best_candidate else None
        objective = (candidate or {}).get("FinalAutoMLJobObjectiveMetric") or {}
        document = {
            "job_name": self.job_name,
            "job_arn": self.arn,
            "status": self.status,
            "secondary_status": self.secondary_status,
            "verdict": self.verdict,
            "exit_code": int(self.exit_code),
            "shortfalls": self.shortfalls,
            "failure_reason": self.failure_reason,
            "partial_failure_reasons": self.partial_failure_reasons,
            "error": self.error
            and {"type": type(self.error).__name__, "code": self.error.code, "message": str(self.error)},
            "created_at": self.created_at,
            "ended_at": self.ended_at,
            "waited_seconds": round(self.waited, 3),
            "polls": self.polls,
            "retries": self.retries,
            "transitions": [transition_dict(transition) for transition in self.transitions],
            "best_candidate": candidate
            and {
                "name": candidate.get("CandidateName"),
                "metric": objective.get("MetricName"),
                "value": objective.get("Value"),
            },
            "endpoint_name": self.endpoint_name,
            "describe": self.snapshot.response if self.snapshot else {},
        }
        result: dict[str, Any] = jsonable(document)
        return result


def transition_dict(transition: Transition) -> dict[str, Any]:
    """A transition in JSON's types."""
    return {
        "before": transition.before and transition.before._asdict(),
        "after": transition.after._asdict(),
        "not_before": jsonable(transition.not_before),
        "observed_at": jsonable(transition.observed_at),
    }


# Verdicts whose error is the one that ended the wait; the others make theirs of the outcome.
_BY_ITS_ERROR: dict[Verdict, type[AutoMLWaiterError]] = {
    Verdict.NOT_FOUND: JobNotFound,
    Verdict.REPLACED: JobReplaced,
    Verdict.ERROR: AutoMLWaiterError,
}

_ERRORS: dict[Verdict, type[AutoMLWaiterError]] = {
    Verdict.DEGRADED: JobDegraded,
    Verdict.FAILED: JobFailed,
    Verdict.STOPPED: JobStopped,
    Verdict.CONDITION_NOT_MET: ConditionNotMet,
    Verdict.TIMED_OUT: WaitTimeout,
    Verdict.CANCELLED: WaitCancelled,
    Verdict.IN_PROGRESS: WaitCancelled,
}

_EXIT_CODES = {
    Verdict.COMPLETED: ExitCode.OK,
    Verdict.CONDITION_MET: ExitCode.OK,
    Verdict.FAILED: ExitCode.FAILED,
    Verdict.STOPPED: ExitCode.STOPPED,
    Verdict.CONDITION_NOT_MET: ExitCode.CONDITION_NOT_MET,
    Verdict.TIMED_OUT: ExitCode.TIMED_OUT,
    Verdict.CANCELLED: ExitCode.INTERRUPTED,
    Verdict.IN_PROGRESS: ExitCode.IN_PROGRESS,
}


def exit_code_of(
    verdict: Verdict,
    *,
    shortfalls: Iterable[Part] = (),
    required: Iterable[Part] = (),
    error: AutoMLWaiterError | None = None,
) -> ExitCode:
    """The exit code of a verdict: a shortfall counts when it was required, an error by its class."""
    if verdict is Verdict.DEGRADED:
        return ExitCode.DEGRADED if set(shortfalls) & set(required) else ExitCode.OK
    if verdict not in _EXIT_CODES:
        return exit_code_of_error(error)
    return _EXIT_CODES[verdict]


def exit_code_of_error(error: AutoMLWaiterError | None) -> ExitCode:
    """The exit code of an error that ended a wait."""
    match error:
        case JobNotFound() | JobReplaced():
            return ExitCode.NOT_FOUND
        case AccessDenied() | CredentialsExpired():
            return ExitCode.DENIED
        case InvalidRequest():
            return ExitCode.USAGE
        case _:
            return ExitCode.UNAVAILABLE
