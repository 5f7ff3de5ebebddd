"""The change feed: a ring of the last batches' events, and the watchers that are fed from it.

A batch is encoded at most once, by the first watcher that writes it, and never by the engine. Which
bytes an event becomes is the business of whoever makes the feed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import StrEnum

from buildrunner_coordinator.domain.replies import Event

RING_EVENTS = 20_000
RING_BYTES = 16 << 20
WATCHER_EVENTS = 100_000
REST_US = 60_000_000
"""So long after the last watcher has left, events are not made any more until the next one comes."""
_UNENCODED_BYTES = 700
"""What an event is taken to cost before anybody has encoded it."""

Encode = Callable[[Event], bytes]


class FeedEntry:
    """The events of one batch, with their encodings as far as somebody asked for them."""

    __slots__ = ("_encode", "_encoded", "events", "revision", "unordered")

    def __init__(self, revision: int, events: list[Event], encode: Encode, unordered: bool = False) -> None:
        self.revision = revision
        self.events = events
        self.unordered = unordered
        """Changes that have no revision of their own, such as progress: not kept for those who resume."""
        self._encode = encode
        self._encoded: list[bytes | None] = [None] * len(events)

    def encoded(self, index: int) -> bytes:
        """The bytes of one event, made when first asked for."""
        known = self._encoded[index]
        if known is None:
            known = self._encoded[index] = self._encode(self.events[index])
        return known

    @property
    def size_bytes(self) -> int:
        """An estimate for what nobody has encoded yet."""
        return _UNENCODED_BYTES * len(self.events)


class WatcherEnd(StrEnum):
    TOO_SLOW = "too slow"
    CLOSING = "closing"


class Watcher:
    """One reader of the feed: a bounded queue of entries."""

    def __init__(self, max_events: int = WATCHER_EVENTS) -> None:
        self.ended: WatcherEnd | None = None
        self.cut = asyncio.Event()
        """Set when it was too slow, so that a writer that is stuck can be ended."""
        self._entries: deque[FeedEntry] = deque()
        self._waiting_events = 0
        self._max_events = max_events
        self._wake = asyncio.Event()

    def put(self, entry: FeedEntry) -> None:
        """A single entry is taken whatever its size; one more on top of a full queue cuts the watcher."""
        if self.ended is not None:
            return
        if self._entries and self._waiting_events + len(entry.events) > self._max_events:
            self.end(WatcherEnd.TOO_SLOW)
            return
        self._entries.append(entry)
        self._waiting_events += len(entry.events)
        self._wake.set()

    def end(self, why: WatcherEnd) -> None:
        if self.ended is None:
            self.ended = why
        if why is WatcherEnd.TOO_SLOW:
            self._entries.clear()
            self.cut.set()
        self._wake.set()

    async def wait(self) -> None:
        """Returns once there is something to take, or the watcher has ended."""
        if not self._entries and self.ended is None:
            self._wake.clear()
            await self._wake.wait()

    def take(self, max_events: int) -> list[FeedEntry]:
        """The next entries, at least one if there is one, then as many as have `max_events` together."""
        taken: list[FeedEntry] = []
        count = 0
        while self._entries and (not taken or count + len(self._entries[0].events) <= max_events):
            taken.append(self._entries.popleft())
            count += len(taken[-1].events)
        self._waiting_events -= count
        return taken


class Feed:
    """Revisioned events, the newest kept for those who resume, all handed to those who watch."""

    def __init__(
        self,
        encode: Encode,
        revision: int,
        *,
        ring_events: int = RING_EVENTS,
        ring_bytes: int = RING_BYTES,
        watcher_events: int = WATCHER_EVENTS,
    ) -> None:
        self.revision = revision
        """Of the last published batch."""
        self._encode = encode
        self._floor = revision
        """Changes behind this revision are all in the ring."""
        self._ring: deque[FeedEntry] = deque()
        self._ring_count = 0
        self._ring_size_bytes = 0
        self._limits = (ring_events, ring_bytes)
        self._watcher_events = watcher_events
        self._watchers: set[Watcher] = set()
        self._watched_us: int | None = None
        self._rests = False

    def wants_events(self, now_us: int) -> bool:
        """Whether the events of a batch that is made now have to be published.

        If not, nobody can resume before the next snapshot: all up to it counts as compacted.
        """
        if self._watchers or self._watched_us is None:
            self._watched_us = now_us
        self._rests = now_us - self._watched_us > REST_US
        return not self._rests

    @property
    def watchers(self) -> int:
        return len(self._watchers)

    def publish(self, revision: int, events: list[Event]) -> None:
        """Takes what a durable batch changed, if only its revision. Revisions never go back."""
        assert revision >= self.revision, f"revision {revision} published behind {self.revision}"
        entry = FeedEntry(revision, events, self._encode, unordered=revision == self.revision)
        self.revision = revision
        if self._rests:
            self._compact()
        if not events:
            return
        if not entry.unordered:
            self._keep(entry)
        for watcher in list(self._watchers):
            watcher.put(entry)
            if watcher.ended is not None:
                self._watchers.discard(watcher)

    def attach(self) -> Watcher:
        """A watcher of everything behind the present revision."""
        watcher = Watcher(self._watcher_events)
        self._watchers.add(watcher)
        return watcher

    def resume(self, since_revision: int) -> Watcher | None:
        """A watcher of everything behind `since_revision`; None if that is no longer, or not yet, known."""
        # At rest the batch that is being committed has no events that it could bring.
        if self._rests or not self._floor <= since_revision <= self.revision:
            return None
        watcher = Watcher(self._watcher_events + self._ring_count)
        for entry in self._ring:
            if entry.revision > since_revision:
                watcher.put(entry)
        self._watchers.add(watcher)
        return watcher

    def detach(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)

    def close(self) -> None:
        """Ends every watcher once it has read what is in its queue."""
        for watcher in self._watchers:
            watcher.end(WatcherEnd.CLOSING)
        self._watchers.clear()

    def _compact(self) -> None:
        self._floor = self.revision
        self._ring.clear()
        self._ring_count = self._ring_size_bytes = 0

    def _keep(self, entry: FeedEntry) -> None:
        self._ring.append(entry)
        self._ring_count += len(entry.events)
        self._ring_size_bytes += entry.size_bytes
        max_events, max_bytes = self._limits
        while self._ring and (self._ring_count > max_events or self._ring_size_bytes > max_bytes):
            gone = self._ring.popleft()
            self._floor = gone.revision
            self._ring_count -= len(gone.events)
            self._ring_size_bytes -= gone.size_bytes
