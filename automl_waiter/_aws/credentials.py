"""Credentials: what in them is secret, and whether they can be sent."""

from __future__ import annotations

import re
from typing import Any

from automl_waiter._model.errors import AccessDenied
from automl_waiter._model.secrets import learn, learn_key_id

_CONTROL = re.compile(r"[\x00-\x20\x7f]")

_PARTS = {
    "access_key": ("access key id", "AWS_ACCESS_KEY_ID"),
    "secret_key": ("secret access key", "AWS_SECRET_ACCESS_KEY"),
    "token": ("session token", "AWS_SESSION_TOKEN"),
}


def learn_credentials(credentials: Any) -> None:
    """Learn the secrets in credentials as they are now, without refreshing them.

    Raises:
        AccessDenied: One of them holds a space or a line break, so it cannot be sent.
    """
    values = _values_of(credentials)
    learn(values["secret_key"], values["token"])
    learn_key_id(values["access_key"])
    for part, value in values.items():
        if _CONTROL.search(value):
            name, variable = _PARTS[part]
            method = getattr(credentials, "method", None)
            source = f"in {variable}" if method == "env" else f"from {method or 'the client'}"
            raise AccessDenied(
                f"the {name} {source} holds a space or a line break, perhaps at its end: set it without one",
                code="Malformed",
            )


def _values_of(credentials: Any) -> dict[str, str]:
    # Credentials that are refreshed keep their values in private members: reading the public ones refreshes them.
    held = getattr(credentials, "__dict__", {})
    values = {part: held.get(part) or held.get(f"_{part}") for part in _PARTS}
    return {part: value if isinstance(value, str) else "" for part, value in values.items()}
