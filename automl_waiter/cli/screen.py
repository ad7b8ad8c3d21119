"""What stderr is: a terminal with a live view, a log of lines, or the log of a step of GitHub Actions."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from automl_waiter.cli.live import LiveView, is_terminal
from automl_waiter.cli.output import Reporter
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
        ends: Tell how each job ended. Where not, the result says it at once, if it is shown on the same terminal.
        options: Those of the reporter.

    Raises:
        click.UsageError: A live view is asked for where none can be.
    """
    is_log = log_format == "json" or quiet or not is_free
    view = github = None
    if display == "live":
        if not is_terminal():
            raise click.UsageError("--progress live needs a terminal on stderr that can be drawn on")
        if is_log:
            raise click.UsageError("--progress live goes with neither -q, --log-format json nor lines on stdout")
        view = LiveView(Progress(names), hint)
    elif display == "auto" and is_terminal() and not is_log and not os.environ.get("CI"):
        view = LiveView(Progress(names), hint)
    is_shown = view is not None and sys.stdout is not None and sys.stdout.isatty()
    reporter = Reporter(log_format, quiet=quiet, view=view, ends=ends or not is_shown, **options)
    if display == "github" or (display == "auto" and os.environ.get("GITHUB_ACTIONS") == "true"):
        from automl_waiter.cli.github import GitHubRun

        command = None if log_format == "json" else reporter.command
        github = GitHubRun(command, partial(reporter.warn, "github"))
    return Screen(reporter, view, github)
