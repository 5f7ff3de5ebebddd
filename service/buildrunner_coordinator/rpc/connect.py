"""The stream of one worker: one task reads, one writes, the engine is between them.

A whole message becomes one item of the inbox; what the core wants sent comes by the outbox, many
sends a message.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable
from typing import Any, NamedTuple

import grpc
import grpc.aio

from buildrunner_coordinator.domain.commands import Disconnected, Register, Unregister
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import Acknowledge, Disposition, HeartbeatAnswer, Registered
from buildrunner_coordinator.engine.batch import Done
from buildrunner_coordinator.engine.outbox import Closed, Outbox
from buildrunner_coordinator.rpc.convert import stream as convert
from buildrunner_coordinator.rpc.convert import workers
from buildrunner_coordinator.rpc.convert.basics import MAX_TEXT_BYTES, invalid, one_line
from buildrunner_coordinator.rpc.house import House
from buildrunner_coordinator.rpc.interceptors import Context, RpcError
from buildrunner_parallel.v1 import worker_service_pb2 as pb

log = logging.getLogger(__name__)

FLUSH_S = 2.0
DEFAULT_MESSAGE_BYTES = 4 << 20


class Registration(NamedTuple):
    outbox: Outbox
    registered: Registered
    welcome: pb.Welcome


async def register(house: House, hello: pb.Hello, *, polls: bool) -> Registration:
    """Makes the worker known; its outbox is attached before anything is sent to it. Raises Refusal."""
    command = workers.register_command(hello, secrets.randbits(64), polls=polls)
    future: asyncio.Future[Registration] = asyncio.get_running_loop().create_future()

    def done(replies: list[object], _revision: int) -> None:
        reply = replies[0]
        if future.done():
            return
        if isinstance(reply, Registered):
            future.set_result(_attach(house, command, reply))
        else:
            assert isinstance(reply, Refusal)
            future.set_exception(reply)

    def failed(error: BaseException) -> None:
        if not future.done():
            future.set_exception(error)

    house.engine.post((command,), done, failed)
    return await future


def _attach(house: House, command: Register, reply: Registered) -> Registration:
    meta = house.engine.core.meta
    welcome = workers.welcome_message(reply, command.session_id, meta, house.settings, house.identity.version)
    outbox = Outbox(reply.worker_id, reply.generation)
    if not command.polls:
        outbox.put(convert.encode_welcome(welcome))
    house.engine.outboxes.attach(outbox)
    return Registration(outbox, reply, welcome)


async def connect(house: House, context: Context) -> None:
    """One call of Connect, from hello to its end. Raises Refusal, RpcError."""
    first = await context.read()
    if first is grpc.aio.EOF or not first.HasField("hello"):
        raise invalid("The first message of a worker's stream must carry its hello.")
    registration = await register(house, first.hello, polls=False)
    limit = min(first.hello.max_message_bytes or DEFAULT_MESSAGE_BYTES, DEFAULT_MESSAGE_BYTES)
    first.ClearField("hello")
    await _WorkerStream(house, context, registration.outbox, limit).run(first)


class _WorkerStream:
    """A stream that has been welcomed."""

    def __init__(self, house: House, context: Context, outbox: Outbox, max_message_bytes: int) -> None:
        self._engine = house.engine
        self._context = context
        self._outbox = outbox
        self._max_message_bytes = max_message_bytes
        self._unknown = False

    async def run(self, first: pb.ConnectRequest) -> None:
        reader = asyncio.ensure_future(self._read(first))
        writer = asyncio.ensure_future(self._write())
        try:
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                self._outbox.close(Closed.ENDED)
                await asyncio.wait({writer}, timeout=FLUSH_S)
        finally:
            self._leave()
            # Cancelling a read costs gRPC some memory, but happens once a stream at most.
            reader.cancel()
            writer.cancel()
            results = await asyncio.gather(reader, writer, return_exceptions=True)
        self._raise_if_ended(results)

    def _leave(self) -> None:
        self._engine.outboxes.detach(self._outbox)
        self._engine.post((Disconnected(self._outbox.worker_id, self._outbox.generation),))

    def _raise_if_ended(self, results: Iterable[object]) -> None:
        for result in results:
            if isinstance(result, Exception):
                raise result
        worker_id = self._outbox.worker_id
        if self._unknown:
            message = f"Worker {worker_id} is not known any more. Register anew."
            raise Refusal(Reason.WORKER_NOT_FOUND, message, id=worker_id)
        if self._outbox.closed is Closed.SUPERSEDED:
            raise Refusal(Reason.STALE, f"Another stream of worker {worker_id} has begun; this one is over.")
        if self._outbox.closed is Closed.OVERFLOW:
            raise RpcError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "WORKER_TOO_SLOW",
                f"Worker {worker_id} does not read what it is sent. Connect again.",
            )

    # ------------------------------------------------------------------ reading

    async def _read(self, message: Any) -> None:
        while message is not grpc.aio.EOF:
            if message.HasField("hello"):
                raise invalid("Only the first message of a stream may carry a hello.")
            if message.HasField("goodbye"):
                await self._take_goodbye(message)
                return
            self._take(message)
            await self._engine.room()
            message = await self._context.read()

    def _take(self, message: pb.ConnectRequest) -> None:
        commands, done = self._commands(message)
        if not commands:
            return
        if done is None and not message.revocation_answers and not message.credit:
            # Starts and progress: nobody waits for them.
            self._engine.post_lazily(commands)
        else:
            self._engine.post(commands, done)

    async def _take_goodbye(self, message: pb.ConnectRequest) -> None:
        """Returns once the goodbye is durable and everything before it is in the outbox."""
        commands, done = self._commands(message)
        reason = one_line(message.goodbye.reason, MAX_TEXT_BYTES)
        commands.append(Unregister(self._outbox.worker_id, reason, self._outbox.generation))
        replies = await self._engine.execute_all(commands)
        if done is not None:
            done(replies, 0)

    def _commands(self, message: pb.ConnectRequest) -> tuple[list[object], Done | None]:
        """What a message says, and who takes the replies that are to be sent."""
        outbox = self._outbox
        commands = convert.stream_commands(outbox.worker_id, outbox.generation, message)
        sequence = 0
        if message.HasField("heartbeat"):
            sequence = message.heartbeat.sequence
            commands.append(convert.heartbeat_command(outbox.worker_id, outbox.generation, message.heartbeat))
        elif not message.reports:
            return commands, None
        return commands, lambda replies, _revision: self._answer(replies, sequence)

    def _answer(self, replies: list[object], sequence: int) -> None:
        for reply in replies:
            if isinstance(reply, Acknowledge):
                if reply.disposition is Disposition.STALE:
                    log.info(
                        "stale report of attempt %s by worker %s", reply.attempt_id, self._outbox.worker_id
                    )
                self._outbox.put(reply)
            elif isinstance(reply, HeartbeatAnswer):
                self._answer_heartbeat(reply, sequence)

    def _answer_heartbeat(self, answer: HeartbeatAnswer, sequence: int) -> None:
        if answer.known:
            self._outbox.put(convert.encode_heartbeat_reply(sequence, answer.unknown_attempt_ids))
        else:
            self._unknown = True
            self._outbox.close(Closed.ENDED)

    # ------------------------------------------------------------------ writing

    async def _write(self) -> None:
        """Returns when the outbox is closed and empty."""
        while True:
            await self._outbox.wait()
            entries = self._outbox.take()
            if not entries:
                return
            for message in convert.encode_sends(entries, self._max_message_bytes):
                await self._context.write(message)
