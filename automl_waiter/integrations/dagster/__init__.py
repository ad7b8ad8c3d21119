"""Dagster: a wait in an op or asset, a ready-made op, and a sensor that starts a run at the end of each job."""

try:
    import dagster as _  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError("Dagster is not installed: pip install dagster") from error

from automl_waiter.integrations.dagster.ops import automl_job_op, metadata_of, wait_in
from automl_waiter.integrations.dagster.sensors import automl_job_sensor

__all__ = ["automl_job_op", "automl_job_sensor", "metadata_of", "wait_in"]
