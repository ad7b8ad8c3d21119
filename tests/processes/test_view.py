"""The live view on a terminal: its content and how it is drawn."""

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
from environments import endpoint_environment
from programs import Command
from recordings import Recorded
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


# Content


@pytest.mark.parametrize("width", [60, 120])
def test_frame_of_one_job(recorded: Recorded, width: int) -> None:
    """The frame has the phases with the current one marked, the limit as a bar, the candidates and the next check."""
    recorded(f"live_one_{width}.txt", frame(*at(1700), width))


@pytest.mark.parametrize("width", [60, 120])
def test_frame_of_several_jobs(recorded: Recorded, width: int) -> None:
    """The frame has a table of those in progress and the number of each verdict. A narrow one omits columns."""
    recorded(f"live_several_{width}.txt", frame(*at(1700, OTHERS), width))


@pytest.mark.parametrize("width", [60, 120])
def test_frame_while_a_call_is_retried(recorded: Recorded, width: int) -> None:
    """The frame shows the error, the number of attempts and the time of the next one."""
    progress, now = at(1700)
    progress.take(retried(progress, now, 3))
    recorded(f"live_failing_{width}.txt", frame(progress, now + timedelta(seconds=2), width))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_frame_of_one_job_with_an_estimate(recorded: Recorded, width: int) -> None:
    """The bar follows the estimate, and is drawn differently from that of a limit."""
    progress, now = at(1700)
    progress.take(estimated(now))
    recorded(f"live_estimate_{width}.txt", frame(progress, now, width, 24))


def test_frame_without_limit_or_estimate_has_no_bar(recorded: Recorded) -> None:
    """Known pending phases are shown."""
    job = Timeline([*PHASES, (7000, "Completed", "Completed")], deploy=True)
    recorded("live_pending.txt", frame(*at(300, {"churn-2026": job})))


def test_frame_promises_no_completion() -> None:
    """A job in its last phase may still fail."""
    job = Timeline([(0, "InProgress", "GeneratingModelInsightsReport"), (7000, "Completed", "Completed")])
    assert "Completed" not in frame(*at(300, {"churn-2026": job}))


@pytest.mark.parametrize("width", [80, 120])
def test_frame_of_twelve_jobs(recorded: Recorded, width: int) -> None:
    """Ended jobs stay in the table with their verdicts; others show their age, time left and best metric."""
    jobs = {f"nightly-{number:02}": JOB if number % 3 else OTHERS["spam"] for number in range(12)}
    progress, now = at(1700, jobs)
    progress.take(estimated(now, "nightly-04"))
    recorded(f"live_twelve_{width}.txt", frame(progress, now, width, 24))


def test_times_are_local_and_have_a_date_unless_today() -> None:
    """A wait over a weekend shows the date at which a phase started."""
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


def test_ended_job_shows_its_verdict_until_the_summary() -> None:
    """The wait may still read the job's log."""
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
def test_window_title_shows_the_state_of_the_wait(second: float, jobs: Any, watch: bool, title: str) -> None:
    """The taskbar shows the window's title."""
    progress, now = at(second, jobs, watch=watch)
    assert title_of(progress, now) == title
    progress.take(estimated(now, "churn-2026"))
    if jobs is None:
        assert title_of(progress, now) == f"{title}, about 18m left"


def test_name_cannot_end_the_title_sequence() -> None:
    """A job's text cannot leave the escape sequence that contains it."""
    assert title_of(Progress(["a\x07\x1b]2;b"]), ManualClock().now()) == "a ]2;b: waiting"


def test_stopping_job_has_no_estimate() -> None:
    """Its siblings ran to their ends; this job does not."""
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
    """A warning above the frame is wrapped to the terminal's width, in the colour of a warning."""
    console = Console(width=30, force_terminal=True, color_system="standard")
    lines = message_lines("warning: the credentials expire in 3h 5m", Tone.WARNING, console)
    assert [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines] == ["warning: the credentials", "  expire in 3h 5m"]
    assert all(line.startswith("\x1b[") for line in lines)


@pytest.mark.parametrize("width", [5, 12, 30])
def test_no_part_of_a_message_is_lost(width: int) -> None:
    """The terminal wraps lines that are too wide, as with wide characters."""
    console = Console(width=width, force_terminal=True, color_system=None)
    words = "warning: データが足りませんデータが足りませんデータが足りません in us-east-1"
    assert "".join(message_lines(words, Tone.WARNING, console)).replace(" ", "") == words.replace(" ", "")


def test_retries_disappear_with_the_next_poll() -> None:
    """After a successful poll the frame does not show earlier failed calls."""
    progress, now = at(1700)
    [job] = progress.jobs.values()
    assert job.snapshot is not None
    progress.take(retried(progress, now, 3))
    assert "failed 3 times" in frame(progress, now)
    progress.take(Poll("churn-2026", now, job.snapshot, 9, 60.0))
    assert "failed" not in frame(progress, now)


def test_time_before_the_first_poll_is_marked_as_not_watched(recorded: Recorded) -> None:
    """Phases before the first poll are shown as not watched."""
    recorded("live_late.txt", frame(*at(300, start=1200)))


def test_frame_fits_a_terminal_of_few_rows(recorded: Recorded) -> None:
    """With few rows the finished phases are left out, and only as many jobs are shown as fit."""
    many = {f"nightly-{number:02}": JOB for number in range(30)}
    recorded("live_low.txt", frame(*at(1700), height=12) + "\n" + frame(*at(1700, many), height=14))


def test_frame_of_listed_jobs_shows_the_next_listing() -> None:
    """The frame shows when the listing is read next, and its current error."""
    progress, now = at(10, {"a-1": JOB, "a-2": JOB})
    progress.take(Sweep(None, now, 2, 1, 600.0))
    progress.take(retried(progress, now, 1, name=None))
    assert "! DescribeAutoMLJobV2 failed once: no answer" in frame(progress, now)
    progress.take(Sweep(None, now, 2, 1, 0.5))
    assert "failed" not in frame(progress, now)
    assert "next check  now" in frame(progress, now)


def test_frame_before_the_first_poll(recorded: Recorded) -> None:
    """The frame says that nothing is known yet, for one job and for several."""
    now = ManualClock().now()
    recorded("live_first.txt", frame(Progress(["churn-2026"]), now) + "\n" + frame(Progress(["a", "b"]), now))


def test_watch_shows_jobs_in_progress_and_counts_the_ended_ones() -> None:
    """A watch may run for weeks: it keeps the last ten ended jobs and the number of all."""
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
def test_jobs_that_ended_last_are_shown(watch: bool) -> None:
    """Jobs that ended first are left out and counted, whatever their names."""
    ends = {f"job-{number:02}": 2800.0 - 200 * number for number in range(13)}
    jobs = {
        name: Timeline([(0, "InProgress", "Starting"), (end, "Failed", "Failed")], failure_reason="no data")
        for name, end in ends.items()
    }
    text = frame(*at(3000, {**jobs, "slow": JOB_OF_HOURS}, watch=watch), height=14)
    assert re.findall(r"(?:✗|▸) (\S+)", text) == [*list(ends)[:4], "slow"]
    assert "and 9 more" in text


def test_important_columns_remain_with_long_names() -> None:
    """A long phase is cut before an important column is left out."""
    jobs = {f"customer-lifetime-value-emea-{number:02}": JOB for number in range(2)}
    progress, now = at(2000, jobs)
    assert re.search(r"emea-00  GeneratingE\S*…  33m 20s +F1 0\.91$", frame(progress, now, 80), re.MULTILINE)
    assert re.search(r"emea-00  GeneratingE\S*…  F1 0\.91$", frame(progress, now, 65), re.MULTILINE)


def test_frame_of_a_stopping_job_shows_the_reason() -> None:
    """After a stop the frame shows the reason, and that the wait continues until the job has stopped."""
    progress, now = at(1700)
    progress.take(StopRequested("churn-2026", now, "timeout"))
    assert "! the job is being stopped (timeout); the wait ends when it has stopped" in frame(progress, now)


def test_a_name_in_another_case_is_the_same_job() -> None:
    """AWS compares names case-insensitively, and so does the view."""
    progress, now = at(100, {"Churn-2026": JOB})
    progress.take(retried(progress, now, 1, name="churn-2026"))
    assert len(progress.jobs) == 1


@pytest.mark.parametrize("width", [12, 20, 40, 60, 80, 120, 200])
@pytest.mark.parametrize("height", [2, 5, 12, 40])
def test_frame_fits_the_terminal(width: int, height: int) -> None:
    """Whatever the terminal's size, each line leaves its last column free, and the frame its last row."""
    for jobs in ({"churn-2026": JOB}, OTHERS):
        lines = frame(*at(1700, jobs), width, height).splitlines()
        assert len(lines) <= max(1, height - 1)
        assert all(len(line) < width for line in lines)


def test_texts_from_aws_move_no_cursor() -> None:
    """A phase, an error and a metric are printed as text, whatever they contain."""
    hostile = "x\x1b[2J\r\n\u202e::error::y"
    progress, now = at(100, {"churn": Timeline([(0, "InProgress", hostile)])})
    progress.take(Retry("churn", now, "DescribeAutoMLJobV2", 1, "server", None, hostile, 1.0))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", frame(progress, now))


# Drawing


class Emulated:
    """A screen that draws on an emulated terminal."""

    def __init__(self, columns: int = 40, rows: int = 12) -> None:
        self.terminal = pyte.Screen(columns, rows)
        # A terminal's driver turns a line feed into a carriage return and a line feed.
        stream = pyte.Stream(self.terminal)
        self.written = 0

        def write(text: str) -> None:
            self.written += len(text)
            stream.feed(text.replace("\n", "\r\n"))

        self.frame = Frame(write)

    @property
    def shown(self) -> list[str]:
        return "\n".join(line.rstrip() for line in self.terminal.display).rstrip().split("\n")


def test_frame_replaces_the_previous_one() -> None:
    """After any sequence of frames and lines the terminal shows the permanent lines, and the last frame below them."""
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


def test_lines_scroll_above_a_frame_in_the_last_rows() -> None:
    """A frame in the last rows stays one frame when lines are written above it."""
    emulated = Emulated(rows=6)
    for number in range(20):
        emulated.frame.draw(["one", "two"], 40)
        emulated.frame.erase(40, above=[f"line {number}"])
    emulated.frame.draw(["one", "two"], 40)
    assert emulated.shown == ["line 16", "line 17", "line 18", "line 19", "one", "two"]


def test_unchanged_lines_are_not_drawn_again() -> None:
    """An identical frame writes nothing, and a frame with one new line writes that line only."""
    emulated = Emulated()
    emulated.frame.draw(["a" * 30, "b" * 30], 40)
    before = emulated.written
    emulated.frame.draw(["a" * 30, "b" * 30], 40)
    assert emulated.written == before
    emulated.frame.draw(["a" * 30, "c"], 40)
    assert emulated.written - before < 15
    assert emulated.shown == ["a" * 30, "c"]


def test_frame_is_replaced_after_the_terminal_becomes_narrower() -> None:
    """The previous frame takes more rows there, and all of them are overwritten."""
    emulated = Emulated(columns=20)
    # As the terminal shows it after the resize: two lines of 30 on two rows each.
    emulated.frame.draw(["a" * 30, "\x1b[1mb\x1b[0m" * 30], 40)
    emulated.frame.draw(["new"], 20)
    assert emulated.shown == ["new"]


def test_two_hours_write_less_than_two_megabytes() -> None:
    """A wait of two hours is drawn every five seconds."""
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
    with terminal(endpoint, "wait", job, "--poll", "0.2s", *flags, setting=setting) as shown:
        assert shown.end() == 0
        assert re.search(
            rf"^\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\dZ  {job}: InProgress/ModelTuning$", shown.text, re.MULTILINE
        )
        assert b"\x1b[" not in shown.written.partition(b": completed\r\n")[0]
        assert b"\a" not in shown.written


def test_no_color_turns_colours_off(endpoint: Sandbox, new_job: NewJob) -> None:
    """With NO_COLOR there is a view and a summary, both without colour."""
    job = new_job("held-failure")
    with terminal(endpoint, "wait", job, "--poll", "0.2s", setting={"NO_COLOR": "1"}) as shown:
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
    with terminal(endpoint, "wait", job, "--poll", "0.2s", "--exec", command, rows=6) as shown:
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
    line = f'set -m; "{sys.executable}" -m automl_waiter wait {job} --poll 0.2s & wait'
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
    result = inside("wait", new_job("completed"), "--poll", "0.2s", environment={"AUTOML_WAITER_PROGRESS": "live"})
    assert result.returncode == 0
    result = inside("wait", new_job("completed"), "--poll", "0.2s", environment={"AUTOML_WAITER_PROGRESS": "Live"})
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
    with terminal(endpoint, "wait", job, "--poll", "0.2s", "-o", "jsonl", columns=20000) as shown:
        assert shown.end() == 0
        events = [json.loads(line)["event"] for line in shown.text.splitlines() if line.startswith("{")]
        assert events == ["transition", "transition", "outcome"]
        assert b"\x1b[" not in shown.written
