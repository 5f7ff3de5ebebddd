"""One call of ReadOutput: what is stored, and with `follow` what comes, told by the engine's news."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from buildrunner_coordinator.domain.commands import FindTask
from buildrunner_coordinator.domain.replies import TaskPlace
from buildrunner_coordinator.engine.engine import Engine
from buildrunner_coordinator.engine.news import Subscription
from buildrunner_coordinator.rpc.convert.basics import check_range
from buildrunner_coordinator.rpc.interceptors import Context
from buildrunner_coordinator.rpc.output_pieces import OutputWriter, Piece, Place, cut
from buildrunner_coordinator.rpc.output_session import SessionOutput
from buildrunner_parallel.v1 import log_service_pb2 as pb

MAX_TAIL_LINES = 1_000_000


class OutputReader:
    """Writes the output that was asked for, then returns. Raises Refusal."""

    def __init__(self, engine: Engine, context: Context, request: pb.ReadOutputRequest) -> None:
        self._engine = engine
        self._request = request
        self._writer = OutputWriter(engine, context, request)
        check_range(request.offset, 0, 1 << 62, "offset")
        check_range(request.attempt, 0, 1 << 30, "number of the attempt")
        check_range(request.tail_lines, 0, MAX_TAIL_LINES, "number of lines")

    async def run(self) -> None:
        request = self._request
        place: TaskPlace = await self._engine.execute(FindTask(request.session_id, request.task_id))
        with self._engine.news.subscribe(place.session_id, request.task_id) as news:
            if request.task_id:
                await self._one_task(place.session_id, news)
            else:
                await SessionOutput(self._writer, place.session_id, news).run()

    async def _one_task(self, session_id: str, news: Subscription) -> None:
        request, writer, wanted = self._request, self._writer, self._request.attempt
        place = Place(session_id, request.task_id, wanted, request.offset)
        if request.tail_lines:
            place = await self._tail(session_id)
        while True:
            news.expect()
            state = await writer.state(session_id, request.task_id)
            place.number = place.number or state.attempts
            await writer.copy(place)
            moved_on = not wanted and state.attempts > place.number
            done = state.over or (wanted and (state.attempts > wanted or not state.live))
            is_last_look = done or not request.follow or self._engine.news.closed
            if moved_on or is_last_look:
                await writer.tell_gap(place)
            if moved_on:
                place = Place(session_id, request.task_id, place.number + 1)
            elif is_last_look:
                return
            else:
                await news.wait()

    async def _tail(self, session_id: str) -> Place:
        """Writes the last lines that there are; returns the place behind them."""
        task_id = self._request.task_id
        state = await self._writer.state(session_id, task_id)
        place = Place(session_id, task_id, self._request.attempt or state.attempts)
        lines: deque[_Line] = deque(maxlen=self._request.tail_lines)
        async for piece in self._writer.pieces(place):
            _add_lines(lines, piece)
        for line in lines:
            for part in cut(Piece(line.offset, line.channel, bytes(line.data), line.dropped_bytes)):
                await self._writer.write(place, part)
        return place


@dataclass(slots=True)
class _Line:
    """As a Piece, but it grows in place: a progress bar may draw on one line for hours, piece by piece."""

    offset: int
    channel: int
    data: bytearray
    dropped_bytes: int


def _add_lines(lines: deque[_Line], piece: Piece) -> None:
    """Appends a piece line by line; an unfinished line of the same channel is gone on with."""
    offset, dropped_bytes = piece.offset, piece.dropped_bytes
    # Not splitlines: a carriage return moves back in a line (progress bars), and ends none.
    for line in _lines(piece.data):
        last = lines[-1] if lines else None
        joins = last is not None and last.channel == piece.channel and not last.data.endswith(b"\n")
        if last is not None and joins and not dropped_bytes:
            last.data += line
        else:
            lines.append(_Line(offset, piece.channel, bytearray(line), dropped_bytes))
        offset += len(line)
        dropped_bytes = 0


def _lines(data: bytes) -> list[bytes]:
    """With their ends; the last one may have none."""
    *whole, rest = data.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])
