"""What docs/howto/pipelines.md says to paste, for the tests that run it, and the job that it starts."""

import re
from typing import Any

from repository import ROOT

GUIDE = (ROOT / "docs" / "howto" / "pipelines.md").read_text()

REQUEST: dict[str, Any] = {
    "AutoMLJobInputDataConfig": [
        {
            "ChannelType": "training",
            "ContentType": "text/csv;header=present",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/data/"}},
        }
    ],
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out/"},
    "AutoMLProblemTypeConfig": {"TabularJobConfig": {"TargetAttributeName": "y"}},
    "RoleArn": "arn:aws:iam::123456789012:role/automl",
}


def pasted(title: str, language: str) -> str:
    """The first block of a language in the section of that title."""
    section = GUIDE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)[0]
