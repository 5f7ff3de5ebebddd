"""The change feed as an iterator: one Watch call, resumed where it stopped when the coordinator goes away.

A thread of its own reads the stream into a bounded queue. A reader that falls behind blocks that thread,
the coordinator closes the stream, and it is resumed from the last revision: nothing is left out.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from .connection import Connection
from .errors import BuildRunnerError
from .feed import QUEUE_EVENTS, Cursor, Entity, Feed, WatchEvent, watch_request

__all__ = ["Cursor", "Entity", "WatchEvent", "Watcher", "watch_request"]

_PUT_INTERVAL_S = 0.2


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
        self._feed = Feed(cursor, reconnect=reconnect, patience_s=connection.patience_s)
        self._on_event = on_event
        self._events: queue.Queue[WatchEvent | BuildRunnerError | None] = queue.Queue(QUEUE_EVENTS)
        self._call: Any = None
        self._closed = threading.Event()
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
        return self._feed.cursor.revision

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
        while not self._is_over():
            stubs = self._connection.stubs
            error = self._read_stream(stubs)
            if self._is_over():
                return
            goes_on, told = self._feed.end(error, self._connection.address)
            if told is not None:
                self._put(told)
            if not goes_on:
                return
            self._find_again(stubs)

    def _is_over(self) -> bool:
        return self._closed.is_set() or self._connection.closed

    def _read_stream(self, stubs: Any) -> Any:
        """Reads one stream to its end; the error that ended it."""
        try:
            self._call = stubs.events.Watch(self._feed.begin())
            if self._closed.is_set():
                self._call.cancel()
            for response in self._call:
                for event in self._feed.take(response):
                    self._put(event)
        except grpc.RpcError as error:
            return error
        except ValueError:
            # The channel was closed or replaced by another thread: a loss like any other.
            return None
        return None

    def _find_again(self, stubs: Any) -> None:
        while not self._is_over():
            pause_s = self._feed.next_pause_s(self._connection.address)
            start = not self._feed.closing
            if self._connection.recover(stubs, self._feed.deadline_s, pause_s, start=start):
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
