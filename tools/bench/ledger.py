"""What really is in the database, read with SQL once its coordinator has ended. Opens it for reading only."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tools.bench.figures import RowError


class Counts(NamedTuple):
    succeeded: int
    attempts: int
    output_bytes: int


def read_counts(database: Path, session_ids: list[str] | None = None) -> Counts:
    """Of the sessions named, or of all."""
    where, values = "", []
    if session_ids is not None:
        where = f" AND session_id IN ({', '.join('?' * len(session_ids))})"
        values = session_ids
    with closing(sqlite3.connect(database)) as connection:

        def count(sql: str) -> int:
            return int(connection.execute(sql + where, values).fetchone()[0])

        return Counts(
            count("SELECT count(*) FROM tasks WHERE status = 'succeeded'"),
            count("SELECT count(*) FROM attempts WHERE outcome = 'succeeded'"),
            count("SELECT coalesce(sum(length(data)), 0) FROM outputs WHERE true"),
        )


def check_counts(found: Counts, tasks: int, output_bytes: int = 0) -> None:
    """Raises RowError if the database tells another story than what was submitted."""
    expected = Counts(tasks, tasks, output_bytes)
    if found != expected:
        raise RowError(f"the reopened database has {found}, expected {expected}")
