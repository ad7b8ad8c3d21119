"""One describe response, typed: an accessor for every member of DescribeAutoMLJobV2's response.

Each class is a view of one structure of the API reference, and each line in it is one member. `raw` holds the response
itself, including members newer than this file. Tests compare these tables with botocore's own model. A member is
required here if the structure is worth nothing without it; others may be absent, whatever the API reference requires.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from automl_waiter._model.candidates import objective_repr
from automl_waiter._model.members import (
    Member,
    View,
    instant,
    mapping,
    number,
    optional,
    optional_flag,
    optional_instant,
    optional_integer,
    optional_number,
    optional_text,
    sifted,
    structures,
    text,
    texts,
    utc_instant,
)
from automl_waiter._model.statuses import State
from automl_waiter._model.text import short_repr

# Beside the SDK's own metadata, which is no part of what AWS says of a job.
_UNREADABLE = "UnreadableMembers"


class S3DataSource(View):
    s3_data_type = text("S3DataType")
    s3_uri = text("S3Uri")


class DataSource(View):
    s3_data_source = optional("S3DataSource", S3DataSource)


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
    content_column = optional_text("ContentColumn")
    target_label_column = optional_text("TargetLabelColumn")


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
    forecast_frequency = optional_text("ForecastFrequency")
    forecast_horizon = optional_integer("ForecastHorizon")
    forecast_quantiles = texts("ForecastQuantiles")
    transformations = optional("Transformations", Transformations)
    time_series_config = optional("TimeSeriesConfig", TimeSeriesConfig)
    holiday_config = structures("HolidayConfig", HolidayConfig)
    candidate_generation_config = optional("CandidateGenerationConfig", CandidateGenerationConfig)


class TabularConfig(View):
    candidate_generation_config = optional("CandidateGenerationConfig", CandidateGenerationConfig)
    completion_criteria = optional("CompletionCriteria", CompletionCriteria)
    feature_specification_s3_uri = optional_text("FeatureSpecificationS3Uri")
    mode = optional_text("Mode")
    generate_candidate_definitions_only = optional_flag("GenerateCandidateDefinitionsOnly")
    problem_type = optional_text("ProblemType")
    target_attribute_name = optional_text("TargetAttributeName")
    sample_weight_attribute_name = optional_text("SampleWeightAttributeName")


class ModelAccessConfig(View):
    accept_eula = optional_flag("AcceptEula")


class TextGenerationConfig(View):
    completion_criteria = optional("CompletionCriteria", CompletionCriteria)
    base_model_name = optional_text("BaseModelName")
    hyper_parameters = mapping("TextGenerationHyperParameters")
    model_access_config = optional("ModelAccessConfig", ModelAccessConfig)


class ProblemTypeConfig(View):
    """A union: exactly one member is set."""

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
    explainability = optional_text("Explainability")
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
    objective_status = optional_text("ObjectiveStatus")
    steps = structures("CandidateSteps", CandidateStep)
    status = optional_text("CandidateStatus")
    inference_containers = structures("InferenceContainers", InferenceContainer)
    created_at = optional_instant("CreationTime")
    ended_at = optional_instant("EndTime")
    last_modified_at = optional_instant("LastModifiedTime")
    failure_reason = optional_text("FailureReason")
    properties = optional("CandidateProperties", CandidateProperties)
    inference_container_definitions: Member[Mapping[str, tuple[InferenceContainer, ...]]] = Member(
        "InferenceContainerDefinitions", _containers, {}, InferenceContainer, keyed=True
    )

    def __repr__(self) -> str:
        name, status = self.raw.get("CandidateName"), self.raw.get("CandidateStatus")
        return short_repr(self, name, objective_repr(self), None if status == "Completed" else status)


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
    """The response of one poll of an AutoML job.

    Datetimes are aware and in UTC. Only the identity, the statuses and the two required times are always present; any
    other member may be absent at any moment of a job's life.
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
        """The messages of the partial failures that have one."""
        return tuple(failure.message for failure in self.partial_failures if failure.message)

    @property
    def endpoint_name(self) -> str | None:
        """The endpoint that the job deployed, if it has done so."""
        return self.deploy_result.endpoint_name if self.deploy_result else None

    @property
    def is_to_deploy(self) -> bool:
        """Whether the request asked for a deployment of the best model."""
        config = self.deploy_config
        return config is not None and bool(config.endpoint_name or config.auto_generate_endpoint_name)

    @property
    def makes_definitions_only(self) -> bool:
        """Whether the request asked for candidate definitions without training."""
        tabular = self.problem_type_config.tabular if self.problem_type_config else None
        return tabular is not None and tabular.generate_candidate_definitions_only is True

    @property
    def completion_criteria(self) -> CompletionCriteria:
        """The limits in force, as AWS resolved them, otherwise as the problem type's config has them."""
        criteria: dict[str, Any] = {}
        config = self.raw.get("AutoMLProblemTypeConfig") or {}
        for holder in (*config.values(), self.raw.get("ResolvedAttributes") or {}):
            found = holder.get("CompletionCriteria") if isinstance(holder, Mapping) else None
            if isinstance(found, Mapping):
                # The config of a problem type that is newer than this file was not checked.
                criteria |= sifted(found, CompletionCriteria)[0]
        return CompletionCriteria(criteria)

    @property
    def unreadable(self) -> tuple[str, ...]:
        """The members that AWS sent and nobody can read, such as `BestCandidate.CreationTime`: they count as absent."""
        return unreadable_in(self.raw)

    @property
    def response(self) -> dict[str, Any]:
        """The response without the SDK's ResponseMetadata."""
        return {name: value for name, value in self.raw.items() if name != "ResponseMetadata"}

    # Two responses that say the same of a job are equal, whatever their request ids.
    _compared = response

    def __repr__(self) -> str:
        statuses = (self.raw.get(name) for name in ("AutoMLJobStatus", "AutoMLJobSecondaryStatus"))
        return short_repr(self, self.raw.get("AutoMLJobName"), "/".join(map(str, filter(None, statuses))))


def readable(raw: Mapping[str, Any], view: type[View] = Snapshot) -> Mapping[str, Any]:
    """Return a response, or a part of it, without the members that cannot be read; `unreadable_in` names them."""
    return with_unreadable(*sifted(raw, view))


def with_unreadable(raw: Mapping[str, Any], unreadable: Sequence[str]) -> Mapping[str, Any]:
    """Return a response that carries the names of what could not be read of it."""
    if not unreadable:
        return raw
    names = dict.fromkeys([*unreadable_in(raw), *unreadable])
    metadata = raw.get("ResponseMetadata")
    known = metadata if isinstance(metadata, Mapping) else {}
    return {**raw, "ResponseMetadata": {**known, _UNREADABLE: tuple(names)}}


def unreadable_in(response: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of what could not be read of a response."""
    metadata = response.get("ResponseMetadata")
    return metadata.get(_UNREADABLE, ()) if isinstance(metadata, Mapping) else ()


def served_at(response: Any) -> datetime | None:
    """Return when the service answered, from the HTTP Date header (whole seconds, UTC); None without one."""
    from email.utils import parsedate_to_datetime

    try:
        return utc_instant(parsedate_to_datetime(response["ResponseMetadata"]["HTTPHeaders"]["date"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
