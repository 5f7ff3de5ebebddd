"""A coordinator that does only what a test tells it to, on a unix socket, and keeps every message it gets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc

from buildrunner_parallel.v1 import (
    log_service_pb2,
    log_service_pb2_grpc,
    types_pb2,
    worker_service_pb2,
    worker_service_pb2_grpc,
)
from buildrunner_parallel.worker import reaper

WAIT_S = 60.0
PACKAGE_ROOT = str(Path(reaper.__file__).parents[2])
TOKEN = "secret-of-the-test"


async def until(is_so: Callable[[], bool], within_s: float = WAIT_S) -> None:
    """Waits for what another process does."""
    async with asyncio.timeout(within_s):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def is_there(pid: int) -> bool:
    """Whether there is such a process, zombies included."""
    return Path(f"/proc/{pid}").exists()


class WorkerStream:
    """One Connect stream. `expect` takes messages one part at a time, in the order of their arrival."""

    def __init__(self) -> None:
        self._parts: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._responses: asyncio.Queue[worker_service_pb2.ConnectResponse | None] = asyncio.Queue()
        self.heartbeats: list[worker_service_pb2.Heartbeat] = []
        self.answers_heartbeats = True
        self.is_over = asyncio.Event()

    async def expect(self, field: str) -> Any:
        """The next part, which must be of this field; heartbeats and credits are kept apart."""
        async with asyncio.timeout(WAIT_S):
            name, part = await self._parts.get()
        assert name == field, f"expected {field}, got {name}: {part}"
        return part

    async def wait_for(self, field: str, wanted: Callable[[Any], bool] = lambda _: True) -> Any:
        """The next part of this field that is wanted; others on the way are let go."""
        async with asyncio.timeout(WAIT_S):
            while True:
                name, part = await self._parts.get()
                if name == field and wanted(part):
                    return part

    def nothing_is_left(self) -> bool:
        return self._parts.empty()

    def send(self, **fields: Any) -> None:
        self._responses.put_nowait(worker_service_pb2.ConnectResponse(**fields))

    def hang_up(self) -> None:
        self._responses.put_nowait(None)

    def welcome(self, worker_id: str = "aaaa0001", generation: int = 1, **changes: Any) -> None:
        fields: dict[str, Any] = {
            "store_id": "store", "epoch": 1, "heartbeat_interval_ms": 100, "lease_ms": 30000,
            "stop_after_ms": 28000, "kill_after_ms": 36000, "report_repeat_ms": 300,
        } | changes  # fmt: skip
        self.send(welcome=worker_service_pb2.Welcome(worker_id=worker_id, generation=generation, **fields))

    def acknowledge(self, report: worker_service_pb2.TaskReport, disposition: Any = None) -> None:
        accepted = worker_service_pb2.DISPOSITION_ACCEPTED if disposition is None else disposition
        self.send(
            acknowledgements=[
                worker_service_pb2.Acknowledgement(
                    attempt_id=report.attempt_id, fence=report.fence, disposition=accepted
                )
            ]
        )

    def take(self, request: worker_service_pb2.ConnectRequest) -> None:
        if request.HasField("heartbeat"):
            self.heartbeats.append(request.heartbeat)
            if self.answers_heartbeats:
                reply = worker_service_pb2.HeartbeatReply(sequence=request.heartbeat.sequence)
                self.send(heartbeat_reply=reply)
        for field in ("hello", "goodbye"):
            if request.HasField(field):
                self._parts.put_nowait((field, getattr(request, field)))
        for field in ("started", "progress", "reports", "revocation_answers"):
            for part in getattr(request, field):
                self._parts.put_nowait((field, part))

    async def responses(self) -> AsyncIterator[worker_service_pb2.ConnectResponse]:
        while (response := await self._responses.get()) is not None:
            yield response


class ScriptedCoordinator(
    worker_service_pb2_grpc.WorkerServiceServicer, log_service_pb2_grpc.LogServiceServicer
):
    """Serves until `stop`; `restart` comes back on the same socket."""

    def __init__(self, folder: Path) -> None:
        self.address = f"unix:{folder}/socket"
        self._streams: asyncio.Queue[WorkerStream] = asyncio.Queue()
        self.output = bytearray()
        self.channels: list[tuple[int, bytes]] = []
        self.acknowledges_output = asyncio.Event()
        self.acknowledges_output.set()
        self.output_received = asyncio.Event()
        self.drained_workers: list[str] = []
        self.refusal: tuple[grpc.StatusCode, str] | None = None

    async def start(self) -> None:
        self._server = grpc.aio.server()
        worker_service_pb2_grpc.add_WorkerServiceServicer_to_server(self, self._server)
        log_service_pb2_grpc.add_LogServiceServicer_to_server(self, self._server)
        self._server.add_insecure_port(self.address)
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(0)

    async def accept(self) -> WorkerStream:
        async with asyncio.timeout(WAIT_S):
            return await self._streams.get()

    async def welcomed(self, **changes: Any) -> WorkerStream:
        stream = await self.accept()
        await stream.expect("hello")
        stream.welcome(**changes)
        return stream

    async def Connect(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        if self.refusal is not None:
            await context.abort(*self.refusal)
        metadata = dict(context.invocation_metadata())
        assert metadata.get("authorization") == f"Bearer {TOKEN}"
        stream = WorkerStream()
        self._streams.put_nowait(stream)

        async def read() -> None:
            async for request in request_iterator:
                stream.take(request)
            stream.is_over.set()

        reader = asyncio.create_task(read())
        try:
            async for response in stream.responses():
                yield response
        finally:
            reader.cancel()

    async def WriteOutput(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        async for request in request_iterator:
            for output in request.outputs:
                for chunk in output.chunks:
                    self._keep(chunk)
                self.output_received.set()
                await self.acknowledges_output.wait()
                acknowledgement = log_service_pb2.OutputAcknowledgement(
                    attempt_id=output.attempt_id, fence=output.fence, offset=self.offset
                )
                yield log_service_pb2.WriteOutputResponse(acknowledgements=[acknowledgement])

    @property
    def offset(self) -> int:
        return self._dropped_bytes + len(self.output)

    _dropped_bytes = 0

    def _keep(self, chunk: types_pb2.OutputChunk) -> None:
        self._dropped_bytes += chunk.dropped_bytes
        if chunk.offset + len(chunk.data) > self.offset:
            assert chunk.offset <= self.offset, "a gap in the output"
            self.output += chunk.data[self.offset - chunk.offset :]
            self.channels.append((chunk.channel, chunk.data))

    async def DrainWorker(self, request: Any, context: Any) -> Any:
        self.drained_workers.append(request.worker_id)
        return worker_service_pb2.DrainWorkerResponse()


class RunningWorker:
    """The worker program as a process of its own."""

    def __init__(self, coordinator: ScriptedCoordinator, folder: Path, *arguments: str) -> None:
        token_file = folder / "token"
        token_file.write_text(TOKEN)
        self._log = (folder / "worker.log").open("wb")
        self._arguments = [
            *(sys.executable, "-m", "buildrunner_parallel.worker", "--coordinator", coordinator.address),
            *("--token-file", str(token_file), "--directory", str(folder), *arguments),
        ]
        paths = [PACKAGE_ROOT, str(Path(__file__).parent)]
        self._env = dict(os.environ) | {"PYTHONPATH": os.pathsep.join(paths), "SECRET_OF_MINE": "hidden"}
        self._folder = folder

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self._arguments, env=self._env, cwd=self._folder, stderr=self._log
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def exit_code(self) -> int:
        async with asyncio.timeout(WAIT_S):
            return await self.process.wait()

    @property
    def log(self) -> str:
        return (self._folder / "worker.log").read_text()

    async def close(self, worker_id: str = "aaaa0001") -> None:
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)
                self.process.kill()
            await self.process.wait()
        self._log.close()


def command(attempt_id: str, *argv: str, fence: int = 0, **spec: Any) -> worker_service_pb2.Assignment:
    """An assignment of a command; one argument with blanks is a shell line."""
    work = types_pb2.CommandWork(argv=argv)
    if len(argv) == 1 and " " in argv[0]:
        work = types_pb2.CommandWork(shell_line=argv[0])
    return _assignment(attempt_id, fence, types_pb2.TaskSpec(command=work, **spec))


def handler(attempt_id: str, name: str, payload: bytes = b"", **spec: Any) -> worker_service_pb2.Assignment:
    """An assignment of a handler."""
    work = types_pb2.HandlerWork(name=name, payload=types_pb2.Payload(data=payload))
    return _assignment(attempt_id, 0, types_pb2.TaskSpec(handler=work, **spec))


def _assignment(attempt_id: str, fence: int, spec: types_pb2.TaskSpec) -> worker_service_pb2.Assignment:
    spec.task_id = f"task-{attempt_id}"
    return worker_service_pb2.Assignment(
        attempt_id=attempt_id,
        fence=fence or int(attempt_id, 16),
        session_id="5e551011",
        session_name="a session",
        number=1,
        spec=spec,
        generation=1,
    )
