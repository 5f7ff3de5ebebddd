"""The last lines of an output whose lines do not end, such as that of a progress bar."""

from __future__ import annotations

from collections import deque

import pytest

from buildrunner_coordinator.rpc.output import _add_lines, _Line
from buildrunner_coordinator.rpc.output_pieces import PIECE_BYTES, Piece
from buildrunner_parallel.v1 import log_service_pb2 as pb
from buildrunner_parallel.v1 import types_pb2 as types


@pytest.fixture
async def written(coordinator, make):
    """Writes pieces, one after the other, as the output of task "a", which goes on running."""
    session = await coordinator.running_session()
    worker = await coordinator.connect()
    await coordinator.submit(session.session_id, make.task("a"))
    (one,) = await worker.receive_assignments()
    stream = coordinator.logs.WriteOutput(metadata=coordinator.meta, timeout=30)

    async def write(*pieces: bytes) -> str:
        offset = 0
        for data in pieces:
            chunk = types.OutputChunk(offset=offset, channel=types.OUTPUT_CHANNEL_STDOUT, data=data)
            output = pb.AttemptOutput(attempt_id=one.attempt_id, fence=one.fence, chunks=[chunk])
            worker_id = worker.welcome.worker_id
            await stream.write(pb.WriteOutputRequest(worker_id=worker_id, outputs=[output]))
            offset += len(data)
            while (await stream.read()).acknowledgements[0].offset < offset:
                pass
        return session.session_id

    yield write
    stream.cancel()
    worker.call.cancel()


async def test_a_line_that_is_larger_than_a_message_comes_in_several(coordinator, written):
    pieces = [bytes([48 + number]) * (PIECE_BYTES // 4) for number in range(20)]
    session_id = await written(b"first\n", *pieces)
    request = pb.ReadOutputRequest(session_id=session_id, task_id="a", tail_lines=1)
    call = coordinator.logs.ReadOutput(request, metadata=coordinator.meta, timeout=30)
    chunks = [answer.chunk async for answer in call]
    assert b"".join(one.data for one in chunks) == b"".join(pieces)
    assert max(len(one.data) for one in chunks) <= PIECE_BYTES
    assert [one.offset for one in chunks] == [6 + PIECE_BYTES * number for number in range(5)]


def test_a_line_in_a_hundred_thousand_pieces_takes_no_longer_than_as_many_lines():
    lines: deque[_Line] = deque(maxlen=10)
    data = b"\rstep 12345 of 99999, and some words on what it is about"
    _add_lines(lines, Piece(0, 1, data, 0))
    grows = lines[0].data
    for number in range(1, 100_000):
        _add_lines(lines, Piece(number * len(data), 1, data, 0))
    # It is still the same: copied for each piece it would take many minutes.
    assert lines[0].data is grows
    assert [bytes(line.data) for line in lines] == [data * 100_000]
