"""Rows in dictionaries, lost with the process: for tests, and for the simulator, which reloads them.

`MemoryRows` is the synchronous core of it, `MemoryStore` the store. Same semantics as any other store.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from buildrunner_coordinator.domain.changes import (
    AttemptRow,
    Changes,
    EndedTask,
    EventRow,
    GrantRow,
    LapseRow,
    LockRequestRow,
    LockTimeRow,
    MetaRow,
    OutputRow,
    OutputTrim,
    PatchRow,
    PoolRow,
    RequestRow,
    SessionRow,
    Snapshot,
    SpecRow,
    TaskRow,
    WorkerRow,
)
from buildrunner_coordinator.domain.model import SESSION_OVER, TASK_OVER
from buildrunner_coordinator.domain.questions import LOCK_TIMES, AttemptQuery, EventQuery, LockTimeQuery
from buildrunner_coordinator.store.backups import write_database
from buildrunner_coordinator.store.base import AttemptPage, CommitError, FencedError, StoreError, TaskPage
from buildrunner_coordinator.store.database import next_meta
from buildrunner_coordinator.store.past import WORKER_IDS, size_of
from buildrunner_coordinator.store.rows import cut_front

PLACE = "the store in memory"


class MemoryRows:
    """The rows as of the last commit. Nothing in here waits; snapshots share no list with it."""

    def __init__(self) -> None:
        self.meta: MetaRow | None = None
        self.sessions: dict[str, SessionRow] = {}
        self.specs: dict[str, dict[str, SpecRow]] = {}
        self.tasks: dict[str, dict[str, TaskRow]] = {}
        self.attempts: dict[str, dict[tuple[str, int], AttemptRow]] = {}
        self.outputs: dict[str, dict[tuple[str, int, int], OutputRow]] = {}
        self.events: dict[tuple[int, int], EventRow] = {}
        self.workers: dict[str, WorkerRow] = {}
        self.pools: dict[tuple[str, str], PoolRow] = {}
        self.lapses: dict[str, LapseRow] = {}
        self.requests: dict[tuple[str, str], RequestRow] = {}
        self.patches: dict[str, dict[tuple[str, int], PatchRow]] = {}
        self.grants: dict[str, GrantRow] = {}
        self.lock_requests: dict[str, LockRequestRow] = {}
        self.lock_times: dict[tuple[int, int], LockTimeRow] = {}

    def take_over(self, now_wall_us: int, workspace_id: str) -> MetaRow:
        """Begins a higher epoch. Raises StoreError for another workspace's rows."""
        self.meta = next_meta(self.meta, now_wall_us, workspace_id, PLACE)
        return self.meta

    def apply(self, epoch: int, changes: Changes) -> None:
        """All of the changes, removals first. Raises FencedError if another epoch has taken over."""
        if self.meta is None or epoch != self.meta.epoch:
            raise FencedError(f"{PLACE} has been taken over: epoch {epoch} may not write to it any more")
        if changes.meta is not None and changes.meta.epoch != epoch:
            raise CommitError(
                f"a commit of epoch {epoch} carries counters of epoch {changes.meta.epoch}: a bug"
            )
        self.meta = changes.meta or self.meta._replace(revision=max(self.meta.revision, changes.revision))
        self._remove(changes)
        self._put(changes)

    def snapshot(self) -> Snapshot:
        """What a core is loaded from. Raises StoreError before the first `take_over`."""
        if self.meta is None:
            raise StoreError(f"{PLACE} has not been opened")
        open_sessions = [key for key, session in self.sessions.items() if session.status not in SESSION_OVER]
        tasks = sorted(
            chain.from_iterable(self.tasks.get(key, {}).values() for key in open_sessions),
            key=lambda task: task.ordinal,
        )
        live = [task for task in tasks if task.status not in TASK_OVER]
        return Snapshot(
            meta=self.meta,
            sessions=sorted(self.sessions.values(), key=lambda session: session.ordinal),
            specs=[self.specs[task.session_id][task.task_id] for task in live],
            tasks=live,
            ended=[
                EndedTask(task.session_id, task.task_id, task.status)
                for task in tasks
                if task.status in TASK_OVER
            ],
            workers=sorted(self.workers.values(), key=lambda worker: worker.ordinal),
            pools=[self.pools[key] for key in sorted(self.pools)],
            lapses=[self.lapses[key] for key in sorted(self.lapses)],
            requests=[self.requests[key] for key in sorted(self.requests)],
            grants=[self.grants[key] for key in sorted(self.grants)],
            lock_requests=[self.lock_requests[key] for key in sorted(self.lock_requests)],
            output_bytes={task.attempt_id: self._output_end(task) for task in live if task.attempt_id},
        )

    def everything(self) -> Changes:
        """One commit that makes an empty store hold these rows."""
        return Changes(
            revision=self.meta.revision if self.meta else 0,
            meta=self.meta,
            sessions=list(self.sessions.values()),
            specs=_flat(self.specs),
            tasks=_flat(self.tasks),
            attempts=_flat(self.attempts),
            outputs=_flat(self.outputs),
            events=list(self.events.values()),
            workers=list(self.workers.values()),
            pools=list(self.pools.values()),
            lapses=list(self.lapses.values()),
            requests=list(self.requests.values()),
            patches=_flat(self.patches),
            grants=list(self.grants.values()),
            lock_requests=list(self.lock_requests.values()),
            lock_times=list(self.lock_times.values()),
        )

    def read_tasks(self, session_id: str, statuses: Sequence[str], after: int, limit: int) -> TaskPage:
        rows = (
            (self.specs[session_id][task.task_id], task)
            for task in sorted(self.tasks.get(session_id, {}).values(), key=lambda task: task.ordinal)
            if task.ordinal > after and (not statuses or task.status in statuses)
        )
        page = list(islice(rows, limit + 1))
        return TaskPage(page[:limit], page[limit - 1][1].ordinal if len(page) > limit else 0)

    def read_task(self, session_id: str, task_id: str) -> tuple[SpecRow, TaskRow, list[AttemptRow]] | None:
        task = self.tasks.get(session_id, {}).get(task_id)
        if task is None:
            return None
        attempts = (row for row in self.attempts.get(session_id, {}).values() if row.task_id == task_id)
        return self.specs[session_id][task_id], task, sorted(attempts, key=lambda row: row.number)

    def read_output(
        self, session_id: str, task_id: str, number: int, offset: int, limit_bytes: int
    ) -> list[OutputRow]:
        found: list[OutputRow] = []
        size_bytes = 0
        for piece in self._pieces(session_id, task_id, number):
            if piece.offset + len(piece.data) <= offset:
                continue
            size_bytes += len(piece.data)
            if found and size_bytes > limit_bytes:
                break
            found.append(piece)
        return found

    def read_attempts(self, query: AttemptQuery) -> AttemptPage:
        rows: list[tuple[AttemptRow, bytes]] = []
        size_bytes = 0
        for row in sorted(self.attempts.get(query.session_id, {}).values(), key=_end_of):
            if (query.task_ids and row.task_id not in query.task_ids) or _end_of(row) <= query.after:
                continue
            given = row if query.with_results else row._replace(result=None)
            spec = self.specs[row.session_id][row.task_id].spec if query.with_specs else b""
            size_bytes += size_of(given, spec)
            if rows and (len(rows) >= query.limit or size_bytes > query.limit_bytes):
                return AttemptPage(rows, True)
            rows.append((given, spec))
        return AttemptPage(rows, False)

    def read_events(self, query: EventQuery) -> list[EventRow]:
        def wanted(row: EventRow) -> bool:
            if query.worker_id:
                return row.worker_id == query.worker_id
            return row.session_id == query.session_id and query.task_id in ("", row.task_id)

        later = (row for key, row in sorted(self.events.items()) if key > query.after and wanted(row))
        return list(islice(later, query.limit))

    def read_worker_ids(self, prefix: str) -> list[str]:
        known = {row.worker_id for row in self.events.values() if row.worker_id}
        return sorted(one for one in known if one.startswith(prefix))[:WORKER_IDS]

    def read_patch(self, session_id: str, task_id: str, number: int) -> PatchRow | None:
        known = self.patches.get(session_id, {})
        last = max((place for name, place in known if name == task_id), default=0)
        return known.get((task_id, number or last))

    def read_lock_times(self, query: LockTimeQuery) -> list[LockTimeRow]:
        def wanted(row: LockTimeRow) -> bool:
            is_older = query.before is None or _time_of(row) < query.before
            return query.session_id in ("", row.session_id) and row.at_us >= query.since_us and is_older

        found = sorted(filter(wanted, self.lock_times.values()), key=_time_of)
        return found[max(0, len(found) - min(query.limit, LOCK_TIMES)) :]

    def _pieces(self, session_id: str, task_id: str, number: int) -> list[OutputRow]:
        pieces = self.outputs.get(session_id, {}).values()
        mine = (piece for piece in pieces if piece.task_id == task_id and piece.number == number)
        return sorted(mine, key=lambda piece: piece.offset)

    def _output_end(self, task: TaskRow) -> int:
        pieces = self._pieces(task.session_id, task.task_id, task.attempts)
        return pieces[-1].offset + len(pieces[-1].data) if pieces else 0

    def _remove(self, changes: Changes) -> None:
        for session_id in changes.removed_sessions:
            by_session: tuple[dict[str, Any], ...] = (
                self.sessions, self.specs, self.tasks, self.attempts, self.outputs, self.patches,
            )  # fmt: skip
            for rows in by_session:
                rows.pop(session_id, None)
            for below in (
                self.events, self.pools, self.lapses, self.grants, self.lock_requests, self.lock_times,
            ):  # fmt: skip
                _pop_of(below, session_id)
        for (us,) in changes.removed_events:
            old = [key for key, row in self.events.items() if not row.session_id and row.us < us]
            _pop_all(self.events, old)
        _pop_all(self.workers, changes.removed_workers)
        _pop_all(self.pools, changes.removed_pools)
        _pop_all(self.lapses, changes.removed_lapses)
        _pop_all(self.requests, changes.removed_requests)
        _pop_all(self.grants, changes.removed_grants)
        _pop_all(self.lock_requests, changes.removed_lock_requests)

    def _put(self, changes: Changes) -> None:
        self.sessions.update((row.session_id, row) for row in changes.sessions)
        for spec in changes.specs:
            self.specs.setdefault(spec.session_id, {})[spec.task_id] = spec
        for task in changes.tasks:
            self.tasks.setdefault(task.session_id, {})[task.task_id] = task
        for attempt in changes.attempts:
            self.attempts.setdefault(attempt.session_id, {})[attempt.task_id, attempt.number] = attempt
        for piece in changes.outputs:
            self.outputs.setdefault(piece.session_id, {})[piece.task_id, piece.number, piece.offset] = piece
        self.events.update(((row.revision, row.number), row) for row in changes.events)
        for trim in changes.output_trims:
            self._trim(trim)
        self.workers.update((row.worker_id, row) for row in changes.workers)
        self.pools.update(((row.session_id, row.host), row) for row in changes.pools)
        self.lapses.update((row.attempt_id, row) for row in changes.lapses)
        self.requests.update(((row.client_id, row.request_id), row) for row in changes.requests)
        for patch in changes.patches:
            self.patches.setdefault(patch.session_id, {})[patch.task_id, patch.number] = patch
        self.grants.update((row.grant_id, row) for row in changes.grants)
        self.lock_requests.update((row.waiter_id, row) for row in changes.lock_requests)
        self.lock_times.update(((row.revision, row.number), row) for row in changes.lock_times)

    def _trim(self, trim: OutputTrim) -> None:
        pieces = self.outputs.get(trim.session_id, {})
        for piece in self._pieces(trim.session_id, trim.task_id, trim.number):
            if trim.start <= piece.offset < trim.until:
                del pieces[piece.task_id, piece.number, piece.offset]
                if piece.offset + len(piece.data) > trim.until:
                    pieces[piece.task_id, piece.number, trim.until] = cut_front(piece, trim.until)


class MemoryStore:
    """A store over `MemoryRows`; give the same rows to another one to see what a restart would."""

    def __init__(self, rows: MemoryRows | None = None) -> None:
        self._rows = MemoryRows() if rows is None else rows
        self._is_open = False

    @property
    def description(self) -> str:
        return "memory"

    async def open(self, now_wall_us: int, workspace_id: str) -> Snapshot:
        if self._is_open:
            raise StoreError(f"{PLACE} is open already")
        self._rows.take_over(now_wall_us, workspace_id)
        self._is_open = True
        return self._rows.snapshot()

    async def commit(self, epoch: int, changes: Changes) -> None:
        if not self._is_open:
            raise CommitError(f"{PLACE} is not open")
        try:
            self._rows.apply(epoch, changes)
        except CommitError:
            self._is_open = False
            raise

    async def read_tasks(
        self, session_id: str, statuses: Sequence[str] = (), after: int = 0, limit: int = 100
    ) -> TaskPage:
        return self._open_rows().read_tasks(session_id, statuses, after, limit)

    async def read_task(
        self, session_id: str, task_id: str
    ) -> tuple[SpecRow, TaskRow, list[AttemptRow]] | None:
        return self._open_rows().read_task(session_id, task_id)

    async def read_output(
        self, session_id: str, task_id: str, number: int, offset: int = 0, limit_bytes: int = 1 << 20
    ) -> list[OutputRow]:
        return self._open_rows().read_output(session_id, task_id, number, offset, limit_bytes)

    async def read_attempts(self, query: AttemptQuery) -> AttemptPage:
        return self._open_rows().read_attempts(query)

    async def read_events(self, query: EventQuery) -> list[EventRow]:
        return self._open_rows().read_events(query)

    async def read_worker_ids(self, prefix: str) -> list[str]:
        return self._open_rows().read_worker_ids(prefix)

    async def read_patch(self, session_id: str, task_id: str, number: int) -> PatchRow | None:
        return self._open_rows().read_patch(session_id, task_id, number)

    async def read_lock_times(self, query: LockTimeQuery) -> list[LockTimeRow]:
        return self._open_rows().read_lock_times(query)

    async def backup(self, path: Path) -> None:
        """Writes a database that `SqliteStore` opens."""
        write_database(path, self._open_rows().everything())

    async def close(self) -> None:
        self._is_open = False

    def _open_rows(self) -> MemoryRows:
        if not self._is_open:
            raise StoreError(f"{PLACE} is not open")
        return self._rows


def _end_of(row: AttemptRow) -> tuple[int, int, int]:
    return row.ended_revision, row.task_number, row.number


def _time_of(row: LockTimeRow) -> tuple[int, int, int]:
    return row.at_us, row.revision, row.number


def _flat(by_session: dict[str, dict[Any, Any]]) -> list[Any]:
    return [row for rows in by_session.values() for row in rows.values()]


def _pop_all(rows: dict[Any, Any], keys: Sequence[Any]) -> None:
    for key in keys:
        rows.pop(key, None)


def _pop_of(rows: dict[Any, Any], session_id: str) -> None:
    _pop_all(rows, [key for key, row in rows.items() if row.session_id == session_id])
