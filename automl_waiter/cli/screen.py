"""What stderr is: a terminal with a live view, a log of lines, or the log of a step of GitHub Actions."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from automl_waiter._system.clock import SystemClock
from automl_waiter.cli.live import LiveView, is_in_foreground, is_terminal
from automl_waiter.cli.output import PROGRESS, Reporter
from automl_waiter.display import SWITCH
from automl_waiter.display.progress import Progress

if TYPE_CHECKING:
    from automl_waiter.cli.github import GitHubRun


@dataclass(frozen=True)
class Screen:
    """Who tells people on stderr, and how."""

    reporter: Reporter
    view: LiveView | None = None
    github: GitHubRun | None = None

    def pipe(self) -> int | None:
        """Where a program may print that would otherwise print on stderr; None: there."""
        return self.view.pipe() if self.view is not None else None


def open_screen(
    display: str,
    log_format: str,
    *,
    quiet: bool,
    is_free: bool,
    names: Iterable[str] | None = None,
    hint: str = "",
    timeout: Any = None,
    ends: bool = True,
    **options: Any,
) -> Screen:
    """The screen that `--progress` asks for.

    Args:
        display: One of PROGRESS; "auto": by where this runs.
        log_format: One of LOG_FORMATS.
        quiet: Tell errors alone.
        is_free: Whether nobody else writes on the terminal meanwhile.
        names: The names of the jobs; None: those that a watch will find.
        hint: What the person can do, in a live view.
        timeout: Seconds after which the wait gives up, if it is known at once.
        ends: Tell how each job ended. Where not, the result says it at once, if it is shown on the same terminal.
        options: Those of the reporter.

    Raises:
        click.UsageError: A live view is asked for where none can be.
    """
    switch = os.environ.get(SWITCH, "") if display == "auto" else ""
    if switch in ("lines", "github"):
        display = switch  # live is where it can be, and elsewhere no reason to fail
    is_log = log_format == "json" or quiet or not is_free
    is_live = display == "auto" and not is_log and is_terminal() and is_in_foreground() and not os.environ.get("CI")
    if display == "live":
        if not is_terminal():
            raise click.UsageError("--progress live needs a terminal on stderr that can be drawn on")
        if is_log:
            raise click.UsageError("--progress live goes with neither -q, --log-format json nor lines on stdout")
        is_live = True
    view = github = None
    if is_live:
        is_known = isinstance(timeout, int | float)
        gives_up_at = SystemClock().now() + timedelta(seconds=timeout) if is_known else None
        view = LiveView(Progress(names, gives_up_at), hint)
    is_shown = view is not None and sys.stdout is not None and sys.stdout.isatty()
    is_github = display == "github" or (display == "auto" and os.environ.get("GITHUB_ACTIONS") == "true")
    annotates = is_github and log_format != "json"
    reporter = Reporter(log_format, quiet=quiet, view=view, ends=ends or not is_shown, annotates=annotates, **options)
    if switch not in ("", *PROGRESS):
        reporter.warn("progress", f"{SWITCH} is none of {', '.join(PROGRESS)}")
    if is_github:
        from automl_waiter.cli.github import GitHubRun

        command = reporter.command if annotates else None
        github = GitHubRun(command, partial(reporter.warn, "github"), quiet=quiet)
    return Screen(reporter, view, github)
