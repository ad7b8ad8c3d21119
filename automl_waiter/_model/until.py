"""`until`: a status, a phase, or a JMESPath expression over the response. `good_enough`: a value of the objective."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from automl_waiter._model.candidates import is_usable, objective_of
from automl_waiter._model.errors import InvalidRequest
from automl_waiter._model.json_form import jsonable
from automl_waiter._model.members import Member, View, number
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.statuses import SecondaryStatus, Status
from automl_waiter._model.text import clean

Condition = Callable[[Snapshot], bool]
Place = type[View] | Member[Any] | None

_NUMERIC_FUNCTIONS = frozenset({"abs", "avg", "ceil", "floor", "length", "sum", "to_number"})
# A comparison with a bare number, as other languages write it.
_BARE_NUMBER = re.compile(r"[<>=]\s*-?\d")

_STATUSES = frozenset(Status)
_SECONDARY_STATUSES = frozenset(SecondaryStatus)


@dataclass(frozen=True)
class HasStatus:
    """True if a job has this status. Words that are both a primary and a secondary status mean the primary one."""

    status: str

    def __call__(self, snapshot: Snapshot) -> bool:
        return self.status == (snapshot.status if self.status in _STATUSES else snapshot.secondary_status)


class NotEvaluable(Exception):
    """An expression has no result for a response: its members are not of the types that it compares."""


@dataclass(frozen=True)
class Expression:
    """True if the result of an expression over the response is true in JMESPath."""

    text: str
    compiled: Any
    reads_best_candidate: bool

    def __call__(self, snapshot: Snapshot) -> bool:
        from jmespath.exceptions import JMESPathTypeError

        try:
            return _is_true(self.compiled.search(jsonable(snapshot.response)))
        except Exception as error:
            # A function received null because a member is still absent: the condition is not met yet.
            if isinstance(error, JMESPathTypeError) and error.actual_type == "null":
                return False
            raise NotEvaluable(f"{type(error).__name__}: {clean(error)}") from None


@dataclass(frozen=True)
class GoodEnough:
    """True if the best candidate is trained and its objective is at least as good as `value`."""

    value: float

    def __call__(self, snapshot: Snapshot) -> bool:
        best = snapshot.best_candidate
        objective = objective_of(best) if best is not None and is_usable(best) else None
        return objective is not None and objective.is_at_least(self.value)


def condition(until: object) -> Condition | None:
    """Return the condition for `until`.

    Raises:
        InvalidRequest: An expression is malformed or names no member of the response.
    """
    if until is None or callable(until):
        return until
    if not isinstance(until, str):
        raise InvalidRequest(f"until is a status, a JMESPath expression or a callable, not {clean(until)!r}")
    expression = until.strip()
    if expression in _STATUSES | _SECONDARY_STATUSES:
        return HasStatus(expression)
    return _jmespath(expression)


def _jmespath(expression: str) -> Condition:
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        compiled = jmespath.compile(expression)
        _check_functions(compiled)
        _check(compiled.parsed, Snapshot, expression)
    except JMESPathError as error:
        # The library draws a caret on a second line; the first line holds the message.
        problem = clean(str(error).splitlines()[0]).removesuffix(", for expression:")
        if _BARE_NUMBER.search(expression):
            problem += "; a number stands in backticks, as in Value > `0.9`"
        raise InvalidRequest(f"until {clean(expression)!r} is neither a status nor JMESPath: {problem}") from None
    except RecursionError:
        raise InvalidRequest(f"until {clean(expression)[:40]!r}... is nested too deeply") from None

    return Expression(expression, compiled, _names(compiled.parsed, "BestCandidate"))


def _check_functions(compiled: Any) -> None:
    """Raise JMESPathError if there is no such function, or if it takes another number of arguments.

    JMESPath finds that when the function is called. Here it is called with null, because there are no members.
    """
    from jmespath.exceptions import ArityError, UnknownFunctionError

    try:
        compiled.search({})
    except (ArityError, UnknownFunctionError):
        raise
    except Exception:  # noqa: S110 - whether it can be evaluated is for the responses to say
        pass


def _names(node: Any, name: str) -> bool:
    if not isinstance(node, dict):
        return False  # of an index or a slice
    is_it = node["type"] == "field" and node["value"] == name
    return is_it or any(_names(child, name) for child in node.get("children", ()))


def _is_true(result: Any) -> bool:
    """Return whether JMESPath counts a result as true: 0 is true there; the empty string, list and map are not."""
    return not (result is None or result is False or result in ("", [], {}))


def _check(node: Any, view: Place, expression: str) -> Place:
    """Check a parsed expression against the response: the names, and numbers that are compared with text.

    Returns:
        What the node leads to: the class of a structure, a member with a plain value, or None if it is unknown.
    """
    children = node.get("children", [])
    match node["type"]:
        case "field":
            if view is None or isinstance(view, Member):
                return None
            if node["value"] not in view.members:
                raise InvalidRequest(_unknown_name(node["value"], view, expression))
            member = view.members[node["value"]]
            return None if member.keyed else member.view or member
        case "filter_projection":
            elements, projected, predicate = children
            view = _check(elements, view, expression)
            _check(predicate, view, expression)
            return _check(projected, view, expression)
        case "subexpression" | "pipe" | "index_expression" | "projection" | "identity" | "current" | "flatten":
            # Each child starts where the previous one ended. A list leads to its elements.
            for child in children:
                view = _check(child, view, expression)
            return view
        case "index" | "slice":
            return view  # their children are numbers
        case "comparator":
            places = [_check(child, view, expression) for child in children]
            for place, other in zip(places, reversed(children), strict=True):
                is_text = other["type"] == "literal" and isinstance(other["value"], str)
                if is_text and isinstance(place, Member) and place.is_number:
                    _refuse_text(place, other["value"], expression)
            return None
        case "function_expression" if node["value"] in _NUMERIC_FUNCTIONS:
            for child in children:
                _check(child, view, expression)
            return number(f"{node['value']}()")
        case _:
            for child in children:
                _check(child, view, expression)
            return None


def _refuse_text(member: Member[Any], text: str, expression: str) -> NoReturn:
    """Raise InvalidRequest for the comparison of a number with text."""
    try:
        float(text)
    except ValueError:
        hint = "write Value > `0.9`"
    else:
        right = expression.replace(f"'{text}'", f"`{text}`").replace(f'`"{text}"`', f"`{text}`")
        hint = f"write {clean(right)}"
    raise InvalidRequest(
        f"until {clean(expression)!r}: {member.name} is a number, and {clean(text)!r} in quotes is text; a number "
        f"stands in backticks: {hint} (in a shell, put single quotes around the expression)"
    )


def _unknown_name(name: str, view: type[View], expression: str) -> str:
    known = [*view.members, *(sorted(_STATUSES | _SECONDARY_STATUSES) if view is Snapshot else ())]
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if nearest:
        hint = f"; did you mean {nearest[0]}?"
    elif view is Snapshot:
        hint = ": use a phase like ModelTuning, a status like Completed, or JMESPath like BestCandidate.CandidateName"
    else:
        hint = f": there are {', '.join(map(str, view.members))}"
    return f"until {clean(expression)!r}: {clean(name)!r} is neither a status nor a member of the response{hint}"
