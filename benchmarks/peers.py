"""The peers for real: each in processes of its own, at the same HTTP endpoint, in the same run."""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

from benchmarks.contender import AUTOML_WAITER, BOTOCORE, SAGEMAKER_CORE, SPEED
from benchmarks.endpoint import ENDED, RUNNING, SCRIPTS, CountingSandbox, Process
from benchmarks.idle import CONTENDERS, PIPED, TERMINAL, idle
from benchmarks.timing import seconds_of

IMPORTS = {
    AUTOML_WAITER: "from automl_waiter import wait_for; import boto3",
    BOTOCORE: "import boto3, botocore.waiter",
    SAGEMAKER_CORE: "from sagemaker.core.resources import AutoMLJobV2",
}
_WAITS = 4
# Seconds between the begins of a waiter's waits: a quarter of the longest pace, so that they meet the end at different
# moments of it.
_APART = 30 / SPEED / _WAITS


@dataclass(frozen=True)
class Peer:
    """What one waiter took.

    Attributes:
        name: Which.
        calls: Describes a wait for the recorded job.
        lag: The mean seconds of the job from its end until the waiter returned, and the longest.
        cpu_per_poll: Seconds of CPU.
        import_seconds: How long it takes to import it and the SDK, beyond Python's own start.
        megabytes: The most memory of a waiting process.
        idle_cpu: Seconds of CPU of two hours of waiting.
    """

    name: str
    calls: float
    lag: tuple[float, float]
    cpu_per_poll: float
    import_seconds: float
    megabytes: float
    idle_cpu: float


@dataclass(frozen=True)
class Compared:
    """Every peer, and the CPU of the command in two idle hours: with its output in a file, and on a terminal."""

    peers: list[Peer]
    command: tuple[float, float]
    shown: float
    """Bytes that the command writes on its terminal in two hours."""
    watched: float
    """For how many seconds the idle processes were watched."""


def compare() -> Compared:
    """Every peer; it takes about nine minutes."""
    with idle() as watched:
        waited = _waits()
        cpu, shown, seconds = watched.cpu(), watched.shown, watched.seconds
        if not shown:
            raise RuntimeError("the command has shown nothing on its terminal")
    polls = {name: _cpu_per_poll(name) for name in CONTENDERS}
    with CountingSandbox() as sandbox:
        environment = sandbox.environment
    programs = {name: ("-c", line) for name, line in IMPORTS.items()} | {"python": ("-c", "pass")}
    imports = seconds_of(programs, environment)
    peers = [
        Peer(name, *waited[name][:2], polls[name], imports[name] - imports["python"], waited[name][2], cpu[name])
        for name in CONTENDERS
    ]
    return Compared(peers, (cpu[PIPED], cpu[TERMINAL]), shown, seconds)


def criteria(compared: Compared) -> list[tuple[str, float, float]]:
    """What is promised: in words, as measured, and the bound."""
    plain, terminal = compared.command
    return [
        ("seconds of CPU of the command in two idle hours without a terminal", plain, 1.0),
        ("seconds of CPU of the command in two idle hours on one", terminal, 5.0),
        ("megabytes that it writes there meanwhile", compared.shown / 1e6, 2.0),
    ]


def _waits() -> dict[str, tuple[float, tuple[float, float], float]]:
    """Calls, lags and memory of waits for the recorded job, played faster, at paces that are as much faster."""
    with ExitStack() as stack:
        sandbox = stack.enter_context(CountingSandbox(SPEED))
        processes = [
            (name, stack.enter_context(Process(name, "wait", sandbox.environment)))
            for name in CONTENDERS
            for _ in range(_WAITS)
        ]
        jobs = [(name, f"job-{number}", process) for number, (name, process) in enumerate(processes)]
        for _, job, _ in jobs:
            sandbox.create_job(job, scenario=ENDED)
        for turn in range(_WAITS):
            time.sleep(_APART)
            for _, job, process in jobs[turn::_WAITS]:
                process.begin(job)
        results = [(name, job, process.result()) for name, job, process in jobs]
        calls = dict(sandbox.calls)  # before the ends are asked for
        ends = {job: _end(sandbox, job) for _, job, _ in results}
    early = [job for _, job, result in results if result.finished < ends[job].timestamp()]
    if early:
        raise RuntimeError(f"a waiter returned before its job had ended: {', '.join(early)}")
    waited = {}
    for peer in CONTENDERS:
        lags = [SPEED * (result.finished - ends[job].timestamp()) for name, job, result in results if name == peer]
        described = [calls[job] for name, job, _ in results if name == peer]
        memory = max(result.megabytes for name, _, result in results if name == peer)
        waited[peer] = statistics.mean(described), (statistics.mean(lags), max(lags)), memory
    return waited


def _end(sandbox: CountingSandbox, job: str) -> datetime:
    end: datetime = sandbox.client().describe_auto_ml_job_v2(AutoMLJobName=job)["EndTime"]
    return end


def _cpu_per_poll(name: str) -> float:
    with CountingSandbox() as sandbox, Process(name, "poll", sandbox.environment) as process:
        sandbox.create_job("job", scenario=RUNNING)
        process.begin("job")
        result = process.result()
        return result.cpu / sandbox.calls["job"]


def recorded_minutes() -> float:
    """How long the recorded job took."""
    end = SCRIPTS[ENDED].end
    assert end is not None
    return end / 60
