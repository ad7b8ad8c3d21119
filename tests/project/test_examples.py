"""The examples: each one works, and those that other programs read pass the checkers of these programs."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from configparser import ConfigParser
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from string import Template
from typing import IO, Any

import pytest
import yaml
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner
from environments import endpoint_environment
from forking_programs import search_path
from github import outputs
from programs import launch
from reliability import can_be_first, child_of
from repository import ROOT

from automl_waiter import __version__
from automl_waiter._model.exit_codes import ExitCode
from automl_waiter._model.text import parse_duration
from automl_waiter.sandbox.server import Sandbox

EXAMPLES = ROOT / "examples"
ACTION = yaml.safe_load((EXAMPLES / "github" / "action.yml").read_text())
WORKFLOW = yaml.safe_load((EXAMPLES / "github" / "workflow.yml").read_text())
COMMAND = Path(sys.executable).with_name("automl-waiter")

NewJob = Callable[[str], str]


@pytest.fixture
def new_end(endpoint: Sandbox, new_job: NewJob) -> NewJob:
    """Creates a job of a script, and returns its name when it has ended."""

    def create(script: str) -> str:
        name = new_job(script)
        has_come_to(endpoint, name, "Completed", "Failed")
        return name

    return create


def has_come_to(endpoint: Sandbox, job: str, *statuses: str) -> None:
    client = endpoint.client()
    while client.describe_auto_ml_job_v2(AutoMLJobName=job)["AutoMLJobStatus"] not in statuses:
        time.sleep(0.1)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which pip finds only this project: a wheel that points to the code under test."""
    folder = tmp_path_factory.mktemp("index")
    name = f"automl_waiter-{__version__}"
    paths = [str(ROOT), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    files = {
        "automl_waiter.pth": "\n".join(paths),
        f"{name}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: automl-waiter\nVersion: {__version__}\n",
        f"{name}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{name}.dist-info/entry_points.txt": "[console_scripts]\nautoml-waiter = automl_waiter.cli:main\n",
    }
    files[f"{name}.dist-info/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{name}.dist-info/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": os.devnull}


def write_program(path: Path, *lines: str) -> Path:
    """Write a script of the shell that notes its arguments, and then runs these lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", 'printf "%s\\0" "$@" > "$0.arguments"', *lines, ""]))
    path.chmod(0o755)
    return path


def arguments_of(program: Path) -> list[str]:
    """Return the arguments of the program's last call."""
    return program.with_name(f"{program.name}.arguments").read_text().split("\0")[:-1]


def to_install(arguments: list[str]) -> list[str]:
    """Return what pip installs if it has these arguments: its own parser reads them."""
    from pip._internal.commands import create_command

    _, sources = create_command("install").parse_args(arguments[arguments.index("install") + 1 :])
    return sources


def read_until(stream: IO[str] | None, *words: str) -> list[str]:
    """Reads lines until one has all these words, and returns them."""
    lines = []
    for line in stream or ():
        lines.append(line)
        if all(word in line for word in words):
            return lines
    raise AssertionError("".join(lines))


@contextmanager
def started(
    *words: str, env: Mapping[str, str], stderr: int = subprocess.STDOUT, **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """A process with pipes. Neither it nor what it starts outlives the test, which waits for a minute at most."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": stderr, "stdin": subprocess.DEVNULL}
    with launch(words, env=env, start_new_session=True, **pipes, **options) as process:

        def end() -> None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        alarm = threading.Timer(60, end)
        alarm.start()
        try:
            yield process
        finally:
            alarm.cancel()
            end()


def run(*words: str, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=120, **options)


# Scripts and calls


@pytest.mark.long
def test_the_examples_run(endpoint: Sandbox, programs: Path, tmp_path: Path) -> None:
    """Each example works against the sandbox."""
    env = endpoint_environment(endpoint.url, PATH=search_path(programs))
    python = shutil.which("python3", path=env["PATH"]) or ""
    endpoint.create_job("example-good", scenario="completed")
    endpoint.create_job("example-bad", scenario="failed")
    for job in ("example-good", "example-bad"):
        has_come_to(endpoint, job, "Completed", "Failed")

    def run_example(*arguments: str) -> tuple[int, str]:
        done = run(*arguments, env=env, cwd=tmp_path)
        return done.returncode, done.stdout

    assert run_example(str(EXAMPLES / "pipeline_step.sh"), "example-good") == (
        0,
        "deploy the best candidate of example-good\n",
    )
    assert run_example(str(EXAMPLES / "pipeline_step.sh"), "example-bad") == (10, "example-bad has no model\n")
    code, printed = run_example(python, str(EXAMPLES / "with_callbacks.py"), "example-good")
    assert code == 0
    assert "best: example-good-001, F1 0.91" in printed
    assert run_example(python, str(EXAMPLES / "with_callbacks.py"), "example-bad")[0] == 1
    good_enough = str(EXAMPLES / "good_enough.sh")
    endpoint.create_job("example-tuning", scenario="endless")
    time.sleep(1.5)
    code, printed = run_example(good_enough, "example-tuning", "0.5")
    assert (code, printed[:30]) == (0, "good enough: example-tuning-00")
    assert json.loads((tmp_path / "outcome.json").read_text())["jobs"][0]["status"] == "Stopped"
    assert run_example(good_enough, "example-good", "0.99")[0] == 15
    code, printed = run_example(python, str(EXAMPLES / "many_with_asyncio.py"), "example-good", "example-bad")
    assert code == 1
    assert "example-good: completed" in printed


# GitHub Actions


class Runner:
    """A GitHub Actions runner, as far as the examples need one: it fills in expressions and runs the shell."""

    def __init__(self, folder: Path, env: dict[str, str], **contexts: Any) -> None:
        self.folder = folder
        self.env = env | {"GITHUB_ACTIONS": "true", "CI": "true", "RUNNER_TEMP": str(folder)}
        self.contexts = contexts

    def filled(self, value: Any) -> str:
        """Return the text with every expression replaced by its value, as a runner does."""

        def value_of(expression: re.Match[str]) -> str:
            value: Any = self.contexts
            for name in expression[1].split("."):
                value = value[name]
            return str(value)

        return re.sub(r"\$\{\{ *(\S+) *\}\}", value_of, str(value))

    def begin(self, step: dict[str, Any], cwd: Path, **env: str) -> AbstractContextManager[subprocess.Popen[str]]:
        script = cwd / "step.sh"
        script.write_text(self.filled(step["run"]))
        shell = (
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail"] if step.get("shell") == "bash" else ["bash", "-e"]
        )
        own = {name: self.filled(value) for name, value in step.get("env", {}).items()}
        files = {"GITHUB_OUTPUT": str(cwd / "output"), "GITHUB_STEP_SUMMARY": str(cwd / "summary")}
        return started(*shell, str(script), env=self.env | own | files | env, cwd=cwd)

    def run(self, step: dict[str, Any], cwd: Path, **env: str) -> tuple[int, str]:
        """Return the exit code of a step and its output."""
        with self.begin(step, cwd, **env) as process:
            printed, _ = process.communicate(timeout=120)
        return process.returncode, printed


def inputs(**given: str) -> dict[str, str]:
    """Return the inputs of the action: the given ones, and the defaults of the others."""
    values = {name: spec.get("default") for name, spec in ACTION["inputs"].items()}
    values |= {name.replace("_", "-"): value for name, value in given.items()}
    assert set(values) == set(ACTION["inputs"])
    return {name: value for name, value in values.items() if value is not None}


INSTALL, WAIT = [step for step in ACTION["runs"]["steps"] if "run" in step]


@pytest.fixture
def new_runner(endpoint: Sandbox) -> Callable[[Path], Runner]:
    """Returns a runner with this folder for temporary files."""

    def create(folder: Path) -> Runner:
        steps = {"python": {"outputs": {"python-path": sys.executable}}}
        return Runner(folder, endpoint_environment(endpoint.url), steps=steps, inputs={})

    return create


Action = Callable[..., Runner]
"""Returns a runner of the action with these inputs."""


def with_inputs(runner: Runner) -> Action:
    def given(**values: str) -> Runner:
        runner.contexts["inputs"] = inputs(**{"source": "automl-waiter", **values})
        return runner

    return given


@pytest.fixture
def action(programs: Path, new_runner: Callable[[Path], Runner]) -> Action:
    """The action with a command that starts quickly."""
    return with_inputs(new_runner(programs.parents[1]))


@pytest.fixture
def noted(new_runner: Callable[[Path], Runner], tmp_path: Path) -> Action:
    """The action with a command, and a Python, that only note their arguments; pip fails."""
    runner = new_runner(tmp_path)
    write_program(tmp_path / "automl-waiter" / "bin" / "automl-waiter")
    runner.contexts["steps"] = {
        "python": {"outputs": {"python-path": str(write_program(tmp_path / "python", '[ "$2" != pip ]'))}}
    }
    return with_inputs(runner)


@pytest.mark.parametrize(
    ("schema", "name"), [("github-actions", "github/action.yml"), ("github-workflows", "github/workflow.yml")]
)
def test_action_and_workflow_match_githubs_schemas(schema: str, name: str) -> None:
    """The action and the workflow are valid by GitHub's schemas."""
    checked = CliRunner().invoke(check_jsonschema, ["--builtin-schema", f"vendor.{schema}", str(EXAMPLES / name)])
    assert checked.exit_code == 0, checked.output


def test_shell_scripts_pass_shellcheck(tmp_path: Path) -> None:
    """shellcheck warns of nothing in the scripts and in the steps."""
    steps = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]] + ACTION["runs"]["steps"]
    scripts = [tmp_path / f"{number}.sh" for number, step in enumerate(steps) if "run" in step]
    for script, step in zip(scripts, (step for step in steps if "run" in step), strict=True):
        script.write_text(f"#!/usr/bin/env bash\n{step['run']}")
    checked = run("shellcheck", *map(str, [*EXAMPLES.glob("*.sh"), *scripts]), env=os.environ | {"PATH": search_path()})
    assert checked.returncode == 0, checked.stdout
    assert len(scripts) == 4


def test_action_passes_on_every_output(
    new_runner: Callable[[Path], Runner], index: dict[str, str], new_end: NewJob, tmp_path: Path
) -> None:
    """pip installs the command. After a success the action has each output of its step under the same name, and no
    other."""
    job = new_end("completed")
    runner = with_inputs(new_runner(tmp_path))(job=job)
    code, printed = runner.run(INSTALL, tmp_path, **index)
    assert code == 0, printed
    code, printed = runner.run(WAIT, tmp_path)
    assert code == 0, printed
    found = outputs((tmp_path / "output").read_text())
    runner.contexts["steps"]["wait"] = {"outputs": found}
    assert {name: runner.filled(spec["value"]) for name, spec in ACTION["outputs"].items()} == found
    assert (found["job-name"], found["verdict"], found["best-candidate"]) == (job, "completed", f"{job}-001")
    assert (tmp_path / "summary").read_text().startswith("#")


def test_action_fails_if_the_job_fails(action: Action, new_end: NewJob, tmp_path: Path) -> None:
    """A failed job fails the step with the command's exit code, and the outputs say why."""
    job = new_end("failed")
    code, printed = action(job=job).run(WAIT, tmp_path)
    found = outputs((tmp_path / "output").read_text())
    assert (code, found["exit-code"], found["verdict"]) == (10, "10", "failed"), printed
    assert "data" in found["failure-reason"]
    assert f"::error title={job}::" in printed


def test_inputs_of_the_action_apply(action: Action, new_job: NewJob, new_end: NewJob, tmp_path: Path) -> None:
    """A required part must be present, the timeout ends the wait, and the region may be an input."""
    job = new_end("explainability-error")
    assert action(job=job).run(WAIT, tmp_path)[0] == 0
    assert action(job=job, require="insights\nexplainability").run(WAIT, tmp_path)[0] == 12
    assert action(job=new_job("endless"), timeout="1s").run(WAIT, tmp_path)[0] == 124
    assert action(job=job).run(WAIT, tmp_path, AWS_REGION="")[0] == 2
    assert action(job=job, aws_region="us-east-1").run(WAIT, tmp_path, AWS_REGION="")[0] == 0


HOSTILE = ("$(touch evaluated)", 'x"; touch evaluated; "', "x; touch evaluated", "x\ntouch evaluated")


@pytest.mark.parametrize("name", [name for name in ACTION["inputs"] if name != "source"])
def test_inputs_are_not_evaluated_by_the_shell(noted: Action, tmp_path: Path, name: str) -> None:
    """Any input stays one word of the command, and `require` one for each part: shell syntax in it is not run."""
    for hostile in HOSTILE:
        values = {"job": "churn", name.replace("-", "_"): hostile}
        code, printed = noted(**values).run(WAIT, tmp_path)
        assert code == 0, printed
        required = [f"--require={part}" for part in values.get("require", "").split()]
        region = ["--region", values["aws_region"]] if "aws_region" in values else []
        words = ["wait", "--timeout", values.get("timeout", "auto"), *required, *region, "--", values["job"]]
        assert arguments_of(tmp_path / "automl-waiter" / "bin" / "automl-waiter") == words
        assert not (tmp_path / "evaluated").exists(), hostile


@pytest.mark.parametrize("source", ["automl-waiter==99", "--help", *HOSTILE])
def test_the_action_installs_its_source(noted: Action, tmp_path: Path, source: str) -> None:
    """pip installs the input `source`, whatever is in it; if pip fails, the step fails before the wait."""
    assert noted(job="any", source=source).run(INSTALL, tmp_path)[0] == 1
    assert to_install(arguments_of(tmp_path / "python")) == [source]
    assert not (tmp_path / "evaluated").exists()


def test_a_cancelled_run_ends_the_wait(action: Action, new_job: NewJob, tmp_path: Path) -> None:
    """A runner signals only the step's own process; that process is the wait, which ends at once."""
    with action(job=new_job("endless")).begin(WAIT, tmp_path) as process:
        read_until(process.stdout, "InProgress")
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - begun < 7.5  # after 7.5 s a runner sends SIGTERM
    assert outputs((tmp_path / "output").read_text())["verdict"] == "cancelled"


def test_workflow_runs_from_start_to_end(action: Action, endpoint: Sandbox, programs: Path, tmp_path: Path) -> None:
    """The workflow starts a job and waits for it; a second attempt waits for the same job."""
    steps = {name: each["steps"] for name, each in WORKFLOW["jobs"].items()}
    [create] = [step for step in steps["start"] if "run" in step]
    [use] = [step for step in steps["wait"] if step.get("id")]
    [deploy] = [step for step in steps["wait"] if "run" in step]
    request = {
        "AutoMLJobInputDataConfig": [
            {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://in/a"}}}
        ],
        "AutoMLProblemTypeConfig": {"TabularJobConfig": {"TargetAttributeName": "churned"}},
        "OutputDataConfig": {"S3OutputPath": "s3://out/a"},
        "RoleArn": "arn:aws:iam::123456789012:role/automl",
        "Tags": [{"Key": "automl-waiter:scenario", "Value": "completed"}],
    }
    (tmp_path / "automl-job.json").write_text(json.dumps(request))
    # The region as configure-aws-credentials sets it.
    env = endpoint_environment(endpoint.url, AWS_DEFAULT_REGION="us-east-1", PATH=search_path(programs))
    runner = Runner(tmp_path, env, github={"run_id": os.getpid(), "run_attempt": 1})
    code, printed = runner.run(create, tmp_path)
    assert code == 0, printed

    job = runner.filled(WORKFLOW["jobs"]["start"]["outputs"]["job"])
    assert len(job.replace(str(os.getpid()), "12345678901")) <= 32  # AWS's limit, and a run id of usual length
    has_come_to(endpoint, job, "Completed")
    # The second attempt of the waiting job, with the output of the first attempt of the other job.
    runner.contexts = {
        "github": {"run_attempt": 2},
        "vars": {"AUTOML_WAITER_SOURCE": "automl-waiter"},
        "needs": {WORKFLOW["jobs"]["wait"]["needs"]: {"outputs": {"job": job}}},
    }
    values = {name.replace("-", "_"): runner.filled(value) for name, value in use["with"].items()}
    code, printed = action(**values).run(WAIT, tmp_path)
    assert code == 0, printed

    runner.contexts["steps"] = {use["id"]: {"outputs": outputs((tmp_path / "output").read_text())}}
    assert runner.run(deploy, tmp_path) == (0, f"deploy {job}-001\n")


def test_workflow_has_only_the_permissions_it_needs() -> None:
    """It reads the repository and requests a role, whose credentials outlast the wait."""
    assert WORKFLOW["permissions"] == {"contents": "read", "id-token": "write"}
    steps = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
    used = [step["uses"] for step in [*steps, *ACTION["runs"]["steps"]] if "uses" in step]
    others = [name for name in used if not name.startswith("./")]
    assert all(re.fullmatch(r"(actions|aws-actions)/[a-z-]+@v\d+", name) for name in others)
    [place] = re.findall(r"# Copy it to (\S+)/action.yml", (EXAMPLES / "github" / "action.yml").read_text())
    assert set(used) - set(others) == {f"./{place}"}
    [role] = [step["with"] for step in WORKFLOW["jobs"]["wait"]["steps"] if "credentials" in step.get("uses", "")]
    [wait] = [step["with"] for step in WORKFLOW["jobs"]["wait"]["steps"] if step.get("uses", "").startswith("./")]
    assert set(role) == {"role-to-assume", "aws-region", "role-duration-seconds"}
    assert parse_duration(wait["timeout"]) < role["role-duration-seconds"] <= 6 * 3600


# Any other CI


@pytest.fixture
def bare(endpoint: Sandbox, index: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An environment with Python and without the command, as on a CI system."""
    programs = tmp_path / "programs"
    programs.mkdir()
    python = programs / "python3"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    folders = [folder for folder in os.environ["PATH"].split(os.pathsep) if not Path(folder, "automl-waiter").exists()]
    found = {"PATH": os.pathsep.join([str(programs), *folders]), "AUTOML_WAITER_SOURCE": "automl-waiter"}
    return endpoint_environment(endpoint.url) | index | found


STEP = str(EXAMPLES / "pipeline_step.sh")


@pytest.mark.parametrize("is_real", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["", "real pip"])
def test_step_installs_the_missing_command(
    bare: dict[str, str], programs: Path, new_end: NewJob, tmp_path: Path, is_real: bool
) -> None:
    """If the command is not installed, the step installs it first, and passes on the exit code."""
    job = new_end("failed")
    pip = tmp_path / ".automl-waiter" / "bin" / "pip"
    if not is_real:
        # Making an environment with pip takes seconds: this pip notes its arguments, and installs a command.
        install = shlex.join(
            ["ln", "-s", shutil.which("automl-waiter", path=search_path(programs)) or "", f"{pip.parent}"]
        )
        written = write_program(tmp_path / "pip", install)
        make = shlex.join([sys.executable, "-m", "venv", "--without-pip"])
        write_program(
            tmp_path / "programs" / "python3", f'[ "$1 $2" = "-m venv" ] && {make} "$3" && cp {written} "$3/bin"'
        )
    done = run(STEP, job, env=bare, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (10, f"{job} has no model\n"), done.stderr
    assert json.loads((tmp_path / "outcome.json").read_text())["jobs"][0]["verdict"] == "failed"
    assert is_real or to_install(arguments_of(pip)) == ["automl-waiter"]


def test_the_step_without_a_source_names_the_variable(bare: dict[str, str], tmp_path: Path) -> None:
    """The step exits with 2 before it installs anything."""
    done = run(STEP, "churn", env=bare | {"AUTOML_WAITER_SOURCE": ""}, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "set AUTOML_WAITER_SOURCE" in done.stderr


def test_failed_installation_fails_the_step(bare: dict[str, str], tmp_path: Path) -> None:
    """The step does not wait, and prints nothing about the job."""
    (tmp_path / "programs" / "python3").write_text("#!/bin/sh\nexit 3\n")
    done = run(STEP, "churn", env=bare, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert not (tmp_path / "outcome.json").exists()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_step_ends_its_wait(
    endpoint: Sandbox, new_job: NewJob, programs: Path, tmp_path: Path, signum: signal.Signals
) -> None:
    """A signal to the step's shell alone ends the wait; the outcome is written and the next step is printed."""
    env = endpoint_environment(endpoint.url, PATH=search_path(programs))
    job = new_job("endless")
    with started(STEP, job, env=env, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        read_until(process.stderr, "InProgress")
        process.send_signal(signum)
        process.wait(30)
        outcome = json.loads((tmp_path / "outcome.json").read_text())
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 128 + signum
    assert outcome["jobs"][0]["verdict"] == "cancelled"
    assert (
        stdout
        == f"the wait ended before {job}, which may still be running; stderr has the command that resumes the wait\n"
    )
    assert f"automl-waiter wait {job} --timeout auto --output json" in stderr


# Docker

DOCKERFILE = (EXAMPLES / "Dockerfile").read_text()
INSTRUCTIONS = re.findall(r"^([A-Z]+) (.*)$", DOCKERFILE, re.MULTILINE)


def instructions(word: str) -> list[str]:
    return [rest for name, rest in INSTRUCTIONS if name == word]


def test_image_runs_as_an_unprivileged_user() -> None:
    """The user is not root and has a number, which Kubernetes can check; the base image has one Python."""
    assert re.fullmatch(r"python:3\.\d+-slim", *instructions("FROM"))
    user, _, group = instructions("USER")[-1].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert INSTRUCTIONS.index(("USER", f"{user}:{group}")) > max(
        number for number, (name, _) in enumerate(INSTRUCTIONS) if name == "RUN"
    )
    assert any(f"--owner={user} --group={group} {instructions('WORKDIR')[-1]}" in each for each in instructions("RUN"))


@pytest.mark.parametrize("code", [0, 1])
def test_the_image_installs_its_source(tmp_path: Path, code: int) -> None:
    """The build installs the clone, or its argument SOURCE; if pip fails, the build fails."""
    [install] = re.findall(r"^RUN --mount=type=bind,target=/src \\\n  (pip .*)$", DOCKERFILE, re.MULTILINE)
    assert instructions("ARG") == ["SOURCE=/src"]
    pip = write_program(tmp_path / "pip", f"exit {code}")
    done = run("sh", "-c", install, env={"PATH": search_path(tmp_path), "SOURCE": "a source"})
    assert done.returncode == code, done.stderr
    assert to_install(arguments_of(pip)) == ["a source"]


@pytest.mark.parametrize("is_first", [False, True], ids=["", "first process"])
def test_image_exits_with_143_on_sigterm(endpoint: Sandbox, new_job: NewJob, programs: Path, is_first: bool) -> None:
    """The image runs the command itself, also as the first process of a container."""
    if is_first and not can_be_first():
        pytest.skip("this user may not start a process in a namespace of its own")
    entry = json.loads(instructions("ENTRYPOINT")[-1])
    [example] = re.findall(r"docker run --rm -e AWS_REGION automl-waiter (.*)", DOCKERFILE)
    words = [*entry, *shlex.split(example)[:-1], new_job("endless")]
    before = ["unshare", "--pid", "--fork", "--mount-proc"] if is_first else []
    env = endpoint_environment(endpoint.url, PATH=search_path(*([] if is_first else [programs])))
    with started(*before, *words, env=env) as process:
        read_until(process.stdout, "InProgress")
        begun = time.monotonic()
        os.kill(child_of(process.pid) if is_first else process.pid, signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 143
    assert time.monotonic() - begun < 3


# systemd

UNIT = EXAMPLES / "automl-waiter.service"


def service() -> dict[str, str]:
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    assert parser["Unit"]["After"] == parser["Unit"]["Wants"] == "network-online.target"
    assert parser["Install"]["WantedBy"] == "multi-user.target"
    return dict(parser["Service"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """systemd verifies the unit without a message, and rates its exposure at most 2 of 10."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(shlex.split(service()["ExecStart"])[0], str(COMMAND)))
    checked = run("systemd-analyze", "verify", str(unit))
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    rated = run("systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit))
    assert rated.returncode == 0, rated.stdout.splitlines()[-1]


def test_service_resumes_after_a_restart(endpoint: Sandbox, new_job: NewJob, tmp_path: Path) -> None:
    """The next start reports what happened meanwhile, and nothing twice; a stop exits with a success status of the
    unit."""
    unit = service()
    program, *arguments = shlex.split(unit["ExecStart"])
    assert f"/{unit['StateDirectory']}/bin/automl-waiter" in program
    state = {"STATE_DIRECTORY": str(tmp_path)}
    # Poll more often than every 10 seconds, to keep the test short.
    words = [
        sys.executable,
        "-m",
        "automl_waiter",
        *(Template(word).substitute(state) for word in arguments),
        "--poll",
        "0.5s",
    ]
    env = endpoint_environment(endpoint.url) | state
    job = new_job("held")
    printed: list[str] = []
    for status in ("InProgress", "Completed"):
        with started(*words, env=env) as process:
            printed += read_until(process.stdout, job, status)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
        endpoint.advance(job)
        assert process.returncode == 143
        assert str(process.returncode) in unit["SuccessExitStatus"].split()
    assert len([line for line in printed if job in line]) == 2


@pytest.mark.parametrize(
    ("code", "restarts"),
    [
        (ExitCode.UNAVAILABLE, True),
        (1, True),  # an error that nobody caught
        (-signal.SIGKILL, True),
        (ExitCode.USAGE, False),
        (ExitCode.DENIED, True),  # the machine's role may not be there yet
        (ExitCode.TERMINATED, False),
    ],
)
def test_service_restarts_unless_a_person_must_act(code: int, restarts: bool) -> None:
    """A restart follows an outage, a crash or missing credentials, but not bad usage or a stop."""
    unit = service()
    successes, finals = (set(unit[name].split()) for name in ("SuccessExitStatus", "RestartPreventExitStatus"))
    assert unit["Restart"] == "on-failure"
    assert (str(int(code)) not in {"0", *successes, *finals}) is restarts
    # systemd gives up on five starts within ten seconds.
    assert unit["RestartSec"] == "1min"
