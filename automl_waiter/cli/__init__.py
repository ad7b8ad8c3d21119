"""The command line: it parses flags, runs a wait, and prints the results."""

from __future__ import annotations

import sys
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
        except Exception as error:  # a library that does not load: what runs handles its own errors
            if sys.stderr is not None:
                sys.stderr.write(f"automl-waiter: it cannot start: {type(error).__name__}: {error}\n")
            return 70
