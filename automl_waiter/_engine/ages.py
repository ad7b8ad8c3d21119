"""How long a job has existed, been in its phase and been unchanged, on the kernel's clock."""

from __future__ import annotations

from automl_waiter._engine.retries import Answer
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.statuses import Stage, State, stage_of
from automl_waiter._model.text import clean, format_duration

STALLED_AFTER_S = dict.fromkeys(Stage, 3600.0) | dict.fromkeys((Stage.PREPARING, Stage.TRAINING), 6 * 3600.0)
"""Seconds without any change (statuses, LastModifiedTime) after which a phase counts as stalled.

More than 3 times the longest recorded training phase (102 min) and 6 times the longest report phase (9 min).
"""


class Ages:
    """When a job was created, entered its phase and last changed.

    Args:
        now: The time on the kernel's clock (seconds).
    """

    def __init__(self, now: float) -> None:
        self.created = now
        self.phase_since = now
        self.unchanged_since = now
        self._stalled: set[State] = set()

    def observe(self, snapshot: Snapshot, answer: Answer, *, is_changed: bool, observed_before: float | None) -> None:
        """Update the ages from an answer; `observed_before` is the time of the previous one."""
        # The service's clock is preferred: the machine's may be wrong, and the job's age with it.
        clock = answer.served_at or answer.at
        # LastModifiedTime changes within a phase too, so the phase is at least this old.
        modified = answer.finished - max(0.0, (clock - snapshot.last_modified_at).total_seconds())
        if observed_before is None:
            self.created = answer.finished - max(0.0, (clock - snapshot.created_at).total_seconds())
            self.phase_since = self.unchanged_since = modified
        elif is_changed:
            self.phase_since = self.unchanged_since = max(modified, observed_before)
        else:
            self.unchanged_since = max(self.unchanged_since, modified)

    def stall_warning(self, state: State, now: float) -> str | None:
        """Return a warning, once for each state, if nothing has changed for too long in this state."""
        seconds = now - self.unchanged_since
        if seconds < STALLED_AFTER_S[stage_of(state)] or state in self._stalled:
            return None
        self._stalled.add(state)
        return (
            f"nothing has changed for {format_duration(seconds)}, neither a status nor LastModifiedTime: "
            f"the job may be stuck in {clean(state)}; still waiting"
        )
