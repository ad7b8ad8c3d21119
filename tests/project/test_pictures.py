"""The pictures of the README and the pages show what the program prints today."""

import html
import re
import runpy
from typing import Any

import pytest
from repository import ROOT

MAKER = runpy.run_path(str(ROOT / "docs" / "make_pictures.py"))


def words_of(svg: str) -> list[str]:
    """Return the words of a picture, in the order of its lines."""
    return " ".join(html.unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)).split()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["live", "several"])
def test_picture_shows_the_current_view(name: str, theme: str) -> None:
    """Its words are those of the frame; `python docs/make_pictures.py` draws it again."""
    path = MAKER["PICTURES"] / f"{name}-{theme}.svg"
    frame: Any = MAKER[name]()
    assert words_of(path.read_text()) == words_of(MAKER["svg"](frame, MAKER["THEMES"][theme], path.stem))


def test_a_picture_loads_nothing() -> None:
    """GitHub, or a page with a strict content policy, displays it unchanged."""
    for path in MAKER["PICTURES"].glob("*.svg"):
        assert not re.search(r"url\(http|@import|<image", path.read_text()), path.name
