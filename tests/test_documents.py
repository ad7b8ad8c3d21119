"""What people are told of a job, in its forms, and that nothing in it is more than text."""

import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from conftest import TRACES, Recorded

from automl_waiter import AccessDenied, ExitCode, Outcome, Snapshot, Verdict
from automl_waiter._model.candidates import Leaderboard, Training, ranked
from automl_waiter._model.console import console_url
from automl_waiter._model.exit_codes import is_bad
from automl_waiter._model.phases import NOT_WATCHED, phases_of
from automl_waiter._model.snapshot import Candidate
from automl_waiter._model.statuses import State
from automl_waiter._model.tracker import Transition
from automl_waiter._model.verdicts import Part
from automl_waiter.report.document import Document, Fact, Facts, Note, Notes, Plot, Point, Table, Tone
from automl_waiter.report.facts import (
    outcome_document,
    report_document,
    snapshot_document,
    status_line,
)
from automl_waiter.report.html import fragment, page
from automl_waiter.report.markdown import code, escaped, markdown
from automl_waiter.report.plain_text import text_lines
from automl_waiter.report.several import outcomes_document
from automl_waiter.testing import Timeline, simulate

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
PHASES = [
    (0, "InProgress", "Starting"),
    (60, "InProgress", "AnalyzingData"),
    (570, "InProgress", "ModelTuning"),
]
COMPLETED = Timeline(
    [*PHASES, (1890, "InProgress", "GeneratingExplainabilityReport"), (2310, "Completed", "Completed")],
    max_runtime=3600,
)
FAILED = Timeline(
    [*PHASES[:2], (198, "Failed", "Failed")],
    failure_reason="Could not complete the data builder processing job. The AutoML Job cannot continue. Failed Job Arn: "
    "arn:aws:sagemaker:us-east-1:123456789012:processing-job/db-1-example, Error message: ClientError: Target attribute "
    "name is_positive does not exist in header.",
)
DEGRADED = Timeline([*PHASES, (2310, "Completed", "ModelDeploymentError")], deploy=True)
WARNED = Timeline([*PHASES, (2310, "Completed", "ExplainabilityError")])
SCRIPTS = {"completed": COMPLETED, "failed": FAILED, "degraded": DEGRADED}
HOSTILE = "a<script>alert(1)</script>|*b*`c`[d](http://e)\x1b[31m\n::error::f\u202e&amp; \"g\" 'h' $i$ _j_ ~~k~~"


def outcome_of(timeline: Timeline, **options: Any) -> Outcome:
    return simulate(timeline, **options).outcome


def board_of(outcome: Outcome, timeline: Timeline) -> Leaderboard:
    assert outcome.snapshot is not None
    found = timeline.candidates(
        1e6, name=outcome.job_name, created=outcome.snapshot.created_at, arn=outcome.snapshot.arn
    )
    return Leaderboard(ranked(map(Candidate, found)))


def plain(document: Document) -> str:
    return "".join(f"{line}\n" for line in text_lines(document))


# The forms, as recorded


@pytest.mark.parametrize("script", SCRIPTS)
def test_how_a_wait_ended(recorded: Recorded, script: str) -> None:
    """The end of a wait: the verdict, the phases, the best candidate, where things lie, and what to do."""
    document = outcome_document(outcome_of(SCRIPTS[script]))
    recorded(f"outcome_{script}.txt", plain(document))
    recorded(f"outcome_{script}.md", markdown(document))


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_happened_to_a_job(recorded: Recorded, script: str) -> None:
    """A report has all candidates too, the best first."""
    outcome = outcome_of(SCRIPTS[script])
    document = report_document(outcome, outcome.transitions, board_of(outcome, SCRIPTS[script]))
    recorded(f"report_{script}.txt", plain(document))
    recorded(f"report_{script}.md", markdown(document))


def test_a_job_that_nobody_watched(recorded: Recorded) -> None:
    """Of a job that nobody watched the report tells what the response knows: its span, and when candidates were trained."""
    outcome = outcome_of(COMPLETED, start=5000)
    recorded("report_unwatched.txt", plain(report_document(outcome, (), board_of(outcome, COMPLETED))))


def test_several_jobs(recorded: Recorded) -> None:
    """Several jobs have one headline and a row each; those in trouble also have their reason and next step."""
    document = outcomes_document(list(several_outcomes().values()))
    recorded("outcomes.txt", plain(document))
    recorded("outcomes.md", markdown(document))


def several_outcomes() -> dict[str, Outcome]:
    scripts = {**SCRIPTS, "warned": WARNED, "stopped": Timeline([*PHASES, (900, "Stopped", "Stopped")])}
    outcomes = {name: outcome_of(timeline) for name, timeline in scripts.items()}
    outcomes["late"] = outcome_of(Timeline(PHASES), timeout=600)
    return {name: named(outcome, name) for name, outcome in outcomes.items()}


def named(outcome: Outcome, name: str) -> Outcome:
    return replace(changed(outcome, AutoMLJobName=name), job_name=name, job=name)


@pytest.mark.parametrize(
    ("names", "head", "tone"),
    [
        (["completed", "completed"], "all completed", Tone.GOOD),
        (["completed", "warned"], "1 completed, 1 completed with warnings", Tone.WARNING),
        (["failed", "stopped", "failed"], "2 failed, 1 stopped", Tone.BAD),
        (["degraded", "late"], "1 missing a required part, 1 timed out", Tone.BAD),
        ([], "none matched", Tone.PLAIN),
    ],
)
def test_the_headline_counts_how_jobs_ended(names: list[str], head: str, tone: Tone) -> None:
    """Each way to end has its number and its words: a stopped job is not a failure, and a warning is no success alone."""
    outcomes = several_outcomes()
    document = outcomes_document([*map(outcomes.get, names)])  # type: ignore[list-item]
    assert document.subject == f"{len(names)} jobs"
    assert (document.head, document.tone) == (head, tone)


def test_a_stopped_job_needs_attention() -> None:
    """A stopped job is named with its reason, if AWS gives one, and with the way to find out who stopped it."""
    outcomes = several_outcomes()
    stopped = changed(outcomes["stopped"], FailureReason="the budget was exceeded")
    text = plain(outcomes_document([outcomes["completed"], stopped]))
    assert (
        "Needs attention\n  ✗ stopped: stopped: the budget was exceeded. You can still use the completed candidates"
        in text
    )
    assert "AttributeValue=StopAutoMLJob" in text


def test_a_success_among_several_has_one_row() -> None:
    """A job that completed has no more than its row, and one that is still running needs no attention."""
    outcomes = several_outcomes()
    running = replace(outcomes["late"], verdict=Verdict.IN_PROGRESS, exit_code=ExitCode.IN_PROGRESS)
    lines = plain(outcomes_document([outcomes["completed"], running])).splitlines()
    assert len(lines) == 4
    assert lines[0] == "2 jobs: 1 completed, 1 in progress"


def test_each_missing_part_of_a_job_among_several_has_its_next_step() -> None:
    """A job that lacks two parts has a note for each."""
    both = replace(several_outcomes()["degraded"], shortfalls=(Part.ENDPOINT, Part.NO_PARTIAL_FAILURES))
    [*_, notes] = outcomes_document([both, both]).blocks
    assert isinstance(notes, Notes)
    assert [note.text.partition(": ")[0] for note in notes.notes] == ["degraded"] * 4
    assert notes.notes[0].command is not None


@pytest.mark.parametrize(
    ("name", "changes", "note"),
    [
        ("late", {"error": AccessDenied("may not")}, "late: timed out (InProgress/ModelTuning): may not"),
        ("late", {"verdict": Verdict.ERROR, "error": AccessDenied("may not")}, "late: may not"),
        ("failed", {"error": AccessDenied("may not")}, "failed: failed: Could not"),
    ],
)
def test_an_error_does_not_hide_how_a_job_ended(name: str, changes: dict[str, Any], note: str) -> None:
    """An error beside the verdict follows it; an error that ended the wait stands alone."""
    [*_, notes] = outcomes_document([replace(several_outcomes()[name], **changes)] * 2).blocks
    assert isinstance(notes, Notes)
    assert notes.notes[0].text.startswith(note)
    assert "may not" in notes.notes[0].text


def test_partial_failures_among_several_jobs_are_named() -> None:
    """The reason of a partial failure stands in the note of its job."""
    partly = changed(several_outcomes()["completed"], PartialFailureReasons=[{"PartialFailureMessage": "half of it"}])
    partly = replace(partly, verdict=Verdict.DEGRADED, shortfalls=(Part.NO_PARTIAL_FAILURES,))
    text = plain(outcomes_document([partly, partly]))
    assert "! completed: completed, but a part of the job failed: half of it. The partial failures above list" in text


def test_many_jobs_in_trouble_have_one_line_each() -> None:
    """Next steps for a hundred failures would hide the failures: each has its report's command instead."""
    failed = [named(outcome_of(FAILED), f"job-{number}") for number in range(11)]
    [*_, notes] = outcomes_document(failed).blocks
    assert isinstance(notes, Notes)
    assert len(notes.notes) == 11
    assert notes.notes[0].command == "automl-waiter report job-0 --region us-east-1"


@pytest.mark.parametrize("width", [60, 120])
def test_the_text_is_as_wide_as_the_terminal(recorded: Recorded, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal long values wrap beside their labels; commands and values to copy stay one line."""

    class Terminal:
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            return len(text)

        def flush(self) -> None: ...

    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    lines = text_lines(outcome_document(outcome_of(FAILED)), Terminal())  # type: ignore[arg-type]
    text = "".join(re.sub(r"\x1b\[[0-9;]*m", "", line) + "\n" for line in lines)
    recorded(f"outcome_failed_{width}.txt", text)


# Outcomes and reports of one job


def test_a_reason_without_a_job_of_its_own_stands_as_it_is() -> None:
    """A failure reason of another form is told whole; where there is none, that is said."""
    text = plain(outcome_document(outcome_of(replace(FAILED, failure_reason="no data"))))
    assert "  reason           no data\n" in text
    assert "Fix the cause. Then create a new job" in text
    nothing = outcome_of(FAILED)
    assert nothing.snapshot is not None
    silent = Snapshot({name: value for name, value in nothing.snapshot.raw.items() if name != "FailureReason"})
    assert "AWS gave no reason: check" in plain(outcome_document(replace(nothing, snapshot=silent)))


def test_candidates_that_failed_say_why() -> None:
    """Where a candidate has failed, the leaderboard has a column with the reasons."""
    outcome = outcome_of(COMPLETED)
    failed = Candidate(
        {"CandidateName": "x", "CandidateStatus": "Failed", "CreationTime": BEGIN, "FailureReason": "too slow"}
    )
    board = board_of(outcome, COMPLETED)
    text = plain(report_document(outcome, outcome.transitions, Leaderboard([*board.candidates, failed])))
    assert re.search(r"^ +9  x +Failed +too slow$", text, re.MULTILINE)


def test_candidates_that_may_not_be_listed_are_told_as_missing() -> None:
    """A report without the right to list candidates says so, and tells the rest."""
    outcome = outcome_of(COMPLETED)
    text = plain(report_document(outcome, outcome.transitions, Leaderboard((), AccessDenied("may not"))))
    assert "! The candidates could not be listed: may not" in text
    assert "best candidate   simulated-001, F1 0.91" in text


def test_a_job_that_ran_into_its_limit_has_no_failed_endpoint_to_check() -> None:
    """At the runtime limit AWS does not start a deployment, so the next step is to deploy, or to raise the limit."""
    outcome = outcome_of(DEGRADED)
    assert outcome.snapshot is not None
    raw = {**outcome.snapshot.raw, "AutoMLJobSecondaryStatus": "MaxAutoMLJobRuntimeReached"}
    text = plain(outcome_document(replace(outcome, snapshot=Snapshot(raw))))
    assert "did not deploy" in text
    assert "list-endpoints" not in text


@pytest.mark.parametrize(
    ("raw", "step"),
    [
        ({"AutoMLJobSecondaryStatus": "ExplainabilityError"}, "without its explainability report"),
        ({"AutoMLJobSecondaryStatus": "ModelInsightsError"}, "without its model insights report"),
        ({"PartialFailureReasons": [{"PartialFailureMessage": "half"}]}, "The partial failures above list"),
        ({"BestCandidate": None}, "automl-waiter report simulated --region us-east-1"),
    ],
)
def test_each_shortfall_has_a_next_step(raw: dict[str, Any], step: str) -> None:
    """Whatever part is missing, it is told in plain words, with what to do."""
    from automl_waiter._model.outcome import shortfalls_of

    outcome = outcome_of(COMPLETED)
    assert outcome.snapshot is not None
    snapshot = Snapshot({**outcome.snapshot.raw, **raw})
    [part] = shortfalls_of(snapshot)
    text = plain(outcome_document(replace(outcome, snapshot=snapshot, shortfalls=(part,))))
    assert f"  missing          {part}: " in text
    assert step in text


def test_a_part_that_is_missing_and_not_required_is_a_warning() -> None:
    """The same shortfall is an error where the part was required, and a warning where it was not."""
    outcome = outcome_of(DEGRADED)
    assert outcome_document(outcome).head == "completed, missing: endpoint"
    assert outcome_document(replace(outcome, exit_code=ExitCode.OK)).head == "completed with warnings"
    assert status_line(outcome_of(WARNED)).startswith("simulated: completed with warnings after 38m 30s; missing: exp")
    assert outcome_document(outcome).tone is Tone.BAD
    assert outcome_document(replace(outcome, exit_code=ExitCode.OK)).tone is Tone.WARNING
    assert outcome_document(outcome_of(COMPLETED)).tone is Tone.GOOD


def test_a_stopped_job_says_how_to_find_out_who_stopped_it() -> None:
    """Stopped is no success, and CloudTrail knows who it was."""
    text = plain(outcome_document(outcome_of(Timeline([*PHASES, (900, "Stopped", "Stopped")]))))
    assert text.startswith("simulated: stopped\n")
    assert "AttributeValue=StopAutoMLJob --region us-east-1" in text


def test_metrics_stand_in_a_column_for_each_split() -> None:
    """The best candidate's metrics are told for each data split that AWS names, and for none where it names none."""
    outcome = outcome_of(COMPLETED)
    assert outcome.snapshot is not None
    metrics = [
        {"StandardMetricName": "F1", "Value": 0.5, "Set": "Test"},
        {"MetricName": "AUC", "Value": 0.25},
        {"MetricName": "F1", "Value": 1, "Set": "Train"},
    ]
    best = {**outcome.snapshot.raw["BestCandidate"], "CandidateProperties": {"CandidateMetrics": metrics}}
    text = plain(snapshot_document(Snapshot({**outcome.snapshot.raw, "BestCandidate": best})))
    assert "\n  metric  train  test  value\n  F1          1   0.5\n  AUC                   0.25\n" in text


def test_a_snapshot_and_an_outcome_show_themselves_in_a_notebook() -> None:
    """Both have an HTML representation, with what the text has."""
    outcome = outcome_of(COMPLETED)
    assert outcome.snapshot is not None
    for shown in (outcome, outcome.snapshot):
        text = shown._repr_html_()
        assert "simulated: <span class=" in text
        assert "simulated-001, F1 0.91" in text
    never = Outcome(job="a", job_name="a", verdict=outcome.verdict, exit_code=outcome.exit_code)
    assert "a: <span" in never._repr_html_()


# Nothing is more than text


class Parsed(HTMLParser):
    """The tags, the attributes and the text of some HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def hostile_document() -> Document:
    return Document(
        HOSTILE,
        HOSTILE,
        Tone.BAD,
        (
            Facts((Fact(HOSTILE, HOSTILE), Fact("b", HOSTILE, is_code=True)), HOSTILE),
            Table(HOSTILE, ("a", "b"), ((HOSTILE, "b"),)),
            Notes(HOSTILE, (Note(HOSTILE, HOSTILE),)),
            Plot(
                HOSTILE, (Point(HOSTILE, BEGIN, 1.0), Point("b", BEGIN + timedelta(seconds=1), 2.0)), is_minimized=False
            ),
        ),
    )


@pytest.mark.parametrize("form", [page, fragment])
def test_html_holds_no_tag_of_aws(form: Any) -> None:
    """Whatever AWS sent, it makes no tag, no attribute and no entity, and nothing is loaded from anywhere."""
    parsed = Parsed(form(hostile_document()))
    assert not {"script", "img", "a", "iframe", "link", "em"} & set(parsed.tags)
    assert not [name for name, _ in parsed.attributes if name.startswith("on") or name in ("src", "href")]
    assert any("a<script>alert(1)</script>|*b*`c`" in words for words in parsed.words)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", form(hostile_document()))


def test_markdown_is_read_as_it_was_meant() -> None:
    """What means something in Markdown or in HTML is escaped, and a table keeps its columns."""
    text = markdown(hostile_document())
    assert "\\<script\\>alert(1)\\</script\\>\\|\\*b\\*\\`c\\`\\[d\\](http\\://e)" in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("is_positive_x", "is_positive_x"),
        ("_x_", "\\_x\\_"),
        ("# x", "\\# x"),
        ("1. x", "1\\. x"),
        ("0.91", "0.91"),
        ("- x", "\\- x"),
    ],
)
def test_markdown_escapes_no_more_than_it_must(text: str, told: str) -> None:
    """A page that is read as text stays legible."""
    assert escaped(text) == told


def test_code_may_hold_backticks() -> None:
    """A value that is code stays one, whatever backticks and bars it holds."""
    assert code("a``b") == "```a``b```"
    assert code("`a`") == "`` `a` ``"
    assert "|" not in code("a|b")


def test_text_for_a_file_is_one_line_a_fact() -> None:
    """Off a terminal nothing is broken into lines, however long, and no line ends in spaces."""
    lines = text_lines(Document("a", "b", Tone.BAD, (Facts((Fact("reason", "word " * 400 + "end"),)),)))
    assert len(lines) == 2
    assert lines[1].endswith("word end")
    assert not [line for line in text_lines(hostile_document()) if line != line.rstrip() or "\x1b" in line]


def test_a_job_is_told_in_a_line() -> None:
    """What one look has found stands in one line: the state and the age, or the end, what was reached, and why not more."""
    running = outcome_of(Timeline(PHASES), timeout=0, start=700)
    assert status_line(running) == "simulated: InProgress/ModelTuning, 11m 40s after creation"
    assert status_line(outcome_of(COMPLETED)) == "simulated: completed after 38m 30s; F1 0.91"
    assert status_line(outcome_of(DEGRADED)) == "simulated: completed after 38m 30s; missing: endpoint; F1 0.91"
    assert (
        status_line(outcome_of(replace(FAILED, failure_reason="no data"))) == "simulated: failed after 3m 18s; no data"
    )
    denied = replace(running, verdict=Verdict.ERROR, error=AccessDenied("may not"))
    assert status_line(denied) == "simulated: may not"
    assert status_line(changed(outcome_of(COMPLETED), EndTime=None)) == "simulated: completed; F1 0.91"


def test_a_signal_is_an_interruption() -> None:
    """People read that a signal has interrupted the wait, and that a program has cancelled it."""
    running = replace(outcome_of(Timeline(PHASES), timeout=0), verdict=Verdict.CANCELLED)
    assert outcome_document(replace(running, exit_code=ExitCode.TERMINATED)).head == "the wait was interrupted"
    assert outcome_document(replace(running, exit_code=ExitCode.INTERRUPTED)).tone is Tone.WARNING
    assert [is_bad(code) for code in (ExitCode.OK, ExitCode.IN_PROGRESS, ExitCode.FAILED)] == [False, False, True]


def test_very_many_jobs_are_told_at_once() -> None:
    """The table of thousands of jobs has each, aligned as that of a few, and what is wrong with each."""
    failed = [replace(outcome_of(FAILED), job_name=f"job-{number}") for number in range(1500)]
    lines = plain(outcomes_document(failed)).splitlines()
    assert lines[:3] == [
        "1500 jobs: all failed",
        "     job       how it ended    took  best",
        "  ✗  job-0     failed        3m 18s",
    ]
    assert len(lines) == 1 + 1501 + 2 + 1500
    assert lines[-1].startswith("  ✗ job-1499: failed: Could not complete")


def test_what_is_asked_to_be_coloured_in_a_file_is_still_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """FORCE_COLOR makes no terminal of a file: nothing is broken into lines, where a runner would take one for a command."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    reason = "word " * 20 + "::stop-commands::x"
    lines = text_lines(outcome_document(outcome_of(replace(FAILED, failure_reason=reason))), io.StringIO())
    assert not [line for line in lines if line.strip().startswith("::")]


# How long each phase lasted


def second(at: datetime | None) -> float | None:
    return None if at is None else (at - BEGIN).total_seconds()


def transitions(*seen: tuple[float, str, str]) -> list[Transition]:
    found: list[Transition] = []
    for age, status, secondary in seen:
        before = found[-1] if found else None
        observed = BEGIN + timedelta(seconds=age)
        found.append(
            Transition(
                "a", "arn", before and before.after, State(status, secondary), observed, before and before.observed_at
            )
        )
    return found


@pytest.mark.parametrize(
    ("seen", "ended", "phases"),
    [
        ((), None, [(NOT_WATCHED, 0, None)]),
        ((), 50, [(NOT_WATCHED, 0, 50)]),
        (((5, "InProgress", "Starting"),), None, [("Starting", 0, None)]),
        (((50, "InProgress", "ModelTuning"),), None, [(NOT_WATCHED, 0, 50), ("ModelTuning", 50, None)]),
        (((5, "InProgress", "ModelTuning"),), None, [("ModelTuning", 0, None)]),
        (((70, "Completed", "Completed"),), 50, [(NOT_WATCHED, 0, 50)]),
        (((5, "InProgress", "Starting"), (70, "Failed", "Failed")), 50, [("Starting", 0, 50)]),
        (((5, "InProgress", "Starting"),), 50, [("Starting", 0, 50)]),
        (
            ((5, "InProgress", "Starting"), (9, "Stopping", "Stopping")),
            None,
            [("Starting", 0, 9), ("Stopping", 9, None)],
        ),
        (((60, "InProgress", "Starting"), (70, "InProgress", "New")), 50, [("Starting", 0, 70), ("New", 70, 70)]),
    ],
)
def test_phases_are_told_as_they_were_seen(
    seen: Any, ended: int | None, phases: list[tuple[str, int, int | None]]
) -> None:
    """From what was seen, the creation and the end follow the phases; what was not watched is told as that."""
    ended_at = None if ended is None else BEGIN + timedelta(seconds=ended)
    found = phases_of(transitions(*seen), BEGIN, ended_at)
    assert [(phase.name, second(phase.begin), second(phase.end)) for phase in found] == phases


@pytest.mark.parametrize(
    ("seen", "trained", "phases"),
    [
        # Training began between two polls: no later than its first candidate.
        (
            ((0, "InProgress", "FeatureEngineering"), (90, "InProgress", "ModelTuning")),
            (70, 80),
            [("FeatureEngineering", 0, 70), ("ModelTuning", 70, None)],
        ),
        # A candidate from before the previous poll does not say when training began.
        (
            ((10, "InProgress", "Starting"), (90, "InProgress", "TrainingModels")),
            (2, 80),
            [("Starting", 0, 90), ("TrainingModels", 90, None)],
        ),
        (((90, "InProgress", "ModelTuning"),), (70, 80), [(NOT_WATCHED, 0, 70), ("ModelTuning", 70, None)]),
        # An unknown status is not taken for training.
        (
            ((90, "InProgress", "New"),),
            (70, 80),
            [
                (f"{NOT_WATCHED}, before training", 0, 70),
                ("candidates trained", 70, 80),
                (f"{NOT_WATCHED}, after training", 80, 90),
                ("New", 90, None),
            ],
        ),
        (((200, "Completed", "Completed"),), (0, 250), [("candidates trained", 0, 100)]),
        (
            ((90, "InProgress", "ModelTuning"), (200, "Completed", "Completed")),
            (300, 310),
            [(NOT_WATCHED, 0, 90), ("ModelTuning", 90, 100)],
        ),
    ],
)
def test_candidates_bound_the_phases(
    seen: Any, trained: tuple[int, int], phases: list[tuple[str, int, int | None]]
) -> None:
    """The candidates' times say when training began, and what an unobserved job did."""
    training = Training(*(BEGIN + timedelta(seconds=second) for second in trained))
    ended_at = BEGIN + timedelta(seconds=100) if seen[-1][1] == "Completed" else None
    found = phases_of(transitions(*seen), BEGIN, ended_at, training)
    assert [(phase.name, second(phase.begin), second(phase.end)) for phase in found] == phases
    assert [phase.name for phase in found if not phase.is_watched] == [
        name for name, *_ in phases if name.startswith(NOT_WATCHED)
    ]


def test_a_phase_that_the_first_poll_found_may_have_begun_earlier() -> None:
    """Its duration is a lower bound, unless a candidate says when it began."""
    seen = transitions((60, "InProgress", "ModelTuning"), (200, "Completed", "Completed"))
    end = BEGIN + timedelta(seconds=100)
    assert [phase.is_begin_known for phase in phases_of(seen, BEGIN, end)] == [True, False]
    training = Training(BEGIN + timedelta(seconds=50), end)
    assert [phase.is_begin_known for phase in phases_of(seen, BEGIN, end, training)] == [True, True]
    running = outcome_of(Timeline([*PHASES, (2310, "Completed", "Completed")]), start=700)
    assert re.search(
        r"  ModelTuning  +before 2026-01-01 00:00:00  +at least 26m 50s\n", plain(outcome_document(running))
    )


@pytest.mark.parametrize(
    ("arn", "url"),
    [
        ("aws:sagemaker:eu-west-1:1:automl-job/a", "eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1"),
        (
            "aws-cn:sagemaker:cn-north-1:1:automl-job/a",
            "cn-north-1.console.amazonaws.cn/sagemaker/home?region=cn-north-1",
        ),
        (
            "aws-us-gov:sagemaker:us-gov-west-1:1:processing-job/db-1",
            "us-gov-west-1.console.amazonaws-us-gov.com/sagemaker/home?region=us-gov-west-1#/processing-jobs/db-1",
        ),
        (
            'aws:sagemaker:us-east-1:1:training-job/a"b',
            "us-east-1.console.aws.amazon.com/sagemaker/home?region=us-east-1#/jobs/a%22b",
        ),
        ("aws-iso:sagemaker:us-iso-east-1:1:automl-job/a", None),
        ("aws:sagemaker:us-east-1:1:endpoint/a", None),
        ("aws:sagemaker:evil.example/:1:automl-job/a", None),
        ("", None),
    ],
)
def test_the_console_has_a_link_for_each_partition(arn: str, url: str | None) -> None:
    """A job's ARN leads to the console of its partition and region, and nowhere else."""
    assert console_url(f"arn:{arn}") == (url and f"https://{url}")


# Whatever a response has or lacks


def changed(outcome: Outcome, **raw: Any) -> Outcome:
    assert outcome.snapshot is not None
    return replace(outcome, snapshot=Snapshot({**outcome.snapshot.raw, **raw}))


def test_calls_that_were_made_again_are_counted() -> None:
    """The summary says how often the job was looked at, and how many calls had to be repeated."""
    outcome = outcome_of(COMPLETED)
    for polls, retries, told in (
        (1, 0, "1 poll\n"),
        (5, 1, "5 polls, 1 retry\n"),
        (5, 2, "5 polls, 2 retries\n"),
    ):
        assert told in plain(outcome_document(replace(outcome, polls=polls, retries=retries)))


def test_what_ended_a_wait_before_its_job_is_told() -> None:
    """An error stands in the summary; of a job that was never seen there is nothing else."""
    outcome = replace(
        outcome_of(COMPLETED),
        snapshot=None,
        transitions=(),
        polls=0,
        verdict=Verdict.ERROR,
        exit_code=ExitCode.DENIED,
        error=AccessDenied("may not"),
    )
    for document in (outcome_document(outcome), report_document(outcome, (), Leaderboard())):
        assert plain(document) == "simulated: error\n  error            may not\n"
    assert "✗ simulated: may not" in plain(outcomes_document([outcome] * 4))


def test_an_endpoint_and_partial_failures_are_facts() -> None:
    """What a job deployed, and what failed beside its result, is told, each for itself."""
    outcome = changed(
        outcome_of(COMPLETED),
        ModelDeployResult={"EndpointName": "live"},
        PartialFailureReasons=[{"PartialFailureMessage": "one"}, {"PartialFailureMessage": "two"}, {}],
        AutoMLJobArtifacts={"DataExplorationNotebookLocation": "s3://b/data.ipynb"},
    )
    text = plain(outcome_document(outcome))
    for line in (
        "  endpoint         live\n",
        "  partial failure  one\n  partial failure  two\n",
        "  data exploration  s3://b/data.ipynb\n",
    ):
        assert line in text


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"AutoMLProblemTypeConfig": {}, "ResolvedAttributes": {}}, "Tabular, objective F1"),
        ({"AutoMLJobObjective": {}, "ResolvedAttributes": {}}, "Tabular (BinaryClassification)"),
        ({"AutoMLProblemTypeConfigName": None, "AutoMLJobObjective": None, "ResolvedAttributes": None}, None),
        (
            {
                "ResolvedAttributes": {
                    "AutoMLProblemTypeResolvedAttributes": {"TabularResolvedAttributes": {"ProblemType": "Regression"}}
                }
            },
            "Tabular (Regression), objective F1",
        ),
    ],
)
def test_a_job_is_of_the_kind_that_is_known(raw: dict[str, Any], told: str | None) -> None:
    """Its problem type and its objective are told as far as the response knows them, the resolved ones first."""
    text = plain(outcome_document(changed(outcome_of(COMPLETED), **raw)))
    assert re.findall(r"^  job +(.*)$", text, re.MULTILINE) == ([told] if told else [])


def test_a_candidate_may_lack_everything() -> None:
    """A best candidate without a metric, a name or a property is told as it is."""
    for best in (
        {},
        {"CandidateProperties": {}},
        {"CandidateProperties": {"CandidateMetrics": [{"MetricName": "F1"}]}},
    ):
        text = plain(outcome_document(changed(outcome_of(COMPLETED), BestCandidate=best)))
        assert "  best candidate   without a name\n" in text
        assert "Metrics" not in text
        assert "Artifacts" not in text


def test_some_candidates_are_better_than_none() -> None:
    """What was listed before a page failed is told, with what is wrong; one candidate alone is no plot."""
    outcome = outcome_of(COMPLETED)
    board = board_of(outcome, COMPLETED)
    document = report_document(outcome, outcome.transitions, Leaderboard(board.candidates[:1], AccessDenied("no more")))
    assert "! Some candidates are missing: no more" in plain(document)
    assert "Candidates (1)" in plain(document)
    assert not [block for block in document.blocks if isinstance(block, Plot)]


@pytest.mark.parametrize(
    ("reason", "facts"),
    [
        (
            "Failed Job Arn: arn:aws:sagemaker:r:1:training-job/x",
            [("reason", "a step of the job failed"), ("failed step", "arn:aws:sagemaker:r:1:training-job/x")],
        ),
        (
            "a. Failed Job Arn: arn:aws:x:r:1:other/x, Error message: b",
            [("reason", "a."), ("failed step", "arn:aws:x:r:1:other/x"), ("message", "b")],
        ),
    ],
)
def test_a_reason_is_told_in_its_parts(reason: str, facts: list[tuple[str, str]]) -> None:
    """What failed, of which job, and what that said: as far as the reason has them."""
    document = outcome_document(outcome_of(replace(FAILED, failure_reason=reason)))
    [told] = [block for block in document.blocks if isinstance(block, Facts)][:1]
    assert [(fact.label, fact.value) for fact in told.facts][-len(facts) :] == facts


@pytest.mark.skipif(not TRACES.exists(), reason="the recorded jobs are not at hand")
def test_every_recorded_response_can_be_shown() -> None:
    """Each response that was recorded of a real job has a text, a Markdown and an HTML form, with its status."""
    responses = sorted((TRACES / "responses").glob("*.json"))
    assert responses
    for path in responses:
        document = snapshot_document(Snapshot(json.loads(path.read_text())))
        for text in (plain(document), markdown(document), fragment(document)):
            assert document.head in text


def test_a_report_is_as_of_its_own_look() -> None:
    """What a journal has last seen may be hours old: the report is as of the look that was made for it."""
    running = outcome_of(Timeline(PHASES), timeout=0, start=700)
    earlier = [replace(seen, observed_at=seen.observed_at - timedelta(minutes=5)) for seen in running.transitions]
    assert "  generated        2026-01-01 00:00:00 UTC" in plain(report_document(running, earlier, Leaderboard()))


def test_a_report_of_a_running_job_says_when_it_was_made(recorded: Recorded) -> None:
    """The report of a running job says when it was generated, and that its phase began before the first poll."""
    running = outcome_of(Timeline(PHASES), timeout=0, start=700)
    document = report_document(running, running.transitions, Leaderboard((), AccessDenied("may not")))
    recorded("report_running.txt", plain(document))
    assert "- The candidates could not be listed: may not\n" in markdown(document)
