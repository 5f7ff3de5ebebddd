"""SessionService: convert, ask, convert."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from buildrunner_coordinator.domain import commands
from buildrunner_coordinator.domain.changes import SessionRow
from buildrunner_coordinator.domain.replies import SessionPage
from buildrunner_coordinator.rpc.convert import sessions as convert
from buildrunner_coordinator.rpc.convert.basics import MAX_TEXT_BYTES, check_name, one_line, page_token
from buildrunner_coordinator.rpc.house import House, Response
from buildrunner_coordinator.rpc.interceptors import Context
from buildrunner_parallel.v1 import session_service_pb2 as pb
from buildrunner_parallel.v1.session_service_pb2_grpc import SessionServiceServicer


class SessionService(SessionServiceServicer):
    """See session_service.proto."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def _change(
        self, context: Context, request: Any, command: object, response_type: type[Response]
    ) -> Response:
        """Every call that changes one session answers with it."""
        make: Callable[..., Response] = response_type

        def respond(row: SessionRow) -> Response:
            return make(session=convert.session_message(row))

        return await self._house.mutate(context, request, command, response_type, respond)

    async def CreateSession(
        self, request: pb.CreateSessionRequest, context: Context
    ) -> pb.CreateSessionResponse:
        self._house.refuse_when_draining()
        command = convert.create_command(request, secrets.randbits(64))
        return await self._change(context, request, command, pb.CreateSessionResponse)

    async def GetSession(self, request: pb.GetSessionRequest, context: Context) -> pb.GetSessionResponse:
        row = await self._house.engine.execute(commands.ReadSession(request.session_id))
        return pb.GetSessionResponse(session=convert.session_message(row))

    async def ListSessions(
        self, request: pb.ListSessionsRequest, context: Context
    ) -> pb.ListSessionsResponse:
        page: SessionPage = await self._house.engine.execute(convert.list_command(request))
        return pb.ListSessionsResponse(
            sessions=[convert.session_message(row) for row in page.rows],
            next_page_token=page_token(page.next_before),
            total_count=page.total,
        )

    async def StartSession(
        self, request: pb.StartSessionRequest, context: Context
    ) -> pb.StartSessionResponse:
        self._house.refuse_when_draining()
        wanted = request.wanted_workers if request.HasField("wanted_workers") else None
        command = commands.StartSession(
            request.session_id,
            check_name(request.worker_id, "worker's id"),
            convert.optional_workers(wanted),
        )
        return await self._change(context, request, command, pb.StartSessionResponse)

    async def PauseSession(
        self, request: pb.PauseSessionRequest, context: Context
    ) -> pb.PauseSessionResponse:
        command = commands.PauseSession(request.session_id, request.now, request.release_locks)
        return await self._change(context, request, command, pb.PauseSessionResponse)

    async def ResumeSession(
        self, request: pb.ResumeSessionRequest, context: Context
    ) -> pb.ResumeSessionResponse:
        self._house.refuse_when_draining()
        command = commands.ResumeSession(request.session_id, check_name(request.worker_id, "worker's id"))
        return await self._change(context, request, command, pb.ResumeSessionResponse)

    async def CancelSession(
        self, request: pb.CancelSessionRequest, context: Context
    ) -> pb.CancelSessionResponse:
        command = commands.CancelSession(request.session_id, one_line(request.reason, MAX_TEXT_BYTES))
        return await self._change(context, request, command, pb.CancelSessionResponse)

    async def CloseSession(
        self, request: pb.CloseSessionRequest, context: Context
    ) -> pb.CloseSessionResponse:
        command = commands.CloseSession(request.session_id)
        return await self._change(context, request, command, pb.CloseSessionResponse)

    async def CompleteSession(
        self, request: pb.CompleteSessionRequest, context: Context
    ) -> pb.CompleteSessionResponse:
        command = commands.CompleteSession(request.session_id)
        return await self._change(context, request, command, pb.CompleteSessionResponse)

    async def FailSession(self, request: pb.FailSessionRequest, context: Context) -> pb.FailSessionResponse:
        command = commands.FailSession(request.session_id, one_line(request.reason, MAX_TEXT_BYTES))
        return await self._change(context, request, command, pb.FailSessionResponse)

    async def UpdateSession(
        self, request: pb.UpdateSessionRequest, context: Context
    ) -> pb.UpdateSessionResponse:
        command = convert.update_command(request)
        return await self._change(context, request, command, pb.UpdateSessionResponse)

    async def UpdateProgress(
        self, request: pb.UpdateProgressRequest, context: Context
    ) -> pb.UpdateProgressResponse:
        command = convert.progress_command(request)
        return await self._change(context, request, command, pb.UpdateProgressResponse)

    async def MarkFilesModified(
        self, request: pb.MarkFilesModifiedRequest, context: Context
    ) -> pb.MarkFilesModifiedResponse:
        command = convert.modified_command(request)
        return await self._change(context, request, command, pb.MarkFilesModifiedResponse)

    async def DeleteSessions(
        self, request: pb.DeleteSessionsRequest, context: Context
    ) -> pb.DeleteSessionsResponse:
        def respond(rows: list[SessionRow]) -> pb.DeleteSessionsResponse:
            return pb.DeleteSessionsResponse(sessions=[convert.session_message(row) for row in rows])

        command = convert.delete_command(request)
        return await self._house.mutate(context, request, command, pb.DeleteSessionsResponse, respond)

    async def ImportSessions(
        self, request: pb.ImportSessionsRequest, context: Context
    ) -> pb.ImportSessionsResponse:
        self._house.refuse_when_draining()
        rows: list[SessionRow] = await self._house.engine.execute(convert.import_command(request))
        return pb.ImportSessionsResponse(sessions=[convert.session_message(row) for row in rows])
