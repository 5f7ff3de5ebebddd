"""ListHistory: what happened to a session, a task or a worker, from what was noted and from the rows of
its attempts."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from buildrunner_coordinator.domain.changes import EventRow
from buildrunner_coordinator.domain.commands import FindTask, ReadWorker
from buildrunner_coordinator.domain.ids import resolve
from buildrunner_coordinator.domain.questions import EventQuery
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import TaskPlace, WorkerView
from buildrunner_coordinator.domain.steps import START, Place, task_history
from buildrunner_coordinator.engine.engine import Engine
from buildrunner_coordinator.rpc.convert import past
from buildrunner_coordinator.rpc.convert.basics import check_name, invalid, page_size
from buildrunner_parallel.v1 import event_service_pb2 as pb

First = TypeVar("First")
Second = TypeVar("Second")

_SHORTEST_PREFIX = 4
_IN_ONE_COMMIT = 100
"""One commit notes less than this of one task."""


async def list_history(engine: Engine, request: pb.ListHistoryRequest) -> pb.ListHistoryResponse:
    """Raises Refusal."""
    limit = page_size(request.page_size, 100)
    _check_subject(request)
    if request.worker_id:
        worker_id = await _worker_id(engine, request.worker_id)
        return await _noted(engine, EventQuery(worker_id=worker_id), request.page_token, limit)
    place: TaskPlace = await engine.execute(FindTask(request.session_id, request.task_id))
    if not request.task_id:
        return await _noted(engine, EventQuery(place.session_id), request.page_token, limit)
    return await _of_task(engine, place.session_id, request, limit)


def _check_subject(request: pb.ListHistoryRequest) -> None:
    check_name(request.task_id, "task's id")
    if request.worker_id and (request.session_id or request.task_id):
        raise invalid("The history is that of a session (and one of its tasks) or of a worker. Name one.")
    if not request.worker_id and not request.session_id:
        raise invalid("Whose history? Name a session, a task with its session, or a worker.")


async def _worker_id(engine: Engine, given: str) -> str:
    """Of a present worker, or else of one that events tell of. Raises Refusal."""
    try:
        view: WorkerView = await engine.execute(ReadWorker(given))
    except Refusal as refusal:
        if refusal.reason is not Reason.WORKER_NOT_FOUND or len(given) < _SHORTEST_PREFIX:
            raise
        check_name(given, "worker's id")
        known = await engine.read(lambda store: store.read_worker_ids(given))
        return resolve(given, known, Reason.WORKER_NOT_FOUND, "worker")
    return view.worker.worker_id


async def _noted(engine: Engine, query: EventQuery, token: str, limit: int) -> pb.ListHistoryResponse:
    """What was noted, as it is."""
    after = past.place_start(token, 2) or (0, 0)
    query = query._replace(after=(after[0], after[1]), limit=limit + 1)
    rows = await engine.read(lambda store: store.read_events(query))
    page = rows[:limit]
    more = len(rows) > limit
    return _response(page, past.place_token(page[-1][:2]) if more else "")


async def _of_task(
    engine: Engine, session_id: str, request: pb.ListHistoryRequest, limit: int
) -> pb.ListHistoryResponse:
    given = past.place_start(request.page_token, 4)
    after: Place = (given[0], given[1], given[2], given[3]) if given else START
    task_id = request.task_id
    # What one commit brought may stand on both sides of `after`, so it is read from its beginning.
    query = EventQuery(session_id, task_id, after=(after[0], 0), limit=limit + _IN_ONE_COMMIT)
    task, noted = await engine.read(
        lambda store: _both(store.read_task(session_id, task_id), store.read_events(query))
    )
    if task is None:
        raise Refusal(
            Reason.TASK_NOT_FOUND,
            f"Session {session_id} has no task {task_id!r}. List its tasks.",
            task_id=task_id,
        )
    found = [one for one in task_history(*task, noted) if one[0] > after]
    page = found[:limit]
    more = len(found) > limit
    return _response([event for _, event in page], past.place_token(page[-1][0]) if more else "")


async def _both(first: Awaitable[First], second: Awaitable[Second]) -> tuple[First, Second]:
    """In one read, so that no commit comes in between."""
    return await first, await second


def _response(rows: list[EventRow], token: str) -> pb.ListHistoryResponse:
    return pb.ListHistoryResponse(events=[past.history_event(row) for row in rows], next_page_token=token)
