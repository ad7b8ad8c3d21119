"""The JSON form of what the library knows: what `-o json` prints and what `until` expressions see."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from automl_waiter._model.text import isoformat


def jsonable(value: Any) -> Any:
    """`value` made of JSON's types alone: instants are ISO 8601 in UTC, and there is no NaN or infinity, but null."""
    match value:
        case None | bool() | int():
            return value
        case str():
            return str(value)  # a plain str also for the members of an enumeration
        case float():
            return value if math.isfinite(value) else None
        case datetime():
            return isoformat(value)
        case Mapping():
            return {str(key): jsonable(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [jsonable(item) for item in value]
        case _:
            return str(value)
