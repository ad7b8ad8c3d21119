"""The live view on a terminal: what it shows by what is known, and how it is drawn."""

import json
import os
import random
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import pyte
import pytest
from conftest import Command, Recorded
from processes import endpoint_environment
from rich.console import Console
from scenes import HINT, JOB, OTHERS, PHASES, at, estimated
from terminals import Terminal

from automl_waiter._model.events import Poll, Retry, StopRequested, Sweep
from automl_waiter.cli.live import Frame, LiveView
from automl_waiter.display.progress import Progress
from automl_waiter.display.terminal import frame_lines, message_lines, title_of
from automl_waiter.report.document import Tone
from automl_waiter.sandbox.server import Sandbox
from automl_waiter.testing import ManualClock, Timeline

JOB_OF_HOURS = Timeline([(0, "InProgress", "Starting"), (9000, "Completed", "Completed")])
NewJob = Callable[[str], str]
KEEP_TITLE, OLD_TITLE = b"\x1b[22;2t", b"\x1b]2;\a\x1b[23;2t"


def frame(progress: Progress, now: datetime, width: int = 100, height: int = 40) -> str:
    console = Console(
        width=width, height=height, no_color=True, force_terminal=False, markup=False, emoji=False, highlight=False
    )
    return "".join(f"{line}\n" for line in frame_lines(progress, now, console, HINT))


def retried(progress: Progress, now: datetime, attempt: int, name: str | None = "churn-2026") -> Retry:
    failed = "no answer in time: Read timeout on endpoint URL https://api.sagemaker.us-east-1.amazonaws.com/"
    return Retry(name, now, "DescribeAutoMLJobV2", attempt, "timeout", None, failed, 12.0)


# What it shows


@pytest.mark.parametrize("width", [60, 120])
def test_one_job(recorded: Recorded, width: int) -> None:
    """One job: its phases, the present one marked, its limit as a bar, its candidates, and the next look."""
    recorded(f"live_one_{width}.txt", frame(*at(1700), width))


@pytest.mark.parametrize("width", [60, 120])
def test_several_jobs(recorded: Recorded, width: int) -> None:
    """Several: those in progress in a table, and how many have ended how. Where there is no room, columns are left out."""
    recorded(f"live_several_{width}.txt", frame(*at(1700, OTHERS), width))


@pytest.mark.parametrize("width", [60, 120])
def test_a_call_that_fails(recorded: Recorded, width: int) -> None:
    """While a call is made again it says what is wrong, how often by now, and when it tries next."""
    progress, now = at(1700)
    progress.take(retried(progress, now, 3))
    recorded(f"live_failing_{width}.txt", frame(progress, now + timedelta(seconds=2), width))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_one_job_with_an_estimate(recorded: Recorded, width: int) -> None:
    """The bar follows the estimate, and looks different from that of a limit."""
    progress, now = at(1700)
    progress.take(estimated(now))
    recorded(f"live_estimate_{width}.txt", frame(progress, now, width, 24))


def test_one_job_without_limit_or_estimate_has_no_bar(recorded: Recorded) -> None:
    """What is still to come is shown as far as it is known."""
    job = Timeline([*PHASES, (7000, "Completed", "Completed")], deploy=True)
    recorded("live_pending.txt", frame(*at(300, {"churn-2026": job})))


def test_no_end_is_promised() -> None:
    """A job in its last phase may still fail."""
    job = Timeline([(0, "InProgress", "GeneratingModelInsightsReport"), (7000, "Completed", "Completed")])
    assert "Completed" not in frame(*at(300, {"churn-2026": job}))


@pytest.mark.parametrize("width", [80, 120])
def test_twelve_jobs(recorded: Recorded, width: int) -> None:
    """Ended jobs stay in the table with how they ended; those in progress show their age, time left and best metric."""
    jobs = {f"nightly-{number:02}": JOB if number % 3 else OTHERS["spam"] for number in range(12)}
    progress, now = at(1700, jobs)
    progress.take(estimated(now, "nightly-04"))
    recorded(f"live_twelve_{width}.txt", frame(progress, now, width, 24))


def test_times_are_those_of_the_reader_and_have_a_date_where_it_is_not_today() -> None:
    """A wait over a weekend shows when a phase began."""
    progress, now = at(1700)
    assert "Starting            19:00  " in frame(progress, now.astimezone(timezone(timedelta(hours=-5))))
    later = now + timedelta(days=2)
    assert "Starting            1 Jan 00:00  " in frame(progress, later)


def test_estimate_in_the_past_fills_no_bar() -> None:
    """A job that takes longer than its siblings is not done."""
    progress, now = at(1700)
    progress.take(estimated(now, left=-300))
    assert "99 %" in frame(progress, now)
    assert "due any moment, expected around 00:23" in frame(progress, now)


def test_ended_job_shows_how_it_ended_until_the_summary() -> None:
    """The wait may still read its log."""
    progress, now = at(300, {"spam": OTHERS["spam"]})
    assert "✗ failed" in frame(progress, now)
    assert "next check" not in frame(progress, now)
    assert "elapsed     3m 20s" in frame(progress, now)


@pytest.mark.parametrize(
    ("second", "jobs", "watch", "title"),
    [
        (1700, None, False, "churn-2026: ModelTuning"),
        (1700, OTHERS, False, "automl-waiter: 2 in progress, 2 ended"),
        (300, {"spam": OTHERS["spam"]}, False, "spam: failed"),
        (1700, OTHERS, True, "automl-waiter: 2 in progress, 2 ended"),
    ],
)
def test_title_says_how_the_wait_is(second: float, jobs: Any, watch: bool, title: str) -> None:
    """The title of the window is read from the taskbar."""
    progress, now = at(second, jobs, watch=watch)
    assert title_of(progress, now) == title
    progress.take(estimated(now, "churn-2026"))
    if jobs is None:
        assert title_of(progress, now) == f"{title}, about 18m left"


def test_no_name_ends_the_title() -> None:
    """A job's text cannot leave the escape sequence in which it stands."""
    assert title_of(Progress(["a\x07\x1b]2;b"]), ManualClock().now()) == "a ]2;b: waiting"


def test_job_that_is_being_stopped_has_no_estimate() -> None:
    """Its siblings ran to their ends, and it does not."""
    progress, now = at(1700)
    progress.take(estimated(now))
    progress.take(StopRequested("churn-2026", now, "timeout"))
    assert "estimate" not in frame(progress, now)
    phases = [(0, "InProgress", "ModelTuning"), (1000, "Stopping", "Stopping"), (1500, "Stopped", "Stopped")]
    for second, is_shown in ((900, True), (1200, False), (1700, False)):
        events, then = at(900, {"churn-2026": Timeline(phases)})
        events.take(estimated(then))
        for transition in at(second, {"churn-2026": Timeline(phases)})[0].jobs["churn-2026"].transitions[1:]:
            events.take(transition)
        assert ("estimate" in frame(events, then)) is is_shown


def test_messages_are_wrapped_at_words() -> None:
    """A warning above the frame is as wide as the terminal, and has the colour of a warning."""
    console = Console(width=30, force_terminal=True, color_system="standard")
    lines = message_lines("warning: the credentials expire in 3h 5m", Tone.WARNING, console)
    assert [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines] == ["warning: the credentials", "  expire in 3h 5m"]
    assert all(line.startswith("\x1b[") for line in lines)


@pytest.mark.parametrize("width", [5, 12, 30])
def test_no_part_of_a_message_is_lost(width: int) -> None:
    """What is too wide, as wide characters may be, is broken by the terminal."""
    console = Console(width=width, force_terminal=True, color_system=None)
    words = "warning: データが足りませんデータが足りませんデータが足りません in us-east-1"
    assert "".join(message_lines(words, Tone.WARNING, console)).replace(" ", "") == words.replace(" ", "")


def test_a_call_that_has_failed_is_forgotten_with_the_next_look() -> None:
    """Once the job was looked at again, nothing is said of calls that failed before."""
    progress, now = at(1700)
    [job] = progress.jobs.values()
    assert job.snapshot is not None
    progress.take(retried(progress, now, 3))
    assert "failed 3 times" in frame(progress, now)
    progress.take(Poll("churn-2026", now, job.snapshot, 9, 60.0))
    assert "failed" not in frame(progress, now)


def test_a_job_that_was_running_before(recorded: Recorded) -> None:
    """What was before the first look is shown as not watched."""
    recorded("live_late.txt", frame(*at(300, start=1200)))


def test_a_low_terminal(recorded: Recorded) -> None:
    """On a few rows the phases that are over are left out, and of many jobs as many are shown as there is room for."""
    many = {f"nightly-{number:02}": JOB for number in range(30)}
    recorded("live_low.txt", frame(*at(1700), height=12) + "\n" + frame(*at(1700, many), height=14))


def test_a_listing() -> None:
    """Of many jobs in a listing it is told when it is read next, and what is wrong with it."""
    progress, now = at(10, {"a-1": JOB, "a-2": JOB})
    progress.take(Sweep(None, now, 2, 1, 600.0))
    progress.take(retried(progress, now, 1, name=None))
    assert "! DescribeAutoMLJobV2 failed once: no answer" in frame(progress, now)
    progress.take(Sweep(None, now, 2, 1, 0.5))
    assert "failed" not in frame(progress, now)
    assert "next check  now" in frame(progress, now)


def test_before_the_first_look(recorded: Recorded) -> None:
    """Before anything is known it says so, of one job and of several."""
    now = ManualClock().now()
    recorded("live_first.txt", frame(Progress(["churn-2026"]), now) + "\n" + frame(Progress(["a", "b"]), now))


def test_a_watch_shows_who_is_in_progress_and_counts_the_others() -> None:
    """A watch may last for weeks: of the jobs that have ended it keeps ten, and how many there were."""
    progress, now = at(1700, OTHERS, watch=True)
    assert "✗ spam" in frame(progress, now)
    ended = {f"job-{number:02}": OTHERS["spam"] for number in range(12)}
    many, later = at(1700, {"churn-2026": JOB, **ended}, watch=True)
    assert set(many.jobs) == {"churn-2026", *(f"job-{number:02}" for number in range(2, 12))}
    assert frame(many, later).startswith("13 jobs: 12 failed, 1 in progress\n")
    assert frame(progress, now).startswith("4 jobs: 1 failed, 1 completed, 2 in progress\n")
    assert frame(Progress(None), now).startswith("no job yet: 0 in progress\n")
    alone, now = at(100, watch=True)
    assert frame(alone, now).startswith("1 job: 1 in progress\n")


@pytest.mark.parametrize("watch", [False, True])
def test_the_jobs_that_ended_last_are_shown(watch: bool) -> None:
    """Those that ended first give way, whatever their names; the jobs that are not shown are counted."""
    ends = {f"job-{number:02}": 2800.0 - 200 * number for number in range(13)}
    jobs = {
        name: Timeline([(0, "InProgress", "Starting"), (end, "Failed", "Failed")], failure_reason="no data")
        for name, end in ends.items()
    }
    text = frame(*at(3000, {**jobs, "slow": JOB_OF_HOURS}, watch=watch), height=14)
    assert re.findall(r"(?:✗|▸) (\S+)", text) == [*list(ends)[:4], "slow"]
    assert "and 9 more" in text


def test_important_columns_remain_beside_long_names() -> None:
    """A long phase is cut before an important column is left out."""
    jobs = {f"customer-lifetime-value-emea-{number:02}": JOB for number in range(2)}
    progress, now = at(2000, jobs)
    assert re.search(r"emea-00  GeneratingE\S*…  33m 20s +F1 0\.91$", frame(progress, now, 80), re.MULTILINE)
    assert re.search(r"emea-00  GeneratingE\S*…  F1 0\.91$", frame(progress, now, 65), re.MULTILINE)


def test_a_job_that_is_being_stopped() -> None:
    """After a stop it says why, and that it waits until the job has stopped."""
    progress, now = at(1700)
    progress.take(StopRequested("churn-2026", now, "timeout"))
    assert "! the job is being stopped (timeout); the wait ends when it has stopped" in frame(progress, now)


def test_a_name_in_another_case_is_the_same_job() -> None:
    """AWS compares names without case, and so does the view."""
    progress, now = at(100, {"Churn-2026": JOB})
    progress.take(retried(progress, now, 1, name="churn-2026"))
    assert len(progress.jobs) == 1


@pytest.mark.parametrize("width", [12, 20, 40, 60, 80, 120, 200])
@pytest.mark.parametrize("height", [2, 5, 12, 40])
def test_nothing_is_wider_or_higher_than_the_terminal(width: int, height: int) -> None:
    """Whatever the terminal's size, each line leaves its last column free, and the frame its last row."""
    for jobs in ({"churn-2026": JOB}, OTHERS):
        lines = frame(*at(1700, jobs), width, height).splitlines()
        assert len(lines) <= max(1, height - 1)
        assert all(len(line) < width for line in lines)


def test_what_aws_says_moves_no_cursor() -> None:
    """A phase, an error and a metric of AWS's are text, whatever they hold."""
    hostile = "x\x1b[2J\r\n\u202e::error::y"
    progress, now = at(100, {"churn": Timeline([(0, "InProgress", hostile)])})
    progress.take(Retry("churn", now, "DescribeAutoMLJobV2", 1, "server", None, hostile, 1.0))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", frame(progress, now))


# How it is drawn


class Emulated:
    """A screen that draws on an emulated terminal."""

    def __init__(self, columns: int = 40, rows: int = 12) -> None:
        self.terminal = pyte.Screen(columns, rows)
        # A terminal's driver makes a carriage return and a line feed of a line feed.
        stream = pyte.Stream(self.terminal)
        self.written = 0

        def write(text: str) -> None:
            self.written += len(text)
            stream.feed(text.replace("\n", "\r\n"))

        self.frame = Frame(write)

    @property
    def shown(self) -> list[str]:
        return "\n".join(line.rstrip() for line in self.terminal.display).rstrip().split("\n")


def test_a_frame_is_drawn_over_the_one_before() -> None:
    """After any sequence of frames and lines the terminal shows the lines that stay, and below them the last frame."""
    chance = random.Random(1)
    for _ in range(30):
        emulated, above = Emulated(rows=40), list[str]()
        for step in range(8):
            lines = [
                f"{number} {chance.choice('abc') * chance.randint(0, 30)}" for number in range(chance.randint(1, 4))
            ]
            emulated.frame.draw(lines, 40)
            assert emulated.shown == [*above, *(line.rstrip() for line in lines)]
            if chance.random() < 0.4:
                above.append(f"line {step}")
                emulated.frame.erase(40, above=above[-1:])
                assert emulated.shown == above


def test_at_the_foot_of_the_terminal_the_lines_above_scroll() -> None:
    """A frame in the last rows stays one frame when lines are written above it."""
    emulated = Emulated(rows=6)
    for number in range(20):
        emulated.frame.draw(["one", "two"], 40)
        emulated.frame.erase(40, above=[f"line {number}"])
    emulated.frame.draw(["one", "two"], 40)
    assert emulated.shown == ["line 16", "line 17", "line 18", "line 19", "one", "two"]


def test_what_has_not_changed_is_not_drawn() -> None:
    """The same frame again costs nothing, and of one with a new line that line alone."""
    emulated = Emulated()
    emulated.frame.draw(["a" * 30, "b" * 30], 40)
    before = emulated.written
    emulated.frame.draw(["a" * 30, "b" * 30], 40)
    assert emulated.written == before
    emulated.frame.draw(["a" * 30, "c"], 40)
    assert emulated.written - before < 15
    assert emulated.shown == ["a" * 30, "c"]


def test_a_terminal_that_has_become_narrower_has_broken_the_lines() -> None:
    """The frame before takes more rows there, and all of them are drawn over."""
    emulated = Emulated(columns=20)
    # As the terminal shows it after the resize: two lines of 30 on two rows each.
    emulated.frame.draw(["a" * 30, "\x1b[1mb\x1b[0m" * 30], 40)
    emulated.frame.draw(["new"], 20)
    assert emulated.shown == ["new"]


def test_two_hours_write_little() -> None:
    """A wait of two hours, drawn every five seconds, writes less than 2 MB."""
    job = Timeline([(0, "InProgress", "ModelTuning"), (10_000, "Completed", "Completed")], max_runtime=20_000)
    progress, now = at(1, {"churn-2026": job}, start=300)
    emulated = Emulated(columns=120, rows=40)
    console = Console(
        width=120, height=40, force_terminal=True, color_system="256", markup=False, emoji=False, highlight=False
    )
    for tick in range(0, 7200, 50):
        emulated.frame.draw(frame_lines(progress, now + timedelta(seconds=tick), console, HINT), 120)
    assert 1000 < emulated.written * 10 < 2_000_000


# The command on a real terminal


@contextmanager
def terminal(endpoint: Sandbox, *arguments: str, **options: Any) -> Iterator[Terminal]:
    shown = Terminal(*arguments, env=endpoint_environment(endpoint.url), **options)
    try:
        yield shown
    finally:
        shown.close()


def test_the_view_gives_way_to_the_summary(endpoint: Sandbox, new_job: NewJob) -> None:
    """While the job runs the view is there; at the end the summary stays, and nothing of the view."""
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
    """How often the bell rang; a title ends with one that does not ring."""
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
def test_where_nothing_is_to_be_drawn_there_are_lines(
    endpoint: Sandbox, new_job: NewJob, setting: dict[str, str], flags: list[str]
) -> None:
    """A dumb terminal, a CI system's terminal, and who asks for it, get a line for each transition."""
    job = new_job("completed")
    with terminal(endpoint, "wait", job, "--poll", "0.2s", *flags, setting=setting) as shown:
        assert shown.end() == 0
        assert re.search(
            rf"^\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\dZ  {job}: InProgress/ModelTuning$", shown.text, re.MULTILINE
        )
        assert b"\x1b[" not in shown.written.partition(b": completed\r\n")[0]
        assert b"\a" not in shown.written


def test_no_color_is_obeyed(endpoint: Sandbox, new_job: NewJob) -> None:
    """With NO_COLOR there is a view and a summary, and no colour in either."""
    job = new_job("held-failure")
    with terminal(endpoint, "wait", job, "--poll", "0.2s", setting={"NO_COLOR": "1"}) as shown:
        shown.until(lambda text: "▸ AnalyzingData" in text)
        endpoint.advance(job)
        assert shown.end() == 10
        assert f"✗ {job}: failed" in shown.text
        assert not re.search(rb"\x1b\[[0-9;]*3[0-9][;m]", shown.written)


def test_ctrl_c_takes_the_view_away(endpoint: Sandbox, new_job: NewJob) -> None:
    """After Ctrl-C the summary and the command that waits on stand where the view stood, and the cursor is to be seen."""
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


def test_what_a_command_prints_stands_above_the_view(endpoint: Sandbox, new_job: NewJob) -> None:
    """The output of --exec, of both its streams, stays above the view in whole lines, and moves nothing."""
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


def test_what_a_command_prints_at_the_end_is_not_lost(endpoint: Sandbox, new_job: NewJob) -> None:
    """The command runs for the last transition too, when the view has gone, and all that it prints is there."""
    job = new_job("completed")
    command = "sh -c 'sleep 0.5; seq 3000; echo done $AUTOML_STATUS'"
    with terminal(endpoint, "wait", job, "--poll", "0.2s", "--exec", command, rows=6) as shown:
        assert shown.end() == 0
        told = shown.written.decode()
    assert re.findall(r"done (\w+)", told) == ["InProgress", "Completed"]
    assert told.count("\r\n2999") == 2 or told.count("2999\x1b[K") + told.count("2999\r") == 2
    assert "--exec" not in told


def test_a_slow_terminal_loses_nothing() -> None:
    """However slowly the terminal takes it, each line is written before the view has gone, and none after."""
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
    """Many shells set a title of their own; the one from before the wait returns at its end."""
    monkeypatch.setenv("TERM", "xterm")
    written: list[str] = []
    view = LiveView(Progress(["a"]), write=written.append)
    view.write("line")
    os.kill(os.getpid(), signal.SIGCONT)
    view.write("line")
    view.close(bell=True)
    title = "\x1b]2;a: waiting\a"
    assert [text for text in written if "]2;" in text] == ["\x1b[22;2t" + title, title, "\x1b]2;\a\x1b[23;2t\a"]


def test_in_the_background_nothing_is_drawn(endpoint: Sandbox, new_job: NewJob) -> None:
    """A shell that has stopped the wait keeps its terminal; brought back, the view begins below what was written."""
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


def test_who_begins_in_the_background_writes_lines(endpoint: Sandbox, new_job: NewJob) -> None:
    """A wait that a shell begins in the background, or that `timeout` runs, tells its transitions in lines."""
    job = new_job("completed")
    line = f'set -m; "{sys.executable}" -m automl_waiter wait {job} --poll 0.2s & wait'
    with terminal(endpoint, instead=["bash", "--norc", "-c", line]) as shown:
        assert shown.end() == 0
        assert re.search(rf"Z  {job}: InProgress/ModelTuning$", shown.text, re.MULTILINE)


def test_several_jobs_are_a_table_and_each_end_a_line(endpoint: Sandbox, new_job: NewJob) -> None:
    """Who waits for several sees those in progress in a table, a line for each that has ended, and how all ended."""
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
    """Transitions are results: they stay, also on the terminal of the view."""
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


def test_the_environment_is_no_reason_to_fail(inside: Command, new_job: NewJob) -> None:
    """Who has AUTOML_WAITER_PROGRESS set to live gets lines where there is no terminal, and nonsense there is a warning."""
    result = inside("wait", new_job("completed"), "--poll", "0.2s", environment={"AUTOML_WAITER_PROGRESS": "live"})
    assert result.returncode == 0
    result = inside("wait", new_job("completed"), "--poll", "0.2s", environment={"AUTOML_WAITER_PROGRESS": "Live"})
    assert result.returncode == 0
    assert "warning: AUTOML_WAITER_PROGRESS must be one of auto, live, lines, github" in result.stderr


def test_a_live_view_without_a_terminal_is_bad_usage(command: Command) -> None:
    """Who asks for what cannot be had reads why."""
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


def test_lines_of_json_on_a_terminal_are_not_drawn_over(endpoint: Sandbox, new_job: NewJob) -> None:
    """With -o jsonl on the terminal itself there is no view: the lines are what was asked for."""
    job = new_job("completed")
    with terminal(endpoint, "wait", job, "--poll", "0.2s", "-o", "jsonl", columns=20000) as shown:
        assert shown.end() == 0
        events = [json.loads(line)["event"] for line in shown.text.splitlines() if line.startswith("{")]
        assert events == ["transition", "transition", "outcome"]
        assert b"\x1b[" not in shown.written
