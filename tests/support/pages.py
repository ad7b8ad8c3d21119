"""The snippets of README.md and docs/: where each stands, and the command lines of `automl-waiter` in them."""

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from repository import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>[^`\n]*)\n(?P<text>.*?)^ *(?P=fence)[`~]*$", re.M | re.S
)
_COMMENT = re.compile(r"<!--.*?-->", re.S)
_OPERATORS = set("();<>|&")
# What may stand before a command, and runs it.
_RUNS_NEXT = re.compile(r"\w+=.*|!|\{|if|then|else|do|while|until|exec|time|nohup|docker run .*", re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: The page's path in the repository.
        line: The line of the block's first line on the page.
        language: The language that the fence names.
        text: The block's lines, without the indent of the fence.
    """

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file_name(self) -> str | None:
        """The name under which the page says to save the block: its first line is `# NAME.EXT`."""
        found = re.match(r"(?:#!.*\n)?# ([\w-]+\.\w+)\n", self.text)
        return found[1] if found else None

    @property
    def dialogue(self) -> list[tuple[str, list[str]]]:
        """The commands of a `console` block, each with the lines of output that are shown below it."""
        found: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif found and found[-1][0].endswith("\\"):
                found[-1] = (f"{found[-1][0]}\n{line}", [])
            elif found:
                found[-1][1].append(line)
        return found

    @property
    def shell(self) -> str:
        """What a shell gets of a block in a shell's language."""
        return "\n".join(line for line, _ in self.dialogue) if self.language == "console" else self.text


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page, in order."""
    text = page.read_text()
    for found in _FENCE.finditer(text):
        indent = found["indent"]
        lines = (line.removeprefix(indent) for line in found["text"].splitlines(keepends=True))
        line = text.count("\n", 0, found.start("text")) + 1
        yield Block(str(page.relative_to(ROOT)), line, _language(found["info"].strip()), "".join(lines))


def _language(info: str) -> str:
    directive, _, rest = info.partition(" ")
    # MyST's own form of a block of code.
    return rest.strip() if directive in ("{code-block}", "{code}", "{sourcecode}") else directive


ALL = [block for page in PAGES for block in blocks(page)]


def sessions() -> list[list[Block]]:
    """Return the blocks of Python by session: a block that begins with an import starts a session on its page."""
    found: list[list[Block]] = []
    for block in (block for block in ALL if block.language == "python"):
        first = next((part for part in ast.parse(block.text).body if not isinstance(part, ast.Expr)), None)
        if found and found[-1][0].page == block.page and not isinstance(first, ast.Import | ast.ImportFrom):
            found[-1].append(block)
        else:
            found.append([block])
    return found


def prose(page: Path) -> str:
    """Return the page without its blocks and comments."""
    return _COMMENT.sub("", _FENCE.sub("", page.read_text()))


def command_lines(shell: str) -> Iterator[list[str]]:
    """Yield the words after each `automl-waiter` in lines of shell, without redirections."""
    for words in _statements(shell):
        for place, word in enumerate(words):
            if word.rpartition("/")[2] == "automl-waiter" and _is_run(words[:place]):
                yield words[place + 1 :]
                break
        for word in words:
            if " " in word and "automl-waiter" in word:  # a command in quotes: sh -c '...', "$(...)"
                yield from command_lines(word.replace("$(", ";").replace(")", ";"))


def _is_run(before: list[str]) -> bool:
    return all(_RUNS_NEXT.fullmatch(word) for word in before) or bool(_RUNS_NEXT.fullmatch(" ".join(before)))


def _statements(shell: str) -> Iterator[list[str]]:
    """Yield the words of each statement: what an operator or a line's end closes."""
    for line in _lines(shell.replace("\\\n", " ")):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        is_target = False
        for word in lexer:
            if is_target:
                is_target = False
            elif not word or set(word) - _OPERATORS:
                words.append(word)
            elif word[0] in "<>" and "(" not in word:
                is_target = True
                if words and words[-1] in ("1", "2"):  # 2> file
                    words.pop()
            else:
                yield words
                words = []
        yield words


def _lines(shell: str) -> Iterator[str]:
    """Yield the lines; those that one pair of quotes spans are one."""
    begun = ""
    for line in shell.splitlines(keepends=True):
        begun += line
        try:
            shlex.split(begun, comments=True)
        except ValueError:
            continue
        yield begun
        begun = ""
    assert not begun, f"a quote is not closed: {begun}"


def assert_shows(output: str, shown: list[str], where: object) -> None:
    """Check that each line which a page shows is a line of the output, in this order."""
    lines = iter(line.rstrip() for line in output.splitlines())
    for line in shown:
        assert line in lines, f"{where} shows {line!r}, and this was printed:\n{output}"
