"""Output of several tasks that write at the same time, put back into whole lines. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from buildrunner_parallel.records import TaskOutput

LONGEST_BYTES = 64 << 10
"""A line that is longer comes in parts, so that a task which never ends one is seen and takes no memory."""

_Source = tuple[str, int]


def whole_lines(pieces: Iterable[TaskOutput]) -> Iterator[TaskOutput]:
    """The same output in pieces that end where lines end, each channel of an attempt by itself.

    The last line of an attempt gets its end when it has none: another task's line follows it.
    """
    begun: dict[_Source, dict[str, TaskOutput]] = {}
    for piece in pieces:
        mine = begun.setdefault((piece.task_id, piece.attempt), {})
        if piece.attempt_ended or piece.chunk.dropped_bytes:
            yield from _unfinished(mine)
        if piece.attempt_ended:
            del begun[piece.task_id, piece.attempt]
        yield from _cut(mine, piece)
    for mine in begun.values():
        yield from _unfinished(mine)


def _cut(mine: dict[str, TaskOutput], piece: TaskOutput) -> Iterator[TaskOutput]:
    """What is whole with this piece; the rest waits among `mine`."""
    before = mine.pop(piece.chunk.channel, None)
    joined = _with_data(piece, before.chunk.data + piece.chunk.data) if before else piece
    at = joined.chunk.data.rfind(b"\n") + 1
    if len(joined.chunk.data) - at > LONGEST_BYTES:
        at = len(joined.chunk.data)
    if at < len(joined.chunk.data):
        mine[piece.chunk.channel] = _with_data(joined, joined.chunk.data[at:], 0)
    if at or joined.chunk.dropped_bytes or joined.attempt_ended:
        yield _with_data(joined, joined.chunk.data[:at])


def _unfinished(mine: dict[str, TaskOutput]) -> Iterator[TaskOutput]:
    for piece in mine.values():
        yield _with_data(piece, piece.chunk.data + b"\n")
    mine.clear()


def _with_data(piece: TaskOutput, data: bytes, dropped_bytes: int | None = None) -> TaskOutput:
    dropped_bytes = piece.chunk.dropped_bytes if dropped_bytes is None else dropped_bytes
    chunk = dataclasses.replace(piece.chunk, data=data, dropped_bytes=dropped_bytes)
    return dataclasses.replace(piece, chunk=chunk)
