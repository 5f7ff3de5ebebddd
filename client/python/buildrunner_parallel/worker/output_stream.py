"""Sending output that is not small over `LogService.WriteOutput`, and taking its acknowledgements.

The stream is opened when there is something to send and opened anew after a break. Which bytes, and what an
acknowledgement means, is in output_buffer and attempt_book.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import grpc

from buildrunner_parallel.v1 import log_service_pb2, log_service_pb2_grpc, types_pb2

from . import attempt as states
from .attempt import Attempt
from .attempt_book import AttemptBook
from .output_buffer import INLINE_LIMIT_BYTES, PIECE_COST_BYTES, OutputBuffer

_MESSAGE_BYTES = 256 << 10
_LEAST_ROOM_BYTES = 1 << 10
_STREAM_AFTER_S = 0.2
_RETRY_S = 0.5


def next_request(
    book: AttemptBook, worker_id: str, now_s: float
) -> log_service_pb2.WriteOutputRequest | None:
    """At most 256 KiB of what is due; None when nothing is. Whoever had a turn is last in the next one."""
    request = log_service_pb2.WriteOutputRequest(worker_id=worker_id)
    room_bytes = _MESSAGE_BYTES
    for attempt in list(book.with_output):
        if attempt.output is not None and _is_due(attempt, attempt.output, now_s):
            room_bytes -= _add(request, attempt, attempt.output, room_bytes, now_s)
            book.had_a_turn(attempt)
            if room_bytes < _LEAST_ROOM_BYTES:
                break
    return request if request.outputs else None


def _is_due(attempt: Attempt, output: OutputBuffer, now_s: float) -> bool:
    """Small output waits a little: if its task ends soon it travels in the report."""
    if attempt.is_disowned or not output.is_due(now_s):
        return False
    if attempt.state == states.OVER:
        return not output.fits_inline
    is_large = output.is_streamed or output.total_bytes > INLINE_LIMIT_BYTES
    return is_large or now_s - output.first_unsent_at_s >= _STREAM_AFTER_S


def _add(
    request: log_service_pb2.WriteOutputRequest,
    attempt: Attempt,
    output: OutputBuffer,
    room_bytes: int,
    now_s: float,
) -> int:
    pieces = output.take(room_bytes, now_s)
    if not pieces:
        return 0
    entry = request.outputs.add(attempt_id=attempt.attempt_id, fence=attempt.fence)
    for piece in pieces:
        entry.chunks.add(
            offset=piece.offset,
            channel=types_pb2.OutputChannel.ValueType(piece.channel),
            data=piece.data,
            dropped_bytes=piece.dropped_bytes,
        )
    return sum(len(piece.data) + PIECE_COST_BYTES for piece in pieces)


class OutputStream:
    """Runs beside one conversation. `after_acknowledgement` is called when reports may have come free."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        book: AttemptBook,
        worker_id: str,
        after_acknowledgement: Callable[[], None],
    ) -> None:
        self._stub = log_service_pb2_grpc.LogServiceStub(channel)
        self._book = book
        self._worker_id = worker_id
        self._after_acknowledgement = after_acknowledgement
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        """There may be output to send."""
        self._wanted.set()

    async def run(self) -> None:
        """Sends until it is cancelled."""
        while True:
            request = await self._next()
            call = self._stub.WriteOutput()
            reader = asyncio.get_running_loop().create_task(self._read(call))
            try:
                while not reader.done():
                    await call.write(request)
                    request = await self._next(reader)
            except (grpc.RpcError, asyncio.InvalidStateError):
                pass  # opened anew below; what was not acknowledged is sent again
            finally:
                call.cancel()
                reader.cancel()
            for attempt in self._book.with_output:
                if attempt.output is not None:
                    attempt.output.rewind()
            await asyncio.sleep(_RETRY_S * random.uniform(0.5, 1.0))

    async def _next(self, reader: asyncio.Task[None] | None = None) -> log_service_pb2.WriteOutputRequest:
        while True:
            self._wanted.clear()
            request = next_request(self._book, self._worker_id, time.monotonic())
            if request is not None or (reader is not None and reader.done()):
                return request or log_service_pb2.WriteOutputRequest()
            await self._wanted.wait()

    async def _read(
        self,
        call: grpc.aio.StreamStreamCall[
            log_service_pb2.WriteOutputRequest, log_service_pb2.WriteOutputResponse
        ],
    ) -> None:
        try:
            while isinstance(response := await call.read(), log_service_pb2.WriteOutputResponse):
                for one in response.acknowledgements:
                    self._book.acknowledge_output(one.attempt_id, one.fence, one.offset, stale=one.stale)
                self._after_acknowledgement()
        except grpc.RpcError:
            pass  # the writer meets the same break
        finally:
            self._wanted.set()
