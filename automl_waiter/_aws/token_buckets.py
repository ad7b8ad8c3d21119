"""The call budgets of this process: its waits share one, whoever has begun them; the account's limit does not ask."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Any
from weakref import ref

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
# By the client's id. Not a WeakKeyDictionary: a KeyboardInterrupt that comes while its callback runs is lost.
_BY_CLIENT: dict[int, tuple[ref[Any], dict[float, SharedTokenBucket]]] = {}
_LOCK = threading.Lock()


def bucket_of(connection: Connection, max_rate: float) -> SharedTokenBucket:
    """The call budget for an account and region, shared by all waits of this process that have the same max rate."""
    budget, key = SharedTokenBucket(max_rate), connection.account_key
    with _LOCK:
        if key is None:
            for gone in [number for number, (client, _) in _BY_CLIENT.items() if client() is None]:
                del _BY_CLIENT[gone]
            client = connection.client
            return _BY_CLIENT.setdefault(id(client), (ref(client), {}))[1].setdefault(max_rate, budget)
        return _BY_ACCOUNT.setdefault(key, {}).setdefault(max_rate, budget)
