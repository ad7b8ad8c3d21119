"""The problems behind SQLite's and the system's errors for a journal."""

from __future__ import annotations

import os
import sqlite3
from typing import NamedTuple

from automl_waiter._model.errors import InvalidRequest
from automl_waiter._model.text import clean


class JournalError(InvalidRequest):
    """A journal cannot be used, or does not hold the requested jobs."""

    @classmethod
    def of(cls, path: str | os.PathLike[str], error: Exception) -> JournalError:
        """Return the error that says why the journal at `path` cannot be used."""
        return cls(f"the journal {clean(os.fspath(path))} {clean(problem_of(error).words)}")


class Unusable(ValueError):
    """A file that must not be used again. The arguments are the problem's kind and words."""


class Problem(NamedTuple):
    """Why a file cannot be used: its kind, and the words after "the journal ..."."""

    kind: str
    words: str
    is_final: bool = False
    """Retrying does not help, or would harm another program's file."""

    @property
    def is_locked(self) -> bool:
        """Whether another process holds a lock, which it may release at any moment."""
        return self.kind == "locked"


def problem_of(error: Exception) -> Problem:
    """Return the problem with the file, from an error of SQLite, the system or a stored value."""
    match error:
        case Unusable(args=(kind, words)):
            return Problem(kind, words, is_final=True)
        case FileNotFoundError():
            return Problem("no directory", "cannot be created: there is no such directory")
        case OSError():
            return Problem("system", f"cannot be opened: {(error.strerror or str(error)).lower()}")
        case sqlite3.Error():
            # Python's own errors have no code.
            return _problem_of_code(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF, str(error))
        case _:
            return Problem("damaged", f"is damaged: {error}", is_final=True)


def _problem_of_code(code: int, message: str) -> Problem:
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Problem("locked", "is locked by another process")
        case sqlite3.SQLITE_FULL:
            return Problem("full", "cannot be written: the disk is full")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return Problem("read-only", "cannot be written: it is read-only")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return Problem("damaged", f"is damaged, or not a journal: {message}", is_final=True)
        case sqlite3.SQLITE_CANTOPEN:
            return Problem("unopened", "cannot be opened")
        case _:
            return Problem("other", f"cannot be used: {message}")
