"""The live view of a notebook: one cell output, updated while the cell waits."""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from automl_waiter._model.estimate_words import estimate_words, time_left
from automl_waiter._model.events import Event
from automl_waiter._model.phases import Phase
from automl_waiter._model.text import format_duration
from automl_waiter._system.clock import SystemClock
from automl_waiter.display.progress import JobProgress, Progress, clock_time
from automl_waiter.report.document import Block, Document, Fact, Facts, Note, Notes, Table, Tone
from automl_waiter.report.facts import head_of, moment, objective_words, tone_of
from automl_waiter.report.html import fragment
from automl_waiter.report.plain_text import text_lines
from automl_waiter.report.several import outcomes_document

# Seconds between two updates if only the time has changed.
_REFRESH = 5.0

_views: list[NotebookView] = []
"""The closed views of the last cell that waited."""


def mimebundle(document: Document) -> dict[str, str]:
    """Return a document in the two forms from which IPython and nbconvert choose."""
    return {"text/html": fragment(document), "text/plain": "\n".join(text_lines(document))}


def yield_to(shown: object) -> None:
    """Empty the view that shows this outcome, if the cell that made the view is about to display the outcome itself."""
    for view in _views:
        # No error in the view may keep the outcome from being displayed.
        with suppress(Exception):
            view.yield_to(shown)


def _running_cell() -> Any:
    """Return the execution count of the cell that is running; None outside IPython."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "execution_count", None)


class NotebookView:
    """A view of a wait in the output of its cell, drawn in a thread of its own.

    Args:
        names: The names of the jobs, as far as they are known.
    """

    def __init__(self, names: Iterable[str]) -> None:
        from IPython.display import display

        self._progress = Progress(names)
        self._clock = SystemClock()
        self._changed = threading.Event()
        self._is_closed = False
        self._is_empty = False
        self._lock = threading.Lock()
        self._cell = _running_cell()
        self._handle: Any = display(self._drawn(), raw=True, display_id=True)
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
        _views[:] = [*(view for view in _views if view._cell == self._cell), self]
        self._thread.join(_REFRESH)

    def yield_to(self, shown: object) -> None:
        """Show nothing any more, if `shown` is the outcome that this view shows, and its cell is running."""
        outcomes = [job.outcome for job in self._progress.jobs.values()]
        if len(outcomes) == 1 and outcomes[0] is shown and self._cell == _running_cell():
            self._is_empty = True
            self._handle.update(self._drawn(), raw=True)

    def _run(self) -> None:
        # No error in the notebook may end the wait.
        with suppress(Exception):
            while not self._is_closed:
                self._changed.wait(_REFRESH)
                self._changed.clear()
                self._handle.update(self._drawn(), raw=True)
            self._handle.update(self._drawn(), raw=True)

    def _drawn(self) -> dict[str, str]:
        if self._is_empty:
            return {"text/html": "", "text/plain": ""}
        with self._lock:
            return mimebundle(view_document(self._progress, self._clock.now(), is_over=self._is_closed))


def view_document(progress: Progress, now: datetime, *, is_over: bool = False) -> Document:
    """Return what a view shows. A wait that ended before its jobs was interrupted."""
    jobs = list(progress.jobs.values())
    outcomes = [job.outcome for job in jobs if job.outcome is not None]
    if jobs and len(outcomes) == len(jobs):
        return outcomes_document(outcomes)
    document = (_one if len(jobs) == 1 else _many)(progress, now, is_over)
    return _interrupted(document, progress.running, now) if is_over else document


def _interrupted(document: Document, running: list[JobProgress], now: datetime) -> Document:
    notes = []
    if any(job.stop is not None for job in running):
        notes.append(Note("AWS was asked to stop the job: it ends soon."))
    elif any(job.state is not None for job in running):
        words = "The job keeps" if len(running) == 1 else "The jobs in progress keep"
        notes.append(Note(f"{words} running. Run the cell again to continue the wait."))
    head = f"wait interrupted at {now.astimezone(UTC):%H:%M} UTC"
    blocks = (*document.blocks, *([Notes("Next steps", tuple(notes))] if notes else []))
    return Document(document.subject, head, Tone.WARNING, blocks)


def _one(progress: Progress, now: datetime, is_over: bool) -> Document:
    [job] = progress.jobs.values()
    facts = []
    if kind := job.kind:
        facts.append(Fact("job", kind))
    if is_over and job.state is not None:
        facts.append(Fact("last state", str(job.state)))
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
    facts += _checks(progress, is_over)
    if job.retry is not None:
        facts.append(Fact("trouble", f"{job.retry.operation} failed: {job.retry.message}", Tone.WARNING))
    if job.stop is not None:
        facts.append(Fact("being stopped", job.stop, Tone.WARNING))
    rows = tuple(
        (phase.name, clock_time(phase.begin, now.astimezone(UTC)), _duration(phase, job, now, is_over))
        for phase in job.phases
    )
    blocks: list[Block] = [Facts(tuple(facts))]
    if rows:
        blocks.append(Table("Phases", ("phase", "from (UTC)", "duration"), rows, frozenset({1, 2})))
    state = "not found yet" if job.state is None else str(job.state)
    return Document(job.name, state, Tone.PLAIN, tuple(blocks))


def _duration(phase: Phase, job: JobProgress, now: datetime, is_over: bool) -> str:
    # After an interrupt, only what the last poll showed is known.
    duration = format_duration(round(phase.seconds((is_over and job.last_poll) or now)))
    if phase.end:
        return duration
    return f"at least {duration}" if is_over else f"{duration} so far"


def _checks(progress: Progress, is_over: bool) -> list[Fact]:
    """Return when the jobs were checked, and are next: a view that nobody updates any more still shows its age."""
    if progress.last_poll is None:
        return []
    words = moment(progress.last_poll)
    if progress.next_poll is not None and not is_over:
        words += f", next check at {progress.next_poll.astimezone(UTC):%H:%M:%S}"
    return [Fact("last check", words)]


def _many(progress: Progress, now: datetime, is_over: bool) -> Document:
    rows, tones = [], []
    for job in progress.jobs.values():
        phases = job.phases
        if job.outcome is not None:
            rows.append((job.name, head_of(job.outcome), "", "", objective_words(job.outcome.best_candidate)))
            tones.append(tone_of(job.outcome))
        else:
            lasted = _duration(phases[-1], job, now, is_over).removesuffix(" so far") if phases else ""
            reached = str(job.reached[1]) if job.reached else ""
            left = time_left(job.estimate, now) if job.estimate and not is_over else ""
            rows.append((job.name, phases[-1].name if phases else "not found yet", lasted, left, reached))
            tones.append(Tone.PLAIN)
    columns = ("job", "phase", "for", "time left", "best")
    table = Table(None, columns, tuple(rows), frozenset({2}), tuple(tones))
    head = f"{len(progress.running)} in progress"
    return Document(f"{len(rows)} jobs", head, Tone.PLAIN, (Facts(tuple(_checks(progress, is_over))), table))
