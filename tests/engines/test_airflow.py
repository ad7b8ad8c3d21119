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
from types import SimpleNamespace
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
from automl_waiter._model.errors import InvalidRequest
from automl_waiter.integrations.airflow import clients, instances, starting
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


FAST = {"poke_interval": 0.2}
AGAIN = {"retries": 2, "retry_delay": timedelta(seconds=0)}


@pytest.mark.parametrize("dies", ["before the answer is noted", "after it"])
def test_a_retry_resumes_the_job_that_its_task_has_started(
    run: Run, endpoint: Sandbox, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    """A task whose worker dies after the job was started waits for that job in its next try, and starts no other."""
    name, tries = new_name(), []
    if dies == "before the answer is noted":
        monkeypatch.setattr(starting._Tries, "succeeded", lambda *_: 1 / 0)

    class Dying(AutoMLJobOperator):
        def begin(self, context: Any) -> None:
            tries.append(self.job)
            if len(tries) == 1:
                raise RuntimeError("the worker dies")
            super().begin(context)

        def _start(self, context: Any) -> str:
            try:
                return super()._start(context)
            except ZeroDivisionError:
                tries.append(None)
                raise

    state, result, _ = run(Dying, request={**REQUEST, "AutoMLJobName": name}, **AGAIN)
    assert (state, result["job_name"], result["origin"], len(tries)) == ("success", name, "resumed", 2)


@pytest.mark.parametrize(
    ("if_exists", "state", "suffix"), [("resume", "failed", ""), ("fail", "failed", ""), ("increment", "success", "-2")]
)
def test_the_job_of_another_run_is_not_this_run_s(run: Run, if_exists: str, state: str, suffix: str) -> None:
    """A second run with the same name does not pass off the first run's job as its own."""
    request = {**REQUEST, "AutoMLJobName": new_name()}
    first = run(AutoMLJobOperator, request=request)[1]
    assert first["origin"] == "started"
    found, result, tries = run(AutoMLJobOperator, request=request, if_exists=if_exists, **AGAIN)
    assert (found, tries) == (state, 1)
    if result is not None:
        assert (result["job_name"], result["origin"]) == (first["job_name"] + suffix, "incremented")


class Store(dict[str, Any]):
    """Airflow's task state."""

    set, delete = dict.__setitem__, dict.__delitem__


class Service:
    """A client that starts jobs, and calls the names of others taken."""

    def __init__(self, **taken: timedelta) -> None:
        self.created = {name.replace("_", "-"): datetime.now(UTC) - age for name, age in taken.items()}
        self.meta = SimpleNamespace(region_name="us-east-1")
        self.fault: Exception | None = None
        self.repeated = 0

    def create_auto_ml_job_v2(self, **request: Any) -> dict[str, str]:
        name = request["AutoMLJobName"]
        if self.fault is not None:
            raise self.fault
        if name in self.created:
            response = {"Error": {"Code": "ResourceInUse"}, "ResponseMetadata": {"RetryAttempts": self.repeated}}
            raise ClientError(response, "CreateAutoMLJobV2")  # type: ignore[arg-type]
        self.created[name] = datetime.now(UTC)
        return {"AutoMLJobArn": f"arn:{name}"}

    def describe(self, name: str) -> Any:
        name = name.removeprefix("arn:")
        return SimpleNamespace(created_at=self.created[name], arn=f"arn:{name}", status="Failed")

    def start(self, name: str, if_exists: Any = "resume", **context: Any) -> Any:
        return tuple(starting.start_job(self, {"AutoMLJobName": name}, if_exists, context, self.describe))


def test_a_call_whose_answer_was_lost_has_started_the_job() -> None:
    """Where the SDK repeated the call, the refusal of the second one means the job that the first has started."""
    service = Service(a=timedelta(0), old=timedelta(days=1))
    service.repeated = 1
    assert service.start("a", "fail", task_state_store=Store()) == ("arn:a", "resumed")
    with pytest.raises(InvalidRequest, match="this task did not start it"):
        service.start("old", task_state_store=Store())


def test_a_refused_name_is_never_taken_for_the_task_s_own_later() -> None:
    """A cleared task whose name another has taken is refused again, however young that job is."""
    service, store = Service(a=timedelta(0)), Store()
    for _ in range(2):
        with pytest.raises(InvalidRequest):
            service.start("a", task_state_store=store)


def test_increment_starts_another_job_after_a_failed_one() -> None:
    """A cleared task with "increment" whose own job has failed starts the next, with a name that is not too long."""
    service, store = Service(), Store()
    name = "a" * 29 + "-bc"
    assert service.start(name, "increment", task_state_store=store)[1] == "started"
    assert service.start(name, "increment", task_state_store=store) == (f"arn:{'a' * 29}-2", "incremented")


def test_before_airflow_3_3_a_job_is_the_task_s_if_its_run_had_begun() -> None:
    """Without task state, a job that was created since the run began counts as the task's."""
    service = Service(new=timedelta(minutes=1), old=timedelta(hours=1))
    run = SimpleNamespace(start_date=datetime.now(UTC) - timedelta(minutes=5))
    assert service.start("new", dag_run=run) == ("arn:new", "resumed")
    assert service.start("other", dag_run=run) == ("arn:other", "started")
    with pytest.raises(InvalidRequest):
        service.start("old", dag_run=run)


@pytest.mark.parametrize("code", ["ResourceLimitExceeded", "ThrottlingException", "InternalFailure"])
def test_a_start_that_may_succeed_later_is_retried(code: str) -> None:
    """A quota has room again when another job ends: Airflow may try again."""
    service = Service()
    service.fault = ClientError({"Error": {"Code": code, "Message": "no"}}, "CreateAutoMLJobV2")
    with pytest.raises(errors.ServiceUnavailable, match=code):
        service.start("a", task_state_store=Store())


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "on the worker"])
@pytest.mark.parametrize("make", [AutoMLJobOperator, AutoMLJobSensor])
def test_a_job_may_be_the_response_that_created_it(run: Run, endpoint: Sandbox, make: Any, deferrable: bool) -> None:
    """The XCom of a task that created a job is a job, in both modes."""
    name = new_name()
    response = {**endpoint.create_job(name, scenario="completed"), "ResponseMetadata": {"RequestId": "1"}}
    state, result, _ = run(make, job=response, deferrable=deferrable, **(FAST if make is AutoMLJobSensor else {}))
    assert (state, result["job_name"]) == ("success", name)


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "on the worker"])
@pytest.mark.parametrize("make", [AutoMLJobOperator, AutoMLJobSensor])
def test_execution_timeout_ends_the_wait_like_timeout(
    run: Run, new_job: Callable[[str], str], endpoint: Sandbox, make: Any, deferrable: bool, capfd: Any
) -> None:
    """In both modes the job is stopped, the task fails, and no retry follows."""
    name = new_job("endless")
    more = {"deferrable": deferrable, "stop_on_kill": True, "execution_timeout": timedelta(seconds=4)}
    state, _, tries = run(make, job=name, **more, **AGAIN, **(FAST if make is AutoMLJobSensor else {}))
    assert (state, tries) == ("failed", 1)
    assert endpoint.client().describe_auto_ml_job_v2(AutoMLJobName=name)["AutoMLJobStatus"] == "Stopped"
    said = capfd.readouterr()
    assert "execution_timeout has passed" in said.out + said.err


def test_a_success_at_the_execution_timeout_counts(new_job: Callable[[str], str], endpoint: Sandbox) -> None:
    """The job is polled once more when execution_timeout has passed."""
    name = new_job("completed")
    endpoint.advance(name)
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    trigger = AutoMLJobTrigger(job=name, deadline="auto", execution_deadline=past, stop_on_kill=True)
    assert asyncio.run(_first(trigger))["error"] is None


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
    more = FAST if make is AutoMLJobSensor else {}
    found, result, tries = run(make, job=new_job(script), deferrable=deferrable, **options, **more, **AGAIN)
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

    state, result, _ = run(Flaky, job=job, error_budget=0.5, deferrable=False, **AGAIN)
    assert (state, result["verdict"], len(tries)) == ("success", "completed", 2)


NOBODY = "http://127.0.0.1:9"


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "on the worker"])
def test_an_outage_is_no_soft_failure(run: Run, monkeypatch: pytest.MonkeyPatch, deferrable: bool) -> None:
    """A sensor that cannot reach AWS for its error budget fails and is tried again, also with soft_fail."""
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(NOBODY))
    more = {"deferrable": deferrable, "error_budget": 0.3, "timeout": 30, "soft_fail": True, **FAST}
    state, _, tries = run(AutoMLJobSensor, job=new_name(), retries=1, retry_delay=timedelta(seconds=0), **more)
    assert (state, tries) == ("failed", 2)
    assert run(AutoMLJobSensor, job=new_name(), never_fail=True, **{**more, "soft_fail": False})[0] == "skipped"


def test_a_poke_takes_some_seconds_at_most(new_job: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A poke that cannot reach AWS leaves the rest to the next one, and the error budget counts from poke to poke."""
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(NOBODY))
    store = Store()
    sensor = AutoMLJobSensor(task_id="wait", job=new_job("endless"), deferrable=False, mode="reschedule", timeout=1)
    begun = time.monotonic()
    assert not sensor.poke({"task_state_store": store})
    assert time.monotonic() - begun < 4
    store.update(dict.fromkeys(store, "2026-01-01T00:00:00+00:00"))
    with pytest.raises(errors.ServiceUnavailable):
        sensor.poke({"task_state_store": store})
    assert not sensor.poke({"task_state_store": store})
    assert store


def test_a_good_poke_ends_an_outage(new_job: Callable[[str], str], endpoint: Sandbox) -> None:
    """After a poke that reached AWS the error budget is whole again."""
    store = Store(automl_failing_since="2026-01-01T00:00:00+00:00")
    sensor = AutoMLJobSensor(task_id="wait", job=new_job("endless"), deferrable=False)
    assert not sensor.poke({"task_state_store": store})
    assert not store


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


@pytest.mark.parametrize("failures", [1, 99])
def test_a_source_of_credentials_that_starts_late_is_waited_for(
    new_job: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    """A trigger outlives a source that fails at first; one that keeps failing is left to Airflow's retries."""
    made, make = [], clients.SageMakerHook.get_client_type

    def late(self: Any, **options: Any) -> Any:
        made.append(options)
        if len(made) <= failures:
            raise ClientError({"Error": {"Code": "ExpiredToken", "Message": "not yet"}}, "AssumeRole")
        return make(self, **options)

    monkeypatch.setattr(clients.SageMakerHook, "get_client_type", late)
    monkeypatch.setattr(clients, "_PAUSE_S", 0.01)
    monkeypatch.setattr(clients.client_from, "__kwdefaults__", {"within": 0.1})
    trigger = AutoMLJobTrigger(job=new_job("completed"), poll=0.2, region_name="us-east-1" if failures == 1 else None)
    clients.forget_client(trigger._connection)
    assert asyncio.run(_first(trigger))["error"] == (None if failures == 1 else "CredentialsExpired")


def test_a_connection_without_credentials_has_a_client_if_they_come(
    endpoint: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """A file of credentials that a variable names and nobody has written yet is waited for."""
    extra = {"region_name": "us-east-1", "endpoint_url": endpoint.url}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps({"conn_type": "aws", "extra": extra}))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    parameters = {"aws_conn_id": "aws_default", "region_name": None, "verify": None, "botocore_config": None}
    with pytest.raises(errors.CredentialsExpired, match="AWS_SHARED_CREDENTIALS_FILE"):
        clients.client_of(parameters, within=0)
    lines = ("[default]", "aws_access_key_id = x", "aws_secret_access_key = x")
    later = threading.Timer(0.5, lambda: (tmp_path / "credentials").write_text("\n".join(lines)))
    later.start()
    assert clients.client_of(parameters).describe_auto_ml_job_v2 is not None
    later.join()


def test_a_sensor_may_skip_what_follows(run: Run, new_job: Callable[[str], str]) -> None:
    """With soft_fail a job that failed skips its task, as with Airflow's own sensors."""
    assert run(AutoMLJobSensor, job=new_job("failed"), soft_fail=True)[0] == "skipped"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"job": "a", "request": REQUEST}, "give either request"),
        ({}, "give either request"),
        ({"request": "{'AutoMLJobName': 'a'}"}, "render_template_as_native_obj"),
        ({"request": {**REQUEST, "AutoMLJobName": "a", "RoleArm": "b"}}, "RoleArm"),
        ({"request": {"AutoMLJobName": "a"}}, "InputDataConfig"),
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
    instants = {"deadline": "2026-01-01T00:00:00+00:00", "execution_deadline": "2026-01-02T00:00:00+00:00"}
    trigger = AutoMLJobTrigger(job="a", **instants, require=("endpoint",), stop_on_kill=True)
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


INSTANCE = SimpleNamespace(dag_id="dag", run_id="run", task_id="wait", map_index=-1)


def was_stopped(endpoint: Sandbox, name: str) -> bool:
    status = endpoint.client().describe_auto_ml_job_v2(AutoMLJobName=name)["AutoMLJobStatus"]
    return status in ("Stopping", "Stopped")


@pytest.mark.parametrize(
    ("state", "ended", "stop_on_kill", "stops"),
    [
        ("failed", None, True, True),
        ("success", None, True, True),
        ("queued", 6, True, True),
        (None, None, True, True),
        ("failed", None, False, False),
        ("deferred", None, True, False),
        ("success", 7, True, False),
        ("running", 7, True, False),
        (ConnectionError("no answer"), None, True, False),
    ],
)
def test_a_trigger_stops_the_job_of_a_task_that_somebody_has_ended(
    new_job: Callable[[str], str],
    endpoint: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    state: Any,
    ended: int | None,
    stop_on_kill: bool,
    stops: bool,
) -> None:
    """It does not if the task is still deferred, its wait has ended by itself (7), or Airflow does not answer."""

    def states(**_: Any) -> Any:
        if isinstance(state, Exception):
            raise state
        return {"run": {"wait": state}}

    monkeypatch.setattr(instances.RuntimeTaskInstance, "get_task_states", states)
    monkeypatch.setattr(instances.XCom, "get_one", lambda **_: ended)
    trigger = AutoMLJobTrigger(job=(name := new_job("endless")), stop_on_kill=stop_on_kill)
    trigger.task_instance, trigger.trigger_id = INSTANCE, 7
    asyncio.run(trigger.on_kill())
    assert was_stopped(endpoint, name) == stops


def test_a_trigger_that_is_cancelled_again_still_stops_the_job(
    new_job: Callable[[str], str], endpoint: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A triggerer cancels `on_kill` each second, and the answers of Airflow and AWS may take longer."""
    answered = threading.Event()

    def states(**_: Any) -> Any:
        answered.wait()
        return {"run": {"wait": "failed"}}

    monkeypatch.setattr(instances.RuntimeTaskInstance, "get_task_states", states)
    monkeypatch.setattr(instances.XCom, "get_one", lambda **_: None)
    trigger = AutoMLJobTrigger(job=(name := new_job("endless")), stop_on_kill=True)
    trigger.task_instance, trigger.trigger_id = INSTANCE, 7

    async def kill() -> None:
        killing = asyncio.create_task(trigger.on_kill())
        await asyncio.sleep(0.1)
        killing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await killing
        answered.set()
        deadline = time.monotonic() + 10
        while not was_stopped(endpoint, name) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)

    asyncio.run(kill())
    assert was_stopped(endpoint, name)


@pytest.mark.parametrize(
    ("state", "stop_on_kill", "stops"),
    [
        ("failed", True, True),
        ("restarting", True, True),
        (None, True, True),
        ("failed", False, False),
        ("running", True, False),
        ("up_for_retry", True, False),
        (ConnectionError("no answer"), True, False),
        (TimeoutError("never answers"), True, False),
    ],
)
def test_a_worker_stops_the_job_of_a_task_that_somebody_has_ended(
    new_job: Callable[[str], str],
    endpoint: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    state: Any,
    stop_on_kill: bool,
    stops: bool,
) -> None:
    """It does not where the worker is shut down, or was paused until Airflow tried the task again."""
    is_asked_for_ever = threading.Event()

    def states(**_: Any) -> Any:
        if isinstance(state, TimeoutError):
            is_asked_for_ever.wait()
        if isinstance(state, Exception):
            raise state
        return {"run": {"wait": state}}

    monkeypatch.setattr(instances.RuntimeTaskInstance, "get_task_states", states)
    monkeypatch.setattr("automl_waiter.integrations.airflow.waiting._ASKING_S", 1.0)
    operator = AutoMLJobOperator(task_id="wait", job=(name := new_job("endless")), stop_on_kill=stop_on_kill)
    operator.begin({"ti": INSTANCE})
    operator.on_kill()
    is_asked_for_ever.set()
    assert was_stopped(endpoint, name) == stops


def test_a_trigger_notes_the_end_of_its_wait(new_job: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The note is for a triggerer that was paused; where it cannot be made, the event comes all the same."""
    noted: dict[str, Any] = {}

    def note(key: str, value: Any, **of: Any) -> None:
        noted.update(of, value=value)
        raise ConnectionError("no answer")

    monkeypatch.setattr(instances.XCom, "set", note)
    trigger = AutoMLJobTrigger(job=new_job("completed"), stop_on_kill=True, poll=0.2)
    trigger.task_instance, trigger.trigger_id = INSTANCE, 7
    assert asyncio.run(_first(trigger))["error"] is None
    assert noted == {**vars(INSTANCE), "value": 7}


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
        and not isinstance(operator.failure_of(error, ""), AirflowFailException)
    }
    assert found == {"ServiceUnavailable", "CredentialsExpired"}


def test_the_dag_of_the_guide_runs(run: Run) -> None:
    """What docs/howto/pipelines.md says to paste is a DAG that starts a job and waits for it."""
    found = re.sub(r"(?m)^churn\(\)$", "made = churn()", pasted("Airflow", "python"))
    names: dict[str, Any] = {"REQUEST": REQUEST}
    exec(compile(found, "guide", "exec"), names)
    [task] = names["made"].tasks
    task.poll = 0.2
    assert run_of(names["made"]).state == "success"
