"""LogService: output in from workers, acknowledged when durable; output out to readers (`output`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import OutputAck
from buildrunner_coordinator.rpc.convert import stream as convert
from buildrunner_coordinator.rpc.house import House
from buildrunner_coordinator.rpc.interceptors import Context
from buildrunner_coordinator.rpc.output import OutputReader
from buildrunner_parallel.v1 import log_service_pb2 as pb
from buildrunner_parallel.v1.log_service_pb2_grpc import LogServiceServicer

MAX_OUTPUT_BYTES = 256 << 10
IN_FLIGHT = 16
"""Messages of one stream that may wait for their commit."""


class LogService(LogServiceServicer):
    """See log_service.proto."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def WriteOutput(  # type: ignore[override]
        self, request_iterator: AsyncIterator[pb.WriteOutputRequest], context: Context
    ) -> None:
        answers: asyncio.Queue[asyncio.Task[pb.WriteOutputResponse] | None] = asyncio.Queue(IN_FLIGHT)
        writer = asyncio.ensure_future(_write_answers(answers, context))
        try:
            async for request in request_iterator:
                _check_size(request)
                await answers.put(asyncio.ensure_future(self._append(request)))
                if writer.done():
                    break
            await answers.put(None)
            await writer
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def _append(self, request: pb.WriteOutputRequest) -> pb.WriteOutputResponse:
        acks = await self._house.engine.execute_all(convert.append_commands(request))
        return pb.WriteOutputResponse(
            acknowledgements=[
                convert.output_acknowledgement(ack) for ack in acks if isinstance(ack, OutputAck)
            ]
        )

    async def ReadOutput(self, request: pb.ReadOutputRequest, context: Context) -> None:  # type: ignore[override]
        await OutputReader(self._house.engine, context, request).run()


async def _write_answers(
    answers: asyncio.Queue[asyncio.Task[pb.WriteOutputResponse] | None], context: Context
) -> None:
    while True:
        answer = await answers.get()
        if answer is None:
            return
        await context.write(await answer)


def _check_size(request: pb.WriteOutputRequest) -> None:
    size_bytes = sum(len(chunk.data) for output in request.outputs for chunk in output.chunks)
    if size_bytes > MAX_OUTPUT_BYTES:
        raise Refusal(
            Reason.LIMIT,
            f"{size_bytes:,} bytes of output in one message; at most {MAX_OUTPUT_BYTES:,} are taken.",
        )
