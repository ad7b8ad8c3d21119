"""Waits in Airflow's own processes, of which some are killed or paused in the middle."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripts import NEVER

from automl_waiter.sandbox.server import Sandbox
from automl_waiter.testing import Timeline

pytestmark = pytest.mark.heavy

WAITS = 100
# Duration of a job: long enough that each is deferred before it ends, also on a slow machine with two cores.
SECONDS = 240
WORKERS = 4

DAG_FILE = """
import json, os
from datetime import datetime
from airflow.sdk import DAG
from automl_waiter.integrations.airflow.sensors import AutoMLJobSensor

with DAG("waits", schedule=None, start_date=datetime(2026, 1, 1), max_active_tasks=1000):
    AutoMLJobSensor.partial(task_id="wait", poll=5).expand(job=json.loads(os.environ["JOBS"]))
"""

STOPPING_DAG_FILE = """
import json, os
from datetime import datetime
from airflow.sdk import DAG
from automl_waiter.integrations.airflow.operators import AutoMLJobOperator

options = {"poll": 2, "stop_on_kill": True}
with DAG("waits", schedule=None, start_date=datetime(2026, 1, 1), max_active_tasks=1000):
    AutoMLJobOperator.partial(task_id="wait", **options).expand(job=json.loads(os.environ["JOBS"]))
    AutoMLJobOperator(task_id="met", job="met", until="ModelTuning", **options)
    AutoMLJobOperator(task_id="here", job="here", deferrable=False, **options)
"""
STOPPING = ["job-0", "job-1", "job-2", "job-3", "job-4", "job-5"]


class Airflow:
    """Airflow's processes, on SQLite."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = str(free.getsockname()[1])
        self._home = home
        self.url = url = f"http://127.0.0.1:{self._port}"
        self._environment = {
            **os.environ,
            **environment,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__API__BASE_URL": url,
            "AIRFLOW__API_AUTH__JWT_SECRET": os.urandom(32).hex(),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": str(WORKERS),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__TRIGGERER__CAPACITY": "1000",
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, *words: str) -> None:
        """Runs a command of Airflow's."""
        subprocess.run(self._command(*words), env=self._environment, check=True, capture_output=True)

    def start(self, *words: str, name: str | None = None) -> None:
        """Starts a process of Airflow's; the name is for a second one of its kind."""
        name = name or words[0]
        with (self._home / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                self._command(*words), env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    def start_all(self) -> None:
        """Starts all that a run needs."""
        self.run("db", "migrate")
        self.start("api-server", "--port", self._port, "--workers", "1")
        for name in ("dag-processor", "scheduler", "triggerer"):
            self.start(name)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Sends a signal to a process and what it has started."""
        os.killpg(self._processes[name].pid, number)

    def request(self, method: str, path: str, **body: Any) -> None:
        """Send a request as a person at the user interface would."""
        with urllib.request.urlopen(f"{self.url}/auth/token") as answer:
            token = json.load(answer)["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/v2/{path}", data, headers, method=method)
        urllib.request.urlopen(request).close()

    def logged(self, words: str) -> int:
        """Return how often the words occur in the logs of tasks and triggers."""
        return sum(path.read_text().count(words) for path in (self._home / "logs").rglob("*.log*"))

    def kill(self, name: str) -> None:
        """Kills a process and what it has started, as the kernel does when memory runs out."""
        process = self._processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def kill_all(self) -> None:
        """Leaves nothing behind."""
        for name in list(self._processes):
            with contextlib.suppress(ProcessLookupError):
                self.kill(name)

    def memory(self, name: str) -> float:
        """The resident memory of a process and what it has started, in MiB."""
        group = self._processes[name].pid
        found = 0
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.getpgid(int(entry.name)) == group:
                    # Not what is private to it: pages that a fork shared become so when they are only read.
                    status = (entry / "status").read_text()
                    found += int(status.partition("VmRSS:")[2].split()[0])
        return found / 1024

    def ask(self, query: str) -> list[Any]:
        """What the database holds; [] while it is not there or in use."""
        with contextlib.suppress(sqlite3.Error):
            db = sqlite3.connect(f"file:{self._home}/airflow.db?mode=ro", uri=True, timeout=10)
            with contextlib.closing(db):
                return db.execute(query).fetchall()
        return []

    def states(self) -> dict[str, int]:
        """How many tasks are in each state."""
        return dict(self.ask("SELECT state, count(*) FROM task_instance GROUP BY state"))

    def wait_until(self, holds: Callable[[], bool], seconds: float) -> None:
        """Returns when something holds."""
        until = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < until, self.states()
            time.sleep(1)

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "airflow", *words]


@contextlib.contextmanager
def airflow_of(home: Path, dag_file: str, sandbox: Sandbox, jobs: list[str], **environment: str) -> Iterator[Airflow]:
    """Airflow with a DAG that waits for these jobs, whose run begins."""
    extra = {"region_name": "us-east-1", "endpoint_url": sandbox.url}
    connection = {"conn_type": "aws", "login": "testing", "password": "testing", "extra": extra}
    (home / "dags").mkdir()
    (home / "dags" / "waits.py").write_text(dag_file)
    settings = {"JOBS": json.dumps(jobs), "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection)}
    airflow = Airflow(home, {**settings, **environment})
    try:
        airflow.start_all()
        airflow.wait_until(lambda: bool(airflow.ask("SELECT 1 FROM dag WHERE dag_id = 'waits'")), 120)
        yield airflow
    finally:
        airflow.kill_all()


def test_hundred_waits_survive_kill_of_scheduler_and_triggerer(tmp_path: Path) -> None:
    """Deferred waits hold no worker slot and less than 1 MiB each, and continue after kill -9."""
    timeline = Timeline([(0, "InProgress", "ModelTuning"), (SECONDS, "Completed", "Completed")])
    jobs = [f"job-{number}" for number in range(WAITS)]
    with Sandbox(scenarios={"completed": timeline}) as sandbox:
        for job in jobs:
            sandbox.create_job(job, scenario="completed")
        with airflow_of(tmp_path, DAG_FILE, sandbox, jobs) as world:
            before = world.memory("triggerer")
            world.run("dags", "unpause", "waits")
            world.run("dags", "trigger", "waits")
            world.wait_until(lambda: world.states() == {"deferred": WAITS}, SECONDS)
            time.sleep(20)  # each has polled several times
            # No task is queued, scheduled or running: that is what takes a slot.
            assert world.states() == {"deferred": WAITS}
            each = (world.memory("triggerer") - before) / WAITS
            print(f"{each:.2f} MiB a wait, what all share included")
            assert each < 1
            for name in ("triggerer", "scheduler"):
                world.kill(name)
            time.sleep(2)
            assert world.states() == {"deferred": WAITS}
            for name in ("scheduler", "triggerer"):
                world.start(name)
            world.wait_until(lambda: world.states() == {"success": WAITS}, 2 * SECONDS)
            assert world.ask("SELECT max(try_number) FROM task_instance") == [(1,)]


def test_paused_triggerer_stops_no_job(tmp_path: Path) -> None:
    """Another triggerer takes over, then the first one wakes: no job is stopped until a person ends a task."""
    timeline = Timeline([(0, "InProgress", "AnalyzingData"), (NEVER, "InProgress", "ModelTuning")])
    jobs = [*STOPPING, "met", "here"]
    soon = {"AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "12", "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "3"}
    with Sandbox(scenarios={"completed": timeline}) as sandbox:
        for job in jobs:
            sandbox.create_job(job, scenario="completed")
        client = sandbox.client()

        def stopped() -> set[str]:
            states = {job: client.describe_auto_ml_job_v2(AutoMLJobName=job)["AutoMLJobStatus"] for job in jobs}
            return {job for job, state in states.items() if state != "InProgress"}

        with airflow_of(tmp_path, STOPPING_DAG_FILE, sandbox, STOPPING, **soon) as world:
            world.run("dags", "unpause", "waits")
            world.run("dags", "trigger", "waits")
            deferred = len(STOPPING) + 1
            world.wait_until(lambda: world.states() == {"deferred": deferred, "running": 1}, 240)
            owners = "SELECT triggerer_id, count(*) FROM trigger WHERE triggerer_id IS NOT NULL GROUP BY triggerer_id"
            world.wait_until(lambda: [number for _, number in world.ask(owners)] == [deferred], 60)
            [(first, _)] = world.ask(owners)
            world.start("triggerer", "--skip-serve-logs", name="second")
            world.wait_until(lambda: len(world.ask("SELECT 1 FROM job WHERE job_type = 'TriggererJob'")) == 2, 60)
            world.signal("triggerer", signal.SIGSTOP)
            world.wait_until(lambda: world.ask(owners) and world.ask(owners)[0][0] != first, 120)
            # The wait of one task ends meanwhile, and its job keeps running.
            sandbox.advance("met")
            met = "SELECT state FROM task_instance WHERE task_id = 'met'"
            world.wait_until(lambda: world.ask(met) == [("success",)], 120)
            world.signal("triggerer", signal.SIGCONT)
            # "met" is killed too, unless the first triggerer saw its end before it was asked to cancel.
            world.wait_until(lambda: world.logged("nobody ended its task") >= len(STOPPING), 60)
            time.sleep(2)
            assert world.logged("nobody ended its task") == world.logged("invoking on_kill")
            assert stopped() == set()
            assert world.states() == {"deferred": len(STOPPING), "running": 1, "success": 1}
            # A person acts: each job is stopped whose task was ended, wherever it waits.
            [(run,)] = world.ask("SELECT run_id FROM dag_run")
            task = f"dags/waits/dagRuns/{run}/taskInstances"
            world.request("PATCH", f"{task}/wait/0", new_state="failed")
            world.request("PATCH", f"{task}/wait/1", new_state="success")
            clear = {"dag_run_id": run, "task_ids": [["wait", 2]], "only_failed": False, "dry_run": False}
            world.request("POST", "dags/waits/clearTaskInstances", **clear)
            world.request("PATCH", f"{task}/here", new_state="failed")
            acted = {"job-0", "job-1", "job-2", "here"}
            world.wait_until(lambda: stopped() >= acted, 60)
            time.sleep(5)
            assert stopped() == acted
