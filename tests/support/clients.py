"""AWS clients that answer as a test says."""

from typing import Any

from botocore.exceptions import ClientError


class Answering:
    """A client that answers each call with an AWS error or a response."""

    class meta:
        region_name = "us-east-1"

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def describe_auto_ml_job_v2(self, **_: str) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def client_error(code: str, status: int = 400) -> Exception:
    response: Any = {"Error": {"Code": code, "Message": "said\x1b"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "DescribeAutoMLJobV2")
