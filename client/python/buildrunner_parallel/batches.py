"""Cutting many tasks into messages that the protocol takes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .channel import MAX_MESSAGE_BYTES
from .errors import LimitError
from .v1 import types_pb2

MAX_TASKS = 1000
# Room for the other fields of the message and the lengths of its parts.
_ROOM_BYTES = 64 * 1024
_LENGTH_BYTES = 8


def batches(
    specs: Iterable[types_pb2.TaskSpec],
    *,
    max_tasks: int = MAX_TASKS,
    max_bytes: int = MAX_MESSAGE_BYTES - _ROOM_BYTES,
) -> Iterator[list[types_pb2.TaskSpec]]:
    """Lists of at most `max_tasks` tasks and `max_bytes` bytes, in order; none is empty.

    Raises LimitError for a task that is too large for a message of its own.
    """
    batch: list[types_pb2.TaskSpec] = []
    size_bytes = 0
    for spec in specs:
        own_bytes = spec.ByteSize() + _LENGTH_BYTES
        if own_bytes > max_bytes:
            raise LimitError(
                f"task {spec.task_id or '(without id)'} is {own_bytes} bytes, more than the {max_bytes} that "
                "one message holds; pass large data by file",
                reason="LIMIT",
            )
        if batch and (len(batch) >= max_tasks or size_bytes + own_bytes > max_bytes):
            yield batch
            batch, size_bytes = [], 0
        batch.append(spec)
        size_bytes += own_bytes
    if batch:
        yield batch
