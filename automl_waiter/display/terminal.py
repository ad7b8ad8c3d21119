"""The live view of a terminal: the lines of a frame, from the progress and the available space."""

from __future__ import annotations

import textwrap
from datetime import datetime, timedelta

from rich.console import Console
from rich.text import Text

from automl_waiter._model.candidates import Leaderboard, Objective
from automl_waiter._model.events import Retry
from automl_waiter._model.phases import Phase
from automl_waiter._model.text import clean, format_duration
from automl_waiter.display.progress import JobProgress, Progress
from automl_waiter.report.document import Tone
from automl_waiter.report.plain_text import SIGNS, STYLES

_LABELS = 12
_BAR = 40
# With fewer rows, only the current phase is shown.
_FEW_ROWS = 16


def frame_lines(progress: Progress, now: datetime, console: Console, hint: str = "") -> list[str]:
    """Return the lines of a frame, with colour escapes, each no wider than the terminal.

    Args:
        progress: The state of the wait.
        now: The time of day (UTC).
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
        texts.append(_labelled("gives up", _time_until(progress.deadline, now)))
    if hint:
        words = "Ctrl-C ends the wait; what was told to stop still stops" if progress.is_stopping else hint
        texts.append(Text("  " + words, STYLES[Tone.QUIET]))
    kept = texts[-max(1, height - 1) :]
    for text in kept:
        text.truncate(width, overflow="ellipsis")
    with console.capture() as captured:
        for text in kept:
            console.print(text, no_wrap=True, crop=False)
    return captured.get().splitlines()


def _one(job: JobProgress, now: datetime, width: int, height: int) -> list[Text]:
    head = Text.assemble((clean(job.name), "bold"))
    if kind := job.kind:
        head.append(f"  {clean(kind)}", STYLES[Tone.QUIET])
    lines = [head]
    phases = job.phases if height > _FEW_ROWS else job.phases[-1:]
    lines += [_phase(phase, now, phases) for phase in phases]
    if elapsed := job.elapsed(now):
        lines.append(_elapsed(*elapsed, width))
    if job.leaderboard is not None and job.leaderboard.candidates:
        lines.append(_labelled("candidates", _trained(job.leaderboard)))
    if job.reached is not None:
        lines.append(_labelled("best so far", clean(_best(job.reached, now))))
    if job.retry is None:
        lines.append(_labelled("next look", _time_until(job.next_poll, now)))
    else:
        lines += _failing(job.retry, 1, now, width)
    if job.stop is not None:
        lines += _trouble(f"told to stop ({job.stop}), waiting until it has", width)
    return lines


def _phase(phase: Phase, now: datetime, phases: list[Phase]) -> Text:
    widest = max(len(clean(one.name)) for one in phases)
    is_present = phase.end is None
    sign, style = ("▸", "bold") if is_present else ("✓" if phase.is_watched else "·", STYLES[Tone.QUIET])
    return Text(f"  {sign} {clean(phase.name):<{widest}}  {format_duration(round(phase.seconds(now)))}", style)


def _elapsed(words: str, share: float | None, width: int) -> Text:
    line = _labelled("elapsed", words)
    if share is not None:
        line.append("  ")
        percent = f" {100 * share:.0f} %"
        size = min(_BAR, width - line.cell_len - len(percent))
        if size >= 5:
            full = round(size * share)
            line.append("━" * full, STYLES[Tone.WARNING] if share > 0.9 else STYLES[Tone.GOOD])
            line.append("─" * (size - full), STYLES[Tone.QUIET])
        line.append(percent.strip() if size < 5 else percent)
    return line


def _trained(board: Leaderboard) -> str:
    going = board.count("InProgress")
    return f"{board.count('Completed')} trained" + (f", {going} in training" if going else "")


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


def _many(progress: Progress, now: datetime, width: int, height: int) -> list[Text]:
    running = progress.running
    counts = [f"{count} {words}" for words, count in progress.ended.items()] + [f"{len(running)} in progress"]
    count = len(running) + progress.ended.total()
    jobs = "no job yet" if not count else "1 job" if count == 1 else f"{count} jobs"
    head = textwrap.wrap(f"{jobs}: {', '.join(counts)}", width) or [jobs]
    lines = [Text.assemble((jobs, "bold"), head[0][len(jobs) :]), *map(Text, head[1:])]
    # Room for the head, the line on hidden jobs, the next poll, problems and the hint.
    shown = running[: max(1, height - 8 - len(lines))]
    if shown:
        lines += _table([_row(job, now) for job in shown], width)
    if len(shown) < len(running):
        lines.append(Text(f"  and {len(running) - len(shown)} more", STYLES[Tone.QUIET]))
    failing = [job.retry for job in running if job.retry is not None]
    if retry := progress.retry or (failing[0] if failing else None):
        return lines + _failing(retry, len(failing), now, width)
    return [*lines, _labelled("next look", _time_until(progress.next_poll, now))]


def _table(rows: list[tuple[str, ...]], width: int) -> list[Text]:
    """Return the rows under their header. If space is short, the age is left out first, then the best candidate.

    An empty column is left out too: a listing has neither of these.
    """
    columns = [column for column in range(len(rows[0])) if column < 2 or any(row[column] for row in rows)]
    rows = [("job", "phase", "in it", "age", "best"), *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for dropped in (3, 4):
        if dropped in columns and 2 + sum(widths[column] + 2 for column in columns) > width:
            columns.remove(dropped)
    spare = width - sum(widths[column] + 2 for column in columns)
    widths[1] = max(8, min(widths[1], widths[1] + spare))
    lines = []
    for number, row in enumerate(rows):
        cells = []
        for column in columns:
            cell, size = row[column], widths[column]
            shown = cell if len(cell) <= size else cell[: size - 1] + "…"
            cells.append(f"{shown:>{size}}" if column in (2, 3) else f"{shown:<{size}}")
        lines.append(Text("  " + "  ".join(cells).rstrip(), "" if number else STYLES[Tone.QUIET]))
    return lines


def _row(job: JobProgress, now: datetime) -> tuple[str, str, str, str, str]:
    phases, age = job.phases, job.age(now)
    present = phases[-1] if phases else None
    return (
        clean(job.name),
        clean(present.name) if present else "not seen yet",
        format_duration(round(present.seconds(now))) if present else "",
        "" if age is None else format_duration(round(age)),
        clean(f"{job.reached[1].metric} {job.reached[1].value:.4g}") if job.reached else "",
    )


def _labelled(label: str, value: str) -> Text:
    return Text.assemble((f"  {label:<{_LABELS}}", STYLES[Tone.QUIET]), value)
