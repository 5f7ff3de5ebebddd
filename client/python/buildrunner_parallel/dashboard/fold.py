"""The model that a watcher keeps: a snapshot, and every change after it folded in. Pure: no clock, no I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from buildrunner_parallel.enums import EntityKind, TaskStatus, WaitKind
from buildrunner_parallel.records import LockHolder, PathLock, Pool, Removed, Session, TaskSummary, Worker

TaskKey = tuple[str, str]
Entity = Session | TaskSummary | Worker | PathLock | Pool | Removed

MAX_RECENT_FAILURES = 50
_AT_WORK = frozenset({TaskStatus.RUNNING, TaskStatus.CANCELLING})


class Event(Protocol):
    """What of a watch event the model needs."""

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


@dataclass(frozen=True, slots=True)
class Contended:
    """A path that tasks wait for: those tasks in the order in which they began to, and who is in their way.
    `since` is when the path was taken; None where the feed does not tell of that lock."""

    path: str
    waiters: tuple[TaskSummary, ...]
    holders: tuple[LockHolder, ...]
    since: datetime | None = None


@dataclass(slots=True)
class Model:
    """Everything that a watcher has been told, and the few selections that every drawing needs."""

    revision: int = 0
    connected: bool = True
    sessions: dict[str, Session] = field(default_factory=dict)
    tasks: dict[TaskKey, TaskSummary] = field(default_factory=dict)
    workers: dict[str, Worker] = field(default_factory=dict)
    locks: dict[str, PathLock] = field(default_factory=dict)
    # Tasks that run now, in the order in which they began.
    running: dict[TaskKey, TaskSummary] = field(default_factory=dict)
    # Tasks that wait for path locks.
    waiting: dict[TaskKey, TaskSummary] = field(default_factory=dict)
    # The latest failed tasks, oldest first.
    failures: deque[TaskSummary] = field(default_factory=lambda: deque(maxlen=MAX_RECENT_FAILURES))
    # Seconds that each finished attempt ran.
    attempt_times_s: dict[tuple[TaskKey, int], float] = field(default_factory=dict)
    # What was known before a new snapshot, until all its parts are here.
    _before: dict[TaskKey, TaskSummary] = field(default_factory=dict)

    def fold(self, event: Event) -> list[TaskSummary]:
        """Takes one event in. Returns the tasks that changed in a way worth a line, in order.

        What a snapshot tells is not new, unless it came after a break and differs from what was known.
        """
        if event.connection != "ok":
            self.connected = event.connection == "back"
            return []
        self.connected = True
        if event.reset:
            self._forget()
        self.revision = event.revision or self.revision
        news = self._fold_changes(event.changes, event.snapshot)
        if event.complete:
            self._before = {}
        return news

    def _forget(self) -> None:
        self._before = {**self._before, **self.tasks}
        self.sessions, self.tasks, self.workers, self.locks = {}, {}, {}, {}
        self.running, self.waiting = {}, {}

    def _fold_changes(self, changes: Iterable[Entity], snapshot: bool) -> list[TaskSummary]:
        news: list[TaskSummary] = []
        for change in changes:
            if isinstance(change, TaskSummary):
                key = (change.session_id, change.task_id)
                before = self.tasks.get(key) or self._before.get(key)
                if _is_news(before, change) and (before is not None or not snapshot):
                    news.append(change)
                self._put_task(key, before, change)
            elif isinstance(change, Session):
                self.sessions[change.session_id] = change
            elif isinstance(change, Worker):
                self.workers[change.worker_id] = change
            elif isinstance(change, PathLock):
                self.locks[change.lock_id] = change
            elif isinstance(change, Removed):
                self._remove(change)
        return news

    def _put_task(self, key: TaskKey, before: TaskSummary | None, task: TaskSummary) -> None:
        self.tasks[key] = task
        _keep(self.running, key, task, task.status in _AT_WORK)
        _keep(self.waiting, key, task, waits_for_locks(task))
        if task.status == TaskStatus.FAILED and (before is None or before.status != TaskStatus.FAILED):
            self.failures.append(task)
        if task.started_at and task.ended_at:
            seconds = (task.ended_at - task.started_at).total_seconds()
            self.attempt_times_s[(key, task.attempt)] = max(0.0, seconds)

    def _remove(self, removed: Removed) -> None:
        if removed.kind == EntityKind.SESSION:
            self.sessions.pop(removed.id, None)
        elif removed.kind == EntityKind.WORKER:
            self.workers.pop(removed.id, None)
        elif removed.kind == EntityKind.LOCK:
            self.locks.pop(removed.id, None)
        elif removed.kind == EntityKind.TASK:
            key = (removed.session_id, removed.id)
            for table in (self.tasks, self.running, self.waiting):
                table.pop(key, None)

    def contended(self) -> list[Contended]:
        """What is waited for, the paths of most waiters first."""
        waiters: dict[str, list[TaskSummary]] = {}
        for task in self.waiting.values():
            for path in task.wait.names if task.wait is not None else ():
                waiters.setdefault(path, []).append(task)
        locks: dict[str, list[PathLock]] = {path: [] for path in waiters}
        for lock in self.locks.values() if waiters else ():
            if lock.path in locks:
                locks[lock.path].append(lock)
        found = [_contended(path, tasks, locks[path]) for path, tasks in waiters.items()]
        return sorted(found, key=lambda one: -len(one.waiters))

    def add_tasks(self, tasks: Iterable[TaskSummary]) -> None:
        """Takes in tasks that were read apart from the feed."""
        self._fold_changes(tasks, True)


def _contended(path: str, tasks: list[TaskSummary], locks: list[PathLock]) -> Contended:
    """Waits name their paths and holders apart from each other; locks say which belong together."""
    told = dict.fromkeys(holder for task in tasks if task.wait for holder in task.wait.holders)
    held = [lock for lock in locks if lock.holder in told]
    if not held:
        return Contended(path, tuple(tasks), tuple(told))
    since = min((lock.acquired_at for lock in held if lock.acquired_at), default=None)
    return Contended(path, tuple(tasks), tuple(lock.holder for lock in held), since)


def waits_for_locks(task: TaskSummary) -> bool:
    """Whether path locks keep the task from running."""
    return task.wait is not None and task.wait.kind == WaitKind.LOCKS and not task.is_over


def wall_time_s(session: Session, now: datetime) -> float:
    """From the session's start to its end, or to `now`."""
    begin = session.started_at or session.created_at
    return max(0.0, ((session.ended_at or now) - begin).total_seconds()) if begin else 0.0


def _keep(table: dict[TaskKey, TaskSummary], key: TaskKey, task: TaskSummary, belongs: bool) -> None:
    if belongs:
        table[key] = task
    else:
        table.pop(key, None)


def _is_news(before: TaskSummary | None, task: TaskSummary) -> bool:
    if before is None:
        return True
    if (before.status, before.attempt) != (task.status, task.attempt):
        return True
    return waits_for_locks(task) and (before.wait is None or _blockers(before) != _blockers(task))


def _blockers(task: TaskSummary) -> tuple[object, ...]:
    return (task.wait.names, task.wait.holders) if task.wait else ()
