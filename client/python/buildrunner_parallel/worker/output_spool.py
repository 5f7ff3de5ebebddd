"""The bytes of one attempt's output until they are durable elsewhere: in memory, and beyond that in a file.

Knows offsets, a head and a tail; not channels, nor when anything is sent. The file has no name, so that the
kernel removes it with the process that holds it, however that ends.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections import deque
from collections.abc import Iterator
from typing import IO

MEMORY_BYTES = 256 << 10
"""So much is held without a file: most tasks never need one."""
_SMALL_BYTES = 4 << 10
"""Shorter parts are joined, so that a byte at a time does not cost an object each."""
_UNLIMITED_FILE_BYTES = 1 << 30
"""Where no cap bounds the file, this does."""

_log = logging.getLogger(__name__)


def default_folder() -> str:
    """Where spools lie: TMPDIR if that is set, else on a disk rather than in memory."""
    if not os.environ.get("TMPDIR") and os.access("/var/tmp", os.W_OK | os.X_OK):
        return "/var/tmp"
    return tempfile.gettempdir()


class OutputSpool:
    """Holds `[let_go, head)` and the last `tail_bytes` behind the head; what lies between is dropped.

    In the file a byte of the head stands at its offset, the tail goes round behind the head. Without a
    `folder`, or while the disk refuses, everything stays in memory: whoever reads the task must then wait.
    """

    __slots__ = (
        "_file", "_folder", "_head_bytes", "_is_refused", "_recent", "_recent_from", "_tail_bytes", "end",
        "let_go", "memory_bytes",
    )  # fmt: skip

    def __init__(self, head_bytes: int, tail_bytes: int, folder: str) -> None:
        self._head_bytes = head_bytes
        self._tail_bytes = tail_bytes
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._is_refused = False
        self._recent: deque[bytes] = deque()
        self._recent_from = 0
        self.memory_bytes = 0
        self.let_go = 0
        self.end = 0

    @property
    def tail_from(self) -> int:
        """The first offset behind the head that is still held."""
        return max(self._head_bytes, self.end - self._tail_bytes, self.let_go)

    def append(self, data: bytes) -> None:
        """Takes what follows."""
        recent, size_bytes = self._recent, len(data)
        if recent and len(recent[-1]) + size_bytes <= _SMALL_BYTES:
            recent[-1] += data
        else:
            recent.append(data)
        self.end += size_bytes
        self.memory_bytes += size_bytes
        if self.memory_bytes > MEMORY_BYTES:
            self._trim()
        if self.memory_bytes > MEMORY_BYTES and self._folder:
            self._spill()

    def _trim(self) -> None:
        """Nothing before the tail is wanted once the head is elsewhere."""
        if self._recent_from >= self._head_bytes:
            self._forget_recent(self.tail_from)

    def _forget_recent(self, offset: int) -> None:
        recent, count = self._recent, offset - self._recent_from
        if count <= 0:
            return
        self._recent_from += count
        self.memory_bytes -= count
        while recent and count >= len(recent[0]):
            count -= len(recent.popleft())
        if count:
            recent[0] = recent[0][count:]

    def _spill(self) -> None:
        """Moves memory to the file; stays as it was when the disk refuses."""
        if self._head_bytes > self.end > self.let_go + _UNLIMITED_FILE_BYTES:
            return
        try:
            for start, end in (
                (max(self.let_go, self._recent_from), min(self.end, self._head_bytes)),
                (max(self.tail_from, self._recent_from), self.end),
            ):
                self._write(start, end)
        except OSError as error:
            if not self._is_refused:
                _log.warning(
                    "cannot keep output in %s: %s; tasks wait while the coordinator is slow or away",
                    self._folder, error.strerror or error,
                )  # fmt: skip
            self._is_refused = True
            return
        self._is_refused = False
        self._forget_recent(self.end)

    def _write(self, start: int, end: int) -> None:
        if self._file is None and start < end:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
        for part in self._parts(start, end):
            view = memoryview(part)
            while view and self._file is not None:
                position, size = self._place(start, start + len(view))
                count = os.pwrite(self._file.fileno(), view[:size], position)
                view = view[count:]
                start += count

    def _parts(self, start: int, end: int) -> Iterator[bytes]:
        """What memory holds from `start` to `end`, without a copy where that is possible."""
        position = self._recent_from
        for part in self._recent:
            if position >= end:
                return
            behind = position + len(part)
            if behind > start:
                is_whole = start <= position and behind <= end
                yield part if is_whole else part[max(start - position, 0) : end - position]
            position = behind

    def _place(self, start: int, end: int) -> tuple[int, int]:
        """Where `start` stands in the file, and how many bytes from there on stand behind each other."""
        if start < self._head_bytes:
            return start, min(end, self._head_bytes) - start
        turn = (start - self._head_bytes) % self._tail_bytes
        return self._head_bytes + turn, min(end - start, self._tail_bytes - turn)

    def read(self, start: int, end: int) -> bytes:
        """What is held from `start` to `end`. Raises OSError if the disk has lost it."""
        parts = []
        while start < min(end, self._recent_from) and self._file is not None:
            position, size = self._place(start, min(end, self._recent_from))
            part = os.pread(self._file.fileno(), size, position)
            if not part:
                raise OSError("the file is shorter than what was written to it")
            parts.append(part)
            start += len(part)
        parts += self._parts(start, end)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def release(self, offset: int) -> None:
        """Nothing before `offset` is wanted any more."""
        self.let_go = max(self.let_go, min(offset, self.end))
        if self.let_go < self._recent_from:
            return
        self._forget_recent(self.let_go)
        if self._file is not None:
            self.close()

    def abandon_file(self) -> int:
        """What is in the file cannot be had; the offset from which on there is more."""
        self.release(self._recent_from)
        return self._recent_from

    def close(self) -> None:
        """Lets go of the file, and with it of all that is in there."""
        if self._file is not None:
            self._file.close()
            self._file = None
