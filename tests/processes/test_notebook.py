"""The live view of a notebook, in a real kernel."""

import re
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from repository import ROOT

from automl_waiter.sandbox.server import Sandbox

CONNECT = """
import boto3
client = boto3.client("sagemaker", endpoint_url={url!r}, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y")
"""
WAIT = "from automl_waiter import wait_for\noutcome = wait_for({job!r}, client=client, poll=0.3, check=False)"
WAIT_AND_SHOW = "again = wait_for({job!r}, client=client, poll=0.3, check=False)\nagain"
WAIT_ALL = """
from automl_waiter import aio
outcomes = await aio.wait_for_all({jobs!r}, client=client, poll=0.3)
outcomes
"""
INTERRUPTED = """
import _thread, threading
threading.Timer(1.0, _thread.interrupt_main).start()
try:
    wait_for({job!r}, client=client, poll=0.3)
except KeyboardInterrupt:
    pass
"""
SWITCHED_OFF = """
import os
os.environ["AUTOML_WAITER_PROGRESS"] = "lines"
wait_for({job!r}, client=client, poll=0.3, check=False).verdict
"""


def unstyled(html: str) -> str:
    return re.sub(r' style="[^"]*"', "", html)


class Watched(NotebookClient):
    """An executed notebook that records what it displays on the way."""

    def __init__(self, *cells: str) -> None:
        super().__init__(
            nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), timeout=60
        )
        self.shown: list[str] = []

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        if msg["msg_type"] in ("display_data", "update_display_data"):
            self.shown.append(msg["content"]["data"].get("text/html", ""))
        return super().process_message(msg, cell, cell_index)

    def html(self, cell: int) -> str:
        """Return the HTML that a cell shows at the end, without styles."""
        return unstyled(self._shown(cell, "text/html"))

    def text(self, cell: int) -> str:
        """Return the same as plain text."""
        return self._shown(cell, "text/plain")

    def _shown(self, cell: int, form: str) -> str:
        return "".join(output.get("data", {}).get(form, "") for output in self.nb.cells[cell].outputs)


def test_a_notebook_shows_the_wait(endpoint: Sandbox, new_job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell that waits shows each job's state and finally its outcome, once, also with several awaited at once. After
    an interrupt it shows the last state. The view can be turned off."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("AUTOML_WAITER_PROGRESS", raising=False)
    slow, fails, other, endless = (new_job(script) for script in ("completed", "failed", "failed", "endless"))
    watched = Watched(
        CONNECT.format(url=endpoint.url),
        WAIT.format(job=slow),
        "outcome",
        WAIT_ALL.format(jobs=[slow, fails]),
        WAIT_AND_SHOW.format(job=fails),
        INTERRUPTED.format(job=endless),
        SWITCHED_OFF.format(job=other),
    )
    watched.execute()
    assert any("InProgress/ModelTuning</span>" in shown and "so far" in shown for shown in watched.shown)
    assert len(watched.nb.cells[1].outputs) == 1
    completed = f'{slow}: <span class="good">completed</span>'
    assert completed in watched.html(1), "also after a later cell has displayed the outcome"
    assert "Metrics of the best candidate" in watched.text(1)
    assert completed in watched.html(2)
    assert '2 jobs: <span class="bad">1 completed, 1 failed</span>' in watched.html(3)
    assert len(watched.nb.cells[3].outputs) == 2
    assert f"'{fails}': Outcome('{fails}', failed: no [31m data)" in watched.text(3)
    assert watched.html(4).count(f"{fails}: <span") == watched.text(4).count(f"{fails}: failed") == 1
    assert [output.output_type for output in watched.nb.cells[4].outputs] == ["display_data", "execute_result"]
    assert f"{endless}: wait interrupted at " in watched.text(5)
    assert re.search(r"last state +InProgress/ModelTuning\n.*- The job keeps running\.", watched.text(5), re.DOTALL)
    assert watched.html(6) == ""
