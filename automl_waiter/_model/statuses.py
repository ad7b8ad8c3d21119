"""The statuses of an AutoML job, its phases, and the moves between them, as data.

A job has two statuses. The *primary* one (`AutoMLJobStatus`) alone says whether the job has ended. The *secondary* one
(`AutoMLJobSecondaryStatus`) says what the job is doing, or why it ended, and is an open string: the service sends
values that no document lists. Both are therefore `str` everywhere; the enumerations list what is known today and
restrict nothing.

How the table works
===================

`STEPS` lists the direct steps of a job, each with its evidence. Two polls of a job are minutes apart, so they may
differ by a *path* of several steps: the poll after `Starting` may find `ModelTuning`. `REACHABLE` is the transitive
closure of `STEPS`. A move outside it is an anomaly: it is reported and is never an error, because the table is our
knowledge and not the service's promise.

`docs/reference/statuses.md` is made from this file.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import NamedTuple


class Status(StrEnum):
    """The primary statuses (`AutoMLJobStatus` in the API reference)."""

    IN_PROGRESS = "InProgress"
    STOPPING = "Stopping"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"


class SecondaryStatus(StrEnum):
    """The secondary statuses (`AutoMLJobSecondaryStatus` in the API reference, and one more)."""

    STARTING = "Starting"
    ANALYZING_DATA = "AnalyzingData"
    PRE_TRAINING = "PreTraining"
    FEATURE_ENGINEERING = "FeatureEngineering"
    MODEL_TUNING = "ModelTuning"
    TRAINING_MODELS = "TrainingModels"
    CANDIDATE_DEFINITIONS_GENERATED = "CandidateDefinitionsGenerated"
    MAX_CANDIDATES_REACHED = "MaxCandidatesReached"
    MAX_AUTO_ML_JOB_RUNTIME_REACHED = "MaxAutoMLJobRuntimeReached"
    GENERATING_EXPLAINABILITY_REPORT = "GeneratingExplainabilityReport"
    EXPLAINABILITY_ERROR = "ExplainabilityError"
    GENERATING_MODEL_INSIGHTS_REPORT = "GeneratingModelInsightsReport"
    MODEL_INSIGHTS_ERROR = "ModelInsightsError"
    # Undocumented but real: it lasted minutes in 8 recorded jobs of 2022 to 2024.
    MERGING_AUTO_ML_TASK_REPORTS = "MergingAutoMLTaskReports"
    DEPLOYING_MODEL = "DeployingModel"
    MODEL_DEPLOYMENT_ERROR = "ModelDeploymentError"
    STOPPING = "Stopping"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.STOPPED})
"""The primary statuses that end a job. Stopping does not, and no secondary status does."""


class State(NamedTuple):
    """The two statuses of one response, as the service spells them."""

    status: str
    secondary_status: str

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended. Only the primary status decides that."""
        return self.status in TERMINAL

    def __str__(self) -> str:
        return f"{self.status}/{self.secondary_status}"


class Stage(Enum):
    """How close a job is to its end, for poll policies."""

    PREPARING = "preparing"
    """Lasts minutes to hours, and training follows."""
    TRAINING = "training"
    """Lasts minutes to days."""
    REPORTING = "reporting"
    """A report (minutes): then another one, the deployment, or the end."""
    FINISHING = "finishing"
    """The job is stopping, or a report or the deployment had an error: seconds, then usually the end."""
    DEPLOYING = "deploying"
    """The deployment of the model: minutes, then the end."""


STAGES: dict[State, Stage] = {
    State("InProgress", "Starting"): Stage.PREPARING,
    State("InProgress", "AnalyzingData"): Stage.PREPARING,
    State("InProgress", "PreTraining"): Stage.TRAINING,
    State("InProgress", "FeatureEngineering"): Stage.PREPARING,
    State("InProgress", "ModelTuning"): Stage.TRAINING,
    State("InProgress", "TrainingModels"): Stage.TRAINING,
    # A training limit was reached and the reports follow: it lasted 8.5 minutes in the one recorded job.
    State("InProgress", "MaxCandidatesReached"): Stage.REPORTING,
    State("InProgress", "MaxAutoMLJobRuntimeReached"): Stage.REPORTING,
    State("InProgress", "CandidateDefinitionsGenerated"): Stage.REPORTING,
    State("InProgress", "GeneratingExplainabilityReport"): Stage.REPORTING,
    # It lasted 10 s in 2 of 2 recorded jobs, which then ended.
    State("InProgress", "ExplainabilityError"): Stage.FINISHING,
    State("InProgress", "GeneratingModelInsightsReport"): Stage.REPORTING,
    State("InProgress", "ModelInsightsError"): Stage.FINISHING,
    State("InProgress", "MergingAutoMLTaskReports"): Stage.REPORTING,
    State("InProgress", "DeployingModel"): Stage.DEPLOYING,
    State("InProgress", "ModelDeploymentError"): Stage.FINISHING,
    State("Stopping", "Stopping"): Stage.FINISHING,
}
"""Every state of a job that has not ended, with its stage."""


def stage_of(state: State) -> Stage:
    """Return the stage of a state that has not ended; an unknown state counts as training."""
    if state.status == Status.STOPPING:
        return Stage.FINISHING
    return STAGES.get(state, Stage.TRAINING)


class Evidence(Enum):
    """How a step is known."""

    RECORDED = "recorded"
    """Found in the saved output of a real job."""
    DOCUMENTED = "documented"
    """Follows from AWS's description of the statuses, without a recording."""
    INFERRED = "inferred"
    """Analogous to a recorded or documented step of another status."""


class Step(NamedTuple):
    """One direct step of a job."""

    before: State
    after: State
    evidence: Evidence


def _steps(evidence: Evidence, before: str, *afters: str) -> tuple[Step, ...]:
    return tuple(Step(_state(before), _state(after), evidence) for after in afters)


def _state(text: str) -> State:
    """Return the state for `ModelTuning` (a phase under InProgress) or `Completed/Completed` (written out)."""
    status, slash, secondary = text.partition("/")
    return State(status, secondary) if slash else State("InProgress", status)


_COMPLETED = "Completed/Completed"
_CANDIDATES = "Completed/MaxCandidatesReached"
_RUNTIME = "Completed/MaxAutoMLJobRuntimeReached"
_DEFINITIONS = "Completed/CandidateDefinitionsGenerated"
_R, _D, _I = Evidence.RECORDED, Evidence.DOCUMENTED, Evidence.INFERRED

STEPS: tuple[Step, ...] = (
    *_steps(_R, "Starting", "AnalyzingData"),
    # A recorded time-series job was in PreTraining 4 s after its creation, its LastModifiedTime.
    *_steps(_I, "Starting", "PreTraining", "TrainingModels"),
    *_steps(_R, "AnalyzingData", "FeatureEngineering"),
    # No recording has PreTraining between the other preparing phases, so either order is expected.
    *_steps(_I, "AnalyzingData", "PreTraining", "ModelTuning", "TrainingModels"),
    *_steps(_D, "AnalyzingData", "CandidateDefinitionsGenerated", _DEFINITIONS),
    *_steps(_I, "PreTraining", "AnalyzingData", "FeatureEngineering", "ModelTuning", "TrainingModels"),
    *_steps(_R, "FeatureEngineering", "ModelTuning"),
    *_steps(_I, "FeatureEngineering", "PreTraining", "TrainingModels"),
    *_steps(_D, "FeatureEngineering", "CandidateDefinitionsGenerated", _DEFINITIONS),
    *_steps(_I, "FeatureEngineering", "MaxAutoMLJobRuntimeReached", _RUNTIME),
    *_steps(_R, "ModelTuning", "GeneratingExplainabilityReport", "MergingAutoMLTaskReports"),
    *_steps(_R, "ModelTuning", "MaxCandidatesReached", _CANDIDATES, _RUNTIME),
    # Two recorded jobs of CreateAutoMLJobV2 ended 7 to 8 s after their training, without time for a report.
    *_steps(_D, "ModelTuning", "TrainingModels", "DeployingModel", _COMPLETED),
    *_steps(_I, "ModelTuning", "MaxAutoMLJobRuntimeReached", "GeneratingModelInsightsReport"),
    *_steps(_D, "TrainingModels", "GeneratingExplainabilityReport", "DeployingModel", _COMPLETED),
    *_steps(_I, "TrainingModels", "GeneratingModelInsightsReport", "MergingAutoMLTaskReports"),
    *_steps(_I, "TrainingModels", "MaxCandidatesReached", "MaxAutoMLJobRuntimeReached", _CANDIDATES, _RUNTIME),
    *_steps(_R, "MaxCandidatesReached", _COMPLETED),
    *_steps(_I, "MaxCandidatesReached", "GeneratingExplainabilityReport", "GeneratingModelInsightsReport"),
    *_steps(_I, "MaxCandidatesReached", "MergingAutoMLTaskReports", "DeployingModel", _CANDIDATES),
    *_steps(_I, "MaxAutoMLJobRuntimeReached", "GeneratingExplainabilityReport", "GeneratingModelInsightsReport"),
    *_steps(_I, "MaxAutoMLJobRuntimeReached", "MergingAutoMLTaskReports", "DeployingModel", _RUNTIME, _COMPLETED),
    *_steps(_I, "CandidateDefinitionsGenerated", _DEFINITIONS, _COMPLETED),
    *_steps(_R, "GeneratingExplainabilityReport", "GeneratingModelInsightsReport", "ExplainabilityError", _COMPLETED),
    *_steps(_I, "GeneratingExplainabilityReport", "MergingAutoMLTaskReports", "DeployingModel", _CANDIDATES, _RUNTIME),
    *_steps(_R, "ExplainabilityError", "Completed/ExplainabilityError"),
    *_steps(_I, "ExplainabilityError", "GeneratingModelInsightsReport", "MergingAutoMLTaskReports", "DeployingModel"),
    *_steps(_R, "GeneratingModelInsightsReport", _COMPLETED),
    *_steps(_D, "GeneratingModelInsightsReport", "ModelInsightsError", "DeployingModel"),
    *_steps(_I, "GeneratingModelInsightsReport", "MergingAutoMLTaskReports", _CANDIDATES, _RUNTIME),
    *_steps(_I, "ModelInsightsError", "MergingAutoMLTaskReports", "DeployingModel"),
    *_steps(_D, "ModelInsightsError", "Completed/ModelInsightsError"),
    *_steps(_R, "MergingAutoMLTaskReports", _COMPLETED),
    *_steps(_I, "MergingAutoMLTaskReports", "DeployingModel", _CANDIDATES, _RUNTIME),
    # The report of one task failed, and the job's reports are merged anyway.
    *_steps(_I, "MergingAutoMLTaskReports", "Completed/ExplainabilityError", "Completed/ModelInsightsError"),
    *_steps(_D, "DeployingModel", "ModelDeploymentError", _COMPLETED),
    *_steps(
        _I, "DeployingModel", _CANDIDATES, _RUNTIME, "Completed/ExplainabilityError", "Completed/ModelInsightsError"
    ),
    *_steps(_D, "ModelDeploymentError", "Completed/ModelDeploymentError"),
    # A job can fail or be stopped in any phase.
    *(
        Step(state, State(status, status), Evidence.DOCUMENTED)
        for state in STAGES
        for status in ("Stopping", "Stopped", "Failed")
        if state.status == "InProgress"
    ),
    *_steps(_D, "Stopping/Stopping", "Stopped/Stopped"),
    # A job may end on its own before the stop takes effect.
    *_steps(_I, "Stopping/Stopping", "Failed/Failed", _COMPLETED, _CANDIDATES, _RUNTIME),
)


STATES: frozenset[State] = frozenset(state for step in STEPS for state in (step.before, step.after))
"""Every state in the table."""


def _closure(steps: tuple[Step, ...]) -> dict[State, frozenset[State]]:
    direct: dict[State, set[State]] = {state: set() for state in STATES}
    for step in steps:
        direct[step.before].add(step.after)
    reachable = {}
    for start in STATES:
        seen: set[State] = set()
        frontier = {start}
        while frontier:
            frontier = set().union(*(direct[state] for state in frontier)) - seen
            seen |= frontier
        reachable[start] = frozenset(seen)
    return reachable


REACHABLE: dict[State, frozenset[State]] = _closure(STEPS)
"""For each state, the states that a later poll may find."""
