"""An Airflow provider: an operator, a sensor and a trigger that wait for AutoML jobs.

They are in `operators`, `sensors` and `triggers`, as in Airflow's own providers.
"""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description, which Airflow reads through the entry point `apache_airflow_provider`."""
    from automl_waiter._version import __version__

    name = "Amazon SageMaker AutoML"
    here = "automl_waiter.integrations.airflow"
    return {
        "package-name": "automl-waiter",
        "name": "automl-waiter",
        "description": "Wait until an Amazon SageMaker AutoML (Autopilot) job has ended.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": name,
                "external-doc-url": "https://docs.aws.amazon.com/sagemaker/latest/dg/autopilot-automate-model-development.html",
                "tags": ["aws"],
            }
        ],
        "operators": [{"integration-name": name, "python-modules": [f"{here}.operators"]}],
        "sensors": [{"integration-name": name, "python-modules": [f"{here}.sensors"]}],
        "triggers": [{"integration-name": name, "python-modules": [f"{here}.triggers"]}],
    }
