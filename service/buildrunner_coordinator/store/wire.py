"""Messages between a store and its writer process: a length of 8 bytes, then plain values by marshal.

Both ends are one program of one version on one machine, so the encoding needs no stability; nothing
from outside ever comes this way. A message that is not there in full is none.
"""

from __future__ import annotations

import marshal
from struct import Struct
from typing import Any, Protocol

from buildrunner_coordinator.domain.changes import Changes
from buildrunner_coordinator.store.rows import REMOVALS, TABLES, Plain

Message = tuple[Any, ...]

HEADER = Struct("<Q")


class Source(Protocol):
    """A blocking stream."""

    def read(self, size: int, /) -> bytes:
        """So many bytes, fewer only at the end."""


def pack(message: Message) -> bytes:
    """The message with its length in front."""
    try:
        body = marshal.dumps(message)
    except ValueError:
        body = marshal.dumps(_plain(message))
    return HEADER.pack(len(body)) + body


def receive(source: Source) -> Message | None:
    """The next whole message; None at the end, be it inside a message."""
    header = source.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    (size,) = HEADER.unpack(header)
    body = source.read(size)
    return _unpack(body) if len(body) == size else None


class Unpacker:
    """Cuts what arrives, in whatever pieces, into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        self._buffer += data
        messages = []
        while len(self._buffer) >= HEADER.size:
            end = HEADER.size + HEADER.unpack_from(self._buffer)[0]
            if len(self._buffer) < end:
                break
            messages.append(_unpack(bytes(self._buffer[HEADER.size : end])))
            del self._buffer[:end]
        return messages


def changes_to_plain(changes: Changes) -> dict[str, Any]:
    """What is in the changes, without the types of the rows."""
    plain: dict[str, Any] = {"revision": changes.revision}
    if changes.meta is not None:
        plain["meta"] = tuple(changes.meta)
    for table in TABLES:
        rows: list[Plain] = getattr(changes, table.name)
        if rows:
            plain[table.name] = list(map(tuple, rows))
    for name in ("removed_sessions", "output_trims", *REMOVALS):
        if keys := getattr(changes, name):
            plain[name] = [tuple(key) for key in keys] if name == "output_trims" else keys
    return plain


def changes_from_plain(plain: dict[str, Any]) -> Changes:
    """The changes again; their rows stay plain."""
    return Changes(**plain)


def _unpack(body: bytes) -> Message:
    message: Message = marshal.loads(body)
    return message


def _plain(value: Any) -> Any:
    """Without subclasses (such as a status that is still an enumeration's), which marshal does not take."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        each = map(_plain, value)
        return list(each) if isinstance(value, list) else tuple(each)
    return value
