"""`python -m benchmarks`: what the performance page says, measured here and printed."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import page

_SECTIONS = ("polling", "estimates", "fleets", "peers", "overhead")


def main() -> None:
    """Prints the sections that are asked for, all by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("section", nargs="*", help=f"{', '.join(_SECTIONS)} (default: all)")
    parser.add_argument("--jobs", type=int, default=page.JOBS, help="jobs of each workload (default: %(default)s)")
    parser.add_argument("--plots", type=Path, default=Path("build/benchmarks"), help="a folder (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.jobs < 1:
        parser.error(f"--jobs is a number from 1 on, not {arguments.jobs}")
    for section in arguments.section:
        if section not in _SECTIONS:
            parser.error(f"{section!r} is no section: {', '.join(_SECTIONS)}")
    for section in arguments.section or _SECTIONS:
        match section:
            case "polling":
                print(page.polling(arguments.jobs, arguments.plots), flush=True)
            case "estimates":
                print(page.estimates(), flush=True)
            case "fleets":
                print(page.fleets(), flush=True)
            case "peers":
                print(page.peers(), flush=True)
            case "overhead":
                print(page.overhead(), flush=True)


if __name__ == "__main__":
    main()
