"""A document in Markdown, for a run's summary page and for files."""

from __future__ import annotations

import re
from collections.abc import Iterator

from automl_waiter._model.text import clean
from automl_waiter.report.document import Block, Document, Facts, Log, Notes, Table, Tone

_SIGNS = {Tone.GOOD: "✅", Tone.WARNING: "⚠️", Tone.BAD: "❌"}
# Characters with a meaning in Markdown or embedded HTML, anywhere, between words, or at the start of a line; and those
# that make an address a link.
_SPECIAL = re.compile(
    r"[\\`*\[\]<>|~&$]|(?<![^\W_])_|_(?![^\W_])|^[#=]|^[+-](?=\s)|(?<=^\d)[.)](?=\s)|:(?=//)|(?<=www)\."
)


def markdown(document: Document) -> str:
    """Return the document in Markdown, with a second-level heading."""
    sign = f"{_SIGNS[document.tone]} " if document.tone in _SIGNS else ""
    parts = [f"## {sign}{escaped(document.subject)}: {escaped(document.head)}"]
    parts += ["\n".join(lines) for block in document.blocks if (lines := list(_lines(block)))]
    return "\n\n".join(parts) + "\n"


def escaped(text: object) -> str:
    """Return text with every Markdown and HTML character escaped."""
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", clean(text))


def code(text: object) -> str:
    """Return text as inline code on one line, whatever backticks it holds."""
    words = clean(text).replace("|", "¦")
    longest = max((len(run) for run in re.findall(r"`+", words)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if words.startswith("`") or words.endswith("`") else ""
    return f"{fence}{pad}{words}{pad}{fence}"


def _lines(block: Block) -> Iterator[str]:
    if not isinstance(block, Facts | Table | Notes | Log):
        return  # Markdown has no charts
    if block.title is not None:
        yield from (f"### {escaped(block.title)}", "")
    match block:
        case Facts(facts=facts):
            for fact in facts:
                value = code(fact.value) if fact.is_code else escaped(fact.value)
                value = value if fact.link is None else f"[{value}]({fact.link})"
                yield f"- **{escaped(fact.label)}:** {value}"
        case Table(columns=columns, rows=rows, numbers=numbers):
            yield f"| {' | '.join(map(escaped, columns))} |"
            yield f"|{'|'.join('---:' if index in numbers else '---' for index in range(len(columns)))}|"
            for row in rows:
                yield f"| {' | '.join(map(escaped, row))} |"
        case Log(lines=lines, problem=problem, url=url):
            if lines:
                fence = "`" * (1 + max((len(run) for run in re.findall(r"`+", " ".join(("``", *lines)))), default=2))
                yield from (fence, *lines, fence, "")
            if problem is not None:
                yield from (escaped(problem), "")
            yield f"<{url}>"
        case Notes(notes=notes):
            for note in notes:
                yield f"- {escaped(note.text)}"
                if note.command is not None:
                    command = clean(note.command).replace("```", "` ` `")  # it cannot end the block of code
                    yield from ("", "  ```sh", f"  {command}", "  ```", "")
