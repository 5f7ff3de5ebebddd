"""Events of the feed as encoded changes, and which watcher wants which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from buildrunner_coordinator.domain.model import Time
from buildrunner_coordinator.domain.replies import Event, Everything
from buildrunner_coordinator.rpc.convert.basics import framed
from buildrunner_coordinator.rpc.convert.enums import ENTITY_KIND
from buildrunner_coordinator.rpc.convert.locks import lock_message
from buildrunner_coordinator.rpc.convert.sessions import session_message
from buildrunner_coordinator.rpc.convert.tasks import summary_message
from buildrunner_coordinator.rpc.convert.workers import pool_message, worker_message
from buildrunner_parallel.v1 import event_service_pb2 as pb

_CHANGES = 5


class EventEncoder:
    """Makes of an event the field of a WatchResponse that holds it."""

    def __init__(self, workspace_id: str, now: Callable[[], Time]) -> None:
        self._workspace_id = workspace_id
        self._now = now

    def __call__(self, event: Event) -> bytes:
        return framed(_CHANGES, self.change(event).SerializeToString())

    def change(self, event: Event) -> pb.Change:
        if event.task is not None:
            return pb.Change(task=summary_message(event.task))
        if event.session is not None:
            return pb.Change(session=session_message(event.session))
        if event.worker is not None:
            return pb.Change(worker=worker_message(event.worker))
        if event.lock is not None:
            return pb.Change(lock=lock_message(event.lock, self._workspace_id, self._now()))
        if event.pool is not None:
            return pb.Change(pool=pool_message(event.pool))
        assert event.removed is not None, "an event without an entity"
        kind, entity_id, session_id = event.removed
        removed = pb.Removed(kind=ENTITY_KIND.wire(kind), id=entity_id, session_id=session_id)
        return pb.Change(removed=removed)


class Selection:
    """What a watcher wants: kinds (empty: all) and sessions (empty: all)."""

    def __init__(self, kinds: Iterable[str] = (), session_ids: Iterable[str] = ()) -> None:
        self._kinds = frozenset(kinds)
        self._sessions = frozenset(session_ids)
        self.is_all = not self._kinds and not self._sessions

    def wants(self, event: Event) -> bool:
        """Workers and pools belong to every selection of sessions."""
        kind, session_id = _place(event)
        if self._kinds and kind not in self._kinds:
            return False
        return not self._sessions or session_id is None or session_id in self._sessions


def _place(event: Event) -> tuple[str, str | None]:
    """Kind, and session if it belongs to one."""
    if event.task is not None:
        return "task", event.task.row.session_id
    if event.session is not None:
        return "session", event.session.session_id
    if event.lock is not None:
        return "lock", event.lock.holder.session_id
    if event.removed is not None:
        return _removed_place(event.removed)
    return ("worker" if event.worker is not None else "pool"), None


def _removed_place(removed: tuple[str, str, str]) -> tuple[str, str | None]:
    kind, entity_id, session_id = removed
    if kind == "session":
        return kind, entity_id
    return kind, session_id if kind in ("lock", "task") and session_id else None


def snapshot_events(everything: Everything) -> Iterator[Event]:
    """All that exists, one event each."""
    yield from (Event(session=row) for row in everything.sessions)
    yield from (Event(worker=view) for view in everything.workers)
    yield from (Event(pool=row) for row in everything.pools)
    yield from (Event(lock=view) for view in everything.locks)
    yield from (Event(task=view) for view in everything.tasks)
