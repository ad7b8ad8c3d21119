"""The clients of Airflow's connections: one for all the waits of a process that have the same connection."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook

from automl_waiter._aws.connection import client_config

# Weak, so that a client, and the credentials that a connection had then, last no longer than the waits that use it.
_CLIENTS: WeakValueDictionary[tuple[str, str], Any] = WeakValueDictionary()
# One that its own thread may take again: on_kill comes in a signal handler.
_LOCK = threading.RLock()


def client_of(parameters: Mapping[str, Any]) -> Any:
    """The boto3 SageMaker client of a connection.

    Args:
        parameters: `aws_conn_id`, `region_name`, `verify` and `botocore_config`, as Airflow's AWS operators have them.
    """
    hook = SageMakerHook(
        aws_conn_id=parameters["aws_conn_id"],
        region_name=parameters["region_name"],
        verify=parameters["verify"],
        config=parameters["botocore_config"],
    )
    # As it is now: somebody may have changed it while others wait with the client of what it was.
    known = hook.conn_config
    found = repr((known.login, known.password, known.extra_config)).encode(errors="backslashreplace")
    key = _name(parameters), hashlib.sha256(found).hexdigest()
    with _LOCK:
        client = _CLIENTS.get(key)
        if client is None:
            # What the connection or the task asks for comes before what waiting would like best.
            _CLIENTS[key] = client = hook.get_client_type(config=client_config().merge(hook.config))
        return client


def forget_client(parameters: Mapping[str, Any]) -> None:
    """The next wait has a new client: the credentials of this one are no good any more."""
    name = _name(parameters)
    with _LOCK:
        for key in [key for key in _CLIENTS if key[0] == name]:
            _CLIENTS.pop(key, None)


def _name(parameters: Mapping[str, Any]) -> str:
    return json.dumps(dict(parameters), sort_keys=True)
