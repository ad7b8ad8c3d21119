"""Credential sources that hang, fail or prompt: what a wait does before and after its first good response."""

import asyncio
import json
import os
import signal
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions as sdk
from botocore.exceptions import ClientError, CredentialRetrievalError, NoCredentialsError
from environments import clean_environment, endpoint_environment
from faulty_endpoint import FaultyEndpoint
from programs import start
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
# Makes its terminal the controlling one, as a shell does.
ON_ITS_TERMINAL = "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "


class Client:
    """A boto3 client of a job whose credential source fails at the seconds for which `fails` is true."""

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
    """Return a home with a configuration file that a test writes, and no other credentials."""
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


def test_slow_starting_source_is_retried() -> None:
    """Two seconds without credentials at the start do not end a wait."""
    outcome = outcome_of(DONE, lambda second: second < 2)
    assert outcome.verdict == Verdict.COMPLETED
    assert outcome.waited < 10


def test_a_source_that_never_works_ends_the_wait_after_30_s() -> None:
    """Before the first good response a failing source is retried for 30 s, or for a shorter error budget."""
    for budget, seconds in ((900, 30), (5, 5)):
        outcome = outcome_of(DONE, lambda _: True, error_budget=budget)
        assert (outcome.exit_code, type(outcome.error)) == (77, CredentialsExpired)
        assert "cannot get credentials from the role: Expecting value" in str(outcome.error)
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
def test_any_source_failure_during_a_wait_is_retried(error: Exception) -> None:
    """After a good response every failure of a source is a transient credential error."""
    assert outcome_of(COMPLETED, lambda second: 100 < second < 800, error).verdict == Verdict.COMPLETED


def test_source_that_keeps_failing_during_a_wait_ends_it_by_the_error_budget() -> None:
    """The wait ends with 77, which engines retry."""
    outcome = outcome_of(ENDLESS, lambda second: second > 100)
    assert (outcome.exit_code, type(outcome.error)) == (77, CredentialsExpired)
    assert outcome.waited == pytest.approx(1000, abs=100)


# Whether a source exists


def test_missing_source_ends_the_wait_at_its_first_call(home: Path) -> None:
    """If nothing is configured, the wait ends at once."""
    begun = time.monotonic()
    outcome = wait_for_all(["a"])["a"]
    assert (outcome.exit_code, outcome.retries) == (77, 0)
    assert "no AWS credentials" in str(outcome.error)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("content", [None, ""])
def test_a_file_that_a_variable_names_is_a_source(
    home: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    """A credentials file may be written later; a path that is not a regular file, as /dev/null, is not a source."""
    file = home / "credentials"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    with pytest.raises(CredentialRetrievalError, match="AWS_SHARED_CREDENTIALS_FILE"):
        load_from(new_session(None))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    with pytest.raises(NoCredentialsError):
        load_from(new_session(None))


def test_metadata_service_is_a_source_once_it_has_responded(
    home: Path, endpoint: FaultyEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an instance without a role yet the service responds without credentials; on a laptop nothing responds."""
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    for url, error in ((endpoint.url, CredentialRetrievalError), ("http://127.0.0.1:9", NoCredentialsError)):
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        with pytest.raises(error):
            load_from(new_session(None))


def test_incomplete_key_in_the_environment_ends_the_wait_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of this process cannot be set from outside, so the wait does not retry; the error names it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    outcome = wait_for_all(["a"])["a"]
    assert (outcome.exit_code, outcome.retries) == (77, 0)
    assert "AWS_SECRET_ACCESS_KEY is not set" in str(outcome.error)


def test_missing_login_names_the_login_command(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An expired or missing single sign-on session ends the wait before its first response."""
    (home / "config").write_text(SINGLE_SIGN_ON)
    assert main(["wait", "a", "--profile", "corp"]) == 77
    assert "aws sso login --profile corp" in capsys.readouterr().err


def test_credentials_written_during_a_wait_are_used(home: Path, endpoint: FaultyEndpoint) -> None:
    """Each attempt reads the configuration again, so a file that is written after the start of the wait is used."""

    def write(event: Event) -> None:
        if event.event == "retry":
            lines = "".join(f"{name} = x\n" for name in ("aws_access_key_id", "aws_secret_access_key"))
            (home / "config").write_text(f"[default]\n{lines}")

    (home / "config").write_text("[default]\ncredential_process = false\n")
    assert wait_for(endpoint.add("written", DONE), on_event=write).verdict == Verdict.COMPLETED


# Hanging sources


def test_hanging_source_does_not_delay_the_deadline(home: Path, endpoint: FaultyEndpoint) -> None:
    """A credential_process that does not return ends a wait at its timeout."""
    (home / "config").write_text("[default]\ncredential_process = sleep 8\n")
    connect()  # the waits of a process share a client, which takes a while to make on a busy machine
    begun = time.monotonic()
    with pytest.raises(WaitTimeout):
        wait_for(endpoint.add("hangs", DONE), timeout=1)
    assert time.monotonic() - begun < 4


def test_hanging_source_is_bounded_by_the_error_budget(
    home: Path, endpoint: FaultyEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its calls are abandoned one by one, and at most one of them occupies a thread."""
    monkeypatch.setattr(retries, "_ATTEMPT_TIMEOUT_S", 0.3)
    monkeypatch.setattr(sources, "_LONGEST_TURN_S", 0.1)
    (home / "config").write_text("[default]\ncredential_process = sleep 8\n")
    with pytest.raises(CredentialsExpired, match=r"cannot get credentials: no answer for 0\.1s"):
        wait_for(endpoint.add("budget", DONE), error_budget=1.5)


def test_slow_source_does_not_block_the_event_loop(home: Path, endpoint: FaultyEndpoint) -> None:
    """While the SDK is loaded, a client made and its credentials fetched, other tasks of the loop keep running."""
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


def test_no_mfa_prompt_without_a_terminal(home: Path, endpoint: FaultyEndpoint) -> None:
    """In cron there is no prompt, standard input stays unread, and the message names MFA, with exit code 77."""
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


COMMAND_LINE = "from automl_waiter.cli import main; code = main()"
ASYNCIO = """
import asyncio
from automl_waiter import aio
[outcome] = asyncio.run(aio.wait_for_all(sys.argv[2:3], timeout=2)).values()
code = outcome.exit_code
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("program", "options", "code"),
    [(COMMAND_LINE, ["--timeout", "2s"], 124), (ASYNCIO, [], 124), (COMMAND_LINE, [], 130)],
    ids=["timeout", "timeout under asyncio", "interrupt"],
)
def test_interrupted_mfa_prompt_restores_the_terminal(
    home: Path, endpoint: FaultyEndpoint, program: str, options: list[str], code: int
) -> None:
    """After a timeout or a signal ends a wait at its prompt, the terminal echoes again."""
    (home / "config").write_text(SECOND_FACTOR)
    env = endpoint_environment(endpoint.url, AWS_CONFIG_FILE=str(home / "config"), AWS_ACCESS_KEY_ID="")
    # A process that ends late leaves time for another question.
    program = f"{ON_ITS_TERMINAL}\n{program}\nimport time; time.sleep(0.3); sys.exit(code)"
    words = [sys.executable, "-c", program, "wait", endpoint.add("asks", DONE), *options]
    with closing(Terminal(env=env, instead=words)) as terminal:
        terminal.until(lambda shown: "Enter MFA code for arn:aws:iam::123456789012:mfa/alice" in shown)
        assert not termios.tcgetattr(terminal._owner)[3] & termios.ECHO
        if code == 130:
            os.killpg(terminal.process.pid, signal.SIGINT)
        assert terminal.end() == code
        assert termios.tcgetattr(terminal._owner)[3] & termios.ECHO


def test_a_call_of_an_ended_wait_asks_nothing() -> None:
    """A call that was in line for the source, and reaches it after the end of its wait, shows no prompt."""
    program = f"""{ON_ITS_TERMINAL}
import threading
from automl_waiter._system.question import ask
from automl_waiter._system.threads import HAS_ENDED
HAS_ENDED.set(ended := threading.Event())
ended.set()
try:
    ask("Code: ")
except InterruptedError as error:
    print(error)
"""
    with closing(Terminal(env=clean_environment(), instead=[sys.executable, "-c", program])) as terminal:
        assert terminal.end() == 0
        assert terminal.text == "the wait that asked has ended"


def test_the_end_of_another_wait_leaves_the_prompt() -> None:
    """The prompt of one wait stands, without echo, when another wait in the process ends."""
    program = f"""{ON_ITS_TERMINAL}
import threading
from automl_waiter._system.question import OPEN, ask, end_questions
def end_another():
    while not OPEN:
        pass
    end_questions(threading.Event())
    print("ended")
threading.Thread(target=end_another).start()
print(ask("Code: ")[::-1])
"""
    with closing(Terminal(env=clean_environment(), instead=[sys.executable, "-c", program])) as terminal:
        terminal.until(lambda shown: "ended" in shown and "Code:" in shown)
        terminal.send("123456\n")
        assert terminal.end() == 0
        assert "654321" in terminal.text
        assert "123456" not in terminal.text


def test_two_prompts_come_one_after_the_other() -> None:
    """Two sources that ask at the same time share the terminal, which echoes after both."""
    program = f"""{ON_ITS_TERMINAL}
import threading
from automl_waiter._system.question import ask
threads = [threading.Thread(target=ask, args=["Code: "]) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
    with closing(Terminal(env=clean_environment(), instead=[sys.executable, "-c", program])) as terminal:
        for asked in (1, 2):
            terminal.until(lambda shown, asked=asked: shown.count("Code:") == asked)
            terminal.send("123456\n")
        assert terminal.end() == 0
        assert "123456" not in terminal.text
        assert termios.tcgetattr(terminal._owner)[3] & termios.ECHO


def test_rejected_mfa_code_is_prompted_for_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt prompts again until the role is assumed, in the region of AWS_REGION."""
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


def test_typed_mfa_code_is_not_echoed() -> None:
    """The prompt returns the typed line, which the terminal does not show."""
    program = f"{ON_ITS_TERMINAL} from automl_waiter._system.question import ask; print(ask('Code: ')[::-1])"
    with closing(Terminal(env=clean_environment(), instead=[sys.executable, "-c", program])) as terminal:
        terminal.until(lambda shown: "Code:" in shown)
        terminal.send("123456\n")
        assert terminal.end() == 0
        assert "654321" in terminal.text
        assert "123456" not in terminal.text
