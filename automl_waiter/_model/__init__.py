"""What a job is: statuses, snapshots, transitions and outcomes. Nothing here waits or displays."""

from automl_waiter._model.errors import (
    AccessDenied,
    AutoMLWaiterError,
    ConditionNotMet,
    CredentialsExpired,
    InternalError,
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
from automl_waiter._model.failure_logs import FailureLog
from automl_waiter._model.naming import name_publicly
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.polling import Exponential, Fixed, PhaseAware, PollContext, PollPolicy
from automl_waiter._model.snapshot import Candidate, Snapshot
from automl_waiter._model.statuses import SecondaryStatus, State, Status
from automl_waiter._model.tracker import Anomaly, Transition
from automl_waiter._model.verdicts import Part, Verdict

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
    "Warned",
]

name_publicly(*(globals()[_name] for _name in __all__))
