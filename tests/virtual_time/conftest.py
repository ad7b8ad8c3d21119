import socket
import subprocess
from typing import Any, NoReturn

import pytest


@pytest.fixture(autouse=True)
def nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a test of this folder fail if it starts a process or opens a connection: it belongs into `processes`."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        # Not an Exception, which the code under test may handle.
        pytest.fail("a test in virtual time starts no process and opens no connection: move it to tests/processes")

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    monkeypatch.setattr("os.fork", refuse)
    for name in ("connect", "connect_ex", "bind"):
        monkeypatch.setattr(socket.socket, name, refuse)
