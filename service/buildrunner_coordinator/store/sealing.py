"""New checksums for rows whose tables a migration has given other columns.

A checksum covers every column, so it has to change with them. It is changed for sound rows only: damage
that happened before must not be sealed as if it were meant.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from buildrunner_coordinator.store.faults import damaged_row
from buildrunner_coordinator.store.rows import Plain, Seal, make_seal

Columns = dict[str, str]
"""Names and declared types of a table's columns, without the checksum."""


def columns_of_tables(connection: sqlite3.Connection) -> dict[str, Columns]:
    """Of every table that has checksums."""
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {name: _columns(connection, name) for name in names}
    return {name: columns for name, columns in found.items() if columns.pop("checksum", None) is not None}


def seal_anew(connection: sqlite3.Connection, path: Path, before: dict[str, Columns]) -> None:
    """To be called behind a step, in its transaction: `before` is what `columns_of_tables` said ahead of it.

    The old columns must still be there, with the values that they had. Raises DamagedRowError.
    """
    for name, columns in columns_of_tables(connection).items():
        old = before.get(name)
        if old is not None and old != columns:
            _seal_table(connection, path, name, old, columns)


def _seal_table(
    connection: sqlite3.Connection, path: Path, name: str, old: Columns, columns: Columns
) -> None:
    missing = old.keys() - columns.keys()
    assert not missing, f"a step dropped {missing} of {name}: their rows cannot be verified any more"
    former, present = _seal(name, old), _seal(name, columns)
    damaged: list[object] = []

    def sealed(*values: object) -> int:
        row, stored, rest = values[: len(old)], values[len(old)], values[len(old) + 1 :]
        if _checksum(former, row) != stored:
            damaged.append(row[:2])
            raise ValueError
        return present(rest)

    arguments = ", ".join((*old, "checksum", *columns))
    connection.create_function("sealed_anew", -1, sealed)
    try:
        connection.execute(f"UPDATE {name} SET checksum = sealed_anew({arguments})")
    except sqlite3.OperationalError as error:
        # Without a name: text that is no text any more, which never reaches the function.
        if not damaged and "user-defined function" not in str(error):
            raise
        raise damaged_row(path, name, damaged[0] if damaged else "unreadable") from None
    finally:
        connection.create_function("sealed_anew", -1, None)


def _checksum(seal: Seal, row: Plain) -> int | None:
    """None for a row with values of other types than were ever written."""
    try:
        return seal(row)
    except (TypeError, ValueError, OverflowError):
        return None


def _seal(name: str, columns: Columns) -> Seal:
    """As `rows.py` makes it of a row's type: numbers as SQLite returns them print alike in both."""
    return make_seal(name, [None if kind == "BLOB" else "%s" for kind in columns.values()])


def _columns(connection: sqlite3.Connection, table: str) -> Columns:
    return {row[1]: row[2] for row in connection.execute(f"PRAGMA table_info({table})")}
