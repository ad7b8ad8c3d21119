"""All output passes one filter: no secret known to this process is in it, whoever wrote the text."""

import json
import logging
import pickle
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials

from automl_waiter import AccessDenied, Ended, Outcome, Transition
from automl_waiter._aws.credentials import learn_credentials
from automl_waiter._aws.errors import quoted
from automl_waiter._model import secrets
from automl_waiter._model.errors import AutoMLWaiterError, TransientError, TransientKind
from automl_waiter._model.events import Retry, event_dict
from automl_waiter._model.exit_codes import ExitCode
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.secrets import hide, learn, learn_environment, learn_key_id, learn_url
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.statuses import SecondaryStatus, State, Status
from automl_waiter._model.text import clean
from automl_waiter._system.log import log_event, summary_of
from automl_waiter.cli.execute import environment_of
from automl_waiter.cli.github import GitHubRun
from automl_waiter.cli.output import Reporter, json_line
from automl_waiter.integrations.eventbridge.entries import event_entry
from automl_waiter.integrations.results import markdown_of, result_of
from automl_waiter.report.facts import outcome_document
from automl_waiter.report.html import fragment, page
from automl_waiter.report.markdown import markdown
from automl_waiter.report.plain_text import text_lines
from automl_waiter.testing import Timeline, simulate

SECRET = 'wJalr/XUtn"FEMI+K7MDENG'
TOKEN = "FwoGZXIvYXdzEJr//////wEaDE"
AT = datetime(2026, 1, 1, tzinfo=UTC)
ARN = "arn:aws:sagemaker:us-east-1:123456789012:automl-job/simulated"
COMPLETED = Timeline([(0, "Completed", "Completed")])


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test register its own secrets and job names only."""
    monkeypatch.setattr(secrets, "_forms", {})
    monkeypatch.setattr(secrets, "_names", {*Status, *SecondaryStatus})
    monkeypatch.setattr(secrets, "_compiled", None)


def failed(reason: str, **more: Any) -> Outcome:
    return replace(simulate(Timeline([(0, "Failed", "Failed")], failure_reason=reason)).outcome, **more)


def test_no_output_shows_a_secret(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A FailureReason with the caller's key shows it in no output: text, JSON, logs, pages, events, exceptions."""
    learn(SECRET, TOKEN)
    reason = f"denied for {SECRET} with {TOKEN}\n"
    error = AutoMLWaiterError(reason)
    outcome = failed(reason, error=error)
    event = Ended("simulated", AT, outcome)
    retry = Retry(
        "simulated", AT, "Describe", 1, "connection", None, str(TransientError(TransientKind.CONNECTION, reason)), 1.0
    )
    document = outcome_document(outcome)
    caplog.set_level(logging.DEBUG, "automl_waiter")
    log_event(event)
    log_event(retry)
    for form in ("console", "json"):
        reporter = Reporter(form, quiet=False)
        reporter.report(event)
        reporter.report(retry)
        reporter.warn("exec", reason)
    files = {name: str(tmp_path / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    run = GitHubRun(print, print, files)
    run.report(event)
    run.finish([outcome], ExitCode.FAILED)
    changed = Transition("simulated", ARN, None, State("Failed", TOKEN), AT, None)
    shown = [
        *(str(error), repr(error), str(pickle.loads(pickle.dumps(error))), outcome.summary, repr(outcome)),
        *(repr(outcome.snapshot), summary_of(retry), json_line(outcome.to_dict()), json_line(event_dict(retry))),
        *(markdown(document), fragment(document), page(document), *text_lines(document), markdown_of(outcome)),
        *(json.dumps(result_of(outcome)), str(event_entry(outcome.transitions[0], outcome.snapshot))),
        *(str(environment_of(changed)), json.dumps(event_dict(changed)), "".join(capfd.readouterr())),
        *(str(record.__dict__) for record in caplog.records),
        *(path.read_text() for path in tmp_path.iterdir()),
    ]
    assert outcome.failure_reason == reason, "what the caller holds is what AWS said"
    for text in shown:
        for secret in (SECRET, TOKEN, "FEMI+K7MDENG"):
            assert secret not in text
    assert sum("***" in text for text in shown) > len(shown) / 2


@pytest.mark.parametrize(
    "said",
    [
        "Invalid header value b'{secret}\\n'",
        "in JSON: {json}",
        "in a URL: {quoted}",
        "{secret}",
        "a{secret}b",
        "split\u200b by nothing: {torn}",
    ],
)
def test_escaped_forms_of_a_secret_are_masked(said: str) -> None:
    """A quoted secret may be escaped, or lack the line break at its end."""
    learn(f"{SECRET}\n")
    torn = SECRET[:9] + "\u200b" + SECRET[9:]
    forms = {
        "secret": SECRET,
        "json": json.dumps(SECRET),
        "quoted": SECRET.replace("/", "%2F").replace('"', "%22").replace("+", "%2B"),
        "torn": torn,
    }
    line = clean(said.format(**forms))
    assert "***" in line
    assert "FEMI" not in line


def test_names_and_arns_of_jobs_are_never_altered() -> None:
    """A password may be a part of a job's name, or of every ARN."""
    job_ref("nightly-Churn-2026")
    learn("Churn-2026", "sagemaker", "123456789012", "Completed")
    for text in ("nightly-Churn-2026: Completed/Completed", "nightly-churn-2026", ARN):
        assert hide(text) == text
        assert json.loads(json_line({"job_name": text})) == {"job_name": text}
    assert hide("the password is Churn-2026") == "the password is ***"
    assert hide(f"{ARN} by sagemaker") == f"{ARN} by ***"


def test_secret_in_a_fake_arn_is_masked() -> None:
    """A session token is masked in text that only resembles an ARN."""
    learn(TOKEN)
    assert "ZXIv" not in hide(f"arn:aws:sagemaker:us-east-1:123456789012:automl-job/{TOKEN}")


def test_short_values_are_not_masked() -> None:
    """Dummy keys like the sandbox's are ordinary words."""
    learn_environment({"AWS_SECRET_ACCESS_KEY": "testing", "AWS_ACCESS_KEY_ID": "testing"})
    assert hide("testing") == "testing"


def test_an_access_key_id_is_masked_in_error_texts() -> None:
    """The caller's key ID is masked everywhere, any other in errors."""
    learn_key_id("ASIAQXAMPLEQXAMPLE22")
    assert hide("for ASIAQXAMPLEQXAMPLE22") == "for ASIA***"
    assert quoted("the key AKIAIOSFODNN7EXAMPLE is bad") == "the key AKIA*** is bad"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://alice:S3c#r3t-pass@proxy:3128", "Failed to parse: 'alice:S3c' is not a valid host"),
        ("alice:pass/word@proxy", "bad port in alice:pass"),
        ("http://alice:p%40ssw0rd%21@proxy", "p@ssw0rd! and p%40ssw0rd%21"),
        ("http://a1b2c3d4e5@proxy", "user a1b2c3d4e5"),
    ],
)
def test_no_part_of_a_proxys_password_is_shown(url: str, said: str) -> None:
    """Neither the whole nor the part before a character that should have been quoted is shown."""
    learn_environment({"HTTPS_PROXY": url})
    for part in ("S3c", "pass/", "ssw0rd", "a1b2c3d4e5", ":pass"):
        assert part not in clean(said)


def test_host_of_a_url_without_credentials_is_not_masked() -> None:
    """A proxy's host is not a secret."""
    learn_url("http://proxy.example.com:3128")
    assert hide("proxy.example.com:3128") == "proxy.example.com:3128"


@pytest.mark.parametrize("part", ["access_key", "secret_key", "token"])
@pytest.mark.parametrize("character", ["\n", "\r", "\x00", " ", "\x7f"])
def test_credentials_with_a_control_character_are_refused(part: str, character: str) -> None:
    """The error comes before the first call, and names the invalid credential without its value."""
    values = {"access_key": "AKIDEXAMPLE", "secret_key": SECRET, "token": TOKEN}
    credentials = Credentials(**(values | {part: values[part] + character}), method="env")
    with pytest.raises(AccessDenied, match="AWS_") as refused:
        learn_credentials(credentials)
    assert not any(value in str(refused.value) for value in values.values())


# Texts from others

HOSTILE = "<b>*x*</b> | [a](http://b)\x1b[31m\x00\u202e\u200b\ufeff\U000e0041\u2066\u00ad `y` \ud83d"


def test_metric_names_are_escaped_in_every_output() -> None:
    """A candidate's metric names contain data set names, which become table headings."""
    candidate = {
        "CandidateName": "best", "CandidateStatus": "Completed", "ObjectiveStatus": "Succeeded", "CreationTime": AT, "LastModifiedTime": AT,
        "CandidateProperties": {"CandidateMetrics": [{"MetricName": "F1", "Value": 0.9, "Set": HOSTILE}]},
    }  # fmt: skip
    outcome = simulate(COMPLETED).outcome
    assert outcome.snapshot is not None
    outcome = replace(outcome, snapshot=Snapshot({**outcome.snapshot.raw, "BestCandidate": candidate}))
    document = outcome_document(outcome)
    forms = [markdown(document), page(document), "\n".join(text_lines(document))]
    for form in forms:
        form.encode()
        for character in HOSTILE:
            assert character.isprintable() or character not in form
    assert "\\<b\\>" in forms[0]
    assert "&lt;b&gt;" in forms[1]


@pytest.mark.parametrize("reason", ["lone \ud83d surrogate", "x" * 5_000_000])
def test_any_failure_reason_can_be_printed(reason: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It is cut for people, with its length, and whole in JSON; no file of a CI runner is broken by it."""
    outcome = failed(reason)
    files = {name: str(tmp_path / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    GitHubRun(print, print, files).finish([outcome], ExitCode.FAILED)
    Reporter("console", quiet=False).report(Ended("simulated", AT, outcome))
    document = outcome_document(outcome)
    people = [
        *(path.read_text() for path in tmp_path.iterdir()),
        *capfd.readouterr(),
        page(document),
        *text_lines(document),
    ]
    assert sum(map(len, people)) < 100_000
    assert json.loads(json_line(outcome.to_dict()))["failure_reason"] == reason
    if len(reason) > 1000:
        assert "(5,000,000 characters)" in outcome.summary
