"""Removes sessions from an open database a piece at a time, so that a session of a million tasks holds up
no commit. Which sessions are not gone yet stands in a table, so that a restart goes on where it ended.

The transactions are the caller's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from buildrunner_coordinator.store.faults import damaged_row

PIECE_ROWS = 500
PIECE_OUTPUTS = 50
PIECE_PATCHES = 5
"""So many rows of a table, and pieces of output or patches, which may be large, go in one transaction."""

_AT_ONCE = tuple(
    f"DELETE FROM {name} WHERE session_id = ?"
    for name in ("pools", "lapses", "grants", "lock_requests", "sessions")
)
_ORDINALS = "SELECT ordinal FROM tasks WHERE session_id = ? ORDER BY ordinal LIMIT ?"
_KEYS = {
    "events": ("revision, number", PIECE_ROWS),
    "attempts": ("session_id, task_id, number", PIECE_ROWS),
    "outputs": ("session_id, task_id, number, offset", PIECE_OUTPUTS),
    "patches": ("session_id, task_id, number", PIECE_PATCHES),
    "lock_times": ("revision, number", PIECE_ROWS),
}


def left_over(connection: sqlite3.Connection, path: Path) -> list[str]:
    """Ids of removed sessions of which there may be rows. Raises DamagedRowError if one is there."""
    found = [one for (one,) in connection.execute("SELECT session_id FROM leavings ORDER BY session_id")]
    for session_id in found:
        if connection.execute("SELECT 1 FROM sessions WHERE session_id = ?", (session_id,)).fetchone():
            raise damaged_row(path, "leavings", session_id)
    return found


def begin(connection: sqlite3.Connection, session_ids: Iterable[str], again: set[str]) -> list[str]:
    """Removes the sessions, and a first piece of what is below them; those `again` put in with the same
    transaction wholly. Returns the ids of which more is left."""
    left = []
    for session_id in session_ids:
        for sql in _AT_ONCE:
            connection.execute(sql, (session_id,))
        is_gone = go_on(connection, session_id)
        while session_id in again and not is_gone:
            is_gone = go_on(connection, session_id)
        if not is_gone:
            connection.execute("INSERT OR REPLACE INTO leavings VALUES (?)", (session_id,))
            left.append(session_id)
    return left


def go_on(connection: sqlite3.Connection, session_id: str) -> bool:
    """Removes a piece of what is below a removed session. True when nothing is left."""
    is_gone = True
    for name, (key, limit) in _KEYS.items():
        chosen = f"SELECT {key} FROM {name} WHERE session_id = ? LIMIT ?"
        removed = connection.execute(f"DELETE FROM {name} WHERE ({key}) IN ({chosen})", (session_id, limit))
        is_gone = is_gone and removed.rowcount < limit
    # Specs have no index by session: their tasks lead to them, and go with them.
    ordinals = connection.execute(_ORDINALS, (session_id, PIECE_ROWS)).fetchall()
    for name in ("specs", "tasks"):
        connection.executemany(f"DELETE FROM {name} WHERE ordinal = ?", ordinals)
    is_gone = is_gone and len(ordinals) < PIECE_ROWS
    if is_gone:
        connection.execute("DELETE FROM leavings WHERE session_id = ?", (session_id,))
    return is_gone
