"""`demo` and `sandbox`: scripted jobs on this machine, without an AWS account and without access to AWS."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from functools import partial

import click

from automl_waiter._aws.connection import Connection
from automl_waiter._aws.gateway import Boto3Gateway
from automl_waiter._aws.logs import CloudWatchLogs
from automl_waiter._model.exit_codes import ExitCode
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.options import wait_options
from automl_waiter._model.text import format_duration
from automl_waiter._wiring import Target
from automl_waiter.cli.flags import PROGRESS, RESULTS, Flags, shared
from automl_waiter.cli.help import Page
from automl_waiter.cli.lines import write_line
from automl_waiter.cli.output import ResultWriter
from automl_waiter.cli.screen import open_screen
from automl_waiter.cli.session import Session
from automl_waiter.cli.signals import Interrupts
from automl_waiter.sandbox.scenarios import SCENARIOS

_DEMO_JOB = "demo"
# The duration of the demo in seconds, however long the recorded job was.
_DEMO_SECONDS = 15.0

_scenario_option = partial(click.option, "--scenario", type=click.Choice(list(SCENARIOS)), default="completed")


@click.command(
    cls=Page,
    short_help="See a recorded job play, offline.",
    examples=[("automl-waiter demo --scenario deploy-error", "See a job that completes without its endpoint:")],
)
@_scenario_option(help="How the job ends.")
@shared(*RESULTS, PROGRESS)
@click.pass_obj
def demo(interrupts: Interrupts, /, flags: Flags, scenario: str) -> int:
    """Play a recorded job at high speed, offline and without an AWS account, and wait for it."""
    options = replace(wait_options(require=flags.require, poll=0.5), candidates_every=0.5)
    runtime = SCENARIOS[scenario].end or _DEMO_SECONDS
    speed = max(1.0, runtime / _DEMO_SECONDS)
    with interrupts.ending():
        from automl_waiter.sandbox.server import Sandbox

        with Sandbox(scenario=scenario, speed=speed) as sandbox:
            sandbox.create_job(_DEMO_JOB, scenario=scenario)
            writer = ResultWriter(flags.output)
            screen = open_screen(flags, writer, names=[_DEMO_JOB])
            screen.reporter.note(
                "demo",
                f"A recorded job of {format_duration(runtime)} ({scenario}), in {format_duration(runtime / speed)}.",
            )
            screen.reporter.note("demo", "To wait for a job of yours: automl-waiter wait YOUR-JOB")
            gateway = Boto3Gateway(Connection(sandbox.client()))
            logs = CloudWatchLogs(Connection(sandbox.client(service="logs")))
            read = None if flags.quiet else lambda _: (gateway, logs)
            session = Session(screen.reporter, writer, interrupts, github=screen.github, logs=read)
            job = job_ref(_DEMO_JOB)
            return session.run([job], lambda: {job.key: Target(job, gateway)}, options)


@click.command(
    cls=Page,
    short_help="Serve a local endpoint with scripted jobs.",
    examples=[("automl-waiter sandbox --port 5000 --speed 60", "A job's hour in a minute, at http://127.0.0.1:5000:")],
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 picks a free one.")
@_scenario_option(help="Of jobs whose tag automl-waiter:scenario names none.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    help="Seconds of a job that are played in a second.",
)
@click.pass_obj
def sandbox(interrupts: Interrupts, /, port: int, scenario: str, speed: float) -> int:
    """Serve a local SageMaker endpoint with scripted AutoML jobs, until it is interrupted.

    It prints its URL once it answers. Any AWS client can use it: set AWS_ENDPOINT_URL_SAGEMAKER, or --endpoint-url.
    """
    with interrupts.ending():
        from automl_waiter.sandbox.server import Sandbox

        with Sandbox(port=port, scenario=scenario, speed=speed) as server:
            write_line(sys.stdout, server.url)
            threading.Event().wait()
    return ExitCode.OK
