"""The machine under a wait: a clock that includes system sleep, and waits that notice the sleep."""

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
    """The clocks of a machine that sleeps: one includes the sleep, the others stand still."""

    def __init__(self) -> None:
        self.slept = 0.0
        self._real = time.clock_gettime

    def __call__(self, clock: int) -> float:
        return self._real(clock) + (self.slept if clock == time.CLOCK_BOOTTIME else 0.0)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """Patch the clocks so that a test can put this machine to sleep."""
    clocks = Clocks()
    monkeypatch.setattr(time, "clock_gettime", clocks)
    return clocks


@pytest.fixture
def shell() -> Iterator[machine.Machine]:
    """Return the machine that synchronous waits use."""
    with machine.Machine() as shell:
        yield shell


def test_clock_includes_system_sleep(clocks: Clocks) -> None:
    """An hour of system sleep is an hour on the clock."""
    clock = SystemClock()
    before = clock.monotonic()
    clocks.slept += HOUR
    assert HOUR <= clock.monotonic() - before < HOUR + 60


def test_a_fast_clock_runs_in_pauses_and_stands_still_during_calls() -> None:
    """A fast clock shortens a pause of 100 s, takes a pause of any length, and counts no time for calls."""
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
    """A view reads the time during a pause, not only at its end."""
    with FastMachine(100, datetime(2026, 1, 2, tzinfo=UTC)) as shell:
        seen: list[float] = []
        view = threading.Timer(0.02, lambda: seen.append(shell.monotonic()))
        view.start()
        shell.wait(30)
        view.join()
    assert 0 < seen[0] <= 30


@pytest.mark.parametrize("module", [machine, asyncio_machine])
def test_sleep_ends_soon_after_the_machine_wakes(
    clocks: Clocks, monkeypatch: pytest.MonkeyPatch, module: ModuleType
) -> None:
    """Timers stand still during system sleep, so a pause is slept in slices and the clock is read after each."""
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


def test_hanging_calls_do_not_block_other_calls(shell: machine.Machine) -> None:
    """If hanging calls occupy every thread, the next call gets a new thread."""
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
    """A burst of calls after a long pause starts no more than sixteen threads."""
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
    """Hundreds of waits in one `gather` do not take a thread each."""

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


def test_calls_work_after_a_fork() -> None:
    """A forked child of a process with call threads runs its own calls."""

    async def run() -> bool:
        one = asyncio_machine.AsyncioMachine()
        until = one.monotonic() + 5
        one.start(PendingCall(lambda: None, until))
        return await one.wait_async(until) is not None

    assert asyncio.run(run())
    if (child := os.fork()) == 0:
        os._exit(0 if asyncio.run(run()) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_queued_call_is_dropped_when_nothing_waits_for_it(shell: machine.Machine) -> None:
    """A queued call whose wait has given up is never sent to AWS."""
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


def test_idle_call_thread_ends(shell: machine.Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two polls a minute apart a wait has no thread, and the next poll starts one."""
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
def test_signal_that_does_not_wake_the_sleep_is_handled_soon(interruptible: None, shell: str) -> None:
    """A signal just before the sleep starts, or in another thread, does not wake it, and is still handled soon."""

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


def test_cancel_before_a_zero_sleep_cancels_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that is cancelled before a sleep of zero seconds is cancelled, and does not continue."""
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


def test_keyboard_interrupt_survives_the_start_of_a_thread(
    shell: machine.Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KeyboardInterrupt is raised where Python hides it behind "release unlocked lock"; other errors are unchanged."""

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
