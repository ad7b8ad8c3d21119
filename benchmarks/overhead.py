"""What our own code costs: beyond the call that it makes, and beyond the library that it loads."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass

from benchmarks.endpoint import RUNNING, CountingSandbox, command, python
from benchmarks.timing import seconds_of

_BARE = "import boto3; print(boto3.client('sagemaker').describe_auto_ml_job_v2(AutoMLJobName='job')['AutoMLJobStatus'])"
STATUS, SCRIPT, CLI = "`automl-waiter status`", "a bare boto3 script", "`aws sagemaker describe-auto-ml-job-v2`"


@dataclass(frozen=True)
class Overhead:
    """Seconds each.

    Attributes:
        poll: CPU of a poll of ours.
        call: CPU of the describe call alone.
        imports: Wall time of `from automl_waiter import wait_for`, and of `import boto3`, beyond Python's own start.
        starts: Wall time of looking at a job once, by the program that does it.
    """

    poll: float
    call: float
    imports: tuple[float, float]
    starts: dict[str, float]


def measure() -> Overhead:
    """All of it; it takes about three minutes."""
    with CountingSandbox() as sandbox:
        sandbox.create_job("job", scenario=RUNNING)
        environment = sandbox.environment
        measured = subprocess.run(
            python("-m", "benchmarks.poll_cpu", "job"), check=True, stdout=subprocess.PIPE, env=environment
        )
        cpu = json.loads(measured.stdout)
        starts = seconds_of(
            {
                STATUS: (command("automl-waiter"), "status", "job"),
                SCRIPT: ("-c", _BARE),
                CLI: (command("aws"), "sagemaker", "describe-auto-ml-job-v2", "--auto-ml-job-name", "job"),
            },
            environment,
        )
    imported = seconds_of(
        {
            "ours": ("-c", "from automl_waiter import wait_for"),
            "boto3": ("-c", "import boto3"),
            "python": ("-c", "pass"),
        },
        environment,
    )
    imports = imported["ours"] - imported["python"], imported["boto3"] - imported["python"]
    return Overhead(cpu["poll"], cpu["call"], imports, starts)


def criteria(overhead: Overhead) -> list[tuple[str, float, float]]:
    """What is promised: in words, as measured, and the bound."""
    ours, boto3 = overhead.imports
    return [
        ("CPU of a poll, of the describe call's", overhead.poll / overhead.call, 1.15),
        ("`from automl_waiter import wait_for`, of `import boto3`", ours / boto3, 0.5),
        (f"{STATUS}, of {SCRIPT}", overhead.starts[STATUS] / overhead.starts[SCRIPT], 1.2),
    ]
