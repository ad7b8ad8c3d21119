"""The performance page's sections as Markdown, measured; docs/performance.md has them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median

from listing_service import MOVES_EVERY

from automl_waiter._model.token_bucket import DEFAULT_MAX_RATE
from benchmarks import estimates as ends
from benchmarks import fleets as many
from benchmarks import herd as herds
from benchmarks import overhead as costs
from benchmarks import peers as contenders
from benchmarks import thousand
from benchmarks.contender import SPEED
from benchmarks.polling import (
    DEFAULT,
    FIXED,
    KAPPA,
    KAPPAS,
    REFERENCE,
    SEED,
    Measured,
    Result,
    compare,
    criteria,
    front,
    on_recorded_jobs,
    reference_for,
)
from benchmarks.workloads import BASE, HOUR, MINUTE, assumptions, recorded_jobs, typical_job

JOBS = 400
"""Jobs of each workload, and 5 times as many of the base."""
_FRONT_KAPPAS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)

_POLLING = """\
## Poll policies

Each policy drives the real wait loop in virtual time. *Lag* is from a job's end until the wait returns, calls
themselves taking no time. *κ* is the seconds of lag that one call is worth, and *cost* is κ · calls + lag, in
seconds. The *reference* is a dynamic programme that knows how the durations are distributed and how many jobs take
which way, which no waiter can; it learns a phase's age from LastModifiedTime, like the default. Its row is for κ =
0.1 unless it says another. Waits begin in the first minute of a job. {jobs} jobs a workload, {base} of the base and
of those without report phases; a tenth for looks every 5 s, which therefore have no ratios.

"""

_CRITERIA = """\
What is promised of the default, on the assumed jobs:

"""

_BASE = """\
### The assumed base workload

"""

_KAPPAS = """\
The default, made for κ = 0.1, where a call is worth less or more, against a look every 30 s and the reference for
that κ:

"""

_ASSUMED = """\
**The jobs are assumed.** Recorded are only the durations of the tabular phases AnalyzingData, FeatureEngineering and
the reports, in 62 jobs; the default's constants were chosen on this same workload, and the variants are there to see
what becomes of them elsewhere. Every duration is log-normal; a phase's median minutes stand behind it, with the
standard deviation of the logarithm. Half of the jobs name a limit to their runtime (2, 4 or 8 hours), which ends them
if they have not trained by then; 4 % fail, at any time before their reports. A base job lasts {mean} minutes on
average; {cut} of them are ended by their limit.

"""

_VARIANTS = """\
### Variants and problem types

The same without deadlines, without report phases, with other durations, with more failures, and with a
LastModifiedTime that is always that of the look, so that it does not tell how long a phase has lasted; and each
problem type alone.

"""

_RECORDED = """\
### The recorded jobs

{count} jobs, each begun at 20 seconds of its first minute. Those without report phases are of 2020; no later job is
known that ended straight from training. They are short, and there the default is late: it costs {late:.1f} times what
a look every 30 s does. Of those with reports, some recordings begin in mid-job, so that the job looks younger than it
was, and is looked at more.

"""

_ESTIMATES = """\
## Estimates

On {count:,} assumed families of similar jobs, the interval contains {coverage:.0%} of the ends, and the median error is
{error:.1%} of the job's duration. The rule that Jenkins uses for its progress bars, the mean of the last three
successes, is off by {jenkins:.1%} on the same jobs at the same ages. In {declined:.0%} of the cases there is no
estimate, because the siblings' durations spread too widely.

"""

_FAMILIES = """\
**The families are assumed.** Durations are log-normal. A family's typical one is from {shortest:.0f} minutes to
{longest:.0f} hours, and its spread (the standard deviation of the logarithm) from {least:.0%} to {most:.0%}, each
doubling equally likely. It has {counts} completed siblings. In {changed:.0%} of the families the data changes at one
job, and the time doubles from then on. {failed:.0%} of the jobs fail, and do not count. Each end is estimated at
{ages} of the mean of the last three durations, if the job still runs then. Each row but the first is of {fewer}
families.

Nothing foresees a change at the job itself. Where durations spread by 30% or more, there is an estimate only if the
siblings are close by chance, and then its interval is too narrow.

"""

_REPEATS = """\
**Recorded repeats.** The same notebook in the same account, run again, in minutes. The last run is estimated at its
start, from the runs before it. One sibling is not enough.

"""

_FLEETS = """\
## Many jobs

Waits for many jobs share one call budget. From seven jobs on, the waiter reads the newest pages of ListAutoMLJobs, a
hundred jobs a page, and describes a job when it has ended. [How](many_jobs.md).

"""

_SIZES = """\
### Fleets, in virtual time

Base jobs that run at second 0 at random ages: of jobs that begin evenly within {window:.0f} hours, those that still
run. The max rate is {rate:g} calls/s, and the service throttles at {rate:g} calls/s (burst {burst:g}). *A describe per
job*: the default's pace for each by itself, under the same budget; fewer than 7 jobs are described in both rows.
Assumed, because AWS does not document it: LastModifiedTime moves with each status, and every {moves:.0f} minutes within
a phase. *Lag* is from a job's end until the wait reports it; an end that is not reported when the watch is over counts
with the time that has passed since. Watched for {watched},
or until all have ended, so the calls a minute are means of fleets that shrink.

"""

_HARDSHIPS = """\
A small budget, and a long listing. The rows of {few} jobs are at {slow:g} calls/s, max rate and service both. *Among
others*: that many ended jobs of the account were created among those of the fleet. Among {crowd:,}, the oldest jobs of
the fleet are on pages that the default does not read; it describes those.

"""

_HERD = """\
### A herd, in virtual time

{processes} processes, each with a budget of its own, begin in the same second to wait for jobs that were created in the
minute before, against {rate:g} calls/s (burst {burst:g}), for half an hour. In the first second all of them call. Each
of the default's {herds} herds has other jobs and other chances.

"""

_THOUSAND = """\
### In one process, for real

Over HTTP, through one client, the waiting in a process of its own; jobs of a minute, of which a tenth fails and a tenth
is stopped. {jobs} jobs at a max rate of {raised:g} calls/s; and {fewer} begun together at the default's {default:g},
against an endpoint that throttles at {limit:g} calls/s (burst {burst:g}). Memory is the most that the process held,
less what it held after one describe call. *Late* is from the last job's end until the last wait returned: where all end
at about the same time, the describes of their ends wait for their turns.

"""

_PEERS = """\
## Peers, for real

Each waiter in processes of its own, with boto3 over HTTP, at one endpoint in the same run. Four waits each for a
recorded job of {minutes:.0f} minutes, played {speed} times faster, at paces that are as much faster: the default
here, 30 s as in botocore's own waiters for SageMaker, and sagemaker-core's 5 s. An import is that of the waiter and
the SDK, which this package loads with its first call. A poll's CPU is that of the whole process in a loop of polls;
sagemaker-core's, which takes whole seconds only, without a pause. Two idle hours are extrapolated from {watched:.0f}
seconds at those paces, the default's being that for a job that has trained for half an hour. A thread of
sagemaker-core's wakes 4 times a second for its panel, also where nothing is shown.

"""

_OVERHEAD = """\
## Our own overhead

The poll and the call are measured in alternating blocks of one process, at the same pace; programs by the wall, in
turn, and their medians given.

"""


def polling(jobs: int, folder: Path) -> str:
    """The policies, in virtual time: some minutes. The pictures are drawn into the folder."""
    from benchmarks import plots  # it loads matplotlib, which the tests do without

    results = compare(jobs)
    folder.mkdir(parents=True, exist_ok=True)
    plots.pareto(results[BASE.name], front(jobs, _FRONT_KAPPAS), _FRONT_KAPPAS, folder / "pareto.svg")
    plots.pace(typical_job(), folder / "pace.svg")
    mean, cut = _of_the_base(5 * jobs)
    recorded = on_recorded_jobs(jobs)
    return "\n".join(
        [
            _POLLING.format(jobs=jobs, base=5 * jobs) + _CRITERIA + _criteria(criteria(results)),
            _BASE + _results({BASE.name: results[BASE.name]}),
            _KAPPAS + _by_kappa(results[BASE.name]),
            f"![Calls against lag, for every policy]({folder.name}/pareto.svg)\n",
            _ASSUMED.format(mean=f"{mean / 60:.0f}", cut=f"{cut:.0%}")
            + _table(("share", "problem type", "phases to the end of training", "and after it"), assumptions()),
            "A tabular job whose every phase takes its median, as the default looks at it:\n",
            f"![The delays over a job's life]({folder.name}/pace.svg)\n",
            _VARIANTS + _results({name: result for name, result in results.items() if name != BASE.name}),
            _RECORDED.format(count=len(recorded_jobs()), late=_late(recorded)) + _results(recorded),
        ]
    )


def estimates() -> str:
    """Return the section of estimates: some seconds."""
    rows = list(ends.rows())
    everything = rows[0][1]
    words = _ESTIMATES.format(
        count=ends.FAMILIES,
        coverage=everything.coverage,
        error=median(everything.errors),
        jenkins=median(everything.jenkins),
        declined=everything.declines,
    )
    assumed = _FAMILIES.format(
        shortest=ends.TYPICAL[0] / MINUTE,
        longest=ends.TYPICAL[1] / HOUR,
        least=ends.SPREADS[0],
        most=ends.SPREADS[1],
        counts=f"{', '.join(map(str, ends.COUNTS[:-1]))} or {ends.COUNTS[-1]}",
        changed=ends.CHANGED,
        failed=ends.FAILED,
        ages=f"{', '.join(f'{share:.0%}' for share in ends.AGES[:-1])} and {ends.AGES[-1]:.0%}",
        fewer=ends.FEWER,
    )
    head = ("families", "estimates", "median error", "of Jenkins's rule", "ends within the interval", "no estimate")
    lines = [
        (
            *(name, f"{len(it.errors):,}", f"{median(it.errors):.1%}", f"{median(it.jenkins):.1%}"),
            *(f"{it.coverage:.0%}", f"{it.declines:.0%}"),
        )
        for name, it in rows
    ]
    recorded = [
        (
            it.name,
            "none" if it.interval is None else "{1:.1f} ({0:.1f} to {2:.1f})".format(*it.interval),
            f"{it.jenkins:.1f}",
        )
        for it in ends.repeats()
    ]
    return "\n".join(
        [
            words + _criteria(ends.criteria(rows)),
            assumed + _table(head, lines),
            _REPEATS + _table(("minutes", "estimate", "Jenkins's rule"), recorded),
        ]
    )


def peers() -> str:
    """The peers in real time: about nine minutes."""
    compared = contenders.compare()
    head = (
        "waiter",
        "calls",
        "mean lag",
        "longest lag",
        "CPU of a poll",
        "import",
        "peak memory",
        "CPU of two idle hours",
    )
    rows = [
        (
            peer.name,
            f"{peer.calls:.0f}",
            f"{peer.lag[0]:.1f} s",
            f"{peer.lag[1]:.1f} s",
            f"{1000 * peer.cpu_per_poll:.2f} ms",
            f"{peer.import_seconds:.2f} s",
            f"{peer.megabytes:.0f} MiB",
            f"{peer.idle_cpu:.2f} s",
        )
        for peer in compared.peers
    ]
    words = _PEERS.format(minutes=contenders.recorded_minutes(), speed=SPEED, watched=compared.watched)
    return words + _table(head, rows) + "\n" + _criteria(contenders.criteria(compared))


def fleets() -> str:
    """Return the section of many jobs, in virtual time and for real: about six minutes."""
    sizes, hardships = many.sizes(), many.hardships()
    rows = many.measure([*sizes, *hardships])
    of_herds = herds.measure()
    waits = thousand.measure()
    words = _SIZES.format(
        window=many.WINDOW / HOUR,
        rate=many.RATE,
        burst=many.BURST,
        moves=MOVES_EVERY / MINUTE,
        watched=", ".join(f"{hours / HOUR:g} h ({size:,})" for size, hours in many.watched().items()),
    )
    hard = _HARDSHIPS.format(few=many.FEW, slow=many.SLOW, crowd=many.CROWD)
    herd = _HERD.format(processes=herds.PROCESSES, rate=herds.RATE, burst=herds.BURST, herds=herds.HERDS)
    real = _THOUSAND.format(
        jobs=thousand.JOBS,
        raised=thousand.RAISED,
        fewer=thousand.FEWER,
        default=DEFAULT_MAX_RATE,
        limit=thousand.LIMIT,
        burst=thousand.BURST,
    )
    promised = [*many.criteria(rows), *herds.criteria(of_herds), *thousand.criteria(*waits)]
    return "\n".join(
        [
            _FLEETS + _criteria(promised),
            words + _followed(rows[: len(sizes)]),
            hard + _followed(rows[len(sizes) :]),
            herd + _herds(of_herds),
            real + _waits([*waits[0], *waits[1]]),
        ]
    )


def overhead() -> str:
    """Our own cost: about three minutes."""
    measured = costs.measure()
    ours, boto3 = measured.imports
    rows = [
        ("CPU of a poll", f"{1000 * measured.poll:.2f} ms"),
        ("CPU of the describe call alone", f"{1000 * measured.call:.2f} ms"),
        ("`from automl_waiter import wait_for`", f"{ours:.3f} s"),
        ("`import boto3`", f"{boto3:.3f} s"),
        *((name, f"{seconds:.2f} s") for name, seconds in measured.starts.items()),
    ]
    return _OVERHEAD + _table(("what", "takes"), rows) + "\n" + _criteria(costs.criteria(measured))


def _followed(rows: Sequence[many.Followed]) -> str:
    head = ("jobs", "how", "calls a minute", "p50 of the lag", "p95", "longest", "throttled calls", "ends seen")
    lines = []
    for row in rows:
        setting = row.setting
        lags = (f"{lag:.1f} s" for lag in (row.percentile(50), row.percentile(95), row.lags[-1]))
        size = f"{setting.jobs:,}" if setting.seeds == 1 else f"{setting.jobs:,} ({setting.seeds} fleets)"
        lines.append((size, setting.how, f"{row.calls:.1f}", *lags, row.throttled, f"{row.seen} of {len(row.lags)}"))
    return _table(head, lines)


def _herds(herd: Mapping[str, Sequence[herds.Herd]]) -> str:
    rows = []
    for name, runs in herd.items():
        median, least, most = herds.busiest(runs)
        calls, throttled = (sum(it.calls for it in runs), sum(it.throttled for it in runs))
        means = (f"{total / len(runs):.0f}" for total in (calls, throttled))
        exhausted = sum(it.exhausted for it in runs)
        rows.append((name, f"{len(runs)}", f"{median:g}", f"{least}", f"{most}", *means, f"{exhausted}"))
    head = (
        *("policy", "herds", "calls in the busiest second after the first: median", "least", "most"),
        *("calls a herd", "throttled a herd", "waits that ended with their error budget exhausted"),
    )
    return _table(head, rows)


def _waits(waits: Sequence[thousand.Many]) -> str:
    rows = [
        (
            *(f"{it.jobs}", it.way, f"{it.megabytes:.1f} MiB", f"{it.threads}", f"{it.cpu:.1f} s"),
            *(f"{it.calls}", f"{it.throttled}", f"{it.late:.1f} s", f"{it.wrong}"),
        )
        for it in waits
    ]
    head = ("jobs", "how", "memory", "threads", "CPU", "calls", "throttled", "late", "wrong ends")
    return _table(head, rows)


def _late(recorded: dict[str, Result]) -> float:
    """The default's cost on the recorded jobs without reports, of that of a look every 30 s."""
    [result] = [result for name, result in recorded.items() if "without" in name]
    return result[DEFAULT].cost(KAPPA) / result[FIXED].cost(KAPPA)


def _of_the_base(jobs: int) -> tuple[float, float]:
    """The mean duration of a base job in seconds, and the share that its limit ends."""
    ends = [(job.end or 0.0, job.entries[-1][2]) for job in BASE.jobs(jobs, SEED)]
    cut = sum(secondary == "MaxAutoMLJobRuntimeReached" for _, secondary in ends)
    return sum(end for end, _ in ends) / len(ends), cut / len(ends)


def _criteria(rows: Iterable[tuple[str, float, float]]) -> str:
    judged = [
        (what, f"{value:.2f}", f"at most {bound:g}", "yes" if value <= bound else "**no**")
        for what, value, bound in rows
    ]
    return _table(("what", "measured", "promised", "met"), judged)


def _results(results: dict[str, Result]) -> str:
    head = (
        *("jobs", "policy", "calls", "mean lag", "p50", "p95", "p99"),
        *(f"cost, κ = {kappa:g}" for kappa in KAPPAS),
        f"of {FIXED}'s, κ = {KAPPA}",
        f"of the reference's, κ = {KAPPA}",
    )
    rows = [_row(name, policy, it, result) for name, result in results.items() for policy, it in result.items()]
    return _table(head, rows)


def _by_kappa(base: Result) -> str:
    rows = []
    for kappa in KAPPAS:
        default, fixed, best = (base[name].cost(kappa) for name in (DEFAULT, FIXED, reference_for(kappa)))
        rows.append((f"{kappa:g}", *(f"{cost:.1f}" for cost in (default, fixed, best)), *_ratios(default, fixed, best)))
    head = ("κ", f"cost of {DEFAULT}", f"of {FIXED}", "of the reference", f"ratio to {FIXED}", "ratio to the reference")
    return _table(head, rows)


def _ratios(cost: float, *others: float) -> list[str]:
    return [f"{cost / other:.2f}" for other in others]


def _row(name: str, policy: str, it: Measured, result: Result) -> Sequence[str]:
    others = [result[name] for name in (FIXED, REFERENCE) if name in result]
    # A ratio is of the same jobs.
    is_like = it.jobs == result[FIXED].jobs
    return (
        *(name, f"**{policy}**" if policy == DEFAULT else policy),
        *(f"{it.calls:.1f}", f"{it.lag:.1f}"),
        *(f"{it.percentile(percent):.0f}" for percent in (50, 95, 99)),
        *(f"{it.cost(kappa):.1f}" for kappa in KAPPAS),
        *(_ratios(it.cost(KAPPA), *(other.cost(KAPPA) for other in others)) if is_like else ["", ""]),
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)
