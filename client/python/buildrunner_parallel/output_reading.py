"""Reading output through breaks without gap or repeat, apart from who waits for it. Pure."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

from .connection import is_loss, pauses
from .convert import from_wire
from .convert_specs import number_of
from .error_mapping import from_rpc_error
from .records import OutputChunk, TaskOutput
from .v1 import log_service_pb2 as wire
from .v1 import types_pb2


class SeenOutput:
    """Up to which offset the output of each attempt was delivered; drops and trims what comes again."""

    def __init__(self) -> None:
        self._ends: dict[tuple[str, int], int] = {}

    def __bool__(self) -> bool:
        return bool(self._ends)

    def new_part(self, output: TaskOutput) -> TaskOutput | None:
        """What of `output` was not delivered before; None when all of it was.

        Of a gap too: what was read in time, and is not kept any more, was not left out here.
        """
        key = (output.task_id, output.attempt)
        if output.attempt_ended:
            return output
        chunk = output.chunk
        end = chunk.offset + len(chunk.data)
        known = self._ends.get(key, -1)
        dropped_bytes = min(chunk.dropped_bytes, max(chunk.offset - max(known, 0), 0))
        if end <= known and not dropped_bytes:
            return None
        self._ends[key] = max(end, known)
        if known <= chunk.offset:
            return dataclasses.replace(output, chunk=dataclasses.replace(chunk, dropped_bytes=dropped_bytes))
        rest = OutputChunk(known, chunk.channel, chunk.data[known - chunk.offset :])
        return dataclasses.replace(output, chunk=rest)


class OutputReading:
    """What to ask for, and what of the answers is new."""

    def __init__(self, request: wire.ReadOutputRequest, patience_s: float) -> None:
        self.request = request
        self._patience_s = patience_s
        self._seen = SeenOutput()
        self._tries: Iterator[float] = pauses()
        self.deadline_s = 0.0

    def take(self, answer: wire.ReadOutputResponse) -> TaskOutput | None:
        """The part of an answer that was not delivered before; None when all of it was."""
        self._tries, self.deadline_s = pauses(), 0.0
        chunk = from_wire(OutputChunk, answer.chunk)
        output = TaskOutput(answer.task_id, answer.attempt, chunk, answer.attempt_ended)
        return self._seen.new_part(output)

    def after_break(self, error: Any, address: str) -> float:
        """Seconds to wait before the coordinator is looked for, until `deadline_s`. Raises what it refused
        with, and UnreachableError when it stayed away for too long."""
        self.deadline_s = self.deadline_s or time.monotonic() + self._patience_s
        lost = error is None or is_loss(error)
        if error is not None and (not lost or time.monotonic() >= self.deadline_s):
            raise from_rpc_error(error, address) from error
        if self._seen:
            # Ask for all of it again and pass over what was delivered: a new attempt may have begun.
            self.request.tail_lines = 0
            self.request.offset = 0
        return next(self._tries)


def output_request(
    session_id: str,
    task_id: str,
    attempt: int,
    channel: str | None,
    follow: bool,
    offset: int,
    tail_lines: int,
) -> wire.ReadOutputRequest:
    """Raises InvalidRequestError for a channel that is none."""
    return wire.ReadOutputRequest(
        session_id=session_id,
        task_id=task_id,
        attempt=attempt,
        channel=number_of(types_pb2.OutputChannel, channel) if channel else 0,  # type: ignore[arg-type]
        follow=follow,
        offset=offset,
        tail_lines=tail_lines,
    )
