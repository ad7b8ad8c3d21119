"""Typed access to the members of a response. A view converts a value when it is read, and copies nothing.

An absent optional member reads as None (a list or map, as empty). An absent required one raises AttributeError.
`sifted` removes what cannot be converted, so that reading what is left never fails for its value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Generic, Self, TypeVar, overload

from automl_waiter._model.secrets import hide
from automl_waiter._model.text import in_utc

T = TypeVar("T")
V = TypeVar("V", bound="View")
_ABSENT: Any = object()
# What the API calls an integer has 32 bits, and every date of a job is in these years: with more, adding a duration or
# changing the time zone may overflow.
_LARGEST_INTEGER = 2**31 - 1
_YEARS = range(1970, 3000)
# Members that are newer than our tables hold structures of a few levels; thousands would exhaust Python's stack.
_DEEPEST = 32


class Member(Generic[T]):
    """One member of a structure: its name at AWS, the function that converts its value, and the default.

    `view` is the class of the structures that the member holds, if any: one, a list (where the default is an empty
    tuple), or (`keyed`) lists by key.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[Any], T],
        default: Any = _ABSENT,
        view: type[View] | None = None,
        *,
        keyed: bool = False,
    ) -> None:
        self.name = name
        self.view = view
        self.keyed = keyed
        self._read = read
        self._default = default
        self._is_list = default == ()

    @overload
    def __get__(self, view: None, owner: type[View]) -> Self: ...
    @overload
    def __get__(self, view: View, owner: type[View]) -> T: ...
    def __get__(self, view: View | None, owner: type[View]) -> T | Self:
        if view is None:
            return self
        value = view.raw.get(self.name)
        if value is not None:
            return self._read(value)
        if self._default is _ABSENT:
            raise AttributeError(f"the response has no {self.name}")
        default: T = self._default
        return default

    @property
    def is_required(self) -> bool:
        """Whether the structure is worth nothing without this member."""
        return self._default is _ABSENT

    @property
    def is_number(self) -> bool:
        """Whether the value is a number."""
        return self._read in (_integer, _number)

    def sift(self, value: Any, path: str, unreadable: dict[str, None]) -> Any:
        """Return the value without what cannot be read of it, which is added to `unreadable`; _ABSENT if all of it."""
        if self.view is None:
            return value if _is_readable(self._read, value) else _without(path, unreadable)
        sift = _sift_map if self.keyed else _sift_list if self._is_list else _sift_structure
        return sift(value, self.view, path, unreadable)


class View:
    """A read-only view of one structure of a response. `raw` is the structure itself: read it, never change it."""

    members: ClassVar[dict[str, Member[Any]]] = {}
    """The members by their names at AWS."""

    __slots__ = ("raw",)

    raw: Mapping[str, Any]

    def __init__(self, raw: Mapping[str, Any]) -> None:
        object.__setattr__(self, "raw", raw)

    def __init_subclass__(cls) -> None:
        cls.members = {member.name: member for member in vars(cls).values() if isinstance(member, Member)}

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a {type(self).__name__} cannot be changed")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._compared == self._compared

    def __hash__(self) -> int:
        return hash((type(self), *sorted(self._compared)))

    @property
    def _compared(self) -> Mapping[str, Any]:
        """The members by which two views are equal."""
        return self.raw

    def __reduce__(self) -> tuple[type[Self], tuple[Mapping[str, Any]]]:
        return type(self), (self.raw,)

    def __repr__(self) -> str:
        return hide(f"{type(self).__name__}({dict(self.raw)!r})")


def sifted(raw: Mapping[str, Any], view: type[View]) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Return a structure without the members that cannot be read, and the paths of those.

    What is in order is not copied. A structure whose required member cannot be read is removed with it.
    """
    unreadable: dict[str, None] = {}
    return _sift_members(raw, view, "", unreadable), tuple(unreadable)


def _sift_members(
    raw: Mapping[str, Any], view: type[View], path: str, unreadable: dict[str, None]
) -> Mapping[str, Any]:
    changed: dict[str, Any] = {}
    for name, value in raw.items():
        if value is None:
            continue  # absent
        member, inner = view.members.get(name), f"{path}.{name}" if path else str(name)
        if member is not None:
            kept = member.sift(value, inner, unreadable)
        else:
            kept = value if _is_plain(value) else _without(inner, unreadable)
        if kept is not value:
            changed[name] = kept
    return {name: kept for name, kept in {**raw, **changed}.items() if kept is not _ABSENT} if changed else raw


def _sift_structure(value: Any, view: type[View], path: str, unreadable: dict[str, None]) -> Any:
    if not isinstance(value, Mapping):
        return _without(path, unreadable)
    kept = _sift_members(value, view, path, unreadable)
    lost = (name for name, member in view.members.items() if member.is_required and name in value and name not in kept)
    return _ABSENT if any(lost) else kept


def _sift_list(values: Any, view: type[View], path: str, unreadable: dict[str, None]) -> Any:
    if not isinstance(values, list | tuple):
        return _without(path, unreadable)
    kept = [_sift_structure(value, view, path, unreadable) for value in values]
    is_whole = all(new is old for new, old in zip(kept, values, strict=True))
    return values if is_whole else [value for value in kept if value is not _ABSENT]


def _sift_map(values: Any, view: type[View], path: str, unreadable: dict[str, None]) -> Any:
    if not isinstance(values, Mapping):
        return _without(path, unreadable)
    kept = {key: _sift_list(value, view, path, unreadable) for key, value in values.items()}
    is_whole = all(kept[key] is value for key, value in values.items())
    return values if is_whole else {key: value for key, value in kept.items() if value is not _ABSENT}


def _without(path: str, unreadable: dict[str, None]) -> Any:
    unreadable[path] = None
    return _ABSENT


def _is_readable(read: Callable[[Any], object], value: Any) -> bool:
    try:
        read(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Return whether a value of unknown meaning can be copied, compared and written as JSON."""
    match value:
        case None | bool() | str() | float():
            return True
        case int():
            return abs(value) < 2**63
        case datetime():
            return _is_readable(utc_instant, value)
        case Mapping() if depth < _DEEPEST:
            return all(isinstance(key, str) and _is_plain(item, depth + 1) for key, item in value.items())
        case list() | tuple() if depth < _DEEPEST:
            return all(_is_plain(item, depth + 1) for item in value)
        case _:
            return False


# Each of these returns a value in its type, and raises TypeError, ValueError or OverflowError if it is none.


def utc_instant(value: Any) -> datetime:
    """Return an aware datetime in UTC; without a zone it counts as UTC, and a string is its JSON form.

    Raises:
        TypeError, ValueError, OverflowError: It is none, or of a year in which no job can have been.
    """
    instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(instant, datetime):
        raise TypeError("no instant")
    instant = in_utc(instant)
    if instant.year not in _YEARS:
        raise ValueError("a year in which nothing can be computed")
    return instant


def _of_type(kind: type[T]) -> Callable[[Any], T]:
    def read(value: Any) -> T:
        if not isinstance(value, kind):
            raise TypeError(f"no {kind.__name__}")
        return value

    return read


_text = _of_type(str)
_flag = _of_type(bool)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError("no finite number")
    return float(value)


def _integer(value: Any) -> int:
    if not _number(value).is_integer() or abs(value) > _LARGEST_INTEGER:
        raise ValueError("no integer of 32 bits")
    return int(value)


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list | tuple):
        raise TypeError("no list")
    return tuple(map(_text, values))


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not _is_plain(value):
        raise TypeError("no map")
    return value


def text(name: str) -> Member[str]:
    return Member(name, _text)


def optional_text(name: str) -> Member[str | None]:
    return Member(name, _text, None)


def optional_integer(name: str) -> Member[int | None]:
    return Member(name, _integer, None)


def number(name: str) -> Member[float]:
    return Member(name, _number)


def optional_number(name: str) -> Member[float | None]:
    return Member(name, _number, None)


def optional_flag(name: str) -> Member[bool | None]:
    return Member(name, _flag, None)


def instant(name: str) -> Member[datetime]:
    return Member(name, utc_instant)


def optional_instant(name: str) -> Member[datetime | None]:
    return Member(name, utc_instant, None)


def texts(name: str) -> Member[tuple[str, ...]]:
    return Member(name, _texts, ())


def mapping(name: str) -> Member[Mapping[str, Any]]:
    return Member(name, _mapping, {})


def optional(name: str, view: type[V]) -> Member[V | None]:
    return Member(name, view, None, view)


def structures(name: str, view: type[V]) -> Member[tuple[V, ...]]:
    return Member(name, lambda values: tuple(map(view, values)), (), view)
