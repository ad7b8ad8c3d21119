"""CloudWatch Logs in the sandbox: the logs of what failed in its scripted jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from moto.logs.responses import LogsResponse

from automl_waiter._model.failure_logs import failed_jobs
from automl_waiter._model.snapshot import Candidate, Snapshot
from automl_waiter.sandbox.backend import ScriptedResponse, refusal


def logs_class(jobs: type[ScriptedResponse]) -> type[LogsResponse]:
    """Return a response class with the logs of these scripted jobs. It answers what reads a log, and nothing else."""

    class Response(LogsResponse):  # type: ignore[misc]
        def call_action(self) -> Any:
            """Answer the request."""
            group, prefix = self._get_param("logGroupName"), self._get_param("logStreamNamePrefix") or ""
            match self._get_action():
                case "DescribeLogStreams":
                    names = [name for known, name, _ in _streams(jobs) if known == group and name.startswith(prefix)]
                    return json.dumps({"logStreams": [{"logStreamName": name} for name in names]})
                case "GetLogEvents":
                    for known, name, events in _streams(jobs):
                        if (known, name) == (group, self._get_param("logStreamName")):
                            return json.dumps({"events": events})
                    return refusal(400, "ResourceNotFoundException", "The specified log stream does not exist.")
                case action:
                    return refusal(400, "UnknownOperationException", f"The sandbox has no {action}.")

    return Response


def _streams(jobs: type[ScriptedResponse]) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Yield the group, the name and the events of each log stream, in all regions."""
    for backend in list(jobs.backends.values()):
        for job in list(backend.auto_ml_jobs.values()):
            snapshot = Snapshot(job.describe())
            candidates = [[Candidate(one)] for one in job.candidates(job.elapsed)]
            # Every failed candidate has a log, also where another failed earlier for the same reason.
            failures = dict.fromkeys(failed for one in ([], *candidates) for failed in failed_jobs(snapshot, one))
            for failed in failures if job.timeline.failure_log else ():
                at = round(snapshot.last_modified_at.timestamp() * 1000)
                events = [
                    {"timestamp": at + number, "ingestionTime": at + number, "message": line}
                    for number, line in enumerate(job.timeline.failure_log)
                ]
                yield failed.group, f"{failed.name}/algo-1-{round(job.created.timestamp())}", events
