"""What SQLite and the system complain of, as one clear line for people that says what to do. Nothing else."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from buildrunner_coordinator.store.base import DamagedRowError, StoreError

RESTORE = "restore the database from a backup (made with `br parallel backup`)"

_LINES = {
    sqlite3.SQLITE_FULL: "no space is left for {path}: free some space on its disk and start again",
    sqlite3.SQLITE_READONLY: "{path} or its directory is read-only: make both writable and start again",
    sqlite3.SQLITE_CANTOPEN: "{path} cannot be opened: check that its directory exists and is writable",
    sqlite3.SQLITE_PERM: "{path} may not be used by this user: check its owner and mode",
    sqlite3.SQLITE_BUSY: "{path} is in use by another process: stop the coordinator that holds it",
    sqlite3.SQLITE_LOCKED: "{path} is in use by another process: stop the coordinator that holds it",
    sqlite3.SQLITE_NOTADB: f"{{path}} is not a database, or its beginning is damaged: {RESTORE}",
    sqlite3.SQLITE_CORRUPT: f"{{path}} is damaged ({{error}}): {RESTORE}",
    sqlite3.SQLITE_IOERR: "{path} cannot be read or written ({error}): check its disk, then start again",
}


def explain(path: Path, error: BaseException) -> str:
    """One line on an error that SQLite or the system raised over the database at `path`."""
    if isinstance(error, OSError):
        reason = error.strerror or error
        return f"{path} cannot be opened or made: {reason}: check that its directory exists and is writable"
    code = getattr(error, "sqlite_errorcode", None)
    line = _LINES.get(code & 0xFF) if isinstance(code, int) else None
    if line is None:
        return f"{path} failed: {type(error).__name__}: {error}"
    return line.format(path=path, error=getattr(error, "sqlite_errorname", error))


def as_store_error(path: Path, error: BaseException) -> StoreError:
    """The error itself if it is a store's own, else one with the explanation."""
    return error if isinstance(error, StoreError) else StoreError(explain(path, error))


def damaged_row(path: Path, table: str, key: object) -> DamagedRowError:
    return DamagedRowError(
        f"{path} is damaged: the row {key!r} of table {table} is not as it was written: {RESTORE}"
    )
