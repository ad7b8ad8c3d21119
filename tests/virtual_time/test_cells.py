"""The cells of a notebook that show a wait."""

import re
import sys
import threading
import time
import types
from datetime import datetime, timedelta
from typing import Any

import boto3
import pytest
from scenes import OTHERS, at, estimated, retried

from automl_waiter import InvalidRequest, wait_for
from automl_waiter._model.events import Ended, StopRequested
from automl_waiter.display import notebook_view
from automl_waiter.display.notebook import NotebookView, mimebundle, view_document
from automl_waiter.display.progress import Progress
from automl_waiter.report.html import fragment
from automl_waiter.report.several import outcomes_document
from automl_waiter.testing import ScriptedJobs, Timeline, simulate, simulated_jobs

__all__ = ["simulated_jobs"]


def unstyled(html: str) -> str:
    return re.sub(r' style="[^"]*"', "", html)


def html_of(progress: Progress, now: datetime, *, is_over: bool = False) -> str:
    """Return what a view shows, without styles."""
    return unstyled(mimebundle(view_document(progress, now, is_over=is_over))["text/html"])


def test_cell_shows_a_running_job() -> None:
    """The cell shows a job's kind, age, runtime limit, candidates, phases and current error."""
    progress, now = at(1700)
    progress.take(retried(progress, now, 2))
    progress.take(StopRequested("churn-2026", now, "until"))
    text = html_of(progress, now)
    for expected in (
        "Tabular (BinaryClassification), objective F1",
        "28m 20s, runtime limit 1h<",
        "5 trained",
        "F1 0.7913, 0.728 before",
        "DescribeAutoMLJobV2 failed: no answer in time",
        "<td>ModelTuning</td>",
        "9m 5s so far",
    ):
        assert expected in text


def test_estimate_is_shown_with_its_time_zone() -> None:
    """A notebook's kernel may run in another time zone than its reader's."""
    progress, now = at(1700)
    progress.take(estimated(now))
    words = "about 18m left, done around 00:46 UTC (00:42–00:51), based on 6 similar jobs"
    assert words in html_of(progress, now)
    assert "28m 20s of about 46m 20s (61 %)" in html_of(progress, now)
    several, now = at(1700, OTHERS)
    several.take(estimated(now))
    assert "<td>about 18m left</td>" in html_of(several, now)


def test_interrupted_cell_shows_its_time_and_the_last_observed_state() -> None:
    """An interrupted cell polls no more, so it shows no next check, and no duration beyond the last one."""
    progress, now = at(1700)
    progress.take(estimated(now))
    text = html_of(progress, now + timedelta(seconds=50), is_over=True)
    for expected in (
        'churn-2026: <span class="warning">wait interrupted at 00:29 UTC</span>',
        '<th scope="row">last state</th><td>InProgress/ModelTuning</td>',
        '<th scope="row">last check</th><td>2026-01-01 00:28:',
        "at least 9m 5s",
        "The job keeps running. Run the cell again to continue the wait.",
    ):
        assert expected in text
    for unexpected in ("next check", "so far", "left"):
        assert unexpected not in text.partition("</style>")[2].replace("best so far", "")


def test_interrupted_cell_says_which_of_several_jobs_keep_running() -> None:
    """Jobs that have ended are shown with their verdicts."""
    progress, now = at(1700, OTHERS)
    text = html_of(progress, now, is_over=True)
    assert '4 jobs: <span class="warning">wait interrupted at ' in text
    assert "The jobs in progress keep running." in text
    assert "<td>spam</td><td>failed</td>" in text
    assert "next check" not in text


def test_interrupted_cell_names_no_missing_or_stopping_job_as_running() -> None:
    """A missing job may not exist, and a stopping job ends."""
    progress, now = at(0)
    assert "running" not in html_of(type(progress)(["a"]), now, is_over=True)
    progress.take(StopRequested("churn-2026", now, "until"))
    assert "AWS was asked to stop the job:" in html_of(progress, now, is_over=True)


def test_view_shows_the_time_of_its_last_update() -> None:
    """If the kernel dies, the view is never updated again."""
    assert re.search(r"2026-01-01 00:28:\d\d UTC, next check at 00:2[89]:\d\d<", html_of(*at(1700)))
    assert re.search(r"2026-01-01 00:28:\d\d UTC, next check at 00:2[89]:\d\d<", html_of(*at(1700, OTHERS)))


def test_cells_carry_their_own_alignment_background_and_colours() -> None:
    """Notebook styles override a class, and an untrusted notebook shows inline styles only."""
    html = fragment(outcomes_document([simulate(OTHERS[name]).outcome for name in ("spam", "churn-2026")]))
    starts = re.findall("<(?:table|thead|tr|th|td)\\b[^>]*>", html)
    assert starts
    assert not [start for start in starts if "style=" not in start]
    assert '<td style="text-align:left;color:#ea5455;color:var(--bad)">failed</td>' in html
    assert re.search(
        '<td class="number" style="text-align:right;color:#1f9d48;color:var\\(--good\\)">38m 30s</td>', html
    )
    assert '<tr style="background:none">' in html
    assert '<table style="margin:0;color:inherit">' in html


def test_fragment_adds_no_heading_to_the_notebook() -> None:
    """Jupyter lists h1 and h2 of outputs in the notebook's table of contents."""
    assert not re.search("<h[1-6]", fragment(outcomes_document([simulate(OTHERS["spam"]).outcome])))


def test_phase_of_another_day_has_its_date() -> None:
    """A wait may last for days."""
    progress, now = at(1700)
    assert '<td class="number">00:19</td>' in html_of(progress, now)
    assert '<td class="number">1 Jan 00:19</td>' in html_of(progress, now + timedelta(days=1))


def test_cell_shows_several_jobs_in_a_table() -> None:
    """The table shows running jobs, and the verdicts of ended ones."""
    progress, now = at(1700, OTHERS)
    text = html_of(progress, now + timedelta(seconds=5))
    assert "2 in progress" in text
    assert "<td>spam</td><td>failed</td>" in text
    assert "<td>churn-2026</td><td>ModelTuning</td>" in text
    first, then = at(0, {"a": OTHERS["spam"], "b": OTHERS["spam"]})
    assert "not found yet" in html_of(type(first)(["a", "b"]), then)


def test_last_update_shows_the_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slowly the notebook handles updates, the last one shows the outcome."""
    shown = []

    class Handle:
        @staticmethod
        def update(bundle: dict[str, str], *, raw: bool) -> None:
            time.sleep(0.2)
            shown.append(bundle)

    notebook = types.ModuleType("IPython.display")
    notebook.display = lambda *_, **__: Handle()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython.display", notebook)
    progress, now = at(100)
    [job] = progress.jobs.values()
    view = NotebookView(["churn-2026"])
    view.take(job.transitions[0])
    time.sleep(0.05)  # until it is being shown
    outcome = simulate(OTHERS["spam"]).outcome
    view.take(Ended("churn-2026", now, outcome))
    view.close()
    assert 'class="bad">failed</span>' in unstyled(shown[-1]["text/html"])
    assert shown[-1]["text/plain"].startswith("simulated: failed")


def test_wait_that_cannot_start_shows_no_view(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a region, or with a client of another one, nothing is displayed and no thread is left."""

    class Shell:
        kernel = True

        @classmethod
        def get_ipython(cls) -> Any:
            return cls

    monkeypatch.setitem(sys.modules, "IPython", Shell)
    monkeypatch.delenv("AUTOML_WAITER_PROGRESS", raising=False)
    client = boto3.client("sagemaker", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y")
    with pytest.raises(InvalidRequest, match="the client that was given is for us-east-1"):
        wait_for("arn:aws:sagemaker:eu-west-1:123456789012:automl-job/churn", client=client)
    assert not [thread for thread in threading.enumerate() if thread.name == "automl-waiter-view"]


def test_no_view_outside_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a kernel nothing is displayed, and IPython is not imported."""
    with notebook_view(["a"]) as subscribers:
        assert subscribers == []


def test_a_view_that_fails_does_not_end_the_wait(
    simulated_jobs: ScriptedJobs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If the notebook cannot display anything, the error is logged, and the wait continues."""

    class Shell:
        kernel = True

        @classmethod
        def get_ipython(cls) -> Any:
            return cls

    broken = types.ModuleType("IPython.display")
    monkeypatch.setitem(sys.modules, "IPython", Shell)
    monkeypatch.setitem(sys.modules, "IPython.display", broken)
    monkeypatch.delenv("AUTOML_WAITER_PROGRESS", raising=False)
    simulated_jobs.add("churn", Timeline([(0, "Completed", "Completed")]))
    assert wait_for("churn").verdict == "completed"
    assert "cannot show the progress of the wait; it continues" in caplog.text
