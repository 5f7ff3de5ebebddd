"""The output of one attempt on its way to the coordinator: by offset, acknowledged, bounded.

Both channels share one line of offsets in the order read. The beginning is sent whole. Behind it only the
newest bytes are held: while the attempt runs they are sent at a bounded rate and some are left out, at its
end all that is held follows. No sending here, and the bytes themselves are in output_spool.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import NamedTuple

from .output_runs import ChannelRuns
from .output_spool import OutputSpool

INLINE_LIMIT_BYTES = 32 << 10
PAUSE_ABOVE_BYTES = 2 << 20
RESUME_BELOW_BYTES = 1 << 20
_PIECE_BYTES = 64 << 10
PIECE_COST_BYTES = 32
"""What a piece takes in a message besides its data, at the most."""
_LEAST_LIVE_BYTES_PER_S = 64 << 10
_BURST_S = 0.25
_ALL_BYTES = 1 << 62

_log = logging.getLogger(__name__)


class Piece(NamedTuple):
    """Bytes of one channel (1 stdout, 2 stderr) at an offset; `dropped_bytes` were left out right before."""

    offset: int
    channel: int
    data: bytes
    dropped_bytes: int


class OutputBuffer:
    """`head_bytes` and `tail_bytes` are what is kept of beginning and end; 0 and 0 keep everything.

    A piece is left out only if so much was written behind it that it is no part of the end that is kept. So
    whatever was left out on the way, the last `tail_bytes` arrive whole. `spool_folder` is where more than a
    few hundred KiB go; without one they stay in memory.
    """

    __slots__ = (
        "_head_bytes", "_head_runs", "_is_finished", "_live_from_s", "_lost_bytes", "_next", "_spool",
        "_tail_bytes", "_tail_runs", "acknowledged_offset", "error_tail", "first_unsent_at_s", "is_streamed",
    )  # fmt: skip

    def __init__(self, head_bytes: int = 0, tail_bytes: int = 0, spool_folder: str = "") -> None:
        self._head_bytes = head_bytes if head_bytes or tail_bytes else _ALL_BYTES
        self._tail_bytes = tail_bytes
        self._spool = OutputSpool(self._head_bytes, tail_bytes, spool_folder)
        self._head_runs = ChannelRuns()
        self._tail_runs = ChannelRuns()
        self._next = 0
        self._lost_bytes = 0
        self._live_from_s = 0.0
        self._is_finished = False
        self.acknowledged_offset = 0
        self.is_streamed = False
        self.first_unsent_at_s = 0.0
        self.error_tail = b""

    def append(self, channel: int, data: bytes, now_s: float) -> None:
        """Takes what was read next."""
        if channel == 2:
            self.error_tail = (self.error_tail + data)[-4096:]
        start = self._spool.end
        if self._next == start:
            self.first_unsent_at_s = now_s
        if start < self._head_bytes:
            self._head_runs.add(start, channel)
        if start + len(data) > self._head_bytes:
            self._tail_runs.add(max(start, self._head_bytes), channel)
            self._tail_runs.forget_before(self._spool.tail_from)
        self._spool.append(data)

    def finish(self) -> None:
        """The attempt is over: all that is held may be sent as fast as it is taken."""
        self._is_finished = True

    @property
    def total_bytes(self) -> int:
        """What the attempt has written so far."""
        return self._spool.end

    @property
    def dropped_bytes(self) -> int:
        """What of it is not kept."""
        beyond = self._spool.end - self._head_bytes - self._tail_bytes
        return max(beyond, 0) + self._lost_bytes

    @property
    def held_bytes(self) -> int:
        """What is held in memory; little, unless there is no disk to put it on."""
        return self._spool.memory_bytes

    @property
    def fits_inline(self) -> bool:
        """Whether the whole output may travel in the report."""
        return not self.is_streamed and self._spool.end <= INLINE_LIMIT_BYTES

    @property
    def has_unsent(self) -> bool:
        """Whether something was not sent yet."""
        return self._next < self._spool.end

    @property
    def is_acknowledged(self) -> bool:
        """Whether everything so far is durable at the coordinator."""
        return self.acknowledged_offset >= self._spool.end

    def is_due(self, now_s: float) -> bool:
        """Whether `take` would give something: behind the beginning it is rationed."""
        if not self.has_unsent:
            return False
        is_rationed = self._next >= self._head_bytes and not self._is_finished
        return not is_rationed or (self._tail_bytes > 0 and now_s >= self._live_from_s)

    def all_pieces(self) -> list[Piece]:
        """Everything held, for the report of a small output."""
        return list(self._pieces(0, _ALL_BYTES))

    def take(self, limit_bytes: int, now_s: float = 0.0) -> list[Piece]:
        """The next pieces to send, about so many bytes but at least one piece; they stay held."""
        self.is_streamed = True
        taken = list(self._pieces(self._next, limit_bytes)) if self.is_due(now_s) else []
        if taken:
            self._next = taken[-1].offset + len(taken[-1].data)
            self._ration(sum(len(one.data) for one in taken if one.offset >= self._head_bytes), now_s)
        return taken

    def _ration(self, size_bytes: int, now_s: float) -> None:
        """Behind the beginning at most the whole kept end is sent in a second."""
        rate = max(self._tail_bytes, _LEAST_LIVE_BYTES_PER_S)
        self._live_from_s = max(self._live_from_s, now_s - _BURST_S) + size_bytes / rate

    def _pieces(self, position: int, limit_bytes: int) -> Iterator[Piece]:
        """What is held from `position` on; while the attempt runs, beginning and end are not mixed."""
        spool, room_bytes = self._spool, limit_bytes
        is_beginning = position < self._head_bytes and not self._is_finished
        until = min(spool.end, self._head_bytes) if is_beginning else spool.end
        while position < until and room_bytes > 0:
            offset, end, runs = self._held_from(position)
            if offset >= end:
                if self._is_finished:
                    yield Piece(spool.end, 1, b"", spool.end - position)
                return
            channel, run_end = runs.run_at(offset, end)
            size_bytes = min(run_end - offset, _PIECE_BYTES, max(room_bytes - PIECE_COST_BYTES, 1))
            room_bytes -= size_bytes + PIECE_COST_BYTES
            data = self._read(offset, offset + size_bytes)
            if data:
                yield Piece(offset, channel, data, offset - position)
                position = offset + size_bytes

    def _held_from(self, position: int) -> tuple[int, int, ChannelRuns]:
        """The first offset from `position` on that is held, where that part ends, and its channels."""
        spool = self._spool
        offset = max(position, spool.let_go)
        if offset < self._head_bytes:
            return offset, min(spool.end, self._head_bytes), self._head_runs
        return max(offset, spool.tail_from), spool.end, self._tail_runs

    def _read(self, start: int, end: int) -> bytes:
        """Nothing when the disk has lost it; what follows in memory is gone on with, behind a gap."""
        try:
            return self._spool.read(start, end)
        except OSError as error:
            lost_until = self._spool.abandon_file()
            self._lost_bytes += max(min(lost_until, self._head_bytes) - start, 0)
            _log.error("%d bytes of output are lost: %s", lost_until - start, error.strerror or error)
            return b""

    def acknowledge(self, offset: int) -> None:
        """Everything before `offset` is durable and is let go."""
        self.acknowledged_offset = max(self.acknowledged_offset, min(offset, self._spool.end))
        self._next = max(self._next, self.acknowledged_offset)
        self._spool.release(offset)
        self._head_runs.forget_before(self._spool.let_go)

    def rewind(self) -> None:
        """Sends again all that is not acknowledged and still held: the stream before is gone."""
        self._next = self.acknowledged_offset

    def close(self) -> None:
        """Nobody wants what is left."""
        self._spool.close()
