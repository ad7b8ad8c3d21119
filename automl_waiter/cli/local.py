"""`sandbox`: a local endpoint with scripted jobs, without an AWS account and without access to AWS."""

from __future__ import annotations

import difflib
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click

from automl_waiter._model.errors import InvalidRequest
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.text import clean, format_duration
from automl_waiter._system.portable import environment_lines, quoted
from automl_waiter.cli.help import Page
from automl_waiter.cli.lines import write_line
from automl_waiter.cli.signals import Interrupts
from automl_waiter.sandbox.scenarios import SCENARIOS, SUMMARIES

SCENARIO_LIST = tuple(SUMMARIES.items())

_REGION = "us-east-1"
_KEY = "testing"
# They would lead the second terminal elsewhere.
_MISLEADING = (
    "AWS_PROFILE",
    "AWS_ENDPOINT_URL_SAGEMAKER",
    "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
)
# Python answers a signal in the main thread, and on Windows only between two waits.
_SIGNAL_SLICE_S = 0.25


class ScenarioParam(click.Choice):  # type: ignore[type-arg,unused-ignore] # generic since click 8.2
    """The name of a scenario."""

    name = "scenario"

    def __init__(self) -> None:
        super().__init__(list(SCENARIOS))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in SCENARIOS:
            return value
        nearest = difflib.get_close_matches(str(value), SCENARIOS, n=1)
        hint = f"did you mean {nearest[0]}? " if nearest else ""
        return self.fail(f"no scenario {clean(value)!r}; {hint}scenarios: {', '.join(SCENARIOS)}", param, ctx)


class NewJob(NamedTuple):
    """A job that is created at the start; without a scenario, it plays that of the sandbox."""

    name: str
    scenario: str | None


class JobParam(click.ParamType):  # type: ignore[type-arg,unused-ignore] # as above
    """A job's name, and its scenario after a `=`."""

    name = "job"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> NewJob:
        name, separator, scenario = str(value).partition("=")
        with suppress(InvalidRequest):
            if (ref := job_ref(name)).arn is None:
                return NewJob(ref.name, ScenarioParam().convert(scenario, param, ctx) if separator else None)
        return self.fail(f"{clean(name)!r} is not a job name: 1 to 32 letters, digits and inner hyphens", param, ctx)


scenario_option = partial(click.option, "--scenario", type=ScenarioParam(), metavar="SCENARIO", default="completed")


@click.command(
    cls=Page,
    short_help="Serve a local endpoint with scripted jobs.",
    examples=[
        ("automl-waiter sandbox --job churn --job fraud=failed", "Two jobs to wait for in a second terminal:"),
        ("automl-waiter sandbox --port 5000 --speed 3600", "A job's hour in a second, at http://127.0.0.1:5000:"),
    ],
    lists={"Scenarios": SCENARIO_LIST},
)
@click.option(
    "--job",
    "new_jobs",
    type=JobParam(),
    multiple=True,
    metavar="NAME[=SCENARIO]",
    help="Create this job at the start; repeatable.",
)
@scenario_option(help="What a job plays for which neither --job nor a tag names a scenario.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 picks a free one.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    help="Seconds of a job that are played in a second. At 60 a job of 46 minutes takes 46 seconds.",
)
@click.pass_obj
def sandbox(interrupts: Interrupts, /, new_jobs: tuple[NewJob, ...], scenario: str, port: int, speed: float) -> None:
    """Serve a local SageMaker endpoint with scripted AutoML jobs, until it is interrupted.

    It prints its URL once it answers, and on a terminal what to paste into a second one. Any AWS client can use it: set
    AWS_ENDPOINT_URL, a region and any credentials. It serves SageMaker's AutoML operations and CloudWatch Logs.

    Each job plays a scenario. To choose one for a job that you create yourself, give the request a tag:
    Tags=[{"Key": "automl-waiter:scenario", "Value": "failed"}].
    """
    if len({job.name.lower() for job in new_jobs}) < len(new_jobs):
        raise click.UsageError("--job: a name is given twice; AWS ignores case in names")
    with interrupts.ending():
        from automl_waiter.sandbox.server import Sandbox

        with Sandbox(port=port, scenario=scenario, speed=speed) as server:
            for job in new_jobs:
                server.create_job(job.name, scenario=job.scenario or scenario)
            write_line(sys.stdout, server.url)
            if sys.stderr is not None and sys.stderr.isatty():
                for line in _instructions(server.url, new_jobs, scenario, speed):
                    write_line(sys.stderr, line)
            while True:
                time.sleep(_SIGNAL_SLICE_S)


def _instructions(url: str, jobs: Sequence[NewJob], scenario: str, speed: float) -> Iterator[str]:
    """Yield what the sandbox plays, and what to paste into a second terminal."""
    yield f"SageMaker with scripted jobs, {speed:g} times as fast as AWS. Ctrl-C stops it."
    for job in jobs:
        played = job.scenario or scenario
        yield f"  {job.name}: {played}, ends in {format_duration(round((SCENARIOS[played].end or 0.0) / speed))}"
    if jobs:
        words = ["wait", *(job.name for job in jobs)]
        yield "To wait, paste this into a second terminal:"
    else:
        words = ["watch"]
        yield "It has no job yet: create one with an AWS client, or start the sandbox with --job NAME."
        yield "To watch for jobs, paste this into a second terminal:"
    variables = _variables(url)
    # The other terminal may have a profile that this one does not have.
    obstacles = ["AWS_PROFILE", *(name for name in _MISLEADING if name != "AWS_PROFILE" and name in os.environ)]
    yield ""
    yield from environment_lines(variables, without=obstacles)
    yield quoted([*_program(), *words])
    yield ""
    yield "In PowerShell:"
    yield ""
    for name in obstacles:
        yield f"Remove-Item Env:{name} -ErrorAction SilentlyContinue"
    for name, value in variables.items():
        yield f"$env:{name} = '{value}'"
    command = " ".join(_quoted(word) for word in [*_program(), *words])
    yield f"& {command}" if command.startswith("'") else command


def _variables(url: str) -> Mapping[str, str]:
    """Return the variables that lead every AWS client to the sandbox."""
    from urllib.request import getproxies, proxy_bypass

    variables = {
        "AWS_ENDPOINT_URL": url,
        # Some clients read the one, some the other.
        "AWS_REGION": _REGION,
        "AWS_DEFAULT_REGION": _REGION,
        "AWS_ACCESS_KEY_ID": _KEY,
        "AWS_SECRET_ACCESS_KEY": _KEY,
    }
    if "http" in getproxies() and not proxy_bypass("127.0.0.1"):
        variables |= dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1")
    return variables


def _program() -> list[str]:
    """Return the words that run this command in another terminal, where this one's environment is not activated."""
    found = shutil.which("automl-waiter")
    own = shutil.which(sys.argv[0]) if Path(sys.argv[0]).stem == "automl-waiter" else None
    own = own or shutil.which("automl-waiter", path=str(Path(sys.executable).parent))
    if own is None:
        return [sys.executable, "-m", "automl_waiter"]
    is_activated = sys.prefix != sys.base_prefix and Path(own).is_relative_to(sys.prefix)
    # PATH may lead to another installation, or to this one by a link, as pipx makes it.
    is_found = found is not None and Path(found).samefile(own) and not (is_activated and found == own)
    return ["automl-waiter"] if is_found else [own]


def _quoted(word: str) -> str:
    """Return a word for PowerShell."""
    return word if word.replace("-", "").isalnum() else "'" + word.replace("'", "''") + "'"
