"""Job references: names, ARNs, and the objects that callers already have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from automl_waiter._model.errors import InvalidRequest
from automl_waiter._model.secrets import spare
from automl_waiter._model.text import clean, in_utc

# Pattern and length are those of the API reference (AutoMLJobName); the pattern alone allows longer names.
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,31}", re.ASCII)
_LONGEST_NAME = 32
_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z\-]*):sagemaker:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):automl-job/(?P<name>.+)",
    re.ASCII,
)
# Where objects keep them: sagemaker-core's AutoMLJobV2, the SageMaker SDK's AutoMLV2 and its job, and our own
# Transition, Snapshot and Outcome.
_ARN_ATTRIBUTES = ("auto_ml_job_arn", "job_arn", "arn")
# An Outcome of a job that was never seen has no ARN, but what the caller gave may be one.
_NAME_ATTRIBUTES = ("auto_ml_job_name", "current_job_name", "job", "job_name")


@dataclass(frozen=True)
class JobRef:
    """A job, as far as it is known before the first poll.

    Attributes:
        key: How the caller named it: the given string, or an object's ARN (its name if it has no ARN).
        name: The job's name. AWS compares names case-insensitively.
        arn: The ARN, if one was given.
        region: The ARN's region.
        account: The ARN's account.
        created_at: The CreationTime, if a describe response was given.
    """

    key: str
    name: str
    arn: str | None = None
    region: str | None = None
    account: str | None = None
    created_at: datetime | None = None


def job_ref(job: object) -> JobRef:
    """Return the job that a name, an ARN, a response, an SDK's object or an object of ours refers to.

    Raises:
        InvalidRequest: It is none of these, or the name or ARN is malformed.
    """
    if isinstance(job, JobRef):
        return job
    if isinstance(job, str):
        return _from_string(job.strip())
    if isinstance(job, Mapping):
        return _from_members(job.get("AutoMLJobArn"), job.get("AutoMLJobName"), job.get("CreationTime"))
    if isinstance(job, list | tuple | set | frozenset) and not hasattr(job, "_fields"):
        raise InvalidRequest("this is a collection of jobs: give it to wait_for_all or as_completed")
    created_at = getattr(job, "created_at", None)
    return _from_members(
        _first(job, _ARN_ATTRIBUTES), _first(job, _NAME_ATTRIBUTES), created_at, kind=type(job).__name__
    )


def job_refs(jobs: object) -> list[JobRef]:
    """Return the jobs that a collection refers to; `job_ref` accepts each item.

    Raises:
        InvalidRequest: It is a single job, or an item refers to none.
    """
    is_response = isinstance(jobs, Mapping) and bool({"AutoMLJobArn", "AutoMLJobName"} & jobs.keys())
    if isinstance(jobs, str) or is_response or not isinstance(jobs, Iterable):
        shown = repr(clean(jobs)) if isinstance(jobs, str) else f"one {type(jobs).__name__}"
        raise InvalidRequest(f"{shown} where several jobs belong: write [job], or call wait_for")
    return [job_ref(job) for job in jobs]


def _first(job: object, attributes: tuple[str, ...]) -> str | None:
    values = (getattr(job, attribute, None) for attribute in attributes)
    return next((value for value in values if isinstance(value, str) and value), None)


def _from_members(arn: Any, name: Any, created_at: Any, kind: str = "a response") -> JobRef:
    if not arn and not name:
        raise InvalidRequest(
            f"{kind} names no AutoML job: pass its name or ARN, the response of create_auto_ml_job_v2, or an SDK's job"
        )
    ref = _from_string(str(arn or name))
    return replace(ref, created_at=in_utc(created_at)) if isinstance(created_at, datetime) else ref


def _from_string(text: str) -> JobRef:
    if text.startswith("arn:"):
        match = _ARN.fullmatch(text)
        if match is None or not _is_name(match["name"]):
            raise InvalidRequest(
                f"{clean(text)!r} is not the ARN of an AutoML job: arn:aws:sagemaker:REGION:ACCOUNT:automl-job/NAME"
            )
        spare(match["name"], match["name"].lower())
        return JobRef(text, match["name"], text, match["region"], match["account"])
    if not _is_name(text):
        raise InvalidRequest(
            f"{clean(text)!r} is not the name of an AutoML job: 1 to 32 letters, digits and inner hyphens, or its ARN"
        )
    spare(text, text.lower())
    return JobRef(text, text)


def region_of(arn: str) -> str | None:
    """Return the region in an ARN; None if it has none."""
    return _part(arn, 3)


def account_of(arn: str) -> str | None:
    """Return the account in an ARN; None if it has none."""
    return _part(arn, 4)


def _part(arn: str, number: int) -> str | None:
    return dict(enumerate(arn.split(":"))).get(number) or None


def _is_name(text: str) -> bool:
    return len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None
