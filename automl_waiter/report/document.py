"""A document: a head, and blocks of facts, tables, notes and charts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple


class Tone(Enum):
    """How something is meant, which forms show by colour and sign."""

    PLAIN = "plain"
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    QUIET = "quiet"


class Fact(NamedTuple):
    """A value and what it is. `is_code`: it is to be copied as it stands, like a location."""

    label: str
    value: str
    tone: Tone = Tone.PLAIN
    is_code: bool = False


class Note(NamedTuple):
    """A sentence, and the command that it speaks of, if it does."""

    text: str
    command: str | None = None
    tone: Tone = Tone.PLAIN


class Bar(NamedTuple):
    """A stretch of time. `is_sure`: it was watched from its begin to its end."""

    label: str
    begin: datetime
    end: datetime
    is_sure: bool = True


class Point(NamedTuple):
    """A value, and when it was reached."""

    label: str
    at: datetime
    value: float


@dataclass(frozen=True)
class Facts:
    """Values, a line each."""

    facts: tuple[Fact, ...]
    title: str | None = None


@dataclass(frozen=True)
class Table:
    """Rows of cells. `numbers` are the columns that are aligned on the right; `tones` are those of the rows."""

    title: str | None
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    tones: tuple[Tone, ...] = ()

    def tone_of(self, row: int) -> Tone:
        """The tone of a row."""
        return self.tones[row] if row < len(self.tones) else Tone.PLAIN


@dataclass(frozen=True)
class Notes:
    """Sentences, each for itself."""

    title: str | None
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Bars:
    """Stretches of time, one below the other. Only a form that can draw has it."""

    title: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Plot:
    """Values over time, and the best of them so far. Only a form that can draw has it."""

    title: str
    points: tuple[Point, ...]
    is_minimized: bool


Block = Facts | Table | Notes | Bars | Plot


@dataclass(frozen=True)
class Document:
    """What is shown of a job: its name, how it is in a few words and how that is meant, and what more is known."""

    subject: str
    head: str
    tone: Tone
    blocks: tuple[Block, ...]
