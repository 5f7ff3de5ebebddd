"""RetryTasks: what is over is read from the store, and comes back to life, in pieces if it is much."""

from __future__ import annotations

from buildrunner_coordinator.domain import commands
from buildrunner_coordinator.domain.changes import SpecRow, TaskRow
from buildrunner_coordinator.domain.replies import Retried, TaskPlace
from buildrunner_coordinator.domain.reviving import REVIVABLE, REVIVED_TASKS
from buildrunner_coordinator.engine.engine import Engine
from buildrunner_coordinator.rpc.convert.sessions import session_message
from buildrunner_coordinator.rpc.convert.tasks import OVER_STATUSES
from buildrunner_coordinator.rpc.house import House
from buildrunner_coordinator.rpc.interceptors import Context
from buildrunner_parallel.v1 import task_service_pb2 as pb


async def retry_tasks(house: House, request: pb.RetryTasksRequest, context: Context) -> pb.RetryTasksResponse:
    """Answers once everything is revived: a caller that saw the coordinator die before that asks again."""
    answered = await house.answered(context, request, pb.RetryTasksResponse)
    if answered is not None:
        return answered
    engine = house.engine
    place: TaskPlace = await engine.execute(commands.FindTask(request.session_id))
    stored = await _ended_tasks(engine, place.session_id)
    command = commands.RetryTasks(place.session_id, stored, tuple(request.task_ids), place.session_run)
    if sum(row.status in REVIVABLE for _, row in stored) <= REVIVED_TASKS:
        return await house.mutate(context, request, command, pb.RetryTasksResponse, _retried)
    reply: Retried = await engine.execute(command)
    rest = commands.AwaitRetry(place.session_id, reply.revived)
    while reply.pending:  # each answer comes with a batch, and each batch revives some
        reply = await engine.execute(rest)
    return await house.mutate(context, request, rest, pb.RetryTasksResponse, _retried)


async def _ended_tasks(engine: Engine, session_id: str) -> tuple[tuple[SpecRow, TaskRow], ...]:
    """Tasks of a session that are over, as stored; with those that succeeded, which others may need."""
    statuses = sorted(OVER_STATUSES)
    rows: list[tuple[SpecRow, TaskRow]] = []
    after = 0
    while True:
        start = after
        page = await engine.read(lambda store: store.read_tasks(session_id, statuses, start, 1000))  # noqa: B023
        rows += page.rows
        after = page.next_ordinal
        if not after:
            return tuple(rows)


def _retried(reply: Retried) -> pb.RetryTasksResponse:
    return pb.RetryTasksResponse(session=session_message(reply.session), task_count=reply.revived)
