"""Reads rows of an open database and verifies each by its checksum. Nothing here writes.

Rows come back plain, in lists of bounded length, so that they can be passed on to another process.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import accumulate, islice
from pathlib import Path

from buildrunner_coordinator.domain.model import SESSION_OVER, TASK_OVER, TaskStatus
from buildrunner_coordinator.store.faults import damaged_row
from buildrunner_coordinator.store.rows import META, TABLES, Plain, Table

Part = tuple[str, list[Plain]]
"""The name of a field of Snapshot, and some of its rows."""

Pair = tuple[Plain, Plain]

PART_ROWS = 1000

_TASK_WIDTH = len(TABLES.tasks.columns) + 1
_STATUS_AT = TABLES.tasks.columns.index("status")
_TASK_OVER = ", ".join(f"'{status}'" for status in sorted(TASK_OVER))
_SESSION_OVER = ", ".join(f"'{status}'" for status in sorted(SESSION_OVER))
_NOT_LIVE = "".join(f"status <> '{status}' AND " for status in sorted({*TaskStatus} - TASK_OVER))
_PAIR_COLUMNS = f"{TABLES.tasks.select('t')}, {TABLES.specs.select('s')}"
_PAIR_TABLES = [(TABLES.tasks, 0), (TABLES.specs, _TASK_WIDTH)]


class Reader:
    """All reads of one connection."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def meta(self) -> Plain | None:
        """The row of counters; None in a new database."""
        rows = list(self.rows(META, f"SELECT {META.select()} FROM meta"))
        if len(rows) > 1:
            raise damaged_row(self._path, "meta", rows[1][0])
        return rows[0] if rows else None

    def rows(self, table: Table, sql: str, arguments: Sequence[object] = ()) -> Iterator[Plain]:
        """Sound rows of a SELECT of all columns. Raises DamagedRowError at the first other one."""
        stored = self._stored(sql, arguments, [(table, 0)])
        return (self._sound(table, row) for row in stored)

    def joined(
        self, tables: Sequence[Table], sql: str, arguments: Sequence[object] = ()
    ) -> Iterator[list[Plain]]:
        """Sound rows of a SELECT of all columns of several tables: one of each. A missing one is damage."""
        starts = [0, *accumulate(len(table.columns) + 1 for table in tables)]
        parts = list(zip(tables, starts, starts[1:], strict=False))
        stored = self._stored(sql, arguments, [(table, start) for table, start, _ in parts])
        for row in stored:
            pieces = [row[start:end] for _, start, end in parts]
            for table, piece in zip(tables, pieces, strict=True):
                if piece[0] is None:
                    raise damaged_row(self._path, table.name, tables[0].shown(row))
            yield [self._sound(table, piece) for table, piece in zip(tables, pieces, strict=True)]

    def snapshot_parts(self) -> Iterator[Part]:
        """Everything that a core is loaded from, but the meta row, in parts."""
        for name, order in (("sessions", "ordinal"), ("workers", "ordinal"), *_BY_KEY):
            table: Table = getattr(TABLES, name)
            yield from _parts(name, self.rows(table, f"SELECT {table.select()} FROM {name} ORDER BY {order}"))
        yield from self._task_parts()

    def task_pairs(self, session_id: str, statuses: Sequence[str], after: int, limit: int) -> list[Pair]:
        """Specs and tasks, in order of submission."""
        wanted = dict.fromkeys(statuses) or [""]
        ordinals = merge(*(self._ordinals(session_id, status, after, limit) for status in wanted))
        return [self._pair("t.ordinal = ?", (ordinal,))[0] for ordinal in islice(ordinals, limit)]

    def task(self, session_id: str, task_id: str) -> tuple[Pair, list[Plain]] | None:
        pairs = self._pair("t.session_id = ? AND t.task_id = ?", (session_id, task_id))
        if not pairs:
            return None
        at = "session_id = ? AND task_id = ?"
        sql = f"SELECT {TABLES.attempts.select()} FROM attempts WHERE {at} ORDER BY number"
        return pairs[0], list(self.rows(TABLES.attempts, sql, (session_id, task_id)))

    def output(self, attempt: tuple[str, str, int], offset: int, limit_bytes: int) -> list[Plain]:
        """Pieces that end behind `offset`: at least one if there is one, then up to `limit_bytes` in all."""
        at = "session_id = ? AND task_id = ? AND number = ?"
        sql = (
            f"SELECT {TABLES.outputs.select()} FROM outputs WHERE {at} AND offset + length(data) > ? "
            f"AND offset >= coalesce((SELECT max(offset) FROM outputs WHERE {at} AND offset <= ?), 0) "
            "ORDER BY offset"
        )
        found: list[Plain] = []
        size_bytes = 0
        for row in self.rows(TABLES.outputs, sql, (*attempt, offset, *attempt, offset)):
            size_bytes += len(row[-1])
            if found and size_bytes > limit_bytes:
                break
            found.append(row)
        return found

    def _task_parts(self) -> Iterator[Part]:
        """The tasks of unfinished sessions: whole while they live, by name once they are over.

        By a walk through the whole table: a damaged index must not hide one.
        """
        sql = (
            f"SELECT {_PAIR_COLUMNS} FROM tasks t NOT INDEXED "
            f"LEFT JOIN specs s ON s.ordinal = t.ordinal AND t.status NOT IN ({_TASK_OVER}) "
            f"WHERE t.session_id IN (SELECT session_id FROM sessions WHERE status NOT IN ({_SESSION_OVER})) "
            "ORDER BY t.ordinal"
        )
        stored = self._stored(sql, (), _PAIR_TABLES)
        while rows := list(islice(stored, PART_ROWS)):
            tasks = [self._sound(TABLES.tasks, row[:_TASK_WIDTH]) for row in rows]
            live = [task for task in tasks if task[_STATUS_AT] not in TASK_OVER]
            yield "tasks", live
            yield "specs", [self._spec(row) for row in rows if row[_STATUS_AT] not in TASK_OVER]
            yield "ended", [(*task[:2], task[_STATUS_AT]) for task in tasks if task[_STATUS_AT] in TASK_OVER]
            yield "output_bytes", list(self._output_ends(live))

    def _output_ends(self, tasks: Iterable[Plain]) -> Iterator[Plain]:
        sql = (
            f"SELECT {TABLES.outputs.select()} FROM outputs "
            "WHERE session_id = ? AND task_id = ? AND number = ? ORDER BY offset DESC LIMIT 1"
        )
        for task in map(TABLES.tasks.make, tasks):
            if not task.attempt_id:
                continue
            end = 0
            for row in self.rows(TABLES.outputs, sql, (task.session_id, task.task_id, task.attempts)):
                piece = TABLES.outputs.make(row)
                end = piece.offset + len(piece.data)
            yield task.attempt_id, end

    def _ordinals(self, session_id: str, status: str, after: int, limit: int) -> list[int]:
        condition = ""
        arguments: tuple[object, ...] = (session_id, after, limit)
        if status:
            # The literal comparisons of the index of ended tasks let it serve.
            ended = _NOT_LIVE if status in TASK_OVER else ""
            condition, arguments = f"{ended}status = ? AND ", (status, *arguments)
        condition += "session_id = ? AND ordinal > ?"
        sql = f"SELECT ordinal FROM tasks WHERE {condition} ORDER BY ordinal LIMIT ?"
        return [ordinal for (ordinal,) in self._connection.execute(sql, arguments)]

    def _pair(self, condition: str, arguments: Sequence[object]) -> list[Pair]:
        joined = "tasks t LEFT JOIN specs s ON s.ordinal = t.ordinal"
        sql = f"SELECT {_PAIR_COLUMNS} FROM {joined} WHERE {condition}"
        stored = list(self._stored(sql, arguments, _PAIR_TABLES))
        return [(self._spec(row), self._sound(TABLES.tasks, row[:_TASK_WIDTH])) for row in stored]

    def _spec(self, row: Plain) -> Plain:
        """The second half of a joined row, which must be there."""
        spec = row[_TASK_WIDTH:]
        if spec[0] is None:
            raise damaged_row(self._path, "specs", TABLES.tasks.shown(row))
        return self._sound(TABLES.specs, spec)

    def _sound(self, table: Table, row: Plain) -> Plain:
        sound = table.unsealed(row)
        if sound is None:
            raise damaged_row(self._path, table.name, table.shown(row))
        return sound

    def _stored(
        self, sql: str, arguments: Sequence[object], tables: list[tuple[Table, int]]
    ) -> Iterator[Plain]:
        try:
            # Not `yield from`: that would close the cursor after a database that has been let go of.
            for row in self._connection.execute(sql, arguments):  # noqa: UP028
                yield row
        except sqlite3.OperationalError as error:
            if "decode" not in str(error):
                raise
            self._find_undecodable(sql, arguments, tables)
            raise

    def _find_undecodable(
        self, sql: str, arguments: Sequence[object], tables: list[tuple[Table, int]]
    ) -> None:
        """Names the row whose text is no text any more, as far as can be told."""
        self._connection.text_factory = lambda text: text.decode(errors="replace")
        try:
            for row in self._connection.execute(sql, arguments).fetchall():
                for table, start in tables:
                    self._sound(table, row[start : start + len(table.columns) + 1])
        finally:
            self._connection.text_factory = str


_BY_KEY = tuple(
    (name, ", ".join(getattr(TABLES, name).key))
    for name in ("pools", "lapses", "requests", "grants", "lock_requests")
)


def _parts(name: str, rows: Iterator[Plain]) -> Iterator[Part]:
    while part := list(islice(rows, PART_ROWS)):
        yield name, part
