"""What a plan asks for, and how it is answered.

A plan is a generator. It yields calls (`Describe`, `ListJobs` and others), each answered with an `Answer`; a `Sleep`,
answered with a `Woken`; and events, answered with None. Plans of many jobs follow a listing together: one reads it and
yields `Tell`, the others yield `Follow`.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from automl_waiter._model.errors import AutoMLWaiterError
from automl_waiter._model.events import Event
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.statuses import State

OVERSLEPT = 5.0
"""Seconds: a sleep that is late by more was not the shell's. The machine slept, or the process was stopped."""
WAKING = 15.0
"""Seconds for which what is past its deadline on waking is tried: the network needs some to come back."""


class Describe(NamedTuple):
    """Describe the job; no attempt begins after `deadline` (on the clock of the answers).

    One that is urgent has its turn before others: the job is known to have ended.
    """

    job_name: str
    deadline: float | None
    is_urgent: bool = False
    operation: str = "DescribeAutoMLJobV2"


class FindNames(NamedTuple):
    """List names of jobs that are like the one that was not found."""

    job_name: str
    deadline: float | None
    operation: str = "ListAutoMLJobs"


class Stop(NamedTuple):
    """Stop the job; no attempt begins after `deadline`. One that is urgent waits for no turn."""

    job_name: str
    deadline: float
    is_urgent: bool = False
    operation: str = "StopAutoMLJob"


class ListJobs(NamedTuple):
    """Read a page of ListAutoMLJobs with these members of its request; no attempt begins after `deadline`.

    `patience` bounds the error budget, in seconds.
    """

    request: Mapping[str, Any]
    deadline: float | None
    patience: float | None = None
    job_name: None = None
    operation: str = "ListAutoMLJobs"


class ListCandidates(NamedTuple):
    """Read a page of ListCandidatesForAutoMLJob; no attempt begins after `deadline`.

    `patience` is the error budget, in seconds: with 0 there is one attempt.
    """

    job_name: str
    token: str | None
    deadline: float | None
    patience: float
    operation: str = "ListCandidatesForAutoMLJob"


class Sleep(NamedTuple):
    """Do nothing until the clock shows `until`."""

    until: float


class Woken(NamedTuple):
    """A sleep is over: what the shell's clock shows now, in seconds and as an instant (UTC)."""

    now: float
    at: datetime


class Answer(NamedTuple):
    """What came of a call, its retries included: a response, or the error that ended it.

    Attributes:
        started: When the attempt that gave it began, on the shell's monotonic clock (seconds).
        finished: When it was over, on the same clock.
        at: The same, as an instant (UTC).
        response: What was answered: a mapping, a list of names, or None.
        error: What ended the call instead.
        served_at: The service's own clock, where the response told it (UTC).
        retries: How many failed attempts came before.
        slowdown: The call budget's: 1, and more after calls were throttled.
        exhausted: Whether the error is only the last of many, so that a later call might well succeed.
    """

    started: float
    finished: float
    at: datetime
    response: Any = None
    error: AutoMLWaiterError | None = None
    served_at: datetime | None = None
    retries: int = 0
    slowdown: float = 1.0
    exhausted: bool = False


@dataclass(eq=False)
class Member:
    """One of the jobs that are followed in a listing, shared by the plan of the job and the one that reads the listing.

    Attributes:
        name: The job's name.
        is_listed: Whether the listing shows the job. Where it does not, the job's plan describes it.
        is_over: Whether nobody waits for the job any more.
        state: The statuses that its plan was last told of.
        told_at: When it was (on the clock of the answers).
    """

    name: str
    is_listed: bool = True
    is_over: bool = False
    state: State | None = None
    told_at: float = -math.inf


class Follow(NamedTuple):
    """Wait for news of a job from the listing, at most until the clock shows `until`.

    It is answered with an `Answer` whose response is the job's summary, or None if the job must be described; with an
    `Answer` that holds an error, if the listing failed for good; or with a `Woken` when the time is over.
    """

    member: Member
    until: float | None


class Tell(NamedTuple):
    """Answer the `Follow` of a job."""

    member: Member
    answer: Answer


class Begin(NamedTuple):
    """Begin with another job: its plan goes on beside the others."""

    plan: Plan


Call = Describe | FindNames | Stop | ListJobs | ListCandidates
Action = Call | Sleep | Follow | Tell | Begin | Event
Plan = Generator[Action, Any, Outcome]
ListingPlan = Generator[Action, Any, None]
