"""What the dashboard knows: the change feed folded into the little that can be shown. Pure: times come in.

    event -> Board.fold -> sessions with counts, workers, locks, what runs, what waits, what failed

A session may have a million tasks. Counts come with the session; of the tasks only those are kept that
run, that wait for path locks (the first of them), that failed or ended last. The feed's snapshot has no tasks
of sessions that nobody named, so `unread` names the sessions whose tasks have to be asked for once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

from buildrunner_parallel.enums import EntityKind, TaskStatus, WaitKind
from buildrunner_parallel.records import (
    LockHolder,
    LockWaiter,
    PathLock,
    Pool,
    Removed,
    Session,
    TaskExplanation,
    TaskSummary,
    Worker,
)

from .pace import Pace, Throughput

TaskKey = tuple[str, str]
ValueT = TypeVar("ValueT")
Entity = Session | TaskSummary | Worker | PathLock | Pool | Removed

MAX_FAILURES = 200
MAX_ENDED = 200
MAX_WAITING = 2_000
MAX_RUNNING = 20_000
MAX_ENDED_SESSIONS = 20
_REMEMBERED = 5_000
_AT_WORK = frozenset({TaskStatus.RUNNING, TaskStatus.CANCELLING})


class Event(Protocol):
    """What of a watch event is needed here."""

    @property
    def revision(self) -> int: ...
    @property
    def snapshot(self) -> bool: ...
    @property
    def reset(self) -> bool: ...
    @property
    def complete(self) -> bool: ...
    @property
    def changes(self) -> tuple[Entity, ...]: ...
    @property
    def connection(self) -> str: ...
    @property
    def closing(self) -> bool: ...


@dataclass(slots=True)
class Board:
    """Everything that the dashboard shows."""

    revision: int = 0
    loaded: bool = False
    connected: bool = True
    closing: bool = False
    # Monotonic: when the coordinator was heard last, and went away; None while it is there.
    heard_s: float = 0.0
    lost_s: float | None = None
    sessions: dict[str, Session] = field(default_factory=dict)
    paces: dict[str, Pace] = field(default_factory=dict)
    workers: dict[str, Worker] = field(default_factory=dict)
    locks: dict[str, dict[str, PathLock]] = field(default_factory=dict)
    running: dict[TaskKey, TaskSummary] = field(default_factory=dict)
    waiting: dict[TaskKey, TaskSummary] = field(default_factory=dict)
    # The latest last.
    failures: dict[TaskKey, TaskSummary] = field(default_factory=dict)
    ended: dict[TaskKey, TaskSummary] = field(default_factory=dict)
    # Of each session the first tasks that do not run, with the reasons; asked for now and then.
    explained: dict[str, tuple[TaskExplanation, ...]] = field(default_factory=dict)
    # Who waits for paths by hand or in a program; asked for now and then.
    by_hand: tuple[LockWaiter, ...] = ()
    by_hand_at: datetime | None = None
    throughput: Throughput = field(default_factory=Throughput)
    # Sessions whose tasks have to be asked for.
    unread: set[str] = field(default_factory=set)
    _lock_paths: dict[str, str] = field(default_factory=dict)
    # The revisions of the tasks that changed last: what is read apart from the feed may be older.
    _seen: dict[TaskKey, int] = field(default_factory=dict)

    def fold(self, event: Event, now_s: float) -> None:
        """Takes one event in; `now_s` is monotonic."""
        if event.connection != "ok":
            self.connected = event.connection == "back"
            self.lost_s = None if self.connected else self.lost_s or now_s
            return
        self.connected, self.lost_s, self.heard_s = True, None, now_s
        self.closing = event.closing
        if event.reset:
            self._forget()
        self.revision = event.revision or self.revision
        for change in event.changes:
            self._put(change, now_s)
        if event.snapshot and event.complete:
            self.loaded = True
            self.unread |= {one.session_id for one in self.sessions.values() if not one.is_over}

    def lose(self, now_s: float) -> None:
        """The feed has ended: what is here gets older until there is another."""
        self.connected, self.lost_s = False, self.lost_s or now_s

    def _forget(self) -> None:
        self.sessions, self.workers, self.locks, self._lock_paths = {}, {}, {}, {}
        self.running, self.waiting, self.explained = {}, {}, {}
        self._seen = {}

    def _put(self, change: Entity, now_s: float) -> None:
        if isinstance(change, TaskSummary):
            self._put_task(change)
        elif isinstance(change, Session):
            self._put_session(change, now_s)
        elif isinstance(change, Worker):
            self.workers[change.worker_id] = change
        elif isinstance(change, PathLock):
            self._drop_lock(change.lock_id)
            self.locks.setdefault(change.path, {})[change.lock_id] = change
            self._lock_paths[change.lock_id] = change.path
        elif isinstance(change, Removed):
            self._remove(change)

    def _put_session(self, session: Session, now_s: float) -> None:
        session_id = session.session_id
        before = self.sessions.get(session_id)
        pace = self.paces.get(session_id)
        if pace is None:
            self.paces[session_id] = Pace(session, now_s)
        else:
            more = _worked_off(session) - _worked_off(pace.session)
            self.throughput.add(more, now_s)
            pace.throughput.add(more, now_s)
            pace.see(session, now_s)
        self.sessions[session_id] = session
        if session.is_over:
            self.explained.pop(session_id, None)
            if before is None or not before.is_over:
                self._keep_few_ended()

    def _keep_few_ended(self) -> None:
        over = [one for one in self.sessions.values() if one.is_over]
        over.sort(key=lambda one: one.ended_at.timestamp() if one.ended_at else 0.0)
        for session in over[:-MAX_ENDED_SESSIONS]:
            self._drop_session(session.session_id)

    def _put_task(self, task: TaskSummary) -> None:
        key = (task.session_id, task.task_id)
        _move(self._seen, key, task.revision, _REMEMBERED)
        _keep(self.running, key, task, task.status in _AT_WORK, MAX_RUNNING)
        _keep(self.waiting, key, task, waits_for_locks(task), MAX_WAITING)
        if task.is_over:
            _move(self.ended, key, task, MAX_ENDED)
        else:
            self.ended.pop(key, None)
        if task.status == TaskStatus.FAILED:
            _move(self.failures, key, task, MAX_FAILURES)
        else:
            self.failures.pop(key, None)

    def _remove(self, removed: Removed) -> None:
        if removed.kind == EntityKind.SESSION:
            self._drop_session(removed.id)
        elif removed.kind == EntityKind.WORKER:
            self.workers.pop(removed.id, None)
        elif removed.kind == EntityKind.LOCK:
            self._drop_lock(removed.id)
        elif removed.kind == EntityKind.TASK:
            for table in (self.running, self.waiting, self.failures, self.ended):
                table.pop((removed.session_id, removed.id), None)

    def _drop_lock(self, lock_id: str) -> None:
        path = self._lock_paths.pop(lock_id, None)
        if path is not None:
            self.locks[path].pop(lock_id, None)
            if not self.locks[path]:
                del self.locks[path]

    def _drop_session(self, session_id: str) -> None:
        for table in (self.sessions, self.paces, self.explained):
            table.pop(session_id, None)
        self.unread.discard(session_id)
        for tasks in (self.running, self.waiting, self.failures, self.ended):
            for key in [key for key in tasks if key[0] == session_id]:
                del tasks[key]

    # ------------------------------------------------------------- what was asked for apart from the feed

    def take_sessions(self, sessions: Iterable[Session], now_s: float) -> None:
        """Sessions of which the feed did not tell, such as those that ended long ago."""
        for session in sessions:
            if session.session_id not in self.sessions:
                self._put_session(session, now_s)

    def take_tasks(self, session_id: str, tasks: Iterable[TaskSummary]) -> None:
        """Tasks of a session; the feed's are newer where their revision is."""
        self.unread.discard(session_id)
        if session_id not in self.sessions:
            return
        before = dict(self.failures)
        for task in tasks:
            if self._seen.get((session_id, task.task_id), -1) < task.revision:
                before.pop((session_id, task.task_id), None)
                self._put_task(task)
        self._keep_failures(before)

    def take_failures(self, tasks: Iterable[TaskSummary]) -> None:
        """What failed in sessions that are over; what the feed told of the same tasks is newer."""
        past = {(one.session_id, one.task_id): one for one in tasks if one.status == TaskStatus.FAILED}
        self._keep_failures({
            key: one
            for key, one in past.items()
            if key[0] in self.sessions and self._seen.get(key, -1) < one.revision
        })  # fmt: skip

    def _keep_failures(self, more: dict[TaskKey, TaskSummary]) -> None:
        """These and those that are here, in the order of their ends: older ones may be told later."""
        found = sorted((more | self.failures).items(), key=lambda item: _end(item[1]))
        self.failures = dict(found[-MAX_FAILURES:])

    def take_workers(self, workers: Iterable[Worker]) -> None:
        """Workers with fresh heartbeats, of which the feed does not tell; it is newer in all else."""
        for worker in workers:
            known = self.workers.get(worker.worker_id)
            if known is not None and worker.revision >= known.revision:
                self.workers[worker.worker_id] = worker

    def take_explained(self, session_id: str, explained: Iterable[TaskExplanation]) -> None:
        """The first tasks of a session that do not run, with the reasons. What the feed told is newer."""
        session = self.sessions.get(session_id)
        if session is None or session.is_over:
            return
        self.explained[session_id] = tuple(one for one in explained if one.waits)
        for one in self.explained[session_id]:
            task = TaskSummary(session_id, one.task_id, one.status, wait=one.waits[0])
            key = (session_id, one.task_id)
            if waits_for_locks(task) and key not in self._seen and key not in self.running:
                _keep(self.waiting, key, task, True, MAX_WAITING)

    def take_lock_waiters(self, waiters: Iterable[LockWaiter], now: datetime) -> None:
        """Everybody who waits for paths; tasks are known from the feed."""
        self.by_hand = tuple(one for one in waiters if not one.waiter.task_id or one.waiter.grant_id)
        self.by_hand_at = now

    # ------------------------------------------------------------- selections

    def queue(self, session_id: str = "") -> list[TaskSummary]:
        """The first tasks that wait, each with its reason: those for locks, then the others, in order."""
        found = [task for key, task in self.waiting.items() if not session_id or key[0] == session_id]
        for one_id, explained in self.explained.items():
            if session_id and one_id != session_id:
                continue
            for one in explained:
                key = (one_id, one.task_id)
                if key in self.running or key in self.waiting or key in self.ended:
                    continue
                found.append(TaskSummary(one_id, one.task_id, one.status, wait=one.waits[0]))
        return found


def _move(table: dict[TaskKey, ValueT], key: TaskKey, value: ValueT, most: int) -> None:
    """Puts it last; of more than `most` the first goes."""
    table.pop(key, None)
    table[key] = value
    if len(table) > most:
        del table[next(iter(table))]


def _keep(
    table: dict[TaskKey, TaskSummary], key: TaskKey, task: TaskSummary, belongs: bool, most: int
) -> None:
    if belongs and (key in table or len(table) < most):
        table[key] = task
    elif not belongs:
        table.pop(key, None)


def waits_for_locks(task: TaskSummary) -> bool:
    """Whether path locks keep the task from running."""
    return task.wait is not None and task.wait.kind == WaitKind.LOCKS and not task.is_over


def _end(task: TaskSummary) -> float:
    return task.ended_at.timestamp() if task.ended_at else 0.0


def _worked_off(session: Session) -> int:
    """Tasks that ran to their end, well or not: what was cancelled took nobody's time."""
    return session.done_tasks - session.counts.cancelled - session.counts.skipped


def wall_time_s(session: Session, now: datetime) -> float:
    """From the session's start to its end, or to `now`."""
    begin = session.started_at or session.created_at
    return max(0.0, ((session.ended_at or now) - begin).total_seconds()) if begin else 0.0


@dataclass(frozen=True, slots=True)
class Contended:
    """A path that is waited for: by whom, in the order in which they began to, and who is in their way.
    `since` is when the path was taken; None where nothing tells."""

    path: str
    waiters: tuple[LockHolder, ...]
    holders: tuple[LockHolder, ...]
    since: datetime | None = None


def contended(board: Board) -> list[Contended]:
    """What is waited for, the paths of most waiters first."""
    waiters: dict[str, list[LockHolder]] = {}
    told: dict[str, dict[LockHolder, None]] = {}
    for task in board.waiting.values():
        for path in task.wait.names if task.wait else ():
            waiters.setdefault(path, []).append(LockHolder(task.session_id, task_id=task.task_id))
            told.setdefault(path, {}).update(dict.fromkeys(task.wait.holders if task.wait else ()))
    for one in board.by_hand:
        for conflict in one.conflicts:
            if conflict.queue_position == 0:
                mine = waiters.setdefault(conflict.held_path, [])
                if one.waiter not in mine:
                    mine.append(one.waiter)
                told.setdefault(conflict.held_path, {})[conflict.holder] = None
    found = [_contended(board, path, who, told[path]) for path, who in waiters.items()]
    return sorted(found, key=lambda one: -len(one.waiters))


def _contended(board: Board, path: str, who: list[LockHolder], told: dict[LockHolder, None]) -> Contended:
    """Waits name their paths and holders apart from each other; locks say which belong together."""
    held = [lock for lock in board.locks.get(path, {}).values() if lock.holder in told]
    if not held:
        return Contended(path, tuple(who), tuple(told))
    since = min((lock.acquired_at for lock in held if lock.acquired_at), default=None)
    return Contended(path, tuple(who), tuple(lock.holder for lock in held), since)
