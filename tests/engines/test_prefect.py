"""The wait in Prefect, in flows on its own server against the sandbox."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from environments import endpoint_environment
from guide import REQUEST, pasted
from programs import terminated_in_wait

from automl_waiter import AutoMLWaiterError, Event, JobDegraded, JobFailed, JobNotFound, ServiceUnavailable, WaitTimeout
from automl_waiter.sandbox.server import Sandbox

NewJob = Callable[[str], str]
POLL = 0.2


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A server of Prefect's for these tests, with a home of its own; nothing leaves the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        patch.setenv("DO_NOT_TRACK", "1")
        from prefect.testing.utilities import prefect_test_harness

        with prefect_test_harness(server_startup_timeout=60):
            yield


@pytest.fixture
def waiting() -> Any:
    """The task, without a delay between retries."""
    from automl_waiter.integrations.prefect import wait_for_automl_job

    return wait_for_automl_job.with_options(retry_delay_seconds=0)


@pytest.fixture
def waiting_async() -> Any:
    """The asyncio task, without a delay between retries."""
    from automl_waiter.integrations.prefect import wait_for_automl_job_async

    return wait_for_automl_job_async.with_options(retry_delay_seconds=0)


class Flaky:
    """A client that cannot connect until the given number of waits has failed."""

    def __init__(self, good: Any, bad_waits: int) -> None:
        self.meta = good.meta
        self.good, self.bad_waits, self.given_up = good, bad_waits, 0

    def on_event(self, event: Event) -> None:
        self.given_up += event.event == "outcome"

    def describe_auto_ml_job_v2(self, **request: str) -> Any:
        if self.given_up < self.bad_waits:
            raise ConnectionResetError("nobody is there")
        return self.good.describe_auto_ml_job_v2(**request)


def flow_of(task: Any, name: str, **options: Any) -> Any:
    """Return the result of a flow whose only task waits for the job."""
    from prefect import flow

    @flow
    def training() -> Any:
        return task(name, **{"poll": POLL, **options})

    return training()


def artifact_of(name: str) -> Any:
    from prefect.artifacts import Artifact

    return Artifact.get(f"automl-job-{name.lower()}")


def test_task_returns_the_outcome(endpoint: Sandbox, waiting: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The task returns a plain dict, logs transitions in its run, and creates a Markdown artifact of the outcome."""
    name = f"Churn-{os.urandom(6).hex()}"
    endpoint.create_job(name, scenario="completed")
    with caplog.at_level(logging.INFO):
        outcome = flow_of(waiting, name, client=endpoint.client())
    assert json.loads(json.dumps(outcome)) == outcome
    assert (outcome["job_name"], outcome["verdict"], outcome["exit_code"]) == (name, "completed", 0)
    assert not {"describe", "transitions"} & set(outcome)
    logged = [record.getMessage() for record in caplog.records if record.name == "prefect.task_runs"]
    assert any(f"{name}: transition InProgress/ModelTuning" in line for line in logged)
    assert f"{name}: completed" in logged
    artifact = artifact_of(name)
    assert artifact.type == "markdown"
    assert artifact.data.startswith(f"## ✅ {name}: completed\n")
    assert outcome["best_candidate"]["name"] in artifact.data
    assert artifact.description == f"{name}: completed"


def test_asyncio_task_returns_the_outcome(endpoint: Sandbox, new_job: NewJob, waiting_async: Any) -> None:
    """Two waits of an asynchronous flow run concurrently; the failed one raises, and both have artifacts."""
    from prefect import flow

    names = [new_job("completed"), new_job("failed")]

    @flow
    async def training() -> list[Any]:
        waits = [waiting_async(name, client=endpoint.client(), poll=POLL) for name in names]
        return await asyncio.gather(*waits, return_exceptions=True)

    good, bad = asyncio.run(training())
    assert good["verdict"] == "completed"
    assert isinstance(bad, JobFailed)
    assert [artifact_of(name).data.partition("\n")[0].split()[1] for name in names] == ["✅", "❌"]


def test_an_asynchronous_flow_may_call_the_plain_task(endpoint: Sandbox, new_job: NewJob, waiting: Any) -> None:
    """The task blocks its caller and creates its artifact."""
    from prefect import flow

    name = new_job("completed")

    @flow
    async def training() -> Any:
        return waiting(name, client=endpoint.client(), poll=POLL)

    assert asyncio.run(training())["verdict"] == "completed"
    assert artifact_of(name).data.startswith("## ✅")


def test_mapped_tasks_wait_concurrently(endpoint: Sandbox, new_job: NewJob, waiting: Any) -> None:
    """Each mapped task returns its own job's outcome."""
    from prefect import flow, unmapped

    names = [new_job("completed") for _ in range(3)]

    @flow
    def training() -> Any:
        return waiting.map(names, client=unmapped(endpoint.client()), poll=POLL).result()

    assert [outcome["job_name"] for outcome in training()] == names


def test_mapped_tasks_share_a_client(
    endpoint: Sandbox, new_job: NewJob, waiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client takes some 20 MB: fifty of them were 1.3 GB."""
    from prefect import flow

    for variable, value in endpoint_environment(endpoint.url, AWS_DEFAULT_REGION="us-east-1").items():
        monkeypatch.setenv(variable, value)
    names = [new_job("completed") for _ in range(3)]
    made: list[str] = []
    make = boto3.Session.client
    monkeypatch.setattr(boto3.Session, "client", lambda *args, **kwargs: made.append(args[1]) or make(*args, **kwargs))

    @flow
    def training() -> Any:
        return waiting.map(names, poll=POLL).result()

    assert len(training()) == len(names)
    assert made == ["sagemaker"]


@pytest.mark.parametrize(
    ("script", "options", "error"),
    [
        ("failed", {}, JobFailed),
        ("explainability-error", {"require": "all"}, JobDegraded),
        ("endless", {"timeout": 0.5}, WaitTimeout),
        (None, {"timeout": 0}, JobNotFound),
    ],
)
@pytest.mark.parametrize("form", ["waiting", "waiting_async"])
def test_unsuccessful_job_is_not_retried(
    script: str | None,
    options: dict[str, Any],
    error: type[AutoMLWaiterError],
    form: str,
    endpoint: Sandbox,
    new_job: NewJob,
    request: pytest.FixtureRequest,
) -> None:
    """The task fails at its first try, with the library's error and the outcome, and the artifact says why."""
    from prefect import flow

    name = new_job(script) if script else f"no-{os.urandom(6).hex()}"
    task, tries = request.getfixturevalue(form), []
    arguments = {"client": endpoint.client(), "poll": POLL, "on_event": tries.append, **options}

    @flow
    async def training() -> Any:
        return await task(name, **arguments)

    with pytest.raises(error) as raised:
        asyncio.run(training()) if form == "waiting_async" else flow_of(task, name, **arguments)
    assert raised.value.outcome is not None
    assert [event.event for event in tries].count("outcome") == 1
    assert artifact_of(name).description == raised.value.outcome.summary.replace("\x1b", " ")


@pytest.mark.parametrize("form", ["waiting", "waiting_async"])
def test_a_failed_call_is_retried(
    form: str, endpoint: Sandbox, new_job: NewJob, request: pytest.FixtureRequest
) -> None:
    """If AWS cannot be reached the task is retried, and then returns the job's end."""
    from prefect import flow

    client, task = Flaky(endpoint.client(), bad_waits=2), request.getfixturevalue(form)
    name = new_job("completed")
    arguments = {"client": client, "poll": POLL, "error_budget": 0.1, "on_event": client.on_event}

    @flow
    async def training() -> Any:
        return await task(name, **arguments)

    outcome = asyncio.run(training()) if form == "waiting_async" else flow_of(task, name, **arguments)
    assert outcome["verdict"] == "completed"
    assert client.given_up == 3


def test_persistent_call_failures_fail_the_task(endpoint: Sandbox, new_job: NewJob, waiting: Any) -> None:
    """After its last retry the task fails with the error of the calls; the user sets the number of retries."""
    client = Flaky(endpoint.client(), bad_waits=9)
    once = waiting.with_options(retries=1)
    with pytest.raises(ServiceUnavailable, match="nobody is there"):
        flow_of(once, new_job("completed"), client=client, error_budget=0.1, on_event=client.on_event)
    assert client.given_up == 2


def test_repeated_task_polls_again(endpoint: Sandbox, new_job: NewJob, waiting: Any) -> None:
    """Although results are persisted, the same wait in the same flow polls the job again."""
    from prefect import flow

    name, client = new_job("endless"), endpoint.client()
    kept = waiting.with_options(persist_result=True)

    @flow(persist_result=True)
    def training() -> list[Any]:
        # The first poll meets the condition; then the job is stopped.
        first = kept(name, poll=POLL, until="ModelTuning")
        client.stop_auto_ml_job(AutoMLJobName=name)
        return [first, kept(name, poll=POLL, until="ModelTuning", return_state=True)]

    with pytest.MonkeyPatch.context() as patch:
        for variable, value in endpoint_environment(endpoint.url).items():
            patch.setenv(variable, value)
        first, second = training()
    assert first["verdict"] == "condition_met"
    assert second.is_failed()


def test_failed_artifact_does_not_lose_the_outcome(
    endpoint: Sandbox, new_job: NewJob, waiting: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Prefect's server may be unavailable at the end: the outcome is returned, and the log warns."""

    def refuse(**_: str) -> None:
        raise RuntimeError("no server")

    monkeypatch.setattr("automl_waiter.integrations.prefect.create_markdown_artifact", refuse)
    with caplog.at_level(logging.WARNING):
        assert flow_of(waiting, new_job("completed"), client=endpoint.client())["verdict"] == "completed"
    assert "could not create the artifact: RuntimeError: no server" in caplog.messages


def test_has_artifact_false_creates_no_artifact(endpoint: Sandbox, new_job: NewJob, waiting: Any) -> None:
    """With has_artifact=False there is none."""
    name = new_job("completed")
    flow_of(waiting, name, client=endpoint.client(), has_artifact=False)
    assert artifact_of(name) is None


FLOW = """
import sys
from prefect import flow
from automl_waiter.integrations.prefect import wait_for_automl_job

@flow
def training(name):
    wait_for_automl_job(name, poll=60, on_event=lambda event: print(event.event, flush=True))

if __name__ == "__main__":
    training(sys.argv[1])
"""


def test_terminated_flow_ends_at_once(endpoint: Sandbox, new_job: NewJob, tmp_path: Path) -> None:
    """SIGTERM, which cancels a flow run, ends the wait at once and without a retry; the job keeps running."""
    from prefect.settings import PREFECT_API_URL

    name = new_job("endless")
    (tmp_path / "training.py").write_text(FLOW)
    env = endpoint_environment(endpoint.url) | {"PREFECT_API_URL": PREFECT_API_URL.value()}
    code, out, _ = terminated_in_wait(sys.executable, str(tmp_path / "training.py"), name, env=env)
    assert code != 0
    assert "transition" not in out
    status = endpoint.client().describe_auto_ml_job_v2(AutoMLJobName=name)["AutoMLJobStatus"]
    assert status == "InProgress"


def test_the_flow_of_the_guide_runs(endpoint: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code in docs/howto/pipelines.md starts a job and waits for it."""
    for variable, value in endpoint_environment(endpoint.url, AWS_DEFAULT_REGION="us-east-1").items():
        monkeypatch.setenv(variable, value)
    names: dict[str, Any] = {"REQUEST": REQUEST | {"AutoMLJobName": f"guide-{os.urandom(6).hex()}"}}
    exec(compile(pasted("Prefect", "python"), "guide", "exec"), names)
    assert names["churn"]()["value"] > 0


def test_missing_prefect_is_reported_at_import() -> None:
    """One line says how to install Prefect."""
    words = "import sys; sys.modules['prefect'] = None; import automl_waiter.integrations.prefect"
    said = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=False).stderr
    assert said.splitlines()[-1] == "ImportError: Prefect is not installed: pip install prefect"
