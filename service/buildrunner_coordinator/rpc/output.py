"""One call of ReadOutput: what is stored, and with `follow` what comes, told by the engine's news."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

from buildrunner_coordinator.domain.changes import OutputRow, TaskRow
from buildrunner_coordinator.domain.commands import FindTask
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import TaskPlace
from buildrunner_coordinator.engine.engine import Engine
from buildrunner_coordinator.engine.news import Subscription
from buildrunner_coordinator.rpc.convert.basics import check_range
from buildrunner_coordinator.rpc.convert.tasks import OVER_STATUSES
from buildrunner_coordinator.rpc.interceptors import Context
from buildrunner_parallel.v1 import log_service_pb2 as pb
from buildrunner_parallel.v1 import types_pb2 as types

READ_BYTES = 1 << 20
PIECE_BYTES = 1 << 20
TASKS_A_READ = 1000
MAX_TAIL_LINES = 1_000_000


class _Piece(NamedTuple):
    """Output of one channel; `offset` is behind what was dropped before it."""

    offset: int
    channel: int
    data: bytes
    dropped_bytes: int


class _State(NamedTuple):
    """Where a task stands."""

    attempts: int
    live: bool
    """Its last attempt is not over."""
    over: bool


class OutputReader:
    """Writes the output that was asked for, then returns. Raises Refusal."""

    def __init__(self, engine: Engine, context: Context, request: pb.ReadOutputRequest) -> None:
        self._engine = engine
        self._context = context
        self._request = request
        check_range(request.offset, 0, 1 << 62, "offset")
        check_range(request.attempt, 0, 1 << 30, "number of the attempt")
        check_range(request.tail_lines, 0, MAX_TAIL_LINES, "number of lines")

    async def run(self) -> None:
        request = self._request
        place: TaskPlace = await self._engine.execute(FindTask(request.session_id, request.task_id))
        if request.task_id:
            with self._engine.news.subscribe(place.session_id, request.task_id) as news:
                await self._one_task(place.session_id, news)
        else:
            with self._engine.news.subscribe(place.session_id) as news:
                await self._whole_session(place.session_id, news)

    # ------------------------------------------------------------------ one task

    async def _one_task(self, session_id: str, news: Subscription) -> None:
        task_id, wanted = self._request.task_id, self._request.attempt
        number, offset = wanted, self._request.offset
        if self._request.tail_lines:
            number, offset = await self._tail(session_id)
        while True:
            news.expect()
            state = await self._state(session_id, task_id)
            current = number or state.attempts
            offset = await self._copy(session_id, task_id, current, offset)
            moved_on = not wanted and state.attempts > current
            if moved_on:
                number, offset = current + 1, 0
                continue
            done = state.over or (wanted and (state.attempts > wanted or not state.live))
            if done or not self._request.follow or self._engine.news.closed:
                return
            number = current
            await news.wait()

    async def _tail(self, session_id: str) -> tuple[int, int]:
        """Writes the last lines that there are; returns the attempt and the offset behind them."""
        task_id = self._request.task_id
        state = await self._state(session_id, task_id)
        number = self._request.attempt or state.attempts
        lines: deque[_Piece] = deque(maxlen=self._request.tail_lines)
        offset = 0
        async for row in self._rows(session_id, task_id, number, 0):
            offset = row.offset + len(row.data)
            if self._wants(row.channel):
                _add_lines(lines, row)
        for line in lines:
            await self._write(task_id, number, line)
        return number, offset

    async def _state(self, session_id: str, task_id: str) -> _State:
        place: TaskPlace = await self._engine.execute(FindTask(session_id, task_id))
        if place.view is not None:
            return _state_of(place.view.row)
        found = await self._engine.read(lambda store: store.read_task(session_id, task_id))
        if found is None:
            raise Refusal(
                Reason.TASK_NOT_FOUND,
                f"Session {session_id} has no task {task_id!r}. List its tasks to see their ids.",
                task_id=task_id,
            )
        return _state_of(found[1])

    # ------------------------------------------------------------------ a session

    async def _whole_session(self, session_id: str, news: Subscription) -> None:
        """Tasks as they ended, then those that run if nobody follows, then those that end later."""
        written: set[tuple[str, int]] = set()
        while True:
            news.expect()
            place: TaskPlace = await self._engine.execute(FindTask(session_id))
            for row in await self._ended(session_id):
                if (row.task_id, row.attempts) not in written:
                    written.add((row.task_id, row.attempts))
                    await self._copy(session_id, row.task_id, row.attempts, 0)
            if not self._request.follow:
                await self._running(session_id)
                return
            if place.session_over or self._engine.news.closed:
                return
            await news.wait()

    async def _ended(self, session_id: str) -> list[TaskRow]:
        rows = [row async for row in self._tasks(session_id, OVER_STATUSES) if row.attempts]
        return sorted(rows, key=lambda row: (row.ended_at_us, row.ordinal))

    async def _running(self, session_id: str) -> None:
        rows = [row async for row in self._tasks(session_id, ("assigned", "running", "cancelling"))]
        for row in sorted(rows, key=lambda row: (row.started_at_us, row.ordinal)):
            await self._copy(session_id, row.task_id, row.attempts, 0)

    async def _tasks(self, session_id: str, statuses: tuple[str, ...]) -> AsyncIterator[TaskRow]:
        after = 0
        while True:
            start = after
            page = await self._engine.read(
                lambda store: store.read_tasks(session_id, statuses, start, TASKS_A_READ)  # noqa: B023
            )
            for _, row in page.rows:
                yield row
            after = page.next_ordinal
            if not after:
                return

    # ------------------------------------------------------------------ pieces

    async def _copy(self, session_id: str, task_id: str, number: int, offset: int) -> int:
        """Writes what is stored behind `offset`; returns the offset behind it."""
        if not number:
            return offset
        async for row in self._rows(session_id, task_id, number, offset):
            if self._wants(row.channel):
                for piece in _cut(row, offset):
                    await self._write(task_id, number, piece)
            offset = row.offset + len(row.data)
        return offset

    async def _rows(
        self, session_id: str, task_id: str, number: int, offset: int
    ) -> AsyncIterator[OutputRow]:
        while True:
            start = offset
            rows = await self._engine.read(
                lambda store: store.read_output(session_id, task_id, number, start, READ_BYTES)  # noqa: B023
            )
            if not rows:
                return
            for row in rows:
                yield row
            offset = rows[-1].offset + len(rows[-1].data)

    def _wants(self, channel: int) -> bool:
        return self._request.channel in (0, channel)

    async def _write(self, task_id: str, number: int, piece: _Piece) -> None:
        chunk = types.OutputChunk(
            offset=piece.offset,
            channel=piece.channel,  # type: ignore[arg-type] # 1 and 2 are its values
            data=piece.data,
            dropped_bytes=piece.dropped_bytes,
        )
        await self._context.write(pb.ReadOutputResponse(task_id=task_id, attempt=number, chunk=chunk))


def _state_of(row: TaskRow) -> _State:
    return _State(row.attempts, bool(row.attempt_id), row.status in OVER_STATUSES)


def _cut(row: OutputRow, offset: int) -> Iterator[_Piece]:
    """The part of a stored piece that lies behind `offset`, in pieces that fit into a message."""
    begin = max(offset - row.offset, 0)
    dropped_bytes = row.dropped_bytes if not begin else 0
    for start in range(begin, len(row.data), PIECE_BYTES):
        data = row.data[start : start + PIECE_BYTES]
        yield _Piece(row.offset + start, row.channel, data, dropped_bytes)
        dropped_bytes = 0


def _add_lines(lines: deque[_Piece], row: OutputRow) -> None:
    """Appends a piece line by line; an unfinished line of the same channel is gone on with."""
    offset = row.offset
    dropped_bytes = row.dropped_bytes
    for line in row.data.splitlines(keepends=True):
        last = lines[-1] if lines else None
        joins = last is not None and last.channel == row.channel and not last.data.endswith(b"\n")
        if last is not None and joins and not dropped_bytes:
            lines[-1] = last._replace(data=last.data + line)
        else:
            lines.append(_Piece(offset, row.channel, line, dropped_bytes))
        offset += len(line)
        dropped_bytes = 0
