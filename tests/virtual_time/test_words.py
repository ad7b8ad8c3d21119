"""Text, job arguments, JSON and errors: how they are read and written."""

import json
import pickle
import re
import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from texts import ANY_TEXT

import automl_waiter
from automl_waiter._aws.errors import quoted
from automl_waiter._model import errors
from automl_waiter._model.errors import AutoMLWaiterError, InvalidRequest, WaitTimeout
from automl_waiter._model.exit_codes import ExitCode, combined_exit_code
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.json_form import jsonable
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.snapshot import Candidate, Snapshot
from automl_waiter._model.statuses import State
from automl_waiter._model.text import (
    clean,
    format_duration,
    nearest_name,
    parse_duration,
    parseable_duration,
    redact,
    redact_command,
)
from automl_waiter._model.tracker import Transition
from automl_waiter._model.verdicts import Verdict
from automl_waiter.cli.output import json_line

ARN = "arn:aws:sagemaker:eu-west-1:123456789012:automl-job/churn"


def test_the_nearest_name_is_found_in_any_case() -> None:
    """A mistyped name is compared case-insensitively, and no suggestion is made if none is similar."""
    assert nearest_name("CHRUN-1", ["Churn-12", "churn-1", "fraud"]) == "churn-1"
    assert nearest_name("other", ["churn-1"]) is None


@given(ANY_TEXT)
def test_cleaned_text_is_one_harmless_line(text: str) -> None:
    """Whatever AWS sends, the printed text has no control character and no CI runner command."""
    line = clean(text)
    assert not any(unicodedata.category(char) == "Cc" for char in line)
    assert not line.lstrip().startswith("::")  # a runner strips the line first
    assert not re.search(r"##(\[|vso\[|teamcity\[)", line)


@pytest.mark.parametrize(
    "text", ["::error::x", " ::warning::x", "a\n::set-output::x", "##[error]x", "x ##vso[task]", "##teamcity[x]"]
)
def test_runner_commands_are_broken(text: str) -> None:
    """The commands of GitHub Actions, Azure Pipelines and TeamCity lose their form and keep their words."""
    line = clean(text)
    assert not re.search(r"^\s*::|##\[|##vso\[|##teamcity\[", line)
    assert line.replace(" ", "") == text.replace(" ", "").replace("\n", "")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("0", 0), ("0.5s", 0.5), ("90s", 90), ("15m", 900), ("6h", 21600), ("1d12h", 129600), ("1h30m", 5400)],
)
def test_duration_is_parsed(text: str, seconds: float) -> None:
    """Durations have the documented forms."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "1h30", "-1", "abc", "1 h", "m", "1m1h", "٣s", "1e3", "nan"])
def test_invalid_duration_is_refused(text: str) -> None:
    """The error names the valid forms."""
    with pytest.raises(ValueError, match="1d12h"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["36501d", "9" * 400])
def test_a_duration_of_more_than_a_century_is_refused(text: str) -> None:
    """A value that no clock can count to is a typing error."""
    with pytest.raises(ValueError, match="more than 36500d"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.44, "0.4s"),
        (12, "12s"),
        (90, "1m 30s"),
        (7500, "2h 5m"),
        (97200, "1d 3h"),
        (3600, "1h"),
        (86460, "1d"),
    ],
)
def test_duration_is_printed_in_two_units_at_most(seconds: float, text: str) -> None:
    """Two units are enough for people."""
    assert format_duration(seconds) == text


@given(st.floats(min_value=0, max_value=1e8))
def test_printed_duration_parses_to_the_same_value(seconds: float) -> None:
    """A duration in a printed command parses to the same value, to the second, or the millisecond if short."""
    assert parse_duration(parseable_duration(seconds)) == pytest.approx(seconds, abs=0.0006 if seconds < 59 else 0.51)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("http://user:pa@ss@proxy:80/x", "http://***@proxy:80/x"),
        ("see https://token@host and http://b:c@d", "see https://***@host and http://***@d"),
        ("https://host/path?mail=a@b", "https://host/path?mail=a@b"),
        ("http://user:12/se?c#r@host:9/x", "http://***@host:9/x"),
        ("a@b", "a@b"),
    ],
)
def test_a_url_loses_its_credentials(text: str, redacted: str) -> None:
    """The part before the host of a URL is never printed."""
    assert redact(text) == redacted


@pytest.mark.parametrize(
    ("line", "redacted"),
    [
        ("curl http://a:b@c", "curl http://***@c"),
        ("notify --token abc --to b", "notify --token *** --to b"),
        ("sh -c 'curl -H \"Authorization: Bearer abc.d\" x'", "sh -c 'curl -H \"Authorization: Bearer ***\" x'"),
        ("API_KEY=abc PASSWORD=b run", "API_KEY=*** PASSWORD=*** run"),
        ("monkey business, a keyboard", "monkey business, a keyboard"),
    ],
)
def test_a_command_line_loses_its_secrets(line: str, redacted: str) -> None:
    """The argument after a word for a secret is never printed."""
    assert redact_command(line) == redacted


def test_sentence_about_secrets_is_not_masked() -> None:
    """An AWS message about tokens and keys is not a secret, and stays readable."""
    sentence = "The security token included in the request is expired. Check your Secret Access Key and method."
    assert quoted(sentence) == sentence


@given(ANY_TEXT)
def test_json_for_programs_is_harmless_in_a_terminal_and_a_runner(text: str) -> None:
    """JSON keeps what AWS sent, in ASCII, without a control character and without a CI runner command."""
    line = json_line({"reason": f"##{text}##vso[x]\x7f"})
    assert json.loads(line)["reason"] == f"##{text}##vso[x]\x7f"
    assert line.isascii()
    assert line.isprintable()
    assert "##" not in line


class Core:
    auto_ml_job_name = "churn"
    auto_ml_job_arn = ARN


class Sdk:
    current_job_name = "churn"


@pytest.mark.parametrize(
    ("job", "name", "key", "region"),
    [
        ("churn", "churn", "churn", None),
        (" a-1 ", "a-1", "a-1", None),
        (ARN, "churn", ARN, "eu-west-1"),
        (ARN.replace("aws:", "aws-us-gov:", 1), "churn", ARN.replace("aws:", "aws-us-gov:", 1), "eu-west-1"),
        ({"AutoMLJobArn": ARN}, "churn", ARN, "eu-west-1"),
        ({"AutoMLJobName": "Churn"}, "Churn", "Churn", None),
        (Core(), "churn", ARN, "eu-west-1"),
        (Sdk(), "churn", "churn", None),
    ],
)
def test_job_is_accepted_as_name_arn_response_or_sdk_object(
    job: object, name: str, key: str, region: str | None
) -> None:
    """A name, an ARN, a response or an SDK's object names the job."""
    ref = job_ref(job)
    assert (ref.name, ref.key, ref.region) == (name, key, region)


def test_a_responses_instant_without_a_zone_is_in_utc() -> None:
    """A response that was stored without its time zone still means the same job."""
    naive = {"AutoMLJobArn": ARN, "CreationTime": datetime(2026, 11, 24)}
    assert job_ref(naive).created_at == datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    "job",
    [
        "",
        "a_b",
        "-a",
        "a-",
        "a" * 33,
        "a\n",
        "arn:x",
        ARN + "/x",
        ARN.replace("automl", "tuning"),
        ARN.replace("1", "١"),
        {},
        object(),
        3,
    ],
)
def test_invalid_job_argument_is_refused_in_one_line(job: object) -> None:
    """The line names the accepted forms."""
    if job == "a\n":  # surrounding space is no part of a name
        assert job_ref(job).name == "a"
        return
    with pytest.raises(InvalidRequest) as refused:
        job_ref(job)
    assert "\n" not in str(refused.value)


JSONABLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | ANY_TEXT
    | st.datetimes(timezones=st.just(UTC))
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT | st.integers(), inner),
    max_leaves=20,
)


@given(JSONABLE)
def test_everything_has_a_json_form_without_nan(value: Any) -> None:
    """Any response can be printed as strict JSON."""
    json.dumps(jsonable(value), allow_nan=False)


def test_instants_are_iso_8601_in_utc() -> None:
    """Times end with Z."""
    instant = datetime(2026, 1, 2, 3, 4, 5, 678900)
    assert jsonable({"at": instant.replace(tzinfo=UTC)}) == {"at": "2026-01-02T03:04:05.678Z"}
    assert jsonable(instant) == "2026-01-02T03:04:05.678Z"


def test_documented_error_tree_is_that_of_the_classes() -> None:
    """The tree in errors.py has every public error, under its base."""
    bases: list[str] = []
    drawn = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ([│├└─ ]*)(\w+)", line)
        if match:
            depth = len(match[1]) // 4
            bases[depth:] = [match[2]]
            drawn[match[2]] = bases[depth - 1] if depth else "Exception"
    classes = {name: getattr(errors, name) for name in drawn}
    assert {name: cls.__mro__[1].__name__ for name, cls in classes.items()} == drawn
    public = {name for name in automl_waiter.__all__ if isinstance(getattr(automl_waiter, name), type)}
    assert {name for name in public if issubclass(getattr(automl_waiter, name), Exception)} == set(drawn)
    assert issubclass(WaitTimeout, TimeoutError)


@pytest.mark.parametrize("name", [name for name in automl_waiter.__all__ if name in vars(errors)])
def test_every_public_error_pickles(name: str) -> None:
    """An error survives a process boundary with its message, code and outcome."""
    error: AutoMLWaiterError = getattr(errors, name)("what to do", code="Code")
    error.outcome = Outcome(job="a", job_name="a", verdict=Verdict.ERROR, exit_code=ExitCode.DENIED, error=error)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), copy.code, copy.outcome.job) == ("what to do", "Code", "a")
    assert copy.outcome.error is copy


# The exit code of a lost result belongs to no job.
@given(st.lists(st.sampled_from([code for code in ExitCode if code is not ExitCode.OUTPUT_LOST]), min_size=1))
def test_exit_code_of_several_jobs_is_the_first_in_the_documented_order(codes: list[ExitCode]) -> None:
    """The exit code of several jobs is one of theirs, whatever these are."""
    order = [129, 130, 143, 2, 77, 70, 69, 14, 10, 11, 12, 15, 124, 75, 0]
    assert combined_exit_code(codes) == next(code for code in order if code in codes)


def test_job_reference_is_accepted_unchanged() -> None:
    """A reference made from a name is accepted as it is."""
    assert job_ref(job := job_ref("churn")) is job


def candidate(**raw: object) -> Candidate:
    return Candidate({"CandidateName": "churn-001", **raw})


AT = datetime(2026, 1, 1, 9, 30, tzinfo=UTC)
F1 = {"FinalAutoMLJobObjectiveMetric": {"MetricName": "F1", "Value": 0.912345678}}
STARTING, TUNING = State("InProgress", "Starting"), State("InProgress", "ModelTuning")
RUNNING = {"AutoMLJobName": "churn", "AutoMLJobStatus": "InProgress", "AutoMLJobSecondaryStatus": "ModelTuning"}
COMPLETED = Snapshot({**RUNNING, "BestCandidate": candidate(CandidateStatus="Completed", **F1).raw})


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (candidate(CandidateStatus="Completed", **F1), "Candidate('churn-001', F1=0.912346)"),
        (candidate(CandidateStatus="Failed", **F1), "Candidate('churn-001', F1=0.912346, Failed)"),
        (candidate(), "Candidate('churn-001')"),
        (Candidate({}), "Candidate()"),
        (Snapshot(RUNNING), "Snapshot('churn', InProgress/ModelTuning)"),
        (
            Transition("churn", ARN, STARTING, TUNING, observed_at=AT, not_before=AT),
            "Transition('churn', InProgress/Starting -> InProgress/ModelTuning at 2026-01-01 09:30:00 UTC)",
        ),
        (
            Transition("churn", ARN, None, TUNING, observed_at=AT, not_before=None),
            "Transition('churn', InProgress/ModelTuning at 2026-01-01 09:30:00 UTC)",
        ),
        (
            Outcome(job="a", job_name="a", verdict=Verdict.COMPLETED, exit_code=ExitCode.OK, snapshot=COMPLETED),
            "Outcome('a', completed, F1=0.912346)",
        ),
        (
            Outcome(job="a", job_name="a", verdict=Verdict.FAILED, exit_code=ExitCode.FAILED),
            "Outcome('a', failed: AWS gave no reason)",
        ),
    ],
)
def test_repr_says_what_matters_most(shown: object, text: str) -> None:
    """A list or a dict of objects is readable in a notebook."""
    assert repr(shown) == text


def test_repr_is_short_and_escaped() -> None:
    """A failure reason has up to 1024 characters, and a name may contain an escape sequence."""
    snapshot = Snapshot({"AutoMLJobStatus": "Failed", "FailureReason": "no\x1b[31m data " * 60})
    outcome = Outcome(job="a", job_name="a\x1b", verdict=Verdict.FAILED, exit_code=ExitCode.FAILED, snapshot=snapshot)
    assert repr(outcome).startswith("Outcome('a', failed: no [31m data no [31m data ")
    assert repr(outcome).endswith("...)")
    assert len(repr(outcome)) < 140
