"""`sandbox`: a local endpoint with scripted jobs, without an AWS account and without access to AWS."""

from __future__ import annotations

import sys
import threading
from functools import partial

import click

from automl_waiter._model.exit_codes import ExitCode
from automl_waiter.cli.help import Page
from automl_waiter.cli.lines import write_line
from automl_waiter.cli.signals import Interrupts
from automl_waiter.sandbox.scenarios import SCENARIOS, SUMMARIES

SCENARIO_LIST = tuple(SUMMARIES.items())

scenario_option = partial(click.option, "--scenario", type=click.Choice(list(SCENARIOS)), default="completed")


@click.command(
    cls=Page,
    short_help="Serve a local endpoint with scripted jobs.",
    examples=[("automl-waiter sandbox --port 5000 --speed 60", "A job's hour in a minute, at http://127.0.0.1:5000:")],
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 picks a free one.")
@scenario_option(help="Of jobs whose tag automl-waiter:scenario names none.")
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
