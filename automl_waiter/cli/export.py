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
from automl_waiter.integrations.stepfunctions import DEFAULT_TIMEOUT, fragment, state_machine


@click.group(
    cls=PageGroup,
    short_help="Print a Step Functions definition or an IAM policy.",
    examples=[
        ("automl-waiter export asl --timeout 24h > wait.asl.json", "Export a state machine that waits up to a day:"),
        ("automl-waiter export iam-policy --with stop", "Export the policy of a wait that may stop its job:"),
    ],
)
def export() -> None:
    """Print the wait in the JSON format of another system."""


@export.command(
    short_help="Print a Step Functions state machine that waits.",
    examples=[("automl-waiter export asl --timeout 24h > wait.asl.json", "Wait up to a day:")],
)
@click.option(
    "--timeout",
    type=Duration(positive=True),
    default=DEFAULT_TIMEOUT,
    show_default=format_duration(DEFAULT_TIMEOUT),
    metavar="DURATION",
    help="Time limit of the whole wait. A longer limit polls less often, to stay below 25,000 history events.",
)
@REQUIRE
@click.option(
    "--fragment",
    "is_fragment",
    is_flag=True,
    help="Print the states alone, to embed as the branch of a Parallel state in your own state machine.",
)
def asl(timeout: float, require: tuple[str, ...], is_fragment: bool) -> int:
    """Print a Step Functions standard workflow that waits for a job, in Amazon States Language.

    Its input is {"AutoMLJobName": "..."} or {"AutoMLJobArn": "..."}, such as the response that created the job, and its
    output is the job's last response. If the job does not succeed, the execution fails with one of these errors:
    JobFailed, JobStopped, JobDegraded, WaitTimeout, JobNotFound, AccessDenied, InvalidRequest, ServiceUnavailable. Its
    role needs the permission sagemaker:DescribeAutoMLJobV2.
    """
    document = fragment if is_fragment else state_machine
    return _print(document(timeout=timeout, required=required_parts(require)))


@export.command(
    "iam-policy",
    short_help="Print the least IAM policy that a wait needs.",
    examples=[
        (
            "automl-waiter export iam-policy --with candidates --with listing",
            "Allow the live view with candidates, and watch:",
        )
    ],
)
@click.option(
    "--with",
    "features",
    multiple=True,
    type=click.Choice([feature.value for feature in Feature]),
    help="Feature to allow, beyond a plain wait. Repeatable. candidates: candidates in the live view, in a report, and "
    "in a condition on BestCandidate. estimate: when a job will end. listing: watch, many jobs, and suggestions for a "
    "mistyped name. stop: --stop-on. publish: --publish. logs: the log of a failed step.",
)
@click.option(
    "--jobs",
    multiple=True,
    default=(EVERY_JOB,),
    metavar="ARN",
    help="ARN of the jobs to allow, with * and ? as wildcards. Repeatable.",
)
@click.option(
    "--bus",
    "buses",
    multiple=True,
    default=(EVERY_BUS,),
    metavar="ARN",
    help="ARN of the event buses to allow, with * and ? as wildcards. Repeatable.",
)
def policy(features: tuple[str, ...], jobs: tuple[str, ...], buses: tuple[str, ...]) -> int:
    """Print the least IAM policy that a wait with these features needs."""
    return _print(iam_policy(map(Feature, features), jobs, buses))


def _print(document: dict[str, Any]) -> int:
    return write_product([json.dumps(document, indent=2)])
