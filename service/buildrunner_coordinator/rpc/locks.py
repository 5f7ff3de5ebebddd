"""LockService: convert, ask, convert. Who has to wait has an outbox of his own, at which the answer comes."""

from __future__ import annotations

import secrets

from buildrunner_coordinator.domain import commands
from buildrunner_coordinator.domain.refusals import Refusal
from buildrunner_coordinator.domain.replies import Acquired, Answer, LockConflict, LockPage, LockView, Queued
from buildrunner_coordinator.engine.engine import EngineStoppedError
from buildrunner_coordinator.engine.outbox import Outbox
from buildrunner_coordinator.rpc.convert import locks as convert
from buildrunner_coordinator.rpc.convert.basics import (
    MAX_TEXT_BYTES,
    check_name,
    one_line,
    page_size,
    page_start,
)
from buildrunner_coordinator.rpc.house import MAX_ID_BYTES, House, client_of, digest_of
from buildrunner_coordinator.rpc.interceptors import Context
from buildrunner_coordinator.rpc.lock_statistics import read_statistics
from buildrunner_parallel.v1 import lock_service_pb2 as pb
from buildrunner_parallel.v1 import types_pb2 as types
from buildrunner_parallel.v1.lock_service_pb2_grpc import LockServiceServicer

PAGE = 1000


class LockService(LockServiceServicer):
    """See lock_service.proto."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._engine = house.engine

    async def AcquireLocks(
        self, request: pb.AcquireLocksRequest, context: Context
    ) -> pb.AcquireLocksResponse:
        if not (request.attempt_id or request.held_grant_id):
            self._house.refuse_when_draining()
        waiter_id = secrets.token_hex(8)
        command = convert.acquire_command(request, waiter_id, self._house.identity.host)
        if request.request_id:
            command.client_id = client_of(context)
            command.request_id = check_name(request.request_id, "request id", max_bytes=MAX_ID_BYTES)
            command.digest = digest_of(request)
        outbox = Outbox(waiter_id, 0)
        self._engine.outboxes.attach(outbox)
        answered = False
        try:
            reply: Acquired | Queued = await self._engine.execute(command)
            if isinstance(reply, Queued):
                reply = await _answer(outbox)
            answered = True
        except (Refusal, EngineStoppedError):
            # When the coordinator ends, its place is kept for the next one.
            answered = True
            raise
        finally:
            self._engine.outboxes.detach(outbox)
            if not answered:
                # Whoever hangs up wants nothing any more, not even what was granted in this moment.
                self._engine.post((commands.LeaveQueue(waiter_id),))
        return convert.acquired_message(reply, self._engine.core.meta.workspace_id, self._engine.clock.now())

    async def ReleaseLocks(
        self, request: pb.ReleaseLocksRequest, context: Context
    ) -> pb.ReleaseLocksResponse:
        def respond(freed: list[LockView]) -> pb.ReleaseLocksResponse:
            return pb.ReleaseLocksResponse(released=[self._message(one) for one in freed])

        command = convert.release_command(request)
        return await self._house.mutate(context, request, command, pb.ReleaseLocksResponse, respond)

    async def RenewLease(self, request: pb.RenewLeaseRequest, context: Context) -> pb.RenewLeaseResponse:
        grant_id = check_name(request.grant_id, "grant's id", required=True)
        lease_ms = await self._engine.execute(commands.RenewLease(grant_id, request.fence))
        return pb.RenewLeaseResponse(lease_ms=lease_ms)

    async def ListLocks(self, request: pb.ListLocksRequest, context: Context) -> pb.ListLocksResponse:
        page: LockPage = await self._engine.execute(commands.ListLocks(request.path, request.session_id))
        start, size = page_start(request.page_token), page_size(request.page_size, PAGE)
        return convert.page_message(
            page, start, size, self._engine.core.meta.workspace_id, self._engine.clock.now()
        )

    async def ForceRelease(
        self, request: pb.ForceReleaseRequest, context: Context
    ) -> pb.ForceReleaseResponse:
        def respond(view: LockView) -> pb.ForceReleaseResponse:
            return pb.ForceReleaseResponse(lock=self._message(view))

        lock_id = check_name(request.lock_id, "lock's id", required=True)
        command = commands.ForceRelease(lock_id, one_line(request.reason, MAX_TEXT_BYTES))
        return await self._house.mutate(context, request, command, pb.ForceReleaseResponse, respond)

    async def PreviewLocks(
        self, request: pb.PreviewLocksRequest, context: Context
    ) -> pb.PreviewLocksResponse:
        found: list[LockConflict] = await self._engine.execute(convert.preview_command(request))
        return pb.PreviewLocksResponse(conflicts=[convert.conflict_message(one) for one in found])

    async def GetLockStatistics(
        self, request: pb.GetLockStatisticsRequest, context: Context
    ) -> pb.GetLockStatisticsResponse:
        return await read_statistics(self._house, request)

    def _message(self, view: LockView) -> types.PathLock:
        return convert.lock_message(view, self._engine.core.meta.workspace_id, self._engine.clock.now())


async def _answer(outbox: Outbox) -> Acquired:
    """What the core decides in the end. Raises Refusal; EngineStoppedError when it ends before that."""
    while True:
        await outbox.wait()
        for entry in outbox.take():
            assert isinstance(entry, Answer), f"{type(entry).__name__} was sent to one who waits for locks"
            if isinstance(entry.reply, Refusal):
                raise entry.reply
            return entry.reply
        if outbox.closed is not None:
            raise EngineStoppedError
