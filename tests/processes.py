"""The command in its own processes, isolated from the machine's AWS configuration."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def clean_environment(**more: str) -> dict[str, str]:
    """Return the environment without the machine's AWS configuration, and with dummy credentials."""
    # As users have it: with Python's buffers, whose rest counts, and its compiled files, which save a quarter of a start.
    ours = ("AWS_", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")
    # Nor what says where the tests run: what is shown depends on it.
    where = ("CI", "GITHUB_", "AUTOML_WAITER_", "NO_COLOR", "FORCE_COLOR", "TTY_", "COLUMNS", "LINES")
    kept = {name: value for name, value in os.environ.items() if not name.startswith((*ours, *where))}
    nowhere = {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        # A failed job's log is read at AWS where no test says otherwise.
        "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": "http://127.0.0.1:1",
    }
    return {**kept, **nowhere, "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", **more}


def endpoint_environment(url: str, **more: str) -> dict[str, str]:
    """Return an environment whose SageMaker and CloudWatch Logs are at `url`."""
    urls = dict.fromkeys(("AWS_ENDPOINT_URL_SAGEMAKER", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"), url)
    return clean_environment(**urls | {"AWS_REGION": "us-east-1"} | more)


# Runs the command, which pauses a tenth as long as usual before it calls again what has failed.
HURRIED = (
    "-c",
    """\
from automl_waiter._engine import retries
for name in ("_FIRST_PAUSE_S", "_LONGEST_PAUSE_S", "_LONGEST_PATIENT_PAUSE_S"):
    setattr(retries, name, getattr(retries, name) / 10)
from automl_waiter.cli import main
raise SystemExit(main())
""",
)


class Process(subprocess.Popen[str]):
    """A process that is killed if its test fails: its job may never end."""

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, *rest)


def start(
    *arguments: str,
    env: Mapping[str, str],
    before: tuple[str, ...] = (),
    program: tuple[str, ...] = ("-m", "automl_waiter"),
    **options: Any,
) -> Process:
    """Start `automl-waiter`, or what runs it, with both outputs as pipes; `before` is a program that runs Python."""
    words = [*before, sys.executable, *program, *arguments]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return Process(words, env=env, **pipes | options)


def terminated_in_wait(*words: str, env: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a program that prints its events, send SIGTERM after its first poll, and return its exit code and outputs."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, env=env, **pipes) as process:
        assert process.stdout
        while "poll" not in process.stdout.readline():
            assert process.poll() is None
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
        assert time.monotonic() - begun < 10
    return process.returncode, out, err


def write_credentials(path: Path, access_key: str, **more: str) -> dict[str, str]:
    """Write a shared credentials file as a refreshing tool does, and return an environment that reads it."""
    lines = [
        "[default]",
        f"aws_access_key_id = {access_key}",
        "aws_secret_access_key = secret",
        "aws_session_token = t",
    ]
    new = path.with_suffix(".new")
    new.write_text("\n".join([*lines, *(f"{name} = {value}" for name, value in more.items())]) + "\n")
    new.rename(path)
    return {"AWS_SHARED_CREDENTIALS_FILE": str(path), "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
