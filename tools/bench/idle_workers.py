"""Many idle workers in one process, each with a stream of its own: `python -m tools.bench.idle_workers`.

Arguments: address, token file, number. Prints `ready` once all were welcomed, and lives until its standard
input ends. They say hello, take nothing (no kinds of task), and send heartbeats as told in the welcome.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio

from buildrunner_parallel.v1 import worker_service_pb2 as wire
from buildrunner_parallel.v1.worker_service_pb2_grpc import WorkerServiceStub

STREAMS_A_CHANNEL = 500
AT_ONCE = 100

Call = Any
"""Of grpc.aio; its types do not say what reading gives."""

_running: list[asyncio.Task[None]] = []


async def work(stub: Any, token: str, number: int, opening: asyncio.Semaphore) -> None:
    """One worker; returns once welcomed, and leaves a task that sends the heartbeats."""
    async with opening:
        requests: asyncio.Queue[wire.ConnectRequest] = asyncio.Queue()
        hello = wire.Hello(host="bench", pid=number + 1, slots=1, version="bench")
        requests.put_nowait(wire.ConnectRequest(hello=hello))
        call = stub.Connect(sent(requests), metadata=(("authorization", f"Bearer {token}"),))
        answer = await call.read()
        while isinstance(answer, wire.ConnectResponse) and not answer.HasField("welcome"):
            answer = await call.read()
    if not isinstance(answer, wire.ConnectResponse):
        raise RuntimeError(f"worker {number} was not welcomed: {await call.details()}")
    _running.append(asyncio.create_task(beat(requests, answer.welcome.heartbeat_interval_ms / 1000, number)))
    _running.append(asyncio.create_task(drain(call)))


async def sent(requests: asyncio.Queue[wire.ConnectRequest]) -> AsyncIterator[wire.ConnectRequest]:
    while True:
        yield await requests.get()


async def beat(requests: asyncio.Queue[wire.ConnectRequest], interval_s: float, number: int) -> None:
    """Spread over the interval, as workers that started at different times are."""
    await asyncio.sleep(interval_s * (number % 1000) / 1000)
    sequence = 0
    while True:
        sequence += 1
        requests.put_nowait(wire.ConnectRequest(heartbeat=wire.Heartbeat(sequence=sequence)))
        await asyncio.sleep(interval_s)


async def drain(call: Call) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


async def main(address: str, token: str, count: int) -> None:
    # Each channel is a connection: without its own pool of subchannels all would share one.
    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [
        grpc.aio.insecure_channel(address, options=options) for _ in range(-(-count // STREAMS_A_CHANNEL))
    ]
    stubs = [WorkerServiceStub(channel) for channel in channels]  # type: ignore[no-untyped-call, unused-ignore]
    opening = asyncio.Semaphore(AT_ONCE)
    await asyncio.gather(*(work(stubs[n % len(stubs)], token, n, opening) for n in range(count)))
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in _running:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]).read_text().strip(), int(sys.argv[3])))
