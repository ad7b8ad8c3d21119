"""The command line: it parses flags, runs a wait, and prints the results."""

from __future__ import annotations

from collections.abc import Sequence

from automl_waiter.cli.signals import Interrupted, Interrupts

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    # Before the command's libraries are loaded: without a handler, the first process of a container ignores SIGTERM.
    with Interrupts(is_whole_process=argv is None) as interrupts:
        try:
            from automl_waiter.cli.app import run

            return run(argv, interrupts)
        except Interrupted as interrupted:
            return 128 + interrupted.signal
