"""What ListAutoMLJobs answers of scripted jobs: summaries, filtered, sorted and paged as a request asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

_SUMMARY_MEMBERS = (
    *("AutoMLJobName", "AutoMLJobArn", "AutoMLJobStatus", "AutoMLJobSecondaryStatus"),
    *("CreationTime", "EndTime", "LastModifiedTime", "FailureReason", "PartialFailureReasons"),
)
_KEYS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "Name": lambda job: job["AutoMLJobName"].lower(),
    "CreationTime": lambda job: job["CreationTime"],
    "Status": lambda job: job["AutoMLJobStatus"],
}


class RequestRefused(ValueError):
    """An error as the service answers it: a message and its code."""

    def __init__(self, message: str, code: str = "ValidationException") -> None:
        super().__init__(message)
        self.code = code


def summary_of(response: Mapping[str, Any]) -> dict[str, Any]:
    """Return the job as ListAutoMLJobs has it, of what DescribeAutoMLJobV2 answers."""
    return {member: response[member] for member in _SUMMARY_MEMBERS if member in response}


def is_listed(job: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    """Return whether the filters of a request of ListAutoMLJobs let a summary pass."""
    if (request.get("NameContains") or "").lower() not in job["AutoMLJobName"].lower():
        return False
    if request.get("StatusEquals") not in (None, job["AutoMLJobStatus"]):
        return False
    for time in ("CreationTime", "LastModifiedTime"):
        after, before = request.get(f"{time}After"), request.get(f"{time}Before")
        if (after and job[time] <= after) or (before and job[time] >= before):
            return False
    return True


def page_of(jobs: Iterable[Mapping[str, Any]], request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the page of ListAutoMLJobs that a request asks for: by default by name from Z to A, ten a page."""
    key, is_descending = _KEYS[request.get("SortBy") or "Name"], request.get("SortOrder") != "Ascending"
    listed = sorted((job for job in jobs if is_listed(job, request)), key=key, reverse=is_descending)
    return paged("AutoMLJobSummaries", listed, request)


def paged(member: str, items: Sequence[Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Return one page of what is listed, ten by default, with a token if there are more.

    Raises:
        RequestRefused: The token is none that an earlier page gave.
    """
    token = request.get("NextToken") or "0"
    if not token.isdecimal():
        raise RequestRefused("the token is invalid.")
    first, size = int(token), min(int(request.get("MaxResults") or 10), 100)
    page: dict[str, Any] = {member: list(items[first : first + size])}
    if first + size < len(items):
        page["NextToken"] = str(first + size)
    return page
