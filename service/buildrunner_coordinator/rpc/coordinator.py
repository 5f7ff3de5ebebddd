"""CoordinatorService: what the coordinator is, copies of its database, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from buildrunner_coordinator.domain.commands import DrainAll, ListWorkers, ReadSummary
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import Summary, WorkerPage
from buildrunner_coordinator.rpc.convert.basics import check_range, timestamp
from buildrunner_coordinator.rpc.convert.sessions import summary_message
from buildrunner_coordinator.rpc.house import House
from buildrunner_coordinator.rpc.interceptors import Context
from buildrunner_parallel.v1 import coordinator_service_pb2 as pb
from buildrunner_parallel.v1.coordinator_service_pb2_grpc import CoordinatorServiceServicer

log = logging.getLogger(__name__)

CAPABILITIES = (
    "watch-resume",
    "submit-plan",
    "worker-polling",
    "output-follow",
    "ended-attempts",
    "history",
    "locks-by-hand",
    "passive-workers",
    "import-sessions",
)
BACKUP_PIECE_BYTES = 1 << 20
MAX_MESSAGE_BYTES = 4 << 20
WORKERS_LEAVE_S = 12.0
"""More than the usual grace of a task that is told to stop."""
MAX_DRAIN_MS = 366 * 86_400_000


class CoordinatorService(CoordinatorServiceServicer):
    """See coordinator_service.proto."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._engine = house.engine
        self._ending: asyncio.Task[None] | None = None

    async def GetInfo(self, request: pb.GetInfoRequest, context: Context) -> pb.GetInfoResponse:
        summary: Summary = await self._engine.execute(ReadSummary())
        meta, identity = self._engine.core.meta, self._house.identity
        return pb.GetInfoResponse(
            version=identity.version,
            address=identity.address,
            pid=identity.pid,
            host=identity.host,
            data_directory=identity.data_directory,
            store_id=meta.store_id,
            epoch=meta.epoch,
            revision=meta.revision,
            started_at=timestamp(identity.started_at_us),
            uptime_ms=max(0, self._engine.clock.now().wall_us - identity.started_at_us) // 1000,
            capabilities=CAPABILITIES,
            max_message_bytes=MAX_MESSAGE_BYTES,
            workspace_id=meta.workspace_id,
            workspace_root=identity.workspace_root,
            summary=summary_message(summary),
            store=identity.store,
            draining=self._house.draining,
        )

    async def GetSummary(self, request: pb.GetSummaryRequest, context: Context) -> pb.GetSummaryResponse:
        self._check_workspace(request.workspace_id)
        return pb.GetSummaryResponse(summary=summary_message(await self._engine.execute(ReadSummary())))

    async def ResolveWorkspace(
        self, request: pb.ResolveWorkspaceRequest, context: Context
    ) -> pb.ResolveWorkspaceResponse:
        if request.origin and not request.name:
            raise Refusal(Reason.UNSUPPORTED, "Workspaces are not known here by their origin. Give the name.")
        workspace_id = self._engine.core.meta.workspace_id
        name = Path(self._house.identity.workspace_root).name
        if request.name not in ("", name, workspace_id):
            raise Refusal(
                Reason.WORKSPACE_NOT_FOUND, f"There is no workspace {request.name!r} here, only {name!r}."
            )
        return pb.ResolveWorkspaceResponse(workspace_id=workspace_id, name=name)

    def _check_workspace(self, workspace_id: str) -> None:
        if workspace_id not in ("", self._engine.core.meta.workspace_id):
            raise Refusal(Reason.WORKSPACE_NOT_FOUND, f"There is no workspace {workspace_id!r} here.")

    async def Backup(self, request: pb.BackupRequest, context: Context) -> None:  # type: ignore[override]
        copy = Path(self._house.identity.data_directory) / f"backup-{secrets.token_hex(8)}.tmp"
        try:
            await self._engine.read(lambda store: store.backup(copy))
            total_bytes = copy.stat().st_size
            with copy.open("rb") as file:
                while data := file.read(BACKUP_PIECE_BYTES):
                    await context.write(pb.BackupResponse(data=data, total_bytes=total_bytes))
                    total_bytes = 0
        finally:
            with contextlib.suppress(FileNotFoundError):
                copy.unlink()

    # ------------------------------------------------------------------ the end

    async def Shutdown(self, request: pb.ShutdownRequest, context: Context) -> pb.ShutdownResponse:
        """Goes on although the caller may have gone."""
        check_range(request.drain_timeout_ms, 0, MAX_DRAIN_MS, "time to drain in milliseconds")
        if self._ending is None or self._ending.done():
            self._ending = asyncio.ensure_future(self._end(request))
        await asyncio.shield(self._ending)
        return pb.ShutdownResponse()

    async def _end(self, request: pb.ShutdownRequest) -> None:
        log.info("shutdown asked for", extra={"drain": request.drain, "stop_workers": request.stop_workers})
        try:
            if request.drain:
                self._house.draining = True
                await self._engine.execute(DrainAll(reason="the coordinator drains"))
                await self._wait_until_nothing_runs(request.drain_timeout_ms / 1000)
            if request.stop_workers:
                host = self._house.identity.host
                await self._engine.execute(DrainAll(host, "the coordinator stops", stop_running=True))
                await self._wait_until_workers_left(host)
        finally:
            self._house.stop.set()

    async def _wait_until_nothing_runs(self, timeout_s: float) -> None:
        async def nothing_runs() -> bool:
            tasks = (await self._engine.execute(ReadSummary())).tasks
            return not any(tasks.get(status, 0) for status in ("assigned", "running", "cancelling"))

        await self._wait(nothing_runs, timeout_s or None)

    async def _wait_until_workers_left(self, host: str) -> None:
        async def none_left() -> bool:
            page: WorkerPage = await self._engine.execute(ListWorkers())
            return not any(view.worker.host == host and view.worker.connected for view in page.workers)

        await self._wait(none_left, WORKERS_LEAVE_S)

    async def _wait(self, reached: Callable[[], Awaitable[bool]], timeout_s: float | None) -> None:
        """Looks again after every change, until the time is out."""
        watcher = self._engine.feed.attach()
        try:
            async with asyncio.timeout(timeout_s):
                while not await reached() and watcher.ended is None:
                    await watcher.wait()
                    watcher.take(1 << 30)
        except TimeoutError:
            log.info("did not wait any longer")
        finally:
            self._engine.feed.detach(watcher)
