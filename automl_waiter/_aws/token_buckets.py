"""The call budgets of this process: its waits share one, whoever has begun them; the account's limit does not ask."""

from __future__ import annotations

import threading
from collections.abc import Hashable, MutableMapping
from typing import Any
from weakref import WeakKeyDictionary

from automl_waiter._aws.connection import Connection
from automl_waiter._model.token_bucket import TokenBucket


class SharedTokenBucket(TokenBucket):
    """A token bucket for waits in several threads."""

    def __init__(self, max_rate: float) -> None:
        super().__init__(max_rate)
        self._lock = threading.Lock()

    def reserve(self, now: float) -> float:
        with self._lock:
            return super().reserve(now)

    def take(self, now: float) -> bool:
        with self._lock:
            return super().take(now)

    def throttled(self, now: float) -> None:
        with self._lock:
            super().throttled(now)


_BY_ACCOUNT: dict[Hashable, dict[float, SharedTokenBucket]] = {}
_BY_CLIENT: MutableMapping[Any, dict[float, SharedTokenBucket]] = WeakKeyDictionary()
_LOCK = threading.Lock()


def bucket_of(connection: Connection, max_rate: float) -> SharedTokenBucket:
    """The call budget for an account and region, shared by all waits of this process that have the same max rate."""
    budget, key = SharedTokenBucket(max_rate), connection.account_key
    with _LOCK:
        if key is None:
            return _BY_CLIENT.setdefault(connection.client, {}).setdefault(max_rate, budget)
        return _BY_ACCOUNT.setdefault(key, {}).setdefault(max_rate, budget)
