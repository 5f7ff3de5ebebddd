"""Watch: snapshot and changes without gap or repeat, resume, filters, closing, cutting."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest

from buildrunner_parallel.v1 import event_service_pb2 as pb
from buildrunner_parallel.v1 import session_service_pb2 as session_pb
from buildrunner_parallel.v1 import types_pb2 as types


class Reader:
    """One call of Watch."""

    def __init__(self, coordinator, **request) -> None:
        self.call = coordinator.events.Watch(pb.WatchRequest(**request), metadata=coordinator.meta)
        self.revision = 0

    async def read(self) -> pb.WatchResponse:
        message = await asyncio.wait_for(self.call.read(), 20)
        assert message is not grpc.aio.EOF, "the watch has ended"
        if message.revision:
            assert message.revision >= self.revision
            self.revision = message.revision
        return message

    async def snapshot(self) -> list[pb.WatchResponse]:
        messages = [await self.read()]
        assert messages[0].reset and messages[0].snapshot and messages[0].store_id
        while not messages[-1].revision:
            messages.append(await self.read())
            assert messages[-1].snapshot
        return messages

    async def until(self, wanted) -> list[pb.Change]:
        """All changes up to the first that is wanted."""
        seen: list[pb.Change] = []
        while True:
            message = await self.read()
            assert not message.snapshot
            seen += message.changes
            if any(wanted(change) for change in message.changes):
                return seen


def is_task(task_id: str):
    return lambda change: change.task.task_id == task_id


async def new_session(coordinator, name: str) -> types.Session:
    request = session_pb.CreateSessionRequest(name=name)
    return (await coordinator.call(coordinator.sessions.CreateSession, request)).session


async def test_a_snapshot_holds_what_is_and_changes_follow(coordinator, make):
    session = await coordinator.running_session("before")
    await coordinator.connect()
    reader = Reader(coordinator)
    messages = await reader.snapshot()
    changes = [change for message in messages for change in message.changes]
    assert [change.session.name for change in changes if change.HasField("session")] == ["before"]
    assert [change.worker.host for change in changes if change.HasField("worker")] == ["here"]
    await coordinator.submit(session.session_id, make.task("a"))
    seen = await reader.until(is_task("a"))
    assert {change.WhichOneof("entity") for change in seen} >= {"session", "task"}


async def test_the_tasks_of_a_named_session_come_with_its_snapshot(coordinator, make):
    session = await coordinator.running_session()
    other = await coordinator.running_session("other")
    worker = await coordinator.connect()
    await coordinator.submit(session.session_id, make.task("done"), make.task("waits", needs=["done"]))
    await coordinator.submit(other.session_id, make.task("strange", labels=["none"]))
    (assignment,) = await worker.receive_assignments()
    await worker.send(reports=[make.report(assignment)])
    await worker.receive_acknowledgement()
    for ended, names in ((False, {"waits"}), (True, {"waits", "done"})):
        reader = Reader(coordinator, session_ids=[session.session_id[:5]], ended_tasks=ended)
        messages = await reader.snapshot()
        tasks = {change.task.task_id for one in messages for change in one.changes if change.HasField("task")}
        assert tasks == names
        reader.call.cancel()


async def test_a_snapshot_without_anything_in_it_says_reset_all_the_same(coordinator):
    session = await new_session(coordinator, "empty")
    reader = Reader(
        coordinator,
        session_ids=[session.session_id],
        kinds=[pb.ENTITY_KIND_TASK],
        ended_tasks=True,
        since_revision=10**9,
    )
    (message,) = await reader.snapshot()
    assert message.compacted


async def test_only_the_kinds_and_sessions_asked_for_come(coordinator):
    mine = await new_session(coordinator, "mine")
    reader = Reader(coordinator, session_ids=[mine.session_id], kinds=[pb.ENTITY_KIND_SESSION])
    await reader.snapshot()
    await new_session(coordinator, "other")
    await coordinator.connect()
    request = session_pb.CloseSessionRequest(session_id=mine.session_id)
    await coordinator.call(coordinator.sessions.CloseSession, request)
    seen = await reader.until(lambda change: not change.session.open)
    assert [change.session.session_id for change in seen] == [mine.session_id]


async def test_resuming_gives_every_later_change_once(coordinator):
    reader = Reader(coordinator)
    await reader.snapshot()
    await new_session(coordinator, "first")
    await reader.until(lambda change: change.session.name == "first")
    reader.call.cancel()
    await new_session(coordinator, "second")
    again = Reader(
        coordinator, since_revision=reader.revision, store_id=coordinator.engine.core.meta.store_id
    )
    await new_session(coordinator, "third")
    seen = await again.until(lambda change: change.session.name == "third")
    assert [change.session.name for change in seen] == ["second", "third"]


@pytest.mark.parametrize(
    "request_fields", [{"since_revision": 10**9}, {"since_revision": 0, "store_id": "other"}]
)
async def test_a_revision_that_is_not_known_brings_a_fresh_snapshot_that_says_so(coordinator, request_fields):
    await new_session(coordinator, "one")
    (message, *_) = await Reader(coordinator, **request_fields).snapshot()
    assert message.compacted


async def test_many_watchers_share_one_encoding(coordinator):
    readers = [Reader(coordinator) for _ in range(5)]
    for reader in readers:
        await reader.snapshot()
    encoded = []
    original = coordinator.engine.feed._encode

    def encode(event) -> bytes:
        encoded.append(event)
        return original(event)

    coordinator.engine.feed._encode = encode
    await new_session(coordinator, "one")
    for reader in readers:
        await reader.until(lambda change: change.session.name == "one")
    assert len(encoded) == 1


async def test_a_large_batch_comes_in_pieces_with_its_revision_on_the_last(coordinator, make):
    session = await coordinator.running_session()
    reader = Reader(coordinator)
    await reader.snapshot()
    await coordinator.submit(session.session_id, *[make.task(str(number)) for number in range(1000)])
    pieces, tasks = [], 0
    while tasks < 1000:
        message = await reader.read()
        pieces.append(message.revision)
        tasks += sum(change.HasField("task") for change in message.changes)
    assert len(pieces) > 1 and pieces[-1] and not any(pieces[:-1])


async def test_a_closing_coordinator_says_so(coordinator):
    reader = Reader(coordinator)
    await reader.snapshot()
    coordinator.engine.feed.close()
    assert (await reader.read()).closing
    assert await asyncio.wait_for(reader.call.code(), 20) is grpc.StatusCode.OK


async def test_a_watcher_that_is_too_slow_is_told_where_to_go_on(coordinator):
    reader = Reader(coordinator)
    await reader.snapshot()
    (watcher,) = coordinator.engine.feed._watchers
    coordinator.engine.feed.detach(watcher)
    from buildrunner_coordinator.engine.feed import WatcherEnd

    watcher.end(WatcherEnd.TOO_SLOW)
    assert await asyncio.wait_for(reader.call.code(), 20) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(reader.revision) in await reader.call.details()


async def test_a_watcher_that_stops_reading_is_cut_while_its_writer_is_stuck(coordinator):
    reader = Reader(coordinator)
    await reader.snapshot()
    coordinator.engine.feed._watcher_events = 5
    (watcher,) = coordinator.engine.feed._watchers
    watcher._max_events = 5
    session = await new_session(coordinator, "one")
    text = '{"x": "' + "x" * 60_000 + '"}'
    async with asyncio.timeout(60):
        while watcher.ended is None:
            request = session_pb.UpdateSessionRequest(session_id=session.session_id, metadata_json=text)
            await coordinator.call(coordinator.sessions.UpdateSession, request)
    with pytest.raises((grpc.aio.AioRpcError, AssertionError)):
        while True:
            await reader.read()
    assert await asyncio.wait_for(reader.call.code(), 20) is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_watcher_of_a_session_that_is_not_there_is_refused(coordinator):
    reader = Reader(coordinator, session_ids=["beef1234"])
    assert await asyncio.wait_for(reader.call.code(), 20) is grpc.StatusCode.NOT_FOUND
