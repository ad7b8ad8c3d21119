import gc
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from environments import endpoint_environment
from programs import COMMAND, Command, run
from recordings import Recorded
from repository import ROOT
from scripts import NEVER, Seen
from sdk import make_clients_cheap

from automl_waiter.cli import main
from automl_waiter.sandbox.server import Sandbox
from automl_waiter.testing import Timeline

# The same examples in each run, and no deadline for one: machines are busy, and CI must not depend on luck.
hypothesis.settings.register_profile("project", deadline=None, derandomize=True, max_examples=40)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("project")

make_clients_cheap()

# Until the tests are collected: nothing that is loaded is garbage.
gc.disable()

# A job for each exit code, over as soon as somebody has seen it in progress; what is held goes on when a test says so.
SCRIPTS = {
    "completed": Seen([(0, "InProgress", "ModelTuning"), (NEVER, "Completed", "Completed")]),
    "held": Timeline([(0, "InProgress", "ModelTuning"), (NEVER, "Completed", "Completed")]),
    "held-failure": Timeline([(0, "InProgress", "AnalyzingData"), (NEVER, "Failed", "Failed")]),
    "two-phases": Seen([(0, "InProgress", "ModelTuning"), (NEVER, "InProgress", "GeneratingExplainabilityReport")]),
    "failed": Seen([(0, "InProgress", "AnalyzingData"), (NEVER, "Failed", "Failed")], failure_reason="no\x1b[31m data"),
    "stopped": Seen([(0, "Stopping", "Stopping"), (NEVER, "Stopped", "Stopped")]),
    "explainability-error": Seen(
        [(0, "InProgress", "ExplainabilityError"), (NEVER, "Completed", "ExplainabilityError")]
    ),
    "deploy-error": Seen([(0, "InProgress", "DeployingModel"), (NEVER, "Completed", "ModelDeploymentError")]),
    "endless": Timeline([(0, "InProgress", "ModelTuning")]),
}


@pytest.fixture(scope="session")
def endpoint() -> Iterator[Sandbox]:
    """Serve a sandbox over HTTP, 100 times as fast as the clock."""
    with Sandbox(scenarios=SCRIPTS, speed=100) as sandbox:
        yield sandbox


def pytest_configure(config: pytest.Config) -> None:
    # A shell makes its background processes, and so the commands of these tests, ignore the one, and nohup the other.
    for name, usual in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        # Each process begins with other files, so that a file that is not compiled yet is compiled by one of them.
        files = sorted(str(path) for path in ROOT.glob("tests/*/test_*.py") if path.parent.name != "engines")
        number, count = worker_of(config)
        first = len(files) * number // count
        config.args = files[first:] + files[:first]


def worker_of(config: pytest.Config) -> tuple[int, int]:
    """Return the number of this process, and how many there are."""
    worker = getattr(config, "workerinput", {"workerid": "gw0", "workercount": 1})
    return int(worker["workerid"].removeprefix("gw")), worker["workercount"]


def pytest_collection_finish() -> None:
    """Leave what is loaded by now out of the collector's searches: they took a third of the time of all tests."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Search for garbage once, after the last fixture. At its end pytest searches five times more, through everything that is alive."""
    gc.collect()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="write the recordings anew, to be looked at and committed")


@pytest.fixture
def recorded(request: pytest.FixtureRequest) -> Recorded:
    """Return a function that compares a text with the recording of that name; `pytest --record` writes it again."""

    def compare(name: str, text: str) -> None:
        path = ROOT / "tests" / "recordings" / name
        if request.config.getoption("--record"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert text == path.read_text()

    return compare


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let each process begin with some of the long tests. Each is given an equal part of the list, the same for all."""
    items.sort(key=lambda item: item.path)
    long = [item for item in items if item.get_closest_marker("long")]
    rest = [item for item in items if not item.get_closest_marker("long")]
    total, (_, count) = len(items), worker_of(config)
    items.clear()
    for number in range(count):
        first = long[number::count]
        end = max(0, (total - len(items)) // (count - number) - len(first))
        items += first + rest[:end]
        del rest[:end]


@pytest.fixture
def command(endpoint: Sandbox) -> Command:
    """Return a function that runs `automl-waiter` in its own process against the endpoint."""

    def run_command(*arguments: str, environment: dict[str, str] | None = None, **options: Any) -> Any:
        return run([*COMMAND, *arguments], env=endpoint_environment(endpoint.url) | (environment or {}), **options)

    return run_command


@pytest.fixture
def inside(endpoint: Sandbox, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return `command`'s counterpart that runs in this process: it saves a second where no process is needed."""

    def run(*arguments: str, environment: dict[str, str] | None = None) -> Any:
        env = endpoint_environment(endpoint.url) | (environment or {})
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            for name in set(os.environ) - set(env):
                patch.delenv(name)
            for name, value in env.items():
                patch.setenv(name, value)
            code = main(arguments)
        told = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, told.out, told.err)

    return run


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with an `automl-waiter`, `python` and `aws` that start quickly, where the action installs the command."""
    # Not on Windows, which has no such sockets.
    from forking_programs import forking_programs

    folder = tmp_path_factory.mktemp("programs") / "automl-waiter" / "bin"
    with forking_programs(folder):
        yield folder


@pytest.fixture
def new_job(endpoint: Sandbox, request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Return a function that creates a job of a script and returns its new, unique name."""

    def create(script: str) -> str:
        name = f"{script[:12].strip('-')}-{os.urandom(6).hex()}"
        endpoint.create_job(name, scenario=script)
        return name

    return create
