"""When a signal is answered: at once, later, or by nobody but the exit code."""

import signal
from collections.abc import Iterator

import pytest

from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.options import WaitOptions
from automl_waiter._wiring import Target
from automl_waiter.cli.output import Reporter, ResultWriter
from automl_waiter.cli.session import Session
from automl_waiter.cli.signals import Interrupted, Interrupts
from automl_waiter.testing import ManualClock, ScriptedJobs


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
