"""A lock that ends with the processes that hold it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from automl_waiter._system.portable import LOCKS_ARE_INHERITED, try_lock


class FileLock:
    """A lock on a file of its own, free again once every process that holds it has ended, however it ended.

    The kernel keeps it. So process ids, host names and clocks do not matter, and containers that share the directory
    agree on it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._descriptor: int | None = None

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The descriptors to pass to a child process, which then holds the lock too, where the system can."""
        return () if self._descriptor is None or not LOCKS_ARE_INHERITED else (self._descriptor,)

    def acquire(self) -> bool:
        """Acquire the lock, and return False if another holder has it.

        Raises:
            OSError: The file cannot be created, or the file system has no locks.
        """
        while self._descriptor is None:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                if not try_lock(descriptor):
                    return False
                # The previous holder may have removed the file before this lock was on it.
                if self._is_at_path(descriptor):
                    self._descriptor = descriptor
            finally:
                if self._descriptor is None:
                    os.close(descriptor)
        return True

    def release(self) -> None:
        """Remove the file and release the lock; a child process that inherited it no longer blocks others."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        is_in_use = False
        try:
            if self._is_at_path(descriptor):
                self._path.unlink()
        except OSError as error:
            is_in_use = isinstance(error, PermissionError)
        os.close(descriptor)
        if is_in_use:  # Windows removes no file that is open, neither this one nor that of the next holder
            with contextlib.suppress(OSError):
                self._path.unlink()

    def is_held(self) -> bool:
        """Return whether another holder has it. The file of a dead holder is removed."""
        if not self._path.exists():
            return False
        if not self.acquire():
            return True
        self.release()
        return False

    def _is_at_path(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False
