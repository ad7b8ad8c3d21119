"""A hundred deferred waits in Airflow's own processes, two of which are killed in the middle."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from automl_waiter.sandbox.server import Sandbox
from automl_waiter.testing import Timeline

pytestmark = pytest.mark.heavy

WAITS = 100
# Of a job: long enough that each is deferred before it ends, also on a slow machine with two cores.
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


class Airflow:
    """Airflow's processes, on SQLite."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = str(free.getsockname()[1])
        self._home = home
        url = f"http://127.0.0.1:{self._port}"
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
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__TRIGGERER__CAPACITY": "1000",
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, *words: str) -> None:
        """Runs a command of Airflow's."""
        subprocess.run(self._command(*words), env=self._environment, check=True, capture_output=True)

    def start(self, *words: str) -> None:
        """Starts a process of Airflow's."""
        with (self._home / f"{words[0]}.log").open("ab") as log:
            self._processes[words[0]] = subprocess.Popen(
                self._command(*words), env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    def start_all(self) -> None:
        """Starts all that a run needs."""
        self.run("db", "migrate")
        self.start("api-server", "--port", self._port, "--workers", "1")
        for name in ("dag-processor", "scheduler", "triggerer"):
            self.start(name)

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


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Airflow]:
    """Airflow with a DAG that waits for as many jobs as there are in the sandbox."""
    timeline = Timeline([(0, "InProgress", "ModelTuning"), (SECONDS, "Completed", "Completed")])
    with Sandbox(scenarios={"completed": timeline}) as sandbox:
        jobs = [f"job-{number}" for number in range(WAITS)]
        for job in jobs:
            sandbox.create_job(job, scenario="completed")
        extra = {"region_name": "us-east-1", "endpoint_url": sandbox.url}
        connection = {"conn_type": "aws", "login": "testing", "password": "testing", "extra": extra}
        (tmp_path / "dags").mkdir()
        (tmp_path / "dags" / "waits.py").write_text(DAG_FILE)
        airflow = Airflow(tmp_path, {"JOBS": json.dumps(jobs), "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection)})
        try:
            airflow.start_all()
            yield airflow
        finally:
            airflow.kill_all()


def test_a_hundred_waits_survive_their_processes(world: Airflow) -> None:
    """Deferred waits hold no worker and less than 1 MiB each, and go on after kill -9 of scheduler and triggerer."""
    world.wait_until(lambda: bool(world.ask("SELECT 1 FROM dag WHERE dag_id = 'waits'")), 120)
    before = world.memory("triggerer")
    world.run("dags", "unpause", "waits")
    world.run("dags", "trigger", "waits")
    world.wait_until(lambda: world.states() == {"deferred": WAITS}, SECONDS)
    time.sleep(20)  # each has looked several times
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
