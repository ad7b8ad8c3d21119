"""The exit codes of the command, by verdict and by error."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from automl_waiter._model.errors import (
    AccessDenied,
    AutoMLWaiterError,
    CredentialsExpired,
    InternalError,
    InvalidRequest,
    JobNotFound,
    JobReplaced,
)
from automl_waiter._model.verdicts import Part, Verdict


class ExitCode(IntEnum):
    """The exit codes of the command. 1 and 120 are unused: Python exits with them for a crash and a lost stdout."""

    OK = 0
    USAGE = 2
    FAILED = 10
    STOPPED = 11
    DEGRADED = 12
    NOT_FOUND = 14
    CONDITION_NOT_MET = 15
    UNAVAILABLE = 69
    BUG = 70
    OUTPUT_LOST = 74
    IN_PROGRESS = 75
    DENIED = 77
    TIMED_OUT = 124
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


_PRECEDENCE = (129, 130, 143, 2, 77, 70, 69, 14, 10, 11, 12, 15, 124, 75, 0)


def combined_exit_code(codes: Iterable[int]) -> ExitCode:
    """Return the exit code of a wait for several jobs: the one that a pipeline should act on first."""
    return ExitCode(min(codes, key=_PRECEDENCE.index, default=0))


def is_bad(code: ExitCode) -> bool:
    """Return whether an exit code should raise an alarm; that of a job in progress should not."""
    return code not in (ExitCode.OK, ExitCode.IN_PROGRESS)


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
    """Return the exit code of a verdict. A shortfall counts if it was required; an error, by its class."""
    if verdict is Verdict.DEGRADED:
        return ExitCode.DEGRADED if set(shortfalls) & set(required) else ExitCode.OK
    if verdict not in _EXIT_CODES:
        return exit_code_of_error(error)
    return _EXIT_CODES[verdict]


def exit_code_of_error(error: AutoMLWaiterError | None) -> ExitCode:
    """Return the exit code of an error that ended a wait."""
    match error:
        case JobNotFound() | JobReplaced():
            return ExitCode.NOT_FOUND
        case AccessDenied() | CredentialsExpired():
            return ExitCode.DENIED
        case InvalidRequest():
            return ExitCode.USAGE
        case InternalError():
            return ExitCode.BUG
        case _:
            return ExitCode.UNAVAILABLE
