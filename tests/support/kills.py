"""`watch --journal` under repeated kills: tests assert the results and docs/explanation/reliability.md has them."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments import endpoint_environment

from automl_waiter.journal import JobHistory, JournalError, JournalReader
from automl_waiter.sandbox.server import Sandbox
from automl_waiter.testing import Timeline

NEVER = 1e6
STATES = [
    *(("InProgress", phase) for phase in ("Starting", "AnalyzingData", "FeatureEngineering", "ModelTuning")),
    ("Completed", "Completed"),
]

# Starts commands as forks, which saves most of the time of a start. In each, the time of day jumps five times a second.
STARTER = """
import datetime, json, os, random, signal, sys, time
chance, real, monotonic = random.Random(), time.time, time.monotonic
def offset():
    return random.Random(f"{os.getpid()} {int(monotonic() * 5)}").choice([0, -5, 5, -86400, 86400, -3600])
class Kind(type):
    def __instancecheck__(cls, value):
        return isinstance(value, true)
true = datetime.datetime
class Jumping(true, metaclass=Kind):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(real() + offset(), tz)
    @classmethod
    def utcnow(cls):
        return cls.now(datetime.UTC).replace(tzinfo=None)
datetime.datetime, time.time = Jumping, lambda: real() + offset()
import boto3, automl_waiter.journal
from automl_waiter.cli import main
for line in sys.stdin:
    if (pid := os.fork()) == 0:
        sys.stdin = open(os.devnull)
        life, *words = json.loads(line)
        os.environ["LIFE"] = life
        try:
            code = main(words)
        except BaseException as error:
            code = 99
            print(repr(error), file=sys.stderr)
        sys.stderr.flush()
        os._exit(code)
    print(pid, flush=True)
"""


class Subscriber:
    """A command, and the watch that runs it for each transition while the watch is running."""

    def __init__(self, folder: Path, starter: subprocess.Popen[str], name: str) -> None:
        self._starter = starter
        self.pid: int | None = None
        self.kills = 0
        self.acknowledged: list[set[str]] = [set()]
        """The ids of the transitions that had been acknowledged when each life of the watch began."""
        self._log, program = folder / f"{name}.log", folder / name
        # Half of the runs take so long that a kill meets them.
        program.write_text(
            f'#!/bin/sh\necho "begin $AUTOML_TRANSITION_ID $LIFE" >> {self._log}\n'
            f'case $AUTOML_TRANSITION_ID in [0-7]*) sleep 0.1;; esac\necho "end $AUTOML_TRANSITION_ID $LIFE" >> {self._log}\n'
        )
        program.chmod(0o700)
        self._journal = folder / "journal"
        self._name = f"{name} %"
        self._words = ["watch", "--poll", "0.1s", "-o", "none", "--journal", str(self._journal), "--exec", str(program)]

    def start(self) -> None:
        assert self._starter.stdin
        assert self._starter.stdout
        self._starter.stdin.write(json.dumps([str(self.kills), *self._words]) + "\n")
        self._starter.stdin.flush()
        self.pid = int(self._starter.stdout.readline())

    def end(self, signum: signal.Signals) -> None:
        assert self.pid is not None
        os.kill(self.pid, signum)
        until(lambda: not is_alive(self.pid))
        self.pid = None

    def kill(self) -> None:
        self.kills += 1
        self.end(signal.SIGKILL)
        self.acknowledged.append({number for number, is_done in self.deliveries().items() if is_done})

    def deliveries(self) -> dict[str, bool]:
        """Return the transitions that have a delivery in the journal, and whether it was acknowledged."""
        found = {}
        with suppress(JournalError), closing(JournalReader(self._journal)) as journal:
            for history in journal.jobs():
                for transition, deliveries in history.transitions:
                    for delivery in deliveries:
                        if delivery.subscriber.startswith(self._name[:-1]):
                            found[transition.id] = delivery.state == "acknowledged"
        return found

    def repeats(self, observed: Collection[str]) -> int:
        """Return how often the command was run again. Check that this was allowed, and never while it was running."""
        runs: list[list[str]] = [[] for _ in range(self.kills + 1)]
        running: Counter[str] = Counter()
        for kind, number, life in map(str.split, self._log.read_text().splitlines()):
            running[number] += 1 if kind == "begin" else -1
            assert running[number] <= 1, "beside itself"
            if kind == "begin":
                runs[int(life)].append(number)
        later: set[str] = set()
        for run, acknowledged in reversed(list(zip(runs, self.acknowledged, strict=True))):
            assert len(set(run)) == len(run)
            assert not acknowledged & set(run), "it was acknowledged"
            assert len(later & set(run)) <= 1, "only one command was running when this life ended"
            later.update(run)
        assert later == set(observed)
        return sum(map(len, runs)) - len(observed)


def is_alive(pid: int | None) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Jobs:
    """Jobs that are created, advance and end whether or not they are watched."""

    def __init__(self, sandbox: Sandbox, chance: random.Random) -> None:
        self._sandbox, self._chance = sandbox, chance
        self.left: dict[str, int] = {}
        self.count = 0

    def create(self) -> None:
        name = f"job-{self.count}"
        self.count += 1
        self._sandbox.create_job(name)
        self.left[name] = len(STATES) - 1

    def advance(self, name: str) -> None:
        self._sandbox.advance(name)
        self.left[name] -= 1
        if not self.left[name]:
            del self.left[name]

    def live(self) -> None:
        if len(self.left) < 5 or self._chance.random() < 0.1:
            self.create()
        for _ in range(self._chance.choice([0, 1, 1, 1, 2, 8])):
            if self.left:
                self.advance(self._chance.choice(list(self.left)))


@dataclass(frozen=True)
class Killed:
    """The result of the kills: the number of jobs and transitions, and kills and repeated commands per subscriber."""

    jobs: int
    transitions: int
    kills: list[int]
    repeats: list[int]
    stderr: str


def kill_again_and_again(folder: Path, kills: int) -> Killed:
    """Kill two watches that share a journal while jobs run, then let both deliver the rest.

    Each subscriber must get every transition that anybody observed; nothing that was acknowledged again; by each kill
    at most one again, and never beside itself. Whether that holds is asserted.
    """
    script = Timeline([(number * NEVER, *state) for number, state in enumerate(STATES)])
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    errors = folder / "errors"
    with (
        Sandbox(scenarios={"held": script}, scenario="held") as sandbox,
        errors.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", STARTER], env=endpoint_environment(sandbox.url), stderr=stderr, **pipes
        ) as starter,
    ):
        try:
            both = [Subscriber(folder, starter, name) for name in ("first", "second")]
            chance = random.Random(kills)
            jobs = Jobs(sandbox, chance)
            jobs.create()
            for subscriber in both:
                subscriber.start()
            until(lambda: all(any(subscriber.deliveries().values()) for subscriber in both))
            while sum(subscriber.kills for subscriber in both) < kills:
                time.sleep(chance.uniform(0, 0.8))
                jobs.live()
                subscriber = chance.choice(both)
                (subscriber.kill if subscriber.pid else subscriber.start)()
            while jobs.left:
                jobs.advance(next(iter(jobs.left)))
            for subscriber in both:
                if subscriber.pid is None:
                    subscriber.start()
            until(
                lambda: (
                    sum(history.state is not None and history.state.is_terminal for history in read(folder))
                    == jobs.count
                )
            )
            observed = {each.transition.id for history in read(folder) for each in history.transitions}
            until(lambda: all(sum(subscriber.deliveries().values()) == len(observed) for subscriber in both))
            for subscriber in both:
                subscriber.end(signal.SIGTERM)
        finally:
            for subscriber in both:
                if subscriber.pid:
                    subscriber.end(signal.SIGKILL)
            starter.kill()
    repeats = [subscriber.repeats(observed) for subscriber in both]
    return Killed(jobs.count, len(observed), [subscriber.kills for subscriber in both], repeats, errors.read_text())


def read(folder: Path) -> list[JobHistory]:
    with closing(JournalReader(folder / "journal")) as journal:
        return list(journal.jobs())
