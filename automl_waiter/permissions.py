"""The IAM actions that a wait needs, and the least policy that allows those of the features used."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from automl_waiter.errors import InvalidRequest
from automl_waiter.text import clean


class Feature(StrEnum):
    """What needs a right beside that to describe a job."""

    CANDIDATES = "candidates"
    """The live view, `report`, and a condition on BestCandidate."""
    LISTING = "listing"
    """`watch`; many jobs, followed in few calls; and the nearest name to one that there is not."""
    STOP = "stop"
    """`--stop-on`."""


EVERY_JOB = "arn:*:sagemaker:*:*:automl-job/*"

_OF_A_JOB = {None: "sagemaker:DescribeAutoMLJobV2", Feature.STOP: "sagemaker:StopAutoMLJob"}
# What lists is granted for all resources, as is usual in IAM: no documentation at hand names a narrower one.
_OF_ALL = {Feature.CANDIDATES: "sagemaker:ListCandidatesForAutoMLJob", Feature.LISTING: "sagemaker:ListAutoMLJobs"}


def iam_policy(features: Iterable[Feature] = (), jobs: Iterable[str] = (EVERY_JOB,)) -> dict[str, Any]:
    """The least policy for a wait with these features, on the jobs whose ARNs these are or match, with * and ?.

    Raises:
        InvalidRequest: One of them is no ARN of AutoML jobs.
    """
    wanted: set[Feature | None] = {None, *features}
    resources = list(dict.fromkeys(jobs))
    for resource in resources:
        parts = resource.split(":", 5)
        if len(parts) != 6 or (parts[0], parts[2]) != ("arn", "sagemaker") or not parts[5].startswith("automl-job/"):
            raise InvalidRequest(f"{clean(resource)!r} is no ARN of AutoML jobs, such as {EVERY_JOB}")
    statements = [
        _statement("TheJobs", [action for key, action in _OF_A_JOB.items() if key in wanted], resources),
        _statement("Lists", [action for key, action in _OF_ALL.items() if key in wanted], ["*"]),
    ]
    return {"Version": "2012-10-17", "Statement": [statement for statement in statements if statement["Action"]]}


def _statement(sid: str, actions: list[str], resources: list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}
