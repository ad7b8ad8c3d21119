"""The operator, the sensor and the trigger in Airflow, against the sandbox."""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

# Airflow reads these when it is imported.
_DIRECTORY = tempfile.TemporaryDirectory(prefix="airflow-")
_HOME = _DIRECTORY.name
os.environ |= {
    "AIRFLOW_HOME": _HOME,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME}/airflow.db",
}
pytest.importorskip("airflow")

import airflow.providers_manager
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.collection import update_dag_parsing_results_in_db
from airflow.models.xcom import XComModel
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from botocore.exceptions import ClientError
from guide import REQUEST, pasted
from sqlalchemy import select

from automl_waiter._model import errors
from automl_waiter.integrations.airflow import clients
from automl_waiter.integrations.airflow.operators import AutoMLJobOperator
from automl_waiter.integrations.airflow.sensors import AutoMLJobSensor
from automl_waiter.integrations.airflow.triggers import AutoMLJobTrigger, time_left
from automl_waiter.sandbox.server import Sandbox


@pytest.fixture(scope="session", autouse=True)
def database() -> None:
    """Airflow's database."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)
    DagBundlesManager().sync_bundles_to_db()


@pytest.fixture(autouse=True)
def aws(endpoint: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection of which Airflow makes its clients."""
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(endpoint.url))


def connection(url: str, **more: Any) -> str:
    extra = {"region_name": "us-east-1", "endpoint_url": url, **more}
    return json.dumps({"conn_type": "aws", "login": "x", "password": "x", "extra": extra})


Run = Callable[..., Any]


@pytest.fixture
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a task, made by what is given, in a DAG of its own; returns its state, its XCom and how often it was tried."""

    def execute(make: Callable[..., Any], **arguments: Any) -> tuple[str, Any, int]:
        name = f"dag-{os.urandom(6).hex()}"
        with DAG(name, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
            make(task_id="wait", **{"poll": 0.2, **arguments} if make is not AutoMLJobSensor else arguments)
        ended = run_of(dag)
        [task] = ended.get_task_instances()
        with create_session() as session:
            query = select(XComModel.value).where(XComModel.dag_id == name, XComModel.key == "return_value")
            result = session.scalar(query)
        return task.state, result, task.try_number

    return execute


def run_of(dag: DAG) -> Any:
    """A run of a DAG, by `dag.test()`."""
    # As the processor of files does, which has not seen this DAG.
    with create_session() as session:
        made = [LazyDeserializedDAG.from_dag(dag)]
        update_dag_parsing_results_in_db("dags-folder", None, made, {}, None, set(), session)
    return dag.test()


def new_name() -> str:
    return f"job-{os.urandom(6).hex()}"


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "on the worker"])
def test_a_job_is_started_and_waited_for(run: Run, endpoint: Sandbox, deferrable: bool) -> None:
    """The operator starts the job that its templated request asks for, and its XCom says how it ended."""
    name = new_name()
    request = {
        **REQUEST,
        "AutoMLJobName": "{{ params.name }}",
        "Tags": [{"Key": "automl-waiter:scenario", "Value": "completed"}],
    }
    state, result, _ = run(AutoMLJobOperator, request=request, params={"name": name}, deferrable=deferrable)
    assert (state, result["job_name"], result["verdict"]) == (TaskInstanceState.SUCCESS, name, "completed")
    assert result["best_candidate"]["name"]
    assert not {"describe", "transitions"} & set(result)


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "on the worker"])
def test_good_enough_stops_the_job(run: Run, new_job: Callable[[str], str], deferrable: bool) -> None:
    """The option means the same in both modes: the job is stopped, and the task succeeds."""
    state, result, _ = run(AutoMLJobOperator, job=new_job("endless"), good_enough=0.5, deferrable=deferrable)
    assert (state, result["verdict"], result["status"]) == (TaskInstanceState.SUCCESS, "condition_met", "Stopped")


def test_a_job_that_is_there_is_taken_up(run: Run, new_job: Callable[[str], str]) -> None:
    """A task that is tried again waits for the job that it has started, and starts no other."""
    name = new_job("completed")
    state, result, _ = run(AutoMLJobOperator, request={**REQUEST, "AutoMLJobName": name})
    assert (state, result["job_name"]) == (TaskInstanceState.SUCCESS, name)


@pytest.mark.parametrize("make", [AutoMLJobOperator, AutoMLJobSensor])
@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "on the worker"])
@pytest.mark.parametrize(
    ("script", "options", "state"),
    [
        ("completed", {}, "success"),
        ("failed", {}, "failed"),
        ("stopped", {}, "failed"),
        ("deploy-error", {"require": "all"}, "failed"),
        ("endless", {"timeout": 1}, "failed"),
        ("endless", {"until": "ModelTuning"}, "success"),
    ],
)
def test_the_task_ends_as_the_job_did(
    run: Run,
    new_job: Callable[[str], str],
    make: Any,
    deferrable: bool,
    script: str,
    options: dict[str, Any],
    state: str,
) -> None:
    """A job that did not give what was asked of it, or in time, fails its task, and no retry follows."""
    more = {"poke_interval": 0.2} if make is AutoMLJobSensor else {}
    retries = {"retries": 2, "retry_delay": timedelta(seconds=0)}
    found, result, tries = run(make, job=new_job(script), deferrable=deferrable, **options, **more, **retries)
    assert (found, tries) == (state, 1)
    assert (result is not None) == (state == "success")


def test_a_failed_call_is_tried_again(
    run: Run, new_job: Callable[[str], str], endpoint: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where AWS could not be reached, Airflow's retries go on waiting."""
    job, tries = new_job("completed"), []

    class Flaky(AutoMLJobOperator):
        def execute(self, context: Any) -> Any:
            tries.append(1)
            url = endpoint.url if len(tries) > 1 else "http://127.0.0.1:9"
            monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(url))
            return super().execute(context)

    state, result, _ = run(
        Flaky, job=job, error_budget=0.5, retries=2, retry_delay=timedelta(seconds=0), deferrable=False
    )
    assert (state, result["verdict"], len(tries)) == ("success", "completed", 2)


def test_a_poke_that_finds_nobody_fails_its_task(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sensor on the worker gives up when AWS cannot be reached for its error budget."""
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection("http://127.0.0.1:9"))
    more = {"deferrable": False, "error_budget": 0.3, "poke_interval": 0.2, "timeout": 30, "retries": 0}
    begun = time.monotonic()
    assert run(AutoMLJobSensor, job=new_name(), **more)[0] == "failed"
    assert time.monotonic() - begun < 25


def test_a_poke_gives_a_new_job_some_time(endpoint: Sandbox) -> None:
    """A job that is created just after the poke began is found, and its end is the task's."""
    name = new_name()
    later = threading.Timer(1, endpoint.create_job, [name], {"scenario": "failed"})
    later.start()
    sensor = AutoMLJobSensor(task_id="wait", job=name, deferrable=False, poll=0.2)
    with pytest.raises(AirflowFailException, match="JobFailed"):
        sensor.poke({})
    later.join()


def test_a_connection_that_was_changed_has_a_new_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is rotated in the connection counts for the next wait, though others hold the old client."""
    _, arguments = AutoMLJobTrigger(job="a").serialize()
    parameters = {name: arguments[name] for name in ("aws_conn_id", "region_name", "verify", "botocore_config")}
    held = clients.client_of(parameters)
    assert clients.client_of(parameters) is held
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection("http://127.0.0.1:9"))
    assert clients.client_of(parameters).meta.endpoint_url == "http://127.0.0.1:9"


@pytest.mark.parametrize("code", ["ExpiredTokenException", "UnrecognizedClientException"])
def test_credentials_that_are_no_good_are_read_anew_by_the_next_wait(
    code: str, new_job: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wait whose credentials are refused lets the next one read the connection, though others hold the old client."""
    trigger = AutoMLJobTrigger(job=new_job("endless"), error_budget=0.2)
    _, arguments = trigger.serialize()
    parameters = {name: arguments[name] for name in ("aws_conn_id", "region_name", "verify", "botocore_config")}
    held = clients.client_of(parameters)

    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "DescribeAutoMLJobV2")

    monkeypatch.setattr(held, "describe_auto_ml_job_v2", refuse)
    assert asyncio.run(_first(trigger))["error"] in ("CredentialsExpired", "AccessDenied")
    assert clients.client_of(parameters) is not held


def test_a_sensor_may_skip_what_follows(run: Run, new_job: Callable[[str], str]) -> None:
    """With soft_fail a job that failed skips its task, as with Airflow's own sensors."""
    assert run(AutoMLJobSensor, job=new_job("failed"), soft_fail=True)[0] == "skipped"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"job": "a", "request": REQUEST}, "give either request"),
        ({}, "give either request"),
        ({"job": "no/name"}, "InvalidRequest"),
        ({"job": "a", "until": "BestCandidat.Name"}, "InvalidRequest"),
        ({"job": "a", "require": "endpont"}, "InvalidRequest"),
    ],
)
def test_a_mistake_is_told_before_the_wait(run: Run, arguments: dict[str, Any], words: str, capfd: Any) -> None:
    """What makes no sense fails the task at once, on its worker, with a line that says what it is."""
    assert run(AutoMLJobOperator, retries=1, **arguments)[::2] == ("failed", 1)
    told = capfd.readouterr()
    assert words in told.out + told.err


def test_a_trigger_is_made_again_of_what_it_serializes(new_job: Callable[[str], str]) -> None:
    """A trigger's class and arguments are JSON, and make an equal one, with its deadline as an instant."""
    trigger = AutoMLJobTrigger(job="a", deadline="2026-01-01T00:00:00+00:00", require=("endpoint",), stop_on_kill=True)
    path, arguments = trigger.serialize()
    assert path == "automl_waiter.integrations.airflow.triggers.AutoMLJobTrigger"
    assert AutoMLJobTrigger(**json.loads(json.dumps(arguments))).serialize() == (path, arguments)


def test_a_restart_does_not_lengthen_the_wait() -> None:
    """What is left of a wait is counted from its deadline: nothing but a look, once that is past."""
    now = datetime.now(UTC)
    assert time_left((now - timedelta(hours=1)).isoformat()) == 0
    assert time_left((now + timedelta(hours=1)).isoformat()) == pytest.approx(3600, abs=5)
    assert (time_left("auto"), time_left(None)) == ("auto", None)


async def _first(trigger: AutoMLJobTrigger) -> Any:
    async for event in trigger.run():
        return event.payload
    return None


def test_a_trigger_past_its_deadline_polls_once(new_job: Callable[[str], str], endpoint: Sandbox) -> None:
    """A trigger that comes back after its deadline finds the success that there was meanwhile."""
    name = new_job("completed")
    endpoint.advance(name)
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    assert asyncio.run(_first(AutoMLJobTrigger(job=name, deadline=past)))["error"] is None


def test_who_is_killed_stops_the_job_where_that_was_asked_for(new_job: Callable[[str], str], endpoint: Sandbox) -> None:
    """A trigger whose task a user kills stops its job, and one that was not asked to leaves it."""
    for stop_on_kill, status in ((False, "InProgress"), (True, "Stopped")):
        name = new_job("endless")
        trigger = AutoMLJobTrigger(job=name, stop_on_kill=stop_on_kill, until="Stopped", poll=0.2)
        asyncio.run(trigger.on_kill())
        operator = AutoMLJobOperator(task_id="wait", job=name, stop_on_kill=stop_on_kill)
        operator.on_kill()
        client = clients.client_of(operator.connection)
        found = client.describe_auto_ml_job_v2(AutoMLJobName=name)["AutoMLJobStatus"]
        assert found in ((status,) if status == "InProgress" else (status, "Stopping"))


def test_the_waits_of_a_process_share_a_client() -> None:
    """Waits with the same connection have one client, another region has its own, and it goes with the last wait."""
    first = {"aws_conn_id": "aws_default", "region_name": None, "verify": None, "botocore_config": None}
    client = clients.client_of(first)
    assert clients.client_of(dict(first)) is client
    assert clients.client_of({**first, "region_name": "eu-west-1"}) is not client
    clients.forget_client(first)
    assert clients.client_of(first) is not client


def test_the_sdk_retries_nothing_beneath_the_wait() -> None:
    """The client that waits makes one attempt of each call, and the caller's own botocore_config comes first."""
    given = {"aws_conn_id": "aws_default", "region_name": None, "verify": None, "botocore_config": {"read_timeout": 7}}
    config = clients.client_of(given).meta.config
    assert (config.retries["total_max_attempts"], config.read_timeout) == (1, 7)


def test_airflow_finds_the_provider() -> None:
    """Airflow's provider manager knows this package by its entry point, without a complaint about its form."""
    providers = airflow.providers_manager.ProvidersManager().providers
    assert providers["automl-waiter"].data["operators"][0]["python-modules"] == [
        "automl_waiter.integrations.airflow.operators"
    ]


def test_retries_follow_what_may_pass() -> None:
    """Of all that a wait can end with, only failed calls are tried again."""
    operator = AutoMLJobOperator(task_id="wait", job="a")
    found = {
        name
        for name, error in vars(errors).items()
        if isinstance(error, type)
        and issubclass(error, errors.AutoMLWaiterError)
        and type(operator.failure_of(error, "")).__name__ != "AirflowFailException"
    }
    assert found == {"ServiceUnavailable", "CredentialsExpired"}


def test_the_dag_of_the_guide_runs(run: Run) -> None:
    """What docs/pipelines.md says to paste is a DAG that starts a job and waits for it."""
    found = re.sub(r"(?m)^churn\(\)$", "made = churn()", pasted("Airflow", "python"))
    names: dict[str, Any] = {"REQUEST": REQUEST}
    exec(compile(found, "guide", "exec"), names)
    [task] = names["made"].tasks
    task.poll = 0.2
    assert run_of(names["made"]).state == "success"
