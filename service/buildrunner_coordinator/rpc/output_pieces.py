"""Reading one attempt's output from the store, and writing it to one call of ReadOutput."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from buildrunner_coordinator.domain.changes import OutputRow, TaskRow
from buildrunner_coordinator.domain.commands import FindTask
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import TaskPlace
from buildrunner_coordinator.engine.engine import Engine
from buildrunner_coordinator.rpc.convert.tasks import OVER_STATUSES
from buildrunner_coordinator.rpc.interceptors import Context
from buildrunner_parallel.v1 import log_service_pb2 as pb
from buildrunner_parallel.v1 import types_pb2 as types

READ_BYTES = 1 << 20
PIECE_BYTES = 1 << 20


class Piece(NamedTuple):
    """Output of one channel; `offset` is behind what was dropped before it. Without data: a gap alone."""

    offset: int
    channel: int
    data: bytes
    dropped_bytes: int


class AttemptState(NamedTuple):
    """Where a task stands."""

    attempts: int
    live: bool
    """Its last attempt is not over."""
    over: bool


@dataclass(slots=True)
class Place:
    """How far an attempt's output was read. What is trimmed away meanwhile is a gap for whoever reads on."""

    session_id: str
    task_id: str
    number: int
    offset: int = 0
    left_out_bytes: int = 0
    """Of the gap before `offset`: not yet told, for want of a piece that is wanted."""


class OutputWriter:
    """Of one call."""

    def __init__(self, engine: Engine, context: Context, request: pb.ReadOutputRequest) -> None:
        self.engine = engine
        self.request = request
        self._context = context

    async def state(self, session_id: str, task_id: str) -> AttemptState:
        place: TaskPlace = await self.engine.execute(FindTask(session_id, task_id))
        if place.view is not None:
            return _state_of(place.view.row)
        found = await self.engine.read(lambda store: store.read_task(session_id, task_id))
        if found is None:
            raise Refusal(
                Reason.TASK_NOT_FOUND,
                f"Session {session_id} has no task {task_id!r}. List its tasks to see their ids.",
                task_id=task_id,
            )
        return _state_of(found[1])

    async def copy(self, place: Place) -> None:
        """Writes what is stored behind the place, and moves it there."""
        if not place.number:
            return
        async for piece in self.pieces(place):
            for part in cut(piece):
                await self.write(place, part)

    async def tell_gap(self, place: Place) -> None:
        """The gap that no wanted piece followed."""
        if place.left_out_bytes:
            channel = self.request.channel or types.OUTPUT_CHANNEL_STDOUT
            await self.write(place, Piece(place.offset, channel, b"", place.left_out_bytes))
            place.left_out_bytes = 0

    async def pieces(self, place: Place) -> AsyncIterator[Piece]:
        """What is wanted of what is stored behind the place, which moves with it."""
        async for row in self._rows(place):
            start = max(place.offset, row.offset)
            place.left_out_bytes += start - place.offset
            place.offset = row.offset + len(row.data)
            if row.data and self.request.channel in (0, row.channel):
                left_out_bytes, place.left_out_bytes = place.left_out_bytes, 0
                yield Piece(start, row.channel, row.data[start - row.offset :], left_out_bytes)

    async def _rows(self, place: Place) -> AsyncIterator[OutputRow]:
        attempt, offset = (place.session_id, place.task_id, place.number), place.offset
        while True:
            start = offset
            rows = await self.engine.read(
                lambda store: store.read_output(*attempt, start, READ_BYTES)  # noqa: B023
            )
            if not rows:
                return
            for row in rows:
                yield row
            offset = rows[-1].offset + len(rows[-1].data)

    async def write(self, place: Place, piece: Piece) -> None:
        chunk = types.OutputChunk(
            offset=piece.offset,
            channel=piece.channel,  # type: ignore[arg-type] # 1 and 2 are its values
            data=piece.data,
            dropped_bytes=piece.dropped_bytes,
        )
        answer = pb.ReadOutputResponse(task_id=place.task_id, attempt=place.number, chunk=chunk)
        await self._context.write(answer)

    async def write_end(self, place: Place) -> None:
        """Nothing more comes of this attempt."""
        chunk = types.OutputChunk(offset=place.offset)
        answer = pb.ReadOutputResponse(
            task_id=place.task_id, attempt=place.number, chunk=chunk, attempt_ended=True
        )
        await self._context.write(answer)


def _state_of(row: TaskRow) -> AttemptState:
    return AttemptState(row.attempts, bool(row.attempt_id), row.status in OVER_STATUSES)


def cut(piece: Piece) -> Iterator[Piece]:
    """In pieces that fit into a message."""
    for start in range(0, len(piece.data), PIECE_BYTES):
        dropped_bytes = 0 if start else piece.dropped_bytes
        data = piece.data[start : start + PIECE_BYTES]
        yield Piece(piece.offset + start, piece.channel, data, dropped_bytes)
