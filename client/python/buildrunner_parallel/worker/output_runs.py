"""Which channel the bytes of an output belong to: one number for each change of channel.

Pure: offsets and channels, no bytes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right

_COMPACT_ABOVE = 1024


class ChannelRuns:
    """Runs of one channel, in order of their offsets; eight bytes a run, however long it is."""

    __slots__ = ("_first", "_marks")

    def __init__(self) -> None:
        self._marks = array("q")  # offset << 2 | channel
        self._first = 0

    def add(self, offset: int, channel: int) -> None:
        """From `offset` on it is this channel."""
        if not self._marks or self._marks[-1] & 3 != channel:
            self._marks.append(offset << 2 | channel)

    def run_at(self, offset: int, end: int) -> tuple[int, int]:
        """The channel at `offset`, and where its run ends, at most `end`."""
        index = bisect_right(self._marks, offset << 2 | 3, self._first) - 1
        behind = self._marks[index + 1] >> 2 if index + 1 < len(self._marks) else end
        return self._marks[index] & 3, min(behind, end)

    def forget_before(self, offset: int) -> None:
        """Runs that end before `offset` are not asked for again."""
        marks, first = self._marks, self._first
        while first + 1 < len(marks) and marks[first + 1] >> 2 <= offset:
            first += 1
        if first > _COMPACT_ABOVE and first * 2 > len(marks):
            del marks[:first]
            first = 0
        self._first = first
