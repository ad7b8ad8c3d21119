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

TITLE = "# What a wait costs\n"

# What the top of the page says, how it words the figure, and the promise below it that has the figure.
RESULTS = (
    (
        "a wait returns within 5 s of the job's end, or a twentieth of the job's age, and never later than 60 s",
        "at most {} of that",
        "lag of any job, of the promised",
    ),
    ("its mean lag is short (base jobs)", "{} of that of a poll every 30 s", "base: mean lag, of fixed 30 s's"),
    ("300 jobs take few calls", "{} calls a minute", "300 jobs: calls a minute"),
    ("300 jobs: 95 % of the ends are reported soon", "within {} s", "300 jobs: p95 of the lag in s"),
    ("1000 waits in a process take little memory", "{} MiB", "1000 waits: MiB over a client that made one call"),
    (
        "an estimate's interval contains 8 of 10 ends",
        "{} of the ends are outside",
        "share of the ends outside the interval, which is to hold 8 of 10",
    ),
    (
        "an estimate is better than the mean of the last three runs",
        "{} of its median error",
        "median error, of that of Jenkins's rule",
    ),
    (
        "a wait takes little CPU",
        "{} s in two idle hours",
        "seconds of CPU of the command in two idle hours without a terminal",
    ),
    (
        "a poll costs little more than its call",
        "{} of the CPU of the describe call",
        "CPU of a poll, of the describe call's",
    ),
    (
        "the import is quick",
        "{} of the time of `import boto3`",
        "`from automl_waiter import wait_for`, of `import boto3`",
    ),
    (
        "the command starts quickly",
        "`status` takes {} of the time of a bare boto3 script",
        "`automl-waiter status`, of a bare boto3 script",
    ),
)
RESULTS_HEAD = """\
## What you get

| what | measured | promised |
| --- | --- | --- |
"""
RESULTS_END = """\

{met} of the {promises} promises on this page are met. For some jobs a poll every 30 s is better than the default:
[Poll policies](#poll-policies) names them.
"""

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


def results(sections: str) -> str:
    """Return the section at the top of the page: the main figures of the measured sections.

    Raises:
        KeyError: A promise that has such a figure is not in the sections.
    """
    rows = re.findall(r"^\| (.+) \| ([\d.]+) \| (at most [\d.]+) \| (.+) \|$", sections, re.MULTILINE)
    figures = {what: (f"{float(measured):g}", bound) for what, measured, bound, _ in rows}
    lines = [f"| {words} | {form.format(figures[what][0])} | {figures[what][1]} |\n" for words, form, what in RESULTS]
    end = RESULTS_END.format(met=sum(met == "yes" for *_, met in rows), promises=len(rows))
    return RESULTS_HEAD + "".join(lines) + end


def head() -> str:
    """Return the section on the measurements."""
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
        PAGE.write_text(replaced(PAGE.read_text(), results(PAGE.read_text())))
    else:
        sections = "\n".join(measure() for measure in SECTIONS.values())
        PAGE.write_text("\n".join([TITLE, results(sections), head(), sections]))
