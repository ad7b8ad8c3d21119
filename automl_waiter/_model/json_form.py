"""The JSON form of responses and results: what `-o json` prints and what `until` expressions read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from automl_waiter._model.secrets import hide
from automl_waiter._model.text import isoformat


def jsonable(value: Any) -> Any:
    """Return `value` in JSON's types: datetimes as ISO 8601 in UTC; null for NaN and infinity; no secrets."""
    match value:
        case None | bool() | int():
            return value
        case Enum():
            return str(value.value)
        case str():
            return hide(value)
        case float():
            return value if math.isfinite(value) else None
        case datetime():
            return isoformat(value)
        case Mapping():
            return {str(key): jsonable(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [jsonable(item) for item in value]
        case _:
            return hide(str(value))
