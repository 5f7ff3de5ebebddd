"""Length-prefixed frames between the parts of one worker (runtime, supervisor, handler hosts).

All of them are the same program on the same machine, so a frame is a marshalled list of plain tuples.
Nothing here knows what the tuples mean.
"""

from __future__ import annotations

import marshal
import struct
from collections.abc import Iterable
from typing import Any

Message = tuple[Any, ...]

_LENGTH = struct.Struct("<I")
READ_SIZE_BYTES = 1 << 18


def encode(messages: Iterable[Message]) -> bytes:
    """One frame that carries all of `messages`, in order."""
    body = marshal.dumps(list(messages))
    return _LENGTH.pack(len(body)) + body


class Decoder:
    """Cuts a byte stream back into frames, however it was split on the way."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages of every frame that `data` completes, in order."""
        buffer = self._buffer
        buffer += data
        messages: list[Message] = []
        position, end = 0, len(buffer)
        while end - position >= 4:
            (length,) = _LENGTH.unpack_from(buffer, position)
            if end - position - 4 < length:
                break
            body = memoryview(buffer)[position + 4 : position + 4 + length]
            messages.extend(marshal.loads(body))
            body.release()
            position += 4 + length
        if position:
            del buffer[:position]
        return messages
