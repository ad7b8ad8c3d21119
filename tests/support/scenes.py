"""The state of a wait at a given time, for the tests and the pictures that show it."""

from datetime import datetime, timedelta

from virtual import kernel_of

from automl_waiter._model.candidates import Leaderboard, ranked
from automl_waiter._model.events import Ended, Estimated, Retry
from automl_waiter._model.options import CANDIDATES_EVERY_S, WaitOptions
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.snapshot import Candidate
from automl_waiter.display.progress import Progress
from automl_waiter.testing import ManualClock, ScriptedJobs, Timeline
from automl_waiter.waiter import events_of

PHASES = [
    (0, "InProgress", "Starting"),
    (60, "InProgress", "AnalyzingData"),
    (570, "InProgress", "FeatureEngineering"),
    (1110, "InProgress", "ModelTuning"),
]
JOB = Timeline(
    [*PHASES, (1890, "InProgress", "GeneratingExplainabilityReport"), (2310, "Completed", "Completed")],
    max_runtime=3600,
)
OTHERS = {
    "churn-2026": JOB,
    "fraud-detection-with-a-long-name": Timeline([*PHASES, (7000, "Completed", "Completed")]),
    "spam": Timeline([(0, "InProgress", "Starting"), (200, "Failed", "Failed")], failure_reason="no data"),
    "demand": Timeline(
        [(0, "InProgress", "AnalyzingData"), (500, "Completed", "Completed")], problem_type="TimeSeriesForecasting"
    ),
}
HINT = "Ctrl-C ends the wait; the job keeps running"


def at(
    second: float, jobs: dict[str, Timeline] | None = None, *, start: float = 0.0, watch: bool = False
) -> tuple[Progress, datetime]:
    """Return the state of a wait so many seconds after its start, and the time then."""
    jobs, clock = jobs or {"churn-2026": JOB}, ManualClock()
    scripted, progress = ScriptedJobs(clock), Progress(None if watch else jobs)
    for name, timeline in jobs.items():
        scripted.add(name, timeline, start=start)
    options = WaitOptions(candidates_every=CANDIDATES_EVERY_S)
    begin = clock.now()
    kernel = kernel_of(list(jobs), [scripted] * len(jobs), options, clock)
    for event in events_of(kernel, clock):
        if clock.monotonic() > second:
            break
        progress.take(event)
    return progress, begin + timedelta(seconds=second)


def estimated(now: datetime, name: str = "churn-2026", left: float = 1080) -> Estimated:
    """Return an estimate of the end in so many seconds."""
    ends = [now + timedelta(seconds=left + more) for more in (0, -240, 300)]
    return Estimated(*ends, based_on=6, job_name=name, at=now)


def retried(progress: Progress, now: datetime, attempt: int, name: str | None = "churn-2026") -> Retry:
    """Return the retry of a call that got no answer."""
    failed = "no answer in time: Read timeout on endpoint URL https://api.sagemaker.us-east-1.amazonaws.com/"
    return Retry(name, now, "DescribeAutoMLJobV2", attempt, "timeout", None, failed, 12.0)


def outcome_of(timeline: Timeline, name: str = "churn-2026") -> Outcome:
    """Return the outcome of a wait for a job."""
    clock = ManualClock()
    scripted = ScriptedJobs(clock)
    scripted.add(name, timeline)
    *_, ended = events_of(kernel_of([name], [scripted], WaitOptions(), clock), clock)
    assert isinstance(ended, Ended)
    return ended.outcome


def board_of(outcome: Outcome, timeline: Timeline) -> Leaderboard:
    """Return the candidates of an ended job."""
    assert outcome.snapshot is not None
    found = timeline.candidates(
        1e6, name=outcome.job_name, created=outcome.snapshot.created_at, arn=outcome.snapshot.arn
    )
    return Leaderboard(ranked(map(Candidate, found)))
