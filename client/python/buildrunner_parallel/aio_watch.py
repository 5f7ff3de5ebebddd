"""The asyncio twin of watch.py: the change feed as an asynchronous iterator, resumed after every break.

A task of its own reads the stream into a bounded queue. So whoever waits for an event may be cancelled, or
give up after a while, and no stream is harmed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import grpc

from .aio_connection import AsyncConnection, AsyncStubs, ChannelClosed
from .errors import BuildRunnerError
from .feed import QUEUE_EVENTS, Cursor, Feed, WatchEvent


class AsyncWatcher(AsyncIterator[WatchEvent]):
    """Events of one feed, in order. Close it, or use it as an asynchronous context manager.

    Iterating raises UnreachableError when the coordinator stays away for the connection's patience, and
    the other errors of errors.py when it refuses. `on_event` is called whenever there is something to take.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        cursor: Cursor,
        *,
        reconnect: bool = True,
        on_event: Callable[[], None] | None = None,
    ) -> None:
        self._connection = connection
        self._feed = Feed(cursor, reconnect=reconnect, patience_s=connection.patience_s)
        self._on_event = on_event
        self._events: asyncio.Queue[WatchEvent | BuildRunnerError | None] = asyncio.Queue(QUEUE_EVENTS)
        self._ended = False
        self._task = asyncio.get_running_loop().create_task(self._read(), name="br-watch")

    async def __aenter__(self) -> AsyncWatcher:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def __anext__(self) -> WatchEvent:
        event = await self.poll(None)
        if event is None:
            raise StopAsyncIteration
        return event

    @property
    def ended(self) -> bool:
        """True once no further event can come."""
        return self._ended

    @property
    def revision(self) -> int | None:
        """The last revision seen whole; resume from here."""
        return self._feed.cursor.revision

    async def poll(self, timeout_s: float | None = 0.0) -> WatchEvent | None:
        """The next event, or None when none came within `timeout_s` seconds (None: no limit) or it ended."""
        if self._ended:
            return None
        try:
            item = await self._next(timeout_s)
        except (TimeoutError, asyncio.QueueEmpty):
            return None
        if isinstance(item, WatchEvent):
            return item
        self._ended = True
        if item is not None:
            raise item
        return None

    async def _next(self, timeout_s: float | None) -> WatchEvent | BuildRunnerError | None:
        if timeout_s == 0:
            return self._events.get_nowait()
        async with asyncio.timeout(timeout_s):
            return await self._events.get()

    async def close(self) -> None:
        """Ends the feed; harmless when it has ended."""
        self._ended = True
        self._task.cancel()
        await asyncio.wait([self._task])
        if self._events.empty():
            # Somebody may be waiting for an event in another task.
            self._events.put_nowait(None)

    # --------------------------------------------------------------- the reading task

    async def _read(self) -> None:
        failure: BuildRunnerError | None = None
        try:
            await self._follow()
        except BuildRunnerError as error:
            failure = error
        await self._put(failure)

    async def _follow(self) -> None:
        while not self._is_over():
            stubs = self._connection.stubs
            error = await self._read_stream(stubs)
            if self._is_over():
                return
            goes_on, told = self._feed.end(error, self._connection.address)
            if told is not None:
                await self._put(told)
            if not goes_on:
                return
            await self._find_again(stubs)

    def _is_over(self) -> bool:
        return self._connection.closed

    async def _read_stream(self, stubs: AsyncStubs) -> Any:
        """Reads one stream to its end; the error that ended it."""
        request = self._feed.begin()
        try:
            async with aclosing(stubs.stream(lambda now: now.events.Watch(request))) as answers:
                async for answer in answers:
                    for event in self._feed.take(answer):
                        await self._put(event)
        except grpc.RpcError as error:
            return error
        except ChannelClosed:
            # Closed or replaced by another coroutine: a loss like any other.
            return None
        return None

    async def _find_again(self, stubs: AsyncStubs) -> None:
        while not self._is_over():
            pause_s = self._feed.next_pause_s(self._connection.address)
            start = not self._feed.closing
            if await self._connection.recover(stubs, self._feed.deadline_s, pause_s, start=start):
                return

    async def _put(self, item: WatchEvent | BuildRunnerError | None) -> None:
        await self._events.put(item)
        if self._on_event is not None:
            self._on_event()
