"""A document in Markdown, for a run's summary page and for files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from automl_waiter._model.text import clean
from automl_waiter.report.document import Block, Document, Facts, Notes, Table, Tone

_SIGNS = {Tone.GOOD: "✅", Tone.WARNING: "⚠️", Tone.BAD: "❌"}
# What means something in Markdown or in the HTML that it may hold, wherever it stands, between words, or at a line's
# begin; and what makes an address a link.
_SPECIAL = re.compile(
    r"[\\`*\[\]<>|~&$]|(?<![^\W_])_|_(?![^\W_])|^[#=]|^[+-](?=\s)|(?<=^\d)[.)](?=\s)|:(?=//)|(?<=www)\."
)


def markdown(document: Document) -> str:
    """The document in Markdown, with a heading of the second level."""
    sign = f"{_SIGNS[document.tone]} " if document.tone in _SIGNS else ""
    parts = [f"## {sign}{escaped(document.subject)}: {escaped(document.head)}"]
    parts += ["\n".join(lines) for block in document.blocks if (lines := list(_lines(block)))]
    return "\n\n".join(parts) + "\n"


def escaped(text: object) -> str:
    """A text as it is to be read: nothing in it is Markdown or HTML."""
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", clean(text))


def code(text: object) -> str:
    """A text as code: one line, whatever backticks it holds."""
    words = clean(text).replace("|", "¦")
    longest = max((len(run) for run in re.findall(r"`+", words)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if words.startswith("`") or words.endswith("`") else ""
    return f"{fence}{pad}{words}{pad}{fence}"


def _lines(block: Block) -> Iterator[str]:
    title = block.title
    match block:
        case Facts(facts=facts):
            yield from _title(title)
            for fact in facts:
                value = code(fact.value) if fact.is_code else escaped(fact.value)
                yield f"- **{escaped(fact.label)}:** {value}"
        case Table(columns=columns, rows=rows, numbers=numbers):
            yield from _title(title)
            yield from _table(columns, [tuple(map(escaped, row)) for row in rows], numbers)
        case Notes(notes=notes):
            yield from _title(title)
            for note in notes:
                yield f"- {escaped(note.text)}"
                if note.command is not None:
                    yield from ("", *(f"  {line}" for line in ("```sh", _in_fence(note.command), "```")), "")


def _title(title: str | None) -> Iterator[str]:
    if title is not None:
        yield from (f"### {escaped(title)}", "")


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: frozenset[int] = frozenset()
) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'|'.join('---:' if index in numbers else '---' for index in range(len(columns)))}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _in_fence(text: str) -> str:
    """A line of a block of code, which it cannot end."""
    return clean(text).replace("```", "` ` `")
