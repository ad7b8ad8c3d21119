"""`report`: what happened to a job, whether or not somebody watched it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Command
from faulty_endpoint import FaultyEndpoint, Handler, service_error
from processes import endpoint_environment

from automl_waiter.sandbox.server import Sandbox
from automl_waiter.testing import Timeline

NewJob = Callable[[str], str]


@pytest.fixture(scope="module")
def past() -> Iterator[dict[str, str]]:
    """An environment with a job, `ended`, that has ended with some candidates, and that nobody watched."""
    script = Timeline(
        [(0, "InProgress", "Starting"), (100, "InProgress", "ModelTuning"), (500, "Completed", "Completed")]
    )
    with Sandbox(scenarios={"ended": script}, scenario="ended", speed=1e5) as sandbox:
        sandbox.create_job("ended")
        yield {"AWS_ENDPOINT_URL_SAGEMAKER": sandbox.url}


def test_it_tells_of_a_job_that_nobody_watched(inside: Command, past: dict[str, str]) -> None:
    """The verdict, the span, all candidates, metrics, and where things lie, with exit code 0."""
    job = "ended"
    result = inside("report", job, environment=past)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{job}: completed\n")
    for line in (
        "  candidates trained  ",
        "Candidates (4)",
        f"  1  {job}-001    F1 0.91  xgboost ",
        "Metrics of the best candidate",
    ):
        assert line in result.stdout


def test_it_tells_the_phases_that_a_journal_holds(inside: Command, new_job: NewJob, tmp_path: Path) -> None:
    """With a journal the phases are told as they were seen, the ones before this look too."""
    job, journal = new_job("failed"), str(tmp_path / "jobs.db")
    assert inside("wait", job, "--journal", journal, "--poll", "0.2s").returncode == 10
    lines = inside("report", job, "--journal", journal).stdout.splitlines()
    assert "  AnalyzingData  " in "\n".join(lines)
    markdown = inside("report", job.upper(), "--journal", journal, "--format", "markdown").stdout
    assert "| AnalyzingData | " in markdown


def test_what_happened_since_the_journal_is_told_too(inside: Command, new_job: NewJob, tmp_path: Path) -> None:
    """A job that has gone on since it was last watched is told as it is now."""
    job, journal = new_job("completed"), str(tmp_path / "jobs.db")
    assert inside("wait", job, "--journal", journal, "--poll", "0.2s", "--timeout", "0s").returncode == 124
    assert inside("wait", job, "-q", "-o", "none").returncode == 0
    text = inside("report", job, "--journal", journal).stdout
    assert text.startswith(f"{job}: completed\n")
    assert "  ModelTuning  " in text


def test_a_job_that_has_gone_on_is_told_as_it_is_now(inside: Command, new_job: NewJob, tmp_path: Path) -> None:
    """The phase in which this look finds the job follows those that the journal holds."""
    job, journal = new_job("two-phases"), str(tmp_path / "jobs.db")
    assert inside("wait", job, "--journal", journal, "--timeout", "0s").returncode == 124
    assert inside("wait", job, "--until", "GeneratingExplainabilityReport", "--poll", "0.2s").returncode == 0
    lines = inside("report", job, "--journal", journal).stdout.splitlines()
    [title] = [number for number, line in enumerate(lines) if line.startswith("Phases on ")]
    phases = [line.split() for line in lines[title + 2 :]]
    assert [phase[0] for phase in phases[:2]] == ["ModelTuning", "GeneratingExplainabilityReport"]
    assert phases[1][-2:] == ["in", "progress"]


def test_a_job_that_the_journal_does_not_hold_is_told_all_the_same(
    inside: Command, new_job: NewJob, tmp_path: Path
) -> None:
    """The journal of other jobs is no reason to say nothing, but one that is none is bad usage."""
    journal = str(tmp_path / "jobs.db")
    assert inside("wait", new_job("failed"), "--journal", journal, "--poll", "0.2s").returncode == 10
    assert inside("report", new_job("failed"), "--journal", journal).returncode == 0
    result = inside("report", "a", "--journal", str(tmp_path / "none.db"))
    assert result.returncode == 2
    assert result.stderr.startswith("automl-waiter: there is no journal")


def test_html_is_one_page(inside: Command, past: dict[str, str]) -> None:
    """The page has the chart of the phases and the plot of the candidates, and stands alone."""
    text = inside("report", "ended", "--format", "html", environment=past).stdout
    assert text.startswith("<!DOCTYPE html>")
    assert text.rstrip().endswith("</html>")
    assert text.count("<svg") == 2


def test_who_may_not_list_candidates_has_the_rest() -> None:
    """Where IAM denies ListCandidatesForAutoMLJob the report says which action is missing, and tells what it knows."""
    with FaultyEndpoint() as endpoint:
        denied = service_error(400, "AccessDeniedException")
        job = endpoint.add("churn", Timeline([(0, "Completed", "Completed")]), [Handler.answer_rightly, denied])
        words = [sys.executable, "-m", "automl_waiter", "report", job]
        env = endpoint_environment(endpoint.url)
        result = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert "! The candidates could not be listed: " in result.stdout
    assert "sagemaker:ListCandidatesForAutoMLJob" in result.stdout


@pytest.mark.parametrize(("job", "code"), [("never-there", 14), ("not a name", 2)])
def test_a_job_that_there_is_not_is_one_line(inside: Command, job: str, code: int) -> None:
    """No such job is 14, and no name of a job is bad usage; there is nothing on stdout."""
    result = inside("report", job)
    assert (result.returncode, result.stdout) == (code, "")
    assert len(result.stderr.splitlines()) == 1


def test_a_reader_that_has_gone_is_no_error(new_job: NewJob, endpoint: Sandbox) -> None:
    """`report JOB | head -1` is no failure."""
    job, url = new_job("failed"), endpoint.url
    line = f'"{sys.executable}" -m automl_waiter report {job} | head -1; exit ${{PIPESTATUS[0]}}'
    result = subprocess.run(
        ["bash", "-c", line], env=endpoint_environment(url), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0
    assert "Traceback" not in result.stderr
