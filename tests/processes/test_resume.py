"""The command that resumes a wait: pasted into a shell, it waits for the remaining jobs."""

import shlex
import subprocess

import pytest
from environments import endpoint_environment
from faulty_endpoint import Fault, FaultyEndpoint, service_error
from programs import COMMAND, run

from automl_waiter import Outcome, Verdict
from automl_waiter._model.exit_codes import ExitCode
from automl_waiter.cli.app import cli, wait
from automl_waiter.cli.resume import resume_command
from automl_waiter.cli.signals import Interrupts
from automl_waiter.testing import Timeline

End = tuple[Verdict, ExitCode]

CANCELLED = (Verdict.CANCELLED, ExitCode.INTERRUPTED)
COMPLETED = (Verdict.COMPLETED, ExitCode.OK)
DENIED = (Verdict.ERROR, ExitCode.DENIED)
TIMED_OUT = (Verdict.TIMED_OUT, ExitCode.TIMED_OUT)
UNAVAILABLE = (Verdict.ERROR, ExitCode.UNAVAILABLE)


def resumed(line: str, ends: dict[str, End], waited: float = 0.0) -> str | None:
    """Return the command that resumes what `line` started, when its jobs have these outcomes."""
    _, *words = shlex.split(line)
    at = words.index("wait")
    with cli.make_context("automl-waiter", words[: at + 1], obj=Interrupts()) as context:
        inner = wait.make_context("wait", words[at + 1 :], parent=context)
        outcomes = [
            Outcome(job=job, job_name=job, verdict=verdict, exit_code=code, waited=waited)
            for job, (verdict, code) in ends.items()
        ]
        return resume_command(inner, outcomes)


@pytest.mark.parametrize("end", [CANCELLED, DENIED, TIMED_OUT, UNAVAILABLE])
def test_wait_that_ended_before_its_job_has_a_resume_command(end: End) -> None:
    """After a signal, a permanent error, an outage or a timeout there is a command that resumes the wait."""
    assert resumed("automl-waiter wait churn", {"churn": end}) == "automl-waiter wait churn"


@pytest.mark.parametrize(
    "end",
    [
        COMPLETED,
        (Verdict.FAILED, ExitCode.FAILED),
        (Verdict.STOPPED, ExitCode.STOPPED),
        (Verdict.DEGRADED, ExitCode.DEGRADED),
        (Verdict.CONDITION_MET, ExitCode.OK),
        (Verdict.NOT_FOUND, ExitCode.NOT_FOUND),
        (Verdict.REPLACED, ExitCode.NOT_FOUND),
        (Verdict.ERROR, ExitCode.USAGE),
        (Verdict.IN_PROGRESS, ExitCode.OK),
    ],
)
def test_no_resume_command_if_waiting_would_not_help(end: End) -> None:
    """There is none for a job that has ended or does not exist, or after another job decided."""
    assert resumed("automl-waiter wait churn", {"churn": end}) is None


def test_resume_command_names_only_jobs_that_may_still_run() -> None:
    """Ended jobs are left out; names from standard input are on the command line."""
    ends = {"a": CANCELLED, "b": COMPLETED, "c": DENIED}
    assert resumed("automl-waiter wait -", ends) == "automl-waiter wait a c"


@pytest.mark.parametrize(
    "options",
    [
        "--poll 1m30s --until ModelTuning",
        "--timeout auto",
        "--require endpoint --require insights --stop-on interrupt --stop-on until --until Completed",
        "--fail-fast --error-budget 1h --output jsonl --quiet --log-format json",
        "--any --require none --no-estimate",
        "--exec 'sh -c '\"'\"'echo \"$AUTOML_STATUS; $(id)\" >> /tmp/a'\"'\"''",
        "--until 'BestCandidate.FinalAutoMLJobObjectiveMetric.Value > `0.9`'",
        "--error-budget 0.5s",
        "--good-enough 0.9 --max-rate 2.5 --poll 90 --timeout none",
        "--publish eventbridge:ml-events",
    ],
)
def test_resume_command_repeats_every_given_flag(options: str) -> None:
    """Every given flag is on the line, quoted for a shell, with the same meaning."""
    line = f"automl-waiter wait churn {options}"
    again = resumed(line, {"churn": CANCELLED})
    assert again is not None
    assert sorted(shlex.split(again)) == sorted(shlex.split(line))
    assert resumed(again, {"churn": CANCELLED}) == again
    words = subprocess.run(["sh", "-c", f"printf '%s\\n' {again}"], capture_output=True, text=True, check=True).stdout
    assert words.splitlines() == shlex.split(again)


def test_resume_command_omits_defaults() -> None:
    """A flag that was not given is left out."""
    assert resumed("automl-waiter wait churn", {"churn": TIMED_OUT}) == "automl-waiter wait churn"


def test_resume_command_keeps_the_aws_options() -> None:
    """Profile, region and endpoint are kept, wherever they were given."""
    line = "automl-waiter --region eu-west-1 wait churn --profile 'my profile'"
    assert resumed(line, {"churn": CANCELLED}) == ("automl-waiter wait churn --region eu-west-1 --profile 'my profile'")


@pytest.mark.parametrize(
    ("timeout", "waited", "end", "left"),
    [
        ("6h", 3600.0, CANCELLED, "5h"),
        ("6h", 3600.0, UNAVAILABLE, "5h"),
        ("90", 30.6, CANCELLED, "1m"),
        ("90", 0.0, CANCELLED, "90"),
        ("6h", 6 * 3600.0, TIMED_OUT, "6h"),
        ("1m", 61.0, DENIED, "0s"),
        ("auto", 3600.0, CANCELLED, "auto"),
    ],
)
def test_resume_command_has_the_rest_of_the_timeout(timeout: str, waited: float, end: End, left: str) -> None:
    """After an interrupt the command waits for the rest of the timeout; after a timeout, for the same time again."""
    again = resumed(f"automl-waiter wait churn --timeout {timeout}", {"churn": end}, waited)
    assert again == f"automl-waiter wait churn --timeout {left}"


def test_resume_command_has_no_credentials_of_the_endpoint_url() -> None:
    """A user and a password in the endpoint's URL are left out."""
    again = resumed("automl-waiter wait churn --endpoint-url http://me:secret@proxy:80/", {"churn": CANCELLED})
    assert again == "automl-waiter wait churn --endpoint-url 'http://***@proxy:80/'"


@pytest.mark.parametrize(
    ("code", "fault", "flags"),
    [
        (124, None, ["--timeout", "0.3s"]),
        (69, service_error(503, "ServiceUnavailable"), ["--error-budget", "0.3s"]),
        (77, service_error(400, "AccessDeniedException"), []),
    ],
)
def test_resume_command_is_the_last_line_of_stderr(code: int, fault: Fault | None, flags: list[str]) -> None:
    """After 124, 69 and 77 the last line of stderr is the command that resumes, with -q too."""
    with FaultyEndpoint() as endpoint:
        job = endpoint.add("churn", Timeline([(0, "InProgress", "ModelTuning")]), [fault] * 99 if fault else [])
        result = run([*COMMAND, "wait", job, *flags, "-q"], env=endpoint_environment(endpoint.url))
    assert result.returncode == code
    again = shlex.split(result.stderr.splitlines()[-1].removeprefix("to resume: "))
    assert again == ["automl-waiter", "wait", "churn", *flags, "--quiet"]
