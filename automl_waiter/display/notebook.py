"""The live view of a notebook: one cell output, updated while the cell waits."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from automl_waiter._model.events import Event
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.text import format_duration
from automl_waiter._system.clock import SystemClock
from automl_waiter.display.progress import JobProgress, Progress
from automl_waiter.report.document import Block, Document, Fact, Facts, Table, Tone
from automl_waiter.report.facts import (
    head_of,
    moment,
    objective_words,
    outcome_document,
    outcomes_table,
    tone_of,
)
from automl_waiter.report.html import fragment

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
            return fragments(self._progress, self._clock.now())


def fragments(progress: Progress, now: datetime) -> str:
    """Return the wait in HTML."""
    jobs = list(progress.jobs.values())
    outcomes = [job.outcome for job in jobs if job.outcome is not None]
    if jobs and len(outcomes) == len(jobs):
        # Short, because the cell's own result shows the whole outcome.
        return fragment(_end(outcomes[0]) if len(outcomes) == 1 else outcomes_table(outcomes))
    return fragment(_one(jobs[0], now) if len(jobs) == 1 else _many(progress, now))


def _end(outcome: Outcome) -> Document:
    whole = outcome_document(outcome)
    return replace(whole, blocks=tuple(block for block in whole.blocks if isinstance(block, Facts) and not block.title))


def _one(job: JobProgress, now: datetime) -> Document:
    facts = []
    phases = job.phases
    if kind := job.kind:
        facts.append(Fact("job", kind))
    if elapsed := job.elapsed(now):
        words, share = elapsed
        facts.append(Fact("elapsed", words if share is None else f"{words} ({100 * share:.0f} %)"))
    if job.leaderboard is not None and job.leaderboard.candidates:
        facts.append(Fact("candidates", f"{job.leaderboard.count('Completed')} trained"))
    if job.reached is not None:
        before, best, _ = job.reached
        was = f", {before.value:.6g} before" if before else ""
        facts.append(Fact("best so far", f"{best}{was}"))
    if job.next_poll is not None:
        facts.append(Fact("next look", moment(job.next_poll)))
    if job.retry is not None:
        facts.append(Fact("trouble", f"{job.retry.operation} failed: {job.retry.message}", Tone.WARNING))
    if job.stop is not None:
        facts.append(Fact("told to stop", job.stop, Tone.WARNING))
    rows = tuple(
        (phase.name, format_duration(round(phase.seconds(now))) + ("" if phase.end else " so far")) for phase in phases
    )
    blocks: list[Block] = [Facts(tuple(facts))]
    if rows:
        blocks.append(Table("Phases", ("phase", "lasted"), rows, frozenset({1})))
    head = "looked for" if job.state is None else str(job.state)
    return Document(job.name, head, Tone.PLAIN, tuple(blocks))


def _many(progress: Progress, now: datetime) -> Document:
    rows, tones = [], []
    for job in progress.jobs.values():
        phases = job.phases
        if job.outcome is not None:
            rows.append((job.name, head_of(job.outcome), "", objective_words(job.outcome.best_candidate)))
            tones.append(tone_of(job.outcome))
        else:
            lasted = format_duration(round(phases[-1].seconds(now))) if phases else ""
            reached = str(job.reached[1]) if job.reached else ""
            rows.append((job.name, phases[-1].name if phases else "looked for", lasted, reached))
            tones.append(Tone.PLAIN)
    table = Table(None, ("job", "phase", "in it", "best"), tuple(rows), frozenset({2}), tuple(tones))
    return Document(f"{len(rows)} jobs", f"{len(progress.running)} in progress", Tone.PLAIN, (table,))
