"""Several tasks that write at the same time: each line comes whole, under its own task."""

from __future__ import annotations

from buildrunner_parallel.cli.whole_lines import LONGEST_BYTES, whole_lines
from buildrunner_parallel.records import OutputChannel, OutputChunk, TaskOutput


def piece(task_id: str, data: bytes, channel: str = "stdout", dropped_bytes: int = 0) -> TaskOutput:
    return TaskOutput(task_id, 1, OutputChunk(0, OutputChannel(channel), data, dropped_bytes))


def ended(task_id: str) -> TaskOutput:
    return TaskOutput(task_id, 1, OutputChunk(), True)


def written(*pieces: TaskOutput) -> list[tuple[str, bytes]]:
    return [(one.task_id, one.chunk.data) for one in whole_lines(pieces) if not one.attempt_ended]


def test_halves_of_lines_are_joined_though_another_task_writes_between_them() -> None:
    pieces = [piece("a", b"one "), piece("b", b"other\n"), piece("a", b"two\nthr"), piece("a", b"ee\n")]
    assert written(*pieces) == [("b", b"other\n"), ("a", b"one two\n"), ("a", b"three\n")]


def test_the_channels_of_a_task_are_not_joined() -> None:
    found = written(piece("a", b"out"), piece("a", b"err\n", "stderr"), piece("a", b"put\n"))
    assert found == [("a", b"err\n"), ("a", b"output\n")]


def test_an_unfinished_line_comes_with_the_end_of_its_attempt() -> None:
    assert written(piece("a", b"half"), ended("a"), piece("b", b"b\n")) == [("a", b"half\n"), ("b", b"b\n")]


def test_what_is_unfinished_at_the_end_of_all_comes_too() -> None:
    assert written(piece("a", b"half"), piece("b", b"x")) == [("a", b"half\n"), ("b", b"x\n")]


def test_a_gap_ends_the_line_before_it() -> None:
    found = list(whole_lines([piece("a", b"half"), piece("a", b"later\n", dropped_bytes=7)]))
    assert [(one.chunk.data, one.chunk.dropped_bytes) for one in found] == [(b"half\n", 0), (b"later\n", 7)]


def test_a_gap_before_an_unfinished_line_is_told_once() -> None:
    found = list(whole_lines([piece("a", b"later", dropped_bytes=7), piece("a", b"\n")]))
    assert [(one.chunk.data, one.chunk.dropped_bytes) for one in found] == [(b"", 7), (b"later\n", 0)]


def test_a_line_without_end_is_not_kept_back_for_ever() -> None:
    long = b"x" * (LONGEST_BYTES + 1)
    assert written(piece("a", long), piece("a", b"y\n")) == [("a", long), ("a", b"y\n")]


def test_ends_are_passed_on() -> None:
    assert [one.attempt_ended for one in whole_lines([piece("a", b"x\n"), ended("a")])] == [False, True]
