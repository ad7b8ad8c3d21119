"""Wall time of whole processes, alternating, so that what slows the machine down slows all of them down."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence

from automl_waiter import ExitCode
from benchmarks.endpoint import python

_TIMES = 11


def seconds_of(programs: Mapping[str, Sequence[str]], environment: Mapping[str, str]) -> dict[str, float]:
    """The median seconds that each takes: arguments of Python's, or a command by its path."""
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(_TIMES + 1):
        for name, words in programs.items():
            command = words if words[0].startswith("/") else python(*words)
            begun = time.perf_counter()
            code = subprocess.run(command, check=False, capture_output=True, env=environment).returncode
            taken[name].append(time.perf_counter() - begun)
            if code not in (0, ExitCode.IN_PROGRESS):
                raise SystemExit(f"{' '.join(command)} ended with {code}")
    # The first of each filled caches.
    return {name: statistics.median(seconds[1:]) for name, seconds in taken.items()}
