"""The scripted jobs that the sandbox plays, by name.

Where a comment says recorded, statuses, order and durations are those of a job printed in that public notebook.
The other scenarios are modelled on recorded jobs or, if none is named, made by analogy.
"""

from automl_waiter.sandbox.timeline import Timeline

# After aws/amazon-sagemaker-examples, autopilot/sagemaker_autopilot_neo4j_portfolio_churn.ipynb, somewhat shorter, like
# the rest of "completed"
_UNTIL_TUNING = (
    (0, "InProgress", "Starting"),
    (60, "InProgress", "AnalyzingData"),
    (570, "InProgress", "FeatureEngineering"),
    (1110, "InProgress", "ModelTuning"),
)

SCENARIOS: dict[str, Timeline] = {
    "completed": Timeline(
        [
            *_UNTIL_TUNING,
            (1890, "InProgress", "GeneratingExplainabilityReport"),
            (2310, "InProgress", "GeneratingModelInsightsReport"),
            (2790, "Completed", "Completed"),
        ]
    ),
    # Two recorded jobs of CreateAutoMLJobV2, quick builds of Canvas in 2024, took 151 and 216 s: they trained one
    # candidate, and ended 7 to 8 s after its training, without a report phase. Their phases are by analogy.
    "quick": Timeline(
        [(0, "InProgress", "Starting"), (4, "InProgress", "ModelTuning"), (150, "Completed", "Completed")],
        max_candidates=1,
    ),
    # A job of 3.3 minutes whose target column was missing; its reason is quoted with its identifiers replaced
    "failed": Timeline(
        [(0, "InProgress", "Starting"), (30, "InProgress", "AnalyzingData"), (198, "Failed", "Failed")],
        failure_reason="Could not complete the data builder processing job. The AutoML Job cannot continue. "
        "Failed Job Arn: {failed_job}, "
        "Error message: ClientError: Target attribute name is_positive_sentiment does not exist in header.",
        failure_log=[
            "2026-01-01 09:30:04,112 INFO - Running data builder, version 1.0.42",
            "2026-01-01 09:30:04,530 INFO - Reading s3://amzn-s3-demo-bucket/train/part-00000.csv",
            "2026-01-01 09:30:05,871 INFO - The header has 12 columns",
            "2026-01-01 09:30:05,902 INFO - Columns: id, age, plan, region, sessions, minutes, refunds, churned, ...",
            "2026-01-01 09:30:06,007 ERROR - Target attribute name is_positive_sentiment does not exist in header.",
            "Traceback (most recent call last):",
            '  File "/opt/ml/code/data_builder.py", line 118, in check_header',
            "    raise ClientError(message)",
            "ClientError: Target attribute name is_positive_sentiment does not exist in header.",
            "2026-01-01 09:30:06,044 INFO - Exiting with code 1",
        ],
    ),
    # By analogy: every training job runs out of memory, so the job ends without a candidate
    "candidates-failed": Timeline(
        [*_UNTIL_TUNING, (1890, "Failed", "Failed")],
        failure_reason="No candidate could be trained.",
        candidate_failure="AlgorithmError: the training container exited with code 1",
        failure_log=[
            "2026-01-01 09:47:11,310 INFO - Reading s3://amzn-s3-demo-bucket/automl/features/train",
            "2026-01-01 09:47:19,846 INFO - Training with 12 features, seed 17",
            "[0] train-error:0.31 validation-error:0.33",
            "2026-01-01 09:47:31,208 ERROR - Cannot allocate 61.2 GiB for an array of shape (8213504, 1000)",
            "Traceback (most recent call last):",
            '  File "/opt/ml/code/train.py", line 64, in fit',
            "    matrix = numpy.zeros(shape)",
            "MemoryError",
            "2026-01-01 09:47:31,415 INFO - Exiting with code 1",
        ],
    ),
    "stopped": Timeline([*_UNTIL_TUNING, (1500, "Stopping", "Stopping"), (1590, "Stopped", "Stopped")]),
    # After PacktPublishing/Learn-Amazon-SageMaker, sdkv2/ch3/example1.ipynb: tuning until its limit, an hour
    "runtime-reached": Timeline(
        [
            (0, "InProgress", "AnalyzingData"),
            (570, "InProgress", "FeatureEngineering"),
            (1110, "InProgress", "ModelTuning"),
            (3600, "Completed", "MaxAutoMLJobRuntimeReached"),
        ],
        max_runtime=3600,
    ),
    # After xshi19/dlai-practical-data-science, labs/c1w3-115027: the error first shows in progress
    "explainability-error": Timeline(
        [
            *_UNTIL_TUNING,
            (1590, "InProgress", "GeneratingExplainabilityReport"),
            (1800, "InProgress", "ExplainabilityError"),
            (1830, "Completed", "ExplainabilityError"),
        ]
    ),
    "deploy-error": Timeline(
        [
            (0, "InProgress", "Starting"),
            (60, "InProgress", "PreTraining"),
            (570, "InProgress", "TrainingModels"),
            (1590, "InProgress", "DeployingModel"),
            (2010, "Completed", "ModelDeploymentError"),
        ],
        deploy=True,
    ),
    # Recorded: aws/amazon-sagemaker-examples, autopilot/ap-batch-transform.ipynb, 2023
    "merging-reports": Timeline(
        [
            (0, "InProgress", "AnalyzingData"),
            (120, "InProgress", "FeatureEngineering"),
            (660, "InProgress", "ModelTuning"),
            (1440, "InProgress", "MergingAutoMLTaskReports"),
            (1980, "Completed", "Completed"),
        ]
    ),
}

SUMMARIES = {
    "completed": "Completed after 46m 30s, with both reports.",
    "quick": "Completed after 2m 30s, with one candidate and no reports.",
    "failed": "Failed after 3m 18s: the target column is missing. It has a log.",
    "candidates-failed": "Failed after 31m 30s: no candidate could be trained. They have logs.",
    "stopped": "Stopped by somebody else after 26m 30s.",
    "runtime-reached": "Completed at its runtime limit of 1h.",
    "explainability-error": "Completed after 30m 30s, without an explainability report.",
    "deploy-error": "Completed after 33m 30s, without the endpoint that it asked for.",
    "merging-reports": "Completed after 33m, through a phase that AWS does not document.",
}
"""How each scenario ends, in a line."""
