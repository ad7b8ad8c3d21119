"""Make docs/reference/command.md from the command's own help: python docs/make_command.py"""

from collections.abc import Iterator
from pathlib import Path

import click

from automl_waiter.cli.app import cli

HEAD = """\
# The command

This page is made from `automl-waiter --help` and that of each command by `python docs/make_command.py`.
"""
_WIDTH = 100


def page() -> str:
    """The page's text."""
    with cli.make_context("automl-waiter", [], resilient_parsing=True) as top:
        parts = [HEAD, _help("automl-waiter", cli, top)]
        parts += _pages("automl-waiter", cli, top)
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
    return f"## `{title}`\n\n```text\n{formatter.getvalue().rstrip()}\n```\n"


if __name__ == "__main__":
    (Path(__file__).parent / "reference" / "command.md").write_text(page())
