"""Wait for an Amazon SageMaker AutoML (Autopilot) job, and know how it ended.

from automl_waiter import wait_for

outcome = wait_for("churn-2026")
print(outcome.best_candidate.objective.value)
"""

from automl_waiter._version import __version__

TYPE_CHECKING = False  # typing has the same, and takes longer to load than all of this
if TYPE_CHECKING:
    from automl_waiter._model import *
    from automl_waiter.waiter import Waiter, as_completed, describe, failure_logs, wait_for, wait_for_all, watch

__all__ = [
    "AccessDenied",
    "Anomaly",
    "AutoMLWaiterError",
    "Candidate",
    "Candidates",
    "ConditionNotMet",
    "CredentialsExpired",
    "Ended",
    "Estimate",
    "Estimated",
    "Event",
    "ExitCode",
    "Exponential",
    "FailureLog",
    "Fixed",
    "Heartbeat",
    "InternalError",
    "InvalidRequest",
    "JobDegraded",
    "JobEnded",
    "JobFailed",
    "JobNotFound",
    "JobReplaced",
    "JobStopped",
    "Notice",
    "Outcome",
    "Part",
    "PhaseAware",
    "Poll",
    "PollContext",
    "PollPolicy",
    "Retry",
    "SecondaryStatus",
    "ServiceError",
    "ServiceUnavailable",
    "Snapshot",
    "State",
    "Status",
    "StopRequested",
    "Sweep",
    "Transition",
    "Verdict",
    "WaitCancelled",
    "WaitInterrupted",
    "WaitTimeout",
    "Waiter",
    "Warned",
    "__version__",
    "as_completed",
    "describe",
    "failure_logs",
    "wait_for",
    "wait_for_all",
    "watch",
]


def __getattr__(name: str) -> object:
    """Load the public names when the first one is used. The command sets its signal handlers before that."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from automl_waiter import _model, waiter

    return getattr(_model if name in _model.__all__ else waiter, name)


def __dir__() -> list[str]:
    return __all__
