"""WorkerService: convert, ask, convert. The stream is in `connect`, its unary twins in `polling`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from buildrunner_coordinator.domain import commands
from buildrunner_coordinator.domain.changes import PoolRow
from buildrunner_coordinator.domain.replies import WorkerPage, WorkerView
from buildrunner_coordinator.rpc.connect import connect
from buildrunner_coordinator.rpc.convert import workers as convert
from buildrunner_coordinator.rpc.convert.basics import MAX_TEXT_BYTES, one_line, page_token
from buildrunner_coordinator.rpc.house import House
from buildrunner_coordinator.rpc.interceptors import Context
from buildrunner_coordinator.rpc.polling import Polling
from buildrunner_parallel.v1 import worker_service_pb2 as pb
from buildrunner_parallel.v1.worker_service_pb2_grpc import WorkerServiceServicer


class WorkerService(WorkerServiceServicer):
    """See worker_service.proto. Connect writes bytes: see `server.RAW_METHODS`."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._polling = Polling(house)

    async def Connect(  # type: ignore[override]
        self, request_iterator: AsyncIterator[pb.ConnectRequest], context: Context
    ) -> None:
        await connect(self._house, context)

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        return await self._polling.register(request)

    async def Heartbeat(self, request: pb.HeartbeatRequest, context: Context) -> pb.HeartbeatResponse:
        return await self._polling.heartbeat(request)

    async def ClaimTasks(self, request: pb.ClaimTasksRequest, context: Context) -> pb.ClaimTasksResponse:
        return await self._polling.claim(request)

    async def ReportTasks(self, request: pb.ReportTasksRequest, context: Context) -> pb.ReportTasksResponse:
        return await self._polling.report(request)

    async def Unregister(self, request: pb.UnregisterRequest, context: Context) -> pb.UnregisterResponse:
        return await self._polling.unregister(request)

    async def GetWorker(self, request: pb.GetWorkerRequest, context: Context) -> pb.GetWorkerResponse:
        view = await self._house.engine.execute(commands.ReadWorker(request.worker_id))
        return pb.GetWorkerResponse(worker=convert.worker_message(view))

    async def ListWorkers(self, request: pb.ListWorkersRequest, context: Context) -> pb.ListWorkersResponse:
        page: WorkerPage = await self._house.engine.execute(convert.list_command(request))
        return pb.ListWorkersResponse(
            workers=[convert.worker_message(view) for view in page.workers],
            next_page_token=page_token(page.next_after),
            total_count=page.total,
        )

    async def DrainWorker(self, request: pb.DrainWorkerRequest, context: Context) -> pb.DrainWorkerResponse:
        def respond(view: WorkerView) -> pb.DrainWorkerResponse:
            return pb.DrainWorkerResponse(worker=convert.worker_message(view))

        command = commands.DrainWorker(request.worker_id, one_line(request.reason, MAX_TEXT_BYTES))
        return await self._house.mutate(context, request, command, pb.DrainWorkerResponse, respond)

    async def UpdateWorker(
        self, request: pb.UpdateWorkerRequest, context: Context
    ) -> pb.UpdateWorkerResponse:
        def respond(view: WorkerView) -> pb.UpdateWorkerResponse:
            return pb.UpdateWorkerResponse(worker=convert.worker_message(view))

        command = convert.update_command(request)
        return await self._house.mutate(context, request, command, pb.UpdateWorkerResponse, respond)

    async def ReportWorkerDeath(
        self, request: pb.ReportWorkerDeathRequest, context: Context
    ) -> pb.ReportWorkerDeathResponse:
        command = commands.WorkerDied(
            request.worker_id,
            request.host,
            request.pid,
            request.processes_gone,
            one_line(request.reason, MAX_TEXT_BYTES),
        )
        lost = await self._house.engine.execute(command)
        return pb.ReportWorkerDeathResponse(lost_attempts=lost)

    async def SetPool(self, request: pb.SetPoolRequest, context: Context) -> pb.SetPoolResponse:
        def respond(row: PoolRow) -> pb.SetPoolResponse:
            return pb.SetPoolResponse(pool=convert.pool_message(row))

        command = convert.pool_command(request.pool)
        return await self._house.mutate(context, request, command, pb.SetPoolResponse, respond)

    async def ListPools(self, request: pb.ListPoolsRequest, context: Context) -> pb.ListPoolsResponse:
        rows = await self._house.engine.execute(commands.ListPools(request.host))
        return pb.ListPoolsResponse(pools=[convert.pool_message(row) for row in rows])
