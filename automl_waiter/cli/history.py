"""`history`: what a journal holds, printed."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

from automl_waiter._model.text import clean, format_duration, isoformat
from automl_waiter.cli.lines import write_results
from automl_waiter.cli.output import json_line
from automl_waiter.journal import JobHistory, JournaledTransition, read_history


def print_history(path: str | os.PathLike[str], jobs: Collection[str], output: str) -> None:
    """Prints what a journal holds of the jobs, of all if none is given, as one of `text`, `json` and `jsonl`.

    Raises:
        JournalError: The journal cannot be read, or it holds no such job.
    """
    write_results(*history_lines(read_history(path, jobs), output))


def history_lines(histories: Sequence[JobHistory], output: str) -> list[str]:
    """The lines of an output."""
    match output:
        case "json":
            return [json_line({"jobs": [history.to_dict() for history in histories]})]
        case "jsonl":
            return [json_line(history.to_dict()) for history in histories]
        case "text":
            lines = [line for history in histories for line in _text_of(history)]
            return lines or ["the journal holds no job"]
        case _:
            return []


def _text_of(history: JobHistory) -> list[str]:
    head = f"{clean(history.job_name)}: {clean(history.state or 'not seen yet')}"
    if history.verdict is not None:
        head += f", {clean(history.verdict.replace('_', ' '))} (exit code {history.exit_code})"
    facts: list[tuple[str, object]] = [("arn", history.job_arn)]
    if history.created_at:
        facts.append(("created", isoformat(history.created_at)))
    if history.ended_at:
        facts.append(("ended", isoformat(history.ended_at)))
    if history.failure_reason:
        facts.append(("reason", history.failure_reason))
    return [head, *(f"  {name:<10}{clean(value)}" for name, value in facts), *_transition_lines(history.transitions)]


def _transition_lines(transitions: Sequence[JournaledTransition]) -> list[str]:
    states = [clean(journaled.transition.after) for journaled in transitions]
    width = max(map(len, states), default=0)
    lines = []
    for index, (journaled, state) in enumerate(zip(transitions, states, strict=True)):
        begun = journaled.transition.observed_at
        lasted = ""
        if index + 1 < len(transitions):
            lasted = format_duration((transitions[index + 1].transition.observed_at - begun).total_seconds())
        line = f"  {isoformat(begun)}  {state:<{width}}  {lasted:<8}"
        pending = [clean(delivery.subscriber) for delivery in journaled.deliveries if delivery.state == "pending"]
        if pending:
            line += f"  not delivered: {', '.join(pending)}"
        lines.append(line.rstrip())
    return lines
