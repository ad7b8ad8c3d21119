"""The frames of the live view: their content and how they are drawn."""

import random
import re
from datetime import datetime, timedelta, timezone
from typing import Any

import pyte
import pytest
from recordings import Recorded
from rich.console import Console
from scenes import HINT, JOB, OTHERS, PHASES, at, estimated, retried

from automl_waiter._model.events import Poll, Retry, StopRequested, Sweep
from automl_waiter.cli.live import Frame
from automl_waiter.display.progress import Progress
from automl_waiter.display.terminal import frame_lines, message_lines, title_of
from automl_waiter.report.document import Tone
from automl_waiter.testing import ManualClock, Timeline

JOB_OF_HOURS = Timeline([(0, "InProgress", "Starting"), (9000, "Completed", "Completed")])


def frame(progress: Progress, now: datetime, width: int = 100, height: int = 40) -> str:
    console = Console(
        width=width, height=height, no_color=True, force_terminal=False, markup=False, emoji=False, highlight=False
    )
    return "".join(f"{line}\n" for line in frame_lines(progress, now, console, HINT))


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
