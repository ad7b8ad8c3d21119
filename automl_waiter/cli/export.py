"""`automl-waiter export`: the wait in the format of another system."""

from __future__ import annotations

import json
from typing import Any

import click

from automl_waiter._aws.permissions import EVERY_BUS, EVERY_JOB, Feature, iam_policy
from automl_waiter._model.text import format_duration
from automl_waiter._model.verdicts import required_parts
from automl_waiter.cli.flags import REQUIRE, Duration
from automl_waiter.cli.help import PageGroup
from automl_waiter.cli.lines import write_product
from automl_waiter.integrations.stepfunctions import DEFAULT_TIMEOUT, state_machine


@click.group(
    cls=PageGroup,
    short_help="Print a Step Functions definition or an IAM policy.",
    examples=[
        ("automl-waiter export asl --timeout 24h > wait.asl.json", "A state machine that waits as wait does:"),
        ("automl-waiter export iam-policy --with stop", "The least rights of a wait that may stop its job:"),
    ],
)
def export() -> None:
    """Print the wait in the form that something else wants it in, as JSON."""


@export.command(
    short_help="The wait as a Step Functions definition.",
    examples=[("automl-waiter export asl --timeout 24h > wait.asl.json", "A state machine that gives a job a day:")],
)
@click.option(
    "--timeout",
    type=Duration(positive=True),
    default=DEFAULT_TIMEOUT,
    show_default=format_duration(DEFAULT_TIMEOUT),
    metavar="DURATION",
    help="For the whole wait. The longer it is, the rarer are the looks, so that the history has room for them.",
)
@REQUIRE
def asl(timeout: float, require: tuple[str, ...]) -> int:
    """Print the wait as the definition of a Step Functions standard workflow, in Amazon States Language.

    Its input is {"AutoMLJobName": "..."}, its output the job's last response. An execution that does not succeed
    fails with the name of an error class of the library: JobFailed, JobStopped, JobDegraded, WaitTimeout, JobNotFound,
    AccessDenied, ServiceUnavailable. Its role needs sagemaker:DescribeAutoMLJobV2.
    """
    return _print(state_machine(timeout=timeout, required=required_parts(require)))


@export.command(
    "iam-policy",
    short_help="The least IAM policy that a wait needs.",
    examples=[("automl-waiter export iam-policy --with candidates --with listing", "For the live view and for watch:")],
)
@click.option(
    "--with",
    "features",
    multiple=True,
    type=click.Choice([feature.value for feature in Feature]),
    help="candidates: the live view, report, a condition on BestCandidate. estimate: when a job will end. listing: "
    "watch, many jobs, and the nearest name to one that there is not. stop: --stop-on. publish: --publish. logs: the "
    "log of what failed. Repeatable; without any, a wait alone.",
)
@click.option(
    "--jobs",
    multiple=True,
    default=(EVERY_JOB,),
    metavar="ARN",
    help="The jobs that may be waited for: an ARN, in which * and ? stand for others; repeatable.",
)
@click.option(
    "--bus",
    "buses",
    multiple=True,
    default=(EVERY_BUS,),
    metavar="ARN",
    help="The event buses that may be published to: an ARN, as above; repeatable.",
)
def policy(features: tuple[str, ...], jobs: tuple[str, ...], buses: tuple[str, ...]) -> int:
    """Print the least IAM policy that a wait with these features needs."""
    return _print(iam_policy(map(Feature, features), jobs, buses))


def _print(document: dict[str, Any]) -> int:
    return write_product([json.dumps(document, indent=2)])
