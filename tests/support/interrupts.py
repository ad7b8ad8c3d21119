"""SIGINT at random instants, in a process whose waits never end: KeyboardInterrupt is to end each of them.

As a program it is that process: python tests/support/interrupts.py WAITS WAITS_UNDER_ASYNCIO
"""

import asyncio
import faulthandler
import gc
import random
import signal
import sys
import time
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError
from environments import clean_environment
from programs import start

from automl_waiter import aio, as_completed, wait_for, wait_for_all, watch
from automl_waiter._engine import retries
from automl_waiter.testing import Timeline

# The process that sends the signals


def interrupted(waits: int, under_asyncio: int, *, longest: float) -> tuple[list[float], str]:
    """Interrupt each of so many waits after 5 ms or more; return the seconds until each ended, and stderr.

    Where a signal is lost the process ends, and stderr says where the wait was.
    """
    chance, seconds = random.Random(0), list[float]()
    program = ("-W", "always", __file__)
    with start(str(waits), str(under_asyncio), env=clean_environment(), program=program) as process:
        assert process.stdout is not None
        while process.stdout.readline() == "begun\n":
            time.sleep(chance.uniform(0.005, longest))
            sent = time.monotonic()
            process.send_signal(signal.SIGINT)
            if ended := process.stdout.readline():
                seconds.append(float(ended) - sent)
        _, stderr = process.communicate(timeout=60)
    return seconds, stderr


# The process that waits

LOST_AFTER_S = 5.0

NAMES = [f"job-{number}" for number in range(8)]  # enough for a listing
ENDLESS = Timeline([(0, "InProgress", "ModelTuning")])
CREATED = datetime.now(UTC)


class Client:
    """A client to jobs that never end. Many of its calls fail, and some take a while."""

    class meta:
        region_name = "us-east-1"

    def describe_auto_ml_job_v2(self, AutoMLJobName: str) -> dict[str, Any]:
        match random.randrange(10):
            case 0 | 1:
                raise EndpointConnectionError(endpoint_url="https://nowhere")
            case 2 | 3:
                raise ClientError({"Error": {"Code": "InternalFailure", "Message": "said the service"}}, "Describe")
            case 4:
                time.sleep(0.02)
        arn = f"arn:aws:sagemaker:us-east-1:123456789012:automl-job/{AutoMLJobName}"
        return ENDLESS.response(1, name=AutoMLJobName, created=CREATED, arn=arn)

    def list_auto_ml_jobs(self, **_: Any) -> dict[str, Any]:
        return {"AutoMLJobSummaries": [self.describe_auto_ml_job_v2(name) for name in NAMES]}


def wait(number: int, options: dict[str, Any]) -> None:
    """Wait for one job, for three, or for enough to be listed, or watch one, or all."""
    say("begun")
    match number % 5:
        case 0:
            wait_for(NAMES[0], **options)
        case 1:
            wait_for_all(NAMES[:3], **options)
        case 2:
            list(as_completed(NAMES, **options))
        case 3:
            list(watch(NAMES[0], **options))
        case 4:
            list(watch(**options))


async def wait_async(number: int, options: dict[str, Any]) -> None:
    """Do the same under asyncio."""
    say("begun")
    match number % 5:
        case 0:
            await aio.wait_for(NAMES[0], **options)
        case 1:
            await aio.wait_for_all(NAMES[:3], **options)
        case 2:
            _ = [outcome async for outcome in aio.as_completed(NAMES, **options)]
        case 3:
            _ = [transition async for transition in aio.watch(NAMES[0], **options)]
        case 4:
            _ = [transition async for transition in aio.watch(**options)]


def say(words: object) -> None:
    """Report to the process that sends the signals."""
    print(words, flush=True)


def main(waits: int, under_asyncio: int) -> None:
    """Wait repeatedly, and report when each wait has started and when KeyboardInterrupt ended it."""
    retries._FIRST_PAUSE_S = retries._LONGEST_PAUSE_S = 0.001  # so that a signal finds retries, and not a pause
    retries._retrying()  # loads tenacity
    for number in range(waits + under_asyncio):
        options = {"client": Client(), "poll": random.choice([0.002, 0.01]), "max_rate": 1e6}
        # A signal that comes while garbage is collected is answered in the first finalizer that is written in Python.
        options["on_event"] = lambda _: gc.collect()
        faulthandler.dump_traceback_later(LOST_AFTER_S, exit=True)
        try:
            if number < waits:
                wait(number, options)
            else:
                asyncio.run(wait_async(number, options))
        except KeyboardInterrupt:
            say(time.monotonic())
    faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
