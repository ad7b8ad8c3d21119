"""Bodies of responses that botocore cannot parse: one bad member must not cost the others.

Its parser raises where a structure, a list, a map or a timestamp is something else. For clients of our own, such
members are removed before it parses the body.
"""

from __future__ import annotations

import json
from typing import Any

REMOVED = "RemovedMembers"
"""The member of a parsed response that names what was removed."""

_ABSENT = object()


def keep_parseable(client: Any) -> None:
    """Let a boto3 SageMaker client parse bodies with members of the wrong type."""
    client.meta.events.register("before-parse.sagemaker", _remove_unparseable)


def _remove_unparseable(
    operation_model: Any, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    if operation_model.output_shape is None or response_dict["status_code"] >= 300:
        return
    try:
        body = json.loads(response_dict["body"])
    except (ValueError, RecursionError):
        return  # botocore finds that too
    removed: dict[str, None] = {}
    kept = _parseable(body, operation_model.output_shape, "", removed)
    if removed and kept is not _ABSENT:
        response_dict["body"] = json.dumps(kept).encode()
        customized_response_dict[REMOVED] = tuple(removed)


def _parseable(value: Any, shape: Any, path: str, removed: dict[str, None]) -> Any:
    """Return what botocore can parse of a value; _ABSENT, if nothing."""
    kept: Any = value
    match shape.type_name:
        case "structure" if isinstance(value, dict):
            members = shape.members
            kept = {
                name: _parseable(item, members[name], f"{path}.{name}" if path else name, removed)
                for name, item in value.items()
                if name in members and item is not None
            }
            kept = {name: item for name, item in kept.items() if item is not _ABSENT}
            if getattr(shape, "is_tagged_union", False) and len(kept) != 1:
                kept = value if value.keys() - members.keys() else _ABSENT  # one that is new has a name of its own
        case "list" if isinstance(value, list):
            items = (_parseable(item, shape.member, path, removed) for item in value)
            kept = [item for item in items if item is not _ABSENT]
        case "map" if isinstance(value, dict):
            pairs = ((key, _parseable(item, shape.value, path, removed)) for key, item in value.items())
            kept = {key: item for key, item in pairs if item is not _ABSENT}
        case "timestamp":
            kept = value if _is_timestamp(value) else _ABSENT
        case "structure" | "list" | "map":
            kept = _ABSENT
    if kept is _ABSENT:
        removed[path] = None
    return kept


def _is_timestamp(value: Any) -> bool:
    from botocore.utils import parse_timestamp

    try:
        parse_timestamp(value)
    except Exception:  # whatever it raises, its parser would raise too
        return False
    return True
