"""The processes that own deliveries, and whether they are alive."""

from __future__ import annotations

import json
import os
import platform
import secrets
from datetime import datetime, timedelta
from pathlib import Path

# Whether a process of another host lives cannot be asked, so it is given time: a command may run for a minute.
_FOREIGN_CLAIM = timedelta(minutes=5)


def owner_of_this_process() -> str:
    """A name for a journal that this process has open, unlike any other's."""
    pid = os.getpid()
    return json.dumps([platform.node(), pid, _process_of(pid)[1], secrets.token_hex(8)])


def is_alive(owner: str, claimed_at: str | None, now: datetime) -> bool:
    """Whether an owner may still make the delivery that it claimed."""
    host, pid, started, _ = json.loads(owner)
    if host != platform.node():
        return claimed_at is not None and now - datetime.fromisoformat(claimed_at) < _FOREIGN_CLAIM
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it runs as somebody else
    state, found = _process_of(pid)
    # A number is given again, and a process that nobody has collected yet is dead.
    return state not in ("Z", "X") and (not started or not found or found == started)


def _process_of(pid: int) -> tuple[str, str]:
    """A process's state, and when it started in which boot of the machine; empty where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # The program's name, in brackets before, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], f"{boot}/{fields[19]}"
    except (OSError, IndexError):
        return "", ""
