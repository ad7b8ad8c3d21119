"""The command as a process: inherited signals, streams that are closed, full or unread, and names on standard input."""

import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from environments import endpoint_environment
from forking_programs import search_path
from programs import Command, start

from automl_waiter.cli.lines import write_product
from automl_waiter.cli.signals import Interrupts
from automl_waiter.sandbox.server import Sandbox

NewJob = Callable[[str], str]


def in_shell(script: str, endpoint: Sandbox, cwd: Path, *programs: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell's script, which finds the command."""
    env = endpoint_environment(endpoint.url, PATH=search_path(*programs))
    return subprocess.run(["sh", "-c", script], env=env, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("ignored", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ignored_at_start_stays_ignored(ignored: signal.Signals) -> None:
    """The command respects a script's `&`, `trap ''` and `nohup`: Ctrl-C at the script ends no background wait."""
    before = signal.signal(ignored, signal.SIG_IGN)
    try:
        with Interrupts():
            assert signal.getsignal(ignored) is signal.SIG_IGN
            others = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} - {ignored}
            assert all(callable(signal.getsignal(other)) for other in others)
    finally:
        signal.signal(ignored, before)


def test_handlers_are_set_before_the_library_is_loaded() -> None:
    """The import of the command's entry point loads neither the library nor click, which take a tenth of a second."""
    code = "import sys, automl_waiter.cli; print({'click', 'typing', 'automl_waiter._model'} & {*sys.modules})"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


@pytest.mark.parametrize("words", ["export asl", "status {job}", "report {job}"])
def test_lost_result_is_74_if_it_is_the_only_product(endpoint: Sandbox, new_job: NewJob, words: str) -> None:
    """On a full disk the exit code and one line report that the result was lost."""
    env = endpoint_environment(endpoint.url)
    with (
        Path("/dev/full").open("w") as full,
        start(*words.format(job=new_job("endless")).split(), env=env, stdout=full) as run,
    ):
        _, stderr = run.communicate(timeout=30)
    assert (run.returncode, stderr) == (74, "error: the result could not be written: No space left on device\n")


def test_closed_pipe_keeps_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """`export asl | head -1` is not an error."""

    class Closed:
        def write(self, _: str) -> None:
            raise BrokenPipeError

        def fileno(self) -> int:
            raise ValueError

    monkeypatch.setattr(sys, "stdout", Closed())
    assert write_product(["a", "b"]) == 0


def test_exec_command_can_write_to_stderr_that_was_closed(endpoint: Sandbox, new_job: NewJob, tmp_path: Path) -> None:
    """The command gets the null device, not a closed descriptor that its first file would take."""
    run = f"automl-waiter wait {new_job('failed')} --poll 0.1s --exec \"sh -c 'echo x >&2 && echo y >> ran'\" 2>&-"
    assert in_shell(run, endpoint, tmp_path).returncode == 10
    assert (tmp_path / "ran").read_text() == "y\ny\n"


def test_watch_ends_after_its_only_reader_exits(
    endpoint: Sandbox, new_job: NewJob, programs: Path, tmp_path: Path
) -> None:
    """`watch | head -1` does not keep running for weeks."""
    new_job("endless")
    done = in_shell(
        "(automl-waiter watch -o jsonl --poll 0.3s; echo $? > code) | head -1", endpoint, tmp_path, programs
    )
    assert json.loads(done.stdout)["event"] == "transition"
    assert (tmp_path / "code").read_text() == "0\n"


# Names on standard input


def test_names_on_standard_input_may_have_comments_and_a_byte_order_mark(
    inside: Command, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows writes the mark, and users write comments and blank lines."""
    a, b = new_job("endless"), new_job("endless")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"\ufeff# nightly\n{a}  # the first\n\n{b}\n"))
    result = inside("status", "-", "-o", "json")
    assert [job["job_name"] for job in json.loads(result.stdout)["jobs"]] == [a, b]


def test_each_bad_name_on_standard_input_is_reported_with_its_line(
    inside: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line on stderr names them all, up to ten."""
    monkeypatch.setattr("sys.stdin", io.StringIO("good\nb_d\nfine\nw@rse\n"))
    result = inside("wait", "-")
    assert result.returncode == 2
    assert "standard input, line 2: 'b_d' is not the name" in result.stderr
    assert "standard input, line 4: 'w@rse' is not the name" in result.stderr
    monkeypatch.setattr("sys.stdin", io.StringIO("b_d\n" * 13))
    [line] = inside("wait", "-").stderr.splitlines()
    assert line.count("b_d") == 10
    assert line.endswith("; and 3 more (see automl-waiter wait --help)")


def test_one_job_in_two_spellings_is_one_job(inside: Command, new_job: NewJob) -> None:
    """AWS compares names case-insensitively."""
    name = new_job("failed")
    result = inside("wait", name, name.upper(), "-o", "json", "--poll", "0.1s")
    [job] = json.loads(result.stdout)["jobs"]
    assert (job["job_name"], result.returncode) == (name, 10)
