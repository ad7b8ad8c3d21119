"""The machine under a wait: a clock that counts a machine's sleep, and waits that notice it."""

import asyncio
import threading
import time
from types import ModuleType

import pytest

from automl_waiter import aio, machine

HOUR = 3600.0


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
        asyncio.run(sleeper.sleep_async(sleeper.monotonic() + HOUR))
    else:
        sleeper = machine.Machine()
        assert sleeper.wait(sleeper.monotonic() + HOUR) is None
    sleeper.close()
    assert 0.3 <= time.monotonic() - begun < 5
