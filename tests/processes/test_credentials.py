"""Credentials that expire during a wait: when they are renewed, when the wait ends, and when the command warns."""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.credentials import RefreshableCredentials
from environments import endpoint_environment, write_credentials
from faulty_endpoint import FaultyEndpoint, expired_key
from programs import start
from scripts import NEVER, Seen

from automl_waiter import Event, Retry, wait_for_all
from automl_waiter._aws.connection import Connection, OwnConnection, connect
from automl_waiter._model.errors import TransientKind
from automl_waiter._model.job_refs import job_ref
from automl_waiter._wiring import Gateways
from automl_waiter.testing import Timeline

COMPLETED = Timeline([(0, "Completed", "Completed")])
ENDLESS = Timeline([(0, "InProgress", "ModelTuning")])
SINGLE_SIGN_ON = (
    "[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = dev\n"
    "[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\nsso_region = us-east-1\n"
)
SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[FaultyEndpoint]:
    """An endpoint where credentials expire."""
    with FaultyEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, endpoint: FaultyEndpoint) -> Path:
    """An environment with no credentials except those that a test writes to its home."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    files = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}
    for name, value in endpoint_environment(endpoint.url, HOME=str(tmp_path), **files).items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    return tmp_path


def run(*arguments: str, env: dict[str, str]) -> tuple[int, str, str]:
    """Return the exit code, stdout and stderr of a wait in its own process."""
    with start("wait", *arguments, env=env) as process:
        stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr


def key_of(client: Any) -> str:
    """Return the access key that a client signs with."""
    return str(client._request_signer._credentials.access_key)


# The command


def test_expired_environment_credentials_print_the_resume_command(endpoint: FaultyEndpoint) -> None:
    """A process's environment cannot be renewed: the wait exits with 77 and prints the outcome so far."""
    job = endpoint.add("static", ENDLESS, [expired_key("TEMPORARY")])
    env = endpoint_environment(endpoint.url, AWS_ACCESS_KEY_ID="TEMPORARY", AWS_SESSION_TOKEN="s3cr3t-token")
    code, stdout, stderr = run(job, "--timeout", "2h", "-o", "json", "-q", env=env)
    assert code == 77
    assert json.loads(stdout)["jobs"][0]["error"]["type"] == "CredentialsExpired"
    assert len(endpoint.calls("DescribeAutoMLJobV2", job)) == 1
    assert "to resume: automl-waiter wait static --timeout 2h --output json --quiet" in stderr.replace("1h59m59s", "2h")
    assert "s3cr3t-token" not in stdout + stderr


def test_environment_with_a_past_expiry_exits_with_77(endpoint: FaultyEndpoint) -> None:
    """The SDK refuses to sign with credentials whose date has passed; there is no traceback."""
    env = endpoint_environment(endpoint.url, AWS_CREDENTIAL_EXPIRATION="2020-01-01T00:00:00Z")
    code, _, stderr = run(endpoint.add("dated", ENDLESS), env=env)
    assert code == 77
    assert "the credentials have expired" in stderr
    assert "Traceback" not in stderr


def test_expiry_before_the_deadline_is_warned_of(endpoint: FaultyEndpoint) -> None:
    """The command warns at its start and gives the time."""
    env = endpoint_environment(endpoint.url, AWS_CREDENTIAL_EXPIRATION=SOON.isoformat())
    job = endpoint.add("warned", Seen([(0, "InProgress", "ModelTuning"), (NEVER, "Failed", "Failed")]))
    _, _, stderr = run(job, "--poll", "0.2", env=env)
    assert f"the credentials expire at {SOON:%Y-%m-%dT%H:%M:%S}.000Z" in stderr


@pytest.mark.long
def test_failing_login_ends_the_wait_only_before_the_first_response(endpoint: FaultyEndpoint, tmp_path: Path) -> None:
    """A source that fails at first ends the wait soon; one that has worked before gets the error budget."""
    answer, config = tmp_path / "answer.json", tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = cat {answer}\n")
    env = endpoint_environment(endpoint.url, AWS_CONFIG_FILE=str(config), AWS_ACCESS_KEY_ID="")
    job = endpoint.add("process", ENDLESS)
    code, _, stderr = run(job, "--error-budget", "0.5s", env=env)
    assert (code, len(endpoint.calls("DescribeAutoMLJobV2", job))) == (77, 0)
    assert "cannot get credentials" in stderr

    keys = {"Version": 1, "AccessKeyId": "OLD", "SecretAccessKey": "x"}
    answer.write_text(json.dumps(keys))
    with start("wait", job, "--poll", "0.5", env=env) as process:
        assert process.stderr is not None
        assert "ModelTuning" in process.stderr.readline()
        answer.unlink()
        endpoint.then(job, expired_key("OLD"))
        assert "trying to get new ones" in process.stderr.readline()
        with endpoint.server.lock:
            endpoint.server.jobs[job].timeline = COMPLETED
        answer.write_text(json.dumps(keys | {"AccessKeyId": "NEW"}))
        assert process.wait(60) == 0


@pytest.mark.parametrize("process", ["no-such-program", "echo no JSON", "false"])
def test_failing_credential_process_gives_each_job_an_outcome(
    endpoint: FaultyEndpoint, tmp_path: Path, process: str
) -> None:
    """Without credentials at the start the exit code is 77, and stderr has the command that resumes."""
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {process}\n")
    files = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_ACCESS_KEY_ID": ""}
    words = ["a", "b", "--error-budget", "0.5s", "-o", "json"]
    code, stdout, stderr = run(*words, env=endpoint_environment(endpoint.url, **files))
    document = json.loads(stdout)
    assert code == document["exit_code"] == 77
    assert [job["error"]["type"] for job in document["jobs"]] == ["CredentialsExpired"] * 2
    assert "cannot get credentials from the credential_process" in stderr
    assert stderr.splitlines()[-1] == "to resume: automl-waiter wait a b --error-budget 0.5s --output json"
    assert "Traceback" not in stderr


def test_missing_sso_login_ends_the_wait_at_once(endpoint: FaultyEndpoint, tmp_path: Path) -> None:
    """A single sign-on without a login ends the wait before its first call."""
    (tmp_path / "config").write_text(SINGLE_SIGN_ON)
    files = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "HOME": str(tmp_path)}
    job = endpoint.add("sso", ENDLESS)
    code, _, stderr = run(job, env=endpoint_environment(endpoint.url, AWS_ACCESS_KEY_ID="", **files))
    assert (code, len(endpoint.calls("DescribeAutoMLJobV2", job))) == (77, 0)
    assert "log in" in stderr


# The library


def test_rewritten_credentials_file_is_read_again(home: Path) -> None:
    """New keys in the file make a new client; while the file is missing or broken, a retry still makes sense."""
    write_credentials(home / "credentials", "OLD")
    connection = connect()
    old = connection.client
    for broken in (None, "[default]\naws_access_key_id = HALF\n", "[default\n", ""):
        if broken is not None:
            (home / "credentials").write_text(broken)
        assert connection.renew(old)
        assert connection.client is old
    (home / "credentials").unlink()
    assert connection.renew(old)
    write_credentials(home / "credentials", "NEW")
    assert connection.renew(old)
    assert key_of(connection.client) == "NEW"
    assert key_of(old) == "OLD"
    new = connection.client
    assert connection.renew(old)
    assert connection.client is new, "who comes late with the old client gets the new one"


def test_client_is_renewed_once_per_expiry(home: Path) -> None:
    """Self-refreshing credentials make one new client for each expiry, also if the old one is renewed twice."""
    keys = {
        "Version": 1,
        "AccessKeyId": "A",
        "SecretAccessKey": "x",
        "SessionToken": "x",
        "Expiration": SOON.isoformat(),
    }
    (home / "answer.json").write_text(json.dumps(keys))
    (home / "config").write_text(f"[default]\ncredential_process = cat {home / 'answer.json'}\n")
    connection = connect()
    old = connection.client
    assert connection.renew(old)
    new = connection.client
    assert new is not old
    assert connection.renew(old)
    assert connection.client is new


def test_credentials_that_cannot_change_are_not_retried(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither environment variables of this process nor missing credentials can change."""
    connection = connect()
    assert not connection.renew(connection.client)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "STATIC")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    connection = connect()
    assert not connection.renew(connection.client)


def test_client_of_the_caller_is_never_replaced(home: Path) -> None:
    """Another attempt makes sense only if the given client's credentials refresh themselves."""
    static = boto3.client("sagemaker", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    given = Connection(static)
    assert not given.renew(static)
    assert given.credentials_expire_at is None
    static._request_signer._credentials = RefreshableCredentials("x", "x", "x", SOON, dict, "assume-role")
    assert given.renew(static)
    assert given.client is static


def test_many_jobs_renew_their_client_once(
    endpoint: FaultyEndpoint, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty jobs share one client, and one new client when the credentials of the old one expire."""
    write_credentials(home / "credentials", "OLD")
    made: list[Any] = []
    renew = OwnConnection.renew

    def counted(self: OwnConnection, expired: Any) -> bool:
        result = renew(self, expired)
        if self.client not in made:
            made.append(self.client)
        return result

    monkeypatch.setattr(OwnConnection, "renew", counted)
    events: list[Event] = []
    jobs = [endpoint.add(f"many-{number}", COMPLETED, [expired_key("OLD")]) for number in range(20)]

    def refresh(event: Event) -> None:
        events.append(event)
        if isinstance(event, Retry):  # the old token has been refused
            write_credentials(home / "credentials", "NEW")

    outcomes = wait_for_all(jobs, on_event=refresh, max_rate=1000)
    assert {outcome.verdict for outcome in outcomes.values()} == {"completed"}
    assert {event.kind for event in events if isinstance(event, Retry)} == {TransientKind.CREDENTIALS}
    assert [key_of(client) for client in made] in (["NEW"], ["OLD", "NEW"])


def test_jobs_of_one_region_share_a_client(home: Path) -> None:
    """There is one client for each region, not for each job, because clients are large."""
    gateways = Gateways()
    first = gateways.of(job_ref("a"))
    assert gateways.of(job_ref("b")) is first
    assert gateways.of(job_ref("arn:aws:sagemaker:eu-west-1:123456789012:automl-job/c")) is not first


# Expiry times


@pytest.mark.parametrize("name", ["AWS_CREDENTIAL_EXPIRATION", "AWS_SESSION_EXPIRATION"])
def test_expiry_is_read_from_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The variables of botocore and aws-vault are read; a value that is not a time is ignored."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    assert connect().credentials_expire_at is None
    monkeypatch.setenv(name, SOON.isoformat())
    assert connect().credentials_expire_at == SOON
    if name != "AWS_CREDENTIAL_EXPIRATION":  # for this one the SDK itself raises an error
        monkeypatch.setenv(name, "soon")
        assert connect().credentials_expire_at is None


@pytest.mark.parametrize("name", ["x_security_token_expires", "aws_session_expiration"])
def test_expiry_is_read_from_the_credentials_file(home: Path, name: str) -> None:
    """The keys that login tools write are read; a time without a zone is UTC."""
    write_credentials(home / "credentials", "x", **{name: SOON.isoformat()})
    assert connect().credentials_expire_at == SOON
    write_credentials(home / "credentials", "x", **{name: f"{SOON:%Y-%m-%dT%H:%M:%S}"})
    assert connect().credentials_expire_at == SOON
    write_credentials(home / "credentials", "x")
    assert connect().credentials_expire_at is None


@pytest.mark.parametrize("refresh", [True, False])
def test_expiry_is_read_from_the_sso_login(home: Path, refresh: bool) -> None:
    """A login without a refresh token ends with its access token; one with a refresh token renews itself."""
    (home / "config").write_text(SINGLE_SIGN_ON)
    assert connect().credentials_expire_at is None  # nobody has logged in
    token = {"accessToken": "t", "expiresAt": SOON.isoformat(), "startUrl": "https://corp.awsapps.com/start"}
    cache = home / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    # The file name that botocore uses.
    (cache / f"{hashlib.sha1(b'corp').hexdigest()}.json").write_text(
        json.dumps(token | ({"refreshToken": "r"} if refresh else {}))
    )
    assert connect().credentials_expire_at == (None if refresh else SOON)
