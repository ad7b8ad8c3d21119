"""The kind of output for people: a terminal with a live view, lines, or the log of a step of GitHub Actions."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from automl_waiter._system.clock import SystemClock
from automl_waiter._system.portable import is_drawable, is_in_foreground
from automl_waiter.cli.flags import Flags
from automl_waiter.cli.live import LiveView
from automl_waiter.cli.output import DISPLAYS, Reporter, ResultWriter
from automl_waiter.display import SWITCH
from automl_waiter.display.progress import Progress

if TYPE_CHECKING:
    from automl_waiter.cli.github import GitHubRun


@dataclass(frozen=True)
class Screen:
    """The outputs for people: lines on stderr, the live view, and the step of GitHub Actions."""

    reporter: Reporter
    view: LiveView | None = None
    github: GitHubRun | None = None


def open_screen(
    flags: Flags,
    writer: ResultWriter,
    *,
    names: Collection[str] | None = None,
    hint: str = "",
    timeout: Any = None,
    clock: SystemClock | None = None,
) -> Screen:
    """Return the screen for `--progress`; "auto" depends on where this runs.

    Args:
        flags: The command's flags.
        writer: Writes the results to stdout.
        names: The names of the jobs; None for a watch.
        hint: What the user can do, for a live view.
        timeout: Seconds after which the wait times out, if that is known.
        clock: The clock of the wait; None: the machine's.

    Raises:
        click.UsageError: A live view is requested but not possible.
    """
    display, log_format, quiet = flags.display, flags.log_format, flags.quiet
    switch = os.environ.get(SWITCH, "") if display == "auto" else ""
    if switch in ("lines", "github"):
        display = switch  # "live" applies where it is possible, and is no error elsewhere
    is_on_stdout = sys.stdout is not None and sys.stdout.isatty()
    is_log = log_format == "json" or quiet or (is_on_stdout and flags.output == "jsonl")
    can_be_live = is_drawable(sys.stderr)
    is_live = display == "auto" and not is_log and can_be_live and is_in_foreground(sys.stderr)
    is_live = is_live and not os.environ.get("CI")
    if display == "live":
        if not can_be_live:
            raise click.UsageError("--progress live needs stderr to be a terminal that supports cursor movement")
        if is_log:
            raise click.UsageError(
                "--progress live cannot be combined with -q, --log-format json, or -o jsonl on the same terminal"
            )
        is_live = True
    clock = clock or SystemClock()
    view = github = None
    if is_live:
        is_known = isinstance(timeout, int | float)
        deadline = clock.now() + timedelta(seconds=timeout) if is_known else None
        view = LiveView(Progress(names, deadline), hint, clock=clock)
        if writer.has_transitions and is_on_stdout:
            writer.write_above(view)
    # If the result on the same terminal shows how the only job ended, no line repeats it.
    says_it = view is not None and is_on_stdout and flags.output == "text" and names is not None and len(names) == 1
    is_github = display == "github" or (display == "auto" and os.environ.get("GITHUB_ACTIONS") == "true")
    annotates = is_github and log_format != "json"
    reporter = Reporter(
        log_format,
        quiet=quiet,
        progress=not (writer.is_running and flags.output == "text"),
        is_running=writer.is_running,
        view=view,
        ends=not says_it,
        annotates=annotates,
        has_bell=flags.has_bell and not os.environ.get("CI"),
        clock=clock.monotonic,
    )
    if switch not in ("", *DISPLAYS):
        reporter.warn("progress", f"{SWITCH} must be one of {', '.join(DISPLAYS)}")
    if is_github:
        from automl_waiter.cli.github import GitHubRun

        command = reporter.command if annotates else None
        github = GitHubRun(command, partial(reporter.warn, "github"), quiet=quiet)
    return Screen(reporter, view, github)
