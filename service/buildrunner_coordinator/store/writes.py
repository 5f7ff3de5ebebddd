"""Writes rows into an open database, inside a transaction that the caller has begun and ends."""

from __future__ import annotations

import sqlite3

from buildrunner_coordinator.domain.changes import Changes
from buildrunner_coordinator.store.rows import META, REMOVALS, TABLES, Plain, cut_front

_META_SQL = (
    f"UPDATE meta SET {', '.join(f'{name} = ?' for name in (*META.columns, 'checksum'))} WHERE epoch = ?"
)
_WITHIN = "session_id = ? AND task_id = ? AND number = ? AND offset >= ? AND offset < ?"
_TRIM_SQL = f"DELETE FROM outputs WHERE {_WITHIN}"
_OVER_SQL = f"SELECT {TABLES.outputs.select()} FROM outputs WHERE {_WITHIN} AND offset + length(data) > ?"


def make_meta(connection: sqlite3.Connection, meta: Plain) -> None:
    """The first counters of a new database."""
    connection.execute(META.put_sql, (*meta, META.seal(meta)))


def replace_meta(connection: sqlite3.Connection, meta: Plain, epoch: int) -> bool:
    """Whether the database was still in that epoch; only then are the counters written."""
    return connection.execute(_META_SQL, (*meta, META.seal(meta), epoch)).rowcount == 1


def write_rows(connection: sqlite3.Connection, changes: Changes) -> None:
    """All but the counters and the removal of sessions.

    Removals first, so that a key removed and put again in one batch is there.
    """
    for name, sql in REMOVALS.items():
        keys = getattr(changes, name)
        if keys:
            connection.executemany(sql, [(key,) if isinstance(key, str) else key for key in keys])
    for table in TABLES:
        rows = getattr(changes, table.name)
        if rows:
            connection.executemany(table.put_sql, table.sealed(rows))
    for trim in changes.output_trims:
        _trim_output(connection, trim)


def _trim_output(connection: sqlite3.Connection, trim: Plain) -> None:
    """Removes what is within; of a piece that reaches over the end the rest is put in its place.

    A damaged one is left as it is, for its readers to be told.
    """
    *attempt, start, until = trim
    for stored in connection.execute(_OVER_SQL, (*attempt, start, until, until)).fetchall():
        row = TABLES.outputs.unsealed(stored)
        piece = TABLES.outputs.make(stored[:-1])
        if row is None:
            until = piece.offset
        else:
            rest = cut_front(piece, until)
            connection.execute(TABLES.outputs.put_sql, (*rest, TABLES.outputs.seal(rest)))
    connection.execute(_TRIM_SQL, (*attempt, start, until))
