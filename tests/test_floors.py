"""The order of floors: imports go down only, and the core is pure."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "automl_waiter"
FLOORS = {
    0: "statuses errors text jsonform jobs budget verdicts documents permissions",
    1: "advice candidates facts phases snapshot tracker events outcome polling conditions actions",
    2: "plan leaderboard listing watching options timeline paging asl",
    3: "gateway connection aws_errors shared_budgets machine retrying loop waits",
    4: "display waiter aio logs subscribers journal",
    5: "testing sandbox cli integrations __main__",
}
FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names.split()}
IMPURE = {"boto3", "botocore", "tenacity", "asyncio", "time", "random", "structlog", "logging", "threading"}
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(tree: ast.AST) -> Iterator[str]:
    """The modules that are imported, in functions too, but for types alone."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                continue
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield from (f"{module}.{alias.name}" for alias in names)
        yield from imports(node)


def rooms_imported(path: Path) -> set[str]:
    ours = [name.split(".") for name in imports(ast.parse(path.read_text())) if name.startswith("automl_waiter.")]
    return {parts[1] for parts in ours if parts[1] in FLOOR_OF} - {room(path)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    """A module imports from lower floors and its own, and each module has a floor."""
    floor = FLOOR_OF[room(path)]
    assert all(FLOOR_OF[name] <= floor for name in rooms_imported(path))


def test_the_readmes_map_names_every_file() -> None:
    """Whoever looks for a subject finds its file in the README's map, and no file that is not there."""
    chart = (ROOT / "README.md").read_text().partition("## The map")[2]
    told = set(re.findall(r"`([a-z_]+\.py|[a-z]+/)`", chart))
    shown = {path.name for path in [*PACKAGE.glob("*.py"), *PACKAGE.glob("cli/*.py")] if not path.name.startswith("__")}
    assert told == shown | {"cli/", "display/", "documents/", "integrations/", "journal/", "sandbox/"}


def test_no_floor_has_a_cycle() -> None:
    """Modules do not import one another in a circle."""
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        graph.setdefault(room(path), set()).update(rooms_imported(path))
    assert len(list(TopologicalSorter(graph).static_order())) == len(FLOOR_OF)


@pytest.mark.parametrize("path", [path for path in MODULES if FLOOR_OF[room(path)] <= 2], ids=lambda path: path.name)
def test_the_core_is_pure(path: Path) -> None:
    """The core's floors import nothing that sleeps, reads a clock, is random, logs or calls AWS."""
    assert not {name.split(".")[0] for name in imports(ast.parse(path.read_text()))} & IMPURE


def test_importing_the_library_loads_no_heavy_library() -> None:
    """`import automl_waiter` loads boto3, tenacity, structlog, click and rich only when they are needed."""
    code = "import sys, automl_waiter; print([m for m in ('boto3','botocore','tenacity','structlog','click','rich') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_a_wait_whose_calls_succeed_loads_no_tenacity() -> None:
    """Tenacity comes in with the first failed attempt."""
    code = (
        "import sys; from automl_waiter.testing import Timeline, simulate; "
        "simulate(Timeline([(0, 'Completed', 'Completed')])); print('tenacity' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
