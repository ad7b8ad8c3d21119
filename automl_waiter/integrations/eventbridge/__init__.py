"""Events of AutoML jobs on an EventBridge bus. SageMaker itself sends events only for its other jobs.

Use the publisher as a callback of the wait::

    with EventBridgePublisher("ml-events") as publisher:
        wait_for("churn-2026", on_event=publisher)

`event_entry` makes an event without publishing it.
"""

from automl_waiter.integrations.eventbridge.entries import DETAIL_TYPE, SOURCE, event_entry
from automl_waiter.integrations.eventbridge.publisher import EventBridgePublisher

__all__ = ["DETAIL_TYPE", "SOURCE", "EventBridgePublisher", "event_entry"]
