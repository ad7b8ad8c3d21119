"""CloudWatch Logs: the lines of a job's log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from automl_waiter._aws.gateway import Caller
from automl_waiter._model.errors import JobNotFound
from automl_waiter._model.failure_logs import FailedJob

# A job on several instances has a stream for each. One response holds at most so many lines (API reference).
_MOST_STREAMS = 4
_MOST_LINES = 10_000
# The newest page may be empty although older ones are not.
_MOST_PAGES = 5


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
                events += self._events(job, stream["logStreamName"])
        except JobNotFound:
            return []
        events.sort(key=lambda event: event.get("timestamp") or 0)
        return [line for event in events for line in str(event.get("message", "")).splitlines()]

    def _events(self, job: FailedJob, stream: str) -> Sequence[Mapping[str, Any]]:
        """Return the newest page of a stream that has events."""
        request: dict[str, Any] = {"logGroupName": job.group, "logStreamName": stream, "limit": _MOST_LINES}
        for _ in range(_MOST_PAGES):
            page = self._call("GetLogEvents", job.name, startFromHead=False, **request)
            token = page.get("nextBackwardToken")
            # At the oldest page, the token stays the same.
            if page.get("events") or token == request.get("nextToken"):
                return page.get("events") or ()
            request["nextToken"] = token
        return ()
