"""The process of an embedded worker: a worker like any other that takes its orders from the program it is of.

Started by embedded_link as `python -m buildrunner_parallel.worker.embedded_process`, a socket on its stdin.
It runs no user code and shares no interpreter with the program: nothing that the program does can hold up a
heartbeat. When the program ends, however it ends, so does this, and all that it has started.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from typing import Any

from . import embedded_messages as say
from .framing import READ_SIZE_BYTES, Decoder, Message, encode
from .options import WorkerOptions
from .runtime import WorkerRuntime, keep_what_is_loaded

_MOST_UNSENT_BYTES = 1 << 20


class _Uplink(logging.Handler):
    """Says things to the program; what it does not read in time is kept, but no more log."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        super().__init__(logging.INFO)
        self._writer = writer

    def say(self, message: Message) -> None:
        if not self._writer.is_closing():
            self._writer.write(encode([message]))

    def emit(self, record: logging.LogRecord) -> None:
        if self._writer.transport.get_write_buffer_size() < _MOST_UNSENT_BYTES:
            self.say((say.LOG, record.levelno, record.getMessage()))


class EmbeddedProcess:
    """The runtime, and whatever tells it to leave: the program's orders, its socket's end, or its own end."""

    def __init__(self, options: WorkerOptions, program_pid: int) -> None:
        self._options = options
        self._program_pid = program_pid
        self._is_welcome = False

    async def serve(self, connection: socket.socket, decoder: Decoder, orders: list[Message]) -> int:
        """Runs the worker to its end; its exit code. `orders` and what `decoder` has came early."""
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        uplink = _Uplink(writer)
        log = logging.getLogger("buildrunner_parallel")
        log.setLevel(logging.INFO)
        log.addHandler(uplink)
        keep_what_is_loaded()
        self._runtime = WorkerRuntime(self._options, on_welcome=lambda id_: self._on_welcome(uplink, id_))
        self._running = asyncio.create_task(self._runtime.run())
        listening = asyncio.create_task(self._take_orders(reader, decoder, orders))
        with self._watched_program():
            try:
                code = await self._running
            except asyncio.CancelledError:
                code = 0
        listening.cancel()
        uplink.say((say.LEFT, code, self._runtime.failure))
        with contextlib.suppress(OSError):
            await asyncio.wait_for(writer.drain(), 1.0)
        return code

    def _on_welcome(self, uplink: _Uplink, worker_id: str) -> None:
        self._is_welcome = True
        uplink.say((say.SERVING, worker_id))

    async def _take_orders(
        self, reader: asyncio.StreamReader, decoder: Decoder, orders: list[Message]
    ) -> None:
        while True:
            for _, reason, within_s in orders:
                self._leave(reason, within_s)
            data = await reader.read(READ_SIZE_BYTES)
            if not data:
                break
            orders = decoder.feed(data)
        self._leave("the program has closed the connection", 0.0)

    @contextlib.contextmanager
    def _watched_program(self) -> Any:
        """The socket alone would not do: processes that the program forked may hold it open."""
        loop = asyncio.get_running_loop()
        try:
            handle = os.pidfd_open(self._program_pid)
        except ProcessLookupError:
            self._leave("the program has ended", 0.0)
            yield
            return
        try:
            loop.add_reader(handle, self._on_program_ended, handle)
            if os.getppid() != self._program_pid:
                self._on_program_ended(handle)
            yield
        finally:
            loop.remove_reader(handle)
            os.close(handle)

    def _on_program_ended(self, handle: int) -> None:
        asyncio.get_running_loop().remove_reader(handle)
        self._leave("the program has ended", 0.0)

    def _leave(self, reason: str, within_s: float | None) -> None:
        if self._is_welcome:
            self._runtime.leave(reason, within_s)
        else:
            self._running.cancel()


def _receive_first(connection: socket.socket, decoder: Decoder) -> list[Message]:
    """At least one message; raises EOFError when the program ends before."""
    while data := connection.recv(READ_SIZE_BYTES):
        if messages := decoder.feed(data):
            return messages
    raise EOFError


def main() -> int:
    """Serves the program whose socket is stdin."""
    import uvloop

    connection = socket.socket(fileno=os.dup(0))
    null_fd = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null_fd, 0)
    os.close(null_fd)
    try:
        decoder = Decoder()
        (_, fields, program_pid), *orders = _receive_first(connection, decoder)
    except (EOFError, ConnectionResetError):
        return 0
    connection.setblocking(False)
    process = EmbeddedProcess(WorkerOptions(**fields), program_pid)
    return uvloop.run(process.serve(connection, decoder, orders))


if __name__ == "__main__":
    sys.exit(main())
