"""A document as text: in colour and as wide as the terminal, or plain, a line for each fact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from automl_waiter.documents.document import Block, Document, Facts, Notes, Table, Tone
from automl_waiter.text import clean

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# Of the terminal's own colours and one more, those that can be read on a light and on a dark background.
STYLES = {
    Tone.PLAIN: "",
    Tone.GOOD: "green",
    Tone.WARNING: "dark_orange3",
    Tone.BAD: "red",
    Tone.QUIET: "dim",
}
SIGNS = {Tone.GOOD: "✓", Tone.WARNING: "!", Tone.BAD: "✗"}

_LABELS = 17
# Wide enough that nothing is broken where lines have no end.
_UNBROKEN = 100_000


def console_for(stream: TextIO | None, *, width: int | None = None) -> Console:
    """A console of rich's for a stream: no markup, no guessing of what looks like a number."""
    from rich.console import Console

    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


def text_lines(document: Document, stream: TextIO | None = None) -> list[str]:
    """The document's lines, as they are to be written to a stream; None: as to a file."""
    from rich.text import Text

    console = console_for(stream)
    if stream is None or not console.is_terminal:
        console = console_for(None, width=_UNBROKEN)
        console.no_color, console.legacy_windows = True, False
    with console.capture() as captured:
        for renderable in renderables(document, is_terminal=console.is_terminal):
            # Single lines, commands among them, are the terminal's to break: they can then be copied as one.
            console.print(renderable, soft_wrap=isinstance(renderable, Text))
    return [line.rstrip() for line in captured.get().splitlines()]


def renderables(document: Document, *, is_terminal: bool) -> Iterator[RenderableType]:
    """The document in what rich can print."""
    from rich.text import Text

    sign = f"{SIGNS[document.tone]} " if is_terminal and document.tone in SIGNS else ""
    style = STYLES[document.tone]
    yield Text.assemble((sign, style), (clean(document.subject), "bold"), ": ", (clean(document.head), style))
    for block in document.blocks:
        yield from _block(block)


def _block(block: Block) -> Iterator[RenderableType]:
    from rich.padding import Padding
    from rich.table import Table as Grid
    from rich.text import Text

    if not isinstance(block, Facts | Table | Notes):
        return  # it is drawn where something can be drawn
    if block.title is not None:
        yield Text(f"\n{clean(block.title)}", style="bold")
    match block:
        case Facts(facts=facts):
            grid = Grid.grid(padding=(0, 2, 0, 0))
            grid.add_column(style=STYLES[Tone.QUIET], min_width=_LABELS - 2, no_wrap=True)
            # A location that does not fit is broken anywhere: with an ellipsis it could not be copied.
            grid.add_column(overflow="fold")
            for fact in facts:
                grid.add_row(clean(fact.label), Text(clean(fact.value), style=STYLES[fact.tone]))
            yield Padding(grid, (0, 0, 0, 2), expand=False)
        case Table():
            yield Padding(_grid(block), (0, 0, 0, 2), expand=False)
        case Notes(notes=notes):
            for note in notes:
                sign = SIGNS.get(note.tone, "-")
                grid = Grid.grid(padding=(0, 1, 0, 0))
                grid.add_row(Text(sign, style=STYLES[note.tone]), Text(clean(note.text)))
                yield Padding(grid, (0, 0, 0, 2), expand=False)
                if note.command is not None:
                    yield Text(f"    {clean(note.command)}", style="bold")


def _grid(table: Table) -> RenderableType:
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style=STYLES[Tone.QUIET])
    for index, column in enumerate(table.columns):
        is_number = index in table.numbers
        grid.add_column(clean(column), justify="right" if is_number else "left", overflow="fold", no_wrap=is_number)
    for index, row in enumerate(table.rows):
        style = STYLES[table.tone_of(index)]
        grid.add_row(*(Text(clean(cell), style=style) for cell in row))
    return grid
