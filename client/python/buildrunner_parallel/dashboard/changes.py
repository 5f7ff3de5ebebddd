"""The change feed told as news: what changed, from what to what. Pure: the time comes as an argument.

Keeps of each entity the word it was last told with. Only what a person would call an event is news: a worker
that turns from idle to busy and back with every task is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from buildrunner_parallel.durations import format_duration
from buildrunner_parallel.enums import EntityKind
from buildrunner_parallel.records import PathLock, Pool, Removed, Session, TaskSummary, Worker

from .fold import Entity, Event, waits_for_locks
from .lines import details_of, moment_of

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class News:
    """One event: the entity's kind and name, its word before (empty when unknown) and now."""

    moment: datetime
    kind: str
    name: str
    before: str
    after: str
    details: str = ""


@dataclass(frozen=True, slots=True)
class _Told:
    """An entity as news: `seen` is what a change must differ in to be news."""

    key: Key
    name: str
    word: str
    seen: object
    details: str = ""
    over: bool = False


class NewsDesk:
    """Turns events of one feed into news.

    `keep_ended` remembers tasks that are over, which is needed where snapshots tell of them again.
    """

    def __init__(self, *, keep_ended: bool = False) -> None:
        self._keep_ended = keep_ended
        self._known: dict[Key, _Told] = {}
        self._before_reset: dict[Key, _Told] = {}
        self._started = False

    def take(self, event: Event, now: datetime) -> list[News]:
        """The news in one event. The first snapshot is none; a later one tells what differs."""
        if event.connection != "ok":
            return []
        if event.reset:
            self._before_reset, self._known = {**self._before_reset, **self._known}, {}
        silent = event.snapshot and not self._started
        news = [one for change in event.changes for one in self._take(change, now)]
        if event.complete:
            news += self._missing(now)
            self._started = True
        return [] if silent else news

    def _take(self, change: Entity, now: datetime) -> Iterator[News]:
        if isinstance(change, Removed):
            yield from self._remove(change, now)
            return
        told = _told(change)
        before = self._known.get(told.key) or self._before_reset.pop(told.key, None)
        if told.over and not self._keep_ended:
            self._known.pop(told.key, None)
        else:
            self._known[told.key] = told
        if before is None or before.seen != told.seen:
            moment = moment_of(change, now) if isinstance(change, TaskSummary) else now
            word = before.word if before else ""
            yield News(moment, told.key[0], told.name, word, told.word, told.details)

    def _remove(self, removed: Removed, now: datetime) -> Iterator[News]:
        key = (removed.kind.value, removed.session_id, removed.id)
        if removed.kind == EntityKind.SESSION:
            key = ("session", removed.id, "")
            for other in [one for one in self._known if one[0] == "task" and one[1] == removed.id]:
                del self._known[other]
        elif removed.kind in (EntityKind.LOCK, EntityKind.WORKER):
            key = (removed.kind.value, "", removed.id)
        elif removed.kind == EntityKind.POOL:
            key = ("pool", removed.session_id, "")
        before = self._known.pop(key, None)
        name = before.name if before else removed.id or removed.session_id
        word = "released" if removed.kind == EntityKind.LOCK else "gone"
        yield News(now, removed.kind.value, name, before.word if before else "", word)

    def _missing(self, now: datetime) -> list[News]:
        """What was there before a new snapshot and is not in it; ended tasks and sessions may be left out."""
        lost, self._before_reset = self._before_reset, {}
        kinds = ("worker", "lock", "pool")
        return [
            News(now, told.key[0], told.name, told.word, "released" if told.key[0] == "lock" else "gone")
            for told in lost.values()
            if told.key[0] in kinds
        ]


def _told(change: Entity) -> _Told:
    if isinstance(change, TaskSummary):
        return _of_task(change)
    if isinstance(change, Session):
        return _of_session(change)
    if isinstance(change, Worker):
        return _of_worker(change)
    if isinstance(change, PathLock):
        return _of_lock(change)
    assert isinstance(change, Pool), change
    name = change.session_id or "all sessions"
    word = f"{change.wanted} wanted"
    return _Told(("pool", change.session_id, ""), name, word, (change.wanted, change.slots, change.labels))


def _of_task(task: TaskSummary) -> _Told:
    word = "waiting" if waits_for_locks(task) else task.status.value
    blockers = task.wait.names if task.wait and waits_for_locks(task) else ()
    return _Told(
        ("task", task.session_id, task.task_id),
        f"{task.session_id}/{task.task_id}",
        word,
        (task.status, task.attempt, blockers),
        ", ".join(details_of(task)),
        task.is_over,
    )


def _of_session(session: Session) -> _Told:
    word = "cancelling" if session.cancelling and not session.is_over else session.status.value
    details = session.name
    if session.is_over:
        counts = session.counts
        details += f", {counts.succeeded} succeeded, {counts.failed} failed"
        if session.started_at and session.ended_at:
            details += f" in {format_duration((session.ended_at - session.started_at).total_seconds())}"
    elif not session.open:
        details += ", closed"
    return _Told(
        ("session", session.session_id, ""),
        session.session_id,
        word,
        (word, session.open and not session.is_over, session.locks_released),
        details,
    )


def _of_worker(worker: Worker) -> _Told:
    word: str = worker.status.value
    if word not in ("offline", "error"):
        word = "draining" if worker.draining else "up"
    host = f"on {worker.host}, pid {worker.pid}" if worker.host else ""
    return _Told(("worker", "", worker.worker_id), worker.worker_id, word, word, host)


def _of_lock(lock: PathLock) -> _Told:
    holder = lock.holder
    who = f"task {holder.task_id}" if holder.task_id else "the session"
    word = "lapsing" if lock.freed_at else "held"
    details = f"{lock.mode.value}, by {who} of {holder.session_name or holder.session_id}, fence {lock.fence}"
    return _Told(("lock", "", lock.lock_id), lock.path, word, (word, lock.mode, lock.fence), details)
