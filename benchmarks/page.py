"""The performance page's sections as Markdown, measured; docs/explanation/pace.md has them all."""

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
    POPULATIONS,
    SEED,
    Measured,
    Result,
    compare,
    cost_of_fixed,
    criteria,
)
from benchmarks.workloads import BASE, HOUR, MINUTE, assumptions, typical_job

JOBS = 400
"""Jobs of each population, and 5 times as many of those with a bound of their own."""

_POLLING = """\
## Poll policies

The default policy makes one promise: **a wait returns within 5 s of the job's end, or a twentieth of the job's age
where that is more, and never later than 60 s.** Calls, throttling and `max_rate` come on top.

Frequent polls cost calls, and rare ones cost time. To compare policies, each wait has a *cost*: κ · calls + lag. *Lag*
is the time from the job's end until the wait returns, in seconds. *κ* is the seconds of lag that one call is worth: at
κ = 0.1, an hour of polls every 30 s is worth 12 s of lag. The table has the cost of the default, divided by that of a
poll every 30 s. Below 1, the default is better.

{criteria}
**Where polling every 30 s is better.** The default costs more on these jobs, by the factor in parentheses:

{worse}
At κ = {kappa} these are jobs of about half an hour that end straight from training: no report precedes their end, and a
twentieth of their age is up to a minute. At κ = 1, where a call is worth ten times as much, they are all the jobs of
less than an hour: the promise takes more calls than the shorter lag is worth. For such jobs, use `--poll 30s`.

"""

_POPULATIONS = """\
### The jobs

Each policy runs the real wait loop in virtual time, where calls take no time. A wait starts in the first minute of a
job. Each population has {jobs} jobs, or {many} if it has a bound of its own. A poll every 5 s is tried on a tenth of
them, and therefore has no ratios.

{populations}
- *Recorded*: the jobs that public notebooks printed to their ends. If a recording starts in the middle of a job, the
  wait starts at that age. The job has its own runtime limit if the notebook printed it.
- *Assumed* durations are log-normal. The table below has each phase's median in minutes, with the standard deviation of
  the logarithm in parentheses. Half of the jobs have a runtime limit (2, 4 or 8 hours), which ends them if they are
  still training then. 4 % fail, at any time before their reports. A base job lasts {mean} minutes on average; its limit
  ends {cut} of them.
- *Small data*: the tabular jobs of the base, but training takes 8 minutes (0.5). *Quick V2 jobs*: Starting takes 10 s
  (0.4) and ModelTuning 160 s (0.25), and there is no limit.
- *Variants* of the base: without report phases, without limits, with other durations, with more failures, and with a
  LastModifiedTime that is always that of the poll, so that it does not show how old a phase is. Then each problem type.

{base}
"""

_RULES = """\
### When the default polls

`PhaseAware` has no options. Its constants and the reasons for them are in `automl_waiter/_model/polling.py`.

- *Preparing and training*: as rarely as the promise allows, but at least every 45 s in the first ten minutes of
  training.
- *A report, a deployment*: after half the square root of the phase's age, which LastModifiedTime shows. While the
  phase is quiet, after half of what remains of that, if it is longer. The first 4.5 minutes are quiet, or a 24th of
  the job's age if that is less.
- A report that a deployment follows (`ModelDeployConfig`) is polled like training.
- *Stopping*, and after an error in a report: after half the square root of the phase's age.
- *The runtime limit* (`MaxAutoMLJobRuntimeInSeconds`): 2 s after it, then after half the time since.
- The first delay is a random part of its value, so that waits that start together spread out. Later delays are
  shortened by up to a tenth. All are longer while AWS throttles.

It does not use the number of trained candidates: that needs a second call for each poll, and another permission.

A tabular job of the base in which each phase takes its median:

![The delays over a job's life](pace.svg)

"""

_RESULTS = """\
### Every policy

![Calls against lag, for every policy](pareto.svg)

"""

_ESTIMATES = """\
## Estimates

On {count:,} assumed families of similar jobs, the interval contains {coverage:.0%} of the ends, and the median error is
{error:.1%} of the job's duration. The rule that Jenkins uses for its progress bars, the mean of the last three
successes, is off by {jenkins:.1%} on the same jobs at the same ages. In {declined:.0%} of the cases there is no
estimate, because the siblings' durations spread too widely.

"""

_FAMILIES = """\
**The families are assumed.** Durations are log-normal. The typical duration of a family is from {shortest:.0f}
minutes to {longest:.0f} hours, and its spread (the standard deviation of the logarithm) from {least:.0%} to
{most:.0%}, each doubling equally likely. A family has {counts} completed siblings. In {changed:.0%} of the families
the data changes at one job, and later jobs take twice as long. {failed:.0%} of the jobs fail, and do not count. Each
end is estimated when the job has lasted {ages} of the mean of the last three durations, if it is still running then.
Each row but the first has {fewer} families.

Nothing foresees a change at the job itself. Where durations spread by 30% or more, there is an estimate only if the
siblings are close by chance, and then its interval is too narrow.

"""

_REPEATS = """\
**Recorded repeats.** The same notebook in the same account, run again; times in minutes. The last run is estimated at
its start, from the runs before it. One sibling is not enough.

"""

_FLEETS = """\
## Many jobs

Waits for many jobs share one call budget. From seven jobs on, the waiter reads the newest pages of ListAutoMLJobs, a
hundred jobs a page, and describes a job when it has ended. [How many jobs are followed](../howto/many_jobs.md).

"""

_SIZES = """\
### Fleets, in virtual time

A fleet is the base jobs that are running at second 0, of jobs that start evenly over {window:.0f} hours. The max rate
is {rate:g} calls/s, and the service throttles at {rate:g} calls/s (burst {burst:g}). *A describe per job*: each job
is polled by itself at the default's pace, under the same budget; fewer than 7 jobs are described in both rows.
Assumed, because AWS does not document it: LastModifiedTime changes with each status, and every {moves:.0f} minutes
within a phase. *Lag* is from a job's end until the wait reports it. An end that is not reported when the watch ends
counts with the time since then. Each fleet is watched for {watched}, or until all jobs have ended, so the calls a
minute are means of fleets that shrink.

"""

_HARDSHIPS = """\
A small budget, and a long listing. The rows of {few} jobs have {slow:g} calls/s, as their max rate and as the service's
limit. *Among others*: that many ended jobs of the account were created among those of the fleet. Among {crowd:,}, the
oldest jobs of the fleet are on pages that the default does not read; it describes those.

"""

_HERD = """\
### A herd, in virtual time

{processes} processes, each with a budget of its own, start in the same second to wait for jobs that were created in the
minute before, against {rate:g} calls/s (burst {burst:g}), for half an hour. In the first second all of them call. Each
of the default's {herds} herds has other jobs and other random numbers.

"""

_THOUSAND = """\
### In one process, for real

Over HTTP, through one client, with the waits in a process of their own. A job lasts a minute; a tenth fails and a
tenth is stopped. {jobs} jobs have a max rate of {raised:g} calls/s. {fewer} start together at the default's
{default:g}, against an endpoint that throttles at {limit:g} calls/s (burst {burst:g}). Memory is the most that the
process held, less what it held after one describe call. *Late* is from the last job's end until the last wait
returned: where all end at about the same time, the describes of their ends wait for tokens.

"""

_PEERS = """\
## Peers, for real

Each waiter runs in processes of its own, with boto3 over HTTP, against one endpoint in the same run. It waits four
times for a recorded job of {minutes:.0f} minutes, played {speed} times faster, at a pace that is as much faster: the
default here, 30 s as in botocore's own waiters for SageMaker, and sagemaker-core's 5 s. An import is that of the
waiter and the SDK, which this package loads with its first call. A poll's CPU is that of the whole process in a loop
of polls; sagemaker-core's loop, which takes whole seconds only, has no pause. Two idle hours are extrapolated from
{watched:.0f} seconds at those paces; the default's is that of a job that has trained for half an hour. A thread of
sagemaker-core wakes 4 times a second for its panel, even if nothing is shown.

"""

_OVERHEAD = """\
## Our own overhead

Polls and calls alternate in blocks of one process, at the same pace. Programs are timed by the wall clock, in turn; the
table has their medians.

"""


def polling(jobs: int, folder: Path) -> str:
    """Return the section of the policies, in virtual time: some minutes. The pictures are drawn into the folder."""
    from benchmarks import plots  # it loads matplotlib, which the tests do without

    results = compare(jobs)
    folder.mkdir(parents=True, exist_ok=True)
    plots.pareto(results[BASE.name], folder / "pareto.svg")
    plots.pace(typical_job(), folder / "pace.svg")
    mean, cut = _of_the_base(5 * jobs)
    populations = [(it.name, it.evidence, f"{it.bound:g}") for it in POPULATIONS]
    return "".join(
        [
            _POLLING.format(criteria=_criteria(criteria(results)), worse=_where_fixed_is_better(results), kappa=KAPPA),
            _POPULATIONS.format(
                jobs=jobs,
                many=5 * jobs,
                populations=_table(("jobs", "what is recorded, what is assumed", "bound"), populations),
                mean=f"{mean / 60:.0f}",
                cut=f"{cut:.0%}",
                base=_table(("share", "problem type", "phases to the end of training", "and after it"), assumptions()),
            ),
            _RULES,
            _RESULTS + _results(results),
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


def _where_fixed_is_better(results: Mapping[str, Result]) -> str:
    lines = []
    for kappa in (KAPPA, 1.0):
        costs = {name: cost_of_fixed(result, kappa) for name, result in results.items()}
        worse = "; ".join(f"{name} ({cost:.2f})" for name, cost in costs.items() if cost > 1)
        lines.append(f"- at κ = {kappa:g}: {worse or 'none'}\n")
    return "".join(lines)


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


def _results(results: Mapping[str, Result]) -> str:
    head = (
        *("jobs", "policy", "calls", "mean lag", "p50", "p95", "p99", "longest"),
        *(f"cost ÷ {FIXED}'s, κ = {kappa:g}" for kappa in KAPPAS),
    )
    rows = [_row(name, policy, it, result) for name, result in results.items() for policy, it in result.items()]
    return _table(head, rows)


def _row(name: str, policy: str, it: Measured, result: Result) -> Sequence[str]:
    fixed = result[FIXED]
    return (
        *(name, f"**{policy}**" if policy == DEFAULT else policy),
        *(f"{it.calls:.1f}", f"{it.lag:.1f}"),
        *(f"{it.percentile(percent):.0f}" for percent in (50, 95, 99, 100)),
        # A ratio is of the same jobs.
        *(f"{it.cost(kappa) / fixed.cost(kappa):.2f}" if it.jobs == fixed.jobs else "" for kappa in KAPPAS),
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)
