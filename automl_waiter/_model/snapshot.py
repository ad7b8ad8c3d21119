"""One describe response, typed: an accessor for every member of DescribeAutoMLJobV2's response.

Each class here is a view of one structure of the API reference, each line in it one member. A view reads
the response when it is asked and holds no copy; `raw` has the response itself, with whatever is newer than
this file. Optional members read as None (lists and maps as empty); a required one that a response lacks
raises AttributeError. Tests hold the tables against botocore's own model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, Self, TypeVar, overload

from automl_waiter._model.statuses import State

T = TypeVar("T")
V = TypeVar("V", bound="View")
_ABSENT: Any = object()


class Member(Generic[T]):
    """One member of a structure: its name at AWS, how to read its value, and what stands for its absence.

    `view` is the class of the structures that it holds, if it does: one, a list, or (`keyed`) lists by a key.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[Any], T],
        default: Any = _ABSENT,
        view: type[View] | None = None,
        *,
        keyed: bool = False,
    ) -> None:
        self.name = name
        self.view = view
        self.keyed = keyed
        self._read = read
        self._default = default

    @overload
    def __get__(self, view: None, owner: type[View]) -> Self: ...
    @overload
    def __get__(self, view: View, owner: type[View]) -> T: ...
    def __get__(self, view: View | None, owner: type[View]) -> T | Self:
        if view is None:
            return self
        value = view.raw.get(self.name)
        if value is not None:
            return self._read(value)
        if self._default is _ABSENT:
            raise AttributeError(f"the response has no {self.name}")
        default: T = self._default
        return default


class View:
    """A read-only view of one structure of a response. `raw` is the structure itself: read it, never change it."""

    members: ClassVar[dict[str, Member[Any]]] = {}
    """The members by their names at AWS."""

    __slots__ = ("raw",)

    raw: Mapping[str, Any]

    def __init__(self, raw: Mapping[str, Any]) -> None:
        object.__setattr__(self, "raw", raw)

    def __init_subclass__(cls) -> None:
        cls.members = {member.name: member for member in vars(cls).values() if isinstance(member, Member)}

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a {type(self).__name__} cannot be changed")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.raw == self.raw

    def __hash__(self) -> int:
        return hash((type(self), *sorted(self.raw)))

    def __reduce__(self) -> tuple[type[Self], tuple[Mapping[str, Any]]]:
        return type(self), (self.raw,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self.raw)!r})"


def _datetime(value: datetime | str) -> datetime:
    """An aware instant in UTC; a string is the JSON form of one, so that `describe` in our output reads back."""
    instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def text(name: str) -> Member[str]:
    return Member(name, str)


def optional_text(name: str) -> Member[str | None]:
    return Member(name, str, None)


def optional_integer(name: str) -> Member[int | None]:
    return Member(name, int, None)


def number(name: str) -> Member[float]:
    return Member(name, float)


def optional_number(name: str) -> Member[float | None]:
    return Member(name, float, None)


def optional_flag(name: str) -> Member[bool | None]:
    return Member(name, bool, None)


def instant(name: str) -> Member[datetime]:
    return Member(name, _datetime)


def optional_instant(name: str) -> Member[datetime | None]:
    return Member(name, _datetime, None)


def texts(name: str) -> Member[tuple[str, ...]]:
    return Member(name, tuple, ())


def mapping(name: str) -> Member[Mapping[str, Any]]:
    return Member(name, lambda value: value, {})


def structure(name: str, view: type[V]) -> Member[V]:
    return Member(name, view, view=view)


def optional(name: str, view: type[V]) -> Member[V | None]:
    return Member(name, view, None, view)


def structures(name: str, view: type[V]) -> Member[tuple[V, ...]]:
    return Member(name, lambda values: tuple(map(view, values)), (), view)


class S3DataSource(View):
    s3_data_type = text("S3DataType")
    s3_uri = text("S3Uri")


class DataSource(View):
    s3_data_source = structure("S3DataSource", S3DataSource)


class InputChannel(View):
    channel_type = optional_text("ChannelType")
    content_type = optional_text("ContentType")
    compression_type = optional_text("CompressionType")
    data_source = optional("DataSource", DataSource)


class OutputDataConfig(View):
    kms_key_id = optional_text("KmsKeyId")
    s3_output_path = text("S3OutputPath")


class JobObjective(View):
    metric_name = text("MetricName")


class CompletionCriteria(View):
    max_candidates = optional_integer("MaxCandidates")
    max_runtime_per_training_job_seconds = optional_integer("MaxRuntimePerTrainingJobInSeconds")
    max_runtime_seconds = optional_integer("MaxAutoMLJobRuntimeInSeconds")


class AlgorithmConfig(View):
    algorithms = texts("AutoMLAlgorithms")


class CandidateGenerationConfig(View):
    algorithms_config = structures("AlgorithmsConfig", AlgorithmConfig)


class ImageClassificationConfig(View):
    completion_criteria = optional("CompletionCriteria", CompletionCriteria)


class TextClassificationConfig(View):
    completion_criteria = optional("CompletionCriteria", CompletionCriteria)
    content_column = text("ContentColumn")
    target_label_column = text("TargetLabelColumn")


class Transformations(View):
    filling = mapping("Filling")
    aggregation = mapping("Aggregation")


class TimeSeriesConfig(View):
    target_attribute_name = text("TargetAttributeName")
    timestamp_attribute_name = text("TimestampAttributeName")
    item_identifier_attribute_name = text("ItemIdentifierAttributeName")
    grouping_attribute_names = texts("GroupingAttributeNames")


class HolidayConfig(View):
    country_code = optional_text("CountryCode")


class TimeSeriesForecastingConfig(View):
    feature_specification_s3_uri = optional_text("FeatureSpecificationS3Uri")
    completion_criteria = optional("CompletionCriteria", CompletionCriteria)
    forecast_frequency = text("ForecastFrequency")
    forecast_horizon = Member("ForecastHorizon", int)
    forecast_quantiles = texts("ForecastQuantiles")
    transformations = optional("Transformations", Transformations)
    time_series_config = structure("TimeSeriesConfig", TimeSeriesConfig)
    holiday_config = structures("HolidayConfig", HolidayConfig)
    candidate_generation_config = optional("CandidateGenerationConfig", CandidateGenerationConfig)


class TabularConfig(View):
    candidate_generation_config = optional("CandidateGenerationConfig", CandidateGenerationConfig)
    completion_criteria = optional("CompletionCriteria", CompletionCriteria)
    feature_specification_s3_uri = optional_text("FeatureSpecificationS3Uri")
    mode = optional_text("Mode")
    generate_candidate_definitions_only = optional_flag("GenerateCandidateDefinitionsOnly")
    problem_type = optional_text("ProblemType")
    target_attribute_name = text("TargetAttributeName")
    sample_weight_attribute_name = optional_text("SampleWeightAttributeName")


class ModelAccessConfig(View):
    accept_eula = Member("AcceptEula", bool)


class TextGenerationConfig(View):
    completion_criteria = optional("CompletionCriteria", CompletionCriteria)
    base_model_name = optional_text("BaseModelName")
    hyper_parameters = mapping("TextGenerationHyperParameters")
    model_access_config = optional("ModelAccessConfig", ModelAccessConfig)


class ProblemTypeConfig(View):
    """A union: one member is set."""

    image_classification = optional("ImageClassificationJobConfig", ImageClassificationConfig)
    text_classification = optional("TextClassificationJobConfig", TextClassificationConfig)
    time_series_forecasting = optional("TimeSeriesForecastingJobConfig", TimeSeriesForecastingConfig)
    tabular = optional("TabularJobConfig", TabularConfig)
    text_generation = optional("TextGenerationJobConfig", TextGenerationConfig)


class PartialFailureReason(View):
    message = optional_text("PartialFailureMessage")


class ObjectiveMetric(View):
    type = optional_text("Type")
    metric_name = text("MetricName")
    value = number("Value")
    standard_metric_name = optional_text("StandardMetricName")


class CandidateStep(View):
    step_type = text("CandidateStepType")
    arn = text("CandidateStepArn")
    name = text("CandidateStepName")


class InferenceContainer(View):
    image = text("Image")
    model_data_url = text("ModelDataUrl")
    environment = mapping("Environment")


class ArtifactLocations(View):
    explainability = text("Explainability")
    model_insights = optional_text("ModelInsights")
    backtest_results = optional_text("BacktestResults")


class CandidateMetric(View):
    metric_name = optional_text("MetricName")
    standard_metric_name = optional_text("StandardMetricName")
    value = optional_number("Value")
    set = optional_text("Set")


class CandidateProperties(View):
    artifact_locations = optional("CandidateArtifactLocations", ArtifactLocations)
    metrics = structures("CandidateMetrics", CandidateMetric)


def _containers(definitions: Mapping[str, Any]) -> Mapping[str, tuple[InferenceContainer, ...]]:
    return {processor: tuple(map(InferenceContainer, containers)) for processor, containers in definitions.items()}


class Candidate(View):
    """A candidate model. `objective` is its FinalAutoMLJobObjectiveMetric."""

    name = text("CandidateName")
    objective = optional("FinalAutoMLJobObjectiveMetric", ObjectiveMetric)
    objective_status = text("ObjectiveStatus")
    steps = structures("CandidateSteps", CandidateStep)
    status = text("CandidateStatus")
    inference_containers = structures("InferenceContainers", InferenceContainer)
    created_at = instant("CreationTime")
    ended_at = optional_instant("EndTime")
    last_modified_at = instant("LastModifiedTime")
    failure_reason = optional_text("FailureReason")
    properties = optional("CandidateProperties", CandidateProperties)
    inference_container_definitions: Member[Mapping[str, tuple[InferenceContainer, ...]]] = Member(
        "InferenceContainerDefinitions", _containers, {}, InferenceContainer, keyed=True
    )


class JobArtifacts(View):
    candidate_definition_notebook_location = optional_text("CandidateDefinitionNotebookLocation")
    data_exploration_notebook_location = optional_text("DataExplorationNotebookLocation")


class TabularResolvedAttributes(View):
    problem_type = optional_text("ProblemType")


class TextGenerationResolvedAttributes(View):
    base_model_name = optional_text("BaseModelName")


class ProblemTypeResolvedAttributes(View):
    tabular = optional("TabularResolvedAttributes", TabularResolvedAttributes)
    text_generation = optional("TextGenerationResolvedAttributes", TextGenerationResolvedAttributes)


class ResolvedAttributes(View):
    objective = optional("AutoMLJobObjective", JobObjective)
    completion_criteria = optional("CompletionCriteria", CompletionCriteria)
    problem_type_resolved_attributes = optional("AutoMLProblemTypeResolvedAttributes", ProblemTypeResolvedAttributes)


class ModelDeployConfig(View):
    auto_generate_endpoint_name = optional_flag("AutoGenerateEndpointName")
    endpoint_name = optional_text("EndpointName")


class ModelDeployResult(View):
    endpoint_name = optional_text("EndpointName")


class DataSplitConfig(View):
    validation_fraction = optional_number("ValidationFraction")


class VpcConfig(View):
    security_group_ids = texts("SecurityGroupIds")
    subnets = texts("Subnets")


class SecurityConfig(View):
    volume_kms_key_id = optional_text("VolumeKmsKeyId")
    enable_inter_container_traffic_encryption = optional_flag("EnableInterContainerTrafficEncryption")
    vpc_config = optional("VpcConfig", VpcConfig)


class EmrServerlessComputeConfig(View):
    execution_role_arn = text("ExecutionRoleARN")


class ComputeConfig(View):
    emr_serverless = optional("EmrServerlessComputeConfig", EmrServerlessComputeConfig)


class Snapshot(View):
    """An AutoML job as one look found it.

    Instants are aware datetimes in UTC. Anything but the identity, the statuses and the two required times
    may be absent at any moment of a job's life.
    """

    name = text("AutoMLJobName")
    arn = text("AutoMLJobArn")
    input_channels = structures("AutoMLJobInputDataConfig", InputChannel)
    output_data_config = optional("OutputDataConfig", OutputDataConfig)
    role_arn = optional_text("RoleArn")
    objective = optional("AutoMLJobObjective", JobObjective)
    problem_type_config = optional("AutoMLProblemTypeConfig", ProblemTypeConfig)
    problem_type = optional_text("AutoMLProblemTypeConfigName")
    created_at = instant("CreationTime")
    ended_at = optional_instant("EndTime")
    last_modified_at = instant("LastModifiedTime")
    failure_reason = optional_text("FailureReason")
    partial_failures = structures("PartialFailureReasons", PartialFailureReason)
    best_candidate = optional("BestCandidate", Candidate)
    status = text("AutoMLJobStatus")
    secondary_status = text("AutoMLJobSecondaryStatus")
    artifacts = optional("AutoMLJobArtifacts", JobArtifacts)
    resolved_attributes = optional("ResolvedAttributes", ResolvedAttributes)
    deploy_config = optional("ModelDeployConfig", ModelDeployConfig)
    deploy_result = optional("ModelDeployResult", ModelDeployResult)
    data_split_config = optional("DataSplitConfig", DataSplitConfig)
    security_config = optional("SecurityConfig", SecurityConfig)
    compute_config = optional("AutoMLComputeConfig", ComputeConfig)

    @property
    def state(self) -> State:
        """Both statuses."""
        return State(self.status, self.secondary_status)

    @property
    def partial_failure_reasons(self) -> tuple[str, ...]:
        """The messages of the partial failures that say something."""
        return tuple(failure.message for failure in self.partial_failures if failure.message)

    @property
    def endpoint_name(self) -> str | None:
        """The endpoint that the job deployed, once it has."""
        return self.deploy_result.endpoint_name if self.deploy_result else None

    @property
    def is_to_deploy(self) -> bool:
        """Whether the job was asked to deploy its best model."""
        config = self.deploy_config
        return config is not None and bool(config.endpoint_name or config.auto_generate_endpoint_name)

    @property
    def makes_definitions_only(self) -> bool:
        """Whether the job was asked for candidate definitions and no training."""
        tabular = self.problem_type_config.tabular if self.problem_type_config else None
        return tabular is not None and tabular.generate_candidate_definitions_only is True

    @property
    def completion_criteria(self) -> CompletionCriteria:
        """The limits in force: those that AWS resolved, else those that the problem type's config asks for."""
        criteria: dict[str, Any] = {}
        config = self.raw.get("AutoMLProblemTypeConfig") or {}
        for holder in (*config.values(), self.raw.get("ResolvedAttributes") or {}):
            criteria |= holder.get("CompletionCriteria") or {}
        return CompletionCriteria(criteria)

    def _repr_html_(self) -> str:
        """The job as notebooks show it."""
        from automl_waiter.report.facts import snapshot_document
        from automl_waiter.report.html import fragment

        return fragment(snapshot_document(self))

    @property
    def response(self) -> dict[str, Any]:
        """The response without the SDK's ResponseMetadata."""
        return {name: value for name, value in self.raw.items() if name != "ResponseMetadata"}
