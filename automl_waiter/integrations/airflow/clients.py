"""The clients of Airflow's connections: one for all waits of a process with the same connection."""

from __future__ import annotations

import hashlib
import json
import threading
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook

from automl_waiter._aws.connection import client_config
from automl_waiter._wiring import STOP_WITHIN_S, Gateways, stop_job
from automl_waiter.waiter import result_of

# Weak references: a client, and the credentials of its connection, last no longer than the waits that use it.
_CLIENTS: WeakValueDictionary[tuple[str, str], Any] = WeakValueDictionary()
# Reentrant, because on_kill may run in a signal handler of the same thread.
_LOCK = threading.RLock()


def client_of(parameters: dict[str, Any]) -> Any:
    """Return the boto3 SageMaker client of a connection.

    Args:
        parameters: `aws_conn_id`, `region_name`, `verify` and `botocore_config`, as in Airflow's AWS operators.
    """
    hook = SageMakerHook(
        aws_conn_id=parameters["aws_conn_id"],
        region_name=parameters["region_name"],
        verify=parameters["verify"],
        config=parameters["botocore_config"],
    )
    # The connection's current values: it may have changed while other waits use the client of its old values.
    known = hook.conn_config
    found = repr((known.login, known.password, known.extra_config)).encode(errors="backslashreplace")
    key = json.dumps(parameters, sort_keys=True), hashlib.sha256(found).hexdigest()
    with _LOCK:
        client = _CLIENTS.get(key)
        if client is None:
            # The config of the connection or the task overrides the one for waits.
            _CLIENTS[key] = client = hook.get_client_type(config=client_config().merge(hook.config))
        return client


def forget_client(parameters: dict[str, Any]) -> None:
    """Give the next wait a new client: the credentials of this one were refused or have expired."""
    name = json.dumps(parameters, sort_keys=True)
    with _LOCK:
        for key in [key for key in _CLIENTS if key[0] == name]:
            _CLIENTS.pop(key, None)


def stop(client: Any, job: str) -> None:
    """Call StopAutoMLJob for a job, for at most 10 seconds.

    Raises:
        AutoMLWaiterError: The call failed, so the job was not stopped.
    """
    target = Gateways(client).target(job)
    result_of(partial(stop_job, job_name=target.job.name), target.gateway, error_budget=STOP_WITHIN_S)
