"""The facts about one job, composed as a document that every form can show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from automl_waiter._model.candidates import Leaderboard, algorithm_of, is_usable, objective_of
from automl_waiter._model.console import console_url
from automl_waiter._model.estimate_words import estimate_words
from automl_waiter._model.exit_codes import ExitCode
from automl_waiter._model.failure_logs import FAILED_JOB, FailureLog
from automl_waiter._model.phases import Phase, phases_of
from automl_waiter._model.statuses import SecondaryStatus
from automl_waiter._model.text import LONGEST_TEXT, format_duration
from automl_waiter._model.verdicts import EXPLANATIONS, Verdict
from automl_waiter.report.document import (
    Bar,
    Bars,
    Block,
    Document,
    Fact,
    Facts,
    Figure,
    Figures,
    Log,
    Note,
    Notes,
    Plot,
    Point,
    Table,
    Tone,
)
from automl_waiter.report.next_steps import next_steps

if TYPE_CHECKING:
    from automl_waiter._model.outcome import Outcome
    from automl_waiter._model.snapshot import Candidate, Snapshot
    from automl_waiter._model.tracker import Transition

_SPLITS = ("Train", "Validation", "Test")
# The other verdicts are shown by their own names.
_HEADS = {
    Verdict.CONDITION_MET: "condition met",
    Verdict.CONDITION_NOT_MET: "completed before the condition was met",
    Verdict.CANCELLED: "wait interrupted",
}
_UNDECIDED_TONE = {
    Verdict.TIMED_OUT: Tone.WARNING,
    Verdict.CANCELLED: Tone.WARNING,
    Verdict.IN_PROGRESS: Tone.PLAIN,
}


def head_of(outcome: Outcome) -> str:
    """Return how a wait ended, in a few words."""
    if outcome.verdict is Verdict.DEGRADED:
        return "completed with warnings" if outcome.ok else f"completed, missing: {', '.join(outcome.shortfalls)}"
    if outcome.verdict is Verdict.CANCELLED and outcome.exit_code > 128:
        return "the wait was interrupted"
    return _HEADS.get(outcome.verdict, outcome.verdict.replace("_", " "))


def tone_of(outcome: Outcome) -> Tone:
    """Return the tone of an outcome."""
    if outcome.verdict in _UNDECIDED_TONE:
        return _UNDECIDED_TONE[outcome.verdict]
    if outcome.exit_code != ExitCode.OK:
        return Tone.BAD
    return Tone.WARNING if outcome.shortfalls else Tone.GOOD


def kind_of(snapshot: Snapshot) -> str | None:
    """Return a job's problem type and objective; None, if the response has neither, like a job's summary."""
    problem = snapshot.problem_type
    config, resolved = snapshot.problem_type_config, snapshot.resolved_attributes
    known = resolved.problem_type_resolved_attributes if resolved else None
    detail = (known and known.tabular and known.tabular.problem_type) or (
        config and config.tabular and config.tabular.problem_type
    )
    if problem and detail:
        problem = f"{problem} ({detail})"
    objective = (resolved and resolved.objective) or snapshot.objective
    metric = objective.raw.get("MetricName") if objective else None
    words = [problem, f"objective {metric}" if metric else None]
    return ", ".join(filter(None, words)) or None


def objective_words(candidate: Candidate | None) -> str:
    """Return a candidate's objective, such as `F1 0.91`; nothing, if it has none yet."""
    objective = objective_of(candidate) if candidate else None
    return str(objective) if objective else ""


def moment(instant: datetime) -> str:
    """Return a time for people: `2026-11-24 09:30:00 UTC`."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def outcome_document(outcome: Outcome, logs: Sequence[FailureLog] = (), *, is_short: bool = False) -> Document:
    """Return how a wait ended, for the command's summary and for notebooks.

    Args:
        outcome: How it ended.
        logs: The logs of what failed.
        is_short: Leave out the metrics and the artifacts of the best candidate.
    """
    snapshot = outcome.snapshot
    blocks: list[Block | None] = [Facts(tuple(_outcome_facts(outcome))), *map(log_block, logs)]
    if snapshot is not None:
        phases = phases_of(outcome.transitions, snapshot.created_at, outcome.ended_at)
        blocks += [
            _phase_table(phases, snapshot.created_at) if len(phases) > 1 else None,
            *(() if is_short else (_metrics(best_of(outcome)), _artifacts(snapshot, best_of(outcome)))),
        ]
    blocks.append(next_steps(outcome))
    return Document(outcome.job_name, head_of(outcome), tone_of(outcome), tuple(filter(None, blocks)))


def snapshot_document(snapshot: Snapshot) -> Document:
    """Return the state of a job at one poll."""
    state = snapshot.state
    tone = {"Completed": Tone.GOOD, "Failed": Tone.BAD, "Stopped": Tone.BAD}.get(state.status, Tone.PLAIN)
    best = snapshot.best_candidate
    facts = [*_job_facts(snapshot), *_best_facts(best), *_end_facts(snapshot)]
    blocks = (Facts(tuple(facts)), _metrics(best), _artifacts(snapshot, best))
    return Document(snapshot.name, str(state), tone, tuple(filter(None, blocks)))


def report_document(
    outcome: Outcome,
    transitions: Sequence[Transition],
    leaderboard: Leaderboard,
    logs: Sequence[FailureLog] = (),
) -> Document:
    """Return everything that is known of a job.

    Args:
        outcome: One poll of it.
        transitions: What a journal holds of it.
        leaderboard: Its candidates.
        logs: The logs of what failed in it.
    """
    snapshot = outcome.snapshot
    if snapshot is None:
        return outcome_document(outcome)
    ended_at, polled_at = outcome.ended_at, outcome.transitions[-1].observed_at
    phases = phases_of(transitions or outcome.transitions, snapshot.created_at, ended_at, leaderboard.training)
    best = best_of(outcome) or leaderboard.best
    facts = [
        Fact("arn", snapshot.arn, is_code=True),
        *_console_facts(snapshot),
        *_job_facts(snapshot),
        *_best_facts(best),
        *_end_facts(snapshot),
        *_missing_facts(outcome),
        Fact(
            "generated",
            moment(polled_at) + ("" if ended_at else f", {_span(snapshot.created_at, polled_at)} after creation"),
        ),
    ]
    blocks: list[Block | None] = [
        _figures(snapshot, best, leaderboard, polled_at),
        Facts(tuple(facts)),
        *map(log_block, logs),
        next_steps(outcome),
        _phase_table(phases, snapshot.created_at),
        _phase_bars(phases, ended_at or polled_at),
        *_candidate_blocks(leaderboard),
        _metrics(best),
        _artifacts(snapshot, best),
    ]
    return Document(snapshot.name, head_of(outcome), tone_of(outcome), tuple(filter(None, blocks)))


def _figures(snapshot: Snapshot, best: Candidate | None, leaderboard: Leaderboard, now: datetime) -> Figures:
    """Return the best objective, the duration and the number of candidates, as far as they are known."""
    figures = []
    if best is not None and (objective := objective_of(best)):
        figures.append(Figure(f"best {objective.metric}", f"{objective.value:.6g}"))
    ended_at = snapshot.ended_at if snapshot.state.is_terminal else None
    figures.append(Figure("took" if ended_at else "so far", _span(snapshot.created_at, ended_at or now)))
    if leaderboard.candidates and leaderboard.error is None:
        trained, most = leaderboard.count("Completed"), snapshot.completion_criteria.max_candidates
        figures.append(Figure("candidates", str(trained) if most is None else f"{trained} of {most}"))
    return Figures(tuple(figures))


def _console_facts(snapshot: Snapshot) -> Iterator[Fact]:
    if url := console_url(snapshot.arn):
        yield Fact("console", url, is_code=True, link=url)


def _outcome_facts(outcome: Outcome) -> Iterator[Fact]:
    snapshot = outcome.snapshot
    if snapshot is not None:
        yield from _job_facts(snapshot)
    if outcome.polls:
        words = [format_duration(outcome.waited), _counted(outcome.polls, "poll")]
        words += ["1 retry" if outcome.retries == 1 else f"{outcome.retries} retries"] if outcome.retries else []
        yield Fact("waited", ", ".join(words))
    yield from _best_facts(best_of(outcome))
    if snapshot is not None:
        yield from _end_facts(snapshot)
    yield from _missing_facts(outcome)
    if outcome.error is not None:
        yield Fact("error", str(outcome.error), Tone.BAD)


def _job_facts(snapshot: Snapshot) -> Iterator[Fact]:
    if kind := kind_of(snapshot):
        yield Fact("job", kind)
    yield Fact("status", str(snapshot.state))
    yield Fact("created", moment(snapshot.created_at))
    if snapshot.state.is_terminal and snapshot.ended_at is not None:
        took = _span(snapshot.created_at, snapshot.ended_at)
        yield Fact("ended", f"{moment(snapshot.ended_at)}, after {took}")
    limit = snapshot.completion_criteria.max_runtime_seconds
    if limit is not None:
        is_reached = snapshot.secondary_status == SecondaryStatus.MAX_AUTO_ML_JOB_RUNTIME_REACHED
        words = f"{format_duration(limit)}, reached before the job was done" if is_reached else format_duration(limit)
        yield Fact("runtime limit", words, Tone.WARNING if is_reached else Tone.PLAIN)


def _best_facts(best: Candidate | None) -> Iterator[Fact]:
    if best is not None:
        words = [best.raw.get("CandidateName", "without a name"), objective_words(best)]
        yield Fact("best candidate", ", ".join(filter(None, words)))


def _end_facts(snapshot: Snapshot) -> Iterator[Fact]:
    if snapshot.endpoint_name:
        yield Fact("endpoint", snapshot.endpoint_name)
    yield from _reason(snapshot.failure_reason or "")
    for reason in snapshot.partial_failure_reasons:
        yield Fact("partial failure", reason, Tone.WARNING)


def _missing_facts(outcome: Outcome) -> Iterator[Fact]:
    for part in outcome.shortfalls:
        yield Fact("missing", f"{part}: {EXPLANATIONS[part]}", Tone.WARNING)


def log_block(log: FailureLog) -> Log:
    """Return the log of what failed."""
    kind = log.job_arn.rpartition(":")[2].partition("/")[0].replace("-", " ")
    of = f" of candidate {log.candidate}" if log.candidate else ""
    return Log(f"Log of {kind} {log.job_name}{of}", log.lines, log.problem, log.console_url)


def _counted(count: int, thing: str) -> str:
    return f"1 {thing}" if count == 1 else f"{count} {thing}s"


def _reason(reason: str) -> Iterator[Fact]:
    """Yield a failure reason in parts: what failed, which job that was, and its message."""
    if found := FAILED_JOB.search(reason, 0, LONGEST_TEXT):
        yield Fact("reason", reason[: found.start()].strip() or "a step of the job failed", Tone.BAD)
        yield Fact("failed step", found["arn"], is_code=True, link=console_url(found["arn"]))
        if said := reason[found.end() :].strip():
            yield Fact("message", said, Tone.BAD)
    elif reason:
        yield Fact("reason", reason, Tone.BAD)


def _phase_table(phases: Sequence[Phase], created_at: datetime) -> Table:
    rows = []
    days = {f"{phase.begin.astimezone(UTC):%Y-%m-%d}" for phase in phases}
    form = "%H:%M:%S" if len(days) == 1 else "%Y-%m-%d %H:%M:%S"
    for phase in phases:
        # In whole seconds, as `begin` shows them.
        whole = phase.begin.replace(microsecond=0) - created_at.replace(microsecond=0)
        begin, after = f"{phase.begin.astimezone(UTC):{form}}", format_duration(whole.total_seconds())
        if not phase.is_begin_known:
            begin, after = f"before {begin}", ""
        rows.append((phase.name, begin, after, _duration(phase)))
    tones = [Tone.PLAIN if phase.is_watched else Tone.QUIET for phase in phases]
    title = f"Phases on {min(days)} (UTC)" if len(days) == 1 else "Phases (UTC)"
    return Table(title, ("phase", "from", "started after", "duration"), tuple(rows), frozenset({2, 3}), tuple(tones))


def _duration(phase: Phase) -> str:
    if phase.end is None:
        return "in progress"
    duration = format_duration(phase.seconds(phase.end))
    return duration if phase.is_begin_known else f"at least {duration}"


def _phase_bars(phases: Sequence[Phase], until: datetime) -> Bars | None:
    bars = tuple(
        Bar(one.name, one.begin, max(one.begin, one.end or until), _duration(one), one.is_watched) for one in phases
    )
    return Bars("Timeline (UTC)", bars) if len(bars) > 1 else None


def _candidate_blocks(leaderboard: Leaderboard) -> Iterator[Block]:
    if leaderboard.error is not None:
        words = "The candidates could not be listed" if not leaderboard.candidates else "Some candidates are missing"
        yield Notes("Candidates", (Note(f"{words}: {leaderboard.error}", tone=Tone.WARNING),))
    candidates = leaderboard.candidates
    if not candidates:
        return
    points = tuple(
        Point(one.name, one.ended_at, found.value)
        for one in candidates
        if is_usable(one) and one.ended_at and (found := objective_of(one))
    )
    first = objective_of(candidates[0])
    if first is not None and len(points) > 1:
        better = "smaller" if first.is_minimized else "larger"
        yield Plot(f"{first.metric} over time (UTC, {better} is better)", points, first.is_minimized)
    columns = {
        "": [str(rank) for rank in range(1, len(candidates) + 1)],
        "candidate": [one.name for one in candidates],
        "objective": [objective_words(one) for one in candidates],
        "algorithm": [algorithm_of(one) or "" for one in candidates],
        "status": [one.status or "" for one in candidates],
        "trained in": [
            _span(one.created_at, one.ended_at) if one.created_at and one.ended_at else "" for one in candidates
        ],
        "reason": [one.failure_reason or "" for one in candidates],
    }
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    tones = tuple(
        Tone.BAD if one.status == "Failed" else Tone.GOOD if rank == 0 and is_usable(one) else Tone.PLAIN
        for rank, one in enumerate(candidates)
    )
    numbers = frozenset(number for number, name in enumerate(columns) if name in ("", "objective", "trained in"))
    yield Table(
        f"Candidates ({len(candidates)})", tuple(columns), tuple(zip(*columns.values(), strict=True)), numbers, tones
    )


def _metrics(candidate: Candidate | None) -> Table | None:
    if candidate is None or candidate.properties is None:
        return None
    values: dict[str, dict[str, str]] = {}
    for metric in candidate.properties.metrics:
        name = metric.standard_metric_name or metric.metric_name
        if name and metric.value is not None:
            values.setdefault(name, {})[metric.set or ""] = f"{metric.value:.6g}"
    if not values:
        return None
    found = dict.fromkeys(split for known in values.values() for split in known)
    splits = [split for split in _SPLITS if split in found] + [split for split in found if split not in _SPLITS]
    rows = tuple((name, *(known.get(split, "") for split in splits)) for name, known in values.items())
    columns = ("metric", *(split.lower() or "value" for split in splits))
    return Table("Metrics of the best candidate", columns, rows, frozenset(range(1, len(columns))))


def _artifacts(snapshot: Snapshot, candidate: Candidate | None) -> Facts | None:
    notebooks, properties = snapshot.artifacts, candidate and candidate.properties
    locations = properties and properties.artifact_locations
    # A failed report has no location, whatever the candidate says.
    has_explainability = snapshot.secondary_status != SecondaryStatus.EXPLAINABILITY_ERROR
    has_insights = snapshot.secondary_status != SecondaryStatus.MODEL_INSIGHTS_ERROR
    models = dict.fromkeys(one.raw.get("ModelDataUrl") for one in candidate.inference_containers) if candidate else ()
    found = [
        ("data exploration", notebooks and notebooks.data_exploration_notebook_location),
        ("candidate notebook", notebooks and notebooks.candidate_definition_notebook_location),
        ("explainability", locations.raw.get("Explainability") if locations and has_explainability else None),
        ("model insights", locations.model_insights if locations and has_insights else None),
        ("backtest results", locations and locations.backtest_results),
        *(("model", url) for url in models),
    ]
    facts = tuple(Fact(label, location, is_code=True) for label, location in found if location)
    return Facts(facts, "Artifacts") if facts else None


def status_line(outcome: Outcome) -> str:
    """Return a job's state in one line, as one poll found it."""
    snapshot = outcome.snapshot
    if snapshot is None or outcome.error is not None:
        return outcome.summary
    if not snapshot.state.is_terminal:
        now = outcome.transitions[-1].observed_at
        words = [str(snapshot.state), f"{_span(snapshot.created_at, now)} after creation"]
        words += [estimate_words(outcome.estimate, now)] if outcome.estimate else []
        return f"{outcome.job_name}: {', '.join(words)}"
    how = "completed" if outcome.verdict is Verdict.DEGRADED and not outcome.ok else head_of(outcome)
    if outcome.ended_at:
        how += f" after {took(outcome)}"
    more = [f"missing: {', '.join(outcome.shortfalls)}"] if outcome.shortfalls else []
    more += [objective_words(best_of(outcome)), outcome.failure_reason or "", *outcome.partial_failure_reasons]
    return ": ".join([outcome.job_name, "; ".join(filter(None, [how, *more]))])


def took(outcome: Outcome) -> str:
    """Return how long an ended job took; nothing, if it has not ended."""
    if outcome.created_at is None or outcome.ended_at is None:
        return ""
    return _span(outcome.created_at, outcome.ended_at)


def _span(begin: datetime, end: datetime) -> str:
    return format_duration(max(0.0, (end - begin).total_seconds()))


def best_of(outcome: Outcome) -> Candidate | None:
    """Return the best known candidate for display, even if only a listing has named it."""
    return outcome.best_candidate or outcome.listed_candidate
