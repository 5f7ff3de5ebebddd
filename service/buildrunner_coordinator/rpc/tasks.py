"""TaskService: convert, ask, convert. Tasks that are over are read from the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from buildrunner_coordinator.domain import commands
from buildrunner_coordinator.domain.changes import AttemptRow, SpecRow, TaskRow
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import Submitted, TaskPlace, TaskView, Wait
from buildrunner_coordinator.engine.engine import Engine
from buildrunner_coordinator.rpc.attempts import list_attempts
from buildrunner_coordinator.rpc.convert import specs
from buildrunner_coordinator.rpc.convert import tasks as convert
from buildrunner_coordinator.rpc.convert.basics import (
    MAX_TEXT_BYTES,
    check_name,
    one_line,
    page_size,
    page_start,
    page_token,
)
from buildrunner_coordinator.rpc.convert.enums import TASK_STATUS
from buildrunner_coordinator.rpc.convert.sessions import session_message
from buildrunner_coordinator.rpc.house import House
from buildrunner_coordinator.rpc.interceptors import Context
from buildrunner_coordinator.rpc.plans import preview_plan, submit_plan
from buildrunner_coordinator.rpc.pool_tasks import list_pool_tasks
from buildrunner_coordinator.rpc.retries import retry_tasks
from buildrunner_parallel.v1 import task_service_pb2 as pb
from buildrunner_parallel.v1.task_service_pb2_grpc import TaskServiceServicer


class TaskService(TaskServiceServicer):
    """See task_service.proto."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._engine = house.engine

    async def SubmitTasks(self, request: pb.SubmitTasksRequest, context: Context) -> pb.SubmitTasksResponse:
        self._house.refuse_when_draining()
        specs.check_count(len(request.tasks))
        digest = self._house.digest_if_named(request)
        tasks = specs.new_tasks(request.tasks)
        summaries = not request.omit_tasks
        command = commands.SubmitTasks(request.session_id, tasks, request.seal, summaries)
        return await self._house.mutate(
            context, request, command, pb.SubmitTasksResponse, _submitted, digest=digest
        )

    async def SubmitPlan(
        self, request_iterator: AsyncIterator[pb.SubmitPlanRequest], context: Context
    ) -> pb.SubmitPlanResponse:
        self._house.refuse_when_draining()
        return await submit_plan(self._house, request_iterator, context)

    async def PreviewPlan(
        self, request_iterator: AsyncIterator[pb.PreviewPlanRequest], context: Context
    ) -> pb.PreviewPlanResponse:
        return await preview_plan(self._house, request_iterator)

    async def GetTask(self, request: pb.GetTaskRequest, context: Context) -> pb.GetTaskResponse:
        check_name(request.task_id, "task's id", required=True)
        place, (spec, row, attempts) = await self._stored(request.session_id, request.task_id)
        view = _freshest(spec, row, place.view)
        return pb.GetTaskResponse(task=convert.task_message(view, spec, row, attempts))

    async def ListTasks(self, request: pb.ListTasksRequest, context: Context) -> pb.ListTasksResponse:
        if request.HasField("pool"):
            return await list_pool_tasks(self._engine, request)
        place: TaskPlace = await self._engine.execute(commands.FindTask(request.session_id))
        statuses = [status.value for status in TASK_STATUS.known(request.statuses)]
        after, limit = page_start(request.page_token), page_size(request.page_size, 100)
        page = await self._engine.read(
            lambda store: store.read_tasks(place.session_id, statuses, after, limit)
        )
        views = await _with_memory(self._engine, page.rows)
        return pb.ListTasksResponse(
            tasks=[convert.summary_message(view) for view in views],
            next_page_token=page_token(page.next_ordinal),
        )

    async def ListAttempts(
        self, request: pb.ListAttemptsRequest, context: Context
    ) -> pb.ListAttemptsResponse:
        return await list_attempts(self._engine, request)

    async def CancelTask(self, request: pb.CancelTaskRequest, context: Context) -> pb.CancelTaskResponse:
        check_name(request.task_id, "task's id", required=True)
        reason = one_line(request.reason, MAX_TEXT_BYTES)
        command = commands.CancelTask(request.session_id, request.task_id, reason)
        try:
            return await self._house.mutate(context, request, command, pb.CancelTaskResponse, _cancelled)
        except Refusal as refusal:
            if refusal.reason is not Reason.TASK_NOT_FOUND:
                raise
        found = await self.GetTask(
            pb.GetTaskRequest(session_id=request.session_id, task_id=request.task_id), context
        )
        return pb.CancelTaskResponse(task=found.task.summary)

    async def RetryTasks(self, request: pb.RetryTasksRequest, context: Context) -> pb.RetryTasksResponse:
        self._house.refuse_when_draining()
        return await retry_tasks(self._house, request, context)

    async def ExplainTasks(
        self, request: pb.ExplainTasksRequest, context: Context
    ) -> pb.ExplainTasksResponse:
        limit = page_size(request.page_size, 1000)
        command = commands.ExplainTasks(
            request.session_id, request.task_id, page_start(request.page_token), limit
        )
        explained: list[tuple[TaskView, list[Wait]]] = await self._engine.execute(command)
        last = explained[-1][0].row.ordinal if len(explained) == limit else 0
        return pb.ExplainTasksResponse(
            explanations=[_explanation(view, waits) for view, waits in explained],
            next_page_token=page_token(last),
        )

    async def GetPatch(self, request: pb.GetPatchRequest, context: Context) -> pb.GetPatchResponse:
        check_name(request.task_id, "task's id", required=True)
        place, (_, _, attempts) = await self._stored(request.session_id, request.task_id)
        patch = await self._engine.read(
            lambda store: store.read_patch(place.session_id, request.task_id, request.attempt)
        )
        if patch is None:
            which = f"Attempt {request.attempt}" if request.attempt else "No attempt"
            kept = "has no patch" if request.attempt else "has a patch"
            raise Refusal(
                Reason.NO_PATCH,
                f"{which} of task {request.task_id!r} {kept}. One is kept of an audited attempt that failed, "
                "changed what it had not declared, or had a worktree of its own.",
                task_id=request.task_id,
            )
        dropped = next((one.patch_dropped_bytes for one in attempts if one.number == patch.number), 0)
        return pb.GetPatchResponse(attempt=patch.number, patch=patch.patch, dropped_bytes=dropped)

    async def _stored(
        self, session_id: str, task_id: str
    ) -> tuple[TaskPlace, tuple[SpecRow, TaskRow, list[AttemptRow]]]:
        """Raises Refusal (TASK_NOT_FOUND)."""
        place: TaskPlace = await self._engine.execute(commands.FindTask(session_id, task_id))
        found = await self._engine.read(lambda store: store.read_task(place.session_id, task_id))
        if found is None:
            message = f"Session {place.session_id} has no task {task_id!r}. List its tasks."
            raise Refusal(Reason.TASK_NOT_FOUND, message, task_id=task_id)
        return place, found


def _freshest(spec: SpecRow, row: TaskRow, view: TaskView | None) -> TaskView:
    """The store was read after memory: what is over there is over."""
    if view is None or row.status in convert.OVER_STATUSES or view.row.attempt_id != row.attempt_id:
        return convert.view_of_rows(spec, row)
    return view


async def _with_memory(engine: Engine, rows: Sequence[tuple[SpecRow, TaskRow]]) -> list[TaskView]:
    """Views of stored tasks, with what memory knows of those that are not over."""
    live = [row for _, row in rows if row.status not in convert.OVER_STATUSES]
    found = await engine.execute_all([commands.FindTask(row.session_id, row.task_id) for row in live])
    views = {
        (row.session_id, row.task_id): place.view
        for row, place in zip(live, found, strict=True)
        if isinstance(place, TaskPlace) and place.view is not None
    }
    return [views.get((row.session_id, row.task_id)) or convert.view_of_rows(spec, row) for spec, row in rows]


def _submitted(reply: Submitted) -> pb.SubmitTasksResponse:
    return pb.SubmitTasksResponse(
        tasks=[convert.summary_message(view) for view in reply.tasks], session=session_message(reply.session)
    )


def _cancelled(view: TaskView) -> pb.CancelTaskResponse:
    return pb.CancelTaskResponse(task=convert.summary_message(view))


def _explanation(view: TaskView, waits: list[Wait]) -> pb.TaskExplanation:
    return pb.TaskExplanation(
        task_id=view.row.task_id,
        status=TASK_STATUS.wire(view.row.status),
        waits=[convert.wait_message(wait) for wait in waits],
    )
