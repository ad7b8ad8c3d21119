"""Make docs/explanation/pace.md and its pictures from measurements: python docs/make_performance.py [SECTION...]

All sections take about half an hour; one that is named (polling, estimates, fleets, peers, overhead) replaces the
page's, and must be measured on a machine like the one that the page names. It needs Linux, the extra `[bench]` for the
peers and the pictures, and a machine with nothing else to do.
"""

import os
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE / "explanation" / "pace.md"
sys.path.insert(0, str(HERE.parent))

from benchmarks import page

HEAD = """\
# What a wait costs

This page is made by `python docs/make_performance.py`, and the figures on it are measured by that. `python -m
benchmarks` prints them too; it needs `pip install -e '.[bench]'` and a clone. Seconds, CPU and memory are those of a
machine with {cores} cores, {system}, Python {python}, with {libraries}; the ratios are of one run.
"""

_LIBRARIES = ("boto3", "awscli", "sagemaker-core")


SECTIONS = {
    "polling": lambda: page.polling(page.JOBS, PAGE.parent),
    "estimates": page.estimates,
    "fleets": page.fleets,
    "peers": page.peers,
    "overhead": page.overhead,
}


def head() -> str:
    """Return what stands before the measured sections."""
    return HEAD.format(
        cores=os.cpu_count(),
        system=platform.system(),
        python=platform.python_version(),
        libraries=", ".join(f"{name} {version(name)}" for name in _LIBRARIES),
    )


def replaced(text: str, section: str) -> str:
    """Return the page's text with this section instead of the one that has the same heading.

    Raises:
        ValueError: The page has no section with that heading.
    """
    heading = section.partition("\n")[0]
    parts = re.split("^(?=## )", text, flags=re.MULTILINE)
    [index] = [index for index, part in enumerate(parts) if part.partition("\n")[0] == heading]
    is_last = index == len(parts) - 1
    parts[index] = section if is_last else f"{section}\n"
    return "".join(parts)


if __name__ == "__main__":
    if unknown := set(sys.argv[1:]) - SECTIONS.keys():
        sys.exit(f"no such section: {', '.join(sorted(unknown))}; the sections are {', '.join(SECTIONS)}")
    if sys.argv[1:]:
        for name in sys.argv[1:]:
            PAGE.write_text(replaced(PAGE.read_text(), SECTIONS[name]()))
    else:
        PAGE.write_text("\n".join([head(), *(measure() for measure in SECTIONS.values())]))
