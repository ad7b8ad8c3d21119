"""The variables of a process, isolated from the machine's AWS configuration."""

import os
from pathlib import Path


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
