"""The wait in Dagster, by its own executor against the sandbox."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from dagster import (
    DagsterInstance,
    Output,
    RetryPolicy,
    asset,
    build_sensor_context,
    job,
    materialize,
    op,
)
from environments import endpoint_environment
from guide import REQUEST, pasted
from programs import terminated_in_wait

from automl_waiter import AccessDenied, InvalidRequest, ServiceUnavailable, Transition
from automl_waiter._model.errors import TransientError, TransientKind
from automl_waiter.integrations.dagster import automl_job_op, automl_job_sensor, wait_in
from automl_waiter.sandbox.server import Sandbox
from automl_waiter.testing import ManualClock, ScriptedJobs, Timeline

NewJob = Callable[[str], str]
POLL = 0.2


class Flaky:
    """A client that cannot connect until the given number of waits has failed."""

    def __init__(self, good: Any, bad_waits: int) -> None:
        self.meta = good.meta
        self.good, self.bad_waits, self.tries = good, bad_waits, 0

    def begin(self) -> None:
        self.tries += 1

    def describe_auto_ml_job_v2(self, **request: str) -> Any:
        if self.tries <= self.bad_waits:
            raise ConnectionResetError("nobody is there")
        return self.good.describe_auto_ml_job_v2(**request)


def run(name: str, **options: Any) -> Any:
    """Run a Dagster job whose one op waits for the AutoML job named in its config."""
    waiting = automl_job_op(poll=POLL, **options)

    @job
    def pipeline() -> None:
        waiting()

    config = {"ops": {"wait_for_automl_job": {"inputs": {"job": {"value": name}}}}}
    return pipeline.execute_in_process(config, raise_on_error=False)


def failure_of(result: Any) -> Any:
    [failed] = result.get_step_failure_events()
    data = failed.event_specific_data
    assert data.error_display_string
    return data.user_failure_data


def test_op_returns_the_outcome(endpoint: Sandbox, new_job: NewJob) -> None:
    """The op passes its outcome on as a plain dict, and shows its main members as metadata."""
    name = new_job("completed")
    result = run(name, client=endpoint.client())
    assert result.success
    outcome = result.output_for_node("wait_for_automl_job")
    assert json.loads(json.dumps(outcome)) == outcome
    assert (outcome["job_name"], outcome["verdict"], outcome["exit_code"]) == (name, "completed", 0)
    assert not {"describe", "transitions"} & set(outcome)
    [output] = [event for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
    metadata = {key: known.value for key, known in output.event_specific_data.metadata.items()}
    assert metadata["verdict"] == "completed"
    assert metadata["job_arn"] == outcome["job_arn"]
    assert metadata["best_candidate"] == outcome["best_candidate"]["name"]
    assert metadata["value"] == outcome["best_candidate"]["value"] > 0
    assert metadata["ended_at"] - metadata["created_at"] == pytest.approx(metadata["duration_seconds"], abs=0.1)
    assert f"## ✅ {name}: completed" in metadata["summary"]


def test_an_op_takes_its_job_from_the_op_that_created_it(endpoint: Sandbox, new_job: NewJob) -> None:
    """The create response is an input; observed transitions are in the op's log."""
    client, logged = endpoint.client(), []
    waiting = automl_job_op(client=client, poll=POLL, on_event=logged.append)

    @op
    def create() -> dict[str, str]:
        return {"AutoMLJobArn": client.describe_auto_ml_job_v2(AutoMLJobName=new_job("completed"))["AutoMLJobArn"]}

    @job
    def pipeline() -> None:
        waiting(create())

    with DagsterInstance.ephemeral() as instance:
        result = pipeline.execute_in_process(instance=instance)
        messages = [entry.user_message for entry in instance.all_logs(result.run_id) if not entry.dagster_event]
    assert result.success
    changes = [event for event in logged if isinstance(event, Transition)]
    assert changes
    assert len([message for message in messages if ": transition " in message]) == len(changes)
    assert messages[-1].endswith(": completed")


def test_an_asset_is_materialized_with_the_metadata(endpoint: Sandbox, new_job: NewJob) -> None:
    """An asset that waits in its body has the metadata at its materialization, so its value can be plotted."""

    @asset
    def churn_model(context) -> Output[dict]:
        return wait_in(context, new_job("completed"), client=endpoint.client(), poll=POLL)

    result = materialize([churn_model])
    assert result.output_for_node("churn_model")["verdict"] == "completed"
    [made] = result.asset_materializations_for_node("churn_model")
    assert made.metadata["value"].value > 0


@pytest.mark.parametrize(
    ("script", "options", "verdict"),
    [
        ("failed", {}, "failed"),
        ("stopped", {}, "stopped"),
        ("deploy-error", {"require": "all"}, "degraded"),
        ("completed", {"until": "BestCandidate.FailureReason"}, "condition_not_met"),
        ("endless", {"timeout": 0.5}, "timed_out"),
    ],
)
def test_unsuccessful_job_fails_the_op_without_a_retry(
    script: str, options: dict[str, Any], verdict: str, endpoint: Sandbox, new_job: NewJob
) -> None:
    """A retry policy does not repeat a wait with a final result: the op fails at its first try, with the reason."""
    begun = []
    more = {"client": endpoint.client(), "on_event": begun.append}
    result = run(new_job(script), retry_policy=RetryPolicy(max_retries=3), **more, **options)
    assert not result.success
    failure = failure_of(result)
    assert failure.metadata["verdict"].value == verdict
    assert failure.metadata["summary"].value.startswith("## ")
    assert len([event for event in begun if event.event == "outcome"]) == 1
    assert not [event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]


@pytest.mark.parametrize("name", ["there-is-none", "no name"])
def test_unknown_or_invalid_job_fails_the_op_without_a_retry(name: str, endpoint: Sandbox) -> None:
    """A retry cannot help if the job does not exist or its name is invalid."""
    result = run(name, client=endpoint.client(), retry_policy=RetryPolicy(max_retries=3), timeout=0)
    assert not result.success
    assert name in failure_of(result).description
    assert not [event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]


def test_optional_part_may_be_missing(endpoint: Sandbox, new_job: NewJob) -> None:
    """A missing part that is not required fails nothing, and the result lists it."""
    result = run(new_job("explainability-error"), client=endpoint.client())
    assert result.success
    assert result.output_for_node("wait_for_automl_job")["shortfalls"] == ["explainability"]


def test_a_failed_call_is_retried_by_the_policy(endpoint: Sandbox, new_job: NewJob) -> None:
    """If AWS cannot be reached, a retry policy continues the wait, and the op returns the job's end."""
    client = Flaky(endpoint.client(), bad_waits=1)
    name = new_job("completed")

    @op(retry_policy=RetryPolicy(max_retries=2))
    def waits(context) -> dict:
        client.begin()
        return wait_in(context, name, client=client, poll=POLL, error_budget=0.2).value

    @job
    def pipeline() -> None:
        waits()

    result = pipeline.execute_in_process()
    assert client.tries == 2
    assert result.output_for_node("waits")["verdict"] == "completed"


def test_persistent_call_failures_fail_the_op(new_job: NewJob, endpoint: Sandbox) -> None:
    """The last retry fails with the error of the calls."""
    client = Flaky(endpoint.client(), bad_waits=9)
    result = run(new_job("completed"), client=client, error_budget=0.1, retry_policy=RetryPolicy(max_retries=1))
    assert len([event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]) == 1
    assert "nobody is there" in failure_of(result).description


TERMINATED = """
import sys
from dagster import DagsterInstance, job
from automl_waiter.integrations.dagster import automl_job_op
from automl_waiter.sandbox.server import Sandbox

waiting = automl_job_op(poll=60, on_event=lambda event: print(event.event, flush=True))

@job
def pipeline():
    waiting()

if __name__ == "__main__":
    config = {"ops": {"wait_for_automl_job": {"inputs": {"job": {"value": sys.argv[1]}}}}}
    pipeline.execute_in_process(config)
"""


def test_terminated_run_ends_at_once(endpoint: Sandbox, new_job: NewJob, tmp_path: Path) -> None:
    """SIGTERM, which terminates a run, ends the wait within moments; it is not a Failure, and the job keeps running."""
    name = new_job("endless")
    (tmp_path / "pipeline.py").write_text(TERMINATED)
    env = endpoint_environment(endpoint.url) | {"DAGSTER_HOME": "", "DAGSTER_DISABLE_TELEMETRY": "1"}
    code, _, said = terminated_in_wait(sys.executable, str(tmp_path / "pipeline.py"), name, env=env)
    assert code != 0
    assert "DagsterExecutionInterruptedError" in said
    assert "dagster._core.definitions.events.Failure" not in said
    status = endpoint.client().describe_auto_ml_job_v2(AutoMLJobName=name)["AutoMLJobStatus"]
    assert status == "InProgress"


# The sensor


@op
def evaluate() -> None:
    """Handle a job that has ended."""


@job
def evaluation() -> None:
    evaluate()


class Ticks:
    """A sensor's ticks, each with the cursor of the previous one, as Dagster's daemon makes them."""

    def __init__(self, sensor: Any) -> None:
        self.sensor, self.cursor = sensor, None

    def __call__(self) -> Any:
        with DagsterInstance.ephemeral() as instance, build_sensor_context(instance, cursor=self.cursor) as context:
            result = self.sensor.evaluate_tick(context)
        self.cursor = result.cursor
        return result


class Counting:
    """A client that counts its calls, and may refuse to describe a job."""

    def __init__(self, client: Any, *, denied: str = "") -> None:
        self.meta, self.client, self.calls, self.denied = client.meta, client, [], denied

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            self.calls.append(name)
            if self.denied and self.denied in (name, arguments.get("AutoMLJobName")):
                response = {"Error": {"Code": "AccessDeniedException", "Message": f"{name}: no"}}
                raise ClientError(response, name)  # type: ignore[arg-type]
            return getattr(self.client, name)(**arguments)

        return call


@pytest.fixture
def jobs(endpoint: Sandbox) -> Callable[..., list[str]]:
    """Creates jobs of scripts, all of whose names begin with what no other's does: the first letters are given."""

    def create(prefix: str, *scripts: str) -> list[str]:
        names = [f"{prefix}-{number}" for number in range(len(scripts))]
        for name, script in zip(names, scripts, strict=True):
            endpoint.create_job(name, scenario=script)
        return names

    return create


@pytest.fixture
def prefix() -> str:
    return f"nightly-{os.urandom(6).hex()}"


Jobs = Callable[..., list[str]]


def until_ended(endpoint: Sandbox, *names: str) -> None:
    client = endpoint.client()
    for name in names:
        while client.describe_auto_ml_job_v2(AutoMLJobName=name)["AutoMLJobStatus"] in ("InProgress", "Stopping"):
            time.sleep(0.05)


def test_sensor_requests_one_run_per_ended_job(endpoint: Sandbox, jobs: Jobs, prefix: str) -> None:
    """While jobs are in progress a tick reports their state; each ended job gets one run with its tags."""
    tick = Ticks(automl_job_sensor(evaluation, name_contains=prefix.upper(), client=endpoint.client()))
    good, bad, endless = jobs(prefix, "held", "held-failure", "endless")
    first = tick()
    assert first.run_requests == []
    assert f"{good}: InProgress/ModelTuning" in first.skip_message
    for name in (good, bad):
        endpoint.advance(name)
    requests = {request.tags["automl_waiter/job_name"]: request for request in tick().run_requests}
    assert set(requests) == {good, bad}
    arn = endpoint.client().describe_auto_ml_job_v2(AutoMLJobName=bad)["AutoMLJobArn"]
    assert requests[bad].run_key == f"{arn} Failed"
    tags = {name: value for name, value in requests[bad].tags.items() if name.startswith("automl_waiter/")}
    assert tags == {
        "automl_waiter/job_name": bad,
        "automl_waiter/job_arn": arn,
        "automl_waiter/status": "Failed",
        "automl_waiter/verdict": "failed",
    }
    assert requests[good].tags["automl_waiter/verdict"] == "completed"
    again = tick()
    assert again.run_requests == []
    assert again.skip_message == f"{endless}: InProgress/ModelTuning"


def test_job_created_and_ended_between_two_ticks_gets_its_run(endpoint: Sandbox, jobs: Jobs, prefix: str) -> None:
    """A job never seen in progress gets a run; one that ended before the first tick does not."""
    [old] = jobs(f"{prefix}-old", "failed")
    until_ended(endpoint, old)
    tick = Ticks(automl_job_sensor(evaluation, name_contains=prefix, client=endpoint.client()))
    assert tick().skip_message == "no matching job is in progress"
    [new] = jobs(prefix, "failed")
    until_ended(endpoint, new)
    assert [request.tags["automl_waiter/job_name"] for request in tick().run_requests] == [new]


def test_ended_job_has_a_stable_run_key(endpoint: Sandbox, jobs: Jobs, prefix: str) -> None:
    """After a cursor reset the run key is the same, so Dagster starts no second run."""
    tick = Ticks(automl_job_sensor(evaluation, name_contains=prefix, client=endpoint.client()))
    tick()
    earlier = tick.cursor
    until_ended(endpoint, *jobs(prefix, "failed", "stopped"))
    keys = {request.run_key for request in tick().run_requests}
    assert len(keys) == 2
    assert tick().run_requests == []
    tick.cursor = earlier
    assert {request.run_key for request in tick().run_requests} == keys


def test_tick_makes_few_calls(endpoint: Sandbox, jobs: Jobs, prefix: str) -> None:
    """A tick reads one page, however many jobs are in progress, and describes only ended jobs."""
    client = Counting(endpoint.client())
    tick = Ticks(automl_job_sensor(evaluation, name_contains=prefix, client=client))
    tick()
    *_, good = jobs(prefix, *["endless"] * 5, "completed")
    until_ended(endpoint, good)
    client.calls.clear()
    assert len(tick().run_requests) == 1
    assert client.calls == ["list_auto_ml_jobs", "describe_auto_ml_job_v2"]
    tick()
    assert client.calls[2:] == ["list_auto_ml_jobs"]


def test_a_job_that_may_not_be_described_hides_no_other(endpoint: Sandbox, jobs: Jobs, prefix: str) -> None:
    """It gets its run in a later tick, when permitted; the other jobs get theirs now."""
    client = Counting(endpoint.client(), denied=f"{prefix}-0")
    tick = Ticks(automl_job_sensor(evaluation, name_contains=prefix, client=client))
    tick()
    secret, good = jobs(prefix, "failed", "failed")
    until_ended(endpoint, secret, good)
    assert [request.tags["automl_waiter/job_name"] for request in tick().run_requests] == [good]
    assert "describe_auto_ml_job_v2: no" in tick().skip_message
    client.denied = ""
    assert [request.tags["automl_waiter/job_name"] for request in tick().run_requests] == [secret]


def test_jobs_beyond_the_limit_of_a_tick_wait_for_the_next(
    endpoint: Sandbox, jobs: Jobs, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tick describes a limited number of jobs, in order, and loses none."""
    monkeypatch.setattr("automl_waiter.integrations.dagster.sensors._MOST_DESCRIBED", 2)
    tick = Ticks(automl_job_sensor(evaluation, name_contains=prefix, client=endpoint.client()))
    tick()
    names = jobs(prefix, *["failed"] * 5)
    until_ended(endpoint, *names)
    requested = [[request.tags["automl_waiter/job_name"] for request in tick().run_requests] for _ in range(4)]
    assert [len(some) for some in requested] == [2, 2, 1, 0]
    assert {name for some in requested for name in some} == set(names)


TICK_S = 42
"""The longest tick, in seconds. Dagster drops the cursor of one that takes a minute."""


class Throttled(ScriptedJobs):
    """An account that accepts so many describes a second, in virtual time.

    With `page_s`, each page of the listing is throttled until that many seconds after its first attempt.
    """

    def __init__(self, *, rate: float = 1.0, page_s: float = 0.0) -> None:
        self.clock, self.rate, self.page_s = ManualClock(), rate, page_s
        self._described_at, self._pages = float("-inf"), dict[Any, float]()
        super().__init__(self.clock, max_rate=5.0)

    def add_jobs(self, count: int, *points: tuple[float, str, str]) -> list[str]:
        names = [f"job-{number}" for number in range(count)]
        for name in names:
            self.add(name, Timeline(list(points)))
        return names

    def describe(self, job_name: str) -> Mapping[str, Any]:
        now = self.clock.monotonic()
        if not self.rate or now - self._described_at < 1 / self.rate:
            raise TransientError(TransientKind.THROTTLED, "Rate exceeded", code="ThrottlingException")
        self._described_at = now
        return super().describe(job_name)

    def list_jobs(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        now = self.clock.monotonic()
        if now - self._pages.setdefault(request.get("NextToken"), now) < self.page_s:
            raise TransientError(TransientKind.THROTTLED, "Rate exceeded", code="ThrottlingException")
        return super().list_jobs(request)

    def ticks(self, monkeypatch: pytest.MonkeyPatch) -> Ticks:
        """Return the ticks of a sensor of this account."""
        monkeypatch.setattr("automl_waiter.integrations.dagster.sensors.Machine", lambda: self.clock)
        monkeypatch.setattr("automl_waiter._wiring.Gateways.of", lambda *_: self)
        monkeypatch.setattr("automl_waiter._wiring.Gateways.default", lambda _: self)
        return Ticks(automl_job_sensor(evaluation))


ENDING = [(0, "InProgress", "ModelTuning"), (60, "Failed", "Failed")]


def test_throttled_tick_returns_the_jobs_described_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """If AWS throttles above one call a second, a hundred ended jobs take several ticks, and none is lost."""
    account = Throttled(rate=1)
    tick = account.ticks(monkeypatch)
    names = account.add_jobs(100, *ENDING)
    tick()
    account.clock.advance(60)
    requested: list[list[str]] = []
    while not requested or requested[-1]:
        begun = account.clock.monotonic()
        requested.append([request.tags["automl_waiter/job_name"] for request in tick().run_requests])
        assert account.clock.monotonic() - begun < TICK_S
    assert sorted(name for some in requested for name in some) == sorted(names)
    assert len(requested[0]) > 20


def test_a_tick_that_can_describe_no_job_leaves_them_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Throttled(rate=1)
    tick = account.ticks(monkeypatch)
    names = account.add_jobs(10, *ENDING)
    tick()
    account.clock.advance(60)
    account.rate = 0
    begun = account.clock.monotonic()
    skipped = tick()
    assert account.clock.monotonic() - begun < TICK_S
    assert skipped.run_requests == []
    assert skipped.skip_message.startswith("10 jobs were not described within 40s; the next tick tries again: ")
    assert "Rate exceeded" in skipped.skip_message
    account.rate = 5
    assert sorted(request.tags["automl_waiter/job_name"] for request in tick().run_requests) == sorted(names)


def test_long_listing_ends_within_the_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tick fails, and its cursor is unchanged."""
    account = Throttled(page_s=9.9)
    tick = account.ticks(monkeypatch)
    account.add_jobs(600, *ENDING)
    with pytest.raises(ServiceUnavailable, match="Rate exceeded"):
        tick()
    assert account.clock.monotonic() < TICK_S
    assert tick.cursor is None


def test_denied_listing_fails_the_tick(endpoint: Sandbox) -> None:
    """The tick names the missing action, and its cursor is unchanged."""
    client = Counting(endpoint.client(), denied="list_auto_ml_jobs")
    tick = Ticks(automl_job_sensor(evaluation, client=client))
    with pytest.raises(AccessDenied, match="sagemaker:ListAutoMLJobs"):
        tick()
    assert tick.cursor is None


def test_run_config_is_made_from_the_outcome(endpoint: Sandbox, jobs: Jobs, prefix: str) -> None:
    """`run_config` gets the outcome, and `require` decides the verdict."""
    tick = Ticks(
        automl_job_sensor(
            evaluation,
            name_contains=prefix,
            client=endpoint.client(),
            require="all",
            run_config=lambda outcome: {"ops": {"evaluate": {"config": {"arn": outcome.arn}}}},
        )
    )
    tick()
    until_ended(endpoint, *jobs(prefix, "explainability-error"))
    [request] = tick().run_requests
    assert request.tags["automl_waiter/verdict"] == "degraded"
    assert request.run_config["ops"]["evaluate"]["config"]["arn"] == request.tags["automl_waiter/job_arn"]


@pytest.mark.parametrize("arguments", [{"name_contains": ""}, {"look_back": -1}, {"require": "me"}])
def test_invalid_arguments_are_refused_at_load_time(arguments: dict[str, Any]) -> None:
    """A sensor or an op with an invalid argument is refused before its first tick or run."""
    with pytest.raises(InvalidRequest):
        automl_job_sensor(evaluation, **arguments)
    with pytest.raises(InvalidRequest):
        automl_job_op(timeout=-1)


def test_the_job_of_the_guide_runs(endpoint: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code in docs/howto/pipelines.md starts a job and waits for it."""
    for variable, value in endpoint_environment(endpoint.url, AWS_DEFAULT_REGION="us-east-1").items():
        monkeypatch.setenv(variable, value)
    names: dict[str, Any] = {"REQUEST": REQUEST | {"AutoMLJobName": f"guide-{os.urandom(6).hex()}"}}
    exec(compile(pasted("Dagster", "python"), "guide", "exec"), names)
    outcome = names["churn"].execute_in_process().output_for_node("wait_for_automl_job")
    assert (outcome["job_name"], outcome["verdict"]) == (names["REQUEST"]["AutoMLJobName"], "completed")


def test_missing_dagster_is_reported_at_import() -> None:
    """One line says how to install Dagster."""
    words = "import sys; sys.modules['dagster'] = None; import automl_waiter.integrations.dagster"
    said = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=False).stderr
    assert said.splitlines()[-1] == "ImportError: Dagster is not installed: pip install dagster"
