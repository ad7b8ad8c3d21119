"""CloudWatch Logs: the lines of a job's log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automl_waiter._aws.gateway import Caller
from automl_waiter._model.errors import JobNotFound
from automl_waiter._model.failure_logs import FailedJob

# A job on several instances has a stream for each. One response holds at most so many lines (API reference).
_MOST_STREAMS = 4
_MOST_LINES = 10_000


class CloudWatchLogs(Caller):
    """Reads the logs of an account and region."""

    def lines(self, job: FailedJob) -> list[str]:
        """Return the last lines of the job's log, in the order of time; none if there is no log.

        Raises:
            TransientError: A call failed with a transient error.
            AutoMLWaiterError: A call failed with a permanent error.
        """
        events: list[Mapping[str, Any]] = []
        try:
            found = self._call(
                "DescribeLogStreams", job.name, logGroupName=job.group, logStreamNamePrefix=f"{job.name}/"
            )
            for stream in (found.get("logStreams") or ())[:_MOST_STREAMS]:
                page = self._call(
                    "GetLogEvents",
                    job.name,
                    logGroupName=job.group,
                    logStreamName=stream["logStreamName"],
                    startFromHead=False,
                    limit=_MOST_LINES,
                )
                events += page.get("events") or ()
        except JobNotFound:
            return []
        events.sort(key=lambda event: event.get("timestamp") or 0)
        return [line for event in events for line in str(event.get("message", "")).splitlines()]
