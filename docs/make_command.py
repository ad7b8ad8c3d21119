"""Makes docs/command.md from the command's own help: python docs/make_command.py"""

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
        for name in cli.list_commands(top):
            command = cli.get_command(top, name)
            assert command is not None
            with command.make_context(name, [], parent=top, resilient_parsing=True) as ctx:
                parts.append(_help(f"automl-waiter {name}", command, ctx))
    return "\n".join(parts)


def _help(title: str, command: click.Command, ctx: click.Context) -> str:
    formatter = click.HelpFormatter(width=_WIDTH - 2, max_width=_WIDTH)
    command.format_help(ctx, formatter)
    return f"## `{title}`\n\n```text\n{formatter.getvalue().rstrip()}\n```\n"


if __name__ == "__main__":
    Path(__file__).with_name("command.md").write_text(page())
