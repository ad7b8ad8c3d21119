"""The IAM actions that a wait needs, and the least policy that allows those of the features used."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from automl_waiter._model.errors import InvalidRequest
from automl_waiter._model.text import clean


class Feature(StrEnum):
    """What needs a right beside that to describe a job."""

    CANDIDATES = "candidates"
    """The live view, `report`, and a condition on BestCandidate."""
    LISTING = "listing"
    """`watch`; many jobs, followed in few calls; and the nearest name to one that there is not."""
    STOP = "stop"
    """`--stop-on`."""
    PUBLISH = "publish"
    """`--publish`."""


EVERY_JOB = "arn:*:sagemaker:*:*:automl-job/*"
EVERY_BUS = "arn:*:events:*:*:event-bus/*"

_JOB_ACTIONS = {None: "DescribeAutoMLJobV2", Feature.STOP: "StopAutoMLJob"}
# What lists is granted for all resources, as is usual in IAM: no documentation at hand names a narrower one.
_ACCOUNT_ACTIONS = {Feature.CANDIDATES: "ListCandidatesForAutoMLJob", Feature.LISTING: "ListAutoMLJobs"}
_BUS_ACTIONS = ("DescribeEventBus", "PutEvents")


def action_of(operation: str) -> str:
    """The IAM action that an operation needs."""
    return f"{'events' if operation in _BUS_ACTIONS else 'sagemaker'}:{operation}"


def iam_policy(
    features: Iterable[Feature] = (), jobs: Iterable[str] = (EVERY_JOB,), buses: Iterable[str] = (EVERY_BUS,)
) -> dict[str, Any]:
    """The least policy for a wait with these features, on the jobs and buses whose ARNs these match, with * and ?.

    Raises:
        InvalidRequest: One of them is no ARN of AutoML jobs, or none of event buses.
    """
    wanted: set[Feature | None] = {None, *features}
    statements = [
        _statement(
            "TheJobs",
            [operation for key, operation in _JOB_ACTIONS.items() if key in wanted],
            _checked(jobs, "sagemaker", "automl-job/", f"AutoML jobs, such as {EVERY_JOB}"),
        ),
        _statement("Lists", [operation for key, operation in _ACCOUNT_ACTIONS.items() if key in wanted], ["*"]),
        _statement(
            "TheBus",
            _BUS_ACTIONS if Feature.PUBLISH in wanted else (),
            _checked(buses, "events", "event-bus/", f"event buses, such as {EVERY_BUS}"),
        ),
    ]
    return {"Version": "2012-10-17", "Statement": [statement for statement in statements if statement["Action"]]}


def _checked(arns: Iterable[str], service: str, resource: str, what: str) -> list[str]:
    """The ARNs, each once."""
    for arn in (distinct := list(dict.fromkeys(arns))):
        parts = arn.split(":", 5)
        if len(parts) != 6 or (parts[0], parts[2]) != ("arn", service) or not parts[5].startswith(resource):
            raise InvalidRequest(f"{clean(arn)!r} is no ARN of {what}")
    return distinct


def _statement(sid: str, operations: Iterable[str], resources: list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": [*map(action_of, operations)], "Resource": resources}
