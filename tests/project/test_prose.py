"""The prose of README, pages and help is in plain words. The phrases are those that confused readers."""

import re
from pathlib import Path

import pytest
from pages import PAGES
from proselint.tools import LintFile
from repository import ROOT

PHRASES = re.compile(
    r"\b(?:"
    r"next look|(?:first|last) (?:look|sighting)|looks? (?:at it )?(?:again|once)|looked (?:at|for) again|"
    r"(?:is|are|was|were|be) told|told (?:twice|once|to stop)|tells? (?:of|you|how|what|somebody)|"
    r"(?:goes|go|went|going) on|(?:is|are) over|tak(?:es?|en|ing) (?:it )?up|has taken (?:it|them)|"
    r"who (?:is|has|waits|looks|asks|may)|(?:was|were) asked (?:for|of)|as (?:it|they) (?:is|are|was|were) asked|"
    r"in earnest|fails? for good|passing failure|what there is|that which|one hopes"
    r")\b",
    re.IGNORECASE,
)
CHECKS = ("archaism", "cliches", "hedging", "malapropisms", "mixed_metaphors", "mondegreens", "nonwords", "oxymorons")
CHECKS += ("redundancy", "terms", "uncomparables", "weasel_words")
TEXTS = [*PAGES, *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"))]


def prose_of(page: Path) -> str:
    """Return the text of a page without code; its lines keep their numbers."""
    text = re.sub(r"^ *```.*?^ *```", lambda block: "\n" * block[0].count("\n"), page.read_text(), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`|\]\([^)\n]*\)|<[^>\n]*>", "X", text)


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_is_in_plain_words(page: Path) -> None:
    """A page has no phrase of the list, and no cliche, hedging, redundancy or other finding of proselint."""
    prose = prose_of(page)
    lines = [f"{number}: {line}" for number, line in enumerate(prose.splitlines(), 1) if PHRASES.search(line)]
    assert lines == []
    found = LintFile(page.name, prose).lint({"max_errors": 1000, "checks": dict.fromkeys(CHECKS, True)})
    assert [(one.pos, one.check_result.message) for one in found] == []


def test_strings_and_docstrings_are_in_plain_words() -> None:
    """No string or docstring of the package or an example has a phrase of the list."""
    files = [*(ROOT / "automl_waiter").rglob("*.py"), *filter(Path.is_file, (ROOT / "examples").rglob("*"))]
    lines = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in files
        if file.suffix != ".pyc"
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if PHRASES.search(line)
    ]
    assert lines == []
