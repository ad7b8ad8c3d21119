"""GitHub Actions: the outputs and summary page of a step, and annotations on its run.

The forms are those of docs.github.com, "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from automl_waiter._model.events import Ended, Event, Warned
from automl_waiter._model.exit_codes import ExitCode, is_bad
from automl_waiter._model.failure_logs import FailureLog
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.secrets import learn_environment
from automl_waiter._model.text import clean, redact
from automl_waiter.report.markdown import markdown
from automl_waiter.report.several import outcomes_document

# A summary page and an output have at most 1 MiB each.
_MOST_BYTES = 1_000_000
# Members of a job that the output `jobs` omits: the response is long and may name unrelated resources.
_LEFT_OUT = ("describe", "transitions")


class GitHubRun:
    """A step of a workflow in which a wait runs.

    Args:
        command: Writes a workflow command to the log; None: write no commands.
        warn: Called when something could not be written.
        environ: Holds the runner's paths of its files.
        quiet: Annotate errors only.
    """

    def __init__(
        self,
        command: Callable[[str], object] | None,
        warn: Callable[[str], object],
        environ: Mapping[str, str] = os.environ,
        *,
        quiet: bool = False,
    ) -> None:
        self._command = command
        self._warn = warn
        self._environ = environ
        self._quiet = quiet
        # GitHub masks secrets only in its log, not in a run's files.
        learn_environment(environ)

    def report(self, event: Event) -> None:
        """Annotate the run with errors and warnings."""
        match event:
            case Ended(outcome=outcome) if is_bad(outcome.exit_code):
                self._annotate("error", outcome.job_name, outcome.summary)
            case Warned() if not self._quiet:
                self._annotate("warning", event.job_name, event.message)
            case _:
                pass

    def finish(
        self,
        outcomes: Sequence[Outcome],
        code: ExitCode,
        logs: Mapping[str, Sequence[FailureLog]] = MappingProxyType({}),
    ) -> None:
        """Write the outputs and the summary of the step; `logs` are of what failed, by the outcomes' jobs."""
        outputs = outputs_of(outcomes, code)
        if len(outputs["jobs"].encode()) > _MOST_BYTES:
            del outputs["jobs"]
            self._warn(f"the step output `jobs` is omitted: {len(outcomes)} jobs exceed its size limit")
        self._append("GITHUB_OUTPUT", "".join(_output(name, value) for name, value in outputs.items()))
        page = markdown(outcomes_document(outcomes, logs)).encode()
        if len(page) > _MOST_BYTES:
            page = page[:_MOST_BYTES].rpartition(b"\n")[0] + b"\n\nMore does not fit on this page.\n"
        self._append("GITHUB_STEP_SUMMARY", page.decode(errors="replace"))

    def _annotate(self, kind: str, title: str, message: str) -> None:
        if self._command is not None:
            words = _escaped(clean(message))
            self._command(f"::{kind} title={_escaped(clean(title), ':,')}::{words}")

    def _append(self, variable: str, text: str) -> None:
        path = self._environ.get(variable)
        if not path or not text:
            return
        try:
            with open(path, "a", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
                file.write(text)
        except OSError as error:
            self._warn(f"{variable} could not be written: {error.strerror}")


def outputs_of(outcomes: Sequence[Outcome], code: ExitCode) -> dict[str, str]:
    """Return the outputs of the step: for one job its main members, and for all jobs `jobs`, in JSON."""
    documents = [outcome.to_dict() for outcome in outcomes]
    outputs: dict[str, object] = {"exit-code": int(code)}
    if len(documents) == 1:
        [job] = documents
        best = job["best_candidate"] or {}
        names = ("job_name", "job_arn", "verdict", "status", "secondary_status", "endpoint_name", "failure_reason")
        outputs |= {name.replace("_", "-"): job[name] for name in names}
        outputs |= {"shortfalls": ",".join(job["shortfalls"]), "best-candidate": best.get("name")}
        outputs |= {"metric": best.get("metric"), "value": best.get("value")}
    jobs = [{name: value for name, value in job.items() if name not in _LEFT_OUT} for job in documents]
    texts = {name: "" if value is None else _fitting(redact(str(value))) for name, value in outputs.items()}
    return texts | {"jobs": json.dumps(_redacted(jobs), allow_nan=False)}


def _fitting(text: str) -> str:
    return text if len(text) < _MOST_BYTES // 4 else clean(text)


def _redacted(value: Any) -> Any:
    """Return a value of JSON without the credentials in its URLs."""
    match value:
        case str():
            return redact(value)
        case list():
            return [_redacted(item) for item in value]
        case dict():
            return {name: _redacted(item) for name, item in value.items()}
        case _:
            return value


def _output(name: str, value: str) -> str:
    # Random, so that no text of a job can end its value and begin another output.
    delimiter = f"end-{uuid.uuid4()}"
    return f"{name}<<{delimiter}\n{value}\n{delimiter}\n"


def _escaped(text: str, more: Iterable[str] = ()) -> str:
    for character in ("%", "\r", "\n", *more):
        text = text.replace(character, f"%{ord(character):02X}")
    return text
