"""Brings a database to the schema that this program knows, by the numbered steps in migrations/."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from buildrunner_coordinator.store.base import NewerSchemaError, StoreError
from buildrunner_coordinator.store.faults import damaged_row
from buildrunner_coordinator.store.sealing import columns_of_tables, seal_anew

STEPS = Path(__file__).with_name("migrations")
APPLICATION_ID = int.from_bytes(b"BRPP", "big")


def steps(folder: Path = STEPS) -> dict[int, Path]:
    """The steps by number, in order. Raises StoreError if one is missing: the installation is broken."""
    found = {int(path.name[:4]): path for path in sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql"))}
    if list(found) != list(range(1, len(found) + 1)) or not found:
        raise StoreError(
            f"the installation is incomplete: database steps {list(found)} in {folder}: install again"
        )
    return found


def migrate(connection: sqlite3.Connection, path: Path, folder: Path = STEPS) -> None:
    """Applies what is missing, each step in one transaction.

    Rows of tables whose columns a step changes are verified and get new checksums.

    Raises NewerSchemaError for a database of a newer program, StoreError for one of another program,
    DamagedRowError or sqlite3.Error if a step fails; the database is then as after the step before.
    """
    known = steps(folder)
    present = int(connection.execute("PRAGMA user_version").fetchone()[0])
    _refuse_foreign(connection, path, present)
    if present > len(known):
        raise NewerSchemaError(
            f"{path} was written by a newer version of this program (schema {present}, here {len(known)}): "
            "update the program, or start with a backup from before"
        )
    for number in range(present + 1, len(known) + 1):
        _apply(connection, path, number, known[number].read_text())


def refuse_altered(connection: sqlite3.Connection, path: Path) -> None:
    """Raises DamagedRowError if the definitions of the tables are not what the steps make."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as pattern:
        migrate(pattern, path)
        if _definitions(connection) != _definitions(pattern):
            raise damaged_row(path, "sqlite_master", "definitions")


def _definitions(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    return connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()


def _refuse_foreign(connection: sqlite3.Connection, path: Path, present: int) -> None:
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    is_empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if application_id != APPLICATION_ID and not (is_empty and present == 0):
        raise StoreError(f"{path} is a database of another program: choose another state directory")


def _apply(connection: sqlite3.Connection, path: Path, number: int, script: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        before = columns_of_tables(connection)
        for statement in _statements(script):
            connection.execute(statement)
        seal_anew(connection, path, before)
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    """Whole statements; the module's own script call would commit before the first one."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    if pending.strip():
        raise StoreError(f"the installation is damaged: a database step ends in {pending.strip()[-40:]!r}")
