"""The live view of the command on a terminal."""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from environments import endpoint_environment
from programs import Command
from terminals import Terminal

from automl_waiter.cli.live import LiveView
from automl_waiter.display.progress import Progress
from automl_waiter.sandbox.server import Sandbox

NewJob = Callable[[str], str]
KEEP_TITLE, OLD_TITLE = b"\x1b[22;2t", b"\x1b]2;\a\x1b[23;2t"


@contextmanager
def terminal(endpoint: Sandbox, *arguments: str, **options: Any) -> Iterator[Terminal]:
    shown = Terminal(*arguments, env=endpoint_environment(endpoint.url), **options)
    try:
        yield shown
    finally:
        shown.close()


def test_summary_replaces_the_view(endpoint: Sandbox, new_job: NewJob) -> None:
    """The view is there while the job runs; at the end only the summary remains."""
    job = new_job("held")
    with terminal(endpoint, "wait", job, "--poll", "0.3s") as shown:
        shown.until(lambda text: "▸ ModelTuning" in text and "Ctrl-C ends the wait; the job keeps running" in text)
        endpoint.advance(job)
        assert shown.end() == 0
        assert shown.text.startswith(
            f"✓ {job}: completed\n  job              Tabular (BinaryClassification), objective F1\n"
        )
        assert bells(shown) == 1
        keep, title, old = (shown.written.find(text) for text in (KEEP_TITLE, f"]2;{job}: M".encode(), OLD_TITLE))
        assert 0 <= keep < title < old
        assert "Ctrl-C" not in shown.text
        assert "▸" not in shown.text
        assert b"\x1b[32m" in shown.written


def bells(terminal: Terminal) -> int:
    """Return the number of bells; the one that ends a title sequence does not count."""
    return re.sub(rb"\x1b\][^\a]*\a", b"", terminal.written).count(b"\a")


@pytest.mark.parametrize(
    ("setting", "flags"),
    [
        ({"TERM": "dumb"}, []),
        ({"CI": "true"}, []),
        ({}, ["--progress", "lines"]),
        ({"AUTOML_WAITER_PROGRESS": "lines"}, []),
    ],
)
def test_lines_replace_the_view_if_it_is_off_or_unsupported(
    endpoint: Sandbox, new_job: NewJob, setting: dict[str, str], flags: list[str]
) -> None:
    """A dumb terminal, a CI system's terminal and an explicit option give a line for each transition."""
    job = new_job("completed")
    with terminal(endpoint, "wait", job, "--poll", "0.1s", *flags, setting=setting) as shown:
        assert shown.end() == 0
        assert re.search(
            rf"^\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\dZ  {job}: InProgress/ModelTuning$", shown.text, re.MULTILINE
        )
        assert b"\x1b[" not in shown.written.partition(b": completed\r\n")[0]
        assert b"\a" not in shown.written


def test_no_color_turns_colours_off(endpoint: Sandbox, new_job: NewJob) -> None:
    """With NO_COLOR there is a view and a summary, both without colour."""
    job = new_job("held-failure")
    with terminal(endpoint, "wait", job, "--poll", "0.1s", setting={"NO_COLOR": "1"}) as shown:
        shown.until(lambda text: "▸ AnalyzingData" in text)
        endpoint.advance(job)
        assert shown.end() == 10
        assert f"✗ {job}: failed" in shown.text
        assert not re.search(rb"\x1b\[[0-9;]*3[0-9][;m]", shown.written)


def test_ctrl_c_replaces_the_view_with_the_summary(endpoint: Sandbox, new_job: NewJob) -> None:
    """After Ctrl-C the summary and the resume command replace the view, and the cursor is visible."""
    job = new_job("endless")
    with terminal(endpoint, "wait", job, "--poll", "0.3s", "--stop-on", "interrupt") as shown:
        shown.until(lambda text: "Ctrl-C stops the job" in text)
        shown.interrupt()
        assert shown.end() == 130
        assert f"! {job}: the wait was interrupted" in shown.text
        assert f"to resume: automl-waiter wait {job}" in shown.text
        assert "Ctrl-C" not in shown.text
        assert not shown.screen.cursor.hidden
        assert OLD_TITLE in shown.written
        assert bells(shown) == 0, "the user is there"


def test_output_of_exec_is_above_the_view(endpoint: Sandbox, new_job: NewJob) -> None:
    """Both output streams of --exec appear above the view in whole lines and do not break it."""
    job = new_job("held")
    command = 'sh -c \'echo "out $AUTOML_SECONDARY_STATUS"; printf "\\033[2Jerr\\n" >&2\''
    with terminal(endpoint, "wait", job, "--poll", "0.3s", "--exec", command) as shown:
        text = shown.until(lambda text: "err" in text and "▸ ModelTuning" in text and "Ctrl-C" in text)
        assert text.splitlines()[:3] == [
            "out ModelTuning",
            "[2Jerr",
            f"{job}  Tabular (BinaryClassification), objective F1",
        ]
        endpoint.advance(job)
        assert shown.end() == 0


def test_output_of_exec_at_the_last_transition_is_complete(endpoint: Sandbox, new_job: NewJob) -> None:
    """The command runs for the last transition too, after the view is removed, and all its output is there."""
    job = new_job("completed")
    command = "sh -c 'sleep 0.5; seq 3000; echo done $AUTOML_STATUS'"
    with terminal(endpoint, "wait", job, "--poll", "0.1s", "--exec", command, rows=6) as shown:
        assert shown.end() == 0
        output = shown.written.decode()
    assert re.findall(r"done (\w+)", output) == ["InProgress", "Completed"]
    assert output.count("\r\n2999") == 2 or output.count("2999\x1b[K") + output.count("2999\r") == 2
    assert "--exec" not in output


def test_slow_terminal_gets_every_line_before_the_view_is_removed() -> None:
    """However slow the terminal, each line is written before the view is removed, and none after."""
    written: list[str] = []

    def slowly(text: str) -> None:
        time.sleep(0.1)
        written.append(text)

    view = LiveView(Progress(["a"]), write=slowly)
    for number in range(30):
        view.write(f"line {number}")
    view.close()
    count = len(written)
    assert re.findall(r"line (\d+)\x1b", "".join(written)) == [str(number) for number in range(30)]
    view.write("later")
    assert written[-1] == "later\n"
    assert len(written) == count + 1


def test_title_is_set_again_after_the_shell_had_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many shells set their own title; the title from before the wait returns at its end."""
    monkeypatch.setenv("TERM", "xterm")
    written: list[str] = []
    view = LiveView(Progress(["a"]), write=written.append)
    view.write("line")
    os.kill(os.getpid(), signal.SIGCONT)
    view.write("line")
    view.close(bell=True)
    title = "\x1b]2;a: waiting\a"
    assert [text for text in written if "]2;" in text] == ["\x1b[22;2t" + title, title, "\x1b]2;\a\x1b[23;2t\a"]


def test_suspended_wait_draws_nothing(endpoint: Sandbox, new_job: NewJob) -> None:
    """A suspended wait leaves the terminal to the shell; resumed, the view starts below the shell's output."""
    job = new_job("endless")
    with terminal(endpoint, instead=["bash", "--norc", "-i"], setting={"PS1": "$ "}) as shown:
        shown.send(f'"{sys.executable}" -m automl_waiter wait {job} --poll 0.3s\n')
        shown.until(lambda text: "▸ ModelTuning" in text)
        shown.send("\x1a")
        shown.until(lambda text: "Stopped" in text)
        shown.send("bg; sleep 1; echo mi''ne\n")
        text = shown.until(lambda text: "mine" in text)
        shown.send("fg\n")
        text = shown.until(lambda text: "Ctrl-C ends the wait" in text.partition("mine")[2])
        assert text.index("Stopped") < text.index("mine") < text.rindex("▸ ModelTuning")
        shown.send("\x03")
        text = shown.until(lambda text: "to resume: " in text)
        assert "mine" in text


def test_wait_started_in_the_background_writes_lines(endpoint: Sandbox, new_job: NewJob) -> None:
    """A wait started in the background, or by `timeout`, reports its transitions in lines."""
    job = new_job("completed")
    line = f'set -m; "{sys.executable}" -m automl_waiter wait {job} --poll 0.1s & wait'
    with terminal(endpoint, instead=["bash", "--norc", "-c", line]) as shown:
        assert shown.end() == 0
        assert re.search(rf"Z  {job}: InProgress/ModelTuning$", shown.text, re.MULTILINE)


def test_several_jobs_give_a_table_and_a_line_for_each_end(endpoint: Sandbox, new_job: NewJob) -> None:
    """A wait for several jobs shows a table of those in progress, a line for each end, and a summary."""
    slow, fails = new_job("held"), new_job("failed")
    with terminal(endpoint, "wait", slow, fails, "--poll", "0.3s", "--no-bell") as shown:
        shown.until(lambda text: "2 jobs: 1 failed, 1 in progress" in text)
        assert re.search(rf"^\S+ \S+  error: {fails}: failed: no \[31m data$", shown.text, re.MULTILINE)
        endpoint.advance(slow)
        assert shown.end() == 10
        assert re.search(rf"^  ✓  {slow} +completed ", shown.text, re.MULTILINE)
        assert f"✗ {fails}: failed" in shown.text
        assert bells(shown) == 0


def test_a_watch_shows_a_table_below_its_transitions_and_ends_with_a_summary(endpoint: Sandbox) -> None:
    """Transitions are results: they remain, also on the view's terminal."""
    slow, other = "watched-on-a-terminal", "watched-on-a-terminal-too"
    endpoint.create_job(slow, scenario="held")
    endpoint.create_job(other, scenario="held-failure")
    flags = ("--name-contains", slow, "--until-idle", "--poll", "0.3s")
    with terminal(endpoint, "watch", *flags) as shown:
        text = shown.until(lambda text: f"▸ {slow} " in text and f"▸ {other} " in text)
        assert text.rindex(f"Z  {slow}: InProgress/ModelTuning\n") < text.index("2 jobs: 2 in progress\n")
        assert "Ctrl-C ends the watch; the jobs keep running" in text
        endpoint.advance(slow)
        endpoint.advance(other)
        assert shown.end() == 10
        assert f"Z  {slow}: completed\n" in shown.text
        assert "\n2 jobs followed: 1 " in shown.text
        assert shown.text.endswith(f"\n  ✗ {other}: failed: A scripted failure.")
        assert "Ctrl-C" not in shown.text
        assert bells(shown) == 1


def test_bad_progress_variable_is_no_error(inside: Command, new_job: NewJob) -> None:
    """AUTOML_WAITER_PROGRESS=live without a terminal gives lines, and an invalid value gives a warning."""
    result = inside("wait", new_job("completed"), "--poll", "0.1s", environment={"AUTOML_WAITER_PROGRESS": "live"})
    assert result.returncode == 0
    result = inside("wait", new_job("completed"), "--poll", "0.1s", environment={"AUTOML_WAITER_PROGRESS": "Live"})
    assert result.returncode == 0
    assert "warning: AUTOML_WAITER_PROGRESS must be one of auto, live, lines, github" in result.stderr


def test_a_live_view_without_a_terminal_is_bad_usage(command: Command) -> None:
    """The message says why a live view is not possible."""
    result = command("wait", "a", "--progress", "live", environment={"TERM": "xterm"})
    assert result.returncode == 2
    assert result.stderr == (
        "automl-waiter: --progress live needs stderr to be a terminal that supports cursor movement "
        "(see automl-waiter wait --help)\n"
    )
    with_json = Terminal(
        "wait", "a", "--progress", "live", "-o", "jsonl", env=endpoint_environment("http://127.0.0.1:9")
    )
    assert with_json.end() == 2
    assert "cannot be combined with -q, --log-format json, or -o jsonl" in with_json.text
    with_json.close()


def test_jsonl_on_a_terminal_has_no_view(endpoint: Sandbox, new_job: NewJob) -> None:
    """With -o jsonl on the terminal itself the JSON lines are the only output."""
    job = new_job("completed")
    with terminal(endpoint, "wait", job, "--poll", "0.1s", "-o", "jsonl", columns=20000) as shown:
        assert shown.end() == 0
        events = [json.loads(line)["event"] for line in shown.text.splitlines() if line.startswith("{")]
        assert events == ["transition", "transition", "outcome"]
        assert b"\x1b[" not in shown.written
