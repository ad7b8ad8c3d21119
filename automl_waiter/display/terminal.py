"""The live view of a terminal: the lines of a frame, from the progress and the available space."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import datetime, timedelta

from rich.console import Console
from rich.text import Text

from automl_waiter._model.candidates import Objective
from automl_waiter._model.estimate_words import estimate_words, time_left
from automl_waiter._model.events import Retry
from automl_waiter._model.phases import Phase, pending_phases
from automl_waiter._model.text import clean, format_duration
from automl_waiter.display.progress import JobProgress, Progress, clock_time
from automl_waiter.report.document import SIGNS, Tone
from automl_waiter.report.facts import head_of, tone_of
from automl_waiter.report.plain_text import STYLES

_LABELS = 12
_BAR = 40
# With fewer rows, only the current phase is shown; with a few more, no pending ones.
_FEW_ROWS = 16
_SOME_ROWS = 22


def frame_lines(progress: Progress, now: datetime, console: Console, hint: str = "") -> list[str]:
    """Return the lines of a frame, with colour escapes, each no wider than the terminal.

    Args:
        progress: The state of the wait.
        now: The time of day, in the zone in which times are shown.
        console: Has the terminal's size and colours.
        hint: What the user can do, as the last line.
    """
    # The last column stays free, because terminals wrap there in different ways.
    width, height = max(10, console.width - 1), console.height
    if len(progress.jobs) == 1 and not progress.is_watch:
        [job] = progress.jobs.values()
        texts = _one(job, now, width, height)
    else:
        texts = _many(progress, now, width, height)
    if progress.deadline is not None and not progress.is_stopping:
        texts.append(_labelled("timeout", _time_until(progress.deadline, now)))
    if hint:
        words = "Ctrl-C ends the wait; the job still stops" if progress.is_stopping else hint
        texts.append(Text("  " + words, STYLES[Tone.QUIET]))
    return _drawn(texts[-max(1, height - 1) :], width, console)


def message_lines(words: str, tone: Tone, console: Console) -> list[str]:
    """Return a message in the colour of its tone, wrapped at words to the width of the terminal."""
    lines = textwrap.wrap(words, max(20, console.width - 1), subsequent_indent="  ", break_on_hyphens=False)
    # The terminal breaks what is still too wide: no part of a message is lost.
    return _drawn([Text(line, STYLES[tone]) for line in lines], None, console)


def title_of(progress: Progress, now: datetime) -> str:
    """Return the title of the terminal's window: `churn-2026: ModelTuning, about 12m left`."""
    running = progress.running
    if len(progress.jobs) == 1 and not progress.is_watch:
        [job] = progress.jobs.values()
        if job.outcome is not None:
            return clean(f"{job.name}: {head_of(job.outcome)}")
        phase = job.phases[-1].name if job.phases else "waiting"
        left = f", {time_left(job.estimate, now)}" if job.estimate else ""
        return clean(f"{job.name}: {phase}{left}")
    return f"automl-waiter: {len(running)} in progress, {progress.ended.total()} ended"


def _drawn(texts: Sequence[Text], width: int | None, console: Console) -> list[str]:
    """Return the lines with colour escapes, cut to a width if there is one."""
    for text in texts:
        if width is not None:
            text.truncate(width, overflow="ellipsis")
    with console.capture() as captured:
        for text in texts:
            console.print(text, no_wrap=True, crop=False, overflow="ignore")
    return captured.get().splitlines()


# One job


def _one(job: JobProgress, now: datetime, width: int, height: int) -> list[Text]:
    head = Text.assemble((clean(job.name), "bold"))
    if kind := job.kind:
        head.append(f"  {clean(kind)}", STYLES[Tone.QUIET])
    pending = pending_phases(job.snapshot) if job.snapshot is not None and job.outcome is None else []
    phases = job.phases if height > _FEW_ROWS else job.phases[-1:]
    lines = [head, *_phase_lines(phases, pending if height > _SOME_ROWS else [], now)]
    lines += _elapsed(job, now, width)
    if job.estimate is not None:
        words = textwrap.wrap(estimate_words(job.estimate, now, now.tzinfo), max(20, width - _LABELS - 2))
        lines += [_labelled("" if number else "estimate", line) for number, line in enumerate(words)]
    if trained := job.trained:
        lines.append(_labelled("candidates", trained))
    if job.reached is not None:
        lines.append(_labelled("best so far", clean(_best(job.reached, now))))
    if job.outcome is not None:
        lines.append(Text(f"  {_sign(job)} {clean(head_of(job.outcome))}", STYLES[tone_of(job.outcome)]))
    elif job.retry is None:
        lines.append(_labelled("next check", _time_until(job.next_poll, now)))
    else:
        lines += _failing(job.retry, 1, now, width)
    if job.stop is not None and job.outcome is None:
        lines += _trouble(f"the job is being stopped ({job.stop}); the wait ends when it has stopped", width)
    return lines


def _phase_lines(phases: Sequence[Phase], pending: Sequence[str], now: datetime) -> list[Text]:
    widest = max(map(len, [*(clean(phase.name) for phase in phases), *pending]), default=0)
    times = [clock_time(phase.begin, now) for phase in phases]
    column = max(map(len, times), default=0)
    lines = []
    for phase, at in zip(phases, times, strict=True):
        is_present = phase.end is None
        sign, style = ("▸", "bold") if is_present else ("✓" if phase.is_watched else "·", STYLES[Tone.QUIET])
        lasted = format_duration(round(phase.seconds(now)))
        lines.append(Text(f"  {sign} {clean(phase.name):<{widest}}  {at:>{column}}  {lasted}", style))
    return [*lines, *(Text(f"  ○ {name}", STYLES[Tone.QUIET]) for name in pending)]


def _elapsed(job: JobProgress, now: datetime, width: int) -> list[Text]:
    """Return the job's age, with a bar for the share of the estimated time, or a dotted one for that of the limit."""
    age, limit, elapsed = job.age(now), job.limit, job.elapsed(now)
    if age is None or elapsed is None:
        return []
    words, share = elapsed
    line = _labelled("elapsed", words)
    if share is not None:
        _bar(line, share, "━─", STYLES[Tone.GOOD], width, percent=True)
        return [line, *([_labelled("limit", format_duration(limit))] if limit else [])]
    if limit and job.outcome is None:
        share = min(1.0, age / limit)
        _bar(line, share, "▪·", STYLES[Tone.WARNING if share > 0.9 else Tone.QUIET], width, percent=False)
    return [line]


def _bar(line: Text, share: float, characters: str, style: str, width: int, *, percent: bool) -> None:
    words = f" {100 * share:.0f} %" if percent else ""
    line.append("  ")
    size = min(_BAR, width - line.cell_len - len(words))
    if size >= 5:
        full = round(size * share)
        line.append(characters[0] * full, style)
        line.append(characters[1] * (size - full), STYLES[Tone.QUIET])
    line.append(words if size >= 5 else words.strip())


def _best(reached: tuple[Objective | None, Objective, datetime], now: datetime) -> str:
    before, best, since = reached
    if before is None:
        return str(best)
    ago = format_duration(round(max(0.0, (now - since).total_seconds())))
    return f"{best} ({before.value:.6g} until {ago} ago)"


def _time_until(at: datetime | None, now: datetime) -> str:
    left = 0.0 if at is None else (at - now).total_seconds()
    return "now" if left < 1 else f"in {format_duration(round(left))}"


def _failing(retry: Retry, jobs: int, now: datetime, width: int) -> list[Text]:
    which = f" for {jobs} jobs" if jobs > 1 else ""
    times = "once" if retry.attempt == 1 else f"{retry.attempt} times"
    words = f"{retry.operation} failed {times}{which}: {retry.message}"
    again = retry.at + timedelta(seconds=retry.delay)
    return [_labelled("next try", _time_until(again, now)), *_trouble(words, width)]


def _trouble(words: str, width: int) -> list[Text]:
    sign, style = SIGNS[Tone.WARNING], STYLES[Tone.WARNING]
    lines = textwrap.wrap(clean(words), max(20, width - 4), max_lines=3, placeholder=" …")
    return [Text(f"  {sign if number == 0 else ' '} {line}", style) for number, line in enumerate(lines)]


# Several jobs


def _many(progress: Progress, now: datetime, width: int, height: int) -> list[Text]:
    running = progress.running
    counts = [f"{count} {words}" for words, count in progress.ended.items()] + [f"{len(running)} in progress"]
    count = len(running) + progress.ended.total()
    jobs = "no job yet" if not count else "1 job" if count == 1 else f"{count} jobs"
    head = textwrap.wrap(f"{jobs}: {', '.join(counts)}", width) or [jobs]
    lines = [Text.assemble((jobs, "bold"), head[0][len(jobs) :]), *map(Text, head[1:])]
    # Room for the head, the line on hidden jobs, the next poll, problems and the hint.
    room = max(1, height - 8 - len(lines))
    # Where there is no room for all, those that ended first give way.
    shown = set(map(id, [*running, *reversed(progress.latest)][:room]))
    rows = [job for job in progress.jobs.values() if id(job) in shown]
    if rows:
        lines += _table(rows, now, width)
    if hidden := count - len(rows):
        lines.append(Text(f"  and {hidden} more", STYLES[Tone.QUIET]))
    if not running and not progress.is_watch:
        return lines
    failing = [job.retry for job in running if job.retry is not None]
    if retry := progress.retry or (failing[0] if failing else None):
        return lines + _failing(retry, len(failing), now, width)
    return [*lines, _labelled("next check", _time_until(progress.next_poll, now))]


_COLUMNS = ("job", "phase", "for", "age", "left", "best")
_NUMBERS = (2, 3, 4)
# Beside job and phase, the most important first. A column is shown if it fits, beside the first ones' phase cut short.
_WANTED = ((5, 16), (3, 16), (4, 16), (2, 100))


def _table(jobs: Sequence[JobProgress], now: datetime, width: int) -> list[Text]:
    """Return a line for each job under a header. An empty column is left out."""
    rows = [_row(job, now) for job in jobs]
    widths = [max(map(len, cells)) for cells in zip(_COLUMNS, *rows, strict=True)]
    columns, room = [0, 1], width - 4 - widths[0] - 2
    for column, phase in _WANTED:
        if any(row[column] for row in rows) and min(widths[1], phase) + 2 + widths[column] <= room:
            columns.append(column)
            room -= 2 + widths[column]
    columns.sort()
    widths[1] = max(8, min(widths[1], room))
    lines = []
    for job, row in zip([None, *jobs], [_COLUMNS, *rows], strict=True):
        cells = []
        for column in columns:
            size = widths[column]
            shown = row[column] if len(row[column]) <= size else row[column][: size - 1] + "…"
            cells.append(f"{shown:>{size}}" if column in _NUMBERS else f"{shown:<{size}}")
        sign, style = (" ", STYLES[Tone.QUIET]) if job is None else (_sign(job), _style(job))
        lines.append(Text(f"  {sign} {'  '.join(cells)}".rstrip(), style))
    return lines


def _sign(job: JobProgress) -> str:
    return "▸" if job.outcome is None else SIGNS.get(tone_of(job.outcome), "·")


def _style(job: JobProgress) -> str:
    return "" if job.outcome is None else STYLES[tone_of(job.outcome)]


def _row(job: JobProgress, now: datetime) -> tuple[str, ...]:
    phases, age = job.phases, job.age(now)
    best = clean(f"{job.reached[1].metric} {job.reached[1].value:.4g}") if job.reached else ""
    if job.outcome is not None:
        return clean(job.name), clean(head_of(job.outcome)), "", _rounded(age), "", best
    present = phases[-1] if phases else None
    return (
        clean(job.name),
        clean(present.name) if present else "not found yet",
        _rounded(present.seconds(now)) if present else "",
        _rounded(age),
        time_left(job.estimate, now).removeprefix("about ").removesuffix(" left") if job.estimate else "",
        best,
    )


def _rounded(seconds: float | None) -> str:
    return "" if seconds is None else format_duration(round(seconds))


def _labelled(label: str, value: str) -> Text:
    return Text.assemble((f"  {label:<{_LABELS}}", STYLES[Tone.QUIET]), value)
