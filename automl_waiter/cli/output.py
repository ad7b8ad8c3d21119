"""What the command prints: results on stdout, everything for people on stderr."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

from automl_waiter.events import (
    Ended,
    Event,
    Heartbeat,
    Notice,
    Poll,
    Retry,
    StopRequested,
    Sweep,
    Warned,
    event_dict,
)
from automl_waiter.logs import level_of, summary_of
from automl_waiter.machine import SystemClock
from automl_waiter.outcome import EXPLANATIONS, ExitCode, Outcome
from automl_waiter.plan import HEARTBEAT
from automl_waiter.text import clean, format_duration, isoformat
from automl_waiter.tracker import Anomaly, Transition

OUTPUTS = ("text", "json", "jsonl", "none")
LOG_FORMATS = ("console", "json")

# CI systems kill a step that is silent for some minutes (CircleCI after ten): five are the most between two lines.
_SILENCE = 300.0
# A line that is due is written by then, and not when it is too late.
_MARGIN = 10.0
# How long a line is waited for before it is left to its thread.
_PATIENCE = 0.2


def write_line(stream: TextIO | None, line: str) -> OSError | None:
    """Writes a line at once, and returns what went wrong. It is no reason to end a wait."""
    if stream is None:  # closed by whoever started this process; print would take stdout instead
        return None
    try:
        stream.write(f"{line}\n")
        stream.flush()
    except OSError as error:
        # Nobody reads any more, or the disk is full. Python flushes once more when it exits, and would then
        # replace the exit code, so what is left in the buffer goes nowhere.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None


class LineThread:
    """Writes lines to stderr in a thread of its own: a reader that has stopped (Ctrl-S, a pager) stops no wait."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[tuple[str, threading.Event]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._last = threading.Event()
        self._last.set()

    def write(self, line: str) -> None:
        """Writes a line, at once unless nobody reads; what is written later is still in order."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="automl-waiter-lines", daemon=True)
            self._thread.start()
        is_held_up = not self._last.is_set()
        self._last = threading.Event()
        self._lines.put((line, self._last))
        if not is_held_up:
            self._last.wait(_PATIENCE)

    def _run(self) -> None:
        while True:
            line, is_written = self._lines.get()
            _write_past_buffers(sys.stderr, line)
            is_written.set()


def _write_past_buffers(stream: TextIO | None, line: str) -> None:
    """Writes a line without a lock of Python's, which a writer that is held up would keep until the process ends."""
    try:
        if stream is not None:
            descriptor = stream.fileno()
            rest = f"{line}\n".encode(stream.encoding, "backslashreplace")
            while rest:
                rest = rest[os.write(descriptor, rest) :]
    except (AttributeError, ValueError, io.UnsupportedOperation):
        write_line(stream, line)  # no file of the system's: a notebook's, or a test's
    except OSError:
        pass  # nobody reads any more


def json_line(document: Mapping[str, Any]) -> str:
    """A document as one line of strict JSON that no terminal and no CI runner takes for more than text."""
    # `##` begins a command of Azure Pipelines and TeamCity, wherever in a line it stands.
    return json.dumps(document, allow_nan=False).replace("##", "#\\u0023")


class Reporter:
    """Tells people on stderr what happens, a line for each thing.

    Args:
        log_format: One of LOG_FORMATS.
        quiet: Tell errors alone.
        progress: Tell of transitions and good ends too.
        is_running: Show signs of life although the transitions are told elsewhere.
        clock: Seconds that never go back; None: the machine's.
    """

    def __init__(
        self,
        log_format: str,
        *,
        quiet: bool,
        progress: bool = True,
        is_running: bool = False,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._json = log_format == "json"
        self._quiet = quiet
        self._progress = progress
        self._clock = clock or SystemClock().monotonic
        # A look alone shows no signs of life.
        self._last_line = self._clock() if progress or is_running else None
        self._lines = LineThread()

    def tell(self, event: Event) -> None:
        """Tells of an event, if it is one that people should see."""
        if self._quiet and not (isinstance(event, Ended) and is_bad(event.outcome)):
            return
        if self._json:
            members = {name: value for name, value in event_dict(event).items() if name not in ("event", "describe")}
            self._log(level_of(event), event.event, {"message": summary_of(event)} | members)
            return
        line = self._line(event)
        if line is not None:
            self._last_line = self._clock()
            self._lines.write(f"{_time_of(event)}  {clean(line)}")

    def note(self, name: str, line: str, *, level: int = logging.INFO) -> None:
        """Tells of something that is no event of a job; what is worse than information, when quiet too."""
        if self._quiet and level <= logging.INFO:
            return
        if self._json:
            self._log(level, name, {"message": line})
        else:
            self._lines.write(f"error: {line}" if level >= logging.ERROR else line)

    def _line(self, event: Event) -> str | None:
        match event:
            case Transition() if self._progress:
                return _transition_line(event)
            case Poll(next_in=quiet) | Heartbeat(next_in=quiet) if self._is_due(min(quiet, HEARTBEAT)):
                subject = "" if event.job_name is None else f"{event.job_name}: "
                state = f"still {clean(event.state)}" if event.state else "waiting"
                return f"{subject}{state}, next look in {format_duration(event.next_in)}"
            case Sweep(next_in=quiet) if self._is_due(min(quiet, HEARTBEAT)):
                return f"{_jobs(event.running)} in progress, next look in {format_duration(event.next_in)}"
            # At first each, then ever more rarely: an outage lasts for hundreds of attempts.
            case Retry() if event.attempt & (event.attempt - 1) == 0 or self._is_due(event.delay):
                return summary_of(event)
            case Anomaly() | Warned():
                return f"warning: {summary_of(event)}"
            case Notice():
                return summary_of(event)
            case StopRequested(cause="interrupt"):
                return f"{event.job_name}: told to stop"
            case StopRequested():
                return f"{event.job_name}: told to stop ({event.cause}); waiting until it has"
            case Ended(outcome=outcome) if self._progress or outcome.error:
                return ("error: " if is_bad(outcome) else "") + outcome.summary
            case _:
                return None

    def _is_due(self, quiet: float) -> bool:
        """Whether a line must be written now, because nothing will be for `quiet` seconds."""
        return self._last_line is not None and self._clock() + quiet > self._last_line + _SILENCE - _MARGIN

    def _log(self, level: int, name: str, members: Mapping[str, Any]) -> None:
        self._lines.write(json_line({"event": name, "level": logging.getLevelName(level).lower(), **members}))


def _jobs(count: int) -> str:
    return "1 job is" if count == 1 else f"{count} jobs are"


def is_bad(outcome: Outcome) -> bool:
    """Whether an outcome is one that should alarm: being in progress is none."""
    return outcome.exit_code not in (ExitCode.OK, ExitCode.IN_PROGRESS)


def _transition_line(transition: Transition) -> str:
    after = clean(transition.after)
    if transition.before is None or transition.not_before is None:
        return f"{transition.job_name}: {after}"
    return f"{transition.job_name}: {after} (was {clean(transition.before.secondary_status)})"


class ResultWriter:
    """Writes the results to stdout in the form that was asked for.

    Args:
        output: One of OUTPUTS.
        is_running: Whether text, too, is written as things happen: a line for each transition and each outcome.
    """

    def __init__(self, output: str, *, is_running: bool = False) -> None:
        self.is_running = is_running
        self._output = output
        self._is_lost = False

    @property
    def keeps_outcomes(self) -> bool:
        """Whether all outcomes are written at the end."""
        return self._output == "json"

    @property
    def has_transitions(self) -> bool:
        """Whether transitions are a part of the results."""
        return self._output == "jsonl" or (self._output == "text" and self.is_running)

    def deliver(self, transition: Transition, done: Callable[[bool], object] = lambda _: None) -> None:
        """Writes a transition; `done` is told whether it was written."""
        line = json_line(event_dict(transition)) if self._output == "jsonl" else told_at(transition)
        done(self._write(line))

    def tell(self, event: Event) -> None:
        """Another event, in the forms for those who read along."""
        if self._output == "jsonl" and not isinstance(event, Poll | Sweep | Heartbeat):
            self._write(json_line(event_dict(event)))
        if self._output == "text" and self.is_running and isinstance(event, Ended):
            self._write(f"{_time_of(event)}  {clean(event.outcome.summary)}")

    def finish(self, outcomes: Sequence[Outcome], code: ExitCode) -> None:
        """The outcomes, when all are known."""
        if self._output == "json":
            self._write(json_line({"exit_code": int(code), "jobs": [outcome.to_dict() for outcome in outcomes]}))
        elif self._output == "text" and not self.is_running:
            for outcome in outcomes:
                for line in outcome_lines(outcome):
                    self._write(line)

    def _write(self, line: str) -> bool:
        """Writes a line, and says whether somebody has it: what was lost once goes nowhere from then on."""
        if self._is_lost:
            return False
        problem = write_line(sys.stdout, line)
        self._is_lost = problem is not None
        # A reader that has gone knows it; a full disk would lose the result without a word.
        if problem is not None and not isinstance(problem, BrokenPipeError):
            write_line(sys.stderr, f"error: the result could not be written: {problem.strerror}")
        return problem is None


def told_at(transition: Transition) -> str:
    """A transition in one line, with its time."""
    return f"{_time_of(transition)}  {clean(_transition_line(transition))}"


def _time_of(event: Event) -> str:
    return f"{event.at:%Y-%m-%d %H:%M:%S}Z"


def outcome_lines(outcome: Outcome) -> list[str]:
    """An outcome for people: a line that says how it ended, and the facts below."""
    facts: list[tuple[str, object]] = []
    if outcome.snapshot is not None:
        facts.append(("status", outcome.snapshot.state))
        facts.append(("created", isoformat(outcome.snapshot.created_at)))
        if outcome.ended_at:
            took = format_duration((outcome.ended_at - outcome.snapshot.created_at).total_seconds())
            facts.append(("ended", f"{isoformat(outcome.ended_at)}, after {took}"))
    candidate = outcome.to_dict()["best_candidate"]
    if candidate:
        facts.append(("best candidate", f"{candidate['name']}, {candidate['metric']} {candidate['value']}"))
    if outcome.endpoint_name:
        facts.append(("endpoint", outcome.endpoint_name))
    facts += [("missing", f"{part}: {EXPLANATIONS[part]}") for part in outcome.shortfalls]
    if outcome.failure_reason:
        facts.append(("reason", outcome.failure_reason))
    facts += [("partial failure", reason) for reason in outcome.partial_failure_reasons]
    if outcome.error:
        facts.append(("error", outcome.error))
    head = f"{clean(outcome.job_name)}: {outcome.verdict.replace('_', ' ')}"
    return [head, *(f"  {name:<16}{clean(value)}" for name, value in facts)]
