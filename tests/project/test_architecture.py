"""The structure of the code: how much of it one wait runs, what it loads, and the page that describes it."""

import inspect
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, get_type_hints

import pytest
from repository import ROOT

import automl_waiter
from automl_waiter import Snapshot, Transition, wait_for
from automl_waiter._engine.job_wait import JobWait
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.options import WaitOptions
from automl_waiter._wiring import Target, wait_kernel
from automl_waiter.testing import ManualClock, ScriptedJobs, Timeline
from automl_waiter.waiter import events_of

PACKAGE = ROOT / "automl_waiter"
PAGE = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
COROUTINES = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR | inspect.CO_ITERABLE_COROUTINE


class TwoPolls:
    """A client to a job that has completed at the second poll."""

    class meta:
        region_name = "us-east-1"

    def __init__(self) -> None:
        now = datetime.now(UTC)
        timeline = Timeline([(0, "InProgress", "ModelTuning"), (1, "Completed", "Completed")])
        self.responses = [timeline.response(second, name="x", created=now, arn="arn") for second in (0, 1)]

    def describe_auto_ml_job_v2(self, AutoMLJobName: str) -> dict[str, Any]:
        return self.responses.pop(0)


class Trace:
    """Records which functions of the package run, and how many coroutines and generators are nested at most."""

    def __init__(self) -> None:
        self.codes: set[CodeType] = set()
        self.depth = 0

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call" or not is_ours(frame.f_code):
            return
        self.codes.add(frame.f_code)
        depth, outer = 0, frame
        while outer is not None:
            depth += is_ours(outer.f_code) and bool(outer.f_code.co_flags & COROUTINES)
            outer = outer.f_back  # type: ignore[assignment]
        self.depth = max(self.depth, depth)


def is_ours(code: CodeType) -> bool:
    return code.co_filename.startswith(str(PACKAGE)) and code.co_name != "<module>"


@pytest.fixture(scope="module")
def trace() -> Trace:
    """One wait with two polls."""
    trace, client = Trace(), TwoPolls()
    threading.setprofile(trace)
    sys.setprofile(trace)
    try:
        wait_for("x", client=client, poll=0.1)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert client.responses == []
    return trace


def test_a_wait_runs_functions_in_few_files(trace: Trace) -> None:
    """One wait runs functions of at most 29 files, so a reader has no more files to open."""
    files = sorted({str(Path(code.co_filename).relative_to(PACKAGE)) for code in trace.codes})
    assert len(files) <= 29, files


def test_a_wait_nests_few_coroutines(trace: Trace) -> None:
    """At most six coroutines and generators are nested between the shell's loop and the kernel."""
    assert trace.depth <= 6


def test_importing_the_library_loads_no_heavy_library() -> None:
    """`import automl_waiter` loads boto3, tenacity, structlog, click and rich only when they are needed."""
    code = "import sys, automl_waiter; print([m for m in ('boto3','botocore','tenacity','structlog','click','rich') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_a_wait_whose_calls_succeed_loads_no_tenacity() -> None:
    """The first failed attempt loads tenacity."""
    code = (
        "import sys; from automl_waiter.testing import Timeline, simulate; "
        "simulate(Timeline([(0, 'Completed', 'Completed')])); print('tenacity' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


@pytest.mark.parametrize(
    "name", [name for name in automl_waiter.__all__ if isinstance(getattr(automl_waiter, name), type)]
)
def test_public_classes_are_named_as_they_are_imported(name: str) -> None:
    """Tracebacks, pickles and the documentation show automl_waiter.JobFailed, whatever module defines the class."""
    public = getattr(automl_waiter, name)
    assert public.__module__ == "automl_waiter"
    assert get_type_hints(public) is not None, "the types of its members are found where it is defined"


def test_architecture_page_names_only_paths_that_exist() -> None:
    """Every path on the page exists in the package or in the repository."""
    words = [word for code in re.findall(r"`([^`\n]+)`", PAGE) for word in code.split()]
    paths = {word for word in words if "/" in word or word.endswith((".py", ".md", ".toml"))}
    paths |= set(re.findall(r"[\w/.-]+\.py\b", PAGE))
    assert [path for path in sorted(paths) if not ((PACKAGE / path).exists() or (ROOT / path).exists())] == []


def test_architecture_page_names_every_folder_of_the_package() -> None:
    """The page names each folder of the package in backticks, with a trailing slash."""
    folders = {f"{init.parent.relative_to(PACKAGE)}/" for init in PACKAGE.rglob("__init__.py")} - {"./"}
    assert [folder for folder in sorted(folders) if f"`{folder}`" not in PAGE] == []


def test_coroutine_on_the_architecture_page_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shortened coroutine on the page follows a job to its end on the real kernel."""
    (source,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {"Snapshot": Snapshot}
    exec(source, names)
    monkeypatch.setattr(JobWait, "run", names["run"])
    clock = ManualClock()
    jobs = ScriptedJobs(clock)
    jobs.add("churn", Timeline([(0, "InProgress", "ModelTuning"), (600, "Completed", "Completed")]))
    events = events_of(wait_kernel([Target(job_ref("churn"), jobs)], WaitOptions(), clock), clock)
    assert [str(event.after) for event in events if isinstance(event, Transition)] == [
        "InProgress/ModelTuning",
        "Completed/Completed",
    ]
