"""Requests that the sandbox refuses before it answers: those of web pages, and those that the service would refuse.

A web page that the user visits can send requests to this machine. A browser adds the page's Origin to them, sends no
X-Amz-Target without asking first, and names the page's host even if that host leads here (DNS rebinding).
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from moto.core.utils import get_service_model
from werkzeug.datastructures import Headers

from automl_waiter.sandbox.paging import RequestRefused

_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]*)?", re.IGNORECASE)
# What is before the dot in X-Amz-Target, and botocore's name of that service.
_SERVICES = {"SageMaker": "sagemaker", "Logs_20140328": "logs"}
_UNREADABLE = "SerializationException"
_NUMBER = int | float
_TYPES: Mapping[str, Any] = {
    **dict.fromkeys(("structure", "map"), dict),
    **dict.fromkeys(("string", "character", "blob"), str),
    **dict.fromkeys(("float", "double", "timestamp"), _NUMBER),
    **dict.fromkeys(("integer", "long"), int),
    "list": list,
    "boolean": bool,
}


def problem_of_sender(headers: Headers) -> str | None:
    """Return why a request may be a web page's; None if a program of this machine sent it."""
    if not _HOST.fullmatch(headers.get("Host", "")):
        return "refused: the sandbox answers requests to 127.0.0.1 and localhost only"
    if "Origin" in headers or ("X-Amz-Target" not in headers and _is_form(headers.get("Content-Type", ""))):
        return "refused: the sandbox does not answer web pages"
    return None


def _is_form(content_type: str) -> bool:
    """Return whether a page may send this type to any site: that of a form, or none."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain")


def check_request(target: str, body: bytes) -> str:
    """Return botocore's name of the service that a request is for.

    Args:
        target: The header X-Amz-Target.
        body: The request's body.

    Raises:
        RequestRefused: There is no such operation, or its input is not what the service's model says.
    """
    prefix, _, operation = target.partition(".")
    if (service := _SERVICES.get(prefix)) is None or operation not in _model(service).operation_names:
        raise RequestRefused(
            f"X-Amz-Target names no operation of {' or '.join(_SERVICES)}", "UnknownOperationException"
        )
    try:
        given = json.loads(body or b"{}", parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise RequestRefused("the body is not a JSON object", _UNREADABLE)
    shape = _model(service).operation_model(operation).input_shape
    if shape is not None and (problems := list(_problems(shape, given, ""))):
        # The service checks constraints once it has read everything.
        raise min(problems, key=lambda problem: problem.code != _UNREADABLE)
    return service


@functools.cache
def _model(service: str) -> Any:
    return get_service_model(service)


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _problems(shape: Any, value: Any, path: str) -> Iterator[RequestRefused]:
    """Yield what is wrong with a value. Members that the model does not know are ignored, as the service does."""
    kind = shape.type_name
    if isinstance(value, bool) != (kind == "boolean") or not isinstance(value, _TYPES[kind]):
        yield RequestRefused(f"{path} is not of type {kind}", _UNREADABLE)
        return
    if kind == "timestamp" and not _is_time(value):
        yield RequestRefused(f"{path} is not a time", _UNREADABLE)
    yield from (_invalid(value, path, constraint) for constraint in _constraints(shape, value))
    if kind == "structure":
        for name in shape.required_members:
            if value.get(name) is None:
                yield _invalid(None, _member(path, name), "Member must not be null")
        for name, member in shape.members.items():
            if value.get(name) is not None:
                yield from _problems(member, value[name], _member(path, name))
    elif kind == "list":
        for number, item in enumerate(value, 1):
            yield from _problems(shape.member, item, f"{path}.{number}.member")
    elif kind == "map":
        for name, item in value.items():
            yield from _problems(shape.value, item, f"{path}.{name}")


def _constraints(shape: Any, value: Any) -> Iterator[str]:
    """Yield the constraints of the model that a value of the right type does not satisfy."""
    enum = getattr(shape, "enum", None)
    if enum and value not in enum:
        yield f"Member must satisfy enum value set: [{', '.join(enum)}]"
    least, most = shape.metadata.get("min", -math.inf), shape.metadata.get("max", math.inf)
    is_number = isinstance(value, _NUMBER)
    if not least <= (value if is_number else len(value)) <= most:
        what = "have value" if is_number else "have length"
        yield f"Member must {what} between {least} and {most}"


def _invalid(value: Any, path: str, constraint: str) -> RequestRefused:
    shown = "null" if value is None else f"'{str(value)[:100]}'"
    return RequestRefused(
        f"1 validation error detected: Value {shown} at '{path}' failed to satisfy constraint: {constraint}"
    )


def _member(path: str, name: str) -> str:
    """Return the path of a member, as the service writes it: `autoMLJobObjective.metricName`."""
    return f"{path}{'.' if path else ''}{name[:1].lower()}{name[1:]}"


def _is_time(seconds: float) -> bool:
    try:
        datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return False
    return True
