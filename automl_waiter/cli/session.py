"""A wait as the command makes it: signals end it, everything is reported, and the exit code says how it ended."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from automl_waiter.cli.output import Reporter, ResultWriter
from automl_waiter.events import Ended
from automl_waiter.gateway import Gateway
from automl_waiter.jobs import JobRef
from automl_waiter.machine import Machine
from automl_waiter.outcome import ExitCode, Outcome, combined_exit_code
from automl_waiter.plan import WaitOptions
from automl_waiter.waiter import EventLoop

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def wait_and_report(
    refs: Sequence[JobRef],
    gateways: Sequence[Gateway],
    options: WaitOptions,
    writer: ResultWriter,
    reporter: Reporter,
    *,
    decides: Callable[[Outcome], bool] | None = None,
) -> ExitCode:
    """Waits for the jobs and returns the exit code: the deciding job's, else all jobs' together."""
    outcomes: dict[str, Outcome] = {}
    deciding: list[Outcome] = []

    def decide(outcome: Outcome) -> bool:
        if decides is not None and decides(outcome):
            deciding.append(outcome)
        return bool(deciding)

    machine = Machine()
    with _interrupts(machine):
        for event in EventLoop(refs, gateways, options, machine).run(decide):
            reporter.tell(event)
            writer.tell(event)
            if isinstance(event, Ended):
                outcomes[event.outcome.job] = event.outcome
    machine.close()
    code = deciding[0].exit_code if deciding else combined_exit_code(o.exit_code for o in outcomes.values())
    writer.finish([outcomes[ref.key] for ref in refs], code)
    return code


@contextmanager
def _interrupts(machine: Machine) -> Iterator[None]:
    """SIGINT and SIGTERM end the wait; a second one leaves at once."""

    def interrupt(signum: int, _: FrameType | None) -> None:
        for known in _SIGNALS:
            signal.signal(known, signal.SIG_DFL)
        machine.interrupt(signum)

    before = {signum: signal.signal(signum, interrupt) for signum in _SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
