"""The command `sandbox`: its output, its usage errors and its exit."""

import signal
from contextlib import closing
from pathlib import Path

import pytest
from environments import clean_environment
from forking_programs import search_path
from programs import COMMAND, Command, run, start
from terminals import Terminal

from automl_waiter._model.text import format_duration
from automl_waiter.cli.local import NewJob, _instructions
from automl_waiter.sandbox.scenarios import SCENARIOS, SUMMARIES

URL = "http://127.0.0.1:5000"


def pasted(lines: list[str]) -> list[str]:
    """Return what the user pastes into a shell: the lines between the first two empty ones."""
    first = lines.index("")
    return lines[first + 1 : lines.index("", first + 1)]


def test_printed_lines_work_in_a_second_terminal(programs: Path) -> None:
    """A shell without credentials and in another region waits for the job and exits with 0; Ctrl-C ends the sandbox."""
    env = clean_environment()
    words = ["sandbox", "--job", "churn=quick", "--speed", "600"]
    with closing(Terminal(*words, env=env, columns=200, rows=50)) as terminal:
        shown = terminal.until(lambda text: "$env:" in text and text.endswith("wait churn"))
        assert "churn: quick, ends in 0s\n" in shown
        script = "\n".join(pasted(shown.splitlines())) + "\n"
        for name in [name for name in env if name.startswith("AWS_")]:
            del env[name]
        env |= {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "PATH": search_path(programs)}
        done = run(["sh"], typed=script, env=env)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("churn: completed\n")
        shown = terminal.text
        terminal.interrupt()
        assert terminal.end(within=10) == 130
        assert terminal.text == shown


def test_command_serves_the_sandbox_until_a_signal() -> None:
    """It prints only its URL once it accepts requests, refuses a port in use in one line, and stops on SIGTERM."""
    with start("sandbox", "--port", "0", env=clean_environment()) as process:
        assert process.stdout
        assert process.stderr
        url = process.stdout.readline().strip()
        env = clean_environment(AWS_ENDPOINT_URL_SAGEMAKER=url, AWS_REGION="us-east-1")
        assert run([*COMMAND, "status", "a"], env=env).returncode == 14
        taken = run([*COMMAND, "sandbox", "--port", url.rsplit(":")[-1]], env=env)
        assert taken.returncode == 2
        assert "taken" in taken.stderr.splitlines()[-1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 143
        assert (process.stdout.read(), process.stderr.read()) == ("", "")


def instructions(*jobs: NewJob) -> list[str]:
    return list(_instructions(URL, jobs, "completed", 60))


def test_output_names_the_scenario_and_the_duration_of_each_job() -> None:
    """A job without its own scenario gets the sandbox's; at the default speed it takes less than a minute."""
    first, *lines = instructions(NewJob("churn", None), NewJob("fraud", "failed"))
    assert "60 times as fast" in first
    assert lines[:2] == ["  churn: completed, ends in 46s", "  fraud: failed, ends in 3s"]
    assert pasted(lines)[-1].endswith(" wait churn fraud")


def test_output_without_a_job_says_how_to_create_one() -> None:
    """The command to paste waits for the jobs that the user creates."""
    lines = instructions()
    assert "--job NAME" in lines[1]
    assert pasted(lines)[-1].endswith(" watch")


def test_pasted_lines_unset_conflicting_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile and a SageMaker endpoint are unset, and this machine is called without a proxy."""
    for name in ("no_proxy", "NO_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL_SAGEMAKER", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://proxy.example")
    lines = instructions(NewJob("churn", None))
    assert pasted(lines)[0] == "unset AWS_PROFILE AWS_ENDPOINT_URL_SAGEMAKER"
    assert "export NO_PROXY=127.0.0.1" in pasted(lines)
    assert "Remove-Item Env:AWS_PROFILE -ErrorAction SilentlyContinue" in lines
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert "export NO_PROXY=127.0.0.1" not in instructions()


def test_powershell_gets_the_same_lines_in_its_syntax(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sets the same variables and runs the same command, with `&` if its path is quoted."""
    monkeypatch.setattr("automl_waiter.cli.local._program", lambda: ["C:\\Mine'\\automl-waiter.exe"])
    lines = instructions(NewJob("churn", None))
    unset, *after = lines[lines.index("In PowerShell:") + 2 :]
    assert unset == "Remove-Item Env:AWS_PROFILE -ErrorAction SilentlyContinue"
    assert pasted(lines)[0] == "unset AWS_PROFILE"
    exported = [line.removeprefix("export ").partition("=") for line in pasted(lines)[1:-1]]
    assert after[:-1] == [f"$env:{name} = '{value}'" for name, _, value in exported]
    assert after[-1] == "& 'C:\\Mine''\\automl-waiter.exe' wait churn"
    monkeypatch.setattr("automl_waiter.cli.local._program", lambda: ["automl-waiter"])
    assert instructions(NewJob("churn", None))[-1] == "automl-waiter wait churn"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--job", "churn=complted"],
            f"no scenario 'complted'; did you mean completed? scenarios: {', '.join(SCENARIOS)}",
        ),
        (["--job", "churn="], "no scenario ''; scenarios: completed,"),
        (["--scenario", "fail"], "no scenario 'fail'; did you mean failed?"),
        (["--job", "a b"], "'a b' is not a job name"),
        (["--job", "arn:aws:sagemaker:us-east-1:123456789012:automl-job/a"], "is not a job name"),
        (["--job", "a", "--job", "A=failed"], "a name is given twice"),
        (["--speed", "0"], "--speed"),
    ],
)
def test_invalid_job_is_a_usage_error(inside: Command, words: list[str], message: str) -> None:
    """One line names the error, and for an unknown scenario the known ones and the nearest."""
    done = inside("sandbox", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["sandbox", "demo"])
def test_help_lists_each_scenario_with_a_line(inside: Command, command: str) -> None:
    """A scenario's line has the duration of its job."""
    text = " ".join(inside(command, "--help").stdout.split())
    assert list(SUMMARIES) == list(SCENARIOS)
    for name, script in SCENARIOS.items():
        assert f"{name} {SUMMARIES[name]}" in text
        assert script.end is not None
        assert f" {format_duration(script.end)}" in SUMMARIES[name]


def test_help_says_how_a_request_chooses_its_scenario(inside: Command) -> None:
    """This applies to jobs that --job did not create."""
    text = " ".join(inside("sandbox", "--help").stdout.split())
    assert 'Tags=[{"Key": "automl-waiter:scenario", "Value": "failed"}]' in text
