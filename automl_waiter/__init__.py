"""Wait for an Amazon SageMaker AutoML (Autopilot) job, and know how it ended.

from automl_waiter import wait_for

outcome = wait_for("churn-2026")
print(outcome.best_candidate.objective.value)
"""

from types import FunctionType
from typing import ForwardRef

from automl_waiter._model.errors import (
    AccessDenied,
    AutoMLWaiterError,
    ConditionNotMet,
    CredentialsExpired,
    InvalidRequest,
    JobDegraded,
    JobEnded,
    JobFailed,
    JobNotFound,
    JobReplaced,
    JobStopped,
    ServiceError,
    ServiceUnavailable,
    WaitCancelled,
    WaitInterrupted,
    WaitTimeout,
)
from automl_waiter._model.estimates import Estimate
from automl_waiter._model.events import (
    Candidates,
    Ended,
    Estimated,
    Event,
    Heartbeat,
    Notice,
    Poll,
    Retry,
    StopRequested,
    Sweep,
    Warned,
)
from automl_waiter._model.exit_codes import ExitCode
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.polling import Exponential, Fixed, PhaseAware, PollContext, PollPolicy
from automl_waiter._model.snapshot import Candidate, Snapshot
from automl_waiter._model.statuses import SecondaryStatus, State, Status
from automl_waiter._model.tracker import Anomaly, Transition
from automl_waiter._model.verdicts import Part, Verdict
from automl_waiter._version import __version__
from automl_waiter.display import show_in_notebooks
from automl_waiter.waiter import Waiter, as_completed, describe, wait_for, wait_for_all, watch

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
    "Fixed",
    "Heartbeat",
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
    "wait_for",
    "wait_for_all",
    "watch",
]

# Tracebacks, pickles and documentation use the names that users import.
for _public in [globals()[_name] for _name in __all__]:
    if isinstance(_public, type):
        # Names in annotations resolve in the module that defines the class.
        _home, _hints = _public.__module__, vars(_public).get("__annotations__", {})
        _public.__annotations__ = {
            name: ForwardRef(str(hint), module=_home, is_class=True) for name, hint in _hints.items()
        }
    if isinstance(_public, type | FunctionType):
        _public.__module__ = __name__

show_in_notebooks()
