"""Summaries and reports of a job in their formats, and the escaping of untrusted text."""

import functools
import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from recordings import Recorded
from repository import TRACES
from scenes import board_of

from automl_waiter import AccessDenied, ExitCode, Outcome, Snapshot, Verdict
from automl_waiter._model.candidates import Leaderboard, Training
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


@functools.cache
def outcome_of(timeline: Timeline, **options: Any) -> Outcome:
    return simulate(timeline, **options).outcome


def plain(document: Document) -> str:
    return "".join(f"{line}\n" for line in text_lines(document))


# Formats, compared with recordings


@pytest.mark.parametrize("script", SCRIPTS)
def test_summary_of_a_wait(recorded: Recorded, script: str) -> None:
    """The summary has the verdict, the phases, the best candidate, the artifacts and the next steps."""
    document = outcome_document(outcome_of(SCRIPTS[script]))
    recorded(f"outcome_{script}.txt", plain(document))
    recorded(f"outcome_{script}.md", markdown(document))


@pytest.mark.parametrize("script", SCRIPTS)
def test_report_of_a_job(recorded: Recorded, script: str) -> None:
    """A report also lists all candidates, the best first."""
    outcome = outcome_of(SCRIPTS[script])
    document = report_document(outcome, outcome.transitions, board_of(outcome, SCRIPTS[script]))
    recorded(f"report_{script}.txt", plain(document))
    recorded(f"report_{script}.md", markdown(document))


def test_report_of_an_unwatched_job(recorded: Recorded) -> None:
    """Without observed transitions, the report has what the response knows: the duration and the training time."""
    outcome = outcome_of(COMPLETED, start=5000)
    recorded("report_unwatched.txt", plain(report_document(outcome, (), board_of(outcome, COMPLETED))))


def test_summary_of_several_jobs(recorded: Recorded) -> None:
    """Several jobs have one headline and a row each; jobs in trouble also have their reason and next step."""
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
    """The headline counts each way to end: a stopped job is not a failure, and a warning is not a plain success."""
    outcomes = several_outcomes()
    document = outcomes_document([*map(outcomes.get, names)])  # type: ignore[list-item]
    assert document.subject == f"{len(names)} jobs"
    assert (document.head, document.tone) == (head, tone)


def test_a_stopped_job_needs_attention() -> None:
    """A stopped job is listed with its reason, if AWS gives one, and the command that finds out who stopped it."""
    outcomes = several_outcomes()
    stopped = changed(outcomes["stopped"], FailureReason="the budget was exceeded")
    text = plain(outcomes_document([outcomes["completed"], stopped]))
    assert (
        "Needs attention\n  ✗ stopped: stopped: the budget was exceeded. You can still use the completed candidates"
        in text
    )
    assert "AttributeValue=StopAutoMLJob" in text


def test_success_among_several_has_only_its_row() -> None:
    """A completed job has only its row, and a running job needs no attention."""
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
    """An error beside the verdict is appended to it; an error that ended the wait is shown alone."""
    [*_, notes] = outcomes_document([replace(several_outcomes()[name], **changes)] * 2).blocks
    assert isinstance(notes, Notes)
    assert notes.notes[0].text.startswith(note)
    assert "may not" in notes.notes[0].text


def test_partial_failures_among_several_jobs_are_named() -> None:
    """The note of a job has the reason of its partial failure."""
    partly = changed(several_outcomes()["completed"], PartialFailureReasons=[{"PartialFailureMessage": "half of it"}])
    partly = replace(partly, verdict=Verdict.DEGRADED, shortfalls=(Part.NO_PARTIAL_FAILURES,))
    text = plain(outcomes_document([partly, partly]))
    assert "! completed: completed, but a part of the job failed: half of it. The partial failures above list" in text


def test_many_jobs_in_trouble_have_one_line_each() -> None:
    """Next steps for many failures would hide the failures, so each has the command of its report instead."""
    failed = [named(outcome_of(FAILED), f"job-{number}") for number in range(11)]
    [*_, notes] = outcomes_document(failed).blocks
    assert isinstance(notes, Notes)
    assert len(notes.notes) == 11
    assert notes.notes[0].command == "automl-waiter report job-0 --region us-east-1"


@pytest.mark.parametrize("width", [60, 120])
def test_text_is_wrapped_to_the_terminal_width(recorded: Recorded, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long values wrap beside their labels; commands and values to copy stay on one line."""

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


def test_failure_reason_without_a_job_arn_is_shown_whole() -> None:
    """A failure reason of another form is shown whole; a missing reason is stated."""
    text = plain(outcome_document(outcome_of(replace(FAILED, failure_reason="no data"))))
    assert "  reason           no data\n" in text
    assert "Fix the cause. Then create a new job" in text
    nothing = outcome_of(FAILED)
    assert nothing.snapshot is not None
    silent = Snapshot({name: value for name, value in nothing.snapshot.raw.items() if name != "FailureReason"})
    assert "AWS gave no reason: check" in plain(outcome_document(replace(nothing, snapshot=silent)))


def test_leaderboard_shows_why_candidates_failed() -> None:
    """If a candidate has failed, the leaderboard has a column with the reasons."""
    outcome = outcome_of(COMPLETED)
    failed = Candidate(
        {"CandidateName": "x", "CandidateStatus": "Failed", "CreationTime": BEGIN, "FailureReason": "too slow"}
    )
    board = board_of(outcome, COMPLETED)
    text = plain(report_document(outcome, outcome.transitions, Leaderboard([*board.candidates, failed])))
    assert re.search(r"^ +9  x +Failed +too slow$", text, re.MULTILINE)


def test_report_says_if_candidates_could_not_be_listed() -> None:
    """Without permission to list candidates the report says so and shows everything else."""
    outcome = outcome_of(COMPLETED)
    text = plain(report_document(outcome, outcome.transitions, Leaderboard((), AccessDenied("may not"))))
    assert "! The candidates could not be listed: may not" in text
    assert "best candidate   simulated-001, F1 0.91" in text


def test_job_at_its_runtime_limit_has_no_endpoint_to_check() -> None:
    """At the runtime limit AWS starts no deployment, so the next step is to deploy or to raise the limit."""
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
    """Each missing part is named in plain words, with the next step."""
    from automl_waiter._model.outcome import shortfalls_of

    outcome = outcome_of(COMPLETED)
    assert outcome.snapshot is not None
    snapshot = Snapshot({**outcome.snapshot.raw, **raw})
    [part] = shortfalls_of(snapshot)
    text = plain(outcome_document(replace(outcome, snapshot=snapshot, shortfalls=(part,))))
    assert f"  missing          {part}: " in text
    assert step in text


def test_missing_part_is_a_warning_unless_required() -> None:
    """The same shortfall is an error if the part is required, and a warning otherwise."""
    outcome = outcome_of(DEGRADED)
    assert outcome_document(outcome).head == "completed, missing: endpoint"
    assert outcome_document(replace(outcome, exit_code=ExitCode.OK)).head == "completed with warnings"
    assert status_line(outcome_of(WARNED)).startswith("simulated: completed with warnings after 38m 30s; missing: exp")
    assert outcome_document(outcome).tone is Tone.BAD
    assert outcome_document(replace(outcome, exit_code=ExitCode.OK)).tone is Tone.WARNING
    assert outcome_document(outcome_of(COMPLETED)).tone is Tone.GOOD


def test_stopped_job_shows_the_cloudtrail_command() -> None:
    """Stopped is not a success, and CloudTrail knows who stopped the job."""
    text = plain(outcome_document(outcome_of(Timeline([*PHASES, (900, "Stopped", "Stopped")]))))
    assert text.startswith("simulated: stopped\n")
    assert "AttributeValue=StopAutoMLJob --region us-east-1" in text


def test_metrics_have_a_column_for_each_data_split() -> None:
    """A metric for which AWS names no data split has a column without one."""
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


def test_snapshot_and_outcome_have_an_html_representation() -> None:
    """A notebook shows both with the content of the text."""
    outcome = outcome_of(COMPLETED)
    assert outcome.snapshot is not None
    for shown in (outcome, outcome.snapshot):
        text = shown._repr_html_()
        assert "simulated: <span class=" in text
        assert "simulated-001, F1 0.91" in text
    never = Outcome(job="a", job_name="a", verdict=outcome.verdict, exit_code=outcome.exit_code)
    assert "a: <span" in never._repr_html_()


# Untrusted text


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
def test_html_escapes_text_from_aws(form: Any) -> None:
    """Text from AWS creates no tag, attribute or entity, and the page loads nothing."""
    parsed = Parsed(form(hostile_document()))
    assert not {"script", "img", "a", "iframe", "link", "em"} & set(parsed.tags)
    assert not [name for name, _ in parsed.attributes if name.startswith("on") or name in ("src", "href")]
    assert any("a<script>alert(1)</script>|*b*`c`" in words for words in parsed.words)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", form(hostile_document()))


def test_markdown_escapes_text_from_aws() -> None:
    """Markdown and HTML syntax is escaped, and a table keeps its columns."""
    text = markdown(hostile_document())
    assert "\\<script\\>alert(1)\\</script\\>\\|\\*b\\*\\`c\\`\\[d\\](http\\://e)" in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("is_positive_x", "is_positive_x"),
        ("_x_", "\\_x\\_"),
        ("# x", "\\# x"),
        ("1. x", "1\\. x"),
        ("0.91", "0.91"),
        ("- x", "\\- x"),
    ],
)
def test_markdown_escapes_only_what_is_needed(text: str, expected: str) -> None:
    """The page stays legible as plain text."""
    assert escaped(text) == expected


def test_code_may_contain_backticks() -> None:
    """Code stays code, whatever backticks and bars it contains."""
    assert code("a``b") == "```a``b```"
    assert code("`a`") == "`` `a` ``"
    assert "|" not in code("a|b")


def test_text_for_a_file_has_one_line_per_fact() -> None:
    """Without a terminal no line is wrapped, however long, and no line ends in spaces."""
    lines = text_lines(Document("a", "b", Tone.BAD, (Facts((Fact("reason", "word " * 400 + "end"),)),)))
    assert len(lines) == 2
    assert lines[1].endswith("word end")
    assert not [line for line in text_lines(hostile_document()) if line != line.rstrip() or "\x1b" in line]


def test_status_line_summarizes_a_job() -> None:
    """The line has the state and the age, or the end, the best metric, and the reason of a shortfall."""
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


def test_signal_is_reported_as_an_interruption() -> None:
    """After a signal the summary says that the wait was interrupted, which is a warning."""
    running = replace(outcome_of(Timeline(PHASES), timeout=0), verdict=Verdict.CANCELLED)
    assert outcome_document(replace(running, exit_code=ExitCode.TERMINATED)).head == "the wait was interrupted"
    assert outcome_document(replace(running, exit_code=ExitCode.INTERRUPTED)).tone is Tone.WARNING
    assert [is_bad(code) for code in (ExitCode.OK, ExitCode.IN_PROGRESS, ExitCode.FAILED)] == [False, False, True]


def test_thousands_of_jobs_fit_one_table() -> None:
    """The table has an aligned row for each job, and each failure has its reason."""
    failed = [replace(outcome_of(FAILED), job_name=f"job-{number}") for number in range(1500)]
    lines = plain(outcomes_document(failed)).splitlines()
    assert lines[:3] == [
        "1500 jobs: all failed",
        "     job       how it ended    took  best",
        "  ✗  job-0     failed        3m 18s",
    ]
    assert len(lines) == 1 + 1501 + 2 + 1500
    assert lines[-1].startswith("  ✗ job-1499: failed: Could not complete")


def test_force_color_does_not_wrap_text_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrapped line could start with a workflow command, which a runner would run."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    reason = "word " * 20 + "::stop-commands::x"
    lines = text_lines(outcome_document(outcome_of(replace(FAILED, failure_reason=reason))), io.StringIO())
    assert not [line for line in lines if line.strip().startswith("::")]


# Phases and their durations


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
def test_phases_are_derived_from_transitions(
    seen: Any, ended: int | None, phases: list[tuple[str, int, int | None]]
) -> None:
    """The first phase begins at the creation and the last one ends with the job; unobserved time is marked."""
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
def test_candidate_times_bound_the_phases(
    seen: Any, trained: tuple[int, int], phases: list[tuple[str, int, int | None]]
) -> None:
    """The candidates' times show when training began and what happened while the job was unobserved."""
    training = Training(*(BEGIN + timedelta(seconds=second) for second in trained))
    ended_at = BEGIN + timedelta(seconds=100) if seen[-1][1] == "Completed" else None
    found = phases_of(transitions(*seen), BEGIN, ended_at, training)
    assert [(phase.name, second(phase.begin), second(phase.end)) for phase in found] == phases
    assert [phase.name for phase in found if not phase.is_watched] == [
        name for name, *_ in phases if name.startswith(NOT_WATCHED)
    ]


def test_phase_found_by_the_first_poll_has_a_minimum_duration() -> None:
    """Its duration is a lower bound, unless a candidate shows when it began."""
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
def test_console_link_is_in_the_jobs_partition(arn: str, url: str | None) -> None:
    """A job's ARN leads to the console of its partition and region; any other ARN has no link."""
    assert console_url(f"arn:{arn}") == (url and f"https://{url}")


# Optional members of a response


def changed(outcome: Outcome, **raw: Any) -> Outcome:
    assert outcome.snapshot is not None
    return replace(outcome, snapshot=Snapshot({**outcome.snapshot.raw, **raw}))


def test_summary_counts_polls_and_retries() -> None:
    """The summary says how often the job was polled and how many calls were retried."""
    outcome = outcome_of(COMPLETED)
    for polls, retries, expected in (
        (1, 0, "1 poll\n"),
        (5, 1, "5 polls, 1 retry\n"),
        (5, 2, "5 polls, 2 retries\n"),
    ):
        assert expected in plain(outcome_document(replace(outcome, polls=polls, retries=retries)))


def test_error_before_the_first_poll_is_the_whole_summary() -> None:
    """For a job that was never seen the summary has only the error."""
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


def test_endpoint_and_partial_failures_are_facts() -> None:
    """The deployed endpoint and each partial failure have a line of their own."""
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
    ("raw", "expected"),
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
def test_problem_type_and_objective_are_shown_if_known(raw: dict[str, Any], expected: str | None) -> None:
    """The resolved problem type and objective take precedence."""
    text = plain(outcome_document(changed(outcome_of(COMPLETED), **raw)))
    assert re.findall(r"^  job +(.*)$", text, re.MULTILINE) == ([expected] if expected else [])


def test_best_candidate_without_metric_or_name_is_shown() -> None:
    """A best candidate without a metric, a name or properties does not break the summary."""
    for best in (
        {},
        {"CandidateProperties": {}},
        {"CandidateProperties": {"CandidateMetrics": [{"MetricName": "F1"}]}},
    ):
        text = plain(outcome_document(changed(outcome_of(COMPLETED), BestCandidate=best)))
        assert "  best candidate   without a name\n" in text
        assert "Metrics" not in text
        assert "Artifacts" not in text


def test_report_keeps_candidates_listed_before_an_error() -> None:
    """Candidates listed before a page failed are shown with the error; one candidate alone gets no plot."""
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
def test_failure_reason_is_split_into_its_parts(reason: str, facts: list[tuple[str, str]]) -> None:
    """The parts are the reason, the failed step and its message, if the reason contains them."""
    document = outcome_document(outcome_of(replace(FAILED, failure_reason=reason)))
    [shown] = [block for block in document.blocks if isinstance(block, Facts)][:1]
    assert [(fact.label, fact.value) for fact in shown.facts][-len(facts) :] == facts


@pytest.mark.skipif(not TRACES.exists(), reason="the recorded jobs are not at hand")
def test_every_recorded_response_can_be_shown() -> None:
    """Each recorded response of a real job has a text, a Markdown and an HTML form with its status."""
    responses = sorted((TRACES / "responses").glob("*.json"))
    assert responses
    for path in responses:
        document = snapshot_document(Snapshot(json.loads(path.read_text())))
        for text in (plain(document), markdown(document), fragment(document)):
            assert document.head in text


def test_report_is_as_of_its_own_poll() -> None:
    """The last observation in a journal may be hours old: the report gives the time of its own poll."""
    running = outcome_of(Timeline(PHASES), timeout=0, start=700)
    earlier = [replace(seen, observed_at=seen.observed_at - timedelta(minutes=5)) for seen in running.transitions]
    assert "  generated        2026-01-01 00:00:00 UTC" in plain(report_document(running, earlier, Leaderboard()))


def test_report_of_a_running_job_says_when_it_was_generated(recorded: Recorded) -> None:
    """The report also says that the phase began before the first poll."""
    running = outcome_of(Timeline(PHASES), timeout=0, start=700)
    document = report_document(running, running.transitions, Leaderboard((), AccessDenied("may not")))
    recorded("report_running.txt", plain(document))
    assert "- The candidates could not be listed: may not\n" in markdown(document)
