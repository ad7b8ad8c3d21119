"""Estimates of a job's end: its siblings by name, the estimate from their durations, and its wording."""

import math
import random
from datetime import UTC, datetime, timedelta, timezone
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_waiter import Estimate, Snapshot
from automl_waiter._model.estimate_words import estimate_words, time_left
from automl_waiter._model.estimates import Forecast, PastJob, literal_part, past_jobs, sibling_durations

NOW = datetime(2026, 11, 25, 14, 20, 12, tzinfo=UTC)


HOUR = 3600.0
NAMES = st.text("0123456789abcdefx-", min_size=1, max_size=12)


def past(*names: str) -> list[PastJob]:
    """Return completed jobs, the oldest first: the first took 100 s, the next 101 s, and so on."""
    return [PastJob(name, NOW + timedelta(days=day), 100.0 + day) for day, name in enumerate(names)]


def summary(**members: object) -> Snapshot:
    """Return the summary of a job that took ten minutes."""
    times = {"CreationTime": NOW, "EndTime": NOW + timedelta(minutes=10)}
    return Snapshot({"AutoMLJobName": "a", "AutoMLJobStatus": "Completed", **times, **members})


def family(spread: float, count: int, *, typical: float = HOUR, seed: int = 0) -> list[float]:
    chance = random.Random(seed)
    return [typical * math.exp(chance.gauss(0, spread)) for _ in range(count)]


def minutes(estimate: Estimate | None) -> list[float]:
    """Return the earliest, the estimated and the latest end, in minutes from now."""
    assert estimate is not None
    return [(end - NOW).total_seconds() / 60 for end in (estimate.earliest, estimate.ends_at, estimate.latest)]


# Siblings


@pytest.mark.parametrize(
    ("name", "sibling"),
    [
        ("churn-2026-11-25", "churn-2026-11-18"),
        ("automl-churn-15-15-02-24", "automl-churn-9-07-10-58"),
        ("Canvas1734649444174", "Canvas1714000000000"),
        ("churn-3f9a2c1b", "CHURN-77aa01ff"),
        ("churn-3f9a2c1b", "churn-123456"),
        ("abc99", "abc100"),
        ("churn-9", "churn-10"),
        ("trade99-x", "trade1000-x"),
    ],
)
def test_siblings_differ_in_numbers_and_hashes_only(name: str, sibling: str) -> None:
    assert sibling_durations(name, past(sibling)) == [100]
    assert sibling_durations(sibling, past(name)) == [100]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("churn-2026", "fraud-2026"),
        ("churn-2026", "churn-2026-11"),
        ("churn-facade", "churn-decade"),  # six hexadecimal characters without a digit are a word
        ("churn-a1b2c", "churn-f9e8d"),  # five are too few for a hash
        ("churn", "churn-1"),
        ("churn-1", "CHURN-1"),  # the job itself
    ],
)
def test_other_names_are_not_siblings(name: str, other: str) -> None:
    assert sibling_durations(name, past(other)) == []


def test_the_newest_twenty_siblings_count_oldest_first() -> None:
    jobs = past(*(f"churn-{number}" for number in range(30)), "fraud-1")

    assert sibling_durations("churn-77", reversed(jobs)) == [100.0 + day for day in range(10, 30)]


@given(NAMES, NAMES)
def test_all_siblings_contain_the_literal_part(name: str, other: str) -> None:
    if sibling_durations(name, past(other)):
        assert literal_part(name) in other


def test_the_literal_part_is_the_longest_and_keeps_its_case() -> None:
    assert literal_part("Canvas1734649444174") == "Canvas"
    assert literal_part("a-2026-churn-3f9a2c1b") == "-churn-"
    assert literal_part("20261125") == ""


@pytest.mark.parametrize(
    "members",
    [
        {"AutoMLJobStatus": "Failed"},
        {"AutoMLJobStatus": "Stopped"},
        {"AutoMLJobStatus": "InProgress"},
        {"EndTime": None},
        {"EndTime": NOW},
        {"EndTime": NOW - timedelta(hours=1)},
        {"EndTime": NOW + timedelta(days=400)},
    ],
)
def test_only_completed_jobs_of_a_sensible_duration_count(members: dict[str, object]) -> None:
    assert list(past_jobs([summary(**members)])) == []
    assert [job.seconds for job in past_jobs([summary(), summary(**members)])] == [600]


# The estimate


def test_repeated_jobs_are_estimated_closely() -> None:
    """The recorded durations are those of one notebook: 31.5 and 32.0 minutes, and then 31.0."""
    earliest, ends, latest = minutes(Forecast([31.5 * 60, 32.0 * 60]).estimate(NOW, 0))

    assert 28 < earliest < 31 < ends < 32.5 < latest < 36


def test_fewer_than_two_siblings_give_no_estimate() -> None:
    assert Forecast([]).estimate(NOW, 0) is None
    assert Forecast([HOUR]).estimate(NOW, 0) is None


def test_unrelated_durations_give_no_estimate() -> None:
    """The recorded jobs with default names took from 151 s to 110 minutes."""
    assert Forecast([151, 216, 31 * 60, 110 * 60]).estimate(NOW, 0) is None
    assert Forecast([151, 110 * 60]).estimate(NOW, 0) is None


def test_siblings_since_a_change_count_most() -> None:
    doubled = Forecast([*family(0.05, 10), *family(0.05, 3, typical=2 * HOUR, seed=1)])

    _, ends, _ = minutes(doubled.estimate(NOW, 0))

    assert 110 < ends < 130


def test_an_old_job_is_estimated_from_siblings_that_lasted_longer() -> None:
    siblings = family(0.1, 20)

    _, young, _ = minutes(Forecast(siblings).estimate(NOW, 0))
    _, old, _ = minutes(Forecast(siblings).estimate(NOW, fmean(siblings)))

    assert 55 < young < 65
    assert 1 < old < 10


@pytest.mark.parametrize("age", [2 * HOUR, 30 * HOUR, 1e9])
def test_a_job_that_takes_far_longer_than_its_siblings_has_no_estimate(age: float) -> None:
    assert Forecast(family(0.05, 20)).estimate(NOW, age) is None


def test_the_runtime_limit_bounds_the_estimate() -> None:
    forecast = Forecast(family(0.1, 20))

    assert minutes(forecast.estimate(NOW, 0, 0.5 * HOUR)) == [30, 30, 30]
    assert minutes(forecast.estimate(NOW, 0.4 * HOUR, HOUR))[2] == pytest.approx(36)
    assert forecast.estimate(NOW, HOUR, HOUR) is None


@given(
    st.lists(st.floats(1, 30 * 86400), min_size=2, max_size=20),
    st.floats(0, 1e7),
    st.none() | st.floats(1, 1e7),
)
def test_an_interval_is_in_order_after_now_and_within_the_limit(
    durations: list[float], age: float, limit: float | None
) -> None:
    estimate = Forecast(durations).estimate(NOW, age, limit)
    if estimate is not None:
        assert NOW <= estimate.earliest <= estimate.ends_at <= estimate.latest
        assert limit is None or estimate.latest <= NOW + timedelta(seconds=limit - age)
        assert estimate.based_on == len(durations)


@given(st.lists(st.floats(1500, 2500), min_size=2, max_size=20), st.floats(0, 3000), st.floats(1, 1000))
def test_an_estimated_end_never_moves_closer_as_the_job_grows_older(
    durations: list[float], age: float, more: float
) -> None:
    forecast = Forecast(durations)
    one, later = forecast.estimate(NOW, age), forecast.estimate(NOW + timedelta(seconds=more), age + more)
    if one is not None and later is not None:
        assert later.ends_at >= one.ends_at - timedelta(seconds=1)


# The wording


def an_estimate(left: timedelta, before: timedelta = timedelta(minutes=2), after: timedelta = timedelta(minutes=4)):
    ends_at = NOW + left
    return Estimate(ends_at, ends_at - before, ends_at + after, based_on=6)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3, "about 10s left"),
        (44, "about 40s left"),
        (140, "about 2m 30s left"),
        (590, "about 10m left"),
        (12 * 60 + 20, "about 12m left"),
        (2 * 3600 + 31 * 60 + 40, "about 2h 32m left"),
        (5 * 3600 + 43 * 60, "about 5h 40m left"),
        (26 * 3600 + 40 * 60, "about 1d 3h left"),
        (0, "due any moment"),
        (-100, "due any moment"),
        (-300, "overdue"),
    ],
)
def test_time_left_is_rounded_and_never_negative(seconds, words):
    assert time_left(an_estimate(timedelta(seconds=seconds)), NOW) == words


def test_times_are_in_utc_and_say_so():
    words = estimate_words(an_estimate(timedelta(minutes=12)), NOW)

    assert words == "about 12m left, done around 14:32 UTC (14:30–14:36), based on 6 similar jobs"


def test_local_times_have_no_zone():
    words = estimate_words(an_estimate(timedelta(minutes=12)), NOW, timezone(timedelta(hours=1)))

    assert words == "about 12m left, done around 15:32 (15:30–15:36), based on 6 similar jobs"


def test_an_overdue_estimate_says_when_the_end_was_expected():
    words = estimate_words(an_estimate(timedelta(minutes=-1)), NOW)

    assert words == "due any moment, expected around 14:19 UTC (14:17–14:23), based on 6 similar jobs"


def test_a_time_on_another_day_has_its_date():
    tomorrow = estimate_words(an_estimate(timedelta(hours=20)), NOW)
    around_midnight = estimate_words(an_estimate(timedelta(hours=9, minutes=37)), NOW)

    assert "done around 2026-11-26 10:20 UTC (10:18–10:24)" in tomorrow
    assert "done around 23:57 UTC (23:55–2026-11-26 00:01)" in around_midnight


def test_the_date_is_in_the_readers_zone():
    words = estimate_words(an_estimate(timedelta(hours=1)), NOW, timezone(timedelta(hours=9)))

    assert "done around 2026-11-26 00:20 (00:18–00:24)" in words


def test_an_interval_within_a_minute_is_omitted():
    words = estimate_words(an_estimate(timedelta(minutes=12), timedelta(seconds=5), timedelta(seconds=5)), NOW)

    assert words == "about 12m left, done around 14:32 UTC, based on 6 similar jobs"
