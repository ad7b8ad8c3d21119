"""The jobs that poll policies are measured on: recorded ones, and assumed ones that follow what is recorded.

Every assumed duration is log-normal: a median, and a spread, which is the standard deviation of its logarithm.
Recorded are 62 jobs that public notebooks printed (all tabular, 2020 to 2024), and two of CreateAutoMLJobV2. Each
population says what of it is recorded and what is assumed.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path

from automl_waiter.testing import Timeline

MINUTE = 60.0
HOUR = 3600.0
LIMITS = (2 * HOUR, 4 * HOUR, 8 * HOUR)
OTHERS_BOUND = 0.85
"""The bound of populations that have none of their own."""


@dataclass(frozen=True)
class Phase:
    """One phase: its secondary status, and how long it takes (seconds; the spread is of the logarithm)."""

    name: str
    median: float
    spread: float

    def longer(self, factor: float) -> Phase:
        """Return the same phase, taking so many times as long."""
        return replace(self, median=self.median * factor)


# Recorded minutes (least, median, most): 2, 8, 11 and 1.2, 10, 17.
_ANALYZING = Phase("AnalyzingData", 8 * MINUTE, 0.40)
_ENGINEERING = Phase("FeatureEngineering", 10 * MINUTE, 0.50)
# Recorded: 2.7, 7.2, 9; 8; and 4.7, 7.2, 9.
_EXPLAINING = Phase("GeneratingExplainabilityReport", 7.2 * MINUTE, 0.35)
_INSIGHTS = Phase("GeneratingModelInsightsReport", 8 * MINUTE, 0.30)
_MERGING = Phase("MergingAutoMLTaskReports", 7.2 * MINUTE, 0.30)
# Recorded: 3.5 to 15 minutes in 15 of 19 jobs, all of notebooks, which train on small data.
_TUNING_SMALL = Phase("ModelTuning", 8 * MINUTE, 0.50)
# Assumed, as is the training of every other problem type.
_TUNING = Phase("ModelTuning", 110 * MINUTE, 1.00)
_STARTING = Phase("Starting", 1 * MINUTE, 0.40)
_DEPLOYING = Phase("DeployingModel", 6 * MINUTE, 0.40)


@dataclass(frozen=True)
class Kind:
    """A kind of job: its problem type, and its phases in order, of which the last ones report and deploy."""

    problem_type: str
    working: tuple[Phase, ...]
    reporting: tuple[Phase, ...] = ()

    @property
    def deploys(self) -> bool:
        """Return whether the job was asked to deploy its model, which its responses show."""
        return _DEPLOYING in self.reporting


def _tabular(tuning: Phase) -> tuple[tuple[Kind, float], ...]:
    """Return the tabular kinds with their shares. Recorded: of 8 jobs that explained, 2 ended with that report."""
    working = (_STARTING, _ANALYZING, _ENGINEERING, tuning)
    reports = ((_EXPLAINING, _INSIGHTS), (_EXPLAINING,), (_MERGING,), (_EXPLAINING, _INSIGHTS, _DEPLOYING))
    return tuple(
        (Kind("Tabular", working, reporting), share)
        for reporting, share in zip(reports, (0.3, 0.1, 0.3, 0.1), strict=True)
    )


# AWS's guide gives an explainability report to forecasts, texts and images, and none to text generation.
FORECASTING = Kind(
    "TimeSeriesForecasting",
    (_STARTING, Phase("PreTraining", 10 * MINUTE, 0.5), Phase("TrainingModels", 120 * MINUTE, 0.8)),
    (_EXPLAINING,),
)
_CLASSIFYING = Phase("TrainingModels", 90 * MINUTE, 0.7)
TEXT = Kind("TextClassification", (_STARTING, _CLASSIFYING), (_EXPLAINING,))
IMAGES = Kind("ImageClassification", (_STARTING, _CLASSIFYING), (_EXPLAINING,))
GENERATION = Kind("TextGeneration", (_STARTING, Phase("TrainingModels", 4 * HOUR, 0.8)))
# Recorded: two jobs of 151 s and 216 s in all, which ended 7 to 8 s after training. What came before it is assumed.
QUICK = Kind("Tabular", (Phase("Starting", 10, 0.40), Phase("ModelTuning", 160, 0.25)))


@dataclass(frozen=True)
class Recorded:
    """Recorded jobs. A recording that begins in the middle of a job has its first entry at that age.

    The attributes are those of `Workload`.
    """

    name: str
    evidence: str
    bound: float
    timelines: tuple[Timeline, ...]
    is_restless: bool = False

    def jobs(self, count: int, _: int = 0) -> Iterator[Timeline]:
        """Return that many jobs: these over and over."""
        return islice(cycle(self.timelines), count)


@dataclass(frozen=True)
class Workload:
    """Assumed jobs.

    Attributes:
        name: What it is called in the tables.
        evidence: What of it is recorded, and what is assumed.
        kinds: The kinds of jobs, each with its share.
        bound: The most that the default may cost at κ = 0.1, in costs of a poll every 30 s.
        limited: The share of jobs that name a MaxAutoMLJobRuntimeInSeconds: 2, 4 or 8 hours.
        failing: The share of jobs that fail, at any time in their working phases.
        has_reports: Whether the jobs make reports and deploy; without, they end straight from training.
        factor: How many times as long everything takes.
        is_restless: Whether LastModifiedTime is that of the poll, so that it does not show how old a phase is.
    """

    name: str
    evidence: str
    kinds: tuple[tuple[Kind, float], ...]
    bound: float = OTHERS_BOUND
    limited: float = 0.5
    failing: float = 0.04
    has_reports: bool = True
    factor: float = 1.0
    is_restless: bool = False

    def jobs(self, count: int, seed: int = 0) -> Iterator[Timeline]:
        """Return that many jobs, the same ones for the same seed."""
        chance = random.Random(f"{self.name} {seed}")
        kinds, shares = zip(*self.kinds, strict=True)
        for _ in range(count):
            [kind] = chance.choices(kinds, shares)
            yield self._job(kind, chance)

    def _job(self, kind: Kind, chance: random.Random) -> Timeline:
        entries: list[tuple[float, str, str]] = []
        now, working = 0.0, 0.0
        for number, phase in enumerate(kind.working + (kind.reporting if self.has_reports else ())):
            entries.append((now, "InProgress", phase.name))
            now += self.factor * phase.median * math.exp(phase.spread * chance.gauss(0, 1))
            if number < len(kind.working):
                working = now
        end, status, secondary = now, "Completed", "Completed"
        limit = self.factor * chance.choice(LIMITS) if chance.random() < self.limited else None
        fails_at = working * chance.random() if chance.random() < self.failing else math.inf
        if fails_at < min(end, limit or math.inf):
            end, status, secondary = max(fails_at, 1.0), "Failed", "Failed"
        elif limit is not None and working > limit:
            # The one recorded job that reached its limit ended at once, from training.
            end, secondary = limit, "MaxAutoMLJobRuntimeReached"
        kept = [entry for entry in entries if entry[0] < end]
        return Timeline(
            [*kept, (end, status, secondary)],
            problem_type=kind.problem_type,
            max_runtime=None if limit is None else math.ceil(limit),
            deploy=kind.deploys and self.has_reports,
        )


Population = Workload | Recorded

_TABULAR = _tabular(_TUNING)
_ASSUMED = "durations of AnalyzingData, FeatureEngineering and the reports recorded; the rest assumed"
BASE = Workload(
    "base",
    _ASSUMED,
    (*_TABULAR, (FORECASTING, 0.08), (TEXT, 0.04), (IMAGES, 0.04), (GENERATION, 0.04)),
    bound=0.66,
)
NO_REPORTS = replace(BASE, name="no report phases", bound=1.0, has_reports=False)
_VARIANT = replace(BASE, bound=OTHERS_BOUND)
VARIANTS = (
    NO_REPORTS,
    replace(_VARIANT, name="no deadlines", limited=0.0),
    replace(_VARIANT, name="durations × ¼", factor=0.25),
    replace(_VARIANT, name="durations × 4", factor=4.0),
    replace(_VARIANT, name="failures × 4", failing=4 * BASE.failing),
    replace(_VARIANT, name="LastModifiedTime never rests", is_restless=True),
)
PROBLEM_TYPES = (
    Workload("Tabular", _ASSUMED, _TABULAR),
    Workload("TimeSeriesForecasting", "assumed", ((FORECASTING, 1.0),)),
    Workload("TextClassification", "assumed", ((TEXT, 1.0),)),
    Workload("ImageClassification", "assumed", ((IMAGES, 1.0),)),
    Workload("TextGeneration", "assumed", ((GENERATION, 1.0),)),
)
QUICK_V2 = Workload(
    "quick V2 jobs",
    "two jobs of 151 and 216 s recorded, which ended straight from training; the spread assumed",
    ((QUICK, 1.0),),
    bound=0.55,
    limited=0.0,
)
_SMALL = "durations of each phase recorded; their independence, limits and failures assumed"
SMALL = (
    Workload("small data, with reports", _SMALL, _tabular(_TUNING_SMALL), bound=0.95),
    Workload("small data, without", _SMALL, _tabular(_TUNING_SMALL), bound=1.75, has_reports=False),
)


def typical_job() -> Timeline:
    """Return a tabular job of the base whose every phase takes its median."""
    now, entries = 0.0, []
    kind, _ = _TABULAR[0]
    for phase in (*kind.working, *kind.reporting):
        entries.append((now, "InProgress", phase.name))
        now += phase.median
    return Timeline([*entries, (now, "Completed", "Completed")], problem_type=kind.problem_type)


def recorded_jobs() -> tuple[Timeline, ...]:
    """Return the jobs that were recorded to their ends. Durations are as coarse as the polls that printed them."""
    path = Path(__file__).parents[1] / "tests" / "recorded_jobs.json"
    return tuple(
        Timeline(
            # The age at which a recording begins is known where a response was printed beside it.
            [(job.get("begins_at", 0) + second, *state) for second, *state in job["timeline"]],
            max_runtime=job.get("max_runtime"),
        )
        for job in json.loads(path.read_text())
    )


def recorded() -> tuple[Recorded, ...]:
    """Return the recorded jobs in groups."""
    jobs = recorded_jobs()
    with_reports = tuple(job for job in jobs if any("Report" in secondary for _, _, secondary in job.entries))
    without = tuple(job for job in jobs if job not in with_reports)
    quick = tuple(Timeline([(0, "InProgress", "ModelTuning"), (end, "Completed", "Completed")]) for end in (151, 216))
    return (
        Recorded(f"recorded, of 2021 to 2024 ({len(with_reports)} jobs)", "recorded, with reports", 0.95, with_reports),
        Recorded(f"recorded, of 2020 ({len(without)} jobs)", "recorded, without reports", 1.45, without),
        Recorded(f"recorded, quick V2 ({len(quick)} jobs)", "durations recorded; phases assumed", 0.95, quick),
    )


def assumptions() -> list[tuple[str, str, str, str]]:
    """Return the kinds of the base: share, problem type, and phases with their median minutes and spreads."""
    return [
        (f"{share:.0%}", kind.problem_type, _listed(kind.working), _listed(kind.reporting))
        for kind, share in BASE.kinds
    ]


def _listed(phases: Sequence[Phase]) -> str:
    return ", ".join(f"{phase.name} {phase.median / MINUTE:g} ({phase.spread:g})" for phase in phases) or "none"
