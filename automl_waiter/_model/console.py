"""Links to the AWS console."""

from __future__ import annotations

import re
from urllib.parse import quote

from automl_waiter._model.job_refs import region_of

# AWS's general reference has the form REGION.console.aws.amazon.com ("AWS Management Console endpoints and quotas").
# The domains of the partitions are those of Airflow's links (providers/amazon/aws/links/base_aws.py).
_DOMAINS = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}
# Airflow's SageMakerTransformJobLink and AWS's sample notebooks link to these pages. No page for an AutoML job is
# documented: its link opens SageMaker in the job's region.
_PAGES = {
    "automl-job": "",
    "training-job": "#/jobs/{}",
    "processing-job": "#/processing-jobs/{}",
    "transform-job": "#/transform-jobs/{}",
}
_ARN = re.compile(r"arn:(?P<partition>[a-z-]+):sagemaker:(?P<region>[a-z0-9-]+):\d*:(?P<kind>[a-z-]+)/(?P<name>[^/]+)")


def console_origin(arn: str) -> str:
    """Return the origin of the console for an ARN's partition and region; an unknown partition counts as `aws`."""
    domain = _DOMAINS.get(arn.split(":")[1], _DOMAINS["aws"])
    return f"https://{region_of(arn)}.{domain}"


def console_url(arn: str) -> str | None:
    """Return the console's page for the ARN of a SageMaker job; None if none is known."""
    match = _ARN.fullmatch(arn)
    if match is None or match["partition"] not in _DOMAINS or match["kind"] not in _PAGES:
        return None
    page = _PAGES[match["kind"]].format(quote(match["name"], safe=""))
    return f"{console_origin(arn)}/sagemaker/home?region={match['region']}{page}"
