"""GitHub Actions: outputs, a summary and annotations, and the escaping of untrusted text in them."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from github import outputs
from hostile import HOSTILE
from recordings import Recorded

from automl_waiter import Ended, Outcome, Warned
from automl_waiter._model.exit_codes import ExitCode
from automl_waiter.cli.github import GitHubRun
from automl_waiter.testing import Timeline, simulate

NOW = datetime(2026, 11, 24, tzinfo=UTC)
FAILED = Timeline(
    [(0, "InProgress", "AnalyzingData"), (60, "Failed", "Failed")], failure_reason="50% of it:\nno data, at all"
)
HOSTILE_JOB = replace(FAILED, failure_reason=f"{HOSTILE}\nend-\nverdict<<x\ncompleted\nx\n")


class Runner:
    """The files of a step, and the lines of its log."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.output, self.summary = folder / "output", folder / "summary"
        self.lines: list[str] = []
        self.warnings: list[str] = []
        files = {"GITHUB_OUTPUT": str(self.output), "GITHUB_STEP_SUMMARY": str(self.summary)}
        self.run = GitHubRun(self.lines.append, self.warnings.append, files | environ)

    def finish(self, *outcomes: Outcome) -> dict[str, str]:
        for outcome in outcomes:
            self.run.report(Ended(outcome.job_name, NOW, outcome))
        self.run.finish(outcomes, outcomes[0].exit_code)
        return outputs(self.output.read_text())


def failed(timeline: Timeline = FAILED, **members: str) -> Outcome:
    return replace(simulate(timeline).outcome, **members)  # type: ignore[arg-type]


def test_one_job_has_its_members_as_outputs(tmp_path: Path) -> None:
    """The main members of the job are outputs of the step, untruncated, and the job itself is in JSON."""
    found = Runner(tmp_path).finish(failed(job_name="churn"))
    jobs = json.loads(found.pop("jobs"))
    assert found == {
        "exit-code": "10",
        "job-name": "churn",
        "job-arn": "arn:aws:sagemaker:us-east-1:123456789012:automl-job/simulated",
        "verdict": "failed",
        "status": "Failed",
        "secondary-status": "Failed",
        "endpoint-name": "",
        "failure-reason": "50% of it:\nno data, at all",
        "shortfalls": "",
        "best-candidate": "",
        "metric": "",
        "value": "",
    }
    assert [job["verdict"] for job in jobs] == ["failed"]
    assert "describe" not in jobs[0]


def test_several_jobs_are_one_json_output(tmp_path: Path) -> None:
    """With several jobs the outputs are the exit code and all jobs in JSON."""
    found = Runner(tmp_path).finish(failed(job_name="a"), simulate(Timeline([(0, "Completed", "Completed")])).outcome)
    assert set(found) == {"exit-code", "jobs"}
    assert [job["verdict"] for job in json.loads(found["jobs"])] == ["failed", "completed"]


def test_text_of_a_job_cannot_forge_an_output(tmp_path: Path) -> None:
    """The delimiter is random and new each time, so a hostile reason stays a reason."""
    runner = Runner(tmp_path)
    found = runner.finish(failed(HOSTILE_JOB))
    assert found["verdict"] == "failed"
    assert "completed" in found["failure-reason"]
    delimiters = re.findall(r"<<(end-\S+)$", runner.output.read_text(), re.MULTILINE)
    assert len(set(delimiters)) == len(delimiters) == len(found)
    assert all(len(delimiter) == 40 for delimiter in delimiters)


def test_failures_and_warnings_have_an_annotation(tmp_path: Path) -> None:
    """A failed job is an error, a warning is a warning and a success has no annotation; each is one line."""
    runner = Runner(tmp_path)
    runner.run.report(Warned("a", NOW, "may be stuck"))
    runner.finish(failed(job_name="churn"), simulate(Timeline([(0, "Completed", "Completed")])).outcome)
    assert runner.lines == [
        "::warning title=a::may be stuck",
        "::error title=churn::simulated: failed: 50%25 of it: no data, at all".replace("simulated", "churn"),
    ]


def test_text_of_a_job_cannot_forge_a_workflow_command(tmp_path: Path) -> None:
    """Any name or reason gives one command with one title."""
    runner = Runner(tmp_path)
    runner.finish(failed(HOSTILE_JOB, job_name="a,title=b::c\n::warning::d"))
    [line] = runner.lines
    assert re.fullmatch(r"::error title=[^:,]*::.*", line)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202e]", line)


def test_the_summary_is_the_document_in_markdown(tmp_path: Path, recorded: Recorded) -> None:
    """The summary page says how the job ended and what to do next."""
    runner = Runner(tmp_path)
    runner.finish(failed(job_name="churn"))
    recorded("github_summary.md", runner.summary.read_text())


def test_secrets_are_redacted(tmp_path: Path) -> None:
    """A secret from the environment or in a URL appears in neither file and in no annotation."""
    runner = Runner(tmp_path, AWS_SECRET_ACCESS_KEY="wJalrXUtnFEMI", AWS_SESSION_TOKEN="FwoGZXIvYXdz", GITHUB_TOKEN="")
    reason = "key wJalrXUtnFEMI token FwoGZXIvYXdz at https://me:pass@example.org/"
    runner.finish(failed(replace(FAILED, failure_reason=reason)))
    kept = runner.output.read_text() + runner.summary.read_text() + "".join(runner.lines)
    assert "key *** token ***" in kept
    for secret in ("wJalrXUtnFEMI", "FwoGZXIvYXdz", "pass@"):
        assert secret not in kept


def test_output_beyond_the_size_limit_is_omitted_with_a_warning(tmp_path: Path) -> None:
    """Thousands of jobs exceed the limits of an output and of a page; the page says what is missing."""
    runner = Runner(tmp_path)
    one = failed(replace(FAILED, failure_reason="long " * 300))
    many = [replace(one, job_name=f"job-{number}") for number in range(1000)]
    runner.run.finish(many, ExitCode.FAILED)
    assert set(outputs(runner.output.read_text())) == {"exit-code"}
    assert runner.warnings == ["the step output `jobs` is omitted: 1000 jobs exceed its size limit"]
    page = runner.summary.read_text()
    assert len(page.encode()) < 1024 * 1024
    assert page.endswith("\n\nMore does not fit on this page.\n")


def test_unwritable_file_is_a_warning(tmp_path: Path) -> None:
    """A runner without its files does not fail the wait."""
    runner = Runner(tmp_path / "nowhere")
    runner.run.finish([failed()], ExitCode.FAILED)
    assert runner.warnings == [
        "GITHUB_OUTPUT could not be written: No such file or directory",
        "GITHUB_STEP_SUMMARY could not be written: No such file or directory",
    ]
    GitHubRun(None, runner.warnings.append, {}).finish([failed()], ExitCode.FAILED)
    assert len(runner.warnings) == 2
