"""`report`: what happened to a job, whether or not it was watched."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from environments import endpoint_environment
from faulty_endpoint import FaultyEndpoint, Handler, service_error
from forking_programs import search_path
from programs import COMMAND, Command, run

from automl_waiter.sandbox.server import Sandbox
from automl_waiter.testing import Timeline

NewJob = Callable[[str], str]


@pytest.fixture(scope="module")
def past() -> Iterator[dict[str, str]]:
    """Return an environment with a job, `ended`, that has ended with some candidates and was never watched."""
    script = Timeline(
        [(0, "InProgress", "Starting"), (100, "InProgress", "ModelTuning"), (500, "Completed", "Completed")]
    )
    with Sandbox(scenarios={"ended": script}, scenario="ended", speed=1e5) as sandbox:
        sandbox.create_job("ended")
        yield {"AWS_ENDPOINT_URL_SAGEMAKER": sandbox.url}


def test_report_of_a_job_that_was_never_watched(inside: Command, past: dict[str, str]) -> None:
    """It has the verdict, the duration, all candidates, metrics and output locations, with exit code 0."""
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


def test_report_has_the_phases_of_the_journal(inside: Command, new_job: NewJob, tmp_path: Path) -> None:
    """With a journal the report has every phase that was observed, also those before this call."""
    job, journal = new_job("failed"), str(tmp_path / "jobs.db")
    assert inside("wait", job, "--journal", journal, "--poll", "0.1s").returncode == 10
    lines = inside("report", job, "--journal", journal).stdout.splitlines()
    assert "  AnalyzingData  " in "\n".join(lines)
    markdown = inside("report", job.upper(), "--journal", journal, "--format", "markdown").stdout
    assert "| AnalyzingData | " in markdown


def test_report_has_the_end_after_the_last_journal_entry(inside: Command, new_job: NewJob, tmp_path: Path) -> None:
    """The report has the current state of a job that changed after it was last watched."""
    job, journal = new_job("completed"), str(tmp_path / "jobs.db")
    assert inside("wait", job, "--journal", journal, "--poll", "0.1s", "--timeout", "0s").returncode == 124
    assert inside("wait", job, "-q", "-o", "none").returncode == 0
    text = inside("report", job, "--journal", journal).stdout
    assert text.startswith(f"{job}: completed\n")
    assert "  ModelTuning  " in text


def test_current_phase_follows_those_of_the_journal(inside: Command, new_job: NewJob, tmp_path: Path) -> None:
    """The phase that this call observes follows those of the journal."""
    job, journal = new_job("two-phases"), str(tmp_path / "jobs.db")
    assert inside("wait", job, "--journal", journal, "--timeout", "0s").returncode == 124
    assert inside("wait", job, "--until", "GeneratingExplainabilityReport", "--poll", "0.1s").returncode == 0
    lines = inside("report", job, "--journal", journal).stdout.splitlines()
    [title] = [number for number, line in enumerate(lines) if line.startswith("Phases on ")]
    phases = [line.split() for line in lines[title + 2 :]]
    assert [phase[0] for phase in phases[:2]] == ["ModelTuning", "GeneratingExplainabilityReport"]
    assert phases[1][-2:] == ["in", "progress"]


def test_report_of_a_job_missing_in_the_journal(inside: Command, new_job: NewJob, tmp_path: Path) -> None:
    """A journal of other jobs changes nothing, but a file that is not a journal is bad usage."""
    journal = str(tmp_path / "jobs.db")
    assert inside("wait", new_job("failed"), "--journal", journal, "--poll", "0.1s").returncode == 10
    assert inside("report", new_job("failed"), "--journal", journal).returncode == 0
    result = inside("report", "a", "--journal", str(tmp_path / "none.db"))
    assert result.returncode == 2
    assert result.stderr.startswith("automl-waiter: there is no journal")


def test_html_is_one_page(inside: Command, past: dict[str, str]) -> None:
    """The page has the phase chart and the candidate plot, and needs no other file."""
    text = inside("report", "ended", "--format", "html", environment=past).stdout
    assert text.startswith("<!DOCTYPE html>")
    assert text.rstrip().endswith("</html>")
    assert text.count("<svg") == 2


def test_report_without_permission_to_list_candidates() -> None:
    """If IAM denies ListCandidatesForAutoMLJob, the report names the missing action and has the other parts."""
    with FaultyEndpoint() as endpoint:
        denied = service_error(400, "AccessDeniedException")
        job = endpoint.add("churn", Timeline([(0, "Completed", "Completed")]), [Handler.answer_rightly, denied])
        result = run([*COMMAND, "report", job], env=endpoint_environment(endpoint.url))
    assert result.returncode == 0
    assert "! The candidates could not be listed: " in result.stdout
    assert "sagemaker:ListCandidatesForAutoMLJob" in result.stdout


@pytest.mark.parametrize(("job", "code"), [("never-there", 14), ("not a name", 2)])
def test_missing_job_is_14_with_one_line(inside: Command, job: str, code: int) -> None:
    """A missing job is 14, and an invalid job name is bad usage; stdout stays empty."""
    result = inside("report", job)
    assert (result.returncode, result.stdout) == (code, "")
    assert len(result.stderr.splitlines()) == 1


def test_closed_pipe_is_not_an_error(new_job: NewJob, endpoint: Sandbox, programs: Path) -> None:
    """`report JOB | head -1` is not an error."""
    line = f"automl-waiter report {new_job('failed')} | head -1; exit ${{PIPESTATUS[0]}}"
    result = run(["bash", "-c", line], env=endpoint_environment(endpoint.url, PATH=search_path(programs)))
    assert result.returncode == 0
    assert "Traceback" not in result.stderr
