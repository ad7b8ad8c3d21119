"""The live view of a notebook: one cell output, updated while the cell waits."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from automl_waiter._model.estimate_words import estimate_words, time_left
from automl_waiter._model.events import Event
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.text import format_duration
from automl_waiter._system.clock import SystemClock
from automl_waiter.display.progress import JobProgress, Progress, clock_time
from automl_waiter.report.document import Block, Document, Fact, Facts, Table, Tone
from automl_waiter.report.facts import (
    head_of,
    moment,
    objective_words,
    outcome_document,
    tone_of,
)
from automl_waiter.report.html import fragment
from automl_waiter.report.several import outcomes_table

# Seconds between two updates if only the time has changed.
_REFRESH = 5.0


class NotebookView:
    """A view of a wait in the output of its cell, drawn in a thread of its own.

    Args:
        names: The names of the jobs, as far as they are known.
    """

    def __init__(self, names: Iterable[str]) -> None:
        from IPython.display import HTML, display

        self._html = HTML
        self._progress = Progress(names)
        self._clock = SystemClock()
        self._changed = threading.Event()
        self._is_closed = False
        self._lock = threading.Lock()
        self._handle: Any = display(HTML(self._drawn()), display_id=True)
        # The kernel uses a context variable to assign output to a cell.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=lambda: context.run(self._run), name="automl-waiter-view", daemon=True)
        self._thread.start()

    def take(self, event: Event) -> None:
        """Show the effect of an event."""
        # No error in the view may end the wait.
        with self._lock, suppress(Exception):
            self._progress.take(event)
        self._changed.set()

    def close(self) -> None:
        """Show how the wait ended, and end the view."""
        self._is_closed = True
        self._changed.set()
        self._thread.join(_REFRESH)

    def _run(self) -> None:
        # No error in the notebook may end the wait.
        with suppress(Exception):
            while not self._is_closed:
                self._changed.wait(_REFRESH)
                self._changed.clear()
                self._handle.update(self._html(self._drawn()))
            self._handle.update(self._html(self._drawn()))

    def _drawn(self) -> str:
        with self._lock:
            return fragments(self._progress, self._clock.now(), is_over=self._is_closed)


def fragments(progress: Progress, now: datetime, *, is_over: bool = False) -> str:
    """Return the wait in HTML. One that is over before its jobs have ended was interrupted."""
    jobs = list(progress.jobs.values())
    outcomes = [job.outcome for job in jobs if job.outcome is not None]
    if jobs and len(outcomes) == len(jobs):
        # Short, because the cell's own result shows the whole outcome.
        return fragment(_end(outcomes[0]) if len(outcomes) == 1 else outcomes_table(outcomes))
    return fragment(_one(jobs[0], now, is_over) if len(jobs) == 1 else _many(progress, now, is_over))


def _end(outcome: Outcome) -> Document:
    whole = outcome_document(outcome)
    return replace(whole, blocks=tuple(block for block in whole.blocks if isinstance(block, Facts) and not block.title))


def _one(job: JobProgress, now: datetime, is_over: bool) -> Document:
    facts = []
    phases = job.phases
    if kind := job.kind:
        facts.append(Fact("job", kind))
    if elapsed := job.elapsed(now):
        words, share = elapsed
        facts.append(Fact("elapsed", words if share is None else f"{words} ({100 * share:.0f} %)"))
    if trained := job.trained:
        facts.append(Fact("candidates", trained))
    if job.reached is not None:
        before, best, _ = job.reached
        was = f", {before.value:.6g} before" if before else ""
        facts.append(Fact("best so far", f"{best}{was}"))
    if job.estimate is not None and not is_over:
        facts.append(Fact("estimate", estimate_words(job.estimate, now)))
    if job.next_poll is not None and not is_over:
        facts.append(Fact("next check", moment(job.next_poll)))
    if job.retry is not None:
        facts.append(Fact("trouble", f"{job.retry.operation} failed: {job.retry.message}", Tone.WARNING))
    if job.stop is not None:
        facts.append(Fact("being stopped", job.stop, Tone.WARNING))
    rows = tuple(
        (
            phase.name,
            clock_time(phase.begin, now.astimezone(UTC)),
            format_duration(round(phase.seconds(now))) + ("" if phase.end else " so far"),
        )
        for phase in phases
    )
    blocks: list[Block] = [Facts(tuple(facts))]
    if rows:
        blocks.append(Table("Phases", ("phase", "from (UTC)", "duration"), rows, frozenset({1, 2})))
    head = "not found yet" if job.state is None else str(job.state)
    return _document(job.name, head, is_over, *blocks)


def _document(subject: str, head: str, is_over: bool, *blocks: Block) -> Document:
    if is_over:
        return Document(subject, f"the wait was interrupted; last state: {head}", Tone.WARNING, blocks)
    return Document(subject, head, Tone.PLAIN, blocks)


def _many(progress: Progress, now: datetime, is_over: bool) -> Document:
    rows, tones = [], []
    for job in progress.jobs.values():
        phases = job.phases
        if job.outcome is not None:
            rows.append((job.name, head_of(job.outcome), "", "", objective_words(job.outcome.best_candidate)))
            tones.append(tone_of(job.outcome))
        else:
            lasted = format_duration(round(phases[-1].seconds(now))) if phases else ""
            reached = str(job.reached[1]) if job.reached else ""
            left = time_left(job.estimate, now) if job.estimate and not is_over else ""
            rows.append((job.name, phases[-1].name if phases else "not found yet", lasted, left, reached))
            tones.append(Tone.PLAIN)
    table = Table(None, ("job", "phase", "for", "time left", "best"), tuple(rows), frozenset({2}), tuple(tones))
    return _document(f"{len(rows)} jobs", f"{len(progress.running)} in progress", is_over, table)
