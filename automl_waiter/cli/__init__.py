"""The command line, a guest in the library: it parses, drives the same loop, and prints."""

from __future__ import annotations

from collections.abc import Sequence

from automl_waiter.cli.signals import Interrupted, Interrupts

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    # Before the command's libraries are loaded: the first process of a container hears no SIGTERM without a handler.
    with Interrupts(is_whole_process=argv is None) as interrupts:
        try:
            from automl_waiter.cli.app import run

            return run(argv, interrupts)
        except Interrupted as interrupted:
            return 128 + interrupted.signal
