"""docs/tutorial.md, followed step by step in two terminals and an empty folder."""

import os
import re
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest
from environments import clean_environment
from forking_programs import search_path
from pages import ALL, Block, assert_shows, sessions

TUTORIAL = [block for block in ALL if block.page == "docs/tutorial.md"]
DONE = "<<done>>"
CELL = "<<cell>>"

# The environment is the one that runs the tests: making another would take a minute.
INSTALLED = """\
python3() { mkdir -p .venv/bin && echo "PATH='$PROGRAMS'" > .venv/bin/activate; }
pip() { :; }
"""


class Terminal:
    """A shell to paste blocks into."""

    def __init__(self, folder: Path, path: str) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        # Its children are in their own process group, so that all end with the test.
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=clean_environment(PROGRAMS=path, AWS_PROFILE="mine", AWS_ENDPOINT_URL_CLOUDWATCH_LOGS=""),
            text=True,
            start_new_session=True,
            **pipes,  # type: ignore[call-overload]
        )
        self.paste(INSTALLED)

    def begin(self, text: str) -> str:
        """Paste a command that does not end, and return the first line of its output."""
        assert self._shell.stdin
        assert self._shell.stdout
        self._shell.stdin.write(f"{text}\n")
        self._shell.stdin.flush()
        return str(self._shell.stdout.readline())

    def paste(self, text: str) -> str:
        """Paste lines, and return what they print."""
        line, output = self.begin(f"{text}\necho '{DONE}'"), ""
        while not line.endswith(f"{DONE}\n"):
            assert line, output
            output += line
            line = self._shell.stdout.readline()  # type: ignore[union-attr]
        return output + line.removesuffix(f"{DONE}\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.communicate()


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


@pytest.mark.long
def test_the_tutorial_works_as_pasted(programs: Path, tmp_path: Path) -> None:
    """Each block does what the page says and prints what the page shows; jobs end at once, on a free port."""
    [session] = [found for found in sessions() if found[0] in TUTORIAL and not found[0].file_name]
    outputs: dict[Block, str] = {}
    port = free_port()
    with (
        Terminal(tmp_path, search_path(programs)) as first,
        Terminal(tmp_path, search_path(programs)) as second,
    ):
        for number, block in enumerate(TUTORIAL):
            text = block.shell.replace("8765", port).replace("--speed 60", "--speed 1000000")
            if "automl-waiter sandbox" in text:
                assert first.begin(text) == f"http://127.0.0.1:{port}\n"
            elif block.language == "sh" and number == 0:
                first.paste(text)
            elif block.language == "sh":
                outputs[block] = second.paste(text)
            elif block.language == "console":
                for command, shown in block.dialogue:
                    assert_shows(second.paste(command), shown, block)
            elif block.file_name:
                (tmp_path / block.file_name).write_text(text)
            elif block == session[0]:
                cells = f"\nprint('{CELL}')\n".join(cell.text for cell in session)
                (tmp_path / "cells.py").write_text(cells)
                printed = second.paste("python cells.py").split(f"{CELL}\n")
                assert len(printed) == len(session), printed[-1]
                outputs |= zip(session, printed, strict=True)
            elif block.language == "text":
                assert_shows(outputs[TUTORIAL[number - 1]], block.text.splitlines(), block)
    page = (tmp_path / "churn.html").read_text()
    assert re.search("churn-2026-001.*churn-2026-008", page, re.DOTALL)
