"""The processes that own deliveries, and whether they are alive."""

from __future__ import annotations

import json
import os
import platform
import secrets
from datetime import datetime, timedelta
from pathlib import Path

# A process on another host cannot be checked, so it gets time: a command may run for a minute.
_FOREIGN_CLAIM = timedelta(minutes=5)


def owner_of_this_process() -> str:
    """Return a unique name for a journal that this process has open."""
    pid = os.getpid()
    return json.dumps([platform.node(), pid, _process_of(pid)[1], secrets.token_hex(8)])


def is_alive(owner: str, claimed_at: str | None, now: datetime) -> bool:
    """Return whether an owner may still make the delivery that it claimed."""
    host, pid, started, _ = json.loads(owner)
    if host != platform.node():
        return claimed_at is not None and now - datetime.fromisoformat(claimed_at) < _FOREIGN_CLAIM
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it runs as another user
    state, found = _process_of(pid)
    # Process ids are reused, and a process that was not reaped yet is dead.
    return state not in ("Z", "X") and (not started or not found or found == started)


def _process_of(pid: int) -> tuple[str, str]:
    """Return a process's state and its start time and boot; empty if the system does not show them."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # The program's name, in parentheses before these fields, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], f"{boot}/{fields[19]}"
    except (OSError, IndexError):
        return "", ""
