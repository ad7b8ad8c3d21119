"""What happens to a wait that lasts hours, in virtual time: machines that sleep, outages, stalls, expiring credentials."""

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


# A machine that sleeps


@both_shells
def test_a_machine_that_slept_past_the_deadline_looks_before_it_gives_up(shell: str) -> None:
    """A job that completed while the machine slept has completed, however late it is."""
    wait = Wait(COMPLETED, shell=shell, timeout=1000, poll=30, clock=Sleepy([(100, 10 * HOUR)]))
    assert wait.outcome.verdict == Verdict.COMPLETED
    assert wait.seconds > 10 * HOUR


@both_shells
def test_on_waking_the_network_has_some_seconds_to_come_back(shell: str) -> None:
    """The look after a long sleep is tried again for a while, though its deadline has passed; then the wait is over."""

    def until_seconds_after_waking(seconds: float) -> Wait:
        woken = 120 + 10 * HOUR
        down = lambda second: 110 < second < woken + seconds  # noqa: E731
        return Wait(COMPLETED, shell=shell, timeout=1000, poll=30, clock=Sleepy([(110, 10 * HOUR)]), is_down=down)

    assert until_seconds_after_waking(8).outcome.verdict == Verdict.COMPLETED
    never = until_seconds_after_waking(HOUR)
    assert never.outcome.verdict == Verdict.TIMED_OUT
    assert never.seconds < 120 + 10 * HOUR + 30


@both_shells
def test_the_error_budget_is_spent_awake(shell: str) -> None:
    """A machine that sleeps in the middle of an outage has as much budget left when it wakes."""
    down = lambda second: 50 < second < 5 * HOUR + 400  # noqa: E731
    clock = Sleepy([(300, 5 * HOUR)])
    wait = Wait(Timeline([*TRAINING, (6 * HOUR, "Completed", "Completed")]), shell=shell, clock=clock, is_down=down)
    assert wait.outcome.verdict == Verdict.COMPLETED
    assert wait.outcome.retries > 10


# Outages


def pauses(wait: Wait) -> list[float]:
    return [event.delay for event in wait.events if isinstance(event, Retry)]


def test_throttling_never_ends_a_wait_by_a_count() -> None:
    """Twelve throttles in a row are over in a minute or so, a hundred are survived, and the pauses grow."""
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


def test_a_network_that_is_down_is_looked_for_often() -> None:
    """However long there is no network, it is tried again within 10 seconds."""
    wait = Wait(ENDLESS, is_down=lambda _: True, error_budget=4 * HOUR)
    assert max(pauses(wait)) <= 10
    assert wait.outcome.exit_code == 69


def test_a_spent_budget_tells_the_last_error_how_often_and_since_when() -> None:
    """The error says what failed last, how many attempts there were, since when and for how long."""
    wait = Wait(ENDLESS, is_down=lambda second: second > 0, poll=30, error_budget=120)
    words = str(wait.outcome.error)
    assert f"failed {len(pauses(wait)) + 1} times since 2026-01-01T00:00:30.000Z (2m)" in words
    assert "connection: no route to host" in words


# Credentials


def test_new_credentials_are_waited_for_within_the_error_budget() -> None:
    """Expired credentials that may be renewed are a passing failure; when none come it is they that ended the wait."""
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
def test_credentials_that_expire_before_the_deadline_are_warned_of(timeout: Any, after: float, warned: bool) -> None:
    """A wait that may last longer than its credentials says so at the start, once."""
    script = Timeline([*TRAINING, (3000, "Completed", "Completed")])
    expiry = EPOCH + timedelta(seconds=after)
    wait = Wait(script, timeout=timeout, credentials_expire_at=expiry)
    warnings = [event for event in wait.events if isinstance(event, Warned)]
    assert len(warnings) == warned
    if warned:
        assert warnings[0].at == EPOCH
        assert f"2026-01-01T0{after // HOUR:.0f}:00:00.000Z" in warnings[0].message


def test_a_job_that_has_ended_needs_no_credentials() -> None:
    """Nothing is said of credentials where there is nothing to wait for, and once where several jobs share them."""
    done = Timeline([(0, "Completed", "Completed")])
    assert not Wait(done, credentials_expire_at=EPOCH).told("warning")
    clock = ManualClock()
    jobs = ScriptedJobs(clock)
    jobs.credentials_expire_at = EPOCH
    jobs.add("a", COMPLETED)
    jobs.add("b", COMPLETED)
    events = run(["a", "b"], [jobs, jobs], WaitOptions(), clock)
    assert [event.job_name for event in events if isinstance(event, Warned)] == ["a"]


# Stalls and silence


def still_from(second: float) -> Any:
    """A response whose LastModifiedTime goes on with the clock until that second."""

    def change(response: dict[str, Any]) -> dict[str, Any]:
        return response | {"LastModifiedTime": min(change.clock.now(), EPOCH + timedelta(seconds=second))}  # type: ignore[attr-defined]

    return change


@pytest.mark.parametrize(
    ("phase", "stage"), [("ModelTuning", Stage.TRAINING), ("MergingAutoMLTaskReports", Stage.REPORTING)]
)
def test_a_stall_is_warned_of_once_per_phase(phase: str, stage: Stage) -> None:
    """When neither a status nor LastModifiedTime moves for long, the wait says so once in each phase, and goes on."""
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


def test_a_job_that_moves_within_its_phase_is_not_stalled() -> None:
    """While LastModifiedTime moves, a phase may last as long as it likes; the stall counts from its last move."""
    for stands_still_at, warned in ((30 * HOUR, False), (10 * HOUR, True)):
        moving, clock = still_from(stands_still_at), ManualClock()
        moving.clock = clock
        script = Timeline([(0, "InProgress", "ModelTuning"), (30 * HOUR, "Completed", "Completed")])
        warnings = Wait(script, change=moving, clock=clock).told("warning")
        assert len(warnings) == warned


def test_a_stall_that_began_before_the_wait_is_seen_at_once() -> None:
    """The first look tells by LastModifiedTime that a job has stood still for long."""
    wait = Wait(ENDLESS, start=40 * HOUR, timeout=60)
    assert "for 1d 15h" in wait.told("warning")[0]["message"]


@both_shells
def test_a_long_sleep_shows_signs_of_life(shell: str) -> None:
    """However rarely the job is looked at, there is an event at least every 4 minutes."""
    wait = Wait(Timeline([*TRAINING, (2 * HOUR, "Completed", "Completed")]), shell=shell, poll=HOUR)
    at = [event.at for event in wait.events]
    assert max(later - earlier for earlier, later in itertools.pairwise(at)) <= timedelta(minutes=4)
    beat = wait.told("heartbeat")[0]
    assert beat["state"] == {"status": "InProgress", "secondary_status": "Starting"}
    assert beat["next_in"] == HOUR - 240


# The end


def test_a_signal_can_stop_the_job() -> None:
    """With stop_on interrupt a signal sends one stop, which is not waited for; its failure is told."""
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
def test_a_wait_that_is_cut_short_in_an_outage_says_so(clock: ManualClock, code: int) -> None:
    """Who is interrupted while calls fail learns how often and of what, for the outcome is all that is left."""
    wait = Wait(ENDLESS, poll=30, clock=clock, is_down=lambda second: second > 100)
    assert wait.outcome.verdict == Verdict.CANCELLED
    assert wait.outcome.exit_code == code
    assert wait.outcome.retries == len(wait.told("retry")) > 10
    assert isinstance(wait.outcome.error, ServiceUnavailable)
    assert "no route to host" in str(wait.outcome.error)


def test_a_stop_that_is_still_on_its_way_does_not_take_the_place_of_the_interrupts() -> None:
    """A signal that comes while a stop is being tried again sends a stop of its own, and tells that it failed."""
    clock = Sleepy(signal_at=100)
    wait = Wait(
        ENDLESS, clock=clock, until="ModelTuning", stop_on="until", stop_on_interrupt=True, stop_fault=no_network()
    )
    assert wait.outcome.exit_code == 143
    assert 103 <= wait.seconds <= 105
    assert "StopAutoMLJob failed" in str(wait.outcome.error)
    assert "could not be stopped" in wait.told("warning")[-1]["message"]


class TwoSignals(Sleepy):
    """A machine to which a second signal comes a second after the first."""

    def wait(self, until: float) -> PendingCall | None:
        try:
            return super().wait(until)
        except Cancelled:
            self.signal_at = self.monotonic() + 1 if self.signum == 15 else math.inf
            self.signum = 2 if self.signum == 15 else 0
            raise


def test_a_second_signal_ends_the_stop_that_the_first_asked_for() -> None:
    """While StopAutoMLJob is being retried another signal ends the wait at once, with its outcome."""
    wait = Wait(ENDLESS, clock=TwoSignals(signal_at=100), poll=30, stop_on_interrupt=True, stop_fault=no_network())
    assert wait.seconds == pytest.approx(101)
    assert (wait.outcome.verdict, wait.outcome.exit_code) == (Verdict.CANCELLED, 143)


def test_a_cancel_during_a_call_that_hangs_ends_the_wait() -> None:
    """A wait need not wait for its call: it was not failing, so the outcome has no error."""
    clock = Recording(hanging="describe")
    clock._cancel_at = 20
    [*_, ended] = run(["churn"], [Faulty(clock)], wait_options(), clock)
    assert isinstance(ended, Ended)
    assert clock.monotonic() == 20
    assert (ended.outcome.verdict, ended.outcome.error) == (Verdict.CANCELLED, None)


def test_a_machine_that_slept_in_a_pause_past_the_deadline_tries_once_more() -> None:
    """A pause between two attempts that the machine slept through puts the deadline off, so that a poll is made."""
    down = lambda second: 90 <= second < HOUR  # noqa: E731
    wait = Wait(COMPLETED, timeout=120, poll=30, clock=Sleepy([(90.2, HOUR)]), is_down=down)
    assert wait.outcome.verdict == Verdict.COMPLETED
    assert [look for look in wait.gateway.looks if look > 90] == [pytest.approx(HOUR + 91, abs=1)]


def test_a_kernel_that_never_began_is_closed() -> None:
    """A coroutine that was not started leaves nothing to close, and no warning."""
    kernel = Kernel(ManualClock())

    async def never() -> None:
        raise AssertionError

    kernel.spawn(never)
    kernel.close()


def test_a_signal_stops_every_job_whoever_was_to_decide() -> None:
    """With a job that decides for all, an interrupt still stops each of them, and cancels each wait."""
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
def test_a_stop_that_is_refused_because_the_job_has_just_ended(within: bool) -> None:
    """The job that ended in the moment of its stop gets its own code; one that did not is told to go on."""
    refused = InvalidRequest("the job is not in progress")
    script = Timeline([*TRAINING, (502 if within else 510, "Completed", "Completed")])
    wait = Wait(script, poll=30, timeout=500, stop_on="timeout", stop_fault=refused, stop_seconds=5)
    warnings = [told["message"] for told in wait.told("warning")]
    if within:
        assert (wait.outcome.exit_code, wait.outcome.error, warnings) == (0, None, [])
    else:
        assert (wait.outcome.exit_code, wait.outcome.error) == (124, refused)
        assert warnings == ["the job could not be stopped and keeps running: the job is not in progress"]


def test_a_job_that_somebody_else_stopped_is_stopped() -> None:
    """Where our own stop was refused, a job that is Stopped was stopped by others."""
    script = Timeline([*TRAINING, (502, "Stopped", "Stopped")])
    refused = InvalidRequest("the job is not in progress")
    wait = Wait(script, poll=30, timeout=500, stop_on="timeout", stop_fault=refused, stop_seconds=5)
    assert wait.outcome.exit_code == 11


# Outages


def test_an_outage_keeps_none_of_its_failures_but_the_last() -> None:
    """A day of failed calls takes no more memory than a minute: of each only its number is kept."""
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
    """The lookup takes 5 s at most, is cut short by the deadline, and is left out once that has passed."""
    assert [until for _, until in attempts(timeout=None)] == [pytest.approx(5 + 0.9)]
    assert [until for _, until in attempts(timeout=3.0)] == [pytest.approx(3 + 0.9)]
    assert attempts(timeout=0.0) == []


def attempts(timeout: float | None) -> list[tuple[str, float]]:
    """Return the calls other than describes of a wait for a job that does not exist, each with when it is abandoned."""
    clock = Recording()
    run(["churn"], [Faulty(clock)], wait_options(timeout=timeout), clock)
    return [call for call in clock.calls if call[0] != "describe"]


# Identity


def test_a_job_of_another_account_is_not_found_with_a_word_about_it() -> None:
    """An ARN whose account is not that of the credentials is found to be missing, and the line says of which it is."""
    wait = Wait(None, job="arn:aws:sagemaker:us-east-1:999999999999:automl-job/churn")
    assert wait.outcome.exit_code == 14
    assert "account 999999999999" in str(wait.outcome.error)


def test_the_grace_counts_from_a_jobs_own_first_look() -> None:
    """Of many jobs that begin to be looked at one after the other, each has its 10 seconds to appear."""
    clock = ManualClock()
    jobs = [Faulty(clock, [JobNotFound("no job"), None]) for _ in range(150)]
    for gateway in jobs:
        gateway.add("churn", COMPLETED)
    events = run(["churn"] * 150, jobs, wait_options(), clock)
    outcomes = [event.outcome for event in events if isinstance(event, Ended)]
    assert {outcome.verdict for outcome in outcomes} == {Verdict.COMPLETED}


# Herds


def test_waits_that_begin_together_do_not_go_on_in_step() -> None:
    """Of 500 waits for new jobs that start in the same second, the second polls spread over the five seconds promised."""
    script = Timeline([*TRAINING, (HOUR, "Completed", "Completed")])
    seconds = Counter(
        int(Wait(script, clock=ManualClock(seed=seed), timeout=60).gateway.looks[1]) for seed in range(500)
    )
    assert max(seconds.values()) <= 130


# Ages


class Watching:
    """A policy that keeps what it is told."""

    def __init__(self) -> None:
        self.ages: list[float] = []

    def next_delay(self, context: PollContext, /) -> float:
        self.ages.append(context.phase_age)
        return 10.0


def test_a_phase_is_no_older_than_the_look_before_it() -> None:
    """Where LastModifiedTime did not move with a status, the phase's age counts from the look that did not show it."""
    policy = Watching()
    script = Timeline(
        [(0, "InProgress", "ModelTuning"), (95, "InProgress", "DeployingModel"), (999, "Failed", "Failed")]
    )
    Wait(script, poll=policy, timeout=125, change=lambda response: response | {"LastModifiedTime": EPOCH})
    assert policy.ages == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 10, 20, 30]


# Threads


def test_a_wait_may_be_advanced_from_one_thread_and_then_another() -> None:
    """A generator of transitions survives being advanced by many threads in the middle of its retries."""
    clock = ManualClock()
    gateway = Faulty(clock, [fault for _ in range(20) for fault in (throttle(), throttle(), None)])
    gateway.add("churn", COMPLETED)
    events = events_of(kernel_of(["churn"], [gateway], wait_options(poll=10), clock), clock)
    told: list[Any] = []

    def advance() -> None:
        told.append(next(events, None))

    while not told or told[-1] is not None:
        thread = threading.Thread(target=advance)
        thread.start()
        thread.join()
    assert isinstance(told[-2], Ended)
    assert told[-2].outcome.verdict == Verdict.COMPLETED
    assert len([event for event in told if isinstance(event, Retry)]) == 40


# The kernel


def test_a_task_that_had_not_begun_when_all_were_cancelled_is_dropped() -> None:
    """Where the first job decides for all at once, what has not begun yet has nothing to report, and the kernel ends."""
    ended = Ended("a", EPOCH, Outcome(job="a", job_name="a", verdict=Verdict.COMPLETED, exit_code=ExitCode.OK))
    clock = ManualClock()
    kernel = Kernel(clock)

    async def end() -> None:
        await kernel.emit(ended)

    for _ in range(2):
        kernel.spawn(end)
    assert list(events_of(kernel, clock, decides=lambda _: True)) == [ended]


def test_a_failure_may_shorten_the_error_budget_once() -> None:
    """What is tried for 30 s only ends the wait 30 s after it has failed for the first time."""

    def failing() -> TransientError:
        return TransientError(TransientKind.NO_CREDENTIALS, "not yet", retry_for=30.0)

    wait = Wait(ENDLESS, faults=[no_network(), *(failing() for _ in range(99))], error_budget=900)
    assert type(wait.outcome.error) is CredentialsExpired
    assert 30 < wait.seconds < 32
