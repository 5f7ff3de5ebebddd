"""The keeper as a client of its coordinator: which pools are wanted, which ids workers got, who died.

Nothing here starts the coordinator: a call waits until the loop has brought it back.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ..client import Client
from ..connection import Connection
from ..discovery import Target, local_target
from ..errors import BuildRunnerError, NotFoundError, UnreachableError
from ..records import Pool, Removed, Worker
from ..watch import Watcher, WatchEvent

_log = logging.getLogger(__name__)
_FOREVER_S = 10.0**9
# Clocks of one machine, read by two processes.
_CLOCK_SLACK = timedelta(seconds=2)


class PoolBook:
    """The pools of this machine as the feed tells them; a snapshot counts once it is complete."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._gathered: dict[str, Pool] = {}
        self._complete = False
        self.pools: dict[str, Pool] | None = None

    def take(self, event: WatchEvent) -> None:
        if event.connection != "ok":
            return
        if event.reset:
            self._gathered = {}
            self._complete = False
        for change in event.changes:
            if isinstance(change, Pool) and change.host in ("", self._host):
                self._gathered[change.session_id] = change
            elif isinstance(change, Removed) and change.kind == "pool" and change.id in ("", self._host):
                self._gathered.pop(change.session_id, None)
        self._complete = self._complete or event.complete
        if self._complete:
            self.pools = dict(self._gathered)


class CoordinatorLink:
    """One connection and one watch, kept through every restart of the coordinator."""

    def __init__(self, data: Path, wake: Callable[[], None]) -> None:
        self._data = data
        self._wake = wake
        self.host = socket.gethostname()
        self._book = PoolBook(self.host)
        self._connection: Connection | None = None
        self._connected = threading.Event()
        self._watcher: Watcher | None = None
        self.closing = False

    @property
    def address(self) -> str:
        return self._connection.address if self._connection is not None else ""

    @property
    def pools(self) -> dict[str, Pool] | None:
        """Wanted numbers by session id; None until they are known."""
        return self._book.pools

    def step(self) -> None:
        """Opens the connection once the coordinator said where it is; takes in what the feed has."""
        if self._connection is None:
            target = local_target(self._data)
            if target is None:
                return
            self._connection = Connection(target, relocate=self._look, patience_s=_FOREVER_S)
            self._connected.set()
        if self._watcher is None or self._watcher.ended:
            self._watcher = self._client().watch(kinds=["pool"], on_event=self._wake)
        self._drain_events(self._watcher)

    def _drain_events(self, watcher: Watcher) -> None:
        try:
            while (event := watcher.poll(0.0)) is not None:
                # What was announced holds until a coordinator speaks again.
                self.closing = event.closing if event.connection == "ok" else self.closing
                self._book.take(event)
        except BuildRunnerError as error:
            # Refused, as by a coordinator whose token was changed: the next step asks again.
            _log.warning("watching the pools: %s", error)

    def _look(self, _timeout_s: float, _start: bool) -> Target:
        target = local_target(self._data)
        if target is None:
            raise UnreachableError(f"no coordinator has started in {self._data} yet")
        return target

    def _client(self) -> Client:
        """For threads of the keeper: waits until there has been a coordinator at all."""
        self._connected.wait()
        assert self._connection is not None
        return Client(self._connection)

    # ------------------------------------------------- called from threads of the keeper

    def workers_here(self) -> list[Worker]:
        """The workers of this machine that the coordinator knows."""
        return [worker for worker in self._client().list_workers() if worker.host == self.host]

    def find_worker(self, process_id: int, lived_s: float) -> str:
        """The id of the worker that runs as this process; empty when it never registered or has left."""
        found = worker_of(self.workers_here(), process_id, lived_s)
        return found.worker_id if found is not None else ""

    def report_death(self, worker_id: str, process_id: int, gone: bool, reason: str) -> bool:
        """Says that a worker's process is gone; False when the coordinator does not know that id."""
        try:
            lost = self._client().report_worker_death(
                worker_id, host=self.host, pid=process_id, processes_gone=gone, reason=reason
            )
            _log.info("reported the death of worker %s (%s): %d attempts lost", worker_id, reason, lost)
        except NotFoundError:
            _log.info("worker %s had left", worker_id)
            return False
        return True

    def is_gone(self, session_id: str) -> bool:
        """Whether the coordinator knows no session of this id any more."""
        try:
            self._client().get_session(session_id)
        except NotFoundError:
            return True
        return False

    def drain(self, worker_id: str) -> bool:
        """Has a worker leave; False when the coordinator does not know it."""
        try:
            self._client().drain_worker(worker_id, reason="the pool has become smaller")
        except NotFoundError:
            return False
        return True


def worker_of(workers: Iterable[Worker], process_id: int, lived_s: float) -> Worker | None:
    """The record of the process with this number that was started `lived_s` seconds ago."""
    started_at = datetime.now(UTC) - timedelta(seconds=lived_s) - _CLOCK_SLACK
    for worker in workers:
        fresh = worker.registered_at is None or worker.registered_at >= started_at
        if worker.pid == process_id and fresh:
            return worker
    return None
