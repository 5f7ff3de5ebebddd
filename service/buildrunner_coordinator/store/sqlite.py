"""The embedded store: one SQLite database, held by one connection, in a writer process or inline.

Here plain rows get their types; how they are written and read is `database.py`, how a call gets
there is `links.py`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from buildrunner_coordinator.domain.changes import (
    AttemptRow,
    Changes,
    EventRow,
    LockTimeRow,
    MetaRow,
    OutputRow,
    PatchRow,
    Snapshot,
    SpecRow,
    TaskRow,
)
from buildrunner_coordinator.domain.questions import AttemptQuery, EventQuery, LockTimeQuery
from buildrunner_coordinator.store.base import AttemptPage, CommitError, StoreError, TaskPage
from buildrunner_coordinator.store.links import InlineLink, Link, ProcessLink, start_process
from buildrunner_coordinator.store.rows import TABLES
from buildrunner_coordinator.store.snapshots import SnapshotBuilder, no_collections
from buildrunner_coordinator.store.wire import changes_to_plain

Writer = Literal["process", "inline"]


class SqliteStore:
    """A store in the file `path`, whose directory must exist.

    `lock_fd` is an open descriptor that the writer process inherits, so that a lock held by it
    outlives this process for as long as the writer does. `writer="inline"` holds the connection in
    this process instead: its commits stop the event loop, which is right for tools and tests only.
    """

    def __init__(self, path: Path, lock_fd: int | None = None, writer: Writer = "process") -> None:
        self._path = path.absolute()
        self._lock_fd = lock_fd
        self._writer = writer
        self._link: Link | None = None

    @property
    def description(self) -> str:
        return f"sqlite {sqlite3.sqlite_version}"

    @property
    def writer_pid(self) -> int | None:
        """Process id of the writer while there is one."""
        return self._link.process.pid if isinstance(self._link, ProcessLink) else None

    async def open(self, now_wall_us: int, workspace_id: str) -> Snapshot:
        if self._link is not None:
            raise StoreError(f"{self._path} is open already")
        if self._writer == "process":
            self._link = await start_process(self._path, self._lock_fd)
        else:
            self._link = InlineLink(self._path)
        builder = SnapshotBuilder()
        try:
            with no_collections():
                meta = await self._link.call("open", now_wall_us, workspace_id, on_part=builder.add)
        except BaseException:
            link, self._link = self._link, None
            await link.end()
            raise
        return builder.finish(MetaRow(*meta))

    async def commit(self, epoch: int, changes: Changes) -> None:
        try:
            await self._call("commit", epoch, changes_to_plain(changes))
        except CommitError:
            raise
        except StoreError as error:
            raise CommitError(str(error)) from error

    async def read_tasks(
        self, session_id: str, statuses: Sequence[str] = (), after: int = 0, limit: int = 100
    ) -> TaskPage:
        # One more than asked for tells whether there is another page.
        pairs = await self._call("read_tasks", session_id, list(map(str, statuses)), after, limit + 1)
        rows = [(SpecRow(*spec), TaskRow(*task)) for spec, task in pairs[:limit]]
        return TaskPage(rows, rows[-1][1].ordinal if len(pairs) > limit else 0)

    async def read_task(
        self, session_id: str, task_id: str
    ) -> tuple[SpecRow, TaskRow, list[AttemptRow]] | None:
        found = await self._call("read_task", session_id, task_id)
        if found is None:
            return None
        (spec, task), attempts = found
        return SpecRow(*spec), TaskRow(*task), list(map(TABLES.attempts.make, attempts))

    async def read_output(
        self, session_id: str, task_id: str, number: int, offset: int = 0, limit_bytes: int = 1 << 20
    ) -> list[OutputRow]:
        rows = await self._call("read_output", (session_id, task_id, number), offset, limit_bytes)
        return list(map(TABLES.outputs.make, rows))

    async def read_attempts(self, query: AttemptQuery) -> AttemptPage:
        found, has_more = await self._call("read_attempts", tuple(query))
        return AttemptPage([(TABLES.attempts.make(row), spec) for row, spec in found], has_more)

    async def read_events(self, query: EventQuery) -> list[EventRow]:
        return list(map(TABLES.events.make, await self._call("read_events", tuple(query))))

    async def read_worker_ids(self, prefix: str) -> list[str]:
        found: list[str] = await self._call("read_worker_ids", prefix)
        return found

    async def read_patch(self, session_id: str, task_id: str, number: int) -> PatchRow | None:
        found = await self._call("read_patch", session_id, task_id, number)
        return None if found is None else PatchRow(*found)

    async def read_lock_times(self, query: LockTimeQuery) -> list[LockTimeRow]:
        return list(map(TABLES.lock_times.make, await self._call("read_lock_times", tuple(query))))

    async def backup(self, path: Path) -> None:
        await self._call("backup", _absolute(path))

    async def close(self) -> None:
        """Writes the log back into the database and ends the writer."""
        link, self._link = self._link, None
        if link is None:
            return
        try:
            if link.is_usable:
                await link.call("close")
        finally:
            await link.end()

    async def _call(self, verb: str, *arguments: Any) -> Any:
        if self._link is None:
            raise StoreError(f"{self._path} is not open")
        return await self._link.call(verb, *arguments)


def _absolute(path: Path) -> str:
    """The writer may have another working directory."""
    return str(path.absolute())
