"""How a wait for several jobs ended: one headline, a row for each job, and what needs attention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from automl_waiter._model.failure_logs import FAILED_JOB, FailureLog
from automl_waiter._model.verdicts import EXPLANATIONS, Verdict
from automl_waiter.report.document import SIGNS, Document, Note, Notes, Table, Tone
from automl_waiter.report.facts import best_of, head_of, log_block, objective_words, outcome_document, tone_of, took
from automl_waiter.report.next_steps import next_steps, report_command, wait_command

if TYPE_CHECKING:
    from automl_waiter._model.outcome import Outcome

DETAILED = 3
"""The logs of up to this many failed jobs are shown."""

# With more jobs that need attention, each has one line and the command for its report, instead of its next steps.
_MOST_DETAILED = 10
_SAID_BY_ITS_ERROR = frozenset({Verdict.ERROR, Verdict.NOT_FOUND, Verdict.REPLACED})

_Logs = Mapping[str, Sequence[FailureLog]]


def outcomes_document(outcomes: Sequence[Outcome], logs: _Logs = MappingProxyType({})) -> Document:
    """Return how a wait ended: everything about one job, or a table of several.

    Args:
        outcomes: How the wait for each job ended.
        logs: The logs of what failed, by the outcomes' jobs.
    """
    if len(outcomes) == 1:
        return outcome_document(outcomes[0], logs.get(outcomes[0].job, ()))
    return outcomes_table(outcomes, logs)


def outcomes_table(outcomes: Sequence[Outcome], logs: _Logs = MappingProxyType({})) -> Document:
    """Return how a wait for several jobs ended: a row for each, and the reason and next steps of those in trouble."""
    tones = tuple(map(tone_of, outcomes))
    rows = tuple(
        (SIGNS.get(tone, ""), one.job_name, _how(one), took(one), objective_words(best_of(one)))
        for one, tone in zip(outcomes, tones, strict=True)
    )
    table = Table(None, ("", "job", "how it ended", "took", "best"), rows, frozenset({3}), tones)
    troubled = [one for one in outcomes if _needs_attention(one)]
    notes = tuple(note for one in troubled for note in _notes(one, is_detailed=len(troubled) <= _MOST_DETAILED))
    attention = [Notes("Needs attention", notes)] if notes else []
    shown = [
        replace(block, title=f"{one.job_name}: {block.title}")
        for one in troubled
        for block in map(log_block, logs.get(one.job, ()))
    ]
    tone = next((tone for tone in (Tone.BAD, Tone.WARNING, Tone.PLAIN, Tone.GOOD) if tone in tones), Tone.PLAIN)
    return Document(f"{len(outcomes)} jobs", _headline(outcomes), tone, (table, *attention, *shown))


def _headline(outcomes: Sequence[Outcome]) -> str:
    counts = Counter(map(_kind, outcomes))
    if len(counts) == 1:
        return f"all {next(iter(counts))}"
    return ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "none matched"


def _kind(outcome: Outcome) -> str:
    """Return how a wait ended, in words that can be counted."""
    if outcome.verdict is Verdict.DEGRADED:
        return "completed with warnings" if outcome.ok else "missing a required part"
    return outcome.verdict.replace("_", " ")


def _how(outcome: Outcome) -> str:
    has_ended = outcome.snapshot is None or outcome.snapshot.state.is_terminal
    return head_of(outcome) if has_ended else f"{head_of(outcome)} ({outcome.status}/{outcome.secondary_status})"


def _needs_attention(outcome: Outcome) -> bool:
    return outcome.verdict is not Verdict.CANCELLED and tone_of(outcome) in (Tone.WARNING, Tone.BAD)


def _notes(outcome: Outcome, *, is_detailed: bool) -> Iterator[Note]:
    """Yield what happened to a job with its first next step, and the other steps."""
    tone, words = tone_of(outcome), f"{outcome.job_name}: {_trouble(outcome)}"
    steps = next_steps(outcome) if is_detailed else None
    if steps is None:
        is_running = outcome.snapshot is not None and not outcome.snapshot.state.is_terminal
        yield Note(words, (wait_command if is_running else report_command)(outcome), tone)
        return
    first, *others = steps.notes
    yield Note(f"{words}. {first.text}", first.command, tone)
    for note in others:
        yield Note(f"{outcome.job_name}: {note.text}", note.command, tone)


def _trouble(outcome: Outcome) -> str:
    # The job that failed is named in the command.
    words = [FAILED_JOB.sub(" ", outcome.failure_reason or "").strip(), *outcome.partial_failure_reasons]
    if outcome.shortfalls:
        words.insert(0, f"completed, but {'; '.join(EXPLANATIONS[part] for part in outcome.shortfalls)}")
    elif outcome.verdict not in _SAID_BY_ITS_ERROR:
        words.insert(0, _how(outcome))
    words.append("" if outcome.error is None else str(outcome.error))
    return ": ".join(filter(None, words)).removesuffix(".")
