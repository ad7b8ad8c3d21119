"""`demo` and `sandbox`: scripted jobs on this machine, with no AWS account and no way to reach AWS."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from automl_waiter._aws.connection import Connection
from automl_waiter._aws.gateway import Boto3Gateway
from automl_waiter._model.exit_codes import ExitCode
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.options import WaitOptions
from automl_waiter._model.text import format_duration
from automl_waiter._wiring import Target
from automl_waiter.cli.lines import write_line
from automl_waiter.cli.output import ResultWriter
from automl_waiter.cli.screen import Screen
from automl_waiter.cli.session import Session
from automl_waiter.cli.signals import Interrupts
from automl_waiter.sandbox.scenarios import SCENARIOS

_DEMO_JOB = "demo"
# The demo shows the main job in half a minute, whatever the recorded job took.
_DEMO_SECONDS = 15.0


def play_demo(
    scenario: str,
    options: WaitOptions,
    writer: ResultWriter,
    open_screen: Callable[..., Screen],
    interrupts: Interrupts,
) -> ExitCode:
    """Plays a scenario in a sandbox in this process, and waits for it as a user would."""
    from automl_waiter.sandbox.server import Sandbox

    runtime = SCENARIOS[scenario].end or _DEMO_SECONDS
    speed = max(1.0, runtime / _DEMO_SECONDS)
    with Sandbox(scenario=scenario, speed=speed) as sandbox:
        sandbox.create_job(_DEMO_JOB, scenario=scenario)
        screen = open_screen(names=[_DEMO_JOB])
        screen.reporter.note(
            "demo",
            f"A recorded job of {format_duration(runtime)} ({scenario}), played in {format_duration(runtime / speed)}, "
            "offline. In earnest: automl-waiter wait YOUR-JOB",
        )
        gateway = Boto3Gateway(Connection(sandbox.client()))
        session = Session(screen.reporter, writer, interrupts, github=screen.github)
        job = job_ref(_DEMO_JOB)
        return session.run([job], lambda: {job.key: Target(job, gateway)}, options)


def serve_sandbox(port: int, scenario: str, speed: float) -> ExitCode:
    """Serves the sandbox until a signal comes."""
    from automl_waiter.sandbox.server import Sandbox

    with Sandbox(port=port, scenario=scenario, speed=speed) as sandbox:
        write_line(sys.stdout, sandbox.url)
        threading.Event().wait()
    return ExitCode.OK
