"""What Airflow knows about a task instance. It decides whether a kill was meant, before a job is stopped."""

from __future__ import annotations

from typing import Any

from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.sdk.execution_time.xcom import XCom
from airflow.utils.state import TaskInstanceState

# The XCom with the id of the trigger whose wait has ended.
_ENDED_KEY = "automl_waiter_ended"
# A worker's task that nobody has ended is in one of these, also if its worker was paused and another try has begun.
_UNFINISHED = frozenset(
    {
        TaskInstanceState.SCHEDULED,
        TaskInstanceState.QUEUED,
        TaskInstanceState.RUNNING,
        TaskInstanceState.DEFERRED,
        TaskInstanceState.UP_FOR_RETRY,
        TaskInstanceState.UP_FOR_RESCHEDULE,
    }
)


def note_end(instance: Any, trigger_id: int) -> None:
    """Note that the wait of a trigger has ended by itself, for triggerers that do not know it."""
    XCom.set(_ENDED_KEY, trigger_id, **_key_of(instance))


def was_killed_deferred(instance: Any, trigger_id: int) -> bool:
    """Return whether somebody has ended a task that was deferred to a trigger.

    A triggerer also kills its trigger after it was out of touch: another triggerer has taken the trigger over
    meanwhile, or has even ended the wait.
    """
    if _state_of(instance) == TaskInstanceState.DEFERRED:
        return False
    return bool(XCom.get_one(key=_ENDED_KEY, **_key_of(instance)) != trigger_id)


def was_killed_running(instance: Any) -> bool:
    """Return whether somebody has ended a task that runs on a worker; not if the worker is shut down, or was paused."""
    return _state_of(instance) not in _UNFINISHED


def _state_of(instance: Any) -> str | None:
    """Return the state of a task instance; None if it was cleared or deleted."""
    states = RuntimeTaskInstance.get_task_states(
        dag_id=instance.dag_id,
        run_ids=[instance.run_id],
        task_ids=[instance.task_id],
        map_index=instance.map_index,
    )
    return next(iter(states.get(instance.run_id, {}).values()), None)


def _key_of(instance: Any) -> dict[str, Any]:
    return {name: getattr(instance, name) for name in ("dag_id", "run_id", "task_id", "map_index")}
