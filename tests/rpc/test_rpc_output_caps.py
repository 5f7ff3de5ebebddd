"""Output beyond the cap: what readers get of it, and where they are told that something is missing."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from buildrunner_coordinator.domain.model import Settings
from buildrunner_parallel.v1 import log_service_pb2 as pb
from buildrunner_parallel.v1 import types_pb2 as types

OUT, ERR = types.OUTPUT_CHANNEL_STDOUT, types.OUTPUT_CHANNEL_STDERR


@pytest.fixture
def settings() -> Settings:
    """10 bytes of the beginning are kept, and 8 of the end."""
    return Settings(output_head_bytes=10, output_tail_bytes=8)


class Talk:
    """A task that runs, written to and read."""

    def __init__(self, coordinator, session, worker, assignment) -> None:
        self.coordinator, self.session = coordinator, session
        self.worker, self.assignment = worker, assignment
        self.stream = coordinator.logs.WriteOutput(metadata=coordinator.meta)

    async def write(
        self, offset: int, data: bytes, channel: Any = OUT, dropped_bytes: int = 0, fence: int = 0
    ) -> pb.OutputAcknowledgement:
        one = self.assignment
        chunk = types.OutputChunk(offset=offset, channel=channel, data=data, dropped_bytes=dropped_bytes)
        output = pb.AttemptOutput(attempt_id=one.attempt_id, fence=fence or one.fence, chunks=[chunk])
        worker_id = self.worker.welcome.worker_id
        await self.stream.write(pb.WriteOutputRequest(worker_id=worker_id, outputs=[output]))
        return (await asyncio.wait_for(self.stream.read(), 20)).acknowledgements[0]

    async def finish(self, make, output_bytes: int) -> None:
        await self.worker.send(reports=[make.report(self.assignment, output_bytes=output_bytes)])
        await self.worker.receive_acknowledgement()

    def open(self, **fields):
        request = pb.ReadOutputRequest(session_id=self.session.session_id, task_id="a", **fields)
        return self.coordinator.logs.ReadOutput(request, metadata=self.coordinator.meta, timeout=30)

    async def read(self, **fields) -> list[tuple[int, bytes, int]]:
        """Offset, data and what was left out before it."""
        return [shown(one) async for one in self.open(**fields)]


def shown(answer: pb.ReadOutputResponse) -> tuple[int, bytes, int]:
    return answer.chunk.offset, answer.chunk.data, answer.chunk.dropped_bytes


async def next_of(call) -> tuple[int, bytes, int]:
    return shown(await asyncio.wait_for(call.read(), 20))


@pytest.fixture
async def talk(coordinator, make):
    session = await coordinator.running_session()
    worker = await coordinator.connect()
    await coordinator.submit(session.session_id, make.task("a"), seal=True)
    (assignment,) = await worker.receive_assignments(1)
    one = Talk(coordinator, session, worker, assignment)
    yield one
    one.stream.cancel()
    worker.call.cancel()


async def test_beginning_gap_and_end_are_exact_once_the_task_is_over(talk, make):
    await talk.write(0, b"0123456789abcdef")
    await talk.write(16, b"ghijklmnopqrst")
    await talk.finish(make, 30)
    assert await talk.read() == [(0, b"0123456789", 0), (22, b"mnopqrst", 12)]


async def test_a_follower_that_kept_up_is_told_of_no_gap(talk, make):
    await talk.write(0, b"0123456789")
    call = talk.open(follow=True)
    assert await next_of(call) == (0, b"0123456789", 0)
    for offset in range(10, 40, 5):
        await talk.write(offset, b"%05d" % offset)
        assert await next_of(call) == (offset, b"%05d" % offset, 0)
    await talk.finish(make, 40)
    assert await asyncio.wait_for(call.read(), 20) is grpc.aio.EOF


async def test_a_follower_is_told_what_the_worker_left_out(talk):
    await talk.write(0, b"0123456789")
    call = talk.open(follow=True)
    assert await next_of(call) == (0, b"0123456789", 0)
    await talk.write(1_000_010, b"newest", dropped_bytes=1_000_000)
    assert await next_of(call) == (1_000_010, b"newest", 1_000_000)


async def test_who_begins_late_sees_beginning_and_newest(talk):
    await talk.write(0, b"0123456789")
    await talk.write(1_000_010, b"line\nnewest", dropped_bytes=1_000_000)
    assert await talk.read() == [(0, b"0123456789", 0), (1_000_013, b"e\nnewest", 1_000_003)]
    assert await talk.read(tail_lines=1) == [(1_000_015, b"newest", 0)]
    assert await talk.read(offset=500_000) == [(1_000_013, b"e\nnewest", 500_013)]


async def test_lines_before_and_behind_a_gap_are_not_joined(talk):
    await talk.write(0, b"0\nunfinis.")
    await talk.write(110, b"hed\nend\n", dropped_bytes=100)
    found = await talk.read(tail_lines=10)
    assert found == [(0, b"0\n", 0), (2, b"unfinis.", 0), (110, b"hed\n", 100), (114, b"end\n", 0)]


async def test_a_gap_is_told_to_a_reader_of_one_channel_before_its_next_piece(talk):
    await talk.write(0, b"0123456789")
    await talk.write(110, b"out", dropped_bytes=100)
    await talk.write(113, b"err", ERR)
    assert await talk.read(channel=ERR) == [(113, b"err", 100)]


async def test_a_gap_without_anything_wanted_behind_it_is_told_at_the_end(talk):
    await talk.write(0, b"error", ERR)
    await talk.write(5, b"01234")
    await talk.write(110, b"out", dropped_bytes=100)
    assert await talk.read(channel=ERR) == [(0, b"error", 0), (113, b"", 100)]


async def test_output_under_an_old_fence_is_stale_and_changes_nothing(talk):
    await talk.write(0, b"mine")
    stale = await talk.write(4, b"theirs", fence=talk.assignment.fence + 1)
    assert stale.stale
    assert await talk.read() == [(0, b"mine", 0)]


class TestWithoutAnEnd:
    """Of the end nothing is kept."""

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(output_head_bytes=4, output_tail_bytes=0)

    async def test_the_gap_ends_the_output(self, talk, make):
        assert (await talk.write(0, b"0123456789")).offset == 10
        assert (await talk.write(10, b"more")).offset == 14
        await talk.finish(make, 14)
        assert await talk.read() == [(0, b"0123", 0), (14, b"", 10)]
