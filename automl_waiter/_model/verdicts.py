"""How a wait can end, and the parts of a success."""

from __future__ import annotations

from enum import StrEnum

from automl_waiter._model.errors import InvalidRequest
from automl_waiter._model.text import clean, words_of


class Verdict(StrEnum):
    """How a wait ended."""

    COMPLETED = "completed"
    DEGRADED = "degraded"
    FAILED = "failed"
    STOPPED = "stopped"
    CONDITION_MET = "condition_met"
    CONDITION_NOT_MET = "condition_not_met"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    NOT_FOUND = "not_found"
    REPLACED = "replaced"
    ERROR = "error"
    IN_PROGRESS = "in_progress"


UNDECIDED = frozenset({Verdict.CANCELLED, Verdict.ERROR, Verdict.NOT_FOUND, Verdict.REPLACED, Verdict.TIMED_OUT})
"""The verdicts of waits that neither the job's end nor the condition ended."""


class Part(StrEnum):
    """A part of a success that can be missing from a Completed job."""

    BEST_CANDIDATE = "best-candidate"
    ENDPOINT = "endpoint"
    EXPLAINABILITY = "explainability"
    INSIGHTS = "insights"
    NO_PARTIAL_FAILURES = "no-partial-failures"


DEFAULT_REQUIREMENT = (Part.BEST_CANDIDATE, Part.ENDPOINT)
"""The parts that a job was created to produce."""

EXPLANATIONS = {
    Part.BEST_CANDIDATE: "there is no best candidate",
    Part.ENDPOINT: "the requested endpoint does not exist",
    Part.EXPLAINABILITY: "the explainability report failed",
    Part.INSIGHTS: "the model insights report failed",
    Part.NO_PARTIAL_FAILURES: "a part of the job failed",
}


def required_parts(require: object) -> frozenset[Part]:
    """Return the parts that `require` names; `"all"` and `"none"` stand for every part and for none.

    Raises:
        InvalidRequest: A part does not exist.
    """
    names = words_of(require, "require")
    if names == ["all"]:
        return frozenset(Part)
    if names == ["none"]:
        return frozenset()
    unknown = [name for name in names if name not in [part.value for part in Part]]
    if unknown:
        raise InvalidRequest(
            f"{clean(unknown[0])!r} is not a part that you can require: use {', '.join(Part)}, or all or none alone"
        )
    return frozenset(map(Part, names))
