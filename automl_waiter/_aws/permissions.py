"""The IAM actions that a wait needs, and the minimal policy that allows them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from automl_waiter._model.errors import InvalidRequest
from automl_waiter._model.failure_logs import LOG_GROUPS
from automl_waiter._model.text import clean


class Feature(StrEnum):
    """Features that need more than the permission to describe a job."""

    CANDIDATES = "candidates"
    """The live view, `report`, and a condition on BestCandidate."""
    LISTING = "listing"
    """`watch`; many jobs, followed with few calls; and the suggestions for a name that does not exist."""
    ESTIMATE = "estimate"
    """The estimate of a job's end."""
    STOP = "stop"
    """`--stop-on`."""
    PUBLISH = "publish"
    """`--publish`."""
    LOGS = "logs"
    """The log of a failed job, in `wait`, `report` and `failure_logs`."""


EVERY_JOB = "arn:*:sagemaker:*:*:automl-job/*"
EVERY_BUS = "arn:*:events:*:*:event-bus/*"

_JOB_ACTIONS = {None: "DescribeAutoMLJobV2", Feature.STOP: "StopAutoMLJob"}
# Listing is granted for all resources, as usual in IAM: no available documentation names a narrower one.
_ACCOUNT_ACTIONS = {
    Feature.CANDIDATES: "ListCandidatesForAutoMLJob",
    Feature.LISTING: "ListAutoMLJobs",
    Feature.ESTIMATE: "ListAutoMLJobs",
}
_BUS_ACTIONS = ("DescribeEventBus", "PutEvents")
_LOG_ACTIONS = ("DescribeLogStreams", "GetLogEvents")


def action_of(operation: str) -> str:
    """Return the IAM action that an operation needs."""
    services = dict.fromkeys(_BUS_ACTIONS, "events") | dict.fromkeys(_LOG_ACTIONS, "logs")
    return f"{services.get(operation, 'sagemaker')}:{operation}"


def iam_policy(
    features: Iterable[Feature] = (), jobs: Iterable[str] = (EVERY_JOB,), buses: Iterable[str] = (EVERY_BUS,)
) -> dict[str, Any]:
    """Return the minimal policy for a wait with these features, for jobs and buses whose ARNs match these patterns.

    Raises:
        InvalidRequest: An item is not an ARN of AutoML jobs, or not one of event buses.
    """
    wanted: set[Feature | None] = {None, *features}
    statements = [
        _statement(
            "TheJobs",
            [operation for key, operation in _JOB_ACTIONS.items() if key in wanted],
            _checked(jobs, "sagemaker", "automl-job/", f"AutoML jobs, such as {EVERY_JOB}"),
        ),
        _statement(
            "Lists", dict.fromkeys(operation for key, operation in _ACCOUNT_ACTIONS.items() if key in wanted), ["*"]
        ),
        _statement(
            "TheBus",
            _BUS_ACTIONS if Feature.PUBLISH in wanted else (),
            _checked(buses, "events", "event-bus/", f"event buses, such as {EVERY_BUS}"),
        ),
        _statement(
            "TheLogs",
            _LOG_ACTIONS if Feature.LOGS in wanted else (),
            [f"arn:*:logs:*:*:log-group:{group}:*" for group in LOG_GROUPS],
        ),
    ]
    return {"Version": "2012-10-17", "Statement": [statement for statement in statements if statement["Action"]]}


def _checked(arns: Iterable[str], service: str, resource: str, what: str) -> list[str]:
    for arn in (distinct := list(dict.fromkeys(arns))):
        parts = arn.split(":", 5)
        if len(parts) != 6 or (parts[0], parts[2]) != ("arn", service) or not parts[5].startswith(resource):
            raise InvalidRequest(f"{clean(arn)!r} is no ARN of {what}")
    return distinct


def _statement(sid: str, operations: Iterable[str], resources: list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": [*map(action_of, operations)], "Resource": resources}
