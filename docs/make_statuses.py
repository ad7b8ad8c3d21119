"""Make docs/reference/statuses.md from the table in automl_waiter/_model/statuses.py: python docs/make_statuses.py"""

from pathlib import Path

from automl_waiter._model.statuses import STAGES, STATES, STEPS, Evidence, State

HEAD = """\
# The statuses of an AutoML job

This page is made from `automl_waiter/_model/statuses.py` by `python docs/make_statuses.py`.

A job shows a primary and a secondary status. Only the primary one ends it: Completed, Failed or Stopped. Two looks are
minutes apart, so a wait may see any later state next, not just the next step. A state or a move that is not here is
reported once and waited on.

Evidence: *recorded* in the saved output of a real job; *documented* by AWS's reference; *inferred* from a like step.
"""


def page() -> str:
    """The page's text."""
    lines = [HEAD, "## States of a job that has not ended", "", "| state | stage |", "|---|---|"]
    lines += [f"| {state} | {stage.value} |" for state, stage in STAGES.items()]
    lines += ["", "## Ends", ""]
    lines += [f"- {state}" for state in sorted(STATES) if state.is_terminal]
    lines += ["", "## Steps", "", "From every state InProgress a job can also go to Stopping, Stopped or Failed.", ""]
    lines += ["```mermaid", "stateDiagram-v2"]
    shown = [step for step in STEPS if step.after.status not in ("Stopping", "Stopped", "Failed")]
    lines += [f"  {_id(step.before)} --> {_id(step.after)}" for step in shown if step.evidence is not Evidence.INFERRED]
    lines += ["```", "", "The diagram leaves out what is inferred; the table has it.", ""]
    lines += ["| from | to | evidence |", "|---|---|---|"]
    lines += [f"| {step.before} | {step.after} | {step.evidence.value} |" for step in shown]
    return "\n".join(lines) + "\n"


def _id(state: State) -> str:
    return state.secondary_status if state.status == "InProgress" else f"{state.status}_{state.secondary_status}"


if __name__ == "__main__":
    (Path(__file__).parent / "reference" / "statuses.md").write_text(page())
