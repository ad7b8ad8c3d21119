"""Responses of a real connection that are about another job, or have invalid members."""

import json
from datetime import datetime

from environments import endpoint_environment
from faulty_endpoint import WRONG_TYPES, FaultyEndpoint, Handler
from programs import HURRIED, start

from automl_waiter.testing import Timeline

ARN = "arn:aws:sagemaker:us-east-1:123456789012:automl-job/"


def foreign(handler: Handler) -> None:
    """Return the response to another request."""
    handler.reply(200, json.dumps(handler.server.response("DescribeAutoMLJobV2", "other"), default=datetime.timestamp))


def test_command_retries_responses_about_another_job() -> None:
    """Over a real connection two responses about another job are retried, and the requested job's end is reported."""
    with FaultyEndpoint() as endpoint:
        endpoint.add("other", Timeline([(0, "Completed", "Completed")]))
        endpoint.add("churn", Timeline([(0, "Failed", "Failed")]), [foreign, foreign])
        environment = endpoint_environment(endpoint.url)
        with start("wait", "churn", "-o", "json", env=environment, program=HURRIED) as process:
            out, err = process.communicate(timeout=60)
    [job] = json.loads(out)["jobs"]
    assert (process.returncode, job["job_name"], job["retries"]) == (10, "churn", 2)
    assert f"the response is about the job other ({ARN}other), not about churn" in err


def test_command_reads_a_response_with_invalid_optional_members() -> None:
    """The job's end is reported although botocore can parse none of its optional members; each gives one warning."""
    with FaultyEndpoint() as endpoint:
        endpoint.add("churn", Timeline([(0, "Failed", "Failed")]), [WRONG_TYPES])
        with start("wait", "churn", "-o", "json", env=endpoint_environment(endpoint.url)) as process:
            out, err = process.communicate(timeout=60)
    [job] = json.loads(out)["jobs"]
    assert (process.returncode, job["polls"], job["retries"]) == (10, 1, 0), err
    assert job["describe"].keys().isdisjoint({"EndTime", "FailureReason", "BestCandidate", "RemovedMembers"})
    assert job["partial_failure_reasons"] == ["one"]
    for member in ("EndTime", "FailureReason", "BestCandidate", "AutoMLProblemTypeConfig.TabularJobConfig"):
        assert err.count(f"the response's {member} cannot be read") == 1, err
