"""The output part of the client: what tasks wrote, also while they write it, across restarts."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import grpc

from .client_base import ClientBase
from .connection import is_loss, pauses
from .convert import from_wire
from .convert_specs import number_of
from .error_mapping import from_rpc_error
from .errors import UnreachableError
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
        """What of `output` was not delivered before; None when all of it was."""
        key = (output.task_id, output.attempt)
        chunk = output.chunk
        end = chunk.offset + len(chunk.data)
        known = self._ends.get(key, -1)
        if end <= known and known >= 0 and (chunk.data or not chunk.dropped_bytes):
            return None
        self._ends[key] = max(end, known)
        if known <= chunk.offset:
            return output
        rest = OutputChunk(known, chunk.channel, chunk.data[known - chunk.offset :])
        return dataclasses.replace(output, chunk=rest)


class OutputCalls(ClientBase):
    """Reading output."""

    def read_output(
        self,
        session_id: str,
        task_id: str = "",
        *,
        attempt: int = 0,
        channel: str | None = None,
        follow: bool = False,
        offset: int = 0,
        tail_lines: int = 0,
    ) -> Iterator[TaskOutput]:
        """Output of a task, or of all tasks of a session in order of their ends.

        `attempt` 0 is the last one; `channel` stdout, stderr or None for both; `follow` goes on until the
        task or session is over, through restarts of the coordinator, without gap or repeat. With a task:
        from byte `offset`, or from `tail_lines` lines before the end.
        """
        request = wire.ReadOutputRequest(
            session_id=session_id,
            task_id=task_id,
            attempt=attempt,
            channel=number_of(types_pb2.OutputChannel, channel) if channel else 0,  # type: ignore[arg-type]
            follow=follow,
            offset=offset,
            tail_lines=tail_lines,
        )
        return self._read_through_breaks(request)

    def _read_through_breaks(self, request: wire.ReadOutputRequest) -> Iterator[TaskOutput]:
        seen = SeenOutput()
        deadline_s = 0.0
        tries = pauses()
        while True:
            stubs = self._connection.stubs
            try:
                for output in self._read_once(stubs, request):
                    deadline_s, tries = 0.0, pauses()
                    fresh = seen.new_part(output)
                    if fresh is not None:
                        yield fresh
                return
            except grpc.RpcError as error:
                deadline_s = deadline_s or time.monotonic() + self._connection.patience_s
                self._resume(error, stubs, deadline_s, next(tries))
            if seen:
                # Ask for all of it again and pass over what was delivered: a new attempt may have begun.
                request.tail_lines = 0
                request.offset = 0

    def _read_once(self, stubs: Any, request: wire.ReadOutputRequest) -> Iterator[TaskOutput]:
        call = stubs.logs.ReadOutput(request)
        try:
            for answer in call:
                yield TaskOutput(answer.task_id, answer.attempt, from_wire(OutputChunk, answer.chunk))
        finally:
            call.cancel()

    def _resume(self, error: Any, stubs: Any, deadline_s: float, pause_s: float) -> None:
        if not is_loss(error) or time.monotonic() >= deadline_s:
            raise from_rpc_error(error, self._connection.address) from error
        try:
            self._connection.recover(stubs, deadline_s, pause_s)
        except UnreachableError as unreachable:
            raise unreachable from error
