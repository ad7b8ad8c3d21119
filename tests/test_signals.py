"""When a signal is answered: at once, later, or by nobody but the exit code. In the library none is lost."""

import gc
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from interrupts import interrupted
from virtual import COMPLETED, Faulty, kernel_of, no_network

from automl_waiter._engine import job_wait, retries
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.options import WaitOptions
from automl_waiter._system.machine import Machine
from automl_waiter._wiring import Target
from automl_waiter.cli.output import Reporter, ResultWriter
from automl_waiter.cli.session import Session
from automl_waiter.cli.signals import Interrupted, Interrupts
from automl_waiter.testing import ManualClock, ScriptedJobs
from automl_waiter.waiter import events_of


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    """The signals of this process, and at the end those of the tests again."""
    with Interrupts() as interrupts:
        yield interrupts


def test_a_signal_is_kept_until_somebody_can_answer_it(interrupts: Interrupts) -> None:
    """Before there is anything to end a signal does nothing; it is answered once, when there is."""
    signal.raise_signal(signal.SIGTERM)
    answered: list[int] = []
    with interrupts.ending(answered.append):
        assert answered == [signal.SIGTERM]
    with interrupts.ending(answered.append):
        assert answered == [signal.SIGTERM]


def test_a_signal_within_is_answered_at_once(interrupts: Interrupts) -> None:
    """What is to be ended is ended by the handler; by default that raises."""
    with pytest.raises(Interrupted) as raised, interrupts.ending():
        signal.raise_signal(signal.SIGINT)
    assert raised.value.signal == signal.SIGINT


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_python_swallowed_still_ends_the_wait(
    interrupts: Interrupts, capsys: pytest.CaptureFixture[str]
) -> None:
    """An exception that is raised in a finalizer goes nowhere, but the wait that it was to end does not begin."""

    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    job = job_ref("churn")

    def connect() -> dict[str, Target]:
        Finalized()
        return {job.key: Target(job, ScriptedJobs(ManualClock()))}

    session = Session(Reporter("console", quiet=True), ResultWriter("json"), interrupts)
    assert session.run([job], connect, WaitOptions()) == 143
    assert '"verdict": "cancelled"' in capsys.readouterr().out


def test_an_interrupt_at_any_instant_ends_the_wait() -> None:
    """SIGINT ends each of sixty waits at once, in both shells, wherever it finds them, and nothing is left on stderr."""
    assert_ended(40, 20, longest=0.06)


@pytest.mark.soak
def test_a_thousand_interrupts_end_a_thousand_waits() -> None:
    """The same for five hundred waits in each shell."""
    assert_ended(500, 500, longest=0.3)


def assert_ended(waits: int, under_asyncio: int, *, longest: float) -> None:
    """KeyboardInterrupt came out of every wait, soon, and nothing was lost on the way."""
    seconds, stderr = interrupted(waits, under_asyncio, longest=longest)
    assert stderr == ""
    assert len(seconds) == waits + under_asyncio
    # On a quiet machine milliseconds; here other tests run beside it. What is lost does not end.
    assert max(seconds) < 2


def test_calls_that_failed_leave_no_thread_to_the_garbage_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that is left of failed calls leads to a Thread, at whose end Python code runs and KeyboardInterrupt is lost."""
    monkeypatch.setattr(retries, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(retries, "_LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr(job_wait, "_NOT_FOUND_POLL_S", 0.01)
    gateway, told = Faulty(ManualClock()), []
    gateway.find_name = lambda name: name  # type: ignore[method-assign]
    before = set(threading.enumerate())
    gc.collect()
    gc.disable()
    try:
        with Machine() as machine:
            for event in events_of(kernel_of(["churn"], [gateway], WaitOptions(), machine), machine):
                told.append(event.event)
                if told[-1] == "notice":  # not found yet
                    gateway.add("churn", COMPLETED, start=600)
                    gateway.faults = [no_network(), no_network()]
        assert told == ["notice", "retry", "retry", "transition", "outcome"]
        while set(threading.enumerate()) - before:
            time.sleep(0.01)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert [left for left in gc.garbage if isinstance(left, threading.Thread)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
