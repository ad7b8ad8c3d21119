"""The report's HTML page: its figures, links and charts."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
from test_documents import BEGIN, COMPLETED, FAILED, PHASES, board_of, changed, outcome_of

from automl_waiter import AccessDenied
from automl_waiter._model.candidates import Leaderboard
from automl_waiter.report.charts import bars_svg, plot_svg
from automl_waiter.report.document import Bar, Document, Fact, Facts, Figures, Plot, Point, Table, Tone
from automl_waiter.report.facts import report_document
from automl_waiter.report.html import page
from automl_waiter.report.markdown import markdown
from automl_waiter.report.ticks import time_ticks
from automl_waiter.testing import Timeline

CONSOLE = "https://us-east-1.console.aws.amazon.com/sagemaker/home?region=us-east-1"


def report_of(timeline: Timeline) -> Document:
    outcome = outcome_of(timeline)
    return report_document(outcome, outcome.transitions, board_of(outcome, timeline))


def test_a_page_is_complete_and_well_formed() -> None:
    """It has a title, a language and its own style, loads nothing, and is well-formed including the charts."""
    text = page(report_of(COMPLETED))
    tree = ElementTree.fromstring(re.sub(r"<meta[^>]*>", "", text.partition("\n")[2]))
    assert tree.find("head/title").text == "simulated: completed"  # type: ignore[union-attr]
    assert "content=\"default-src 'none'; style-src 'unsafe-inline'\"" in text
    assert not re.search(r"url\(|@import|src=", text)
    assert set(re.findall(r'https?://[^"<]*', text)) == {"http://www.w3.org/2000/svg", CONSOLE}
    assert len(list(tree.iter("{http://www.w3.org/2000/svg}svg"))) == 2
    assert text.count("<circle") == 8


# The figures and facts


def figures(document: Document) -> list[tuple[str, str]]:
    first = document.blocks[0]
    assert isinstance(first, Figures)
    return list(first.figures)


def test_the_page_begins_with_its_figures() -> None:
    """The page starts with the known ones of best objective, duration and number of candidates."""
    assert figures(report_of(COMPLETED)) == [("best F1", "0.91"), ("took", "38m 30s"), ("candidates", "8")]
    assert figures(report_of(FAILED)) == [("took", "3m 18s")]
    running = outcome_of(Timeline(PHASES), timeout=0, start=700)
    criteria = {"TabularJobConfig": {"CompletionCriteria": {"MaxCandidates": 10}}}
    running = changed(running, AutoMLProblemTypeConfig=criteria)
    board = board_of(running, COMPLETED)
    assert figures(report_document(running, (), board))[1:] == [("so far", "11m 40s"), ("candidates", "8 of 10")]
    partly = replace(board, error=AccessDenied("no more"))
    assert [label for label, _ in figures(report_document(running, (), partly))] == ["best F1", "so far"]
    assert '<div class="figures"><div><b>0.91</b><span>best F1</span></div>' in page(report_of(COMPLETED))


def test_candidates_have_their_algorithm() -> None:
    """The candidates table has an algorithm column unless no algorithm is known."""

    def columns(board: Leaderboard) -> tuple[str, ...]:
        document = report_document(outcome, (), board)
        [table] = [one for one in document.blocks if isinstance(one, Table) and "Candidates" in str(one.title)]
        return table.columns

    outcome = outcome_of(COMPLETED)
    board = board_of(outcome, COMPLETED)
    assert columns(board) == ("", "candidate", "objective", "algorithm", "status", "trained in")
    unknown = [changed_candidate(one, InferenceContainers=[]) for one in board.candidates]
    assert "algorithm" not in columns(Leaderboard(unknown))


def changed_candidate(candidate: object, **raw: object) -> object:
    return type(candidate)({**candidate.raw, **raw})  # type: ignore[call-arg, attr-defined]


def test_a_job_and_its_failed_job_link_to_the_console() -> None:
    """The page links to the console of the job's region, and to the processing job that failed."""
    document = report_of(FAILED)
    text = page(document)
    assert re.findall(r'<a href="([^"]*)" rel="noreferrer">', text) == [
        CONSOLE,
        f"{CONSOLE}#/processing-jobs/db-1-example",
    ]
    assert f"- **console:** [`{CONSOLE}`]({CONSOLE})" in markdown(document)


def test_a_link_is_escaped() -> None:
    """A link cannot add an attribute."""
    document = Document("a", "b", Tone.PLAIN, (Facts((Fact("c", "d", link='https://e/" onclick="f'),)),))
    assert 'href="https://e/&quot; onclick=&quot;f"' in page(document)


# The charts


def places(svg: str, tag: str, *names: str) -> list[tuple[float, ...]]:
    tree = ElementTree.fromstring(svg)
    found = tree.iter(f"{{http://www.w3.org/2000/svg}}{tag}")
    return [tuple(float(one.attrib[name].removesuffix("%")) for name in names) for one in found]


def test_bar_length_is_proportional_to_the_phase_duration() -> None:
    """A phase of twice the duration has a bar of twice the length, which starts where the previous one ends."""
    first, second = timedelta(minutes=10), timedelta(minutes=20)
    bars = [
        Bar("a", BEGIN, BEGIN + first, "10m"),
        Bar("b", BEGIN + first, BEGIN + first + second, "20m", is_sure=False),
    ]
    svg = bars_svg(bars, "t")
    (x1, width1), (x2, width2) = places(svg, "rect", "x", "width")
    assert width2 == pytest.approx(2 * width1, abs=0.02)
    assert x2 == pytest.approx(x1 + width1, abs=0.02)
    assert x2 + width2 == pytest.approx(100)
    assert 'class="unsure"' in svg


@pytest.mark.parametrize(("is_minimized", "best"), [(False, [1, 3, 3]), (True, [1, 1, 1])])
def test_plot_line_is_the_best_value_so_far(is_minimized: bool, best: list[int]) -> None:
    """The line rises, or falls if smaller is better, and never reverses; larger values are higher."""
    values = [1.0, 3.0, 2.0]
    points = tuple(Point(str(value), BEGIN + timedelta(seconds=number), value) for number, value in enumerate(values))
    svg = plot_svg(Plot("t", points, is_minimized=is_minimized))
    heights = dict(zip(values, [y for (y,) in places(svg, "circle", "cy")], strict=True))
    assert heights[3.0] < heights[2.0] < heights[1.0]
    drawn = [
        tuple(map(float, found))
        for found in re.findall(r'class="best" x1="(.*?)%" x2="(.*?)%" y1="(.*?)" y2="(.*?)"', svg)
    ]
    assert drawn[0][0] == 0
    assert drawn[-1][1] == 100
    # Each line starts where the previous one ends.
    assert [(x1, y1) for x1, _, y1, _ in drawn[1:]] == [(x2, y2) for _, x2, _, y2 in drawn[:-1]]
    assert list(dict.fromkeys(y2 for *_, y2 in drawn)) == [heights[float(value)] for value in dict.fromkeys(best)]


def test_equal_values_can_be_drawn() -> None:
    """Candidates of one value, also zero, at one instant give a plot."""
    for value in (0.0, 0.5, -2.0):
        points = tuple(Point("a", BEGIN, value) for _ in range(2))
        assert "NaN" not in plot_svg(Plot("t", points, is_minimized=False))


NOON = datetime(2026, 11, 24, 12, 3, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        (0.2, ["12:03:20"]),
        (3, ["12:03:20", "12:03:21", "12:03:22", "12:03:23"]),
        (198, ["12:04", "12:05", "12:06"]),
        (46 * 60, ["12:10", "12:20", "12:30", "12:40"]),
        (110 * 60, ["12:15", "12:30", "12:45", "13:00", "13:15", "13:30", "13:45"]),
        (30 * 3600, ["18:00", "Nov 25", "06:00", "12:00", "18:00"]),
        (72 * 3600, ["Nov 25", "12:00", "Nov 26", "12:00", "Nov 27", "12:00"]),
        (60 * 86400, ["Dec 3", "Dec 13", "Dec 23", "Jan 2", "Jan 12", "Jan 22"]),
    ],
)
def test_ticks_are_round_clock_times(seconds: float, labels: list[str]) -> None:
    """A time axis has up to seven round times; a tick at midnight shows the date."""
    assert [tick.label for tick in time_ticks(NOON, NOON + timedelta(seconds=seconds))] == labels


def test_any_period_has_two_to_seven_ticks() -> None:
    """From seconds to months each tick is within the period."""
    for power in range(1, 48):
        end = NOON + timedelta(seconds=3 * 1.4**power)
        ticks = time_ticks(NOON, end)
        assert 2 <= len(ticks) <= 7, end - NOON
        assert all(NOON <= tick.at <= end for tick in ticks)


@pytest.mark.parametrize("days", [0.001, 0.04, 1.5, 90])
def test_ticks_are_at_the_position_of_their_time(days: float) -> None:
    """A tick's label and line are at its time's position on the axis."""
    end = NOON + timedelta(days=days)
    svg = bars_svg([Bar("a", NOON, end, "")], "t")
    ticks = time_ticks(NOON, end)
    expected = [round(100 * (tick.at - NOON) / (end - NOON), 2) for tick in ticks]
    assert [x1 for x1, x2 in places(svg, "line", "x1", "x2")[1:] if x1 == x2] == expected
    assert re.findall(r'text-anchor="\w+">([^<]*)<', svg) == [tick.label for tick in ticks]
