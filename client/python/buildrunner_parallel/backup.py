"""Receiving a copy of the coordinator's database into a file that appears whole or not at all."""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from .error_mapping import from_rpc_error
from .errors import UnreachableError
from .v1 import coordinator_service_pb2 as wire

if TYPE_CHECKING:
    from .aio_connection import AsyncConnection
    from .connection import Connection


class BackupFile:
    """A file beside `path`, readable by its owner alone, that takes its name once `finish` has been
    called."""

    def __init__(self, path: Path) -> None:
        self._path = path
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        self._file = os.fdopen(descriptor, "wb")
        self._made = Path(name)
        self._written = 0
        self._expected = 0

    def __enter__(self) -> BackupFile:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            # On a full disk this fails, too.
            self._file.close()
        finally:
            self._made.unlink(missing_ok=True)

    def write(self, piece: wire.BackupResponse) -> None:
        self._expected = piece.total_bytes or self._expected
        self._written += self._file.write(piece.data)

    def finish(self, address: str) -> int:
        """The size in bytes. Raises UnreachableError when something is missing."""
        if self._written < self._expected:
            raise UnreachableError(
                f"the copy broke off after {self._written} of {self._expected} bytes; try again",
                address=address,
            )
        self._file.flush()
        os.fsync(self._file.fileno())
        self._made.replace(self._path)
        return self._written


def write_backup(connection: Connection, path: Path) -> int:
    """Writes the copy to `path`; its size in bytes."""
    with BackupFile(path) as file:
        try:
            for piece in connection.stubs.coordinator.Backup(wire.BackupRequest()):
                file.write(piece)
        except grpc.RpcError as error:
            raise from_rpc_error(error, connection.address) from error
        return file.finish(connection.address)


async def write_backup_async(connection: AsyncConnection, path: Path) -> int:
    """The same for asyncio; the disk is waited for in a thread."""
    file = await asyncio.to_thread(BackupFile, path)
    with file:
        await _receive(connection, file)
        return await asyncio.to_thread(file.finish, connection.address)


async def _receive(connection: AsyncConnection, file: BackupFile) -> None:
    from .aio_connection import ChannelClosed

    def begin(stubs: Any) -> Any:
        return stubs.coordinator.Backup(wire.BackupRequest())

    try:
        async with aclosing(connection.stubs.stream(begin)) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(file.write, piece)
    except grpc.RpcError as error:
        raise from_rpc_error(error, connection.address) from error
    except ChannelClosed as error:
        message = "the connection was closed before the copy was whole"
        raise UnreachableError(message, address=connection.address) from error
