"""The clients of Airflow's connections: one for all the waits of a process that have the same connection."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook

from automl_waiter.connection import client_config

# Weak, so that a client, and the credentials that a connection had then, last no longer than the waits that use it.
_CLIENTS: WeakValueDictionary[str, Any] = WeakValueDictionary()
_LOCK = threading.Lock()


def client_of(parameters: Mapping[str, Any]) -> Any:
    """The boto3 SageMaker client of a connection.

    Args:
        parameters: `aws_conn_id`, `region_name`, `verify` and `botocore_config`, as Airflow's AWS operators have them.
    """
    key = _key(parameters)
    with _LOCK:
        client = _CLIENTS.get(key)
        if client is None:
            hook = SageMakerHook(
                aws_conn_id=parameters["aws_conn_id"],
                region_name=parameters["region_name"],
                verify=parameters["verify"],
                config=parameters["botocore_config"],
            )
            # What the connection or the task asks for comes before what waiting would like best.
            _CLIENTS[key] = client = hook.get_client_type(config=client_config().merge(hook.config))
        return client


def forget_client(parameters: Mapping[str, Any]) -> None:
    """The next wait reads the connection anew: its credentials have expired."""
    with _LOCK:
        _CLIENTS.pop(_key(parameters), None)


def _key(parameters: Mapping[str, Any]) -> str:
    return json.dumps(dict(parameters), sort_keys=True)
