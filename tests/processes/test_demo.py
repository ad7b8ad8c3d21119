"""The demo: a recorded job, replayed fast, with the times of the original job."""

import json
import re
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from environments import clean_environment
from programs import COMMAND, Command, run
from terminals import Terminal

from automl_waiter.cli import demo
from automl_waiter.sandbox.scenarios import SCENARIOS

MISLED = {"AWS_PROFILE": "none-such", "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
ADVERTISED = "    automl-waiter wait YOUR-JOB"
# Plays the recorded job in a second.
HURRIED = """
from automl_waiter.cli import demo, main
demo._PAUSES_S, demo._POLLS = 1, 45
raise SystemExit(main())
"""


@pytest.fixture
def played(inside: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs the demo in this process, as fast as possible, with a local configuration that it must ignore."""
    monkeypatch.setattr(demo, "_PAUSES_S", 0.1)
    monkeypatch.setattr(demo, "_POLLS", 10)
    return lambda *words: inside("demo", *words, environment=MISLED)


def test_demo_ends_by_itself_without_aws(played: Callable[..., Any]) -> None:
    """`demo` plays a scenario offline and ignores the machine's profiles, proxies and endpoints."""
    result = played("--scenario", "deploy-error", "-o", "json")
    assert result.returncode == 12, result.stderr
    assert json.loads(result.stdout)["exit_code"] == 12


def test_demo_shows_the_times_of_the_job(played: Callable[..., Any]) -> None:
    """A job of 46 minutes takes 46 minutes in every time and duration shown, and has just ended."""
    result = played("-o", "json")
    [job] = json.loads(result.stdout)["jobs"]
    created, ended = (datetime.fromisoformat(job[name]) for name in ("created_at", "ended_at"))
    assert (ended - created).total_seconds() == SCENARIOS["completed"].end == 2790
    assert abs(datetime.now(UTC) - ended) < timedelta(minutes=1)
    assert 2790 <= job["waited_seconds"] < 2790 + 310
    observed = [datetime.fromisoformat(change["observed_at"]) for change in job["transitions"]]
    assert created <= observed[0] < created + timedelta(seconds=5)
    assert ended <= observed[-1] < ended + timedelta(seconds=310)
    first, *_ = result.stderr.splitlines()
    assert first == "A scripted job of 46m 30s, played 27900 times as fast. All times are the job's."
    assert ": about 46m left, done around " in result.stderr
    assert "based on 6 similar jobs" in result.stderr
    assert ": still InProgress/" in result.stderr  # a line at least every five minutes


def test_failed_job_has_an_estimate_from_completed_ones(played: Callable[..., Any]) -> None:
    """Its estimate is that of a job that completes, and its summary still ends with the verdict."""
    result = played("--scenario", "failed")
    assert result.returncode == 10
    assert "about 46m left" in result.stderr
    verdict, command = result.stdout.splitlines()[-2:]
    assert (": failed after 3m 18s. To wait for a job of your own:" in verdict, command) == (True, ADVERTISED)


def test_view_and_summary_fit_a_small_terminal() -> None:
    """Nothing scrolls away on 80 x 24; the verdict and the next command come last, each on one line."""
    instead = [sys.executable, "-c", HURRIED, "demo"]
    said = (
        *("best so far", " until ", " of about 46m 20s  ━", "  limit       1h\n", "based on 6"),
        *(" of at most 8 trained\n", "Ctrl-C ends the demo"),
    )
    # Around midnight the estimate has a date, for which another part of it is left out.
    env = clean_environment(TZ=f"NOON{datetime.now(UTC).hour - 12:+d}")
    with closing(Terminal(env=env, instead=instead, columns=80, rows=24)) as terminal:
        shown = terminal.until(lambda text: all(words in text for words in said))
        assert terminal.end() == 0
    elapsed = re.search(r"elapsed     (\d+)m", shown)
    assert elapsed
    assert 20 <= int(elapsed[1]) < 40
    lines = terminal.text.splitlines()
    assert len(terminal.screen.history.top) == 0
    assert len(lines) < 24  # the shell's prompt has a line
    assert "played 2790 times as fast" in lines[0]
    assert lines[-2].endswith(": completed after 46m 30s. To wait for a job of your own:")
    assert lines[-1] == ADVERTISED


@pytest.mark.soak
def test_demo_ends_within_40_seconds() -> None:
    """The demo runs in its own process at its own speed."""
    arguments = ["demo", "--scenario", "deploy-error", "-o", "json"]
    result = run([*COMMAND, *arguments], env=clean_environment(**MISLED), timeout=40)
    assert result.returncode == 12, result.stderr
    assert json.loads(result.stdout)["exit_code"] == 12
