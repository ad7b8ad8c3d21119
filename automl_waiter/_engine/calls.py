"""The engine's calls to AWS, each retried by `retries.py` until it succeeds or is given up."""

from __future__ import annotations

import math
from collections.abc import Coroutine, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from automl_waiter._engine.kernel import Kernel
from automl_waiter._engine.retries import Answer, Call, Priority, Retrier
from automl_waiter._model.errors import TransientError, TransientKind
from automl_waiter._model.job_refs import account_of
from automl_waiter._model.text import clean
from automl_waiter._model.token_bucket import TokenBucket

_FIND_NAME_TIMEOUT_S = 5.0

Answering = Coroutine[Any, Any, Answer]
"""A call that starts when it is awaited."""


class Gateway(Protocol):
    """The calls that a wait makes to AWS. Each method makes one attempt.

    Raises:
        TransientError: The attempt failed with a transient error.
        AutoMLWaiterError: It failed with a permanent error.
    """

    region: str

    @property
    def credentials_expire_at(self) -> datetime | None:
        """When the credentials are known to expire (UTC)."""

    @property
    def bucket(self) -> TokenBucket:
        """The rate limit of the account and region."""

    def describe(self, job_name: str) -> Mapping[str, Any]:
        """Return the response of DescribeAutoMLJobV2."""

    def stop(self, job_name: str) -> None:
        """Call StopAutoMLJob."""

    def find_name(self, job_name: str) -> str | None:
        """Return the name most similar to `job_name`, by ListAutoMLJobs: itself, if it is listed."""

    def list_jobs(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a page of ListAutoMLJobs."""

    def list_candidates(self, job_name: str, token: str | None) -> Mapping[str, Any]:
        """Return a page of ListCandidatesForAutoMLJob: the first, or the one for `token`."""


class Calls(Retrier):
    """The calls of one wait through one gateway. Each returns an `Answer`, also if it fails.

    Args:
        gateway: Makes one attempt.
        kernel: Runs the wait.
        error_budget: Seconds for which a call may keep failing with transient errors.
    """

    def __init__(self, gateway: Gateway, kernel: Kernel, *, error_budget: float) -> None:
        super().__init__(kernel, gateway.bucket, error_budget)
        self.gateway = gateway

    def of_another_wait(self) -> Calls:
        """Return the calls of another wait through the same gateway."""
        return Calls(self.gateway, self.kernel, error_budget=self.error_budget)

    @property
    def slowdown(self) -> float:
        """The factor by which to poll less often: 1, or more after calls were throttled."""
        return self.bucket.slowdown(self.kernel.clock.monotonic())

    def describe(
        self,
        job_name: str,
        deadline: float,
        *,
        arn: str | None = None,
        is_first: bool = False,
        foreign_for: float = math.inf,
    ) -> Answering:
        """Describe a job.

        Args:
            job_name: The job's name.
            deadline: No attempt begins later.
            arn: The job's ARN, if it is known: an answer with another one is a transient error.
            is_first: Whether the call gets its token before others, because the job is known to have ended.
            foreign_for: After so many seconds of answers about other jobs only, there is no such job.
        """
        return self.answer(
            Call(
                "DescribeAutoMLJobV2",
                job_name,
                partial(self.gateway.describe, job_name),
                deadline,
                priority=Priority.FIRST if is_first else Priority.IN_ORDER,
                check=partial(_check_arn, arn),
                foreign_for=foreign_for,
            )
        )

    def stop(self, job_name: str, deadline: float, *, is_immediate: bool = False) -> Answering:
        """Stop a job. `is_immediate` does not wait for a token."""
        stop = partial(self.gateway.stop, job_name)
        priority = Priority.IMMEDIATE if is_immediate else Priority.IN_ORDER
        return self.answer(Call("StopAutoMLJob", job_name, stop, deadline, priority=priority))

    def find_name(self, job_name: str, deadline: float) -> Answering:
        """Find the listed name most similar to the one that was not found, in one attempt of a few seconds."""
        find_name = partial(self.gateway.find_name, job_name)
        until = min(self.kernel.clock.monotonic() + _FIND_NAME_TIMEOUT_S, deadline)
        return self.answer(Call("ListAutoMLJobs", job_name, find_name, until, error_budget=0.0))

    def list_jobs(
        self, request: Mapping[str, Any], deadline: float = math.inf, *, error_budget: float = math.inf
    ) -> Answering:
        """Read a page of jobs. It shows up to 100 jobs, so it gets its token before others."""
        page = partial(self.gateway.list_jobs, request)
        return self.answer(Call("ListAutoMLJobs", None, page, deadline, error_budget, Priority.FIRST))

    def list_candidates(self, job_name: str, token: str | None, deadline: float, *, error_budget: float) -> Answering:
        """Read a page of candidates. It is for display and has its own pace, so its throttling slows down no poll."""
        page = partial(self.gateway.list_candidates, job_name, token)
        operation = "ListCandidatesForAutoMLJob"
        return self.answer(Call(operation, job_name, page, deadline, error_budget, slows_down=False))


def _check_arn(arn: str | None, response: Mapping[str, Any]) -> None:
    """Raise TransientError if a response is about another job than the one with this ARN."""
    theirs = str(response["AutoMLJobArn"])
    # The service wrote ARNs in lower case until 2022.
    if arn is not None and theirs.lower() != arn.lower():
        hint = "" if account_of(theirs) == account_of(arn) else ": are these the credentials of that account?"
        raise TransientError(TransientKind.NAMESAKE, f"the response is about {clean(theirs)}, not about {arn}{hint}")
