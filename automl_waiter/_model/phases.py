"""The phases of a job and their durations, as far as they were observed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from automl_waiter._model.statuses import STEPS, Evidence, SecondaryStatus, Stage, State, Status, stage_of

if TYPE_CHECKING:
    from automl_waiter._model.snapshot import Snapshot
    from automl_waiter._model.tracker import Transition

NOT_WATCHED = "before the first look"
"""The name of the time from the job's creation to the first poll."""

# Seconds. A first poll this soon after creation missed no phase.
_AT_ONCE = 5.0


class Phase(NamedTuple):
    """A phase, from the poll that first found it to the poll that found the next one.

    Attributes:
        name: The secondary status; NOT_WATCHED for the time before the first poll.
        begin: When it was first observed (UTC), or when the job was created if it began then.
        end: When the next phase was observed, or the job's EndTime; None for the current phase.
    """

    name: str
    begin: datetime
    end: datetime | None

    @property
    def is_watched(self) -> bool:
        """Whether the phase was observed; False for the time before the first poll."""
        return self.name != NOT_WATCHED

    def seconds(self, now: datetime) -> float:
        """Return the duration so far, in seconds."""
        return max(0.0, ((self.end or now) - self.begin).total_seconds())


def phases_of(transitions: Sequence[Transition], created_at: datetime | None, ended_at: datetime | None) -> list[Phase]:
    """Return the phases of a job, in order.

    Args:
        transitions: The observed transitions, the first observation included.
        created_at: The job's CreationTime.
        ended_at: Its EndTime, if it has ended.
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
    # The last poll in the journal was before the end.
    return [*phases[:-1], phases[-1]._replace(end=max(phases[-1].begin, ended_at))]


def _name(transition: Transition) -> str:
    status, secondary = transition.after
    return secondary if status in (Status.IN_PROGRESS, secondary) else f"{status}/{secondary}"


def pending_phases(snapshot: Snapshot) -> list[str]:
    """Return the phases that are still to come, as far as they are known.

    They follow the recorded jobs, all of them tabular, where those had one way only, and the request: a job that was
    asked to deploy its model does so last. Which reports a job makes, if any, is not known beforehand.
    """
    state, phases = snapshot.state, list[str]()
    while snapshot.problem_type in (None, "Tabular") and len(following := _RECORDED.get(state, [])) == 1:
        [state] = following
        phases.append(state.secondary_status)
    is_running = snapshot.status == Status.IN_PROGRESS
    if is_running and stage_of(snapshot.state) in (Stage.PREPARING, Stage.TRAINING):
        phases.append("reports, if any")
    if is_running and snapshot.is_to_deploy and stage_of(snapshot.state) is not Stage.DEPLOYING:
        phases.append(SecondaryStatus.DEPLOYING_MODEL)
    return phases


_RECORDED: dict[State, list[State]] = {}
for _step in STEPS:
    if _step.evidence is Evidence.RECORDED:
        _RECORDED.setdefault(_step.before, []).append(_step.after)
