"""A local SageMaker endpoint with scripted AutoML jobs, to test pipelines without an AWS account.

`Sandbox` needs the extra `automl-waiter[sandbox]`, whose libraries are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl_waiter.sandbox.server import Sandbox

__all__ = ["Sandbox", "SandboxUnavailable"]


class SandboxUnavailable(ImportError):
    """The libraries of the extra are not installed."""


def __getattr__(name: str) -> Any:
    if name != "Sandbox":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from automl_waiter.sandbox.server import Sandbox

    return Sandbox
