"""A watcher: a snapshot and every change behind it, folded; compared with what a new one would show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from buildrunner_coordinator.domain import codec, reading, views
from buildrunner_coordinator.domain.replies import Event, Everything
from tests.sim.trace import SimulationFault

if TYPE_CHECKING:
    from buildrunner_coordinator.domain.core import Core
    from buildrunner_coordinator.engine.feed import Feed, Watcher


class Watching:
    """One watcher over any number of streams: it resumes from its revision, or begins anew."""

    def __init__(self) -> None:
        self.revision = 0
        self.resumed = 0
        self._state: dict[tuple[str, str], Any] = {}
        self._watcher: Watcher | None = None

    @property
    def is_connected(self) -> bool:
        return self._watcher is not None

    def disconnect(self) -> None:
        self._watcher = None

    def connect(self, feed: Feed, core: Core) -> None:
        """Called while the core is as of the feed's last revision."""
        watcher = feed.resume(self.revision) if self.revision else None
        if watcher is None:
            watcher = feed.attach()
            self.revision = feed.revision
            self._state = _state_of(core)
        else:
            self.resumed += 1
        self._watcher = watcher
        self.read()

    def read(self) -> None:
        """Takes what has come. Nothing may come twice or out of order."""
        if self._watcher is None:
            return
        for entry in self._watcher.take(1_000_000):
            if entry.unordered or entry.revision <= self.revision:
                raise SimulationFault(f"the watcher at {self.revision} is sent revision {entry.revision}")
            self.revision = entry.revision
            for event in entry.events:
                self._fold(event)

    def compare(self, core: Core) -> None:
        """What was folded is what the core has now. Raises SimulationFault."""
        if self._watcher is None:
            return
        wanted = _state_of(core)
        for key in wanted.keys() | self._state.keys():
            if self._state.get(key) != wanted.get(key):
                if key[0] == "task" and key not in wanted:
                    continue
                seen, there = self._state.get(key), wanted.get(key)
                raise SimulationFault(
                    f"a watcher sees {key} as {seen}, in the core it is {_parts(there, seen)}",
                    key[1].rpartition("/")[2],
                )

    def _fold(self, event: Event) -> None:
        if event.removed is not None:
            kind, name, session_id = event.removed
            self._state.pop((kind, f"{session_id}/{name}" if kind == "pool" else name), None)
            if kind == "session":
                for key in [k for k in self._state if k[0] == "task" and k[1].startswith(name + "/")]:
                    del self._state[key]
            return
        self._state.update(_entries(event))


def _entries(event: Event) -> dict[tuple[str, str], Any]:
    if event.session is not None:
        return {("session", event.session.session_id): event.session}
    if event.task is not None:
        row = event.task.row
        key = ("task", f"{row.session_id}/{row.task_id}")
        # What is told and not written (progress, waits) has the revision of the telling.
        return {key: (row._replace(revision=0), event.task.progress_percent, event.task.title)}
    if event.worker is not None:
        return {("worker", event.worker.worker.worker_id): codec.worker_row(event.worker.worker)}
    if event.pool is not None:
        return {("pool", f"{event.pool.session_id}/{event.pool.host}"): event.pool}
    assert event.lock is not None
    return {("lock", event.lock.lock_id): (event.lock.path, event.lock.fence, event.lock.mode)}


def _state_of(core: Core) -> dict[tuple[str, str], Any]:
    everything = Everything(
        [codec.session_row(one) for one in core.sessions.values()],
        [views.task_view(core, task) for mine in core.tasks.values() for task in mine.values()],
        [views.worker_view(one) for one in core.workers.values()],
        [codec.pool_row(one) for one in core.pools.values()],
        reading.all_locks(core),
        [],
    )
    state: dict[tuple[str, str], Any] = {}
    for session in everything.sessions:
        state |= _entries(Event(session=session))
    for task in everything.tasks:
        state |= _entries(Event(task=task))
    for worker in everything.workers:
        state |= _entries(Event(worker=worker))
    for pool in everything.pools:
        state |= _entries(Event(pool=pool))
    for lock in everything.locks:
        state |= _entries(Event(lock=lock))
    return state


def _parts(one: Any, other: Any) -> Any:
    """What of `one` is not as in `other`."""
    if not isinstance(one, tuple) or not isinstance(other, tuple):
        return one
    names = getattr(one, "_fields", range(len(one)))
    return {name: _parts(a, b) for name, a, b in zip(names, one, other, strict=True) if a != b}
