"""Make docs/explanation/reliability.md from measurements: python docs/make_reliability.py

It takes about ten minutes, and wants Linux, the extras `[sandbox,test]`, and a machine with nothing else to do.
"""

import json
import os
import platform
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "support"))

import programs
from faulty_endpoint import PASSING_FAULTS, PERMANENT_FAULTS, Fault, FaultyEndpoint, Handler
from kills import kill_again_and_again
from reliability import (
    ABSENT,
    COMPLETED,
    FAILED,
    MOMENTS,
    ORDEALS,
    SOON_FAILED,
    Ordeal,
    Signalled,
    Survived,
    appear,
    can_be_first,
    free_port,
    signal_at,
    soak,
    survive,
)

from automl_waiter._model.errors import TransientKind

TITLE = "# What a wait survives\n"

RESULTS = (
    (
        "a transient fault: throttling, a 5xx, a reset, a broken answer, a captive portal",
        "{survived} of {faults} kinds survived",
    ),
    (
        "a permanent error: access denied, an invalid request",
        "{at_once} of {errors} ended the wait after one call, with the error's own exit code",
    ),
    (
        "a longer outage: a minute of errors, a refused connection, a token that is renewed",
        "{outlived} of {outages} waits ended with the job's own exit code",
    ),
    ("SIGINT or SIGTERM", "the process ended within {longest} s, with the outcome so far on stdout"),
    (
        "one call in five fails, during {waits} waits in one process",
        "{ended} waits ended as their jobs did; {twice} transitions were delivered twice",
    ),
    (
        "`kill -9` of a `watch --journal`, {kills} times",
        "every observed transition was delivered, and no acknowledged one again",
    ),
)

HEAD = """\
## How it is measured

This page is made by `python docs/make_reliability.py`, which measures everything on it. It runs the command in
processes of its own, against an HTTP endpoint on real sockets that fails on demand. The tests assert the same:
`tests/processes/test_reliability.py` and `tests/processes/test_faults.py`. Seconds include the start of Python and of
the SDK, on {machine}.
"""

PASSING = """\
## Transient faults

For each fault one wait, whose first two calls fail with it. The job has failed, so the expected exit code is 10.
{survived} of {tried} waits survived. Throttling comes after one good answer: a client that is throttled on its first
call waits for up to 100 seconds, because it is probably [one of many](../howto/many_jobs.md) that started in the same
second.

"""

PERMANENT = """\
## Permanent errors

A retry would not help. Each error ended its wait with the exit code of its class, after one call.

"""

OUTAGES = """\
## Longer outages

The jobs had ended in different ways. The expected exit code is each job's own.

"""

SIGNALS = """\
## Seconds from a signal to the end of the process

SIGINT and SIGTERM, {times} times each, at every moment. In {whole} of {tried} cases stdout had the outcome so far, as
one JSON document, and stderr the command that resumes the wait.

"""

SOAK = """\
## A soak

One process waits for {waits} jobs at once for two minutes, for half of them under asyncio. One call in five fails with
one of the faults above. {completed} waits ended as their jobs did. Of the {due} transitions {different} were delivered,
and {repeated} were delivered twice. Of {calls} calls {faults} failed and were repeated.

"""

KILLS = """\
## A journal under kills

Two `watch` processes share one `--journal`. Each has an `--exec` command of its own. They are started and killed at
random, while jobs are created and end, and the wall clock of each jumps by up to a day, five times a second. Every
transition that either of them observed was delivered to both commands, and no acknowledged one was delivered again. No
command ran twice at the same time for one transition. Each kill repeated at most the command that was running, with the
same `AUTOML_TRANSITION_ID`.

"""

_AT_ONCE = 4
_SIGNALS_EACH = 5
_WAITS = 200
_SOAK_SECONDS = 120.0
_KILLS = 200


def page() -> str:
    """Return the page's text, measured."""
    machine = f"a machine with {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    sections = "\n".join([passing(), permanent(), outages(), signals(), soaked(), killed()])
    return "\n".join([TITLE, results(sections), HEAD.format(machine=machine), sections])


def results(sections: str) -> str:
    """Return the section at the top of the page: the main figures of the sections below it."""
    tables = [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
        for section in sections.split("\n## ")
    ]
    faults, errors, outages, signals, _, kills = (rows[2:] for rows in tables[-6:])
    [survived] = re.findall(r"(\d+) of \d+ waits survived", sections)
    [(waits, ended, twice)] = re.findall(
        r"waits for (\d+) jobs at once.*?(\d+) waits ended as .*?(\d+) were delivered twice", sections, re.DOTALL
    )
    figures = {
        "survived": survived,
        "faults": len(faults),
        "at_once": sum(calls == "1" for _, _, _, calls, _ in errors),
        "errors": len(errors),
        "outlived": sum(expected == code for _, expected, code, *_ in outages),
        "outages": len(outages),
        "longest": max(longest for *_, longest in signals),
        "waits": waits,
        "ended": ended,
        "twice": twice,
        "kills": sum(int(row[3]) for row in kills),
    }
    rows = [[cell.format_map(figures) for cell in row] for row in RESULTS]
    return "## What you get\n\n" + _table(("what happens", "measured"), rows)


def passing() -> str:
    """The faults that may pass."""
    all_survived = _survive([_ordeal(name, kind, fault) for name, (kind, fault) in PASSING_FAULTS.items()])
    right = sum(it.code == it.ordeal.code for it in all_survived)
    rows = [(it.ordeal.name, PASSING_FAULTS[it.ordeal.name][0], it.code, _tenths(it.seconds)) for it in all_survived]
    head = PASSING.format(survived=right, tried=len(rows))
    return head + _table(("fault", "class", "exit code", "seconds"), rows)


def permanent() -> str:
    """The errors that end a wait."""
    ordeals = [Ordeal(name, _twice(fault), COMPLETED, code) for name, (_, code, fault) in PERMANENT_FAULTS.items()]
    rows = [
        (it.ordeal.name, PERMANENT_FAULTS[it.ordeal.name][0], it.code, _looks(it), _tenths(it.seconds))
        for it in _survive(ordeals)
    ]
    return PERMANENT + _table(("error", "raised as", "exit code", "calls", "seconds"), rows)


def outages() -> str:
    """What lasts longer than a fault."""
    rows = [
        (it.ordeal.name, it.ordeal.code, it.code, _looks(it), _tenths(it.seconds))
        for it in [*_survive(ORDEALS, at_once=2), appear(free_port(), ABSENT)]
    ]
    return OUTAGES + _table(("outage", "expected exit code", "exit code", "calls", "seconds"), rows)


def signals() -> str:
    """How soon a signal ends the process."""
    rows, whole = [], 0
    with FaultyEndpoint() as endpoint:
        for number, moment in enumerate(MOMENTS):
            if moment.is_first_process and not can_be_first():
                raise SystemExit("this user may make no process namespace, so one row cannot be measured: be root")
            measured = [
                signal_at(endpoint, moment, signum, f"{signum.name}-{number}-{time}")
                for signum in (signal.SIGINT, signal.SIGTERM)
                for time in range(_SIGNALS_EACH)
            ]
            whole += sum(_is_whole(it) for it in measured)
            seconds = sorted(it.seconds for it in measured)
            rows.append((moment.name, f"{seconds[len(seconds) // 2]:.2f}", f"{seconds[-1]:.2f}"))
    head = SIGNALS.format(times=_SIGNALS_EACH, whole=whole, tried=len(MOMENTS) * 2 * _SIGNALS_EACH)
    return head + _table(("when it arrives", "median", "longest"), rows)


def soaked() -> str:
    """What two minutes of faults leave behind."""
    result = soak(_WAITS, _SOAK_SECONDS)
    told = [[change.after for change in outcome.transitions] for outcome in result.outcomes]
    different = sum(len(set(states)) for states in told)
    head = SOAK.format(
        waits=_WAITS,
        completed=sum(outcome.verdict == "completed" for outcome in result.outcomes),
        different=different,
        repeated=sum(map(len, told)) - different,
        due=3 * _WAITS,
        calls=result.calls,
        faults=result.faults,
    )
    held = {
        "before": result.before,
        "after a third": result.early,
        "after two thirds": result.late,
        "after all had ended": result.after,
    }
    rows = [(when, it.threads, it.descriptors, f"{it.memory:.1f}") for when, it in held.items()]
    return head + _table(("the process", "threads", "file descriptors", "resident memory (MiB)"), rows)


def killed() -> str:
    """What kills repeat."""
    with tempfile.TemporaryDirectory() as folder:
        it = kill_again_and_again(Path(folder), _KILLS)
    by_command = zip(("first", "second"), it.kills, it.repeats, strict=True)
    rows = [(name, it.jobs, it.transitions, kills, repeats) for name, kills, repeats in by_command]
    return KILLS + _table(("command", "jobs", "transitions", "kills", "commands repeated"), rows)


def _ordeal(name: str, kind: TransientKind, fault: Fault) -> Ordeal:
    if kind is TransientKind.THROTTLED:
        return Ordeal(name, lambda: [Handler.answer_rightly, fault, fault], SOON_FAILED, 10)
    return Ordeal(name, _twice(fault), FAILED, 10)


def _twice(fault: Fault) -> Callable[[], list[Fault]]:
    return lambda: [fault] * 2


def _survive(ordeals: Sequence[Ordeal], at_once: int = _AT_ONCE) -> list[Survived]:
    """Some at once, so that the seconds are not those of a queue for the processor."""
    survived: list[Survived] = []
    for first in range(0, len(ordeals), at_once):
        with FaultyEndpoint() as endpoint, tempfile.TemporaryDirectory() as folder:
            survived += survive(endpoint, ordeals[first : first + at_once], Path(folder))
    return survived


def _is_whole(signalled: Signalled) -> bool:
    [job] = json.loads(signalled.stdout)["jobs"]
    return job["verdict"] == "cancelled" and "to resume: automl-waiter wait " in signalled.stderr


def _looks(survived: Survived) -> int:
    [job] = survived.document["jobs"]
    return int(job["polls"] + job["retries"])


def _tenths(seconds: float) -> str:
    return f"{seconds:.1f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


if __name__ == "__main__":
    programs.FORKS = False  # a user's process starts anew
    (HERE / "explanation" / "reliability.md").write_text(page())
