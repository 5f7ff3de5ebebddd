"""The output part of the client: what tasks wrote, also while they write it, across restarts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc

from .client_base import ClientBase
from .output_reading import OutputReading, SeenOutput, output_request
from .records import TaskOutput

__all__ = ["OutputCalls", "SeenOutput"]


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
        """Output of a task, or of all tasks of a session in order of their ends; with `follow`, of those
        that run as they write it, so that pieces of several tasks alternate.

        `attempt` 0 is the last one; `channel` stdout, stderr or None for both; `follow` goes on until the
        task or session is over, through restarts of the coordinator, without gap or repeat. With a task:
        from byte `offset`, or from `tail_lines` lines before the end.
        """
        request = output_request(session_id, task_id, attempt, channel, follow, offset, tail_lines)
        return self._read_through_breaks(OutputReading(request, self._connection.patience_s))

    def _read_through_breaks(self, reading: OutputReading) -> Iterator[TaskOutput]:
        while True:
            stubs = self._connection.stubs
            try:
                yield from self._read_once(stubs, reading)
                return
            except grpc.RpcError as error:
                pause_s = reading.after_break(error, self._connection.address)
            self._connection.recover(stubs, reading.deadline_s, pause_s)

    def _read_once(self, stubs: Any, reading: OutputReading) -> Iterator[TaskOutput]:
        call = stubs.logs.ReadOutput(reading.request)
        try:
            for answer in call:
                fresh = reading.take(answer)
                if fresh is not None:
                    yield fresh
        finally:
            call.cancel()
