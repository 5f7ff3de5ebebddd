"""Gaps in output that is read over breaks: each is told once, and only as far as it was missed here."""

from __future__ import annotations

from buildrunner_parallel.client_output import SeenOutput
from buildrunner_parallel.records import OutputChannel, OutputChunk, TaskOutput


def part(offset: int, data: bytes, dropped_bytes: int = 0) -> TaskOutput:
    return TaskOutput("t", 1, OutputChunk(offset, OutputChannel.STDOUT, data, dropped_bytes))


def shown(output: TaskOutput | None) -> tuple[int, bytes, int] | None:
    if output is None:
        return None
    return output.chunk.offset, output.chunk.data, output.chunk.dropped_bytes


def test_a_gap_is_told_where_it_is():
    seen = SeenOutput()
    assert shown(seen.new_part(part(0, b"head"))) == (0, b"head", 0)
    assert shown(seen.new_part(part(104, b"tail", 100))) == (104, b"tail", 100)


def test_what_was_read_in_time_is_not_counted_as_missing():
    seen = SeenOutput()
    seen.new_part(part(0, b"head"))
    seen.new_part(part(4, b"x" * 60))
    assert seen.new_part(part(0, b"head")) is None
    assert shown(seen.new_part(part(104, b"tail", 100))) == (104, b"tail", 40)


def test_a_gap_that_was_passed_is_not_told_again():
    seen = SeenOutput()
    seen.new_part(part(0, b"head"))
    seen.new_part(part(104, b"tail", 100))
    assert shown(seen.new_part(part(100, b"kepttail!", 96))) == (108, b"!", 0)


def test_a_gap_at_the_end_is_told_once():
    seen = SeenOutput()
    seen.new_part(part(0, b"head"))
    assert shown(seen.new_part(part(50, b"", 46))) == (50, b"", 46)
    assert seen.new_part(part(50, b"", 46)) is None


def test_output_that_begins_with_a_gap_tells_of_it():
    assert shown(SeenOutput().new_part(part(30, b"tail", 30))) == (30, b"tail", 30)
