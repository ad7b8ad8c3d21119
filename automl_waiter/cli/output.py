"""The output of the command: results on stdout, everything for people on stderr."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from automl_waiter._model import events
from automl_waiter._model.estimate_words import time_left
from automl_waiter._model.estimates import Estimate
from automl_waiter._model.exit_codes import ExitCode, is_bad
from automl_waiter._model.failure_logs import FailureLog
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.secrets import hide
from automl_waiter._model.statuses import Status
from automl_waiter._model.text import clean, format_duration
from automl_waiter._model.tracker import Anomaly, Transition
from automl_waiter._system.clock import SystemClock
from automl_waiter._system.log import level_of, summary_of
from automl_waiter._system.portable import has_reader
from automl_waiter.cli.lines import LineThread, write_results
from automl_waiter.report.document import Document, Tone
from automl_waiter.report.facts import status_line
from automl_waiter.report.several import outcomes_document

if TYPE_CHECKING:
    from automl_waiter.cli.live import LiveView

OUTPUTS = ("text", "json", "jsonl", "none")
LOG_FORMATS = ("console", "json")
DISPLAYS = ("auto", "live", "lines", "github")

# CI systems kill a step that is silent for some minutes (CircleCI: ten), so two lines are at most five minutes apart.
_SILENCE = 300.0
# A line is written this long before it is due, so that it is never too late.
_MARGIN = 10.0


def json_line(document: Mapping[str, Any]) -> str:
    """Return a document as one line of strict JSON that terminals and CI runners treat as plain text."""
    # `##` starts a command of Azure Pipelines and TeamCity, anywhere in a line.
    return json.dumps(document, allow_nan=False).replace("##", "#\\u0023")


class Reporter:
    """Report events to people on stderr, one line each.

    Args:
        log_format: One of LOG_FORMATS.
        quiet: Report errors only.
        progress: Report transitions and successful ends too.
        is_running: Show signs of life although the transitions are reported elsewhere.
        view: Shows the present state; then only permanent messages are lines.
        ends: Report how each job ended; False if the result shows it anyway.
        annotates: Whether errors and warnings are written as annotations, elsewhere.
        has_bell: Whether the view rings the bell when the wait has ended.
        clock: A monotonic clock in seconds; None: the machine's.
    """

    def __init__(
        self,
        log_format: str,
        *,
        quiet: bool,
        progress: bool = True,
        is_running: bool = False,
        view: LiveView | None = None,
        ends: bool = True,
        annotates: bool = False,
        has_bell: bool = False,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._json = log_format == "json"
        self._quiet = quiet
        self._progress = progress
        self._clock = clock or SystemClock().monotonic
        # A single poll needs no signs of life.
        self._last_line = self._clock() if progress or is_running else None
        self._view = view
        self._ends = ends
        self._annotates = annotates
        self._lines: LiveView | LineThread = view or LineThread()
        self._has_bell = has_bell
        self._estimates: dict[str, Estimate] = {}
        """The last estimate of each running job, by its name."""
        self._printed: dict[str, Estimate] = {}
        """The last one that was a line."""

    def report(self, event: events.Event) -> None:
        """Report an event, if people should see it."""
        match event:
            case events.Estimated():
                self._estimates[event.job_name] = event
            case events.StopRequested() | events.Ended():
                self._estimates.pop(event.job_name, None)
                self._printed.pop(event.job_name, None)
        if self._view is not None:
            self._view.update(event)
        if self._quiet and not (isinstance(event, events.Ended) and is_bad(event.outcome.exit_code)):
            return
        if self._json:
            members = events.event_dict(event)
            del members["event"]
            members.pop("describe", None)
            self._log(level_of(event), event.event, {"message": summary_of(event)} | members)
            return
        line = self._line(event)
        if line is not None:
            self._last_line = self._clock()
            self._write(f"{_time_of(event)}  {clean(line)}", _tone_of(event))

    def note(self, name: str, line: str, *, level: int = logging.INFO) -> None:
        """Report something that is not an event of a job; if quiet, only warnings and errors."""
        if self._quiet and level <= logging.INFO:
            return
        if self._json:
            self._log(level, name, {"message": hide(line)})
        else:
            tone = Tone.BAD if level >= logging.ERROR else Tone.WARNING if level >= logging.WARNING else Tone.PLAIN
            self._write(hide(f"error: {line}" if tone is Tone.BAD else line), tone)

    def warn(self, name: str, problem: str) -> None:
        """Report a problem outside the wait."""
        self.note(name, f"warning: {problem}", level=logging.WARNING)

    def command(self, line: str) -> None:
        """Write a line that a CI runner treats as a command."""
        self._lines.write(line)

    def close(self, *, bell: bool = False) -> None:
        """Close the view, with the bell if there is one; later messages are lines."""
        if self._view is not None:
            self._view.close(bell=bell and self._has_bell)
            self._view = None

    def finish(self) -> None:
        """Wait until everything is written, unless the reader has stopped."""
        self._lines.finish()

    def _line(self, event: events.Event) -> str | None:
        match event:
            case Transition() | events.Poll() | events.Heartbeat() | events.Sweep() | events.Retry() if self._view:
                return None  # the view shows them
            case events.Estimated() if self._last_line is not None and not self._view:
                return self._estimate_line(event)
            case events.Warned() if self._annotates:
                return None
            case events.Ended(outcome=outcome) if self._annotates and is_bad(outcome.exit_code):
                return None
            case Transition() if self._progress:
                return _transition_line(event)
            case events.Poll() | events.Heartbeat() if self._is_due(event.next_in):
                subject = "" if event.job_name is None else f"{event.job_name}: "
                state = f"still {clean(event.state)}" if event.state else "waiting"
                return f"{subject}{state}{self._time_left(event)}, next check in {format_duration(event.next_in)}"
            case events.Sweep() if self._is_due(event.next_in):
                jobs = "1 job is" if event.running == 1 else f"{event.running} jobs are"
                return f"{jobs} in progress, next check in {format_duration(event.next_in)}"
            # Each at first, then ever more rarely: an outage lasts for hundreds of attempts.
            case events.Retry() if event.attempt & (event.attempt - 1) == 0 or self._is_due(event.delay):
                return summary_of(event)
            case Anomaly() | events.Warned():
                return f"warning: {summary_of(event)}"
            case events.Notice():
                return summary_of(event)
            case events.StopRequested(cause="interrupt"):
                return f"{event.job_name}: stop requested"
            case events.StopRequested():
                return f"{event.job_name}: stop requested ({event.cause}); waiting until it has stopped"
            case events.Ended(outcome=outcome) if self._ends and (self._progress or outcome.error):
                return ("error: " if is_bad(outcome.exit_code) else "") + outcome.summary
            case _:
                return None

    def _estimate_line(self, event: events.Estimated) -> str | None:
        before = self._printed.get(event.job_name)
        # Within the interval of the last line there is no news, and a late job has many estimates.
        if before is not None and before.earliest <= event.ends_at <= before.latest:
            return None
        self._printed[event.job_name] = event
        return summary_of(event)

    def _time_left(self, event: events.Poll | events.Heartbeat) -> str:
        estimate = self._estimates.get(event.job_name or "")
        if estimate is None or event.state is None or event.state.status == Status.STOPPING:
            return ""
        return f", {time_left(estimate, event.at)}"

    def _write(self, line: str, tone: Tone) -> None:
        if self._view is None:
            self._lines.write(line)
        else:
            self._view.print_line(line, tone)

    def _is_due(self, quiet: float) -> bool:
        """Return whether a line is due now, because none follows for `quiet` seconds or until a heartbeat."""
        quiet = min(quiet, events.HEARTBEAT_EVERY_S)
        return self._last_line is not None and self._clock() + quiet > self._last_line + _SILENCE - _MARGIN

    def _log(self, level: int, name: str, members: Mapping[str, Any]) -> None:
        self._lines.write(json_line({"event": name, "level": logging.getLevelName(level).lower(), **members}))


def _tone_of(event: events.Event) -> Tone:
    match event:
        case Anomaly() | events.Warned() | events.Retry():
            return Tone.WARNING
        case events.Ended(outcome=outcome) if is_bad(outcome.exit_code):
            return Tone.BAD
        case _:
            return Tone.PLAIN


def _transition_line(transition: Transition) -> str:
    after = clean(transition.after)
    if transition.before is None or transition.not_before is None:
        return f"{transition.job_name}: {after}"
    return f"{transition.job_name}: {after} (was {clean(transition.before.secondary_status)})"


class ResultWriter:
    """Write the results to stdout in the requested form.

    Args:
        output: One of OUTPUTS.
        is_running: Whether text is also written as things happen: a line for each transition and outcome.
        is_brief: Whether text is one line per job.
        document_of: Composes the outcomes for text that is written at the end.
    """

    def __init__(
        self,
        output: str,
        *,
        is_running: bool = False,
        is_brief: bool = False,
        document_of: Callable[[Sequence[Outcome], Mapping[str, Sequence[FailureLog]]], Document] = outcomes_document,
    ) -> None:
        self._is_brief = is_brief
        self._document_of = document_of
        self.is_running = is_running
        self._output = output
        self.problem: OSError | None = None
        """Why the results could not be written. After it, nothing is."""
        self._view: LiveView | None = None

    def write_above(self, view: LiveView) -> None:
        """Write what happens above the frame of a view on the same terminal."""
        self._view = view

    @property
    def keeps_outcomes(self) -> bool:
        """Whether all outcomes are written at the end."""
        return self._output == "json"

    @property
    def has_transitions(self) -> bool:
        """Whether transitions are part of the results."""
        return self._output == "jsonl" or (self._output == "text" and self.is_running)

    @property
    def has_reader(self) -> bool:
        """Whether the results reach anybody, if they are transitions."""
        return not self.has_transitions or (not isinstance(self.problem, BrokenPipeError) and has_reader(sys.stdout))

    def deliver(self, transition: Transition, done: Callable[[bool], object]) -> None:
        """Write a transition, and call `done` with whether it was written."""
        if self._output == "jsonl":
            line = json_line(events.event_dict(transition))
        else:
            line = f"{_time_of(transition)}  {clean(_transition_line(transition))}"
        done(self._write(line))

    def write_event(self, event: events.Event) -> None:
        """Write another event, in the forms that report events as they happen."""
        if self._output == "jsonl" and not isinstance(event, events.Poll | events.Sweep | events.Heartbeat):
            self._write(json_line(events.event_dict(event)))
        if self._output == "text" and self.is_running and isinstance(event, events.Ended):
            self._write(f"{_time_of(event)}  {clean(event.outcome.summary)}")

    def finish(
        self,
        outcomes: Sequence[Outcome],
        code: ExitCode,
        logs: Mapping[str, Sequence[FailureLog]] = MappingProxyType({}),
    ) -> None:
        """Write the outcomes, once all are known; `logs` are of what failed, by the outcomes' jobs."""
        self._view = None  # it is closed
        if self._output == "json":
            self._write(json_line({"exit_code": int(code), "jobs": [outcome.to_dict() for outcome in outcomes]}))
        elif self._output == "text" and self._is_brief:
            self._write(*(clean(status_line(outcome)) for outcome in outcomes))
        elif self._output == "text" and not self.is_running:
            from automl_waiter.report.plain_text import text_lines

            self._write(*text_lines(self._document_of(outcomes, logs), sys.stdout))

    def _write(self, *lines: str) -> bool:
        """Write lines, and return whether somebody may get them; after a failure, write nothing."""
        if self._view is not None:
            for line in lines:
                self._view.print_line(line, Tone.PLAIN)
            return True
        self.problem = self.problem or write_results(lines)
        return self.problem is None and sys.stdout is not None


def _time_of(event: events.Event) -> str:
    return f"{event.at:%Y-%m-%d %H:%M:%S}Z"
