"""The pages that `--help` prints: what a command does, examples, its options by subject, and its exit codes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import click

from automl_waiter._model.text import clean

# The options' parameter names by subject, in the order of the page.
_SECTIONS = {
    "Which jobs": ("name_contains", "since"),
    "When to return": ("timeout", "until", "good_enough", "stop_on", "until_any", "fail_fast", "until_idle"),
    "Success": ("require",),
    "Polling": ("poll", "max_rate", "error_budget", "no_estimate"),
    "Permissions": ("features", "jobs", "buses"),
    "Output": ("output", "form", "logs", "quiet", "display", "has_bell", "log_format"),
    "Notifications and journal": ("command", "bus", "journal_path"),
    "AWS": ("profile", "region", "endpoint_url"),
}

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True}
"""The settings of click for every command; those of a group hold for its commands."""

EXIT_CODES = (
    ("0", "Completed with everything required, or --until or --good-enough holds"),
    ("2", "bad usage, or a request that AWS rejects as invalid"),
    ("10", "Failed"),
    ("11", "Stopped"),
    ("12", "Completed, but a required part is missing"),
    ("14", "no such job, or another job under this name"),
    ("15", "Completed before --until or --good-enough held"),
    ("69", "no successful call within the error budget"),
    ("70", "a bug in automl-waiter; the message asks you to report it"),
    ("74", "the result could not be written (status, report, history, export)"),
    ("75", "still in progress (status)"),
    ("77", "access denied, or not offered in the region, or credentials missing, invalid or expired"),
    ("124", "timed out (the job keeps running, unless --stop-on timeout)"),
    ("129, 130, 143", "interrupted by SIGHUP, SIGINT, SIGTERM"),
    ("several jobs", "the first that applies of 129, 130, 143, 2, 77, 70, 69, 14, 10, 11, 12, 15, 124, 75, 0"),
)
ENVIRONMENT = (
    ("AWS_PROFILE, AWS_REGION, ...", "All variables of boto3 work."),
    ("AWS_ENDPOINT_URL_SAGEMAKER", "The default of --endpoint-url."),
    ("AUTOML_WAITER_PROGRESS", "The default of --progress. In a notebook, `lines` turns the view off."),
    ("AUTOML_WAITER_DEBUG", "If set, print the debug log to stderr, with the traceback of a bug."),
    ("NO_COLOR", "Turns colours off."),
    ("CI, TERM=dumb", "Print lines instead of a live view."),
    ("GITHUB_ACTIONS", "If true, as GitHub sets it, write annotations, the step's outputs and its summary."),
)
COMPLETION = (
    ("~/.bashrc", 'eval "$(_AUTOML_WAITER_COMPLETE=bash_source automl-waiter)"'),
    ("~/.zshrc", 'eval "$(_AUTOML_WAITER_COMPLETE=zsh_source automl-waiter)"'),
    ("config.fish", "_AUTOML_WAITER_COMPLETE=fish_source automl-waiter | source"),
)

Rows = Sequence[tuple[str, str]]


def given_on(ctx: click.Context) -> Mapping[str, Any]:
    """Return what a command line gave for each parameter, as it was written: text, a list of texts, or True."""
    given: Mapping[str, Any] = ctx.meta.get(_given_key(ctx), {})
    return given


def _given_key(ctx: click.Context) -> str:
    return f"{__name__}.{ctx.command_path}"


class Page(click.Command):
    """A command whose help is a page.

    Args:
        examples: Command lines, and what each does.
        lists: Further sections: titles and rows.
    """

    sections: Mapping[str, Sequence[str]] = _SECTIONS

    def __init__(self, *args: Any, examples: Rows = (), lists: dict[str, Rows] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._examples = examples
        self._lists = lists or {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line, and keep it in the user's own words, by parameter: see `given_on`."""
        ctx.meta[_given_key(ctx)] = self.make_parser(ctx).parse_args(list(args))[0]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, a group's commands, the options by section, and the further sections."""
        if self._examples:
            with formatter.section("Examples"):
                for number, (line, what) in enumerate(self._examples):
                    formatter.write("\n" if number else "")
                    formatter.write_text(what)
                    formatter.write(f"{'':{formatter.current_indent}}  $ {line}\n")
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        left = {option.name: record for option in options if (record := option.get_help_record(ctx))}
        sections = {title: [left.pop(name) for name in names if name in left] for title, names in self.sections.items()}
        for title, rows in [*sections.items(), ("Options", list(left.values())), *self._lists.items()]:
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


class PageGroup(Page, click.Group):
    """A group of commands, whose help is a page too. It suggests the nearest command for an unknown one."""

    command_class = Page
    sections: Mapping[str, Sequence[str]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they were added: the most used first."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command for the arguments.

        Raises:
            click.UsageError: There is no command of that name.
        """
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            known = self.list_commands(ctx)
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"commands: {', '.join(known)}"
            raise click.UsageError(f"no command {clean(name)!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)
