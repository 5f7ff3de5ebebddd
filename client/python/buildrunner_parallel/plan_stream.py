"""The messages of a plan, kept so that they can be sent again: in memory at first, beyond a bound on disk.

A plan is one call: when the coordinator goes away in its middle all of it has to be repeated unchanged, and a
generator of tasks cannot be asked twice. Tasks are turned into messages before the first one is sent, hence
whatever is wrong with them is raised where the caller stands.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

MessageT = TypeVar("MessageT")

MEMORY_LIMIT_BYTES = 32 * 1024 * 1024
_LENGTH = struct.Struct("<I")


class PlanStream(Generic[MessageT]):
    """Messages of `message_class` in order of `append`; can be iterated over as often as need be."""

    def __init__(self, message_class: type[MessageT], memory_limit_bytes: int = MEMORY_LIMIT_BYTES) -> None:
        self._class = message_class
        self._limit_bytes = memory_limit_bytes
        self._kept: list[MessageT] = []
        self._kept_bytes = 0
        self._file: Any = None
        self._spilled = 0

    def append(self, message: Any) -> None:
        size_bytes = message.ByteSize()
        if self._file is None and self._kept_bytes + size_bytes <= self._limit_bytes:
            self._kept.append(message)
            self._kept_bytes += size_bytes
            return
        if self._file is None:
            # Few plans are that large, and every command pays for what this module imports.
            import tempfile

            self._file = tempfile.TemporaryFile(prefix="br-plan-")  # noqa: SIM115 (closed in __exit__)
        self._file.write(_LENGTH.pack(size_bytes) + message.SerializeToString())
        self._spilled += 1

    def __len__(self) -> int:
        return len(self._kept) + self._spilled

    def __iter__(self) -> Iterator[MessageT]:
        yield from self._kept
        if self._file is None:
            return
        self._file.flush()
        offset = 0
        for _ in range(self._spilled):
            try:
                message, offset = self._read(self._file.fileno(), offset)
            except ValueError:
                # Closed: gRPC's own thread may still read for a call that is over.
                return
            yield message

    def _read(self, descriptor: int, offset: int) -> tuple[MessageT, int]:
        # Two readers at a time are possible, see above: so they share no position.
        start = offset + _LENGTH.size
        (size_bytes,) = _LENGTH.unpack(os.pread(descriptor, _LENGTH.size, offset))
        message: Any = self._class()
        message.ParseFromString(os.pread(descriptor, size_bytes, start))
        return message, start + size_bytes

    def __enter__(self) -> PlanStream[MessageT]:
        return self

    def __exit__(self, *_: object) -> None:
        """Gives up what is on disk."""
        if self._file is not None:
            self._file.close()
