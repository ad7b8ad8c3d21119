"""Make docs/performance.md and its pictures from measurements: python docs/make_performance.py [SECTION...]

All sections take about half an hour; one that is named (polling, estimates, fleets, peers, overhead) replaces the
page's, and must be measured on a machine like the one that the page names. It needs Linux, the extra `[bench]` for the
peers and the pictures, and a machine with nothing else to do.
"""

import os
import platform
import re
import sys
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE / "performance.md"
sys.path.insert(0, str(HERE.parent))

from automl_waiter import PhaseAware
from automl_waiter._model import polling
from benchmarks import page

HEAD = """\
# What a wait costs

This page is made by `python docs/make_performance.py`, and the figures on it are measured by that. `python -m
benchmarks` prints them too; it needs `pip install -e '.[bench]'` and a clone. Seconds, CPU and memory are those of a
machine with {cores} cores, {system}, Python {python}, with {libraries}; the ratios are of one run.

## When the default looks

`PhaseAware` is a frozen value. With κ = {kappa}, the seconds of lag that one call is worth, and h, the rate at which
the job's end comes, √(2κ/h) is the delay that costs least (Keller 1974).

- *Preparing*: half the job's age, from 20 s to {preparing:.0f} s. Only a failure ends a job here.
- *Training*: h = {training} / the job's age, because reports follow; at most {longest:.0f} s, because they may not.
- *A report, deploying, stopping*: h = 2 / the phase's age, which LastModifiedTime tells; {report} of that in a report
  that another usually follows. Where a report or a deployment begins, half of what is left of {quiet:g} minutes, or
  of {share} of the job's age.
- A report that a deployment will follow (`ModelDeployConfig`) is watched like training; so is preparing, where
  training does not follow (`GenerateCandidateDefinitionsOnly`).
- The job's own `MaxAutoMLJobRuntimeInSeconds`: a look 2 s after it, then after half the time since. The caller's
  deadline: a look at it, instead of just before.
- The first delay is anything up to twice its value, so that waits that begin together part; then a tenth of jitter.
  Never below {shortest:.0f} s; slower while AWS throttles.

Not used: how many candidates are done. No describe response counts them; ListCandidatesForAutoMLJob would, for a
second call at each look and a right that waiting does not need. Each constant, and why, is in
`automl_waiter/_model/polling.py`.
"""

_LIBRARIES = ("boto3", "awscli", "sagemaker-core")


SECTIONS = {
    "polling": lambda: page.polling(page.JOBS, HERE / "performance"),
    "estimates": page.estimates,
    "fleets": page.fleets,
    "peers": page.peers,
    "overhead": page.overhead,
}


def head() -> str:
    """Return what stands before the measured sections."""
    policy = PhaseAware()
    return HEAD.format(
        cores=os.cpu_count(),
        system=platform.system(),
        python=platform.python_version(),
        libraries=", ".join(f"{name} {version(name)}" for name in _LIBRARIES),
        kappa=policy.lag_per_call,
        longest=policy.longest,
        preparing=2 * policy.longest,
        shortest=policy.shortest,
        training=Fraction(polling._TRAINING_IS_LAST).limit_denominator(100),
        report=Fraction(polling._REPORT_IS_LAST).limit_denominator(100),
        quiet=polling._QUIET / 60,
        share=Fraction(polling._QUIET_SHARE).limit_denominator(100),
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
