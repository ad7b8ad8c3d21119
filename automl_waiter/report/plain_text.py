"""A document as text: coloured and as wide as the terminal, or plain with one line per fact."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Sequence
from typing import TextIO

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from automl_waiter._model.text import clean
from automl_waiter.report.document import SIGNS, Block, Document, Fact, Facts, Log, Notes, Table, Tone

# The terminal's own colours, and one more, that are readable on light and dark backgrounds.
STYLES = {
    Tone.PLAIN: "",
    Tone.GOOD: "green",
    Tone.WARNING: "dark_orange3",
    Tone.BAD: "red",
    Tone.QUIET: "dim",
}

_LABELS = 17
# Up to this many rows are laid out, and up to this many notes show their commands; more take one line each.
_MANY = 50
# Wide enough that no line is broken where lines have no maximum width.
_UNBROKEN = 100_000


def console_for(*, is_terminal: bool, width: int | None = None) -> Console:
    """Return a rich console that writes nowhere: rich ends the process when a write fails, and displays in a notebook.

    Without `width` it is as wide as the terminal. It reads no markup and colours no numbers.
    """
    return Console(
        file=io.StringIO(),
        force_terminal=is_terminal,
        force_jupyter=False,
        legacy_windows=False,  # what is written is for a console that obeys escapes
        width=width,
        markup=False,
        highlight=False,
        emoji=False,
    )


def text_lines(document: Document, stream: TextIO | None = None) -> list[str]:
    """Return the document's lines for a stream; None: for a file."""
    is_terminal = stream is not None and stream.isatty()
    console = console_for(is_terminal=is_terminal, width=None if is_terminal else _UNBROKEN)
    sign = f"{SIGNS[document.tone]} " if is_terminal and document.tone in SIGNS else ""
    style = STYLES[document.tone]
    head = Text.assemble((sign, style), (clean(document.subject), "bold"), ": ", (clean(document.head), style))
    with console.capture() as captured:
        for renderable in [head, *(part for block in document.blocks for part in _block(block, console.width))]:
            # The terminal breaks single lines, commands among them, so that they can be copied as one.
            console.print(renderable, soft_wrap=isinstance(renderable, Text))
    return [line.rstrip() for line in captured.get().splitlines()]


def _block(block: Block, width: int) -> Iterator[RenderableType]:
    if not isinstance(block, Facts | Table | Notes | Log):
        return  # text has no charts
    if block.title is not None:
        yield Text(f"\n{clean(block.title)}", style="bold")
    match block:
        case Facts(facts=facts):
            yield from _facts(facts, width)
        case Log(lines=lines, problem=problem, url=url):
            yield from (Text(f"  {line}") for line in lines)
            if problem is not None:
                yield Text(f"  {SIGNS[Tone.WARNING]} {clean(problem)}: {url}", style=STYLES[Tone.WARNING])
        case Table() if len(block.rows) > _MANY:
            yield _aligned(block)
        case Table():
            yield Padding(_grid(block), (0, 0, 0, 2), expand=False)
        case Notes(notes=notes) if len(notes) > _MANY:
            yield Text("\n").join(Text(f"  {SIGNS.get(note.tone, '-')} {clean(note.text)}") for note in notes)
        case Notes(notes=notes):
            for note in notes:
                sign = SIGNS.get(note.tone, "-")
                grid = Grid.grid(padding=(0, 1, 0, 0))
                grid.add_row(Text(sign, style=STYLES[note.tone]), Text(clean(note.text)))
                yield Padding(grid, (0, 0, 0, 2), expand=False)
                if note.command is not None:
                    yield Text(f"    {clean(note.command)}", style="bold")


def _facts(facts: Sequence[Fact], width: int) -> Iterator[RenderableType]:
    labels = max([_LABELS, *(len(fact.label) + 2 for fact in facts)])

    def is_long(fact: Fact) -> bool:
        return fact.is_code and 2 + labels + len(fact.value) > width

    for is_alone, group in itertools.groupby(facts, is_long):
        if is_alone:
            # The terminal breaks values for copying, so that no line break is copied with them.
            for fact in group:
                label = (f"  {clean(fact.label):<{labels}}", STYLES[Tone.QUIET])
                yield Text.assemble(label, (clean(fact.value), STYLES[fact.tone]))
            continue
        grid = Grid.grid(padding=(0, 2, 0, 0))
        grid.add_column(style=STYLES[Tone.QUIET], min_width=labels - 2, no_wrap=True)
        grid.add_column(overflow="fold")
        for fact in group:
            grid.add_row(clean(fact.label), Text(clean(fact.value), style=STYLES[fact.tone]))
        yield Padding(grid, (0, 0, 0, 2), expand=False)


def _aligned(table: Table) -> Text:
    """Draw a table of very many rows at its full width: rich takes seconds to lay out thousands of cells."""
    rows = [tuple(map(clean, row)) for row in (table.columns, *table.rows)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(table.columns))]
    lines = []
    for number, row in enumerate(rows):
        cells = [
            f"{cell:>{width}}" if index in table.numbers else f"{cell:<{width}}"
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        style = STYLES[table.tone_of(number - 1)] if number else STYLES[Tone.QUIET]
        lines.append(Text("  " + "  ".join(cells).rstrip(), style=style))
    return Text("\n").join(lines)


def _grid(table: Table) -> RenderableType:
    grid = Grid(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style=STYLES[Tone.QUIET])
    for index, column in enumerate(table.columns):
        is_number = index in table.numbers
        grid.add_column(clean(column), justify="right" if is_number else "left", overflow="fold", no_wrap=is_number)
    for index, row in enumerate(table.rows):
        style = STYLES[table.tone_of(index)]
        grid.add_row(*(Text(clean(cell), style=style) for cell in row))
    return grid
