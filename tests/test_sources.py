"""Sources of credentials that hang, fail or ask: what a wait does then, before and after its first good answer."""

import asyncio
import json
import os
import signal
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions as sdk
from botocore.exceptions import ClientError, CredentialRetrievalError, NoCredentialsError
from faulty_endpoint import FaultyEndpoint
from processes import clean_environment, endpoint_environment, start
from terminals import Terminal
from virtual import COMPLETED, ENDLESS, from_source, kernel_of

from automl_waiter import CredentialsExpired, Event, Outcome, Verdict, WaitTimeout, aio, wait_for, wait_for_all
from automl_waiter._aws import sources
from automl_waiter._aws.configuration import new_session
from automl_waiter._aws.connection import Connection, connect
from automl_waiter._aws.gateway import Boto3Gateway
from automl_waiter._aws.sources import SourceCredentials, load_from
from automl_waiter._engine import retries
from automl_waiter._model.options import wait_options
from automl_waiter.cli import main
from automl_waiter.testing import EPOCH, ManualClock, Timeline
from automl_waiter.waiter import events_of

ARN = "arn:aws:sagemaker:us-east-1:123456789012:automl-job/churn"
DONE = Timeline([(0, "Completed", "Completed")])
KEYS = {"Version": 1, "AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "secret"}
SINGLE_SIGN_ON = (
    "[profile corp]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = dev\n"
    "[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\nsso_region = us-east-1\n"
)
SECOND_FACTOR = (
    "[default]\nrole_arn = arn:aws:iam::123456789012:role/dev\nsource_profile = base\n"
    "mfa_serial = arn:aws:iam::123456789012:mfa/alice\n[profile base]\naws_access_key_id = AKIDEXAMPLE\n"
    "aws_secret_access_key = secret\n"
)
# Makes its terminal the controlling one, as a shell's is.
ON_ITS_TERMINAL = "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "


class Client:
    """A boto3 client of a job whose source of credentials fails at the seconds for which `fails` is true."""

    class meta:
        region_name = "us-east-1"

    def __init__(self, timeline: Timeline, fails: Callable[[float], bool], error: Exception) -> None:
        self.clock = ManualClock()
        self.timeline = timeline
        self.fails = fails
        self.error = error

    def describe_auto_ml_job_v2(self, **_: str) -> dict[str, Any]:
        now = self.clock.monotonic()
        if self.fails(now):
            from_source(self.error)
        return self.timeline.response(now, name="churn", created=EPOCH, arn=ARN)


def outcome_of(
    timeline: Timeline, fails: Callable[[float], bool], error: Exception | None = None, **options: Any
) -> Outcome:
    """Return the outcome of a wait in virtual time."""
    client = Client(timeline, fails, error or ValueError("Expecting value: line 1 column 1 (char 0)"))
    gateway = Boto3Gateway(Connection(client), 1e6)
    events: list[Event] = list(
        events_of(kernel_of(["churn"], [gateway], wait_options(**options), client.clock), client.clock)
    )
    outcome: Outcome = events[-1].outcome  # type: ignore[union-attr]
    return outcome


@pytest.fixture(scope="module")
def endpoint() -> Iterator[FaultyEndpoint]:
    with FaultyEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, endpoint: FaultyEndpoint) -> Path:
    """A home with a configuration file that a test writes, and no credentials elsewhere."""
    env = endpoint_environment(endpoint.url, HOME=str(tmp_path), AWS_CONFIG_FILE=str(tmp_path / "config"))
    for name in {*os.environ} - {*env}:
        monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text("[default]\n")
    return tmp_path


# The rule, in virtual time


def test_a_source_that_starts_late_is_waited_for() -> None:
    """Credentials that cannot be had for the first 2 s are no reason to end a wait."""
    outcome = outcome_of(DONE, lambda second: second < 2)
    assert outcome.verdict == Verdict.COMPLETED
    assert outcome.waited < 10


def test_a_source_that_never_works_ends_the_wait_after_30_s() -> None:
    """Before the first good answer a source that fails is retried for 30 s, or as long as the budget lasts."""
    for budget, seconds in ((900, 30), (5, 5)):
        outcome = outcome_of(DONE, lambda _: True, error_budget=budget)
        assert (outcome.exit_code, type(outcome.error)) == (77, CredentialsExpired)
        assert "no credentials can be had from the role: Expecting value" in str(outcome.error)
        assert outcome.waited == pytest.approx(seconds, abs=0.1)
    outcome = outcome_of(DONE, lambda _: True, timeout=10)
    assert (outcome.verdict, outcome.waited) == (Verdict.TIMED_OUT, 10)


@pytest.mark.parametrize(
    "error",
    [
        json.JSONDecodeError("Expecting value", "<html>", 0),
        ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AssumeRole"),
        ClientError({"Error": {"Code": "ValidationException", "Message": "empty"}}, "AssumeRoleWithWebIdentity"),
        sdk.ParamValidationError(report="Invalid length for parameter WebIdentityToken"),
        sdk.UnauthorizedSSOTokenError(),
        sdk.RefreshWithMFAUnsupportedError(),
        sdk.InvalidConfigError(error_msg="half a file"),
        FileNotFoundError(2, "No such file", "/token"),
        KeyError("AccessKeyId"),
        EOFError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_source_says_amid_a_wait_is_waited_out(error: Exception) -> None:
    """After a good answer every failure of a source is a credential failure, which may pass."""
    assert outcome_of(COMPLETED, lambda second: 100 < second < 800, error).verdict == Verdict.COMPLETED


def test_a_source_that_fails_for_good_amid_a_wait_ends_it_by_the_error_budget() -> None:
    """It ends with 77, so that engines try again."""
    outcome = outcome_of(ENDLESS, lambda second: second > 100)
    assert (outcome.exit_code, type(outcome.error)) == (77, CredentialsExpired)
    assert outcome.waited == pytest.approx(1000, abs=100)


# What exists


def test_no_source_at_all_is_not_waited_for(home: Path) -> None:
    """Nothing names credentials: the wait ends at its first call."""
    begun = time.monotonic()
    outcome = wait_for_all(["a"])["a"]
    assert (outcome.exit_code, outcome.retries) == (77, 0)
    assert "no AWS credentials" in str(outcome.error)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("content", [None, ""])
def test_a_file_that_a_variable_names_is_a_source(
    home: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    """A credentials file that is not written yet may come; what is no regular file, as /dev/null, is no source."""
    file = home / "credentials"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    with pytest.raises(CredentialRetrievalError, match="AWS_SHARED_CREDENTIALS_FILE"):
        load_from(new_session(None))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    with pytest.raises(NoCredentialsError):
        load_from(new_session(None))


def test_the_metadata_service_is_a_source_once_it_has_answered(
    home: Path, endpoint: FaultyEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instance whose role is not there yet has an answer to no question; a laptop has nobody who answers."""
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    for url, error in ((endpoint.url, CredentialRetrievalError), ("http://127.0.0.1:9", NoCredentialsError)):
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        with pytest.raises(error):
            load_from(new_session(None))


def test_half_a_key_in_the_environment_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can set a variable of this process from outside: the wait ends at once and names it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    outcome = wait_for_all(["a"])["a"]
    assert (outcome.exit_code, outcome.retries) == (77, 0)
    assert "AWS_SECRET_ACCESS_KEY is not set" in str(outcome.error)


def test_who_is_not_logged_in_reads_the_command_that_logs_in(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A single sign-on that has expired, or never was, ends the wait before its first answer."""
    (home / "config").write_text(SINGLE_SIGN_ON)
    assert main(["wait", "a", "--profile", "corp"]) == 77
    assert "aws sso login --profile corp" in capsys.readouterr().err


def test_a_wait_finds_the_credentials_that_another_program_writes(home: Path, endpoint: FaultyEndpoint) -> None:
    """Each attempt reads the configuration again: a file that comes after the start of the wait is used."""

    def write(event: Event) -> None:
        if event.event == "retry":
            lines = "".join(f"{name} = x\n" for name in ("aws_access_key_id", "aws_secret_access_key"))
            (home / "config").write_text(f"[default]\n{lines}")

    (home / "config").write_text("[default]\ncredential_process = false\n")
    assert wait_for(endpoint.add("written", DONE), on_event=write).verdict == Verdict.COMPLETED


# Sources that hang


def test_a_source_that_hangs_does_not_delay_the_deadline(home: Path, endpoint: FaultyEndpoint) -> None:
    """A credential_process that does not return ends a wait at its timeout."""
    (home / "config").write_text("[default]\ncredential_process = sleep 8\n")
    connect()  # the waits of a process share a client, which takes a while to make on a busy machine
    begun = time.monotonic()
    with pytest.raises(WaitTimeout):
        wait_for(endpoint.add("hangs", DONE), timeout=1)
    assert time.monotonic() - begun < 4


def test_a_source_that_hangs_is_bounded_by_the_error_budget(
    home: Path, endpoint: FaultyEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its calls are abandoned one by one, and no more than one of them occupies a thread."""
    monkeypatch.setattr(retries, "_ATTEMPT_TIMEOUT_S", 0.3)
    monkeypatch.setattr(sources, "_LONGEST_TURN_S", 0.1)
    (home / "config").write_text("[default]\ncredential_process = sleep 8\n")
    with pytest.raises(CredentialsExpired, match=r"no credentials can be had: no answer for 0\.1s"):
        wait_for(endpoint.add("budget", DONE), error_budget=1.5)


def test_a_slow_source_does_not_hold_up_the_loop(home: Path, endpoint: FaultyEndpoint) -> None:
    """While the SDK is loaded, a client made and its credentials fetched, other tasks of the loop go on."""
    process = home / "process.py"
    process.write_text(f"import time; time.sleep(1.5); print({json.dumps(json.dumps(KEYS))})")
    (home / "config").write_text(f"[default]\ncredential_process = {sys.executable} {process}\n")
    gaps: list[float] = []

    async def tick() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.01)
            last, before = time.perf_counter(), last
            gaps.append(last - before)

    async def run() -> Outcome:
        ticking = asyncio.create_task(tick())
        outcome = await aio.wait_for(endpoint.add("slow", DONE))
        ticking.cancel()
        return outcome

    assert asyncio.run(run()).verdict == Verdict.COMPLETED
    assert len(gaps) > 20
    assert max(gaps) < 1.2  # on a busy machine the model of the service takes a while to read


# A second factor


def test_without_a_terminal_nobody_is_asked_for_a_second_factor(home: Path, endpoint: FaultyEndpoint) -> None:
    """In cron there is no prompt, standard input stays unread, and the message names MFA: 77."""
    (home / "config").write_text(SECOND_FACTOR)
    env = endpoint_environment(endpoint.url, AWS_CONFIG_FILE=str(home / "config"), AWS_ACCESS_KEY_ID="")
    read_end, write_end = os.pipe()
    os.write(write_end, b"123456\n")
    with start("wait", endpoint.add("cron", DONE), env=env, stdin=read_end, start_new_session=True) as process:
        _, stderr = process.communicate(timeout=60)
    os.close(write_end)
    assert (process.returncode, os.read(read_end, 100)) == (77, b"123456\n")
    os.close(read_end)
    assert "MFA" in stderr
    assert "Enter MFA code" not in stderr


@pytest.mark.parametrize(("options", "code"), [(["--timeout", "2s"], 124), ([], 130)])
def test_a_question_that_is_left_leaves_the_terminal_as_it_was(
    home: Path, endpoint: FaultyEndpoint, options: list[str], code: int
) -> None:
    """A timeout or a signal ends a wait that asks for a code, and the terminal echoes again."""
    (home / "config").write_text(SECOND_FACTOR)
    env = endpoint_environment(endpoint.url, AWS_CONFIG_FILE=str(home / "config"), AWS_ACCESS_KEY_ID="")
    program = f"{ON_ITS_TERMINAL} from automl_waiter.cli import main; sys.exit(main())"
    words = [sys.executable, "-c", program, "wait", endpoint.add("asks", DONE), *options]
    terminal = Terminal(env=env, instead=words)
    try:
        terminal.until(lambda shown: "Enter MFA code for arn:aws:iam::123456789012:mfa/alice" in shown)
        assert not termios.tcgetattr(terminal._owner)[3] & termios.ECHO
        if not options:
            os.killpg(terminal.process.pid, signal.SIGINT)
        assert terminal.end() == code
        assert termios.tcgetattr(terminal._owner)[3] & termios.ECHO
    finally:
        terminal.close()


def test_a_code_that_was_not_taken_is_asked_for_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt asks anew, as long as the role was not assumed; AWS_REGION is where it is tried."""
    asked: list[str] = []
    monkeypatch.setattr(sources, "ask", lambda words: asked.append(words) or "123456")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    (home / "config").write_text(SECOND_FACTOR)
    credentials = SourceCredentials(lambda: new_session(None))
    for _ in range(2):
        with pytest.raises(sdk.EndpointConnectionError):
            credentials.get_frozen_credentials()
    assert asked == ["Enter MFA code for arn:aws:iam::123456789012:mfa/alice: "] * 2


def test_what_is_typed_is_read_and_not_shown() -> None:
    """The answer to a question is the line that was typed, which the terminal does not show."""
    program = f"{ON_ITS_TERMINAL} from automl_waiter._system.question import ask; print(ask('Code: ')[::-1])"
    terminal = Terminal(env=clean_environment(), instead=[sys.executable, "-c", program])
    try:
        terminal.until(lambda shown: "Code:" in shown)
        terminal.send("123456\n")
        assert terminal.end() == 0
        assert "654321" in terminal.text
        assert "123456" not in terminal.text
    finally:
        terminal.close()
