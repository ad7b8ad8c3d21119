"""Typed access to the members of a response. A view converts a value when it is read, and copies nothing.

An absent optional member reads as None (a list or map, as empty). An absent required one raises AttributeError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Generic, Self, TypeVar, overload

from automl_waiter._model.secrets import hide
from automl_waiter._model.text import in_utc

T = TypeVar("T")
V = TypeVar("V", bound="View")
_ABSENT: Any = object()


class Member(Generic[T]):
    """One member of a structure: its name at AWS, the function that converts its value, and the default.

    `view` is the class of the structures that the member holds, if any: one, a list, or (`keyed`) lists by key.
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


def _datetime(value: datetime | str) -> datetime:
    """Return an aware datetime in UTC. A string is its JSON form, so that `describe` in our output reads back."""
    instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    return in_utc(instant)


def text(name: str) -> Member[str]:
    return Member(name, str)


def optional_text(name: str) -> Member[str | None]:
    return Member(name, str, None)


def optional_integer(name: str) -> Member[int | None]:
    return Member(name, int, None)


def number(name: str) -> Member[float]:
    return Member(name, float)


def optional_number(name: str) -> Member[float | None]:
    return Member(name, float, None)


def optional_flag(name: str) -> Member[bool | None]:
    return Member(name, bool, None)


def instant(name: str) -> Member[datetime]:
    return Member(name, _datetime)


def optional_instant(name: str) -> Member[datetime | None]:
    return Member(name, _datetime, None)


def texts(name: str) -> Member[tuple[str, ...]]:
    return Member(name, tuple, ())


def mapping(name: str) -> Member[Mapping[str, Any]]:
    return Member(name, lambda value: value, {})


def structure(name: str, view: type[V]) -> Member[V]:
    return Member(name, view, view=view)


def optional(name: str, view: type[V]) -> Member[V | None]:
    return Member(name, view, None, view)


def structures(name: str, view: type[V]) -> Member[tuple[V, ...]]:
    return Member(name, lambda values: tuple(map(view, values)), (), view)
