"""How rows lie in tables: their columns, their keys, the checksum of each row. No database is opened here.

The columns of a table are the fields of its row type, in order, and `checksum` behind them. The
checksum covers the table's name and every column, so that neither a flipped byte nor a row that
strayed into another table passes for sound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple, get_type_hints
from zlib import crc32

from buildrunner_coordinator.domain.changes import (
    AttemptRow,
    EventRow,
    GrantRow,
    LapseRow,
    LockRequestRow,
    LockTimeRow,
    MetaRow,
    OutputRow,
    PatchRow,
    PoolRow,
    RequestRow,
    SessionRow,
    SpecRow,
    TaskRow,
    WorkerRow,
)

Plain = tuple[Any, ...]
"""A row without its type, as it goes to a database or another process."""

Seal = Callable[[Plain], int]


@dataclass(frozen=True)
class Table:
    """One table: `key` names what a replacing row has in common with the one it replaces."""

    name: str
    row_type: type[Any]
    key: tuple[str, ...]
    fixed: tuple[str, ...] = ()
    """Columns that no later row of the same key changes, so that their indexes are left alone."""
    columns: tuple[str, ...] = field(init=False)
    seal: Seal = field(init=False)
    """Gives the checksum of a row. Raises TypeError or ValueError if a column has the wrong type."""
    make: Callable[[Plain], Any] = field(init=False)
    """Gives a plain row its type, without a look at it."""
    put_sql: str = field(init=False)
    """Adds a row with its checksum, or replaces the one with the same key."""
    shown: Callable[[Plain], Any] = field(init=False)
    """Names a row to people: its key and what never changes."""

    def __post_init__(self) -> None:
        columns = self.row_type._fields
        named = [columns.index(name) for name in (*self.fixed, *self.key)]
        for name, value in (
            ("columns", columns),
            ("seal", _make_seal(self.name, self.row_type)),
            ("make", partial(tuple.__new__, self.row_type)),
            ("put_sql", _make_put_sql(self, columns)),
            ("shown", itemgetter(*named)),
        ):
            object.__setattr__(self, name, value)

    def sealed(self, rows: Iterable[Plain]) -> list[Plain]:
        """The rows with their checksums, as `put_sql` takes them."""
        seal = self.seal
        return [(*row, seal(row)) for row in rows]

    def unsealed(self, stored: Plain) -> Plain | None:
        """A row without its checksum, which is its last column; None if it is not as it was written."""
        row = stored[:-1]
        try:
            return row if self.seal(row) == stored[-1] else None
        except (TypeError, ValueError, OverflowError):
            return None

    def select(self, alias: str = "") -> str:
        """The column list of a SELECT, checksum last."""
        prefix = f"{alias}." if alias else ""
        return ", ".join(f"{prefix}{name}" for name in (*self.columns, "checksum"))


def _make_put_sql(table: Table, columns: tuple[str, ...]) -> str:
    fixed = {*table.key, *table.fixed}
    changing = [name for name in (*columns, "checksum") if name not in fixed]
    return (
        f"INSERT INTO {table.name} ({', '.join(columns)}, checksum) "
        f"VALUES ({', '.join('?' * (len(columns) + 1))}) ON CONFLICT ({', '.join(table.key)}) "
        f"DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in changing)}"
    )


def _make_seal(name: str, row_type: type[Any]) -> Seal:
    kinds = get_type_hints(row_type).values()
    blob_kinds = (bytes, bytes | None)
    return make_seal(name, [None if one in blob_kinds else "%d" if one is int else "%s" for one in kinds])


def make_seal(name: str, formats: Sequence[str | None]) -> Seal:
    """The checksum of rows of table `name`; `formats` has one entry a column, None for blobs.

    One %-format a row: the same text before and after storage (True and 1, an enumeration's text too).
    """
    blobs = [at for at, one in enumerate(formats) if one is None]
    others = [at for at, one in enumerate(formats) if one is not None]
    pattern = name + "\0" + "\0".join(one for one in formats if one is not None)
    if not blobs:
        return lambda row: crc32((pattern % row).encode())
    pick = itemgetter(*others)

    def seal(row: Plain) -> int:
        checksum = crc32((pattern % pick(row)).encode())
        for at in blobs:
            blob = row[at]
            checksum = crc32(b"-", checksum) if blob is None else crc32(blob, crc32(b"=", checksum))
        return checksum

    return seal


def cut_front(piece: OutputRow, offset: int) -> OutputRow:
    """The part of a piece of output from `offset` on, which is within it."""
    cut = offset - piece.offset
    return piece._replace(offset=offset, data=piece.data[cut:], dropped_bytes=piece.dropped_bytes + cut)


class Tables(NamedTuple):
    """All tables but `meta`, under the names that they have in `Changes`, in the order of writing."""

    sessions: Table
    specs: Table
    tasks: Table
    attempts: Table
    outputs: Table
    events: Table
    workers: Table
    pools: Table
    lapses: Table
    requests: Table
    patches: Table
    grants: Table
    lock_requests: Table
    lock_times: Table


META = Table("meta", MetaRow, ("store_id",))
TABLES = Tables(
    sessions=Table("sessions", SessionRow, ("session_id",)),
    specs=Table("specs", SpecRow, ("ordinal",), fixed=("session_id", "task_id")),
    tasks=Table("tasks", TaskRow, ("ordinal",), fixed=("session_id", "task_id")),
    attempts=Table("attempts", AttemptRow, ("session_id", "task_id", "number")),
    outputs=Table("outputs", OutputRow, ("session_id", "task_id", "number", "offset")),
    events=Table("events", EventRow, ("revision", "number")),
    workers=Table("workers", WorkerRow, ("worker_id",)),
    pools=Table("pools", PoolRow, ("session_id", "host")),
    lapses=Table("lapses", LapseRow, ("attempt_id",)),
    requests=Table("requests", RequestRow, ("client_id", "request_id")),
    patches=Table("patches", PatchRow, ("session_id", "task_id", "number")),
    grants=Table("grants", GrantRow, ("grant_id",), fixed=("session_id",)),
    lock_requests=Table("lock_requests", LockRequestRow, ("waiter_id",), fixed=("session_id",)),
    lock_times=Table("lock_times", LockTimeRow, ("revision", "number")),
)
REMOVALS: dict[str, str] = {
    "removed_workers": "DELETE FROM workers WHERE worker_id = ?",
    "removed_pools": "DELETE FROM pools WHERE session_id = ? AND host = ?",
    "removed_lapses": "DELETE FROM lapses WHERE attempt_id = ?",
    "removed_requests": "DELETE FROM requests WHERE client_id = ? AND request_id = ?",
    "removed_grants": "DELETE FROM grants WHERE grant_id = ?",
    "removed_lock_requests": "DELETE FROM lock_requests WHERE waiter_id = ?",
    "removed_events": "DELETE FROM events WHERE session_id = '' AND us < ?",
}
