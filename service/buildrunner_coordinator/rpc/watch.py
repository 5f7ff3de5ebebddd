"""EventService: snapshots and changes as bytes that all watchers share, and the cutting of slow ones."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import grpc

from buildrunner_coordinator.domain.commands import ReadAll, ReadSession
from buildrunner_coordinator.domain.refusals import Refusal
from buildrunner_coordinator.domain.replies import Event, Everything
from buildrunner_coordinator.engine.feed import FeedEntry, Watcher, WatcherEnd
from buildrunner_coordinator.rpc.convert.enums import ENTITY_KIND
from buildrunner_coordinator.rpc.convert.events import EventEncoder, Selection, snapshot_events
from buildrunner_coordinator.rpc.convert.tasks import OVER_STATUSES, view_of_rows
from buildrunner_coordinator.rpc.history import list_history
from buildrunner_coordinator.rpc.house import House
from buildrunner_coordinator.rpc.interceptors import Context, RpcError
from buildrunner_parallel.v1 import event_service_pb2 as pb
from buildrunner_parallel.v1.event_service_pb2_grpc import EventServiceServicer

EVENTS_A_MESSAGE = 500
BYTES_A_MESSAGE = 1 << 20
ENDED_TASKS_A_READ = 500


class _Snapshot(NamedTuple):
    everything: Everything
    revision: int
    watcher: Watcher


class EventService(EventServiceServicer):
    """See event_service.proto. Its responses are written as bytes: see `server.RAW_METHODS`."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._engine = house.engine

    async def Watch(self, request: pb.WatchRequest, context: Context) -> None:  # type: ignore[override]
        session_ids = await self._full_ids(request.session_ids)
        kinds = [kind.value for kind in ENTITY_KIND.known(request.kinds)]
        watch = _Watch(self._house, context, Selection(kinds, session_ids), session_ids)
        watcher = self._resume(request)
        if watcher is not None:
            await watch.run(watcher, None, request)
        else:
            snapshot = await self._snapshot(session_ids)
            await watch.run(snapshot.watcher, snapshot, request)

    async def ListHistory(self, request: pb.ListHistoryRequest, context: Context) -> pb.ListHistoryResponse:
        return await list_history(self._engine, request)

    async def _full_ids(self, given: Iterable[str]) -> tuple[str, ...]:
        rows = await self._engine.execute_all([ReadSession(one) for one in given])
        for row in rows:
            if isinstance(row, Refusal):
                raise row
        return tuple(row.session_id for row in rows)

    def _resume(self, request: pb.WatchRequest) -> Watcher | None:
        if not request.HasField("since_revision"):
            return None
        if request.store_id and request.store_id != self._engine.core.meta.store_id:
            return None
        return self._engine.feed.resume(request.since_revision)

    async def _snapshot(self, session_ids: tuple[str, ...]) -> _Snapshot:
        """All there is at one revision, with a watcher of everything behind it."""
        future: asyncio.Future[_Snapshot] = asyncio.get_running_loop().create_future()

        def done(replies: list[object], revision: int) -> None:
            if future.done():
                return
            everything = replies[0]
            if isinstance(everything, Everything):
                future.set_result(_Snapshot(everything, revision, self._engine.feed.attach()))
            else:
                assert isinstance(everything, Refusal)
                future.set_exception(everything)

        def failed(error: BaseException) -> None:
            if not future.done():
                future.set_exception(error)

        self._engine.post((ReadAll(session_ids),), done, failed)
        return await future


class _Watch:
    """One call of Watch."""

    def __init__(
        self, house: House, context: Context, selection: Selection, session_ids: tuple[str, ...]
    ) -> None:
        self._engine = house.engine
        self._context = context
        self._selection = selection
        self._session_ids = session_ids
        self._store_id = house.engine.core.meta.store_id
        self._encode = EventEncoder(house.engine.core.meta.workspace_id, house.engine.clock.now)
        self._written_revision = 0

    async def run(self, watcher: Watcher, snapshot: _Snapshot | None, request: pb.WatchRequest) -> None:
        """Ends when the caller leaves, the coordinator closes, or the watcher is too slow."""
        pump = asyncio.ensure_future(self._pump(watcher, snapshot, request))
        cut = asyncio.ensure_future(watcher.cut.wait())
        try:
            await asyncio.wait({pump, cut}, return_when=asyncio.FIRST_COMPLETED)
            if pump.done() and not watcher.cut.is_set():
                pump.result()
                return
        finally:
            self._engine.feed.detach(watcher)
            pump.cancel()
            cut.cancel()
            await asyncio.gather(pump, cut, return_exceptions=True)
        raise RpcError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "WATCHER_TOO_SLOW",
            f"This watcher reads too slowly. Watch again from revision {self._written_revision}.",
            resume_from=str(self._written_revision),
        )

    async def _pump(self, watcher: Watcher, snapshot: _Snapshot | None, request: pb.WatchRequest) -> None:
        if snapshot is not None:
            await self._write_snapshot(snapshot, request)
        while True:
            await watcher.wait()
            entries = watcher.take(EVENTS_A_MESSAGE)
            if entries:
                await self._write_entries(entries)
            elif watcher.ended is WatcherEnd.CLOSING:
                await self._write(pb.WatchResponse(store_id=self._store_id, closing=True), ())
                return
            elif watcher.ended is not None:
                return

    # ------------------------------------------------------------------ the snapshot

    async def _write_snapshot(self, snapshot: _Snapshot, request: pb.WatchRequest) -> None:
        head = pb.WatchResponse(
            snapshot=True,
            reset=True,
            compacted=request.HasField("since_revision"),
            store_id=self._store_id,
        )
        events = filter(self._selection.wants, snapshot_events(snapshot.everything))
        for piece in _pieces(self._encode(event) for event in events):
            await self._write(head, piece)
            head = pb.WatchResponse(snapshot=True)
        if request.ended_tasks:
            for session_id in self._session_ids:
                head = await self._write_ended(session_id, head)
        head.revision = self._written_revision = snapshot.revision
        await self._write(head, ())

    async def _write_ended(self, session_id: str, head: pb.WatchResponse) -> pb.WatchResponse:
        """What the next message begins with: `head` itself where there was nothing to write."""
        after = 0
        while True:
            start = after
            page = await self._engine.read(
                lambda store: store.read_tasks(session_id, OVER_STATUSES, start, ENDED_TASKS_A_READ)  # noqa: B023
            )
            events = (Event(task=view_of_rows(spec, row)) for spec, row in page.rows)
            for piece in _pieces(self._encode(event) for event in events if self._selection.wants(event)):
                await self._write(head, piece)
                head = pb.WatchResponse(snapshot=True)
            after = page.next_ordinal
            if not after:
                return head

    # ------------------------------------------------------------------ changes

    async def _write_entries(self, entries: list[FeedEntry]) -> None:
        """Their revision stands on the last message, so that a break in between loses nothing."""
        previous: list[bytes] | None = None
        for piece in _pieces(self._chosen(entries)):
            if previous is not None:
                await self._write(pb.WatchResponse(), previous)
            previous = piece
        if previous is not None:
            revision = entries[-1].revision
            await self._write(pb.WatchResponse(revision=revision), previous)
            self._written_revision = revision

    def _chosen(self, entries: list[FeedEntry]) -> Iterator[bytes]:
        for entry in entries:
            for index, event in enumerate(entry.events):
                if self._selection.is_all or self._selection.wants(event):
                    yield entry.encoded(index)

    async def _write(self, head: pb.WatchResponse, changes: Iterable[bytes]) -> None:
        await self._context.write(b"".join((head.SerializeToString(), *changes)))


def _pieces(encoded: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Bounded by number and, but for single large ones, by size."""
    while True:
        piece: list[bytes] = []
        size_bytes = 0
        for one in islice(encoded, EVENTS_A_MESSAGE):
            piece.append(one)
            size_bytes += len(one)
            if size_bytes >= BYTES_A_MESSAGE:
                break
        if not piece:
            return
        yield piece
