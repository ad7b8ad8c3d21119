"""The token bucket: how it spreads calls, slows down after throttling, and is shared."""

import gc
import threading
import weakref
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual import COMPLETED, ENDLESS, Faulty, Wait, kernel_of, no_network, throttle

from automl_waiter import Ended, InvalidRequest, Outcome, Verdict, Waiter
from automl_waiter._aws.connection import Connection, connect
from automl_waiter._aws.token_buckets import SharedTokenBucket, bucket_of
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.options import wait_options
from automl_waiter._model.token_bucket import TokenBucket
from automl_waiter._wiring import Gateways
from automl_waiter.testing import ManualClock
from automl_waiter.waiter import events_of


@given(st.floats(0.1, 100), st.lists(st.floats(0, 5), min_size=1, max_size=200))
def test_any_span_has_at_most_its_length_at_the_rate_and_one_burst(rate: float, gaps: list[float]) -> None:
    """The burst is one second's calls or two calls, whichever is more."""
    budget, now, reserved = TokenBucket(rate), 0.0, list[float]()
    for gap in gaps:
        now += gap
        reserved.append(budget.reserve(now))
        assert reserved[-1] >= now
    assert reserved == sorted(reserved)
    for first, begun in enumerate(reserved):
        for last in range(first, len(reserved), 7):
            assert last - first + 1 <= (reserved[last] - begun) * rate + max(rate, 2) + 1e-6


def test_reserve_is_as_early_as_the_rate_allows() -> None:
    """At 5 calls a second, the first five start at once and the next ones every 0.2 s."""
    budget = TokenBucket(5)
    reserved = [budget.reserve(100.0) for _ in range(8)]
    assert reserved == pytest.approx([100] * 5 + [100.2, 100.4, 100.6])


def test_throttling_halves_the_rate_and_ten_minutes_restore_it() -> None:
    """Each throttled second halves the rate, down to an eighth; it recovers linearly within ten minutes."""
    budget = TokenBucket(8)
    budget.succeeded()
    for second, rate in enumerate([4, 2, 1, 1]):
        budget.throttled(2.0 * second)
        budget.throttled(2.0 * second + 0.5)  # the same throttling event
        assert budget.rate(2.0 * second) == pytest.approx(rate, rel=0.05)
    assert budget.slowdown(6.0) == pytest.approx(8, rel=0.05)
    assert budget.rate(6.0 + 300) == pytest.approx(1 + 4, rel=0.05)
    assert budget.rate(6.0 + 600) == 8
    assert budget.slowdown(6.0 + 600) == 1


def test_throttled_first_call_drops_the_rate_to_an_eighth() -> None:
    """A client throttled on its first call is probably one of many: it retries at a random time within 100 s."""
    budget = TokenBucket(8)
    budget.throttled(0.0)
    assert budget.rate(0.0) == 1
    seconds = sorted(
        Wait(COMPLETED, faults=[throttle()], clock=ManualClock(seed=n)).gateway.looks[1] for n in range(60)
    )
    assert seconds[-1] <= 100
    assert seconds[30] == pytest.approx(50, abs=17)
    assert seconds[6] == pytest.approx(10, abs=7)


def test_first_retry_stays_within_the_error_budget() -> None:
    """With an error budget of 10 s, the call is retried within 10 s."""
    for seed in range(10):
        wait = Wait(ENDLESS, faults=[throttle()], error_budget=10, timeout=60, clock=ManualClock(seed=seed))
        assert wait.gateway.looks[1] <= 10


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
def test_invalid_max_rate_is_refused(rate: float) -> None:
    """A max rate is a positive, finite number; it is checked before the first call."""
    with pytest.raises(InvalidRequest, match="calls per second"):
        Waiter(object(), max_rate=rate)


def test_waits_of_a_process_share_a_token_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits share one bucket per rate if they use the same client, or the same credentials at the same endpoint."""
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


def test_bucket_is_freed_with_its_client() -> None:
    """The bucket of a deleted client is freed at the latest when the next wait starts."""
    client, other = (boto3.client("sagemaker", "us-east-1") for _ in range(2))
    budget = weakref.ref(bucket_of(Connection(client), 5))
    gc.collect()
    assert budget() is not None
    del client
    gc.collect()
    bucket_of(Connection(other), 5)
    assert budget() is None


def test_default_region_and_its_arn_share_a_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name and an ARN in the default region use one gateway, in either order."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    arn = "arn:aws:sagemaker:us-east-1:123456789012:automl-job/b"
    for jobs in (["a", arn], [arn, "a"]):
        gateways = Gateways()
        first, second = (gateways.of(job_ref(job)) for job in jobs)
        assert first is second
        assert gateways.of(job_ref(arn.replace("us-east-1", "eu-west-1"))) is not first


def test_concurrent_threads_respect_the_rate() -> None:
    """Two hundred threads that reserve at once get the two hundred times that the rate allows."""
    budget = SharedTokenBucket(50)
    reserved: list[float] = []
    threads = [threading.Thread(target=lambda: reserved.append(budget.reserve(0.0))) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reserved) == pytest.approx([0.0] * 50 + [(n + 1) / 50 for n in range(150)])


def waited_for_tokens(rate: float, *faults: Exception, **options: Any) -> Outcome:
    """Return the outcome of a wait that begins without a token; later ones come at this rate."""
    clock = ManualClock()
    gateway = Faulty(clock, [*faults])
    gateway.add("churn", COMPLETED)
    gateway.bucket = TokenBucket(rate)
    while gateway.bucket.take(0):
        pass
    *_, ended = events_of(kernel_of(["churn"], [gateway], wait_options(**options), clock), clock)
    assert isinstance(ended, Ended)
    return ended.outcome


def test_a_wait_that_gets_no_token_in_time_is_timed_out() -> None:
    """Its job was never polled, which does not mean that there is no such job."""
    outcome = waited_for_tokens(0.001, timeout=30)
    assert (outcome.verdict, outcome.exit_code) == (Verdict.TIMED_OUT, 124)


def test_waiting_for_a_token_uses_no_error_budget() -> None:
    """A failed call is retried with the next token, however long it takes to come."""
    outcome = waited_for_tokens(0.01, no_network(), error_budget=30)
    assert (outcome.verdict, outcome.retries) == (Verdict.COMPLETED, 1)
