"""The call budget: how it spreads calls, gives way to throttling, and is shared."""

import gc
import threading
import weakref

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual import COMPLETED, ENDLESS, Wait, throttle

from automl_waiter import InvalidRequest, Waiter
from automl_waiter._aws.connection import Connection, connect
from automl_waiter._aws.token_buckets import SharedTokenBucket, bucket_of
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.token_bucket import TokenBucket
from automl_waiter._wiring import Gateways
from automl_waiter.testing import ManualClock


@given(st.floats(0.1, 100), st.lists(st.floats(0, 5), min_size=1, max_size=200))
def test_no_span_of_time_has_more_turns_than_the_rate_and_a_second(rate: float, gaps: list[float]) -> None:
    """However calls come, any span holds no more of them than its length at the rate, and a second's worth or two calls."""
    budget, now, turns = TokenBucket(rate), 0.0, list[float]()
    for gap in gaps:
        now += gap
        turns.append(budget.reserve(now))
        assert turns[-1] >= now
    assert turns == sorted(turns)
    for first, begun in enumerate(turns):
        for last in range(first, len(turns), 7):
            assert last - first + 1 <= (turns[last] - begun) * rate + max(rate, 2) + 1e-6


def test_a_turn_comes_as_soon_as_the_rate_allows() -> None:
    """At 5 a second the first five have theirs at once, and the next ones every fifth of a second."""
    budget = TokenBucket(5)
    turns = [budget.reserve(100.0) for _ in range(8)]
    assert turns == pytest.approx([100] * 5 + [100.2, 100.4, 100.6])


def test_throttling_halves_the_rate_and_time_gives_it_back() -> None:
    """Each throttled second halves what is left, down to an eighth; ten minutes bring all of it back, evenly."""
    budget = TokenBucket(8)
    budget.succeeded()
    for second, rate in enumerate([4, 2, 1, 1]):
        budget.throttled(2.0 * second)
        budget.throttled(2.0 * second + 0.5)  # of the same event
        assert budget.rate(2.0 * second) == pytest.approx(rate, rel=0.05)
    assert budget.slowdown(6.0) == pytest.approx(8, rel=0.05)
    assert budget.rate(6.0 + 300) == pytest.approx(1 + 4, rel=0.05)
    assert budget.rate(6.0 + 600) == 8
    assert budget.slowdown(6.0 + 600) == 1


def test_who_is_throttled_at_first_is_one_of_many() -> None:
    """Without one good answer the first throttle leaves an eighth, and the call is made again at any time in 100 seconds."""
    budget = TokenBucket(8)
    budget.throttled(0.0)
    assert budget.rate(0.0) == 1
    seconds = sorted(
        Wait(COMPLETED, faults=[throttle()], clock=ManualClock(seed=n)).gateway.looks[1] for n in range(60)
    )
    assert seconds[-1] <= 100
    assert seconds[30] == pytest.approx(50, abs=17)
    assert seconds[6] == pytest.approx(10, abs=7)


def test_one_look_is_not_spread_past_its_budget() -> None:
    """Whoever has ten seconds is called again within them."""
    for seed in range(10):
        wait = Wait(ENDLESS, faults=[throttle()], error_budget=10, timeout=60, clock=ManualClock(seed=seed))
        assert wait.gateway.looks[1] <= 10


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
def test_a_rate_that_makes_no_sense_is_refused(rate: float) -> None:
    """A max rate is a positive, finite number, which is checked before the first call."""
    with pytest.raises(InvalidRequest, match="calls per second"):
        Waiter(object(), max_rate=rate)


def test_waits_of_a_process_share_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through one client, or with the same credentials at the same endpoint, there is one budget for each rate."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY-OF-THIS-TEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    client, other = (boto3.client("sagemaker", "us-east-1") for _ in range(2))
    assert bucket_of(Connection(client), 5) is bucket_of(Connection(client), 5)
    assert bucket_of(Connection(client), 5) is not bucket_of(Connection(client), 6)
    assert bucket_of(Connection(client), 5) is not bucket_of(Connection(other), 5)
    ours = bucket_of(connect(region="us-east-1"), 5)
    assert bucket_of(connect(region="us-east-1"), 5) is ours
    assert bucket_of(connect(region="eu-west-1"), 5) is not ours
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ANOTHER-KEY-OF-THIS-TEST")
    assert bucket_of(connect(region="us-east-1"), 5) is not ours


def test_a_client_that_is_gone_takes_its_budget_along() -> None:
    """The budgets of clients are kept as long as the clients are, and no longer than until the next wait."""
    client, other = (boto3.client("sagemaker", "us-east-1") for _ in range(2))
    budget = weakref.ref(bucket_of(Connection(client), 5))
    gc.collect()
    assert budget() is not None
    del client
    gc.collect()
    bucket_of(Connection(other), 5)
    assert budget() is None


def test_the_default_region_by_name_shares_the_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name and an ARN of the default region have one gateway, whichever comes first."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    arn = "arn:aws:sagemaker:us-east-1:123456789012:automl-job/b"
    for jobs in (["a", arn], [arn, "a"]):
        gateways = Gateways()
        first, second = (gateways.of(job_ref(job)) for job in jobs)
        assert first is second
        assert gateways.of(job_ref(arn.replace("us-east-1", "eu-west-1"))) is not first


def test_threads_have_a_turn_each() -> None:
    """Two hundred threads that reserve at once have two hundred turns."""
    budget = SharedTokenBucket(50)
    turns: list[float] = []
    threads = [threading.Thread(target=lambda: turns.append(budget.reserve(0.0))) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(turns) == pytest.approx([0.0] * 50 + [(n + 1) / 50 for n in range(150)])
