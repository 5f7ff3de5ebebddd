"""The feed for asyncio resumes where it stopped; waiting is built on it. The coordinator is scripted."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import grpc
import pytest

from buildrunner_parallel import AsyncClient, errors
from buildrunner_parallel.aio_connection import AsyncConnection
from buildrunner_parallel.discovery import Target
from buildrunner_parallel.records import Pool, Session
from buildrunner_parallel.v1 import event_service_pb2 as wire
from buildrunner_parallel.v1 import session_service_pb2, task_service_pb2, types_pb2

DEADLINE_S = 10.0
RUNNING, COMPLETED = types_pb2.SESSION_STATUS_RUNNING, types_pb2.SESSION_STATUS_COMPLETED


@pytest.fixture
async def aio(coordinator):
    connection = AsyncConnection(Target(coordinator.address, "secret"), patience_s=10.0, call_timeout_s=10.0)
    async with AsyncClient(connection) as made:
        yield made


def pool(wanted: int) -> wire.Change:
    return wire.Change(pool=types_pb2.Pool(wanted=wanted))


def session(status: Any, session_id: str = "a3f2e1d9") -> wire.Change:
    return wire.Change(session=types_pb2.Session(session_id=session_id, status=status))


def change(revision: int, *changes: wire.Change, **fields: Any) -> wire.WatchResponse:
    return wire.WatchResponse(revision=revision, changes=changes, store_id="store", **fields)


def snapshot(revision: int, *changes: wire.Change) -> wire.WatchResponse:
    return change(revision, *changes, snapshot=True, reset=True)


def then(*messages, end: grpc.StatusCode | None = None, hold: bool = False):
    def stream(_request, context):
        gone = threading.Event()
        context.add_callback(gone.set)
        yield from messages
        if end is not None:
            context.abort(end, "scripted")
        if hold:
            gone.wait(DEADLINE_S)

    return stream


async def take(watcher, count: int) -> list:
    events = [await watcher.poll(DEADLINE_S) for _ in range(count)]
    assert None not in events
    return events


async def test_a_broken_feed_is_resumed_after_its_last_revision(aio, coordinator):
    coordinator.on(
        "Watch",
        then(snapshot(7, pool(1)), change(8, pool(2)), end=grpc.StatusCode.UNAVAILABLE),
        then(change(9, pool(3)), hold=True),
    )
    async with aio.watch(kinds=["pool"]) as watcher:
        events = await take(watcher, 5)
        assert await watcher.poll(0.05) is None
        assert await watcher.poll() is None
        assert watcher.revision == 9
    assert [event.connection for event in events] == ["ok", "ok", "lost", "back", "ok"]
    assert events[4].changes == (Pool(wanted=3),)
    assert coordinator.seen["Watch"][1].since_revision == 8


async def test_a_feed_survives_a_restart_of_the_coordinator(aio, coordinator):
    coordinator.on("Watch", then(snapshot(3), hold=True), then(change(4), hold=True))
    async with aio.watch() as watcher:
        assert (await anext(watcher)).revision == 3
        await asyncio.to_thread(coordinator.stop)
        assert (await anext(watcher)).connection == "lost"
        coordinator.start()
        assert [event.connection for event in await take(watcher, 2)] == ["back", "ok"]


async def test_giving_up_on_an_event_harms_no_stream(aio, coordinator):
    go_on = threading.Event()

    def late(_request, _context):
        yield snapshot(3)
        go_on.wait(DEADLINE_S)
        yield change(4)

    coordinator.on("Watch", late)
    async with aio.watch() as watcher:
        assert (await anext(watcher)).revision == 3
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(watcher)
        go_on.set()
        assert (await anext(watcher)).revision == 4
    assert len(coordinator.seen["Watch"]) == 1


async def test_a_refusal_ends_the_feed_with_its_error(aio, coordinator, refusal):
    def refuse(_request, context):
        from grpc_status import rpc_status

        status = refusal(grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND", "no session")
        context.abort_with_status(rpc_status.to_status(status))

    coordinator.on("Watch", refuse)
    watcher = aio.watch(session_ids=["ffff"])
    with pytest.raises(errors.NotFoundError, match="no session"):
        await anext(watcher)
    assert watcher.ended
    assert [event async for event in watcher] == []


async def test_without_reconnect_the_feed_ends_with_the_stream(aio, coordinator):
    coordinator.on("Watch", then(snapshot(3)))
    assert [event.revision async for event in aio.watch(reconnect=False)] == [3]


async def test_closing_a_watcher_ends_its_call_and_wakes_who_waits(aio, coordinator):
    coordinator.on("Watch", then(snapshot(3), hold=True))
    watcher = aio.watch()
    assert (await anext(watcher)).revision == 3
    waiting = asyncio.create_task(watcher.poll(None))
    await asyncio.sleep(0)
    await watcher.close()
    assert await waiting is None
    await watcher.close()


async def test_closing_the_client_ends_its_watchers(aio, coordinator):
    coordinator.on("Watch", then(snapshot(3), hold=True))
    watcher = aio.watch()
    assert (await anext(watcher)).revision == 3
    await aio.close()
    assert [event.connection async for event in watcher] in ([], ["lost"])


async def test_whoever_asked_is_told_of_each_event(aio, coordinator):
    told: asyncio.Queue[bool] = asyncio.Queue()
    coordinator.on("Watch", then(snapshot(3), change(4), hold=True))
    async with aio.watch(on_event=lambda: told.put_nowait(True)), asyncio.timeout(DEADLINE_S):
        assert await told.get() and await told.get()


async def test_a_reader_that_falls_behind_misses_nothing(aio, coordinator):
    coordinator.on("Watch", then(snapshot(1), *(change(number) for number in range(2, 1001)), hold=True))
    async with aio.watch() as watcher:
        await asyncio.sleep(0.2)
        assert [(await anext(watcher)).revision for _ in range(1000)] == list(range(1, 1001))


# ----------------------------------------------------------------------------- waiting


def got(status: Any) -> session_service_pb2.GetSessionResponse:
    return session_service_pb2.GetSessionResponse(session=session(status).session)


async def test_waiting_for_a_session_tells_each_change(aio, coordinator):
    coordinator.on("GetSession", got(RUNNING))
    coordinator.on("Watch", then(change(5, session(COMPLETED)), hold=True))
    told: list[Session] = []
    done = await aio.wait_session("last", timeout_s=DEADLINE_S, on_change=told.append)
    assert done.is_over
    assert [item.status for item in told] == ["running", "completed"]


async def test_waiting_has_an_end_and_says_that_the_session_goes_on(aio, coordinator):
    coordinator.on("GetSession", got(RUNNING))
    coordinator.on("Watch", then(snapshot(5, session(RUNNING)), hold=True))
    with pytest.raises(errors.DeadlineError, match="is not over yet"):
        await aio.wait_session("a3f2", timeout_s=0.1)


async def test_waiting_for_a_task_goes_on_through_a_loss(aio, coordinator):
    running, done = types_pb2.TASK_STATUS_RUNNING, types_pb2.TASK_STATUS_SUCCEEDED

    def answer(status: Any) -> task_service_pb2.GetTaskResponse:
        summary = types_pb2.TaskSummary(session_id="a3f2e1d9", task_id="t", status=status)
        return task_service_pb2.GetTaskResponse(task=types_pb2.Task(summary=summary))

    ended = wire.Change(task=types_pb2.TaskSummary(session_id="a3f2e1d9", task_id="t", status=done))
    coordinator.on("GetTask", answer(running), answer(running), answer(done))
    coordinator.on(
        "Watch", then(snapshot(4), end=grpc.StatusCode.UNAVAILABLE), then(change(5, ended), hold=True)
    )
    assert (await aio.wait_task("a3f2", "t", timeout_s=DEADLINE_S)).summary.status == "succeeded"
