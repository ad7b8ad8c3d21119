"""The options of a wait, as the caller writes them, and their checks before the first call."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypedDict, TypeVar, Unpack, get_args

from automl_waiter._model.errors import InvalidRequest
from automl_waiter._model.polling import Fixed, PollPolicy, poll_policy
from automl_waiter._model.text import Duration, clean, seconds_of, words_of
from automl_waiter._model.token_bucket import DEFAULT_MAX_RATE
from automl_waiter._model.until import Condition, Expression, GoodEnough, HasStatus, condition
from automl_waiter._model.verdicts import DEFAULT_REQUIREMENT, Part, required_parts

CANDIDATES_EVERY_S = 120.0
"""Seconds between two listings of the candidates: each candidate takes minutes to train."""
NOT_FOUND_GRACE_S = 10.0
"""Seconds for which a missing name is polled again: AWS does not promise read-after-create."""

_SHELL_OPTIONS = ("on_transition", "on_event", "cancel_event")
# A shorter interval would raise the default rate limit beyond reason.
_SHORTEST_POLL_S = 0.1

Requirement = (
    Literal["best-candidate", "endpoint", "explainability", "insights", "no-partial-failures", "all", "none"] | Part
)
StopOn = Literal["until", "timeout"]
StopCause = Literal["until", "timeout", "interrupt"]
"""What makes a wait stop its job. An interrupt is a signal, which only the command handles."""


class Options(TypedDict, total=False):
    """The options of a wait, blocking or async. `wait_for` documents them."""

    timeout: Duration | Literal["auto"] | None
    poll: PollPolicy | Duration | None
    until: str | Condition | None
    good_enough: float | None
    require: Requirement | Iterable[Requirement]
    stop_on: StopOn | Iterable[StopOn]
    error_budget: Duration
    max_rate: float | None
    estimate: bool


@dataclass(frozen=True, kw_only=True)
class WaitOptions:
    """The checked options of a wait, made by `wait_options`. `timeout` is in seconds, "auto" or None."""

    timeout: float | Literal["auto"] | None = None
    poll: PollPolicy = field(default_factory=lambda: poll_policy(None))
    until: Condition | None = None
    required: frozenset[Part] = frozenset(DEFAULT_REQUIREMENT)
    stop_on: frozenset[StopCause] = frozenset()
    error_budget: float = 900.0
    grace: float = NOT_FOUND_GRACE_S
    max_rate: float = DEFAULT_MAX_RATE
    """The most calls per second to an account and region."""
    estimate: bool = False
    """Whether to estimate when the job will end."""
    once: bool = False
    """Poll once and report the state, without a grace period."""

    candidates_every: float | None = None
    """Seconds between two listings of the candidates during training, for a view; None: there is none."""

    @property
    def seconds(self) -> float:
        """The timeout in seconds; infinite if there is none, or if only the job's response gives it ("auto")."""
        return self.timeout if isinstance(self.timeout, float | int) else math.inf

    @property
    def is_listable(self) -> bool:
        """Whether a summary of ListAutoMLJobs, which has little more than the statuses, shows when the wait ends."""
        return self.until is None or isinstance(self.until, HasStatus)

    @property
    def may_be_for_a_candidate(self) -> bool:
        """Whether `until` may be about a candidate. What a callable reads is unknown."""
        return self.is_for_a_candidate or not (self.is_listable or isinstance(self.until, Expression))

    @property
    def reads_candidates(self) -> bool:
        """Whether the wait lists the candidates, for a view or for the condition."""
        return self.candidates_every is not None or self.is_for_a_candidate

    @property
    def is_for_a_candidate(self) -> bool:
        """Whether a candidate may end the wait while the job is still training."""
        return isinstance(self.until, GoodEnough) or (
            isinstance(self.until, Expression) and self.until.reads_best_candidate
        )


def wait_options(**options: Unpack[Options]) -> WaitOptions:
    """Return checked options. The default rate limit is high enough for `poll`.

    Raises:
        TypeError: An option does not exist.
        InvalidRequest: A value is invalid.
    """
    checked: dict[str, Any] = {}
    for name, value in options.items():
        if name not in _CHECKS:
            nearest = difflib.get_close_matches(name, {*_CHECKS, *_SHELL_OPTIONS} - {name}, n=1)
            hint = f": did you mean {nearest[0]!r}?" if nearest else ""
            raise TypeError(f"unexpected keyword argument {name!r}{hint}")
        default, field_name, check = _CHECKS[name]
        if value is not default:
            checked[field_name] = check(value)
    if "good_enough" in checked:
        if "until" in checked or "until" in checked.get("stop_on", ()):
            raise InvalidRequest("good enough cannot be combined with until or stop on until: it does both")
        checked["until"] = checked.pop("good_enough")
        checked["stop_on"] = checked.get("stop_on", frozenset()) | {"until"}
    result = WaitOptions(**checked)
    if "until" in result.stop_on and result.until is None:
        raise InvalidRequest("stop on until needs an until condition")
    if "timeout" in result.stop_on and result.timeout is None:
        raise InvalidRequest("stop on timeout needs a timeout")
    if isinstance(result.poll, Fixed) and "max_rate" not in checked:
        interval = seconds_of(result.poll.interval)
        if interval < _SHORTEST_POLL_S:
            raise InvalidRequest(f"a poll every {interval:g} s needs a max rate, in calls per second")
        return replace(result, max_rate=max(DEFAULT_MAX_RATE, 2 / interval))
    return result


def _stop_on(stop_on: object) -> frozenset[str]:
    causes = words_of(stop_on, "stop_on")
    for cause in causes:
        if cause not in get_args(StopOn):
            raise InvalidRequest(f"stop_on is until or timeout, not {clean(cause)!r}")
    return frozenset(causes)


def _max_rate(max_rate: object) -> float:
    if isinstance(max_rate, bool) or not isinstance(max_rate, int | float) or not 0 < max_rate < math.inf:
        raise InvalidRequest(f"max_rate is a positive number of calls per second, not {clean(max_rate)!r}")
    return float(max_rate)


def _good_enough(value: object) -> GoodEnough:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidRequest(f"a value that is good enough is a number, such as 0.9, not {clean(value)!r}")
    return GoodEnough(float(value))


def _not_negative(what: str, duration: Any) -> float:
    seconds = seconds_of(duration, what)
    if not seconds >= 0:
        raise InvalidRequest(f"{what} is not a negative number of seconds, as {seconds} is")
    return seconds


def _boolean(what: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(f"{what} is True or False, not {clean(value)!r}")
    return value


_CHECKS: dict[str, tuple[Any, str, Callable[[Any], Any]]] = {
    "timeout": (None, "timeout", lambda value: value if value == "auto" else _not_negative("timeout", value)),
    "poll": (None, "poll", poll_policy),
    "until": (None, "until", condition),
    "good_enough": (None, "good_enough", _good_enough),
    "require": (DEFAULT_REQUIREMENT, "required", required_parts),
    "stop_on": ((), "stop_on", _stop_on),
    "error_budget": (900, "error_budget", partial(_not_negative, "error_budget")),
    "max_rate": (None, "max_rate", _max_rate),
    "estimate": (False, "estimate", partial(_boolean, "estimate")),
}
"""For each option: its default, its field in WaitOptions, and the function that checks it. A value that is good enough
becomes the fields `until` and `stop_on`."""

DEFAULTS = {name: default for name, (default, _, _) in _CHECKS.items()}

F = TypeVar("F", bound=Callable[..., Any])


def shows_options(options: type, defaults: Mapping[str, object]) -> Callable[[F], F]:
    """Show each option in the signature of a function that has `**options`, for completion and documentation."""

    def show(function: F) -> F:
        signature = inspect.signature(function)
        shown = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        for name, annotation in inspect.get_annotations(options).items():
            shown.append(
                inspect.Parameter(
                    name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=defaults.get(name),
                    annotation=getattr(annotation, "__forward_arg__", annotation),
                )
            )
        function.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
        return function

    return show
