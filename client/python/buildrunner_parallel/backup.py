"""Receiving a copy of the coordinator's database into a file that appears whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import grpc

from .connection import Connection
from .error_mapping import from_rpc_error
from .errors import UnreachableError
from .v1 import coordinator_service_pb2 as wire


def write_backup(connection: Connection, path: Path) -> int:
    """Writes the copy to `path`, readable by its owner alone; its size in bytes."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            size_bytes = _receive(connection, file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return size_bytes


def _receive(connection: Connection, file: object) -> int:
    written = 0
    expected = 0
    try:
        for piece in connection.stubs.coordinator.Backup(wire.BackupRequest()):
            expected = piece.total_bytes or expected
            written += file.write(piece.data)  # type: ignore[attr-defined]
    except grpc.RpcError as error:
        raise from_rpc_error(error, connection.address) from error
    if written < expected:
        raise UnreachableError(
            f"the copy broke off after {written} of {expected} bytes; try again", address=connection.address
        )
    return written
