"""Waits of many hours, in virtual time: sleeping machines, outages, stalls and expiring credentials."""

import gc
import itertools
import math
import statistics
import threading
import weakref
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from virtual import (
    COMPLETED,
    ENDLESS,
    TRAINING,
    Faulty,
    Recording,
    Sleepy,
    Wait,
    both_shells,
    kernel_of,
    no_network,
    run,
    throttle,
)

from automl_waiter import (
    AccessDenied,
    CredentialsExpired,
    Ended,
    ExitCode,
    InvalidRequest,
    JobNotFound,
    Outcome,
    PollContext,
    Retry,
    ServiceUnavailable,
    Verdict,
    Warned,
)
from automl_waiter._engine.ages import STALLED_AFTER_S
from automl_waiter._engine.kernel import Kernel, PendingCall
from automl_waiter._model.errors import Cancelled, TransientError, TransientKind
from automl_waiter._model.options import WaitOptions, wait_options
from automl_waiter._model.statuses import Stage
from automl_waiter.testing import EPOCH, ManualClock, ScriptedJobs, Timeline
from automl_waiter.waiter import events_of

HOUR = 3600.0


def expired() -> TransientError:
    return TransientError(TransientKind.CREDENTIALS, "the credentials have expired", code="ExpiredTokenException")


# Sleeping machines


@both_shells
def test_job_is_polled_once_more_after_sleeping_past_the_deadline(shell: str) -> None:
    """A job that completed while the machine slept counts as completed, however long after the deadline it wakes."""
    wait = Wait(COMPLETED, shell=shell, timeout=1000, poll=30, clock=Sleepy([(100, 10 * HOUR)]))
    assert wait.outcome.verdict == Verdict.COMPLETED
    assert wait.seconds > 10 * HOUR


@both_shells
def test_poll_after_a_long_sleep_is_retried_past_the_deadline(shell: str) -> None:
    """The poll on waking is retried for some seconds although the deadline has passed; then the wait times out."""

    def until_seconds_after_waking(seconds: float) -> Wait:
        woken = 120 + 10 * HOUR
        down = lambda second: 110 < second < woken + seconds  # noqa: E731
        return Wait(COMPLETED, shell=shell, timeout=1000, poll=30, clock=Sleepy([(110, 10 * HOUR)]), is_down=down)

    assert until_seconds_after_waking(8).outcome.verdict == Verdict.COMPLETED
    never = until_seconds_after_waking(HOUR)
    assert never.outcome.verdict == Verdict.TIMED_OUT
    assert never.seconds < 120 + 10 * HOUR + 30


@both_shells
def test_sleep_does_not_use_up_the_error_budget(shell: str) -> None:
    """A machine that sleeps during an outage has the same error budget left when it wakes."""
    down = lambda second: 50 < second < 5 * HOUR + 400  # noqa: E731
    clock = Sleepy([(300, 5 * HOUR)])
    wait = Wait(Timeline([*TRAINING, (6 * HOUR, "Completed", "Completed")]), shell=shell, clock=clock, is_down=down)
    assert wait.outcome.verdict == Verdict.COMPLETED
    assert wait.outcome.retries > 10


# Outages


def pauses(wait: Wait) -> list[float]:
    return [event.delay for event in wait.events if isinstance(event, Retry)]


def test_number_of_throttles_never_ends_a_wait() -> None:
    """Twelve throttles in a row take about a minute, a hundred are survived, and the pauses grow."""
    twelve = [
        pauses(Wait(COMPLETED, faults=[None, *(throttle() for _ in range(12))], clock=ManualClock(seed=seed)))
        for seed in range(20)
    ]
    assert 20 < statistics.mean(map(sum, twelve)) < 80
    hundred = Wait(
        Timeline([*TRAINING, (9 * HOUR, "Completed", "Completed")]),
        faults=[None, *(throttle() for _ in range(100))],
        error_budget=3 * HOUR,
    )
    assert hundred.outcome.verdict == Verdict.COMPLETED
    assert max(pauses(hundred)[:12]) <= 15
    assert 40 < max(pauses(hundred)) <= 60


@pytest.mark.large
def test_network_outage_is_retried_within_ten_seconds() -> None:
    """However long there is no network, the next attempt comes within 10 seconds."""
    wait = Wait(ENDLESS, is_down=lambda _: True, error_budget=4 * HOUR)
    assert max(pauses(wait)) <= 10
    assert wait.outcome.exit_code == 69


def test_error_after_a_spent_budget_has_count_start_and_duration() -> None:
    """The error names the last failure, the number of attempts, when they started and how long they took."""
    wait = Wait(ENDLESS, is_down=lambda second: second > 0, poll=30, error_budget=120)
    words = str(wait.outcome.error)
    assert f"failed {len(pauses(wait)) + 1} times since 2026-01-01T00:00:30.000Z (2m)" in words
    assert "connection: no route to host" in words


# Credentials


def test_expired_credentials_are_retried_within_the_error_budget() -> None:
    """Expired credentials that may be refreshed are a transient error, and end the wait if they stay expired."""
    assert Wait(COMPLETED, faults=[None, *(expired() for _ in range(30))]).outcome.verdict == Verdict.COMPLETED
    wait = Wait(ENDLESS, faults=[None, *(expired() for _ in range(9999))], poll=30, error_budget=HOUR)
    assert (wait.outcome.exit_code, type(wait.outcome.error)) == (77, CredentialsExpired)
    assert wait.seconds == 30 + HOUR
    assert Wait(ENDLESS, faults=[expired() for _ in range(99)], timeout=50).outcome.verdict == Verdict.TIMED_OUT


@pytest.mark.parametrize(
    ("timeout", "after", "warned"),
    [
        (None, 2 * HOUR, True),
        (3 * HOUR, 2 * HOUR, True),
        (HOUR, 2 * HOUR, False),
        ("auto", 2 * HOUR, True),
        (60, 0, True),
    ],
)
def test_credentials_expiring_before_the_deadline_give_one_warning(timeout: Any, after: float, warned: bool) -> None:
    """A wait that may outlast its credentials warns of it once, at the start."""
    script = Timeline([*TRAINING, (3000, "Completed", "Completed")])
    expiry = EPOCH + timedelta(seconds=after)
    wait = Wait(script, timeout=timeout, credentials_expire_at=expiry)
    warnings = [event for event in wait.events if isinstance(event, Warned)]
    assert len(warnings) == warned
    if warned:
        assert warnings[0].at == EPOCH
        assert f"2026-01-01T0{after // HOUR:.0f}:00:00.000Z" in warnings[0].message


def test_no_credentials_warning_for_an_ended_job() -> None:
    """An ended job gives no warning about credentials, and several jobs that share them give one."""
    done = Timeline([(0, "Completed", "Completed")])
    assert not Wait(done, credentials_expire_at=EPOCH).told("warning")
    clock = ManualClock()
    jobs = ScriptedJobs(clock)
    jobs.credentials_expire_at = EPOCH
    jobs.add("a", COMPLETED)
    jobs.add("b", COMPLETED)
    events = run(["a", "b"], [jobs, jobs], WaitOptions(), clock)
    assert [event.job_name for event in events if isinstance(event, Warned)] == ["a"]


# Stalls and heartbeats


def still_from(second: float) -> Any:
    """Return what makes LastModifiedTime follow the clock until that second, and stand still from then on."""

    def change(response: dict[str, Any]) -> dict[str, Any]:
        return response | {"LastModifiedTime": min(change.clock.now(), EPOCH + timedelta(seconds=second))}  # type: ignore[attr-defined]

    return change


@pytest.mark.large
@pytest.mark.parametrize(
    ("phase", "stage"), [("ModelTuning", Stage.TRAINING), ("MergingAutoMLTaskReports", Stage.REPORTING)]
)
def test_stall_gives_one_warning_per_phase(phase: str, stage: Stage) -> None:
    """If neither a status nor LastModifiedTime changes for long, the wait warns once per phase and continues."""
    limit = STALLED_AFTER_S[stage]
    script = Timeline(
        [(0, "InProgress", phase), (4 * limit, "InProgress", "AnalyzingData"), (60 * HOUR, "Failed", "Failed")]
    )
    wait = Wait(script)
    warnings = [event for event in wait.events if isinstance(event, Warned)]
    assert [phase in warnings[0].message, "AnalyzingData" in warnings[1].message] == [True, True]
    assert len(warnings) == 2
    assert limit <= (warnings[0].at - EPOCH).total_seconds() <= limit + 200
    assert wait.outcome.verdict == Verdict.FAILED


@pytest.mark.large
def test_moving_last_modified_time_is_not_a_stall() -> None:
    """While LastModifiedTime moves, a phase may be of any length; a stall counts from its last change."""
    for stands_still_at, warned in ((30 * HOUR, False), (10 * HOUR, True)):
        moving, clock = still_from(stands_still_at), ManualClock()
        moving.clock = clock
        script = Timeline([(0, "InProgress", "ModelTuning"), (30 * HOUR, "Completed", "Completed")])
        warnings = Wait(script, change=moving, clock=clock).told("warning")
        assert len(warnings) == warned


def test_stall_before_the_wait_is_reported_at_the_first_poll() -> None:
    """The first poll shows by LastModifiedTime that a job has not changed for long."""
    wait = Wait(ENDLESS, start=40 * HOUR, timeout=60)
    assert "for 1d 15h" in wait.told("warning")[0]["message"]


@both_shells
def test_heartbeat_comes_at_least_every_four_minutes(shell: str) -> None:
    """However rarely the job is polled, there is an event at least every 4 minutes."""
    wait = Wait(Timeline([*TRAINING, (2 * HOUR, "Completed", "Completed")]), shell=shell, poll=HOUR)
    at = [event.at for event in wait.events]
    assert max(later - earlier for earlier, later in itertools.pairwise(at)) <= timedelta(minutes=4)
    beat = wait.told("heartbeat")[0]
    assert beat["state"] == {"status": "InProgress", "secondary_status": "Starting"}
    assert beat["next_in"] == HOUR - 240


# The end


def test_signal_with_stop_on_interrupt_sends_one_stop() -> None:
    """With stop_on interrupt a signal sends one stop without waiting for it, and a failure of the stop is reported."""
    wait = Wait(ENDLESS, clock=Sleepy(signal_at=100), stop_on_interrupt=True)
    assert (wait.gateway.stops, wait.outcome.verdict, wait.outcome.exit_code) == (1, Verdict.CANCELLED, 143)
    assert wait.seconds == 100
    assert wait.told("stop_requested")[0]["cause"] == "interrupt"
    refused = AccessDenied("StopAutoMLJob was denied")
    denied = Wait(ENDLESS, clock=Sleepy(signal_at=100), stop_on_interrupt=True, stop_fault=refused)
    assert denied.outcome.error is refused
    down = Wait(ENDLESS, clock=Sleepy(signal_at=100), stop_on_interrupt=True, stop_fault=no_network())
    assert 103 <= down.seconds <= 105
    assert "StopAutoMLJob failed" in str(down.outcome.error)
    assert Wait(ENDLESS, clock=Sleepy(signal_at=100)).gateway.stops == 0


@pytest.mark.parametrize(("clock", "code"), [(Sleepy(signal_at=400), 143), (ManualClock(cancel_at=400), 130)])
def test_wait_interrupted_in_an_outage_reports_the_failures(clock: ManualClock, code: int) -> None:
    """The outcome of a wait that is interrupted while calls fail has their number and the last error."""
    wait = Wait(ENDLESS, poll=30, clock=clock, is_down=lambda second: second > 100)
    assert wait.outcome.verdict == Verdict.CANCELLED
    assert wait.outcome.exit_code == code
    assert wait.outcome.retries == len(wait.told("retry")) > 10
    assert isinstance(wait.outcome.error, ServiceUnavailable)
    assert "no route to host" in str(wait.outcome.error)


def test_signal_sends_its_own_stop_while_another_is_retried() -> None:
    """A signal that arrives while a stop is being retried sends a stop of its own, and reports that it failed."""
    clock = Sleepy(signal_at=100)
    wait = Wait(
        ENDLESS, clock=clock, until="ModelTuning", stop_on="until", stop_on_interrupt=True, stop_fault=no_network()
    )
    assert wait.outcome.exit_code == 143
    assert 103 <= wait.seconds <= 105
    assert "StopAutoMLJob failed" in str(wait.outcome.error)
    assert "could not be stopped" in wait.told("warning")[-1]["message"]


class TwoSignals(Sleepy):
    """A machine that receives a second signal one second after the first."""

    def wait(self, until: float) -> PendingCall | None:
        try:
            return super().wait(until)
        except Cancelled:
            self.signal_at = self.monotonic() + 1 if self.signum == 15 else math.inf
            self.signum = 2 if self.signum == 15 else 0
            raise


def test_second_signal_ends_the_retries_of_the_stop() -> None:
    """A second signal while StopAutoMLJob is being retried ends the wait at once, with its outcome."""
    wait = Wait(ENDLESS, clock=TwoSignals(signal_at=100), poll=30, stop_on_interrupt=True, stop_fault=no_network())
    assert wait.seconds == pytest.approx(101)
    assert (wait.outcome.verdict, wait.outcome.exit_code) == (Verdict.CANCELLED, 143)


def test_cancel_during_a_hanging_call_ends_the_wait_without_error() -> None:
    """The wait does not wait for its call; the call has not failed, so the outcome has no error."""
    clock = Recording(hanging="describe")
    clock._cancel_at = 20
    [*_, ended] = run(["churn"], [Faulty(clock)], wait_options(), clock)
    assert isinstance(ended, Ended)
    assert clock.monotonic() == 20
    assert (ended.outcome.verdict, ended.outcome.error) == (Verdict.CANCELLED, None)


def test_job_is_polled_after_sleeping_through_a_retry_pause() -> None:
    """If the machine sleeps past the deadline between two attempts, one more poll is made after it."""
    down = lambda second: 90 <= second < HOUR  # noqa: E731
    wait = Wait(COMPLETED, timeout=120, poll=30, clock=Sleepy([(90.2, HOUR)]), is_down=down)
    assert wait.outcome.verdict == Verdict.COMPLETED
    assert [second for second in wait.gateway.looks if second > 90] == [pytest.approx(HOUR + 91, abs=1)]


def test_closing_a_kernel_that_never_started_gives_no_warning() -> None:
    """A coroutine that was never started has nothing to close."""
    kernel = Kernel(ManualClock())

    async def never() -> None:
        raise AssertionError

    kernel.spawn(never)
    kernel.close()


def test_signal_stops_every_job_also_with_first() -> None:
    """If the first end decides for all jobs, an interrupt still stops each of them and cancels each wait."""
    clock = Sleepy(signal_at=100)
    gateways = [Faulty(clock) for _ in range(3)]
    for gateway in gateways:
        gateway.add("churn", ENDLESS)
    options = WaitOptions(stop_on=frozenset({"interrupt"}))
    events = run(["churn"] * 3, gateways, options, clock, lambda outcome: bool(outcome.exit_code))
    ends = [event.outcome for event in events if isinstance(event, Ended)]
    assert [outcome.exit_code for outcome in ends] == [143] * 3
    assert [gateway.stops for gateway in gateways] == [1] * 3


@pytest.mark.parametrize("within", [True, False])
def test_stop_refused_for_an_ended_job_keeps_the_jobs_exit_code(within: bool) -> None:
    """A job that ended just before its stop gets its own exit code; one that did not is reported as still running."""
    refused = InvalidRequest("the job is not in progress")
    script = Timeline([*TRAINING, (502 if within else 510, "Completed", "Completed")])
    wait = Wait(script, poll=30, timeout=500, stop_on="timeout", stop_fault=refused, stop_seconds=5)
    warnings = [event["message"] for event in wait.told("warning")]
    if within:
        assert (wait.outcome.exit_code, wait.outcome.error, warnings) == (0, None, [])
    else:
        assert (wait.outcome.exit_code, wait.outcome.error) == (124, refused)
        assert warnings == ["the job could not be stopped and keeps running: the job is not in progress"]


def test_job_stopped_by_others_is_stopped() -> None:
    """If our own stop was refused, a Stopped job was stopped by somebody else."""
    script = Timeline([*TRAINING, (502, "Stopped", "Stopped")])
    refused = InvalidRequest("the job is not in progress")
    wait = Wait(script, poll=30, timeout=500, stop_on="timeout", stop_fault=refused, stop_seconds=5)
    assert wait.outcome.exit_code == 11


# Outages


def test_outage_memory_does_not_grow_with_the_failures() -> None:
    """A day of failed calls takes no more memory than a minute: only their number and the last one are kept."""
    made: list[weakref.ref[TransientError]] = []
    alive: list[int] = []

    def fail(second: float) -> bool:
        if second < 60 or alive:
            return False
        if len(made) == 300:
            gc.collect()
            alive.append(sum(failure() is not None for failure in made))
            return False
        made.append(weakref.ref(failure := no_network()))
        raise failure

    wait = Wait(COMPLETED, poll=30, is_down=fail, error_budget=24 * HOUR)
    assert wait.outcome.retries == 300
    assert alive[0] <= 2


# Names


def test_a_missing_name_is_looked_up_in_the_listing_once_and_only_before_the_deadline() -> None:
    """The lookup takes 5 s at most, is cut short by the deadline, and is skipped after it."""
    assert [until for _, until in attempts(timeout=None)] == [pytest.approx(5 + 0.9)]
    assert [until for _, until in attempts(timeout=3.0)] == [pytest.approx(3 + 0.9)]
    assert attempts(timeout=0.0) == []


def attempts(timeout: float | None) -> list[tuple[str, float]]:
    """Return the calls other than describes in a wait for a missing job, each with when it is abandoned."""
    clock = Recording()
    run(["churn"], [Faulty(clock)], wait_options(timeout=timeout), clock)
    return [call for call in clock.calls if call[0] != "describe"]


# Identity


def test_not_found_message_names_the_account_of_the_credentials() -> None:
    """If the ARN's account is not that of the credentials, the not_found message names both."""
    wait = Wait(None, job="arn:aws:sagemaker:us-east-1:999999999999:automl-job/churn")
    assert wait.outcome.exit_code == 14
    assert "account 999999999999" in str(wait.outcome.error)


@pytest.mark.large
def test_grace_counts_from_each_jobs_first_poll() -> None:
    """Each of many jobs that are first polled one after the other has its own 10 seconds to appear."""
    clock = ManualClock()
    jobs = [Faulty(clock, [JobNotFound("no job"), None]) for _ in range(110)]
    for gateway in jobs:
        gateway.add("churn", COMPLETED)
    events = run(["churn"] * 110, jobs, wait_options(), clock)
    outcomes = [event.outcome for event in events if isinstance(event, Ended)]
    assert {outcome.verdict for outcome in outcomes} == {Verdict.COMPLETED}


# Many waits at once


@pytest.mark.large
def test_polls_of_waits_that_start_together_spread() -> None:
    """The second polls of 250 waits that start in the same second spread over the promised five seconds."""
    script = Timeline([*TRAINING, (HOUR, "Completed", "Completed")])
    seconds = Counter(
        int(Wait(script, clock=ManualClock(seed=seed), timeout=60).gateway.looks[1]) for seed in range(250)
    )
    assert max(seconds.values()) <= 70


# Phase ages


class Watching:
    """A policy that records its arguments."""

    def __init__(self) -> None:
        self.ages: list[float] = []

    def next_delay(self, context: PollContext, /) -> float:
        self.ages.append(context.phase_age)
        return 10.0


def test_phase_age_counts_from_the_previous_poll() -> None:
    """If LastModifiedTime did not change with a status, its age counts from the last poll without the status."""
    policy = Watching()
    script = Timeline(
        [(0, "InProgress", "ModelTuning"), (95, "InProgress", "DeployingModel"), (999, "Failed", "Failed")]
    )
    Wait(script, poll=policy, timeout=125, change=lambda response: response | {"LastModifiedTime": EPOCH})
    assert policy.ages == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 10, 20, 30]


# Threads


def test_wait_can_be_advanced_by_different_threads() -> None:
    """A generator of transitions works if different threads advance it in the middle of its retries."""
    clock = ManualClock()
    gateway = Faulty(clock, [fault for _ in range(20) for fault in (throttle(), throttle(), None)])
    gateway.add("churn", COMPLETED)
    events = events_of(kernel_of(["churn"], [gateway], wait_options(poll=10), clock), clock)
    received: list[Any] = []

    def advance() -> None:
        received.append(next(events, None))

    while not received or received[-1] is not None:
        thread = threading.Thread(target=advance)
        thread.start()
        thread.join()
    assert isinstance(received[-2], Ended)
    assert received[-2].outcome.verdict == Verdict.COMPLETED
    assert len([event for event in received if isinstance(event, Retry)]) == 40


# The kernel


def test_cancelled_task_that_never_started_is_dropped() -> None:
    """If the first job decides at once, a task that has not started reports nothing, and the kernel ends."""
    ended = Ended("a", EPOCH, Outcome(job="a", job_name="a", verdict=Verdict.COMPLETED, exit_code=ExitCode.OK))
    clock = ManualClock()
    kernel = Kernel(clock)

    async def end() -> None:
        await kernel.emit(ended)

    for _ in range(2):
        kernel.spawn(end)
    assert list(events_of(kernel, clock, decides=lambda _: True)) == [ended]


def test_error_with_its_own_budget_shortens_the_error_budget_once() -> None:
    """An error that is retried for 30 s only ends the wait 30 s after its first occurrence."""

    def failing() -> TransientError:
        return TransientError(TransientKind.NO_CREDENTIALS, "not yet", retry_for=30.0)

    wait = Wait(ENDLESS, faults=[no_network(), *(failing() for _ in range(99))], error_budget=900)
    assert type(wait.outcome.error) is CredentialsExpired
    assert 30 < wait.seconds < 32
