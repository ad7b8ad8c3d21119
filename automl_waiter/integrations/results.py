"""What a step hands on of a wait, to the steps after it."""

from __future__ import annotations

from typing import Any

from automl_waiter._model.errors import CredentialsExpired, ServiceUnavailable
from automl_waiter._model.outcome import Outcome

FAILED_CALLS = (ServiceUnavailable, CredentialsExpired)
"""What a later try may get over: the calls failed, not the job. Nothing else of a wait is better the next time, and
who sets a timeout does not want it several times."""


def result_of(outcome: Outcome) -> dict[str, Any]:
    """The outcome in JSON's types, without what only a log needs: engines keep results in a database."""
    told = outcome.to_dict()
    del told["describe"], told["transitions"]
    return told
