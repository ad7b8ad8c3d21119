"""Make docs/reference/statuses.md from the table in automl_waiter/_model/statuses.py: python docs/make_statuses.py"""

from pathlib import Path

from automl_waiter._model.statuses import STAGES, STATES, STEPS, Evidence, State, Step

HEAD = """\
# The statuses of an AutoML job

This page is made from `automl_waiter/_model/statuses.py` by `python docs/make_statuses.py`.

A job has a primary and a secondary status. Only the primary one says whether the job has ended: Completed, Failed or
Stopped. Two polls are minutes apart, so the next poll may find any later state, not just the next one. A state or a
step that is not on this page is reported once, and the wait continues.
"""
STEPS_HEAD = """\
## Steps

From each state, the states that can come next, by their evidence: *recorded* in the saved output of a real job;
*documented* by AWS's reference; *inferred* from a similar step. From every state InProgress a job can also go to
Stopping, Stopped or Failed.

A job that is being stopped may keep its phase: one recorded job shows Stopping/PreTraining.

Most recorded jobs were created by CreateAutoMLJob. Three were created by CreateAutoMLJobV2: two trained one candidate
and completed after 151 and 216 seconds, and a time-series job was in PreTraining 4 seconds after its creation.

| from | to |
|---|---|
"""


def page() -> str:
    """Return the page's text."""
    states = [f"| {state} | {stage.value} |" for state, stage in STAGES.items()]
    ends = [f"- {state}" for state in sorted(STATES) if state.is_terminal]
    lines = [HEAD, "## States of a job that has not ended", "", "| state | stage |", "|---|---|", *states]
    lines += ["", "## Ends", "", *ends, ""]
    return "\n".join([*lines, STEPS_HEAD]) + "".join(_row(state) for state in STAGES)


def _row(state: State) -> str:
    cells = []
    for evidence in (Evidence.RECORDED, Evidence.DOCUMENTED, Evidence.INFERRED):
        steps = [step for step in STEPS if (step.before, step.evidence) == (state, evidence) and _is_shown(step)]
        if steps:
            cells.append(f"*{evidence.value}*: {', '.join(_name(step.after) for step in steps)}")
    return f"| {_name(state)} | {'; '.join(cells)} |\n"


def _is_shown(step: Step) -> bool:
    return step.before.status != "InProgress" or step.after.status not in ("Stopping", "Stopped", "Failed")


def _name(state: State) -> str:
    return state.secondary_status if state.status == "InProgress" else str(state)


if __name__ == "__main__":
    (Path(__file__).parent / "reference" / "statuses.md").write_text(page())
