"""How a wait ended: the verdict, what is missing, and the last response."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from automl_waiter._model.candidates import objective_repr
from automl_waiter._model.errors import (
    AutoMLWaiterError,
    ConditionNotMet,
    JobDegraded,
    JobFailed,
    JobNotFound,
    JobReplaced,
    JobStopped,
    WaitCancelled,
    WaitTimeout,
)
from automl_waiter._model.estimates import Estimate
from automl_waiter._model.exit_codes import ExitCode
from automl_waiter._model.json_form import jsonable
from automl_waiter._model.snapshot import Candidate, Snapshot
from automl_waiter._model.statuses import SecondaryStatus, Status
from automl_waiter._model.text import clean, format_duration, short_repr
from automl_waiter._model.tracker import Transition
from automl_waiter._model.verdicts import EXPLANATIONS, Part, Verdict


def shortfalls_of(snapshot: Snapshot) -> tuple[Part, ...]:
    """Return the parts that a Completed job lacks, required or not; () for any other job."""
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


def verdict_of(snapshot: Snapshot) -> Verdict:
    """Return the verdict of an ended job on its own, without `until` and `require`."""
    match snapshot.status:
        case Status.FAILED:
            return Verdict.FAILED
        case Status.STOPPED:
            return Verdict.STOPPED
        case _:
            return Verdict.DEGRADED if shortfalls_of(snapshot) else Verdict.COMPLETED


@dataclass(frozen=True, kw_only=True, repr=False)
class Outcome:
    """How a wait for one job ended, with everything known about it.

    Attributes:
        job: How the caller named the job.
        job_name: The job's name.
        verdict: How the wait ended.
        exit_code: What the command returns for it.
        snapshot: The last response; None if there was none.
        transitions: The observed transitions, the first observation included.
        shortfalls: The parts of a success that are missing, whether or not they were required.
        polls: The number of polls.
        retries: The number of retried calls.
        waited: The duration of the wait, in seconds.
        error: The error that ended the wait, or one beside the verdict (a stop that was refused).
        listed_candidate: The best candidate in the last listing; the response may not name one yet.
        met_by: The candidate that met the condition, if the condition is about one.
        estimate: When a job that still runs will end, if that was requested and can be estimated.
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
    listed_candidate: Candidate | None = None
    met_by: Candidate | None = None
    estimate: Estimate | None = None

    @property
    def status(self) -> str | None:
        """The last primary status."""
        return self.snapshot.status if self.snapshot else None

    @property
    def secondary_status(self) -> str | None:
        """The last secondary status."""
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
        """What failed besides the job's result, in AWS's words."""
        return self.snapshot.partial_failure_reasons if self.snapshot else ()

    @property
    def best_candidate(self) -> Candidate | None:
        """The candidate that met the condition, if there is one; otherwise the response's best candidate."""
        if self.verdict is Verdict.CONDITION_MET and self.met_by is not None:
            return self.met_by
        return self.snapshot.best_candidate if self.snapshot else None

    @property
    def endpoint_name(self) -> str | None:
        """The endpoint that the job deployed, if any."""
        return self.snapshot.endpoint_name if self.snapshot else None

    @property
    def ok(self) -> bool:
        """Whether the job succeeded as required, or the condition was met (`exit_code` is 0)."""
        return self.exit_code == ExitCode.OK

    def check(self) -> Outcome:
        """Return this outcome if the job succeeded as required.

        Raises:
            AutoMLWaiterError: It did not. The class says how; the error's `outcome` is this outcome.
        """
        if self.ok:
            return self
        error = self.error if self.verdict in _BY_ITS_ERROR and self.error else self._error()
        error.outcome = self
        raise error

    def _error(self) -> AutoMLWaiterError:
        return _ERRORS[self.verdict](self.summary)

    @property
    def summary(self) -> str:
        """How the wait ended, in one line for people."""
        return f"{self.job_name}: {self._words}"

    @property
    def _words(self) -> str:
        waited = format_duration(self.waited)
        match self.verdict:
            case Verdict.COMPLETED:
                words = "completed"
            case Verdict.DEGRADED:
                words = f"completed, but {'; '.join(EXPLANATIONS[part] for part in self.shortfalls)}"
            case Verdict.FAILED:
                words = f"failed: {clean(self.failure_reason or 'AWS gave no reason')}"
            case Verdict.STOPPED:
                words = "stopped"
            case Verdict.CONDITION_MET:
                words = f"condition met ({self._state})"
            case Verdict.CONDITION_NOT_MET:
                words = "completed before the condition was met"
            case Verdict.TIMED_OUT:
                words = f"timed out after {waited}; the job is {self._state}"
                if self.error:
                    words += f"; the last call failed: {self.error}"
            case Verdict.CANCELLED:
                words = f"wait interrupted after {waited}; the job is {self._state}"
            case Verdict.IN_PROGRESS:
                words = f"still in progress ({self._state})" if self.snapshot else "not polled"
            case _:
                words = str(self.error)
        return words

    def __repr__(self) -> str:
        return short_repr(self, self.job_name, self._words, objective_repr(self.best_candidate))

    @property
    def _state(self) -> str:
        return clean(self.snapshot.state) if self.snapshot else "not observed yet"

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome in JSON's types: an item of `jobs` in the output of `automl-waiter wait -o json`."""
        candidate = self.best_candidate.raw if self.best_candidate else None
        objective = (candidate or {}).get("FinalAutoMLJobObjectiveMetric") or {}
        document: dict[str, Any] = {
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
        if self.verdict is Verdict.IN_PROGRESS:
            document["estimate"] = self.estimate and vars(self.estimate)
        result: dict[str, Any] = jsonable(document)
        return result


def transition_dict(transition: Transition) -> dict[str, Any]:
    """Return a transition in JSON's types."""
    return {
        "before": transition.before and jsonable(transition.before._asdict()),
        "after": jsonable(transition.after._asdict()),
        "not_before": jsonable(transition.not_before),
        "observed_at": jsonable(transition.observed_at),
    }


# Verdicts that raise the error that ended the wait; the others raise one made from the outcome.
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
