"""Text for people: durations, times, and AWS's words made safe to print."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from automl_waiter._model.errors import InvalidRequest
from automl_waiter._model.secrets import hide

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_NUMBER = r"(\d+(?:\.\d+)?)"
_LONGEST = 36_500 * 86400.0
_DURATION = re.compile("".join(f"(?:{_NUMBER}{unit})?" for unit in _UNITS), re.ASCII)

# C0 (with ESC, CR and LF), DEL and C1, and the separators of lines.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# What nobody sees but what may reorder a line or hide a text: zero-width, bidirectional and tag characters, fillers and
# variation selectors.
_INVISIBLE = re.compile(
    r"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    r"\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
LONGEST_TEXT = 4000
"""What people are shown of a text, in characters. A FailureReason has up to 1024 (API reference)."""
_LONGEST_WORDS = 120
"""What a repr shows of one text, in characters."""
# A CI runner may treat a line with one of these as a command (GitHub Actions, Azure Pipelines, TeamCity).
_RUNNER_COMMAND = re.compile(r"(?<=^:)(?=:)|(?<=#)(?=#\[|#vso\[|#teamcity\[)")


# The user:password@ before the host of a URL. A password may contain characters that should have been escaped.
_USERINFO = re.compile(r"(?<=://)(?:[^/?#\s:]+:\S+|[^/?#\s]+)(?=@)")
# Secrets in a command line, by their names: --token abc, password=abc, Authorization: Bearer abc.
_SECRET = re.compile(
    r"((?:\b|_)(?:access|api|secret)?[-_]?(?:key|token|secret|passw(?:or)?d|authorization|bearer)(?:\s*[=:]\s*|\s+)"
    r"(?:(?:basic|bearer|token)\s+)?)[^\s'\"]+",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """Return `text` without the credentials in its URLs."""
    return _USERINFO.sub("***", text) if "://" in text else text


def redact_command(line: str) -> str:
    """Return a command line without the credentials in its URLs and the values after words like token and password.

    Use it for commands, not sentences: "the security token included in the request" holds no secret.
    """
    return _SECRET.sub(r"\1***", redact(line))


def clean(text: object) -> str:
    """Return `text` for people, as one harmless line: the one way out for text that others wrote.

    Without secrets, control characters, invisible characters and anything that a CI runner would execute. A text of
    many pages is cut, and its length is added.
    """
    line = str(text)
    length = len(line)
    if length > LONGEST_TEXT:
        line = line[: 2 * LONGEST_TEXT]  # what follows is not shown, but a secret may begin before it
    if not line.isascii():
        line = _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", _INVISIBLE.sub("", line))
    line = redact(hide(line))
    line = _CONTROL.sub(" ", line).strip()
    if length > LONGEST_TEXT:
        line = f"{line[:LONGEST_TEXT]}... ({length:,} characters)"
    return _RUNNER_COMMAND.sub(" ", line) if "::" in line or "##" in line else line


def short_repr(shown: object, name: str | None, *words: str | None) -> str:
    """Return a repr of one line: the type, the name at AWS, and those of the words that are known, shortened.

    Write words in ASCII: printing another character raises an error on a console that does not have it.
    """
    found = [repr(clean(name))] if name else []
    for word in filter(None, words):
        text = clean(word)
        found.append(text if len(text) <= _LONGEST_WORDS else f"{text[: _LONGEST_WORDS - 3].rstrip()}...")
    return f"{type(shown).__name__}({', '.join(found)})"


Duration = float | timedelta | str
"""Seconds, a timedelta, or text in the form of `parse_duration`."""


def parse_duration(text: str) -> float:
    """Return the seconds in `90`, `0.5s`, `90s`, `15m`, `6h` or `1d12h`.

    Raises:
        InvalidRequest: It is none of these; also a ValueError.
    """
    text = text.strip()
    # A bare number is in seconds, but only alone: in `1h30` it would be ambiguous.
    match = _DURATION.fullmatch(f"{text}s" if re.fullmatch(_NUMBER, text, re.ASCII) else text)
    if match is None or not text:
        raise InvalidRequest(f"{clean(text)!r} is not a duration: write 90, 0.5s, 90s, 15m, 6h or 1d12h")
    seconds = sum(float(amount) * unit for amount, unit in zip(match.groups(), _UNITS.values(), strict=True) if amount)
    return _bounded(seconds, text)


def _bounded(seconds: float, given: object) -> float:
    """Return the seconds; raise InvalidRequest if they are more than the calendar can take."""
    if seconds > _LONGEST:
        raise InvalidRequest(f"{clean(given)[:40]!r} is more than {_LONGEST / 86400:g}d")
    return seconds


def format_duration(seconds: float) -> str:
    """Return `1d 3h`, `2h 5m`, `1m 30s`, `12s` or `0.4s`: two units are enough to plan with."""
    if seconds < 10 and round(seconds, 1) % 1:
        return f"{seconds:.1f}s"
    rest = round(seconds)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        amount, rest = divmod(rest, size)
        if amount:
            parts.append(f"{amount}{unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0s"


def parseable_duration(seconds: float) -> str:
    """Return a duration for `parse_duration`: `1h30m`, `12s` or `0.5s`; in whole seconds from a minute on."""
    rest = round(seconds, 3) if seconds < 60 else float(round(seconds))
    text = ""
    for unit, size in _UNITS.items():
        amount, rest = (rest, 0.0) if size == 1 else divmod(rest, size)
        text += f"{amount:g}{unit}" if amount else ""
    return text or "0s"


def seconds_of(duration: Duration, what: str = "a duration") -> float:
    """Return a duration in seconds, from any form that the library accepts.

    Raises:
        InvalidRequest: `what` is none of them.
    """
    match duration:
        case timedelta():
            return _bounded(duration.total_seconds(), duration)
        case str():
            return parse_duration(duration)
        case float() | int() if not isinstance(duration, bool):
            return float(duration if duration == math.inf else _bounded(duration, duration))
        case _:
            kind = type(duration).__name__
            raise InvalidRequest(f"{what} is a number of seconds, a timedelta or text like '15m', not of type {kind}")


def words_of(value: object, what: str) -> list[str]:
    """Return the words of an option that accepts one or several.

    Raises:
        InvalidRequest: It is neither text nor an iterable of text.
    """
    if isinstance(value, str):
        return [value]
    if isinstance(value, Iterable):
        words = list(value)
        if all(isinstance(word, str) for word in words):
            return words
    raise InvalidRequest(f"{what} is a word or several, not {clean(value)!r}")


def nearest_name(name: str, names: Iterable[str]) -> str | None:
    """Return the name most similar to `name`, in any case; None if none is similar."""
    by_key = {one.lower(): one for one in names}
    nearest = difflib.get_close_matches(name.lower(), by_key, n=1)
    return by_key[nearest[0]] if nearest else None


def in_utc(instant: datetime) -> datetime:
    """Return a datetime in UTC. One without a zone is taken as UTC."""
    return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)


def isoformat(instant: datetime) -> str:
    """Return ISO 8601 in UTC with milliseconds: `2026-11-24T09:30:00.000Z`. No zone means UTC."""
    return in_utc(instant).isoformat(timespec="milliseconds").replace("+00:00", "Z")
