"""The fake service with a listing filters, pages and throttles as its arguments say."""

from collections.abc import Mapping

import pytest
from listing_service import MOVES_EVERY, Filters, Job, Service, Throttle

from automl_waiter._model.errors import InvalidRequest, TransientError
from automl_waiter.testing import EPOCH, ManualClock, Timeline


def service_of(filters: Filters = Filters.INDEXED, limit: Throttle | None = None) -> Service:
    """Return a service with 250 jobs, of which every other has ended, and one that is created at second 100."""
    ended = Timeline([(0, "InProgress", "Starting"), (60, "Completed", "Completed")])
    endless = Timeline([(0, "InProgress", "Starting"), (1e6, "InProgress", "ModelTuning")])
    jobs = [Job(f"job-{number}", -1000.0 - number, (ended, endless)[number % 2]) for number in range(250)]
    return Service(ManualClock(), [*jobs, Job("later", 100, ended)], filters=filters, throttle=limit)


def names(service: Service, **request: object) -> list[list[str]]:
    """Return the names on each page of a listing."""
    pages: list[list[str]] = []
    token: Mapping[str, str] | None = {}
    while token is not None:
        page = service.list_jobs({"MaxResults": 100, **request, **token})
        pages.append([job["AutoMLJobName"] for job in page["AutoMLJobSummaries"]])
        token = {"NextToken": page["NextToken"]} if "NextToken" in page else None
    return pages


def test_a_listing_shows_the_newest_jobs_first_a_hundred_a_page() -> None:
    """A job is listed from the second of its creation on."""
    service = service_of()
    everything = names(service)
    assert [len(page) for page in everything] == [100, 100, 50]
    assert everything[0][:2] == ["job-0", "job-1"]
    service.clock.advance(100)
    assert names(service)[0][:2] == ["later", "job-0"]


@pytest.mark.parametrize(
    ("filters", "sizes"),
    [(Filters.INDEXED, [100, 25]), (Filters.POST_FILTERED, [50, 50, 25]), (Filters.IGNORED, [100, 100, 50])],
)
def test_filters_are_applied_before_paging_after_it_or_not_at_all(filters: Filters, sizes: list[int]) -> None:
    """A listing of the completed jobs has full pages, sparse pages, or all jobs, as the argument says."""
    assert [len(page) for page in names(service_of(filters), StatusEquals="Completed")] == sizes
    [match] = [page for page in names(service_of(filters), NameContains="JOB-24") if "job-24" in page]
    assert ("job-1" in match) == (filters is Filters.IGNORED)


def test_last_modified_time_moves_within_a_phase_and_shortly_after_the_end() -> None:
    """Describe and listing agree: it is the last full ten minutes since the creation, or 35 ms after EndTime."""
    service = service_of()
    running, ended = service.describe("job-1"), service.describe("JOB-0")
    assert (EPOCH - running["LastModifiedTime"]).total_seconds() == 1001 - MOVES_EVERY
    assert (ended["LastModifiedTime"] - ended["EndTime"]).total_seconds() == 0.035
    listed = service.list_jobs({"MaxResults": 2})["AutoMLJobSummaries"]
    assert [job["LastModifiedTime"] for job in listed] == [ended["LastModifiedTime"], running["LastModifiedTime"]]


def test_expired_next_token_is_refused() -> None:
    """A listing continues only with a token that has not expired."""
    service = service_of()
    service.token_life = 5.0
    token = service.list_jobs({"MaxResults": 100})["NextToken"]
    service.clock.advance(4)
    service.list_jobs({"MaxResults": 100, "NextToken": token})
    service.clock.advance(1)
    with pytest.raises(InvalidRequest):
        service.list_jobs({"MaxResults": 100, "NextToken": token})


def test_calls_over_the_rate_limit_are_throttled_and_counted() -> None:
    """With a burst of two the third call is throttled, and a second later one call is admitted."""
    service = service_of(limit=Throttle(1, 2))
    service.describe("job-0")
    service.describe("JOB-0")
    with pytest.raises(TransientError):
        service.describe("job-0")
    assert (service.describes, service.throttled, len(service.calls)) == (3, 1, 3)
    service.clock.advance(1)
    assert service.describe("job-0")["AutoMLJobStatus"] == "Completed"
