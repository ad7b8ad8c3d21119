"""Each snippet on the pages works: it passes its language's checker, and it runs where that takes no AWS account."""

import ast
import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import copy
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
import click
import pytest
import yaml
from environments import clean_environment, endpoint_environment
from event_bus import EventBus
from forking_programs import search_path
from guide import REQUEST
from pages import ALL, PAGES, ROOT, Block, assert_shows, command_lines, prose, sessions
from programs import Command
from programs import run as run_program

from automl_waiter.cli import main
from automl_waiter.cli.app import cli
from automl_waiter.sandbox.scenarios import SCENARIOS
from automl_waiter.sandbox.server import Sandbox
from automl_waiter.testing import ManualClock, simulate

DATA = {"json": json.loads, "yaml": yaml.safe_load, "toml": tomllib.loads}
SHELLS = ("sh", "console")
# Program output, a drawing, and what only builds the site.
NOT_PASTED = ("text", "mermaid", "{toctree}", "{eval-rst}", "{note}", "{warning}", "{tip}")

JOBS = ("churn-2026", "fraud-2026")
"""The jobs that Python on a page may wait for."""
WITH_FAILED_JOBS = ("docs/howto/failure_logs.md",)
GIVEN = ("REQUEST", "request", "client")
"""Names that a page may leave to its reader: the arguments of CreateAutoMLJobV2, and a SageMaker client."""

# What is not checked here in full, and why.
ENGINES = ("airflow", "dagster", "prefect")
"""They are not installed beside the tests. tests/engines runs their snippets."""
NOT_TYPED = ("architecture.md",)
"""It shows a part of a class, shortened."""
TUTORIAL = "docs/tutorial.md"
"""tests/project/test_tutorial.py does all of it in a terminal."""
RUN_ELSEWHERE = ("create_job.py", "notify.py")
"""Files that a page says to save: tests/project/test_tutorial.py runs the first, and a test below the second."""
NOT_RUN = {
    "demo": "plays for 15 seconds",
    "sandbox": "serves until it is interrupted",
    "watch": "follows until it is interrupted, and with --until-idle for twenty seconds",
}
"""Commands whose lines are only parsed."""

ENDS = {0, 10, 11, 12, 15, 75}
"""The exit codes of a command that reports a job's status."""
# A group without a command shows its help; before click 8.2 it exits.
NO_COMMAND = getattr(click.exceptions, "NoArgsIsHelpError", click.exceptions.Exit)


def named(block: object) -> str:
    return str(block)


def test_the_language_of_each_block_has_a_check() -> None:
    """A block without a language, or in one that has no check here, fails."""
    known = {"python", "powershell", *SHELLS, *DATA, *NOT_PASTED}
    assert [f"{block}: {block.language!r}" for block in ALL if block.language not in known] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_fence_belongs_to_a_block(page: Path) -> None:
    """Every fence on a page opens or closes a block."""
    assert "```" not in prose(page)
    assert "~~~" not in prose(page)


@pytest.mark.parametrize("block", [block for block in ALL if block.language in DATA], ids=named)
def test_data_parses(block: Block) -> None:
    """JSON, YAML and TOML can be read."""
    assert DATA[block.language](block.text)


# Python

SESSIONS = sessions()


def nodes(session: list[Block]) -> list[ast.AST]:
    return [node for block in session for node in ast.walk(ast.parse(block.text))]


def is_of_an_engine(session: list[Block]) -> bool:
    """Return whether the session imports an engine."""
    found = nodes(session)
    names = [alias.name for node in found if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in found if isinstance(node, ast.ImportFrom)]
    return not {name.partition(".")[0] for name in names}.isdisjoint(ENGINES)


def is_of_pytest(session: list[Block]) -> bool:
    """Return whether the session is a file of tests."""
    return any(isinstance(node, ast.FunctionDef) and node.name.startswith("test_") for node in nodes(session))


def at_its_lines(session: list[Block]) -> str:
    """Return the session as a file in which each line has its number on the page, so that errors name it."""
    text = ""
    for block in session:
        text += "\n" * (block.line - 1 - text.count("\n")) + block.text
    return text


def given_names(session: list[Block]) -> set[str]:
    """Return the names of `GIVEN` that the session reads and does not define."""
    found = nodes(session)
    names = [node for node in found if isinstance(node, ast.Name)]
    defined = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    defined |= {
        alias.asname or alias.name for node in found if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    return {node.id for node in names}.intersection(GIVEN) - defined


def file_of(block: Block, ending: str) -> str:
    """Return the file name that the page gives the block, or one made of the block's position."""
    return block.file_name or re.sub(r"\W", "_", str(block)) + ending


@pytest.mark.soak
def test_the_python_on_the_pages_is_typed(tmp_path: Path) -> None:
    """mypy --strict accepts it. Without the engine, the functions and decorators of an engine may be untyped."""
    found = [session for session in SESSIONS if not session[0].page.endswith(NOT_TYPED)]
    for session in found:
        text = at_its_lines(session)
        assert text.startswith("\n\n")  # a page begins with a title: room for two lines
        types = "from typing import Any; client: Any; request: dict[str, Any]; REQUEST: dict[str, Any]"
        untyped = "# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls"
        head = f"{types if given_names(session) else ''}\n{untyped if is_of_an_engine(session) else ''}"
        (tmp_path / file_of(session[0], ".py")).write_text(head + text[1:])
    assert len(list(tmp_path.iterdir())) == len(found)
    files = sorted(path.name for path in tmp_path.iterdir())
    options = ["--strict", "--follow-imports=silent", "--config-file", str(ROOT / "pyproject.toml")]
    options += ["--cache-dir", str(ROOT / ".mypy_cache")]
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *files],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture(scope="module")
def bus() -> Iterator[EventBus]:
    with EventBus() as server:
        yield server


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    """Return a sandbox in which a job runs for some minutes."""
    with Sandbox(speed=10) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def ended() -> Iterator[Sandbox]:
    """Return a sandbox in which a job ends as soon as it is created."""
    with Sandbox(speed=1e6) as sandbox:
        yield sandbox


Enter = Callable[[Sandbox], None]


@pytest.fixture
def enter(bus: EventBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Enter]:
    """Point this process at a sandbox without jobs, in a folder with the programs that the pages name."""

    def use(sandbox: Sandbox) -> None:
        sandbox._responses.backends.clear()
        environment = endpoint_environment(sandbox.url, AWS_DEFAULT_REGION="us-east-1")
        environment |= {"AWS_ENDPOINT_URL": sandbox.url, "AWS_ENDPOINT_URL_EVENTBRIDGE": bus.url}
        for name in set(os.environ) - set(environment):
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        for name in ("notify.sh", "deploy.sh"):
            Path(name).write_text("#!/bin/sh\n")
            Path(name).chmod(0o755)

    yield use
    logging.getLogger("automl_waiter").setLevel(logging.NOTSET)  # a page enables it


@pytest.fixture
def virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sandbox's jobs follow the clock of the waits, whose pauses take no real time."""
    clock = ManualClock(epoch=datetime.now(UTC))
    elapsed = property(lambda job: (clock.now() - job.created).total_seconds() * job.speed)
    monkeypatch.setattr("automl_waiter.sandbox.backend.ScriptedJob.elapsed", elapsed)
    monkeypatch.setattr("automl_waiter.waiter.Machine", lambda *_: copy(clock))
    monkeypatch.setattr("automl_waiter.aio.AsyncioMachine", lambda: copy(clock))


RUN_HERE = [
    session
    for session in SESSIONS
    if not is_of_an_engine(session)
    and not is_of_pytest(session)
    and session[0].file_name not in RUN_ELSEWHERE
    and session[0].page != TUTORIAL
]


@pytest.mark.parametrize("session", RUN_HERE, ids=lambda session: named(session[0]))
def test_the_python_on_the_pages_runs(session: list[Block], running: Sandbox, enter: Enter, virtual_time: None) -> None:
    """It runs unchanged while the jobs that it names run in the sandbox."""
    enter(running)
    scenario = "failed" if session[0].page in WITH_FAILED_JOBS else "completed"
    request = {**REQUEST, "AutoMLJobName": "new-2026"}
    names = {"client": running.client(), "request": request, "REQUEST": request}
    for job in JOBS:
        running.create_job(job, scenario=scenario)
    code = compile(at_its_lines(session), session[0].page, "exec")
    exec(code, {name: names[name] for name in given_names(session)})


def test_the_tests_on_the_pages_pass(programs: Path, tmp_path: Path) -> None:
    """pytest passes the tests that a page tells its reader to write."""
    found = [session for session in SESSIONS if is_of_pytest(session)]
    for number, session in enumerate(found):
        (tmp_path / f"test_{number}.py").write_text(at_its_lines(session))
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    result = run_program(words, cwd=tmp_path, env=clean_environment(PATH=search_path(programs)))
    assert result.returncode == 0, result.stdout


def test_the_script_for_slack_posts_the_end(command: Command, new_job: Callable[[str], str], tmp_path: Path) -> None:
    """The script on the notifications page posts one message for a job that it polls before and after its end."""
    [script] = [block for block in ALL if block.file_name == "notify.py"]
    posted: list[object] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

    (tmp_path / "notify.py").write_text(script.text)
    job, notify = new_job("completed"), f"{sys.executable} {tmp_path / 'notify.py'}"
    with HTTPServer(("127.0.0.1", 0), Webhook) as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        webhook = {"SLACK_WEBHOOK_URL": f"http://127.0.0.1:{server.server_port}"}
        ended = command("wait", job, "--exec", notify, "--poll", "0.1s", environment=webhook)
        assert ended.returncode == 0, ended.stderr
        server.shutdown()
    assert posted == [{"text": f"{job}: Completed"}], ended.stderr


def test_testing_page_lists_each_scenario_with_its_exit_code() -> None:
    """docs/howto/testing.md has the exit code of each scenario of the sandbox."""
    page = (ROOT / "docs" / "howto" / "testing.md").read_text()
    listed = {name: int(code) for name, code in re.findall(r"(?m)^\| `([a-z-]+)` \| .* \| (\d+)\b.*\|$", page)}
    assert listed == {name: simulate(timeline).outcome.exit_code for name, timeline in SCENARIOS.items()}


# The shell


def test_the_shell_on_the_pages_is_sound(tmp_path: Path) -> None:
    """shellcheck finds nothing in it."""
    for block in (block for block in ALL if block.language in SHELLS):
        shebang = "" if block.text.startswith("#!") else "#!/usr/bin/env bash\n"
        (tmp_path / file_of(block, ".sh")).write_text(shebang + block.shell)
    scripts = [path.name for path in tmp_path.iterdir()]
    program = Path(sys.executable).with_name("shellcheck")
    # A file that a page sources does not exist here (SC1091), and a page may change the folder (SC2164).
    words = [str(program), "-e", "SC1091,SC2164", "-f", "gcc", *scripts]
    checked = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


def lines_of(block: Block) -> list[list[str]]:
    """Return the command lines of a block; in program output, those after a `$`."""
    if block.language == "powershell":
        return [words for line in block.text.splitlines() for words in command_lines(line.partition("#")[0])]
    if block.language == "text":
        return [words for line in re.findall(r"^ *\$ (.*)$", block.text, re.M) for words in command_lines(line)]
    return list(command_lines(block.shell))


LINES = [
    pytest.param(words, id=f"{block}-{number}")
    for block in ALL
    if block.language in (*SHELLS, "powershell", "text")
    for number, words in enumerate(lines_of(block))
    if words
]


def parsed(words: list[str]) -> dict[str, Any]:
    """Return the parameters of a command line; click raises an error for what it does not know."""
    found: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(click.Command, "invoke", lambda _, context: found.update(context.params))
        cli.main(list(words), prog_name="automl-waiter", standalone_mode=False)
    return found


@pytest.mark.parametrize("words", LINES)
def test_each_command_line_parses(words: list[str]) -> None:
    """Each command, flag and value on the pages exists."""
    parsed(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_command_line_in_a_sentence_parses(page: Path) -> None:
    """Each command and flag in a sentence exists. A sentence may leave out required arguments."""
    for line in re.findall(r"(?<!`)`(automl-waiter [^`]+)`(?!`)", prose(page)):
        for words in command_lines(line):
            with suppress(click.exceptions.MissingParameter, NO_COMMAND):
                parsed(words)


def is_run(words: list[str]) -> bool:
    """Return whether a command line ends by itself and needs no value from the reader."""
    return words[0] not in NOT_RUN and not any("$" in word for word in words)


def run(words: list[str], sandbox: Sandbox) -> int:
    """Run a command line whose jobs are in the sandbox, and return its exit code."""
    given = parsed(words)
    jobs = {*given.get("jobs", ()), given.get("job")} if words[0] in ("wait", "status", "report") else set()
    for job in {"churn-2026", *jobs} - {"-", None}:
        sandbox.create_job(job)
    if words[0] in ("history", "report") and given["journal_path"]:
        main(["wait", "churn-2026", "--journal", given["journal_path"]])
    return main(words)


@pytest.mark.parametrize("words", [line for line in LINES if is_run(line.values[0])])
def test_each_command_line_runs(
    words: list[str], ended: Sandbox, enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ends with an exit code of its jobs, never with bad usage."""
    enter(ended)
    monkeypatch.setattr(sys, "stdin", io.StringIO("churn-2026\n"))
    assert run(words, ended) in ENDS


def test_a_console_block_shows_what_is_printed(
    ended: Sandbox, enter: Enter, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a page shows below a command is in the command's output."""
    for block in (block for block in ALL if block.language == "console" and block.page != TUTORIAL):
        for command, shown in block.dialogue:
            if shown:
                enter(ended)
                [words] = command_lines(command)
                run(words, ended)
                assert_shows(capsys.readouterr().out, shown, block)
