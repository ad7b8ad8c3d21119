"""When a job will end, in words: the time left, and the clock times around it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from automl_waiter import Estimate
from automl_waiter._model.estimate_words import estimate_words, time_left

NOW = datetime(2026, 11, 25, 14, 20, 12, tzinfo=UTC)


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


def test_the_date_is_that_of_the_readers_zone():
    words = estimate_words(an_estimate(timedelta(hours=1)), NOW, timezone(timedelta(hours=9)))

    assert "done around 2026-11-26 00:20 (00:18–00:24)" in words


def test_an_interval_within_a_minute_is_left_out():
    words = estimate_words(an_estimate(timedelta(minutes=12), timedelta(seconds=5), timedelta(seconds=5)), NOW)

    assert words == "about 12m left, done around 14:32 UTC, based on 6 similar jobs"
