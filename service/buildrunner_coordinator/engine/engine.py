"""The asyncio shell of the batches: an inbox, one commit in flight while the next batch gathers, release.

The only writer of core and store. Any error of a batch or of a commit ends it: what was not released
by then never is, and whoever waits gets `EngineStoppedError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

from buildrunner_coordinator.domain.refusals import Refusal
from buildrunner_coordinator.engine.batch import Done, Item, RequestInfo, run_batch
from buildrunner_coordinator.engine.feed import Feed
from buildrunner_coordinator.engine.news import News
from buildrunner_coordinator.engine.outbox import Outboxes
from buildrunner_coordinator.engine.ports import Clock, CorePort
from buildrunner_coordinator.store.base import Store

Result = TypeVar("Result")

STALL_US = 1_000_000
"""Nothing heard for so long means that the coordinator itself stood still."""
PULSE_S = 0.5
SHORTEST_TICK_S = 0.005
BUSY_COMMANDS = 8
"""A batch with more commands than this was made under load: the next one may gather a little."""
GATHER_S = 0.002
RIDE_S = 0.05
"""How long starts and progress wait for a batch to ride with."""
MAX_BACKLOG = 5_000
"""Items in the inbox above which `room()` waits."""


class EngineStoppedError(Exception):
    """The engine has ended. Whether the command took effect is not known."""


class _Read:
    """A read of the store that waits for the commit of the batch it was drained with."""

    __slots__ = ("function", "future")

    def __init__(self, function: Callable[[Store], Awaitable[Any]], future: asyncio.Future[Any]) -> None:
        self.function = function
        self.future = future


class Engine:
    """Applies commands in batches; see the module. `run()` must run for anything to be answered."""

    def __init__(
        self,
        core: CorePort,
        store: Store,
        clock: Clock,
        *,
        feed: Feed,
        outboxes: Outboxes | None = None,
        news: News | None = None,
        check: Callable[[CorePort], None] | None = None,
        gather_s: float = GATHER_S,
    ) -> None:
        """`check` is called after every batch, before its commit, and may raise."""
        self.core = core
        self.clock = clock
        self.feed = feed
        self.outboxes = outboxes or Outboxes()
        self.news = news or News()
        self.batches = 0
        self._store = store
        self._check = check
        self._gather_s = gather_s
        self._inbox: list[Item] = []
        self._reads: list[_Read] = []
        self._waker: asyncio.Future[None] | None = None
        self._stopping = False
        self._ended = False
        self._heard_us = clock.now().us
        self._stalled_us = 0
        self._drained = asyncio.Event()
        self._urgent = False
        """Something does not wait for company."""
        self._ride: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------ for callers

    async def execute(self, command: object, request: RequestInfo | None = None) -> Any:
        """The reply to `command` once it is durable. Raises Refusal, EngineStoppedError."""
        replies = await self._submit((command,), request)
        if isinstance(replies[0], Refusal):
            raise replies[0]
        return replies[0]

    async def execute_all(self, commands: Sequence[object]) -> list[Any]:
        """The replies to commands of one batch; refusals are among them, not raised."""
        return await self._submit(commands, None)

    def post(
        self,
        commands: Sequence[object],
        done: Done | None = None,
        failed: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Commands for which nobody waits. `done` is called with all their replies once they are durable.

        `failed` is called instead when the engine ends before that.
        """
        self._put(Item(commands, done, None, failed))

    def post_lazily(self, commands: Sequence[object]) -> None:
        """Commands that ride with the next batch that something else brings about, or go after 50 ms.

        They keep their place before all that is asked for later.
        """
        if self._ended:
            return
        self._inbox.append(Item(commands))
        if self._ride is None:
            self._ride = asyncio.get_running_loop().call_later(RIDE_S, self.wake)

    async def room(self) -> None:
        """Returns once the inbox is not overfull. For those who could fill it faster than it is emptied."""
        if len(self._inbox) > MAX_BACKLOG:
            self._drained.clear()
            await self._drained.wait()

    async def read(self, function: Callable[[Store], Awaitable[Result]]) -> Result:
        """What `function` reads once all that was asked for before is durable. Raises EngineStoppedError."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._ended:
            raise EngineStoppedError
        self._reads.append(_Read(function, future))
        self.wake()
        return cast(Result, await future)

    def wake(self) -> None:
        """Makes the engine look at its inbox and its clock."""
        self._urgent = True
        self._rouse()

    def _rouse(self) -> None:
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)

    def stop(self) -> None:
        """Lets `run()` return once what is in the inbox has been done."""
        self._stopping = True
        self.wake()

    # ------------------------------------------------------------------ the loop

    async def run(self) -> None:
        """Works until `stop()`. Raises what a batch or a commit raised; nothing of it has been released."""
        try:
            while not self._stopping or self._inbox or self._reads:
                await self._wait()
                busy = await self._turn()
                if busy and not self._stopping:
                    await asyncio.sleep(self._gather_s)
        finally:
            self._end()

    async def _turn(self) -> bool:
        """One batch from the inbox to its release. True: there was so much that gathering pays."""
        items, self._inbox = self._inbox, []
        reads, self._reads = self._reads, []
        self._drained.set()
        self._urgent = False
        if self._ride is not None:
            self._ride.cancel()
            self._ride = None
        try:
            now = self.clock.now()
            self._breathe(now.us)
            stalled_us, self._stalled_us = self._stalled_us, 0
            batch = run_batch(self.core, items, now, stalled_us, self.feed.wants_events(now.us))
            if self._check is not None:
                self._check(self.core)
            if batch.has_changes:
                await self._store.commit(self.core.meta.epoch, batch.changes)
        except BaseException:
            self._abandon(items, reads)
            raise
        self.batches += 1
        batch.release(self.outboxes, self.feed)
        self.outboxes.forget(batch.changes.removed_workers)
        self.news.announce(batch.changes)
        for read in reads:
            await self._perform(read)
        return sum(len(item.commands) for item in items) > BUSY_COMMANDS

    async def _perform(self, read: _Read) -> None:
        if read.future.done():
            return
        try:
            result = await read.function(self._store)
        except asyncio.CancelledError:
            self._abandon((), (read,))
            raise
        except Exception as error:  # the reader's to handle: a read changes nothing
            if not read.future.done():
                read.future.set_exception(error)
        else:
            if not read.future.done():
                read.future.set_result(result)

    async def _wait(self) -> None:
        """Returns when there is something in the inbox, a deadline is due, or the end has come."""
        loop = asyncio.get_running_loop()
        while not (self._urgent or self._stopping):
            now_us = self.clock.now().us
            self._breathe(now_us)
            deadline_us = self.core.next_deadline_us()
            left_s = PULSE_S if deadline_us is None else (deadline_us - now_us) / 1e6
            self._waker = loop.create_future()
            handle = loop.call_later(min(PULSE_S, max(left_s, SHORTEST_TICK_S)), self._rouse)
            try:
                await self._waker
            finally:
                handle.cancel()
                self._waker = None
            if deadline_us is not None and self.clock.now().us >= deadline_us:
                return

    def _breathe(self, now_us: int) -> None:
        gap_us = now_us - self._heard_us
        if gap_us > STALL_US:
            self._stalled_us += gap_us
        self._heard_us = now_us

    # ------------------------------------------------------------------ the inbox

    async def _submit(self, commands: Sequence[object], request: RequestInfo | None) -> list[Any]:
        future: asyncio.Future[list[object]] = asyncio.get_running_loop().create_future()

        def done(replies: list[object], _revision: int) -> None:
            if not future.done():
                future.set_result(replies)

        def failed(error: BaseException) -> None:
            if not future.done():
                future.set_exception(error)

        self._put(Item(commands, done, request, failed))
        return await future

    def _put(self, item: Item) -> None:
        if self._ended:
            if item.failed is not None:
                item.failed(EngineStoppedError())
            return
        self._inbox.append(item)
        self.wake()

    def _end(self) -> None:
        self._ended = True
        if self._ride is not None:
            self._ride.cancel()
        self._drained.set()
        self._abandon(self._inbox, self._reads)
        self._inbox, self._reads = [], []

    def _abandon(self, items: Sequence[Item], reads: Sequence[_Read]) -> None:
        for item in items:
            if item.failed is not None:
                item.failed(EngineStoppedError())
        for read in reads:
            if not read.future.done():
                read.future.set_exception(EngineStoppedError())
