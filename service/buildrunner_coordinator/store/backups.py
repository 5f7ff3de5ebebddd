"""Writes a database to a new file: whole, compact, readable by its owner alone, never over another file."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from buildrunner_coordinator.domain.changes import Changes
from buildrunner_coordinator.store.base import StoreError
from buildrunner_coordinator.store.faults import explain
from buildrunner_coordinator.store.schema import migrate
from buildrunner_coordinator.store.writes import make_meta, write_rows


def copy_database(connection: sqlite3.Connection, target: Path) -> None:
    """Writes the last commit to `target`. Raises StoreError if it exists or cannot be written.

    The copy grows under another name, so that `target` is never a half one.
    """
    partial = target.with_name(f".{target.name}.partial")
    try:
        _claim(target)
        try:
            partial.unlink(missing_ok=True)
            _claim(partial)
            connection.execute("VACUUM INTO ?", (str(partial),))
            _sync(partial)
            partial.replace(target)
            _sync(target.parent)
        except BaseException:
            partial.unlink(missing_ok=True)
            target.unlink(missing_ok=True)
            raise
    except FileExistsError as error:
        raise StoreError(f"{target} exists already: name a file that does not") from error
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"no backup was written: {explain(target, error)}") from error


def write_database(target: Path, changes: Changes) -> None:
    """A new database at `target` that holds these rows and their counters. Raises as `copy_database` does."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, target)
        if changes.meta is not None:
            make_meta(connection, changes.meta)
        write_rows(connection, changes)
        copy_database(connection, target)


def _claim(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
