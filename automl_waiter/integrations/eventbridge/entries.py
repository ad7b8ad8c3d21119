"""A transition as an event on a bus. docs/howto/notifications.md documents its form."""

from __future__ import annotations

import json
from typing import Any

from automl_waiter._model.json_form import jsonable
from automl_waiter._model.outcome import shortfalls_of, verdict_of
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.tracker import Transition

SOURCE = "automl-waiter"
"""The source of the events. EventBridge reserves names that begin with `aws.`."""
DETAIL_TYPE = "SageMaker AutoML Job State Change"

# FailureReason has up to 1024 characters. With all texts this long, an entry is still far smaller than 256 KB.
_LONGEST_TEXT = 2000
_TIME_BYTES = 14


def event_entry(transition: Transition, snapshot: Snapshot | None = None, *, bus: str = "default") -> dict[str, Any]:
    """Return the entry of PutEvents for a transition.

    Args:
        transition: The transition.
        snapshot: The job at the last poll, with the details of its end.
        bus: The bus's name or ARN.
    """
    before, after = transition.before, transition.after
    detail: dict[str, Any] = {
        "AutoMLJobName": transition.job_name,
        "AutoMLJobArn": transition.job_arn,
        "AutoMLJobStatus": after.status,
        "AutoMLJobSecondaryStatus": after.secondary_status,
        "PreviousAutoMLJobStatus": before and before.status,
        "PreviousAutoMLJobSecondaryStatus": before and before.secondary_status,
        "ObservedAt": transition.observed_at,
        "NotBefore": transition.not_before,
        "TransitionId": transition.id,
    }
    if after.is_terminal and snapshot is not None and snapshot.state == after:
        detail |= {
            "CreationTime": snapshot.created_at,
            "EndTime": snapshot.ended_at,
            "FailureReason": snapshot.failure_reason,
            "Verdict": verdict_of(snapshot),
            "Shortfalls": shortfalls_of(snapshot),
        }
    return {
        "Source": SOURCE,
        "DetailType": DETAIL_TYPE,
        "Resources": [_cut(transition.job_arn)],
        "Time": transition.observed_at,
        "Detail": json.dumps({name: _cut(jsonable(value)) for name, value in detail.items()}),
        "EventBusName": bus,
    }


def _cut(value: Any) -> Any:
    is_long = isinstance(value, str) and len(value) > _LONGEST_TEXT
    return f"{value[: _LONGEST_TEXT - 3]}..." if is_long else value


def size_of(entry: dict[str, Any]) -> int:
    """Return the bytes of an entry, as EventBridge counts them."""
    texts = [entry["Source"], entry["DetailType"], entry["Detail"], *entry["Resources"]]
    return _TIME_BYTES + sum(len(text.encode(errors="backslashreplace")) for text in texts)
