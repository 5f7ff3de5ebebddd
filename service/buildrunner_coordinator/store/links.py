"""How a store reaches its database: in a process of its own, or inline in the event loop's thread.

Measured under a busy loop (tools/measure_commit): inline stops the loop for as long as the disk
takes, a thread starves for the interpreter's lock, a process does neither.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

from buildrunner_coordinator.store import base
from buildrunner_coordinator.store.database import Database
from buildrunner_coordinator.store.reads import Part
from buildrunner_coordinator.store.wire import Message, Unpacker, pack
from buildrunner_coordinator.store.writer import DONE, FAILED, PART, answer

EXIT_TIMEOUT_S = 30.0
_IMPORT_ROOT = Path(__file__).parents[2]
_ERRORS: dict[str, type[base.StoreError]] = {
    kind.__name__: kind
    for kind in (
        base.StoreError,
        base.NewerSchemaError,
        base.DamagedRowError,
        base.CommitError,
        base.FencedError,
    )
}


def _ignore_part(part: Part) -> None:
    """Only the answer to `open` has parts."""


class Link(Protocol):
    """Calls by name, in plain values, answered in order."""

    @property
    def is_usable(self) -> bool:
        """Whether a call can be answered at all."""

    async def call(self, verb: str, *arguments: Any, on_part: Callable[[Part], None] = _ignore_part) -> Any:
        """Raises StoreError, or what is below it."""

    async def end(self) -> None:
        """Lets go of what the link holds. Idempotent."""


class InlineLink:
    def __init__(self, path: Path) -> None:
        self._database = Database(path)

    @property
    def is_usable(self) -> bool:
        return True

    async def call(self, verb: str, *arguments: Any, on_part: Callable[[Part], None] = _ignore_part) -> Any:
        result = answer(self._database, verb, arguments, on_part)
        self._database.checkpoint()
        self._database.tidy()
        return result

    async def end(self) -> None:
        self._database.close()


class _Call(NamedTuple):
    future: asyncio.Future[Any]
    on_part: Callable[[Part], None]


class ProcessLink(asyncio.Protocol):
    """The coordinator's end of the channel to a writer process."""

    def __init__(self, process: subprocess.Popen[bytes], path: Path) -> None:
        self.process = process
        self._path = path
        self._transport: asyncio.Transport | None = None
        self._calls: deque[_Call] = deque()
        self._unpacker = Unpacker()
        self._lost = ""
        """Why no call will be answered any more."""

    @property
    def is_usable(self) -> bool:
        return not self._lost and self._transport is not None

    async def call(self, verb: str, *arguments: Any, on_part: Callable[[Part], None] = _ignore_part) -> Any:
        if self._lost or self._transport is None:
            raise base.StoreError(self._lost or f"{self._path} has been closed")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._calls.append(_Call(future, on_part))
        self._transport.write(pack((verb, arguments)))
        return await future

    async def end(self) -> None:
        """Closes the channel, at which the writer ends, and waits for that."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        transport.close()
        try:
            await asyncio.to_thread(self.process.wait, EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            # What it acknowledged is durable, and it has nothing else to lose.
            self.process.kill()
            await asyncio.to_thread(self.process.wait)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not an isinstance check: uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for message in self._unpacker.feed(data):
            self._take(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = self._lost or (
            f"the process that writes {self._path} (pid {self.process.pid}) has ended: "
            "what was not acknowledged may be lost; start again"
        )
        while self._calls:
            self._settle(self._calls.popleft().future, base.StoreError(self._lost))

    def _take(self, message: Message) -> None:
        kind, value = message
        if kind == PART:
            self._calls[0].on_part(value)
            return
        future = self._calls.popleft().future
        if kind == FAILED:
            name, line = value
            error = _ERRORS[name](line)
            if isinstance(error, base.CommitError):
                self._lost = line  # the writer ends after it
            self._settle(future, error)
            return
        assert kind == DONE, kind
        if not future.done():
            future.set_result(value)

    def _settle(self, future: asyncio.Future[Any], error: base.StoreError) -> None:
        # A caller that was cancelled has gone away; its call was carried out nevertheless.
        if not future.done():
            future.set_exception(error)


async def start_process(path: Path, lock_fd: int | None) -> ProcessLink:
    """Starts a writer process for the database at `path`. Raises StoreError if that cannot be done."""
    ours, theirs = socket.socketpair()
    try:
        process = _spawn(path, theirs.fileno(), lock_fd)
    except OSError as error:
        ours.close()
        raise base.StoreError(f"no process can be started to write {path}: {error.strerror}") from error
    finally:
        theirs.close()
    loop = asyncio.get_running_loop()
    _, link = await loop.create_unix_connection(lambda: ProcessLink(process, path), sock=ours)
    return link


def _spawn(path: Path, descriptor: int, lock_fd: int | None) -> subprocess.Popen[bytes]:
    """A new program, not a copy of this one: gRPC's threads do not survive a fork.

    In a session of its own, so that a terminal's signals do not reach it. It inherits `lock_fd`, so
    that what this locks stays locked until the writer is gone too.
    """
    search = os.pathsep.join(filter(None, (str(_IMPORT_ROOT), os.environ.get("PYTHONPATH"))))
    # -P: a module that happens to lie in the working directory must not be imported.
    command = [sys.executable, "-P", "-m", "buildrunner_coordinator.store.writer", str(descriptor), str(path)]
    return subprocess.Popen(
        command,
        pass_fds=(descriptor,) if lock_fd is None else (descriptor, lock_fd),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": search},
    )
