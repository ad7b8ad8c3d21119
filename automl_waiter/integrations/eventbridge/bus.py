"""An event bus. Each method makes one attempt."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from automl_waiter._aws.connection import Connection
from automl_waiter._aws.errors import from_code
from automl_waiter._aws.gateway import Caller
from automl_waiter._model.errors import AccessDenied, InvalidRequest, JobNotFound, TransientError, TransientKind
from automl_waiter._model.text import clean

MOST_ENTRIES = 10
MOST_BYTES = 256 * 1024
"""The maximum of one PutEvents call, in entries and in bytes: the smallest limits that AWS has documented."""

# The pattern of EventBusName in the API reference. Partners' buses, with slashes in their names, accept no such events.
_BUS = re.compile(
    r"(arn:aws[\w-]*:events:(?P<region>[a-z]+-[a-z]+-[\w-]+):[0-9]{12}:event-bus/)?[.\-_A-Za-z0-9]{1,256}", re.ASCII
)


def region_of_bus(bus: str) -> str | None:
    """Return the region of a bus; None if only its name is given.

    Raises:
        InvalidRequest: It is neither the name nor the ARN of a bus.
    """
    match = _BUS.fullmatch(bus)
    if match is None:
        raise InvalidRequest(
            f"{clean(bus)!r} is not an event bus: give a name of letters, digits and .-_, "
            "or an ARN such as arn:aws:events:REGION:ACCOUNT:event-bus/NAME"
        )
    return match["region"]


class Bus(Caller):
    """A bus in a region."""

    def __init__(self, name: str, connection: Connection) -> None:
        super().__init__(connection)
        self._name = name
        self._is_checked = False

    def put(self, entries: list[dict[str, Any]]) -> list[Exception | None]:
        """Put entries. Return None for each accepted one, otherwise its error: a TransientError if a retry may help.

        Raises:
            TransientError: All failed with a transient error.
            AutoMLWaiterError: All failed with a permanent error.
        """
        try:
            # PutEvents answers with success for a bus that does not exist: https://github.com/aws/aws-sdk/issues/186
            if not self._is_checked:
                # The caller may lack this permission, so a denial is ignored; bad credentials fail in PutEvents too.
                with contextlib.suppress(AccessDenied):
                    self._call("DescribeEventBus", self._name, Name=self._name)
                self._is_checked = True
            results = self._call("PutEvents", self._name, Entries=entries).get("Entries")
        except JobNotFound as error:
            raise InvalidRequest(
                f"there is no such bus in {self.region}: check the name, the region and the account", code=error.code
            ) from None
        if results is None or len(results) != len(entries):
            raise TransientError(
                TransientKind.RESPONSE, "the response does not match the entries: cut short, or not from AWS"
            )
        self._was_answered = True
        return [self._problem_of(result) for result in results]

    def _problem_of(self, result: Mapping[str, Any] | None) -> Exception | None:
        from botocore.exceptions import ClientError

        result = result or {}
        if not result.get("ErrorCode"):
            if result.get("EventId"):
                return None
            words = "an entry has neither an event id nor an error: cut short, or not from AWS"
            return TransientError(TransientKind.RESPONSE, words)
        answer = {"Error": {"Code": result["ErrorCode"], "Message": result.get("ErrorMessage", "")}}
        error = ClientError(answer, "PutEvents")  # type: ignore[arg-type,unused-ignore] # the SDK's has more members
        return from_code(error, "PutEvents", self._name, self.region, datetime.now(UTC))
