"""The output of one attempt on its way to the coordinator: by offset, acknowledged, bounded in memory.

Both channels share one line of offsets in the order read. Beyond the kept beginning only the kept end is held
back until the attempt is over; what lies between is dropped and counted. No sending here.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

INLINE_LIMIT_BYTES = 32 << 10
PAUSE_ABOVE_BYTES = 2 << 20
RESUME_BELOW_BYTES = 1 << 20
_PIECE_BYTES = 64 << 10


class Piece(NamedTuple):
    """Bytes of one channel (1 stdout, 2 stderr) at an offset; `dropped_bytes` were left out right before."""

    offset: int
    channel: int
    data: bytes
    dropped_bytes: int


class OutputBuffer:
    """`head_bytes` and `tail_bytes` are what is kept of beginning and end; 0 and 0 keep everything."""

    def __init__(self, head_bytes: int = 0, tail_bytes: int = 0) -> None:
        self._head_bytes = head_bytes if head_bytes or tail_bytes else 1 << 62
        self._tail_bytes = tail_bytes
        self._pieces: deque[Piece] = deque()
        self._tail: deque[Piece] = deque()
        self._tail_held_bytes = 0
        self._sent = 0
        self.total_bytes = 0
        self.dropped_bytes = 0
        self.acknowledged_offset = 0
        self.held_bytes = 0
        self.is_streamed = False
        self.first_unsent_at_s = 0.0
        self.error_tail = b""

    def append(self, channel: int, data: bytes, now_s: float) -> None:
        """Takes what was read next."""
        if channel == 2:
            self.error_tail = (self.error_tail + data)[-4096:]
        if not self._unsent_count:
            self.first_unsent_at_s = now_s
        head_room = max(self._head_bytes - self.total_bytes, 0)
        if head_room:
            self._add_head(channel, data[:head_room])
        if len(data) > head_room:
            self._add_tail(channel, data[head_room:])

    @property
    def _unsent_count(self) -> int:
        return len(self._pieces) - self._sent

    def _add_head(self, channel: int, data: bytes) -> None:
        last = self._pieces[-1] if self._unsent_count else None
        if last is not None and last.channel == channel and len(last.data) + len(data) <= _PIECE_BYTES:
            self._pieces[-1] = last._replace(data=last.data + data)
        else:
            self._pieces.append(Piece(self.total_bytes, channel, data, 0))
        self.total_bytes += len(data)
        self.held_bytes += len(data)

    def _add_tail(self, channel: int, data: bytes) -> None:
        for start in range(0, len(data), _PIECE_BYTES):
            part = data[start : start + _PIECE_BYTES]
            self._tail.append(Piece(self.total_bytes, channel, part, 0))
            self.total_bytes += len(part)
            self._tail_held_bytes += len(part)
        while self._tail_held_bytes > self._tail_bytes:
            excess = self._tail_held_bytes - self._tail_bytes
            first = self._tail.popleft()
            cut = min(excess, len(first.data))
            if cut < len(first.data):
                self._tail.appendleft(first._replace(offset=first.offset + cut, data=first.data[cut:]))
            self._tail_held_bytes -= cut
            self.dropped_bytes += cut

    def finish(self) -> None:
        """The attempt is over: what was held back for the end follows."""
        for index, piece in enumerate(self._tail):
            dropped_bytes = self.dropped_bytes if index == 0 else 0
            self._pieces.append(piece._replace(dropped_bytes=dropped_bytes))
            self.held_bytes += len(piece.data)
        if self.dropped_bytes and not self._tail:
            self._pieces.append(Piece(self.total_bytes, 1, b"", self.dropped_bytes))
        self._tail.clear()
        self._tail_held_bytes = 0

    @property
    def fits_inline(self) -> bool:
        """Whether the whole output may travel in the report."""
        return not self.is_streamed and self.total_bytes <= INLINE_LIMIT_BYTES

    @property
    def has_unsent(self) -> bool:
        """Whether `take` would give something."""
        return self._unsent_count > 0

    @property
    def is_acknowledged(self) -> bool:
        """Whether everything so far is durable at the coordinator."""
        return self.acknowledged_offset >= self.total_bytes

    def all_pieces(self) -> list[Piece]:
        """Everything held, for the report of a small output."""
        return list(self._pieces)

    def take(self, limit_bytes: int) -> list[Piece]:
        """The next pieces to send, at most so many bytes but at least one piece; they stay held."""
        self.is_streamed = True
        taken: list[Piece] = []
        size_bytes = 0
        while self._sent < len(self._pieces):
            piece = self._pieces[self._sent]
            if taken and size_bytes + len(piece.data) > limit_bytes:
                break
            taken.append(piece)
            size_bytes += len(piece.data)
            self._sent += 1
        return taken

    def acknowledge(self, offset: int) -> None:
        """Everything before `offset` is durable and is let go."""
        self.acknowledged_offset = max(self.acknowledged_offset, offset)
        while self._pieces and self._pieces[0].offset + len(self._pieces[0].data) <= offset:
            self.held_bytes -= len(self._pieces.popleft().data)
            self._sent = max(self._sent - 1, 0)

    def rewind(self) -> None:
        """Sends again all that is not acknowledged: the stream before is gone."""
        self._sent = 0
