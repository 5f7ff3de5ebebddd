"""The asyncio twin of client_output.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc

from .aio_base import AsyncClientBase
from .aio_connection import ChannelClosed
from .errors import UnreachableError
from .output_reading import OutputReading, output_request
from .records import TaskOutput


class AsyncOutputCalls(AsyncClientBase):
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
    ) -> AsyncIterator[TaskOutput]:
        """Output of a task, or of all tasks of a session in order of their ends; with `follow`, of those
        that run as they write it, so that pieces of several tasks alternate.

        `attempt` 0 is the last one; `channel` stdout, stderr or None for both; `follow` goes on until the
        task or session is over, through restarts of the coordinator, without gap or repeat. With a task:
        from byte `offset`, or from `tail_lines` lines before the end.
        """
        request = output_request(session_id, task_id, attempt, channel, follow, offset, tail_lines)
        return self._read_through_breaks(OutputReading(request, self._connection.patience_s))

    async def _read_through_breaks(self, reading: OutputReading) -> AsyncIterator[TaskOutput]:
        while True:
            stubs = self._connection.stubs
            try:
                async with aclosing(
                    stubs.stream(lambda now: now.logs.ReadOutput(reading.request))
                ) as answers:
                    async for answer in answers:
                        fresh = reading.take(answer)
                        if fresh is not None:
                            yield fresh
                return
            except grpc.RpcError as error:
                pause_s = reading.after_break(error, self._connection.address)
            except ChannelClosed as error:
                if self._connection.closed:
                    raise UnreachableError("the client is closed") from error
                pause_s = reading.after_break(None, self._connection.address)
            await self._connection.recover(stubs, reading.deadline_s, pause_s)
