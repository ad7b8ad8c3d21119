"""Windows and macOS: a part of the tests without what Windows lacks, and the behaviour that is specific to Windows."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from environments import clean_environment
from repository import ROOT
from test_resume import CANCELLED, resumed

from automl_waiter._system import portable
from automl_waiter.cli import local, signals
from automl_waiter.cli.lines import write_past_buffers
from automl_waiter.cli.signals import Interrupts

WINDOWS = ROOT / "tests" / "support" / "windows"
ON_WINDOWS = {"PYTHONPATH": str(WINDOWS), "SYSTEMROOT": str(WINDOWS)}

IN_PROCESSES = [
    "exec",
    "journal",
    "library",
    "machine",
    "process",
    "signals",
    "sandbox::test_a_created_job_runs_through_its_phases",
    "sandbox::test_port_in_use_is_an_oserror",
    "view::test_slow_terminal_gets_every_line_before_the_view_is_removed",
    "view::test_summary_replaces_the_view",
    "view::test_output_of_exec_is_above_the_view",
]

LEFT_OUT = {
    "exec::test_command_that_cannot_be_killed_does_not_block": "refuses os.killpg",
    "exec::test_interrupt_during_the_start_kills_the_command": "taskkill outlasts the wait for the report",
    "journal::test_removed_file_is_not_written_to": "removes an open file",
    "journal::test_lock_removed_during_its_creation_is_created_again": "removes an open file",
    "journal::test_removed_write_ahead_log_is_noticed": "removes an open file",
    "machine::test_sleep_ends_soon_after_the_machine_wakes": "uses CLOCK_BOOTTIME",
    "machine::test_clock_includes_system_sleep": "uses CLOCK_BOOTTIME",
    "process::test_signal_ignored_at_start_stays_ignored": "uses SIGHUP",
    "process::test_watch_ends_after_its_only_reader_exits": "uses select.poll",
}


def files(names: list[str]) -> list[str]:
    """Return the tests as pytest's arguments."""
    return [
        f"tests/processes/test_{file}.py{separator}{name}"
        for file, separator, name in (one.partition("::") for one in names)
    ]


@pytest.mark.soak
def test_the_quick_part_passes_without_what_windows_lacks() -> None:
    """Library, command, live view, --exec, journal and sandbox work without signals, clocks, locks and processes of POSIX."""
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not soak and not large"]
    words += ["tests/virtual_time", *files(IN_PROCESSES)]
    words += [f"--deselect={name}" for name in files([*LEFT_OUT])]
    env = clean_environment(**ON_WINDOWS)
    done = subprocess.run(
        [sys.executable, *words], env=env, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Patch the process to look like one on Windows, in cmd, and return the patch."""
    monkeypatch.setattr(portable, "IS_WINDOWS", True)
    monkeypatch.delenv("MSYSTEM", raising=False)
    monkeypatch.delenv("POWERSHELL_DISTRIBUTION_CHANNEL", raising=False)
    monkeypatch.setenv("USERPROFILE", r"C:\Users\Ann")
    monkeypatch.setenv("PSMODULEPATH", r"C:\Program Files\WindowsPowerShell\Modules")
    return monkeypatch


def in_powershell(windows: pytest.MonkeyPatch, version: int) -> None:
    """Patch the current shell to be PowerShell 5.1 or 7."""
    windows.setenv(
        "PSMODULEPATH", r"c:\users\ann\Documents\PowerShell\Modules;C:\Program Files\WindowsPowerShell\Modules"
    )
    if version > 5:
        windows.setenv("POWERSHELL_DISTRIBUTION_CHANNEL", "MSI:Windows 10 Pro")


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("churn-2026", "churn-2026"),
        (r"C:\jobs\state.db", r"C:\jobs\state.db"),
        ("--poll", "--poll"),
        ("-a.b", '"-a.b"'),
        ("my profile", '"my profile"'),
        ("Ann's", '"Ann\'s"'),
        ("a,b;c", '"a,b;c"'),
        ("BestCandidate.Value > 0.9", '"BestCandidate.Value > 0.9"'),
        ("a & b | c", '"a & b | c"'),
        ("", '""'),
        ("C:\\my jobs\\", '"C:\\my jobs\\\\"'),
    ],
)
def test_quotes_work_in_cmd_and_powershell(windows: pytest.MonkeyPatch, word: str, line: str) -> None:
    """One form is used in both if it has the same meaning in cmd and PowerShell."""
    assert portable.quoted([word]) == line
    in_powershell(windows, 5)
    assert portable.quoted([word]) == line


@pytest.mark.parametrize(
    ("word", "cmd", "powershell", "powershell_7"),
    [
        ("Value > `0.9`", '"Value > `0.9`"', "'Value > `0.9`'", "'Value > `0.9`'"),
        ("$(id)", '"$(id)"', "'$(id)'", "'$(id)'"),
        ("it's $1", '"it\'s $1"', "'it''s $1'", "'it''s $1'"),
        ("\u201cx\u201d & y", '"\u201cx\u201d & y"', "'\u201cx\u201d & y'", "'\u201cx\u201d & y'"),
        ('say "a > b"', r'^"say \^"a ^> b\^"^"', r"'say \"a > b\"'", "'say \"a > b\"'"),
        (r'C:\"x"', r'^"C:\\\^"x\^"^"', r"'C:\\\"x\"'", "'C:\\\"x\"'"),
    ],
)
def test_quotes_fit_the_current_windows_shell(
    windows: pytest.MonkeyPatch, word: str, cmd: str, powershell: str, powershell_7: str
) -> None:
    """Where the shells differ, PSModulePath shows which one reads the line."""
    assert portable.quoted([word]) == cmd
    in_powershell(windows, 5)
    assert portable.quoted([word]) == powershell
    in_powershell(windows, 7)
    assert portable.quoted([word]) == powershell_7


def test_git_bash_gets_posix_quotes(windows: pytest.MonkeyPatch) -> None:
    """Git Bash sets MSYSTEM."""
    windows.setenv("MSYSTEM", "MINGW64")
    assert portable.quoted(["a", "$(b) c"]) == "a '$(b) c'"


def test_resume_command_is_quoted_for_windows(windows: pytest.MonkeyPatch) -> None:
    """The command that resumes a wait is quoted for cmd and PowerShell."""
    line = "automl-waiter wait churn --profile 'my profile' --until 'Value > `0.9`'"
    assert resumed(line, {"churn": CANCELLED}) == (
        'automl-waiter wait churn --until "Value > `0.9`" --profile "my profile"'
    )
    in_powershell(windows, 5)
    assert resumed(line, {"churn": CANCELLED}) == (
        "automl-waiter wait churn --until 'Value > `0.9`' --profile \"my profile\""
    )


def test_sandbox_lines_set_variables_for_cmd(windows: pytest.MonkeyPatch) -> None:
    """The lines for a second terminal set variables in cmd's syntax, before the same for PowerShell."""
    windows.setenv("AWS_PROFILE", "mine")
    windows.setattr(local, "_program", lambda: [r"C:\my tools\automl-waiter.exe"])
    lines = list(local._instructions("http://127.0.0.1:5000", [], "completed", 60.0))
    for_cmd = lines[lines.index("") + 1 : lines.index("In PowerShell:") - 1]
    assert for_cmd[:2] == ["set AWS_PROFILE=", "set AWS_ENDPOINT_URL=http://127.0.0.1:5000"]
    assert for_cmd[-1] == '"C:\\my tools\\automl-waiter.exe" watch'


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (r"C:\tools\notify.exe --to x", [r"C:\tools\notify.exe", "--to", "x"]),
        (r'"C:\my tools\notify.exe" "a b"', [r"C:\my tools\notify.exe", "a b"]),
        ("py -c 'print(\"a b\")' # 1", ["py", "-c", 'print("a b")', "#", "1"]),
        (r"\\server\share\x.exe \n", [r"\\server\share\x.exe", r"\n"]),
    ],
)
def test_backslashes_of_a_command_survive_on_windows(windows: pytest.MonkeyPatch, line: str, words: list[str]) -> None:
    """On Windows a backslash is part of a path, and both quotes keep words together."""
    assert portable.split_command(line) == words


def test_posix_commands_are_split_as_a_shell_splits_them() -> None:
    """Elsewhere a backslash escapes, and `#` begins no comment."""
    assert portable.split_command(r"a\ b '#' # c") == ["a b", "#", "#", "c"]


def test_program_is_started_by_its_resolved_path(windows: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Windows shell finds `notify.cmd` for `notify`, but Windows does not start it by that name."""
    words: list[list[str]] = []
    windows.setattr("shutil.which", {"notify": r"C:\tools\notify.CMD"}.get)
    windows.setattr(subprocess, "Popen", lambda started, **_: words.append(started))
    portable.start_group(["notify", "a"])
    portable.start_group(["gone"])
    assert words == [[r"C:\tools\notify.CMD", "a"], ["gone"]]


def test_ctrl_break_ends_a_wait_as_sigterm_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows sends no SIGTERM; SIGBREAK is reported as 143."""
    monkeypatch.setattr(signals, "_SIGNALS", [signal.SIGUSR1])
    monkeypatch.setattr(signals, "_BREAK", signal.SIGUSR1)
    received: list[int] = []
    with Interrupts() as interrupts, interrupts.ending(received.append):
        signal.raise_signal(signal.SIGUSR1)
    assert received == [signal.SIGTERM]


class Standard(io.TextIOWrapper):
    """A standard stream as Python opens it on Windows, in a code page and off a console."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="cp1252", newline="\r\n")

    def written(self) -> bytes:
        """Return what was written, in bytes."""
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue()


def test_results_on_windows_are_utf8_with_plain_newlines(windows: pytest.MonkeyPatch) -> None:
    """A file or a pipe gets the same bytes as elsewhere, unless PYTHONIOENCODING is set."""
    for environment, written in (("", b"\xe2\x9c\x93\n"), ("ascii", b"\\u2713\n")):
        windows.setattr(sys, "stdout", standard := Standard())
        if environment:
            windows.setenv("PYTHONIOENCODING", environment)
        portable.prepare_streams()
        standard.write("\u2713\n")
        assert standard.written() == written


def test_console_without_escape_support_gets_none(windows: pytest.MonkeyPatch) -> None:
    """A console that supports neither cursor movement nor colours counts as a dumb terminal."""
    windows.delenv("TERM", raising=False)
    windows.setattr(sys, "stderr", stderr := Standard())
    windows.setattr(stderr, "isatty", lambda: True)
    for obeys in (True, False):
        windows.setattr(portable, "_obeys_escapes", lambda _, obeys=obeys: obeys)
        portable.prepare_streams()
        assert os.environ.get("TERM") == (None if obeys else "dumb")
        assert portable.is_drawable(stderr) is obeys


def test_closed_pipe_is_detected_by_the_error_of_windows(windows: pytest.MonkeyPatch) -> None:
    """Windows reports a broken pipe as an invalid argument."""
    invalid = OSError(22, "Invalid argument")
    assert portable.is_broken_pipe(invalid)
    windows.setattr(portable, "IS_WINDOWS", False)
    assert not portable.is_broken_pipe(invalid)
    assert portable.is_broken_pipe(BrokenPipeError(32, "Broken pipe"))


class Console(io.RawIOBase):
    """A console that accepts text through its stream only, a little at a time."""

    def __init__(self) -> None:
        self.shown = b""

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the console's descriptor, which writes bytes in a code page."""
        return 10_000

    def write(self, data: Any) -> int:
        """Write three bytes at most."""
        self.shown += bytes(data[:3])
        return min(3, len(data))


@pytest.mark.parametrize("is_buffered", [True, False])
def test_line_for_a_console_is_written_through_its_stream(is_buffered: bool) -> None:
    """On Windows only the stream can show UTF-8 on a console; its descriptor writes bytes in a code page."""
    console = Console()
    stream = io.TextIOWrapper(io.BufferedWriter(console) if is_buffered else console, encoding="utf-8")  # type: ignore[type-var]
    write_past_buffers(stream, "\u2713 completed\n")
    assert console.shown == "\u2713 completed\n".encode()
