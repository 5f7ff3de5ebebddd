"""One conversation with the coordinator over `Connect`: hello, welcome, then both ways until it ends.

Carries messages and keeps the heartbeat going; what they mean is for the runtime's callbacks.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol

import grpc

from buildrunner_parallel.v1 import worker_service_pb2, worker_service_pb2_grpc

WELCOME_TIMEOUT_S = 10.0
_SILENT_INTERVALS = 3
_DEFAULT_HEARTBEAT_MS = 10_000
_REFUSED = (
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNIMPLEMENTED,
)


@dataclass(frozen=True, slots=True)
class Broken:
    """How a conversation ended. `is_unknown`: the coordinator does not know this worker (any more)."""

    reason: str
    was_welcome: bool
    is_refused: bool = False
    is_unknown: bool = False


class Conversationalist(Protocol):
    """The runtime, as far as a conversation needs it."""

    def hello(self) -> worker_service_pb2.Hello:
        """The first message."""

    def welcomed(self, welcome: worker_service_pb2.Welcome, hello_sent_at_ns: int) -> str:
        """The answer to it; a text refuses the coordinator and ends the conversation."""

    def received(self, response: worker_service_pb2.ConnectResponse) -> None:
        """Any message, the first one included."""

    def next_request(self) -> worker_service_pb2.ConnectRequest | None:
        """What to say next, None when nothing."""

    def heartbeat(self) -> worker_service_pb2.Heartbeat:
        """A heartbeat that is sent now."""


class Conversation:
    """Use `run` once; `wake` whenever there may be something to say, `end` to finish in order."""

    def __init__(self, channel: grpc.aio.Channel, runtime: Conversationalist) -> None:
        self._runtime = runtime
        self._call = worker_service_pb2_grpc.WorkerServiceStub(channel).Connect()
        self._wanted = asyncio.Event()
        self._heartbeat_s = 0.0
        self._heartbeat_at_s = 0.0
        self._heard_at_s = time.monotonic()
        self._is_ending = False
        self._is_said = asyncio.Event()
        self._was_welcome = False
        self._refusal = ""

    def wake(self) -> None:
        """There may be something to say."""
        self._wanted.set()

    async def run(self) -> Broken:
        """Talks until the stream ends, for whatever reason."""
        loop = asyncio.get_running_loop()
        watchdog = loop.create_task(self._watch())
        writer: asyncio.Task[None] | None = None
        try:
            hello_sent_at_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            await self._call.write(worker_service_pb2.ConnectRequest(hello=self._runtime.hello()))
            while isinstance(response := await self._call.read(), worker_service_pb2.ConnectResponse):
                self._heard_at_s = time.monotonic()
                if writer is None:
                    self._begin(response.welcome, hello_sent_at_ns)
                    if self._refusal:
                        break
                    writer = loop.create_task(self._write())
                self._runtime.received(response)
                self._wanted.set()
        except (grpc.RpcError, asyncio.InvalidStateError):
            pass  # the status below says it
        except asyncio.CancelledError:
            # A call that was cancelled here raises this as well; then it is only the stream that is over.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
        finally:
            watchdog.cancel()
            if writer is not None:
                writer.cancel()
            self._is_said.set()
        return await self._how_it_ended()

    def _begin(self, welcome: worker_service_pb2.Welcome, hello_sent_at_ns: int) -> None:
        self._refusal = self._runtime.welcomed(welcome, hello_sent_at_ns)
        self._was_welcome = not self._refusal
        self._heartbeat_s = max((welcome.heartbeat_interval_ms or _DEFAULT_HEARTBEAT_MS) / 1000, 0.02)

    async def _how_it_ended(self) -> Broken:
        if self._refusal:
            self._call.cancel()
            return Broken(self._refusal, was_welcome=False)
        if not self._call.done():
            self._call.cancel()
        code, details = await self._call.code(), await self._call.details() or ""
        is_unknown = code == grpc.StatusCode.NOT_FOUND
        reason = f"{code.name}: {details}" if details else code.name
        return Broken(reason, self._was_welcome, code in _REFUSED, is_unknown)

    async def _write(self) -> None:
        try:
            while not self._call.done():
                await self._write_all()
                if self._is_ending:
                    await self._call.done_writing()
                    self._is_said.set()
                    return
                timeout_s = max(self._heartbeat_at_s - time.monotonic(), 0.0)
                await self._wait(timeout_s)
        except (grpc.RpcError, asyncio.InvalidStateError):
            self._is_said.set()  # the reader sees the same end and tells why

    async def _write_all(self) -> None:
        self._wanted.clear()
        while True:
            request = self._runtime.next_request()
            if request is not None and request.HasField("goodbye"):
                self._is_ending = True  # the last word: no heartbeat may follow
                await self._call.write(request)
                return
            if time.monotonic() >= self._heartbeat_at_s:
                request = request or worker_service_pb2.ConnectRequest()
                request.heartbeat.CopyFrom(self._runtime.heartbeat())
                self._heartbeat_at_s = time.monotonic() + self._heartbeat_s
            if request is None:
                return
            await self._call.write(request)

    async def _wait(self, timeout_s: float) -> None:
        handle = asyncio.get_running_loop().call_later(timeout_s, self._wanted.set)
        try:
            await self._wanted.wait()
        finally:
            handle.cancel()

    async def _watch(self) -> None:
        """Ends a stream whose other side is silent, although the connection stands."""
        while True:
            limit_s = (
                max(self._heartbeat_s * _SILENT_INTERVALS, 1.0) if self._heartbeat_s else WELCOME_TIMEOUT_S
            )
            await asyncio.sleep(min(limit_s / 4, 1.0))
            if time.monotonic() - self._heard_at_s > limit_s:
                self._call.cancel()
                return

    async def end(self, timeout_s: float) -> None:
        """Says what is left to say and closes this side; gives up after `timeout_s` seconds."""
        self._is_ending = True
        self._wanted.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._is_said.wait()
        except TimeoutError:
            self._call.cancel()

    def cancel(self) -> None:
        """Ends it at once."""
        self._call.cancel()
