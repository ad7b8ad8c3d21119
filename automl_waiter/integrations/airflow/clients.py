"""The clients of Airflow's connections: one for all waits of a process with the same connection."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from automl_waiter._aws.configuration import new_session
from automl_waiter._aws.connection import client_config, credentials_in
from automl_waiter._aws.errors import from_sdk
from automl_waiter._aws.sources import BEFORE_THE_FIRST_ANSWER_S, is_from_source, load_from, source_failure
from automl_waiter._model.errors import CredentialsExpired, TransientError, TransientKind
from automl_waiter._wiring import STOP_WITHIN_S, Gateways, stop_job
from automl_waiter.waiter import result_of

# Between two attempts to make a client.
_PAUSE_S = 1.0
# Weak references: a client, and the credentials of its connection, last no longer than the waits that use it.
_CLIENTS: WeakValueDictionary[tuple[str, str], Any] = WeakValueDictionary()
# Reentrant, because on_kill may run in a signal handler of the same thread.
_LOCK = threading.RLock()


def hook_of(parameters: dict[str, Any]) -> SageMakerHook:
    """Return Airflow's hook for a connection, which is read now.

    Args:
        parameters: `aws_conn_id`, `region_name`, `verify` and `botocore_config`, as in Airflow's AWS operators.
    """
    hook = SageMakerHook(
        aws_conn_id=parameters["aws_conn_id"],
        region_name=parameters["region_name"],
        verify=parameters["verify"],
        config=parameters["botocore_config"],
    )
    hook.conn_config  # noqa: B018 - it is read at the first use, and kept
    return hook


def client_of(parameters: dict[str, Any], *, within: float = BEFORE_THE_FIRST_ANSWER_S) -> Any:
    """Return the boto3 SageMaker client of a connection; see `client_from`."""
    return client_from(hook_of(parameters), parameters, within=within)


def client_from(hook: SageMakerHook, parameters: dict[str, Any], *, within: float = BEFORE_THE_FIRST_ANSWER_S) -> Any:
    """Return the boto3 SageMaker client of a hook. A source of credentials that fails is tried again.

    Args:
        hook: The hook.
        parameters: Those of the hook.
        within: For how many seconds to try.

    Raises:
        CredentialsExpired: The source kept failing.
        AutoMLWaiterError: There can be no client.
    """
    # The connection's current values: it may have changed while other waits use the client of its old values.
    known = hook.conn_config
    found = repr((known.login, known.password, known.extra_config)).encode(errors="backslashreplace")
    key = json.dumps(parameters, sort_keys=True), hashlib.sha256(found).hexdigest()
    until = time.monotonic() + within
    while True:
        try:
            with _LOCK:
                client = _CLIENTS.get(key)
                if client is None:
                    _CLIENTS[key] = client = _new_client(hook)
                return client
        except TransientError as failure:
            problem = CredentialsExpired(str(failure), code=failure.code)
        if time.monotonic() >= until:
            raise problem
        time.sleep(_PAUSE_S)


def _new_client(hook: SageMakerHook) -> Any:
    """Return a new client, as if its source of credentials were a call; raise TransientError if that may work later."""
    try:
        # The config of the connection or the task overrides the one for waits.
        client = hook.get_client_type(config=client_config().merge(hook.config))
        if credentials_in(client) is not None:
            return client
        load_from(new_session(None))
        problem: Exception = TransientError(TransientKind.NO_CREDENTIALS, "the credentials have come just now")
    except NoCredentialsError:
        return client  # its first call says so
    except ClientError as error:
        problem = source_failure(error, was_answered=False)  # a role that cannot be assumed
    except Exception as error:
        if is_from_source(error):
            problem = source_failure(error, was_answered=False)
        elif isinstance(error, BotoCoreError):
            problem = from_sdk(error)
        else:
            raise
    raise problem


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
