"""LockService: the list is served; taking locks by hand is not in this version, and says so."""

from __future__ import annotations

from typing import Any, NoReturn

from buildrunner_coordinator.domain.commands import ListLocks
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import LockPage
from buildrunner_coordinator.rpc.convert.locks import page_message
from buildrunner_coordinator.rpc.house import House
from buildrunner_coordinator.rpc.interceptors import Context
from buildrunner_parallel.v1 import lock_service_pb2 as pb
from buildrunner_parallel.v1.lock_service_pb2_grpc import LockServiceServicer


def _refuse() -> NoReturn:
    raise Refusal(
        Reason.UNSUPPORTED,
        "This coordinator does not serve path locks by hand (capability locks-by-hand). "
        "Declare files on tasks; the scheduler locks them.",
    )


class LockService(LockServiceServicer):
    """See lock_service.proto."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def ListLocks(self, request: pb.ListLocksRequest, context: Context) -> pb.ListLocksResponse:
        engine = self._house.engine
        page: LockPage = await engine.execute(ListLocks(request.path, request.session_id))
        return page_message(page, engine.core.meta.workspace_id, engine.clock.now())

    async def AcquireLocks(self, request: pb.AcquireLocksRequest, context: Context) -> Any:
        _refuse()

    async def ReleaseLocks(self, request: pb.ReleaseLocksRequest, context: Context) -> Any:
        _refuse()

    async def RenewLease(self, request: pb.RenewLeaseRequest, context: Context) -> Any:
        _refuse()

    async def ForceRelease(self, request: pb.ForceReleaseRequest, context: Context) -> Any:
        _refuse()

    async def PreviewLocks(self, request: pb.PreviewLocksRequest, context: Context) -> Any:
        _refuse()

    async def GetLockStatistics(self, request: pb.GetLockStatisticsRequest, context: Context) -> Any:
        _refuse()
