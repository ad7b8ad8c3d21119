"""Events of AutoML jobs on an EventBridge bus, which SageMaker itself sends only for its other jobs.

with EventBridgePublisher("ml-events") as publisher:
    wait_for("churn-2026", on_event=publisher)
"""

from automl_waiter.integrations.eventbridge.entries import DETAIL_TYPE, SOURCE, event_entry
from automl_waiter.integrations.eventbridge.publisher import EventBridgePublisher

__all__ = ["DETAIL_TYPE", "SOURCE", "EventBridgePublisher", "event_entry"]
