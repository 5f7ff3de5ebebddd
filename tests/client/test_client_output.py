"""Output is read without gap or repeat, over breaks too."""

from __future__ import annotations

import grpc
import pytest

from buildrunner_parallel import errors
from buildrunner_parallel.client_output import SeenOutput
from buildrunner_parallel.records import OutputChunk, TaskOutput
from buildrunner_parallel.v1 import log_service_pb2, types_pb2


def piece(offset: int, data: bytes, task_id: str = "t", attempt: int = 1, dropped: int = 0):
    chunk = types_pb2.OutputChunk(
        offset=offset, channel=types_pb2.OUTPUT_CHANNEL_STDOUT, data=data, dropped_bytes=dropped
    )
    return log_service_pb2.ReadOutputResponse(task_id=task_id, attempt=attempt, chunk=chunk)


def then(*pieces, end=None):
    def stream(_request, context):
        yield from pieces
        if end is not None:
            context.abort(end, "scripted")

    return stream


def test_a_break_costs_nothing_and_repeats_nothing(client, coordinator):
    coordinator.on(
        "ReadOutput",
        then(piece(0, b"one\n"), piece(4, b"tw"), end=grpc.StatusCode.UNAVAILABLE),
        then(piece(0, b"one\ntwo\n"), piece(8, b"three\n"), piece(0, b"other\n", "u")),
    )
    outputs = list(client.read_output("a3f2", follow=True))
    assert b"".join(item.chunk.data for item in outputs if item.task_id == "t") == b"one\ntwo\nthree\n"
    assert [item.chunk.offset for item in outputs] == [0, 4, 6, 8, 0]


def test_a_tail_is_not_asked_for_twice(client, coordinator):
    coordinator.on(
        "ReadOutput",
        then(piece(90, b"last\n"), end=grpc.StatusCode.UNAVAILABLE),
        then(piece(0, b"x" * 90 + b"last\n"), piece(95, b"more\n")),
    )
    outputs = list(client.read_output("a3f2", "t", tail_lines=1, channel="stdout"))
    assert [item.chunk.data for item in outputs] == [b"last\n", b"more\n"]
    first, second = coordinator.seen["ReadOutput"]
    assert (first.tail_lines, second.tail_lines) == (1, 0)


def test_a_refusal_is_raised(client, coordinator):
    coordinator.on("ReadOutput", then(end=grpc.StatusCode.NOT_FOUND))
    with pytest.raises(errors.NotFoundError):
        list(client.read_output("a3f2", "t"))


def test_who_stops_reading_ends_the_call(client, coordinator):
    ended = []

    def endless(_request, context):
        context.add_callback(lambda: ended.append(True))
        offset = 0
        while context.is_active():
            yield piece(offset, b"x")
            offset += 1

    coordinator.on("ReadOutput", endless)
    outputs = client.read_output("a3f2", "t", follow=True)
    assert next(outputs).chunk.data == b"x"
    outputs.close()
    coordinator.stop()
    assert ended == [True]


@pytest.mark.parametrize(
    ("offset", "data", "left"),
    [(0, b"abcd", None), (2, b"cdef", b"ef"), (4, b"ef", b"ef"), (6, b"gh", b"gh"), (4, b"", None)],
)
def test_what_was_delivered_is_trimmed_off(offset, data, left):
    seen = SeenOutput()
    assert seen.new_part(TaskOutput("t", 1, OutputChunk(0, data=b"abcd"))) is not None
    part = seen.new_part(TaskOutput("t", 1, OutputChunk(offset, data=data)))
    assert (part.chunk.data if part else None) == left


def test_another_attempt_starts_at_its_own_beginning():
    seen = SeenOutput()
    seen.new_part(TaskOutput("t", 1, OutputChunk(0, data=b"abcd")))
    assert seen.new_part(TaskOutput("t", 2, OutputChunk(0, data=b"ab"))) is not None


def test_a_gap_mark_without_bytes_is_delivered_once():
    seen = SeenOutput()
    gap = TaskOutput("t", 1, OutputChunk(500, dropped_bytes=400))
    assert seen.new_part(gap) == gap
