"""The phases of a job and their durations, as far as they are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from automl_waiter._model.statuses import STAGES, STEPS, Evidence, SecondaryStatus, Stage, State, Status, stage_of

if TYPE_CHECKING:
    from automl_waiter._model.candidates import Training
    from automl_waiter._model.snapshot import Snapshot
    from automl_waiter._model.tracker import Transition

NOT_WATCHED = "not observed"
"""The name of the time from the job's creation to the first poll, or of a part of it."""

# Seconds. A first poll this soon after creation missed no phase.
_AT_ONCE = 5.0


class Phase(NamedTuple):
    """A phase, from the poll that first found it to the poll that found the next one.

    Attributes:
        name: The secondary status; NOT_WATCHED, "candidates trained" and the like for the time before the first poll.
        begin: When it began (UTC), as far as is known: at the latest when it was first observed.
        end: When the next phase began, or the job's EndTime; None for the current phase.
        is_watched: Whether it is known what the job did then.
        is_begin_known: False if the first poll found the job in this phase, which may have begun earlier.
    """

    name: str
    begin: datetime
    end: datetime | None
    is_watched: bool = True
    is_begin_known: bool = True

    def seconds(self, now: datetime) -> float:
        """Return the duration so far, in seconds."""
        return max(0.0, ((self.end or now) - self.begin).total_seconds())


def phases_of(
    transitions: Sequence[Transition],
    created_at: datetime | None,
    ended_at: datetime | None,
    training: Training | None = None,
) -> list[Phase]:
    """Return the phases of a job, in order.

    Args:
        transitions: The observed transitions, the first observation included.
        created_at: The job's CreationTime.
        ended_at: Its EndTime, if it has ended.
        training: When its candidates were trained, which bounds what no poll observed.
    """
    if not transitions:
        return [] if created_at is None else list(_unobserved(created_at, ended_at, training))
    first, last = transitions[0], transitions[-1]
    begins = _begins(transitions, created_at, ended_at, training)
    begin, is_begin_known = begins[0], True
    phases: list[Phase] = []
    if created_at is not None and created_at < begin:
        is_at_once = (begin - created_at).total_seconds() <= _AT_ONCE and not first.after.is_terminal
        if first.after.secondary_status == SecondaryStatus.STARTING or is_at_once:
            begin = created_at
        else:
            phases += _unobserved(created_at, begin, training)
            is_begin_known = begin < first.observed_at
    for transition, next_begin in zip(transitions, [*begins[1:], None], strict=True):
        if transition.after.is_terminal:
            break
        end = next_begin and max(begin, next_begin)
        phases.append(Phase(_name(transition), begin, end, is_begin_known=is_begin_known))
        begin, is_begin_known = end or begin, True
    if last.after.is_terminal or ended_at is None or not phases or phases[-1].end is not None:
        return phases
    # The last poll in the journal was before the end.
    return [*phases[:-1], phases[-1]._replace(end=max(phases[-1].begin, ended_at))]


def _begins(
    transitions: Sequence[Transition],
    created_at: datetime | None,
    ended_at: datetime | None,
    training: Training | None,
) -> list[datetime]:
    """Return when each state began: the end at the EndTime, training with its first candidate, others when observed.

    Training began between two polls. A candidate that is older than both does not say when: a job of
    CreateAutoMLJobV2 has one seconds after its own creation (2 to 3 s, recorded twice).
    """
    begins = [(ended_at if one.after.is_terminal else None) or one.observed_at for one in transitions]
    number = next((n for n, one in enumerate(transitions) if STAGES.get(one.after) is Stage.TRAINING), None)
    if training is not None and number is not None:
        not_before = transitions[number].not_before or created_at
        if not_before is not None and not_before < training.begin < begins[number]:
            begins[number] = training.begin
    return begins


def _unobserved(begin: datetime, end: datetime | None, training: Training | None) -> Iterator[Phase]:
    """Yield the parts of a time in which no poll was made: before, during and after the candidates' training."""
    if training is None or end is None or not begin <= training.begin < end:
        yield Phase(NOT_WATCHED, begin, end, is_watched=False)
        return
    trained_at = min(training.end, end)
    if begin < training.begin:
        yield Phase(f"{NOT_WATCHED}, before training", begin, training.begin, is_watched=False)
    yield Phase("candidates trained", training.begin, trained_at)
    if trained_at < end:
        yield Phase(f"{NOT_WATCHED}, after training", trained_at, end, is_watched=False)


def _name(transition: Transition) -> str:
    status, secondary = transition.after
    return secondary if status in (Status.IN_PROGRESS, secondary) else f"{status}/{secondary}"


def pending_phases(snapshot: Snapshot) -> list[str]:
    """Return the phases that are still to come, as far as they are known.

    They follow the recorded jobs, all of them tabular, where those had one way only, and the request: a job that was
    asked to deploy its model does so last. Which reports a job makes, if any, is not known beforehand, nor how it ends.
    """
    state, phases = snapshot.state, list[str]()
    while snapshot.problem_type in (None, "Tabular") and len(following := _RECORDED.get(state, [])) == 1:
        [state] = following
        if state.is_terminal:
            break
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
