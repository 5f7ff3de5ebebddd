"""Output: in with acknowledgement, out whole, by offset, by lines, and as it comes."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from buildrunner_parallel.v1 import log_service_pb2 as pb
from buildrunner_parallel.v1 import types_pb2 as types


class Run:
    """A session with a worker that has been given its tasks."""

    def __init__(self, coordinator, make, session, worker) -> None:
        self.coordinator, self.make, self.session, self.worker = coordinator, make, session, worker
        self.assignments: dict[str, Any] = {}
        self.stream = coordinator.logs.WriteOutput(metadata=coordinator.meta)

    async def take(self, count: int) -> None:
        for one in await self.worker.receive_assignments(count):
            self.assignments[one.spec.task_id] = one

    async def write(
        self, task_id: str, offset: int, data: bytes, channel: Any = 1
    ) -> pb.OutputAcknowledgement:
        one = self.assignments[task_id]
        chunk = types.OutputChunk(offset=offset, channel=channel, data=data)
        output = pb.AttemptOutput(attempt_id=one.attempt_id, fence=one.fence, chunks=[chunk])
        worker_id = self.worker.welcome.worker_id
        await self.stream.write(pb.WriteOutputRequest(worker_id=worker_id, outputs=[output]))
        answer = await asyncio.wait_for(self.stream.read(), 20)
        return answer.acknowledgements[0]

    async def finish(self, task_id: str, **fields) -> None:
        await self.worker.send(reports=[self.make.report(self.assignments[task_id], **fields)])
        await self.worker.receive_acknowledgement()

    def open(self, task_id: str = "", **fields):
        request = pb.ReadOutputRequest(session_id=self.session.session_id, task_id=task_id, **fields)
        return self.coordinator.logs.ReadOutput(request, metadata=self.coordinator.meta, timeout=30)

    async def read(self, task_id: str = "", **fields) -> list[tuple[str, bytes]]:
        return [(one.task_id, one.chunk.data) async for one in self.open(task_id, **fields)]


@pytest.fixture
async def run(coordinator, make):
    session = await coordinator.running_session()
    worker = await coordinator.connect(slots=2, credit=4)
    one = Run(coordinator, make, session, worker)
    await coordinator.submit(session.session_id, make.task("a"), make.task("b"), seal=True)
    await one.take(2)
    yield one
    one.stream.cancel()
    worker.call.cancel()


async def test_what_is_written_is_acknowledged_and_read_back(run):
    ack = await run.write("a", 0, b"hello ")
    assert (ack.offset, ack.stale) == (6, False)
    assert (await run.write("a", 6, b"world\n", channel=2)).offset == 12
    assert await run.read("a") == [("a", b"hello "), ("a", b"world\n")]
    assert await run.read("a", channel=types.OUTPUT_CHANNEL_STDERR) == [("a", b"world\n")]
    assert await run.read("a", offset=3) == [("a", b"lo "), ("a", b"world\n")]


async def test_a_gap_is_answered_with_the_offset_wanted_and_a_repetition_passed_over(run):
    assert (await run.write("a", 0, b"12345")).offset == 5
    assert (await run.write("a", 9, b"x")).offset == 5
    assert (await run.write("a", 3, b"4567")).offset == 7
    assert b"".join(data for _, data in await run.read("a")) == b"1234567"


async def test_output_of_an_attempt_that_is_over_is_stale(run):
    await run.finish("a")
    assert (await run.write("a", 0, b"late")).stale


async def test_a_message_with_too_much_output_ends_the_stream(run):
    with pytest.raises((grpc.aio.AioRpcError, AttributeError)):
        await run.write("a", 0, b"x" * (300 << 10))
    assert await run.stream.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_the_last_lines_can_be_asked_for(run):
    await run.write("a", 0, b"one\ntwo\nth")
    await run.write("a", 10, b"ree\nfour")
    assert [data for _, data in await run.read("a", tail_lines=2)] == [b"three\n", b"four"]


async def test_following_gives_what_is_written_later_and_ends_with_the_task(run):
    await run.write("a", 0, b"first ")
    call = run.open("a", follow=True)
    assert (await asyncio.wait_for(call.read(), 20)).chunk.data == b"first "
    await run.write("a", 6, b"second")
    assert (await asyncio.wait_for(call.read(), 20)).chunk.data == b"second"
    await run.finish("a", output_bytes=12)
    assert await asyncio.wait_for(call.read(), 20) is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_following_after_lines_from_the_end_repeats_nothing(run):
    await run.write("a", 0, b"one\ntwo\n")
    call = run.open("a", follow=True, tail_lines=1)
    assert (await asyncio.wait_for(call.read(), 20)).chunk.data == b"two\n"
    await run.write("a", 8, b"three\n")
    assert (await asyncio.wait_for(call.read(), 20)).chunk.data == b"three\n"


async def test_small_output_in_the_report_is_kept_with_it(run):
    chunk = types.OutputChunk(offset=0, channel=types.OUTPUT_CHANNEL_STDOUT, data=b"small")
    await run.finish("a", output=[chunk], output_bytes=5)
    assert await run.read("a") == [("a", b"small")]


async def test_a_report_whose_output_is_missing_is_not_accepted(run):
    await run.worker.send(reports=[run.make.report(run.assignments["a"], output_bytes=5)])
    ack = await run.worker.receive_acknowledgement()
    assert (ack.disposition, ack.output_offset) == (4, 0)


async def test_a_session_is_read_in_the_order_of_its_tasks_ends(run):
    await run.write("a", 0, b"A")
    await run.write("b", 0, b"B")
    await run.finish("b", output_bytes=1, ended_at_us=10)
    assert await run.read() == [("b", b"B"), ("a", b"A")]


async def test_a_session_is_followed_as_its_tasks_write_to_its_own_end(run):
    call = run.open(follow=True)
    for task_id, offset, data in (("a", 0, b"1"), ("b", 0, b"2"), ("a", 1, b"3")):
        await run.write(task_id, offset, data)
        assert await piece_of(call) == (task_id, 1, data, False)
    await run.finish("b", output_bytes=1)
    assert await piece_of(call) == ("b", 1, b"", True)
    await run.finish("a", output_bytes=2)
    assert await piece_of(call) == ("a", 1, b"", True)
    assert await asyncio.wait_for(call.read(), 20) is grpc.aio.EOF


async def test_who_follows_a_session_later_gets_first_what_ended_before(run):
    await run.write("a", 0, b"A")
    await run.write("b", 0, b"B")
    await run.finish("b", output_bytes=1)
    call = run.open(follow=True)
    assert [await piece_of(call) for _ in range(2)] == [("b", 1, b"B", False), ("a", 1, b"A", False)]
    await run.finish("a", output_bytes=1)
    assert await piece_of(call) == ("a", 1, b"", True)
    assert await asyncio.wait_for(call.read(), 20) is grpc.aio.EOF


async def test_a_followed_session_has_every_attempt_of_a_task_that_is_tried_again(coordinator, make):
    session = await coordinator.running_session()
    one = Run(coordinator, make, session, await coordinator.connect())
    retry = types.RetryPolicy(max_retries=1, backoff_ms=1)
    await coordinator.submit(session.session_id, make.task("r", retry=retry), seal=True)
    await one.take(1)
    call = one.open(follow=True)
    await one.write("r", 0, b"first")
    assert await piece_of(call) == ("r", 1, b"first", False)
    await one.finish("r", outcome=types.OUTCOME_FAILED, exit_code=1, output_bytes=5)
    assert await piece_of(call) == ("r", 1, b"", True)
    await one.take(1)
    await one.write("r", 0, b"again")
    assert await piece_of(call) == ("r", 2, b"again", False)
    await one.finish("r", output_bytes=5)
    assert await piece_of(call) == ("r", 2, b"", True)
    assert await asyncio.wait_for(call.read(), 20) is grpc.aio.EOF


async def test_a_carriage_return_ends_no_line(run):
    await run.write("a", 0, b"zero\n 10 %\r 20 %\rdone\n")
    assert await run.read("a", tail_lines=1) == [("a", b" 10 %\r 20 %\rdone\n")]


async def test_one_attempt_can_be_chosen(run):
    await run.write("a", 0, b"x")
    assert await run.read("a", attempt=1) == [("a", b"x")]
    assert await run.read("a", attempt=2) == []


async def test_following_goes_on_with_the_next_attempt(coordinator, make):
    session = await coordinator.running_session()
    worker = await coordinator.connect()
    one = Run(coordinator, make, session, worker)
    retry = types.RetryPolicy(max_retries=1, backoff_ms=1)
    await coordinator.submit(session.session_id, make.task("r", retry=retry), seal=True)
    await one.take(1)
    call = one.open("r", follow=True)
    await one.write("r", 0, b"first")
    assert (await asyncio.wait_for(call.read(), 20)).chunk.data == b"first"
    await one.finish("r", outcome=types.OUTCOME_FAILED, exit_code=1, output_bytes=5)
    await one.take(1)
    await one.write("r", 0, b"again")
    piece = await asyncio.wait_for(call.read(), 20)
    assert (piece.attempt, piece.chunk.data) == (2, b"again")
    await one.finish("r", output_bytes=5)
    assert await asyncio.wait_for(call.read(), 20) is grpc.aio.EOF


async def test_a_task_that_is_not_there_has_no_output(run):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await run.read("nope")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def piece_of(call) -> tuple[str, int, bytes, bool]:
    piece = await asyncio.wait_for(call.read(), 20)
    return piece.task_id, piece.attempt, piece.chunk.data, piece.attempt_ended
