"""The tasks of the project: `pip install 'nox[uv]'`, then `nox -l` lists them, and `nox -s lint` runs one."""

import os
import platform
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "test"]

# Nothing of the caller's AWS configuration may reach the tests.
for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]

PYTHONS = nox.project.python_versions(nox.project.load_toml())
THIS = ".".join(platform.python_version_tuple()[:2])


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, spelling, types, and which folder imports which."""
    session.install("-e", ".[lint,sandbox,test]")
    session.run("pre-commit", "run", "--all-files", "--show-diff-on-failure")
    session.run("mypy")
    session.run("mypy", "tests/typing_api.py")
    session.run("pyright", "tests/typing_api.py")
    session.run("pytest", "-q", "-m", "soak", "-k", "typed", "tests/project/test_pages.py")


@nox.session
def test(session: nox.Session) -> None:
    """Pass the tests. What follows `--` goes to pytest."""
    session.install("-e", ".[sandbox,test]")
    session.run("pytest", "-n", "6", *session.posargs)


@nox.session(python=PYTHONS)
def quick(session: nox.Session) -> None:
    """Pass the tests in virtual time and play the demo, with warnings as errors; test every branch of the core."""
    session.install("-e", ".[sandbox,test]")
    tests = ("pytest", "-q", "-n", "2", "-W", "error", "tests/virtual_time")
    if session.python != THIS or session.posargs:
        session.run(*tests, *session.posargs)
    else:
        session.env["COVERAGE_FILE"] = f"{session.create_tmp()}/coverage"
        measured = ("--cov=automl_waiter/_model", "--cov=automl_waiter/_engine", "--cov-branch", "--cov-report=")
        # Twice as slow: the large tests do without it.
        session.run(*tests, *measured, "-m", "not soak and not large")
        session.run("coverage", "report", "--fail-under=100")
        session.run(*tests, "-m", "large")
    session.run("python", "-W", "error", "-m", "automl_waiter", "demo", "--quiet", "--output", "none")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the pages, in build/docs."""
    session.install(".[docs]")
    doctrees = f"{session.create_tmp()}/doctrees"
    session.run("sphinx-build", "-q", "-W", "--keep-going", "-n", "-d", doctrees, "docs", "build/docs")


# What a user has already, before this package comes to it.
ENGINES = {
    "airflow": ("apache-airflow", "apache-airflow-providers-amazon[aiobotocore]"),
    "dagster": ("dagster",),
    "prefect": ("prefect", "fastapi<0.150"),
}


@nox.session
@nox.parametrize("engine", [nox.param(engine, id=engine) for engine in ENGINES])
def engines(session: nox.Session, engine: str) -> None:
    """Pass the light tests of an engine. `-- -m heavy` runs those that start its own processes."""

    def versions() -> set[str]:
        listed = session.run("python", "-m", "pip", "list", "--format=freeze", "--exclude=automl-waiter", silent=True)
        return set(str(listed).splitlines())

    # Each in an environment of its own: together they would change each other's versions.
    session.install("pip", *ENGINES[engine])
    before = versions()
    session.install("-e", f".[{engine},sandbox]", "pytest", "pytest-xdist", "hypothesis")
    if changed := before - versions():
        session.error(f"installing automl-waiter[{engine}] has changed {', '.join(sorted(changed))}")
    files = Path("tests/engines").glob(f"test_{engine}*.py")
    session.run("pytest", "-q", "-n", "2", *(session.posargs or ("-m", "not heavy")), *map(str, files))


@nox.session
def windows(session: nox.Session) -> None:
    """Pass the tests in virtual time, and some with processes, without what Windows lacks."""
    session.install("-e", ".[sandbox,test]")
    session.run("pytest", "-q", "-m", "soak", "tests/processes/test_windows.py")


@nox.session(venv_backend="uv")
def wheel(session: nox.Session) -> None:
    """Use the wheel without the extras, and then with the oldest libraries that are promised."""
    folder = Path(session.create_tmp()).resolve()
    session.run("uv", "build", "-q", "--clear", "--wheel", "--out-dir", str(folder))
    [built] = folder.glob("*.whl")
    session.install(str(built))
    with session.chdir(folder):
        session.run("automl-waiter", "--version")
        names = "from automl_waiter import *; import automl_waiter.aio, automl_waiter.testing"
        session.run("python", "-c", names)
        printed = session.run("automl-waiter", "demo", success_codes=[2], silent=True)
        if "pip install moto flask flask-cors" not in str(printed):
            session.error(f"without the extra, the demo prints {printed}")
    # The floors of pyproject.toml; botocore's own is that of boto3.
    floors = ("-r", "pyproject.toml", "--extra", "sandbox", "botocore==1.35.0")
    session.install("--upgrade", "--resolution=lowest-direct", *floors)
    session.run("automl-waiter", "demo", "--quiet", "--output", "none")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Draw the benchmarks' pictures of a few jobs, and import the peer that they measure."""
    session.install("-e", ".[bench]")
    program = """\
from benchmarks import plots
from benchmarks.polling import PEERS, measure
from benchmarks.workloads import QUICK_V2, typical_job
from pathlib import Path
import sagemaker.core.resources, sys

folder = Path(sys.argv[1])
plots.pareto({name: measure(poll, QUICK_V2.jobs(1)) for name, poll in PEERS.items()}, folder / "pareto.svg")
plots.pace(typical_job(), folder / "pace.svg")
"""
    session.run("python", "-c", program, session.create_tmp())
