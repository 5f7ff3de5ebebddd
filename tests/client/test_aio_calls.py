"""What becomes of an awaited call when the coordinator goes away, or it is cancelled, or others interfere."""

from __future__ import annotations

import asyncio
import threading
import time

import grpc
import pytest

from buildrunner_parallel import AsyncClient, errors
from buildrunner_parallel.aio_connection import AsyncConnection
from buildrunner_parallel.client import Client
from buildrunner_parallel.discovery import Target
from buildrunner_parallel.specs import TaskSpec
from buildrunner_parallel.v1 import (
    coordinator_service_pb2,
    log_service_pb2,
    session_service_pb2,
    task_service_pb2,
    types_pb2,
)

DEADLINE_S = 10.0


@pytest.fixture
async def aio(coordinator):
    """An asyncio client of the scripted coordinator."""
    connection = AsyncConnection(Target(coordinator.address, "secret"), patience_s=10.0, call_timeout_s=10.0)
    async with AsyncClient(connection) as made:
        yield made


def info(version: str) -> coordinator_service_pb2.GetInfoResponse:
    return coordinator_service_pb2.GetInfoResponse(version=version)


def created(session_id: str) -> session_service_pb2.CreateSessionResponse:
    return session_service_pb2.CreateSessionResponse(session=types_pb2.Session(session_id=session_id))


def until_cancelled(told: threading.Event, begun: threading.Event):
    """An answer that never comes; `told` is set when its caller has given up."""

    def wait(_request, context):
        context.add_callback(told.set)
        begun.set()
        told.wait(DEADLINE_S)
        return info("late")

    return wait


async def test_a_repeated_delivery_has_the_same_request_id(aio, coordinator):
    lost = grpc.StatusCode.UNAVAILABLE
    coordinator.on("CreateSession", lost, lost, lost, lost, lost, created("a"))
    assert (await aio.create_session("x")).session_id == "a"
    assert len({request.request_id for request in coordinator.seen["CreateSession"]}) == 1
    assert len(coordinator.seen["CreateSession"]) == 6


async def test_a_call_waits_for_a_coordinator_that_restarts(aio, coordinator):
    coordinator.on("GetInfo", info("1"))
    assert (await aio.info()).version == "1"
    await asyncio.to_thread(coordinator.stop)
    waiting = asyncio.create_task(aio.info())
    await asyncio.sleep(0)
    coordinator.start()
    coordinator.on("GetInfo", info("2"))
    assert (await waiting).version == "2"


async def test_a_coordinator_that_stays_away_is_unreachable_and_named(tmp_path):
    client = AsyncClient(AsyncConnection(Target(f"unix:{tmp_path}/none"), patience_s=0.2))
    async with client:
        with pytest.raises(errors.UnreachableError, match="cannot be reached") as caught:
            await client.info()
    assert caught.value.address == f"unix:{tmp_path}/none"


async def test_a_coordinator_that_moved_is_found_without_blocking_the_loop(coordinator, tmp_path):
    coordinator.on("GetInfo", info("3"))
    looked_in = []

    def relocate(_timeout_s, _start):
        looked_in.append(threading.current_thread())
        return Target(coordinator.address, "new token")

    async with AsyncClient(AsyncConnection(Target(f"unix:{tmp_path}/old"), relocate=relocate)) as client:
        assert (await client.info()).version == "3"
    assert looked_in and threading.main_thread() not in looked_in
    assert coordinator.metadata["GetInfo"][0]["authorization"] == "Bearer new token"


async def test_a_token_that_was_replaced_is_read_again(coordinator):
    def check(_request, context):
        if ("authorization", "Bearer new") not in context.invocation_metadata():
            return grpc.StatusCode.UNAUTHENTICATED
        return info("4")

    coordinator.on("GetInfo", check)
    target, fresh = Target(coordinator.address, "old"), Target(coordinator.address, "new")
    async with AsyncClient(AsyncConnection(target, relocate=lambda _s, _start: fresh)) as client:
        assert (await client.info()).version == "4"


async def test_a_shutdown_is_never_repeated(aio, coordinator):
    coordinator.on("Shutdown", grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(errors.UnreachableError):
        await aio.shutdown()
    assert len(coordinator.seen["Shutdown"]) == 1


async def test_refusals_are_the_errors_of_the_blocking_client(aio, coordinator, refusal):
    refused = refusal(grpc.StatusCode.FAILED_PRECONDITION, "WRONG_STATE", "it is paused")
    coordinator.on("CloseSession", refused)
    with pytest.raises(errors.WrongStateError, match="it is paused"):
        await aio.close_session("a3f2")


async def test_cancelling_who_awaits_a_call_cancels_the_call(aio, coordinator):
    begun, told = threading.Event(), threading.Event()
    coordinator.on("GetInfo", until_cancelled(told, begun))
    waiting = asyncio.create_task(aio.info())
    assert await asyncio.to_thread(begun.wait, DEADLINE_S)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await asyncio.to_thread(told.wait, DEADLINE_S)
    assert len(coordinator.seen["GetInfo"]) == 1


async def test_a_timeout_around_a_call_is_a_timeout_and_leaves_the_client_usable(aio, coordinator):
    begun, told = threading.Event(), threading.Event()
    coordinator.on("GetInfo", until_cancelled(told, begun), info("5"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await aio.info()
    assert (await aio.info()).version == "5"
    told.set()


async def test_a_channel_that_is_replaced_under_a_call_is_a_loss_and_no_cancellation(aio, coordinator):
    begun, told = threading.Event(), threading.Event()
    coordinator.on("GetInfo", until_cancelled(told, begun), info("6"))
    waiting = asyncio.create_task(aio.info())
    assert await asyncio.to_thread(begun.wait, DEADLINE_S)
    connection = aio._connection
    assert await connection.recover(connection.stubs, time.monotonic() + DEADLINE_S)
    assert (await waiting).version == "6"


async def test_closing_the_client_ends_its_calls_with_an_error(aio, coordinator):
    begun, told = threading.Event(), threading.Event()
    coordinator.on("GetInfo", until_cancelled(told, begun))
    waiting = asyncio.create_task(aio.info())
    assert await asyncio.to_thread(begun.wait, DEADLINE_S)
    await aio.close()
    with pytest.raises(errors.UnreachableError, match="closed"):
        await waiting
    with pytest.raises(errors.UnreachableError, match="closed"):
        await aio.info()


async def test_many_calls_at_once_share_one_search_for_the_coordinator(coordinator, tmp_path):
    coordinator.on("GetInfo", info("7"))
    found = []

    def relocate(_timeout_s, _start):
        found.append(True)
        return Target(coordinator.address)

    async with AsyncClient(AsyncConnection(Target(f"unix:{tmp_path}/old"), relocate=relocate)) as client:
        answers = await asyncio.gather(*(client.info() for _ in range(20)))
    assert {answer.version for answer in answers} == {"7"}
    assert len(found) == 1


async def test_a_plan_is_sent_again_whole_from_a_generator(aio, coordinator):
    answer = task_service_pb2.SubmitPlanResponse(session=types_pb2.Session(session_id="a"), task_count=1500)
    lost = grpc.StatusCode.UNAVAILABLE
    coordinator.on("SubmitPlan", lost, lost, lost, lost, lost, answer)
    tasks = (TaskSpec(task_id=str(number), argv=("true",)) for number in range(1500))
    session, count = await aio.submit_plan(tasks, create={"name": "plan"})
    assert (session.session_id, count) == ("a", 1500)
    assert coordinator.seen["SubmitPlan"][-1] == coordinator.seen["SubmitPlan"][0]
    assert [len(message.tasks) for message in coordinator.seen["SubmitPlan"][-1]] == [0, 1000, 500]


async def test_a_backup_appears_whole_or_not_at_all(aio, coordinator, tmp_path):
    pieces = [
        coordinator_service_pb2.BackupResponse(data=b"ab", total_bytes=4),
        coordinator_service_pb2.BackupResponse(data=b"cd"),
    ]
    coordinator.on("Backup", lambda _request, _context: iter(pieces), lambda _r, _c: iter(pieces[:1]))
    assert await aio.backup(tmp_path / "copy.db") == 4
    assert (tmp_path / "copy.db").read_bytes() == b"abcd"
    with pytest.raises(errors.UnreachableError, match="broke off after 2 of 4"):
        await aio.backup(tmp_path / "half.db")
    assert [path.name for path in tmp_path.glob("*copy*")] == ["copy.db"]
    assert not list(tmp_path.glob("*half*"))


# ------------------------------------------------------------------------------ output


def piece(offset: int, data: bytes) -> log_service_pb2.ReadOutputResponse:
    chunk = types_pb2.OutputChunk(offset=offset, channel=types_pb2.OUTPUT_CHANNEL_STDOUT, data=data)
    return log_service_pb2.ReadOutputResponse(task_id="t", attempt=1, chunk=chunk)


def pieces(*parts, end=None):
    def stream(_request, context):
        yield from parts
        if end is not None:
            context.abort(end, "scripted")

    return stream


async def test_a_break_in_output_costs_nothing_and_repeats_nothing(aio, coordinator):
    coordinator.on(
        "ReadOutput",
        pieces(piece(0, b"one\n"), piece(4, b"tw"), end=grpc.StatusCode.UNAVAILABLE),
        pieces(piece(0, b"one\ntwo\n"), piece(8, b"three\n")),
    )
    outputs = [output async for output in aio.read_output("a3f2", "t", follow=True)]
    assert [output.chunk.data for output in outputs] == [b"one\n", b"tw", b"o\n", b"three\n"]


async def test_who_stops_reading_output_ends_the_call(aio, coordinator):
    ended = threading.Event()

    def endless(_request, context):
        context.add_callback(ended.set)
        offset = 0
        while context.is_active():
            yield piece(offset, b"x")
            offset += 1

    coordinator.on("ReadOutput", endless)
    outputs = aio.read_output("a3f2", "t", follow=True)
    assert (await anext(outputs)).chunk.data == b"x"
    await outputs.aclose()
    assert await asyncio.to_thread(ended.wait, DEADLINE_S)


async def test_a_refused_reading_is_raised(aio, coordinator):
    coordinator.on("ReadOutput", pieces(end=grpc.StatusCode.NOT_FOUND))
    with pytest.raises(errors.NotFoundError):
        await anext(aio.read_output("a3f2", "t"))


# -------------------------------------------------------------------------- connecting


async def test_connecting_can_be_entered_or_awaited(coordinator, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    coordinator.on("GetInfo", info("8"))
    async with AsyncClient.connect(coordinator.address, token="t") as client:
        assert (await client.info()).version == "8"
    client = await AsyncClient.connect(coordinator.address, token="t")
    assert client.workspace is not None and client.address == coordinator.address
    await client.close()


async def test_nothing_is_started_where_nothing_was_if_that_was_not_asked_for(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BR_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("BR_COORDINATOR", raising=False)
    with pytest.raises(errors.NoStateError):
        await AsyncClient.connect(start=False)
    assert not (tmp_path / "state").exists()


async def test_both_clients_live_in_one_process(aio, client: Client, coordinator):
    coordinator.on("GetInfo", info("9"))
    both = await asyncio.gather(aio.info(), asyncio.to_thread(client.info))
    assert [answer.version for answer in both] == ["9", "9"]
