"""How long each phase of a job lasted, as far as it was seen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from automl_waiter._model.statuses import SecondaryStatus, Status

if TYPE_CHECKING:
    from automl_waiter._model.tracker import Transition

NOT_WATCHED = "before the first look"
"""What stands for the time from the job's creation to the first look."""

# Who looks as soon after the creation has seen it all: seconds.
_AT_ONCE = 5.0


class Phase(NamedTuple):
    """A phase, from the look that first saw it to the one that saw the next.

    Attributes:
        name: The secondary status; NOT_WATCHED for what was before the first look.
        begin: When it was first seen (UTC), or when the job was created, if it then began.
        end: When the next one was seen, or the job's EndTime; None: it is the present one.
    """

    name: str
    begin: datetime
    end: datetime | None

    @property
    def is_watched(self) -> bool:
        """Whether it was seen, and is not the time before."""
        return self.name != NOT_WATCHED

    def seconds(self, now: datetime) -> float:
        """How long it has lasted."""
        return max(0.0, ((self.end or now) - self.begin).total_seconds())


def phases_of(transitions: Sequence[Transition], created_at: datetime | None, ended_at: datetime | None) -> list[Phase]:
    """The phases of a job, in order, from what was seen of it.

    Args:
        transitions: What was seen, the first observation included.
        created_at: The job's CreationTime.
        ended_at: Its EndTime, once it has ended.
    """
    if not transitions:
        return [] if created_at is None else [Phase(NOT_WATCHED, created_at, ended_at)]
    first, last = transitions[0], transitions[-1]
    phases = []
    begin = first.observed_at
    if created_at is not None and created_at < begin:
        is_at_once = (begin - created_at).total_seconds() <= _AT_ONCE and not first.after.is_terminal
        if first.after.secondary_status == SecondaryStatus.STARTING or is_at_once:
            begin = created_at
        else:
            unseen = ended_at if first.after.is_terminal and ended_at else begin
            phases.append(Phase(NOT_WATCHED, created_at, max(created_at, unseen)))
    for transition, following in zip(transitions, [*transitions[1:], None], strict=True):
        if transition.after.is_terminal:
            break
        end = None if following is None else following.observed_at
        if following is not None and following.after.is_terminal and ended_at is not None:
            end = max(begin, ended_at)
        phases.append(Phase(_name(transition), begin, end))
        begin = end or begin
    if last.after.is_terminal or ended_at is None or not phases or phases[-1].end is not None:
        return phases
    # The journal's last look was before the end.
    return [*phases[:-1], phases[-1]._replace(end=max(phases[-1].begin, ended_at))]


def _name(transition: Transition) -> str:
    status, secondary = transition.after
    return secondary if status in (Status.IN_PROGRESS, secondary) else f"{status}/{secondary}"
