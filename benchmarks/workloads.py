"""The jobs that poll policies are measured on: assumed ones, documented here, and the recorded ones.

Every duration is log-normal: a median, and a spread, which is the standard deviation of its logarithm. What is
*recorded* is from 62 jobs that public notebooks printed (all tabular, 2020 to 2024); what is *assumed* is judgement,
which is why the variants stretch it, shorten it, and take it away.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from automl_waiter.testing import Timeline

MINUTE = 60.0
HOUR = 3600.0
LIMITS = (2 * HOUR, 4 * HOUR, 8 * HOUR)


@dataclass(frozen=True)
class Phase:
    """One phase: its secondary status, and how long it takes (seconds; the spread is of the logarithm)."""

    name: str
    median: float
    spread: float

    @property
    def mean(self) -> float:
        """How long it takes on average, in seconds."""
        return self.quantile(self.spread / 2)

    def quantile(self, deviations: float) -> float:
        """How long it takes at so many standard deviations of the logarithm, in seconds."""
        return self.median * math.exp(self.spread * deviations)

    def longer(self, factor: float) -> Phase:
        """The same phase, taking so many times as long."""
        return replace(self, median=self.median * factor)


# Recorded minutes (least, median, most): 2, 8, 11 and 1.2, 10, 17.
_ANALYZING = Phase("AnalyzingData", 8 * MINUTE, 0.40)
_ENGINEERING = Phase("FeatureEngineering", 10 * MINUTE, 0.50)
# Recorded: 2.7, 7.2, 9; 8; and 4.7, 7.2, 9.
_EXPLAINING = Phase("GeneratingExplainabilityReport", 7.2 * MINUTE, 0.35)
_INSIGHTS = Phase("GeneratingModelInsightsReport", 8 * MINUTE, 0.30)
_MERGING = Phase("MergingAutoMLTaskReports", 7.2 * MINUTE, 0.30)
# Assumed, as is the training of every problem type: notebooks train on small data, for 8 minutes.
_STARTING = Phase("Starting", 1 * MINUTE, 0.40)
_DEPLOYING = Phase("DeployingModel", 6 * MINUTE, 0.40)
_TUNING = Phase("ModelTuning", 110 * MINUTE, 1.00)


@dataclass(frozen=True)
class Kind:
    """A kind of job: its problem type, and its phases in order, of which the last ones report and deploy."""

    problem_type: str
    working: tuple[Phase, ...]
    reporting: tuple[Phase, ...] = ()

    @property
    def deploys(self) -> bool:
        """Whether the job was asked to deploy its model, which its responses tell."""
        return _DEPLOYING in self.reporting


_TABULAR = (_STARTING, _ANALYZING, _ENGINEERING, _TUNING)
TUNED = Kind("Tabular", _TABULAR, (_EXPLAINING, _INSIGHTS))
# Recorded: of 8 jobs that made an explainability report, 2 ended with it.
EXPLAINED = Kind("Tabular", _TABULAR, (_EXPLAINING,))
ENSEMBLED = Kind("Tabular", _TABULAR, (_MERGING,))
DEPLOYED = Kind("Tabular", _TABULAR, (_EXPLAINING, _INSIGHTS, _DEPLOYING))
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


@dataclass(frozen=True)
class Workload:
    """A population of jobs.

    Attributes:
        name: What it is called in the tables.
        kinds: The kinds of jobs, each with its share.
        limited: The share of jobs that name a MaxAutoMLJobRuntimeInSeconds: 2, 4 or 8 hours.
        failing: The share of jobs that fail, at any time in their working phases.
        has_reports: Whether the jobs make reports and deploy; without, they end straight from training.
        factor: How many times as long everything takes.
        is_restless: Whether LastModifiedTime is that of the look, so that it does not tell how old a phase is.
    """

    name: str
    kinds: tuple[tuple[Kind, float], ...]
    limited: float = 0.5
    failing: float = 0.04
    has_reports: bool = True
    factor: float = 1.0
    is_restless: bool = False

    def phases(self, kind: Kind) -> tuple[Phase, ...]:
        """The phases of a job of that kind here."""
        phases = kind.working + (kind.reporting if self.has_reports else ())
        return tuple(phase.longer(self.factor) for phase in phases)

    def deploys(self, kind: Kind) -> bool:
        """Whether a job of that kind deploys its model here."""
        return kind.deploys and self.has_reports

    def jobs(self, count: int, seed: int = 0) -> Iterator[Timeline]:
        """That many jobs, the same ones for the same seed."""
        chance = random.Random(f"{self.name} {seed}")
        kinds, shares = zip(*self.kinds, strict=True)
        for _ in range(count):
            [kind] = chance.choices(kinds, shares)
            yield self._job(kind, chance)

    def _job(self, kind: Kind, chance: random.Random) -> Timeline:
        entries: list[tuple[float, str, str]] = []
        now, working = 0.0, 0.0
        for number, phase in enumerate(self.phases(kind)):
            entries.append((now, "InProgress", phase.name))
            now += phase.quantile(chance.gauss(0, 1))
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
            deploy=self.deploys(kind),
        )


_TABULAR_KINDS = ((TUNED, 0.3), (EXPLAINED, 0.1), (ENSEMBLED, 0.3), (DEPLOYED, 0.1))
BASE = Workload("base", (*_TABULAR_KINDS, (FORECASTING, 0.08), (TEXT, 0.04), (IMAGES, 0.04), (GENERATION, 0.04)))
NO_REPORTS = replace(BASE, name="no report phases", has_reports=False)
VARIANTS = (
    replace(BASE, name="no deadlines", limited=0.0),
    NO_REPORTS,
    replace(BASE, name="durations × ¼", factor=0.25),
    replace(BASE, name="durations × 4", factor=4.0),
    replace(BASE, name="failures × 4", failing=4 * BASE.failing),
    replace(BASE, name="LastModifiedTime never rests", is_restless=True),
)
PROBLEM_TYPES = (
    Workload("Tabular", _TABULAR_KINDS),
    Workload("TimeSeriesForecasting", ((FORECASTING, 1.0),)),
    Workload("TextClassification", ((TEXT, 1.0),)),
    Workload("ImageClassification", ((IMAGES, 1.0),)),
    Workload("TextGeneration", ((GENERATION, 1.0),)),
)


def typical_job() -> Timeline:
    """A tabular job whose every phase takes its median."""
    now, entries = 0.0, []
    for phase in (*TUNED.working, *TUNED.reporting):
        entries.append((now, "InProgress", phase.name))
        now += phase.median
    return Timeline([*entries, (now, "Completed", "Completed")], problem_type=TUNED.problem_type)


def recorded_jobs() -> Sequence[Timeline]:
    """The jobs that were recorded to their ends; their durations are as coarse as the polling that printed them."""
    path = Path(__file__).parents[1] / "tests" / "recorded_jobs.json"
    return [Timeline([tuple(entry) for entry in job["timeline"]]) for job in json.loads(path.read_text())]


def assumptions() -> list[tuple[str, str, str, str]]:
    """The kinds of the base workload: share, problem type, and phases with their median minutes and spreads."""
    return [
        (f"{share:.0%}", kind.problem_type, _listed(kind.working), _listed(kind.reporting))
        for kind, share in BASE.kinds
    ]


def _listed(phases: Sequence[Phase]) -> str:
    return ", ".join(f"{phase.name} {phase.median / MINUTE:g} ({phase.spread:g})" for phase in phases) or "none"
