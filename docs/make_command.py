"""Make docs/reference/command.md from the command's own help: python docs/make_command.py"""

from collections.abc import Iterator
from pathlib import Path

import click

from automl_waiter.cli.app import cli
from automl_waiter.cli.help import COMPLETION, ENVIRONMENT

HEAD = """\
# The command

This page is made from the command's own `--help` by `python docs/make_command.py`. The lists that all commands share
are at the end: [exit codes](#exit-codes), [environment](#environment) and [completion](#completion).
"""
EXIT_CODES = """\
## Exit codes

[Exit codes](exit_codes.md) has each code, what it means and what to do. [Output](output.md) has the forms of stdout and
stderr, and [IAM permissions](iam.md) the permissions that each feature needs.
"""
_WIDTH = 100


def page() -> str:
    """Return the page's text."""
    with cli.make_context("automl-waiter", [], resilient_parsing=True) as top:
        parts = [HEAD, _help("automl-waiter", cli, top), *_pages("automl-waiter", cli, top)]
    rows = "".join(f"| `{names}` | {what} |\n" for names, what in ENVIRONMENT)
    lines = "".join(f"- `{file}`: `{line}`\n" for file, line in COMPLETION)
    parts += [
        EXIT_CODES,
        f"## Environment\n\n| variable | meaning |\n|---|---|\n{rows}",
        f"## Completion\n\nA shell completes commands, flags, names of jobs and phases after this line:\n\n{lines}",
    ]
    return "\n".join(parts)


def _pages(before: str, group: click.Group, parent: click.Context) -> Iterator[str]:
    for name in group.list_commands(parent):
        command, title = group.commands[name], f"{before} {name}"
        with command.make_context(name, [], parent=parent, resilient_parsing=True) as ctx:
            yield _help(title, command, ctx)
            if isinstance(command, click.Group):
                yield from _pages(title, command, ctx)


def _help(title: str, command: click.Command, ctx: click.Context) -> str:
    formatter = click.HelpFormatter(width=_WIDTH - 2, max_width=_WIDTH)
    command.format_help(ctx, formatter)
    # The lists that follow are the same in every command.
    text = formatter.getvalue().partition("\n\nExit codes:\n")[0]
    return f"## `{title}`\n\n```text\n{text.rstrip()}\n```\n"


if __name__ == "__main__":
    (Path(__file__).parent / "reference" / "command.md").write_text(page())
