"""A local SageMaker endpoint with scripted AutoML jobs, for pipelines that want a test without an AWS account.

`server.Sandbox` is it. It needs the extra `automl-waiter[sandbox]`.
"""


class SandboxUnavailable(ImportError):
    """The libraries of the extra are not installed."""
