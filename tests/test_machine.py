"""The machine under a wait: a clock that counts a machine's sleep, and waits that notice it."""

import asyncio
import threading
import time
from types import ModuleType

import pytest

from automl_waiter import aio
from automl_waiter._model.errors import TransientError
from automl_waiter._system import threads as machine

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


def test_the_clock_counts_a_machines_sleep(clocks: Clocks) -> None:
    """An hour in which the machine slept is an hour."""
    clock = machine.SystemClock()
    before = clock.monotonic()
    clocks.slept += HOUR
    assert HOUR <= clock.monotonic() - before < HOUR + 60


@pytest.mark.parametrize("shell", [machine, aio])
def test_a_wait_notices_on_waking_that_its_time_has_come(
    clocks: Clocks, monkeypatch: pytest.MonkeyPatch, shell: ModuleType
) -> None:
    """Timers stand still while a machine sleeps: a sleep is taken in slices, and the clock is read after each."""
    assert shell._SLICE <= 30
    monkeypatch.setattr(shell, "_SLICE", 0.2)
    begun = time.monotonic()
    threading.Timer(0.3, lambda: setattr(clocks, "slept", HOUR)).start()
    if shell is aio:
        sleeper = aio.Machine()
        assert asyncio.run(sleeper.wait_async(sleeper.monotonic() + HOUR)) is None
    else:
        sleeper = machine.Machine()
        assert sleeper.wait(sleeper.monotonic() + HOUR) is None
    sleeper.close()
    assert 0.3 <= time.monotonic() - begun < 5


def test_calls_that_hang_do_not_hold_up_the_others() -> None:
    """Where every thread is held by a call that hangs, one more is made in a thread of its own."""
    shell = machine.Machine()
    until = shell.monotonic() + 30
    over = threading.Event()
    for ticket in range(16):
        shell.start(ticket, lambda: over.wait(30), until)
    time.sleep(1.2)
    begun = time.monotonic()
    for ticket in range(16, 40):
        shell.start(ticket, lambda: "answered", until)
        completion = shell.wait(until)
        assert completion is not None
        assert (completion.ticket, completion.result) == (ticket, "answered")
    assert time.monotonic() - begun < 2
    over.set()
    shell.close()


def test_many_calls_at_once_share_sixteen_threads() -> None:
    """A burst of calls after a long silence needs no more threads than any other."""
    before = call_threads()
    shell = machine.Machine()
    until = shell.monotonic() + 30
    shell.start(0, time.monotonic, until)
    shell.wait(until)
    time.sleep(1.2)
    for ticket in range(200):
        shell.start(ticket, lambda: time.sleep(0.01), until)
    assert call_threads() - before <= 16
    assert {shell.wait(until).ticket for _ in range(200)} == set(range(200))  # type: ignore[union-attr]
    shell.close()


def test_a_call_whose_turn_comes_too_late_is_not_made() -> None:
    """What nobody waits for any more costs AWS no call."""
    shell = machine.Machine()
    over = threading.Event()
    made: list[str] = []
    for ticket in range(16):
        shell.start(ticket, lambda: over.wait(30), shell.monotonic() + 30)
    shell.start(16, lambda: made.append("late"), shell.monotonic() + 0.2)
    assert shell.wait(shell.monotonic() + 0.3) is None
    over.set()
    completions = [shell.wait(shell.monotonic() + 5) for _ in range(17)]
    assert made == []
    [late] = [it for it in completions if it and it.ticket == 16]
    assert isinstance(late.error, TransientError)
    shell.close()


def test_a_thread_that_has_nothing_to_do_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks a minute apart a wait has no thread, and the next look gets one."""
    monkeypatch.setattr(machine, "_IDLE", 0.05)
    real, before = machine.Machine(), set(threading.enumerate())
    for ticket in (1, 2):
        real.start(ticket, threading.current_thread, real.monotonic() + 5)
        completion = real.wait(real.monotonic() + 5)
        assert completion is not None
        completion.result.join(5)
        assert completion.result not in before
        assert not completion.result.is_alive()
    real.close()
