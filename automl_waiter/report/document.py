"""A document: a head, and blocks of facts, tables, notes and charts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple


class Tone(Enum):
    """The tone of an item, which forms show by colour and sign."""

    PLAIN = "plain"
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    QUIET = "quiet"


SIGNS = {Tone.GOOD: "✓", Tone.WARNING: "!", Tone.BAD: "✗"}


class Fact(NamedTuple):
    """A label and its value. `is_code`: the value is for copying, like a location. `link`: a URL of ours, if any."""

    label: str
    value: str
    tone: Tone = Tone.PLAIN
    is_code: bool = False
    link: str | None = None


class Note(NamedTuple):
    """A sentence, with the command that it mentions, if any."""

    text: str
    command: str | None = None
    tone: Tone = Tone.PLAIN


class Bar(NamedTuple):
    """A period, with its duration in words. `is_sure`: it is known what happened then."""

    label: str
    begin: datetime
    end: datetime
    duration: str
    is_sure: bool = True


class Point(NamedTuple):
    """A value and the time at which it was reached."""

    label: str
    at: datetime
    value: float


class Figure(NamedTuple):
    """A number that matters most, and what it is."""

    label: str
    value: str


@dataclass(frozen=True)
class Figures:
    """The numbers that matter most, large. Only forms with graphics show them: the facts have them too."""

    figures: tuple[Figure, ...]
    title: None = None


@dataclass(frozen=True)
class Facts:
    """Values, one per line."""

    facts: tuple[Fact, ...]
    title: str | None = None


@dataclass(frozen=True)
class Table:
    """Rows of cells. `numbers` are the right-aligned columns; `tones` are those of the rows."""

    title: str | None
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    tones: tuple[Tone, ...] = ()

    def tone_of(self, row: int) -> Tone:
        """Return the tone of a row."""
        return self.tones[row] if row < len(self.tones) else Tone.PLAIN


@dataclass(frozen=True)
class Notes:
    """Independent sentences."""

    title: str | None
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Log:
    """Lines that a program wrote, as it wrote them, and where the rest is. Without lines, `problem` says why."""

    title: str
    lines: tuple[str, ...]
    problem: str | None
    url: str


@dataclass(frozen=True)
class Bars:
    """Periods, one below another. Only forms with graphics show them."""

    title: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Plot:
    """Values over time, and the best so far. Only forms with graphics show them."""

    title: str
    points: tuple[Point, ...]
    is_minimized: bool


Block = Figures | Facts | Table | Notes | Log | Bars | Plot


@dataclass(frozen=True)
class Document:
    """The report on a job: its name, its state in a few words, the tone of that state, and the details."""

    subject: str
    head: str
    tone: Tone
    blocks: tuple[Block, ...]
