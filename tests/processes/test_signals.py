"""When a signal is handled: at once, later, or only in the exit code. The library loses no KeyboardInterrupt."""

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
    """Replace the signal handlers of this process, and restore them after the test."""
    with Interrupts() as interrupts:
        yield interrupts


def test_early_signal_is_kept_until_a_handler_is_registered(interrupts: Interrupts) -> None:
    """A signal before there is anything to end does nothing yet; it is handled once as soon as there is."""
    signal.raise_signal(signal.SIGTERM)
    answered: list[int] = []
    with interrupts.ending(answered.append):
        assert answered == [signal.SIGTERM]
    with interrupts.ending(answered.append):
        assert answered == [signal.SIGTERM]


def test_signal_while_a_handler_is_registered_calls_it_at_once(interrupts: Interrupts) -> None:
    """The handler ends the running part; by default it raises."""
    with pytest.raises(Interrupted) as raised, interrupts.ending():
        signal.raise_signal(signal.SIGINT)
    assert raised.value.signal == signal.SIGINT


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupt_swallowed_by_a_finalizer_still_ends_the_wait(
    interrupts: Interrupts, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python drops an exception that is raised in a finalizer, but the wait does not start after it."""

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
    """SIGINT ends each of forty waits at once, with and without asyncio, at any instant, and stderr stays empty."""
    assert_ended(26, 14, longest=0.06)


@pytest.mark.soak
def test_a_thousand_interrupts_end_a_thousand_waits() -> None:
    """SIGINT ends each of five hundred waits with and five hundred without asyncio."""
    assert_ended(500, 500, longest=0.3)


def assert_ended(waits: int, under_asyncio: int, *, longest: float) -> None:
    """Check that every wait soon raised KeyboardInterrupt, and that none was lost."""
    seconds, stderr = interrupted(waits, under_asyncio, longest=longest)
    assert stderr == ""
    assert len(seconds) == waits + under_asyncio
    # Milliseconds on an idle machine; here other tests run at the same time. If one is lost, the wait never ends.
    assert max(seconds) < 2


def test_failed_calls_leave_no_thread_to_the_garbage_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Garbage of failed calls refers to no Thread, whose finalizer runs Python code that loses KeyboardInterrupt."""
    monkeypatch.setattr(retries, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(retries, "_LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr(job_wait, "_NOT_FOUND_POLL_S", 0.01)
    gateway, events = Faulty(ManualClock()), []
    gateway.find_name = lambda name: name  # type: ignore[method-assign]
    before = set(threading.enumerate())
    gc.collect()
    gc.disable()
    try:
        with Machine() as machine:
            for event in events_of(kernel_of(["churn"], [gateway], WaitOptions(), machine), machine):
                events.append(event.event)
                if events[-1] == "notice":  # not found yet
                    gateway.add("churn", COMPLETED, start=600)
                    gateway.faults = [no_network(), no_network()]
        assert events == ["notice", "retry", "retry", "transition", "outcome"]
        while set(threading.enumerate()) - before:
            time.sleep(0.01)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert [left for left in gc.garbage if isinstance(left, threading.Thread)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
