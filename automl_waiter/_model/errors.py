"""What can be raised. Every public error is in this tree::

    AutoMLWaiterError
    ├── JobEnded                 the job ended, but not as asked
    │   ├── JobFailed
    │   ├── JobStopped
    │   ├── JobDegraded          Completed, but a required part is missing
    │   └── ConditionNotMet      Completed before `until` held
    ├── WaitInterrupted          the job may still be running
    │   ├── WaitTimeout          also a TimeoutError
    │   └── WaitCancelled
    ├── JobNotFound
    ├── JobReplaced              the same name now means another job (ARN or CreationTime differ)
    ├── InternalError            a bug in this library
    └── ServiceError             AWS refused, or could not be reached
        ├── AccessDenied
        ├── CredentialsExpired
        ├── InvalidRequest       also a ValueError
        └── ServiceUnavailable   the error budget is spent

Each says in one line what was wrong and what to do, and carries what the wait knew in `outcome`.
All of them pickle, `outcome` included.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from automl_waiter._model.secrets import hide

# A bug may be about a response of many pages.
_LONGEST_QUOTE = 400

if TYPE_CHECKING:  # Only a type: at run time `outcome` imports this module.
    from automl_waiter._model.outcome import Outcome


class AutoMLWaiterError(Exception):
    """The base of all errors of this library.

    Args:
        message: One line for people: what was wrong and what to do.
        code: The error code of AWS, or of the SDK's exception, where there is one.

    Attributes:
        code: As above, or None.
        outcome: What the wait knew when it ended; None where there was no wait (`describe`).
    """

    # Keywords only beside the message: unpickling calls the class with `args` alone, then restores the rest.
    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(hide(message))
        self.code = code
        self.outcome: Outcome | None = None


class JobEnded(AutoMLWaiterError):
    """The job ended, but not as asked."""


class JobFailed(JobEnded):
    """The job's status is Failed."""


class JobStopped(JobEnded):
    """The job's status is Stopped, and this wait had not asked for it."""


class JobDegraded(JobEnded):
    """The job's status is Completed, but a required part is missing: see `outcome.shortfalls`."""


class ConditionNotMet(JobEnded):
    """The job's status is Completed, and `until` held at no poll."""


class WaitInterrupted(AutoMLWaiterError):
    """The wait ended before the job did: the job may still be running."""


class WaitTimeout(WaitInterrupted, TimeoutError):
    """The timeout passed before the job ended."""


class WaitCancelled(WaitInterrupted):
    """The caller cancelled the wait."""


class JobNotFound(AutoMLWaiterError):
    """No job has this name in this account and region."""


class JobReplaced(AutoMLWaiterError):
    """The name now means another job than the one that the wait began with, or that the ARN names."""


class InternalError(AutoMLWaiterError):
    """A bug in this library ended the wait for the job. `__cause__` has the traceback."""


class ServiceError(AutoMLWaiterError):
    """AWS refused a call, or could not be reached."""


class AccessDenied(ServiceError):
    """The caller may not make this call, or has no credentials, or ones that AWS does not know."""


class CredentialsExpired(ServiceError):
    """The credentials have expired or their source fails, and no new ones came, or none can come."""


class InvalidRequest(ServiceError, ValueError):
    """The request can never succeed as it is: a bad name or option, no region, an `until` or a poll policy that raises.

    Also a ValueError.
    """


class ServiceUnavailable(ServiceError):
    """Calls kept failing for transient reasons until the error budget was spent."""


def internal_error(error: Exception) -> InternalError:
    """Return the error for one that nothing expected: it says where to look, without a traceback."""
    place, step = "", error.__traceback__
    while step is not None:
        place, step = f" in {step.tb_frame.f_globals.get('__name__', '?')}, line {step.tb_lineno}", step.tb_next
    said = f"{type(error).__name__}{place}: {error}"
    problem = InternalError(f"a bug in automl-waiter, please report it ({said[:_LONGEST_QUOTE]})", code=None)
    problem.__cause__ = error
    return problem


class TransientKind(StrEnum):
    """Why an attempt failed that may succeed when it is repeated."""

    THROTTLED = "throttled"
    SERVER = "server error"
    CONNECTION = "connection"
    TIMEOUT = "timeout"
    RESPONSE = "unreadable response"
    FOREIGN = "response about another job"
    NAMESAKE = "response about another job of this name"
    CREDENTIALS = "expired credentials"
    NO_CREDENTIALS = "no credentials"
    CLOCK = "wrong clock"


class TransientError(Exception):
    """One attempt failed for a transient reason. Internal: a wait that gives up raises ServiceUnavailable.

    Args:
        kind: The reason.
        message: One line for people.
        code: As in `AutoMLWaiterError`.
        retry_for: For how many seconds to try again, if that is less than the error budget.
    """

    def __init__(
        self, kind: TransientKind, message: str, *, code: str | None = None, retry_for: float | None = None
    ) -> None:
        super().__init__(hide(message))
        self.kind = kind
        self.code = code
        self.retry_for = retry_for


class Cancelled(BaseException):
    """Thrown into a wait to end it. Internal, and a BaseException so that nothing takes it for a failed call.

    Args:
        signal: The number of the signal that caused it, where one did.
        decided: Whether another job has decided a wait for several, so that this one is left in progress.
    """

    def __init__(self, *, signal: int | None = None, decided: bool = False) -> None:
        super().__init__()
        self.signal = signal
        self.decided = decided
