"""ListAutoMLJobs over scripted jobs: summaries, filtered, sorted and paged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

_SUMMARY_MEMBERS = (
    *("AutoMLJobName", "AutoMLJobArn", "AutoMLJobStatus", "AutoMLJobSecondaryStatus"),
    *("CreationTime", "EndTime", "LastModifiedTime", "FailureReason", "PartialFailureReasons"),
)
_LONGEST_TOKEN = 9
_KEYS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "Name": lambda job: job["AutoMLJobName"].lower(),
    "CreationTime": lambda job: job["CreationTime"],
    "Status": lambda job: job["AutoMLJobStatus"],
}


class RequestRefused(ValueError):
    """An error that the service would return: its message and code."""

    def __init__(self, message: str, code: str = "ValidationException") -> None:
        super().__init__(message)
        self.code = code


def summary_of(response: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job's summary in ListAutoMLJobs, from its describe response."""
    return {member: response[member] for member in _SUMMARY_MEMBERS if member in response}


def is_listed(job: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    """Return whether a summary matches the filters of a ListAutoMLJobs request."""
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
    """Return the page of ListAutoMLJobs for a request; by default by name from Z to A, ten a page."""
    key, is_descending = _KEYS[request.get("SortBy") or "Name"], request.get("SortOrder") != "Ascending"
    listed = sorted((job for job in jobs if is_listed(job, request)), key=key, reverse=is_descending)
    return paged("AutoMLJobSummaries", listed, request)


def paged(member: str, items: Sequence[Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Return one page of the items, ten by default, with a token if there are more.

    Raises:
        RequestRefused: The token is not from an earlier page.
    """
    token = request.get("NextToken") or "0"
    if not token.isdecimal() or len(token) > _LONGEST_TOKEN:
        raise RequestRefused("the token is invalid.")
    first, size = int(token), min(int(request.get("MaxResults") or 10), 100)
    page: dict[str, Any] = {member: list(items[first : first + size])}
    if first + size < len(items):
        page["NextToken"] = str(first + size)
    return page
