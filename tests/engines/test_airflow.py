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
    """Runs a task in a DAG of its own, and returns its state, its XCom and the number of tries."""

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
    # As the DAG file processor does, which has not parsed this DAG.
    with create_session() as session:
        made = [LazyDeserializedDAG.from_dag(dag)]
        update_dag_parsing_results_in_db("dags-folder", None, made, {}, None, set(), session)
    return dag.test()


def new_name() -> str:
    return f"job-{os.urandom(6).hex()}"


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "on the worker"])
def test_operator_starts_a_job_and_waits_for_it(run: Run, endpoint: Sandbox, deferrable: bool) -> None:
    """The operator starts the job of its templated request, and its XCom has the outcome."""
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
def test_good_enough_stops_the_job(
    run: Run, new_job: Callable[[str], str], endpoint: Sandbox, deferrable: bool
) -> None:
    """The option works in both modes: the job is stopped, and the task succeeds."""
    name = new_job("endless")
    while not endpoint.client().list_candidates_for_auto_ml_job(AutoMLJobName=name)["Candidates"]:
        time.sleep(0.1)  # before the first poll, because the second comes after minutes
    state, result, _ = run(AutoMLJobOperator, job=name, good_enough=0.5, deferrable=deferrable)
    assert (state, result["verdict"], result["status"]) == (TaskInstanceState.SUCCESS, "condition_met", "Stopped")


FAST = {"poke_interval": 0.2}
AGAIN = {"retries": 2, "retry_delay": timedelta(seconds=0)}


@pytest.mark.parametrize("dies", ["before the answer is noted", "after it"])
def test_retry_resumes_the_job_that_the_task_started(
    run: Run, endpoint: Sandbox, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    """After the worker died, the next try waits for the job already started, and starts no other."""
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
def test_job_of_another_run_is_not_reused(run: Run, if_exists: str, state: str, suffix: str) -> None:
    """A second run with the same name does not report the first run's job as its own."""
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
    """A client that starts jobs, and rejects names in use."""

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


def test_lost_create_response_resumes_the_job() -> None:
    """If the SDK retried the call, the rejection of the second one means that the first one started the job."""
    service = Service(a=timedelta(0), old=timedelta(days=1))
    service.repeated = 1
    assert service.start("a", "fail", task_state_store=Store()) == ("arn:a", "resumed")
    with pytest.raises(InvalidRequest, match="this task did not start it"):
        service.start("old", task_state_store=Store())


def test_rejected_name_stays_rejected() -> None:
    """A cleared task whose name belongs to another job is rejected again, however new that job is."""
    service, store = Service(a=timedelta(0)), Store()
    for _ in range(2):
        with pytest.raises(InvalidRequest):
            service.start("a", task_state_store=store)


def test_increment_starts_the_next_job_after_a_failed_one() -> None:
    """A cleared task whose job has failed starts the next one, with a name within the length limit."""
    service, store = Service(), Store()
    name = "a" * 29 + "-bc"
    assert service.start(name, "increment", task_state_store=store)[1] == "started"
    assert service.start(name, "increment", task_state_store=store) == (f"arn:{'a' * 29}-2", "incremented")


def test_without_task_state_a_job_created_during_the_run_is_resumed() -> None:
    """Before Airflow 3.3, a job created since the run began counts as the task's."""
    service = Service(new=timedelta(minutes=1), old=timedelta(hours=1))
    run = SimpleNamespace(start_date=datetime.now(UTC) - timedelta(minutes=5))
    assert service.start("new", dag_run=run) == ("arn:new", "resumed")
    assert service.start("other", dag_run=run) == ("arn:other", "started")
    with pytest.raises(InvalidRequest):
        service.start("old", dag_run=run)


@pytest.mark.parametrize("code", ["ResourceLimitExceeded", "ThrottlingException", "InternalFailure"])
def test_transient_start_failure_is_retried(code: str) -> None:
    """A quota may have room again when another job ends, so Airflow may retry."""
    service = Service()
    service.fault = ClientError({"Error": {"Code": code, "Message": "no"}}, "CreateAutoMLJobV2")
    with pytest.raises(errors.ServiceUnavailable, match=code):
        service.start("a", task_state_store=Store())


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "on the worker"])
@pytest.mark.parametrize("make", [AutoMLJobOperator, AutoMLJobSensor])
def test_create_response_is_a_valid_job(run: Run, endpoint: Sandbox, make: Any, deferrable: bool) -> None:
    """The XCom of a task that created a job is accepted as the job, in both modes."""
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
def test_task_state_follows_the_job(
    run: Run,
    new_job: Callable[[str], str],
    make: Any,
    deferrable: bool,
    script: str,
    options: dict[str, Any],
    state: str,
) -> None:
    """A job that fails, misses a required part or times out fails its task, without a retry."""
    more = FAST if make is AutoMLJobSensor else {}
    found, result, tries = run(make, job=new_job(script), deferrable=deferrable, **options, **more, **AGAIN)
    assert (found, tries) == (state, 1)
    assert (result is not None) == (state == "success")


def test_failed_call_is_retried_by_airflow(
    run: Run, new_job: Callable[[str], str], endpoint: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If AWS cannot be reached, Airflow's retries continue the wait."""
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
def test_outage_is_not_a_soft_failure(run: Run, monkeypatch: pytest.MonkeyPatch, deferrable: bool) -> None:
    """A sensor that cannot reach AWS for its error budget fails and is retried, also with soft_fail."""
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(NOBODY))
    more = {"deferrable": deferrable, "error_budget": 0.3, "timeout": 30, "soft_fail": True, **FAST}
    state, _, tries = run(AutoMLJobSensor, job=new_name(), retries=1, retry_delay=timedelta(seconds=0), **more)
    assert (state, tries) == ("failed", 2)
    assert run(AutoMLJobSensor, job=new_name(), never_fail=True, **{**more, "soft_fail": False})[0] == "skipped"


def test_poke_takes_a_few_seconds_at_most(new_job: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A poke that cannot reach AWS returns, and the error budget continues across pokes."""
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


def test_successful_poke_resets_the_error_budget(new_job: Callable[[str], str], endpoint: Sandbox) -> None:
    """After a poke that reached AWS the whole error budget is available again."""
    store = Store(automl_failing_since="2026-01-01T00:00:00+00:00")
    sensor = AutoMLJobSensor(task_id="wait", job=new_job("endless"), deferrable=False)
    assert not sensor.poke({"task_state_store": store})
    assert not store


def test_poke_waits_for_a_new_job(endpoint: Sandbox) -> None:
    """A job created just after the poke began is found, and its end decides the task."""
    name = new_name()
    later = threading.Timer(1, endpoint.create_job, [name], {"scenario": "failed"})
    later.start()
    sensor = AutoMLJobSensor(task_id="wait", job=name, deferrable=False, poll=0.2)
    with pytest.raises(AirflowFailException, match="JobFailed"):
        sensor.poke({})
    later.join()


def test_changed_connection_gets_a_new_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next wait uses a rotated key, although other waits hold the old client."""
    _, arguments = AutoMLJobTrigger(job="a").serialize()
    parameters = {name: arguments[name] for name in ("aws_conn_id", "region_name", "verify", "botocore_config")}
    held = clients.client_of(parameters)
    assert clients.client_of(parameters) is held
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection("http://127.0.0.1:9"))
    assert clients.client_of(parameters).meta.endpoint_url == "http://127.0.0.1:9"


@pytest.mark.parametrize("code", ["ExpiredTokenException", "UnrecognizedClientException"])
def test_refused_credentials_are_read_again_by_the_next_wait(
    code: str, new_job: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next wait reads the connection again, although other waits hold the old client."""
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
def test_credential_source_that_fails_at_first_is_retried(
    new_job: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    """A source that keeps failing is left to Airflow's retries."""
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


def test_missing_credentials_file_is_waited_for(
    endpoint: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """A connection without credentials gets a client once the file named by the variable is written."""
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


def test_soft_fail_skips_the_task_of_a_failed_job(run: Run, new_job: Callable[[str], str]) -> None:
    """The sensor behaves as Airflow's own sensors do."""
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
def test_invalid_arguments_fail_before_the_wait(run: Run, arguments: dict[str, Any], words: str, capfd: Any) -> None:
    """Invalid arguments fail the task at once on its worker, with one line that names the error."""
    assert run(AutoMLJobOperator, retries=1, **arguments)[::2] == ("failed", 1)
    printed = capfd.readouterr()
    assert words in printed.out + printed.err


def test_trigger_is_restored_from_its_serialized_form(new_job: Callable[[str], str]) -> None:
    """A trigger's class and arguments are JSON, and restore an equal trigger, with its deadline as a time."""
    instants = {"deadline": "2026-01-01T00:00:00+00:00", "execution_deadline": "2026-01-02T00:00:00+00:00"}
    trigger = AutoMLJobTrigger(job="a", **instants, require=("endpoint",), stop_on_kill=True)
    path, arguments = trigger.serialize()
    assert path == "automl_waiter.integrations.airflow.triggers.AutoMLJobTrigger"
    assert AutoMLJobTrigger(**json.loads(json.dumps(arguments))).serialize() == (path, arguments)


def test_restart_does_not_extend_the_wait() -> None:
    """The remaining time counts from the deadline; after it, there is one poll."""
    now = datetime.now(UTC)
    assert time_left((now - timedelta(hours=1)).isoformat()) == 0
    assert time_left((now + timedelta(hours=1)).isoformat()) == pytest.approx(3600, abs=5)
    assert (time_left("auto"), time_left(None)) == ("auto", None)


async def _first(trigger: AutoMLJobTrigger) -> Any:
    async for event in trigger.run():
        return event.payload
    return None


def test_a_trigger_past_its_deadline_polls_once(new_job: Callable[[str], str], endpoint: Sandbox) -> None:
    """A trigger that restarts after its deadline finds a success that happened meanwhile."""
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
def test_trigger_stops_the_job_of_a_task_ended_by_a_person(
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


def test_trigger_cancelled_repeatedly_still_stops_the_job(
    new_job: Callable[[str], str], endpoint: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A triggerer cancels `on_kill` each second, while the responses of Airflow and AWS may take longer."""
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
def test_worker_stops_the_job_of_a_task_ended_by_a_person(
    new_job: Callable[[str], str],
    endpoint: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    state: Any,
    stop_on_kill: bool,
    stops: bool,
) -> None:
    """It does not if the worker shuts down, or was paused until Airflow retried the task."""
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


def test_trigger_records_the_end_of_its_wait(new_job: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The record is for a paused triggerer; if it cannot be written, the event is sent anyway."""
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
    """Waits with the same connection share one client, another region has its own, and the last wait removes it."""
    first = {"aws_conn_id": "aws_default", "region_name": None, "verify": None, "botocore_config": None}
    client = clients.client_of(first)
    assert clients.client_of(dict(first)) is client
    assert clients.client_of({**first, "region_name": "eu-west-1"}) is not client
    clients.forget_client(first)
    assert clients.client_of(first) is not client


def test_sdk_retries_are_disabled() -> None:
    """The waiting client makes one attempt per call, and the caller's botocore_config takes precedence."""
    given = {"aws_conn_id": "aws_default", "region_name": None, "verify": None, "botocore_config": {"read_timeout": 7}}
    config = clients.client_of(given).meta.config
    assert (config.retries["total_max_attempts"], config.read_timeout) == (1, 7)


def test_airflow_finds_the_provider() -> None:
    """Airflow's provider manager finds this package by its entry point, without a complaint about its form."""
    providers = airflow.providers_manager.ProvidersManager().providers
    assert providers["automl-waiter"].data["operators"][0]["python-modules"] == [
        "automl_waiter.integrations.airflow.operators"
    ]


def test_only_failed_calls_are_retried() -> None:
    """Of all errors of a wait, Airflow retries only failed calls and expired credentials."""
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
    """The DAG in docs/howto/pipelines.md starts a job and waits for it."""
    found = re.sub(r"(?m)^churn\(\)$", "made = churn()", pasted("Airflow", "python"))
    names: dict[str, Any] = {"REQUEST": REQUEST}
    exec(compile(found, "guide", "exec"), names)
    [task] = names["made"].tasks
    task.poll = 0.2
    assert run_of(names["made"]).state == "success"
