"""The change feed as an iterator: one Watch call, resumed where it stopped when the coordinator goes away.

    snapshot ... complete | change | change | lost | back | change | ...

A thread of its own reads the stream into a bounded queue. A reader that falls behind blocks that thread,
the coordinator closes the stream, and it is resumed from the last revision: nothing is left out.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import grpc

from .connection import Connection, is_loss, pauses
from .convert import change_from_wire
from .convert_specs import number_of
from .error_mapping import from_rpc_error, reason_of
from .errors import BuildRunnerError, UnreachableError
from .records import PathLock, Pool, Removed, Session, TaskSummary, Worker
from .v1 import event_service_pb2

Entity = Session | TaskSummary | Worker | PathLock | Pool | Removed

_QUEUE_EVENTS = 256
_PUT_INTERVAL_S = 0.2


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One message of the feed.

    `reset` says to forget everything seen before; `snapshot` that `changes` hold what exists, `complete`
    that nothing of the snapshot is missing any more; `closing` that the coordinator is being stopped.
    `connection` is lost once when the coordinator goes away and back once when it is there again; such
    events carry no changes.
    """

    revision: int = 0
    snapshot: bool = False
    reset: bool = False
    complete: bool = True
    changes: tuple[Entity, ...] = ()
    connection: Literal["ok", "lost", "back"] = "ok"
    compacted: bool = False
    closing: bool = False


class Cursor:
    """Where a feed stands: what to ask for next. Pure; a snapshot that broke off is asked for anew."""

    def __init__(
        self, template: event_service_pb2.WatchRequest, since_revision: int | None, store_id: str = ""
    ) -> None:
        self._template = template
        self.revision = since_revision
        self.store_id = store_id

    def request(self) -> event_service_pb2.WatchRequest:
        request = event_service_pb2.WatchRequest()
        request.CopyFrom(self._template)
        if self.revision is not None:
            request.since_revision = self.revision
            request.store_id = self.store_id
        return request

    def advance(self, response: event_service_pb2.WatchResponse) -> WatchEvent:
        """Takes one message in and gives it back as an event."""
        if response.reset:
            self.revision = None
        if response.revision:
            self.revision = response.revision
        if response.store_id:
            self.store_id = response.store_id
        changes = [change_from_wire(change) for change in response.changes]
        return WatchEvent(
            revision=response.revision,
            snapshot=response.snapshot,
            reset=response.reset,
            complete=not response.snapshot or response.revision > 0,
            changes=tuple(change for change in changes if change is not None),
            compacted=response.compacted,
            closing=response.closing,
        )


def watch_request(
    session_ids: Sequence[str] = (), kinds: Sequence[str] = (), ended_tasks: bool = False
) -> event_service_pb2.WatchRequest:
    """`kinds` are session, task, worker, lock, pool; none means all."""
    return event_service_pb2.WatchRequest(
        session_ids=session_ids,
        kinds=[number_of(event_service_pb2.EntityKind, kind) for kind in kinds],
        ended_tasks=ended_tasks,
    )


class Watcher(Iterator[WatchEvent]):
    """Events of one feed, in order. Close it, or use it as a context manager.

    Iterating raises UnreachableError when the coordinator stays away for the connection's patience, and
    the other errors of errors.py when it refuses. `on_event` is called, from the reading thread, whenever
    there is something to take.
    """

    def __init__(
        self,
        connection: Connection,
        cursor: Cursor,
        *,
        reconnect: bool = True,
        on_event: Callable[[], None] | None = None,
    ) -> None:
        self._connection = connection
        self._cursor = cursor
        self._reconnect = reconnect
        self._on_event = on_event
        self._events: queue.Queue[WatchEvent | BuildRunnerError | None] = queue.Queue(_QUEUE_EVENTS)
        self._call: Any = None
        self._closed = threading.Event()
        self._lost = False
        self._closing = False
        self._ended = False
        self._thread = threading.Thread(target=self._read, name="br-watch", daemon=True)
        self._thread.start()

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __next__(self) -> WatchEvent:
        event = self.poll(None)
        if event is None:
            raise StopIteration
        return event

    @property
    def ended(self) -> bool:
        """True once no further event can come."""
        return self._ended

    @property
    def revision(self) -> int | None:
        """The last revision seen whole; resume from here."""
        return self._cursor.revision

    def poll(self, timeout_s: float | None = 0.0) -> WatchEvent | None:
        """The next event, or None when none came within `timeout_s` seconds (None: no limit) or it ended."""
        if self._ended:
            return None
        try:
            item = self._events.get(timeout=timeout_s) if timeout_s != 0 else self._events.get_nowait()
        except queue.Empty:
            return None
        if isinstance(item, WatchEvent):
            return item
        self._ended = True
        if item is not None:
            raise item
        return None

    def close(self) -> None:
        """Ends the feed; harmless when it has ended."""
        self._closed.set()
        call = self._call
        if call is not None:
            call.cancel()
        self._ended = True
        try:
            # Somebody may be waiting for an event in another thread.
            self._events.put_nowait(None)
        except queue.Full:
            pass
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=2.0)

    # ------------------------------------------------------------- the reading thread

    def _read(self) -> None:
        failure: BuildRunnerError | None = None
        try:
            self._follow()
        except BuildRunnerError as error:
            failure = error
        self._put(failure)

    def _follow(self) -> None:
        tries = pauses()
        deadline_s = 0.0
        while not self._is_over():
            stubs = self._connection.stubs
            seen, error = self._read_stream(stubs)
            if self._is_over():
                return
            if seen or not deadline_s:
                tries, deadline_s = pauses(), time.monotonic() + self._connection.patience_s
            if self._may_resume(error):
                self._lose(error)
                self._find_again(stubs, deadline_s, tries)
            else:
                return

    def _is_over(self) -> bool:
        return self._closed.is_set() or self._connection.closed

    def _read_stream(self, stubs: Any) -> tuple[bool, Any]:
        """Reads one stream to its end; whether anything came, and the error that ended it."""
        seen = False
        try:
            self._call = stubs.events.Watch(self._cursor.request())
            if self._closed.is_set():
                self._call.cancel()
            for response in self._call:
                seen = True
                if self._lost:
                    self._lost = False
                    self._put(WatchEvent(connection="back"))
                event = self._cursor.advance(response)
                self._closing = event.closing
                self._put(event)
        except grpc.RpcError as error:
            return seen, error
        except ValueError:
            # The channel was closed or replaced by another thread: a loss like any other.
            return seen, None
        return seen, None

    def _may_resume(self, error: Any) -> bool:
        """False when the feed is over in order; raises what the coordinator refused with."""
        if error is None or is_loss(error) or reason_of(error) == "WATCHER_TOO_SLOW":
            if self._reconnect:
                return True
            if error is None:
                return False
        raise from_rpc_error(error, self._connection.address) from error

    def _lose(self, error: Any) -> None:
        too_slow = error is not None and reason_of(error) == "WATCHER_TOO_SLOW"
        if not self._lost and not too_slow:
            self._lost = True
            self._put(WatchEvent(connection="lost"))

    def _find_again(self, stubs: Any, deadline_s: float, tries: Iterator[float]) -> None:
        while not self._is_over():
            if time.monotonic() >= deadline_s:
                address = self._connection.address
                what = "was stopped" if self._closing else "went away and did not come back"
                raise UnreachableError(f"the coordinator at {address} {what}", address=address)
            if self._connection.recover(stubs, deadline_s, next(tries), start=not self._closing):
                return

    def _put(self, item: WatchEvent | BuildRunnerError | None) -> None:
        while not self._closed.is_set():
            try:
                self._events.put(item, timeout=_PUT_INTERVAL_S)
                break
            except queue.Full:
                continue
        if self._on_event is not None:
            self._on_event()
