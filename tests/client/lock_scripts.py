"""Answers of a scripted LockService, for the tests of both kinds of block."""

from __future__ import annotations

import threading
from typing import Any

from buildrunner_parallel.v1 import lock_service_pb2 as wire
from buildrunner_parallel.v1 import types_pb2

SESSION = "a3f2e1d9"
DEADLINE_S = 20.0


class Granting:
    """Grants whatever is asked for, each time under a new id, with the lease that was asked for."""

    def __init__(self, coordinator: Any) -> None:
        self.coordinator = coordinator
        self.renewals = threading.Semaphore(0)
        self._given = 0
        coordinator.on("AcquireLocks", self.acquire)
        coordinator.on("RenewLease", self.renew)
        coordinator.on("ReleaseLocks", wire.ReleaseLocksResponse())

    def acquire(self, request: wire.AcquireLocksRequest, _context: Any) -> wire.AcquireLocksResponse:
        self._given += 1
        grant_id = f"ab{self._given:02}"
        holder = types_pb2.LockHolder(session_id=SESSION, grant_id=grant_id)
        locks = [
            types_pb2.PathLock(
                lock_id=f"{grant_id}-{path.path}", path=path.path.removeprefix("."), mode=path.mode,
                kind=path.kind, holder=holder, grant_id=grant_id,
            )
            for path in request.paths
        ]  # fmt: skip
        return wire.AcquireLocksResponse(
            grant_id=grant_id, fence=100 + self._given, locks=locks, lease_ms=request.lease_ms
        )

    def renew(self, _request: wire.RenewLeaseRequest, _context: Any) -> wire.RenewLeaseResponse:
        self.renewals.release()
        return wire.RenewLeaseResponse(lease_ms=30)

    def seen(self, method: str) -> list[Any]:
        return list(self.coordinator.seen.get(method, []))

    @property
    def released(self) -> list[tuple[str, int]]:
        return [(one.grant_id, one.fence) for one in self.seen("ReleaseLocks")]
