"""The change feed as its readers see it: events, where a reader stands, and what a break of the stream means.

    snapshot ... complete | change | change | lost | back | change | ...

Pure: watch.py reads streams in a thread, aio_watch.py in a task.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .connection import is_loss, pauses
from .convert import change_from_wire
from .convert_specs import number_of
from .error_mapping import from_rpc_error, reason_of
from .errors import UnreachableError
from .records import PathLock, Pool, Removed, Session, TaskSummary, Worker
from .v1 import event_service_pb2

Entity = Session | TaskSummary | Worker | PathLock | Pool | Removed
ReadChange = Callable[[event_service_pb2.Change], Entity | None]

QUEUE_EVENTS = 256


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
    """Where a feed stands: what to ask for next. A snapshot that broke off is asked for anew.

    `read` makes records of changes; those of which it makes None are left out.
    """

    def __init__(
        self,
        template: event_service_pb2.WatchRequest,
        since_revision: int | None = None,
        store_id: str = "",
        read: ReadChange = change_from_wire,
    ) -> None:
        self._template = template
        self._read = read
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
        changes = [self._read(change) for change in response.changes]
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


class Feed:
    """What a reader of streams has to tell and to do next; `address` names the coordinator in errors."""

    def __init__(self, cursor: Cursor, *, reconnect: bool, patience_s: float) -> None:
        self.cursor = cursor
        self._reconnect = reconnect
        self._patience_s = patience_s
        self._tries = pauses()
        self._deadline_s = 0.0
        self._seen = False
        self._lost = False
        self.closing = False

    @property
    def deadline_s(self) -> float:
        """Until when the coordinator is looked for after a loss."""
        return self._deadline_s

    def begin(self) -> event_service_pb2.WatchRequest:
        """The request of the next stream."""
        self._seen = False
        return self.cursor.request()

    def take(self, response: event_service_pb2.WatchResponse) -> Iterator[WatchEvent]:
        """The events that a message of the stream makes."""
        self._seen = True
        if self._lost:
            self._lost = False
            yield WatchEvent(connection="back")
        event = self.cursor.advance(response)
        self.closing = event.closing
        yield event

    def end(self, error: Any, address: str) -> tuple[bool, WatchEvent | None]:
        """The stream is over, with `error` or without: whether to find the coordinator and go on, and what to
        tell of it. Raises what the coordinator refused with."""
        if self._seen or not self._deadline_s:
            self._tries, self._deadline_s = pauses(), time.monotonic() + self._patience_s
        too_slow = error is not None and reason_of(error) == "WATCHER_TOO_SLOW"
        if error is not None and not (self._reconnect and (too_slow or is_loss(error))):
            raise from_rpc_error(error, address) from error
        if not self._reconnect:
            return False, None
        if self._lost or too_slow:
            return True, None
        self._lost = True
        return True, WatchEvent(connection="lost")

    def next_pause_s(self, address: str) -> float:
        """Seconds to wait before looking for the coordinator; raises UnreachableError when it is time to
        stop."""
        if time.monotonic() >= self._deadline_s:
            what = "was stopped" if self.closing else "went away and did not come back"
            raise UnreachableError(f"the coordinator at {address} {what}", address=address)
        return next(self._tries)
