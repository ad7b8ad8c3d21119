"""The machine under a wait: a clock that counts a machine's sleep, and waits that notice it."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest

from automl_waiter._engine.kernel import PendingCall
from automl_waiter._model.errors import TransientError
from automl_waiter._system import asyncio_machine, machine, threads
from automl_waiter._system.clock import SystemClock
from automl_waiter._system.fast_machine import FastMachine

HOUR = 3600.0


def call_threads() -> int:
    return sum(thread.name == "automl-waiter-call" for thread in threading.enumerate())


class Clocks:
    """The clocks of a machine that sleeps: one counts it, the others stand still."""

    def __init__(self) -> None:
        self.slept = 0.0
        self._real = time.clock_gettime

    def __call__(self, clock: int) -> float:
        return self._real(clock) + (self.slept if clock == time.CLOCK_BOOTTIME else 0.0)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """The clocks of this machine, as if it could be sent to sleep."""
    clocks = Clocks()
    monkeypatch.setattr(time, "clock_gettime", clocks)
    return clocks


@pytest.fixture
def shell() -> Iterator[machine.Machine]:
    """The machine of the synchronous shell."""
    with machine.Machine() as shell:
        yield shell


def test_the_clock_counts_a_machines_sleep(clocks: Clocks) -> None:
    """An hour in which the machine slept is an hour."""
    clock = SystemClock()
    before = clock.monotonic()
    clocks.slept += HOUR
    assert HOUR <= clock.monotonic() - before < HOUR + 60


def test_a_fast_clock_runs_in_pauses_and_stands_still_during_calls() -> None:
    """A pause of 100 s takes one, no pause is too long, and a call takes no time, however slow it is."""
    start = datetime(2026, 1, 2, tzinfo=UTC)
    with FastMachine(1000, start) as shell:
        begun = time.monotonic()
        assert shell.wait(100) is None
        assert 0.1 <= time.monotonic() - begun < 5
        assert (shell.monotonic(), shell.now()) == (100, start + timedelta(seconds=100))
        call = PendingCall(lambda: time.sleep(0.05), until=200)
        shell.start(call)
        assert shell.wait(150) is call
        time.sleep(0.05)
        assert shell.monotonic() == 100


def test_a_fast_clock_advances_for_other_threads_too() -> None:
    """A view sees the time of the pause, not only that of its end."""
    with FastMachine(100, datetime(2026, 1, 2, tzinfo=UTC)) as shell:
        seen: list[float] = []
        view = threading.Timer(0.02, lambda: seen.append(shell.monotonic()))
        view.start()
        shell.wait(30)
        view.join()
    assert 0 < seen[0] <= 30


@pytest.mark.parametrize("module", [machine, asyncio_machine])
def test_a_wait_notices_on_waking_that_its_time_has_come(
    clocks: Clocks, monkeypatch: pytest.MonkeyPatch, module: ModuleType
) -> None:
    """Timers stand still while a machine sleeps: a sleep is taken in slices, and the clock is read after each."""
    assert module.SLICE_S <= 30
    monkeypatch.setattr(module, "SLICE_S", 0.2)
    begun = time.monotonic()
    threading.Timer(0.3, lambda: setattr(clocks, "slept", HOUR)).start()
    if module is asyncio_machine:
        sleeper: Any = asyncio_machine.AsyncioMachine()
        assert asyncio.run(sleeper.wait_async(sleeper.monotonic() + HOUR)) is None
    else:
        sleeper = machine.Machine()
        assert sleeper.wait(sleeper.monotonic() + HOUR) is None

    assert 0.3 <= time.monotonic() - begun < 5


def test_calls_that_hang_do_not_hold_up_the_others(shell: machine.Machine) -> None:
    """Where every thread is held by a call that hangs, one more is made in a thread of its own."""
    until = shell.monotonic() + 30
    over = threading.Event()
    for _ in range(16):
        shell.start(PendingCall(lambda: over.wait(30), until))
    time.sleep(1.2)
    begun = time.monotonic()
    for _ in range(24):
        call = PendingCall(lambda: "answered", until)
        shell.start(call)
        assert shell.wait(until) is call
        assert call.result() == "answered"
    assert time.monotonic() - begun < 2
    over.set()


def test_many_calls_at_once_share_sixteen_threads(shell: machine.Machine) -> None:
    """A burst of calls after a long silence needs no more threads than any other."""
    before = call_threads()
    until = shell.monotonic() + 30
    shell.start(PendingCall(time.monotonic, until))
    shell.wait(until)
    time.sleep(1.2)
    calls = {PendingCall(lambda: time.sleep(0.01), until) for _ in range(200)}
    for call in calls:
        shell.start(call)
    assert call_threads() - before <= 16
    assert {shell.wait(until) for _ in range(200)} == calls


def test_asyncio_waits_of_one_process_share_sixteen_threads() -> None:
    """Hundreds of waits in one `gather` need no thread each."""

    async def run() -> int:
        machines = [asyncio_machine.AsyncioMachine() for _ in range(100)]
        until = machines[0].monotonic() + 30
        for one in machines:
            one.start(PendingCall(lambda: time.sleep(0.01), until))
        started = call_threads()
        assert None not in [await one.wait_async(until) for one in machines]
        return started

    before = call_threads()
    assert asyncio.run(run()) - before <= 16


def test_a_fork_has_threads_of_its_own() -> None:
    """A child of a process whose threads have run calls runs its calls too."""

    async def run() -> bool:
        one = asyncio_machine.AsyncioMachine()
        until = one.monotonic() + 5
        one.start(PendingCall(lambda: None, until))
        return await one.wait_async(until) is not None

    assert asyncio.run(run())
    if (child := os.fork()) == 0:
        os._exit(0 if asyncio.run(run()) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_call_whose_turn_comes_too_late_is_not_made(shell: machine.Machine) -> None:
    """What nobody waits for any more costs AWS no call."""
    over = threading.Event()
    made: list[str] = []
    for _ in range(16):
        shell.start(PendingCall(lambda: over.wait(30), shell.monotonic() + 30))
    late = PendingCall(lambda: made.append("late"), shell.monotonic() + 0.2)
    shell.start(late)
    assert shell.wait(shell.monotonic() + 0.3) is None
    over.set()
    assert late in [shell.wait(shell.monotonic() + 5) for _ in range(17)]
    assert made == []
    with pytest.raises(TransientError):
        late.result()


def test_a_thread_that_has_nothing_to_do_goes(shell: machine.Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks a minute apart a wait has no thread, and the next look gets one."""
    monkeypatch.setattr(threads, "_IDLE_S", 0.05)
    before = set(threading.enumerate())
    for _ in range(2):
        shell.start(PendingCall(threading.current_thread, shell.monotonic() + 5))
        thread = shell.wait(shell.monotonic() + 5).result()
        thread.join(5)
        assert thread not in before
        assert not thread.is_alive()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, as Python has it by default."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("shell", ["sync", "aio"])
def test_a_signal_that_wakes_nobody_is_answered_soon(interruptible: None, shell: str) -> None:
    """One that comes just before a wait falls asleep wakes it no more than one that another thread takes."""

    def take() -> None:
        time.sleep(0.1)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    def sleep() -> None:
        if shell == "sync":
            sleeper: Any = machine.Machine()
            sleeper.wait(sleeper.monotonic() + 10)
        else:
            sleeper = asyncio_machine.AsyncioMachine()
            asyncio.run(sleeper.wait_async(sleeper.monotonic() + 10))

    threading.Thread(target=take).start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        sleep()
    assert time.monotonic() - begun < 2


def test_a_cancel_is_not_taken_for_the_end_of_a_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that was cancelled before it falls asleep for no time at all is cancelled."""
    sleeper = asyncio_machine.AsyncioMachine()
    seconds = iter([0.0, 1.0])
    monkeypatch.setattr(sleeper, "monotonic", lambda: next(seconds))

    async def sleep() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await sleeper.wait_async(1e-9)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(sleep())


def test_an_interrupt_while_a_thread_is_started_stays_one(
    shell: machine.Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KeyboardInterrupt comes out where Python hides it behind "release unlocked lock"; other errors stay as they are."""

    def interrupted(_: threading.Thread) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("release unlocked lock")

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    for start, raised in ((interrupted, KeyboardInterrupt), (refused, RuntimeError)):
        monkeypatch.setattr(threading.Thread, "start", start)
        with pytest.raises(raised):
            shell.start(PendingCall(time.monotonic, shell.monotonic() + 5))
