"""ListAttempts: ended attempts of a session, page by page, each page bounded in number and size."""

from __future__ import annotations

from buildrunner_coordinator.domain.commands import FindTask
from buildrunner_coordinator.domain.questions import AttemptQuery
from buildrunner_coordinator.domain.replies import TaskPlace
from buildrunner_coordinator.engine.engine import Engine
from buildrunner_coordinator.rpc.convert import past
from buildrunner_coordinator.rpc.convert.basics import check_name, check_range, invalid, page_size
from buildrunner_parallel.v1 import task_service_pb2 as pb

PAGE_BYTES = 1 << 20
"""A page with one attempt may be larger: a result is as large as the message that brought it."""
MAX_TASK_IDS = 10_000
_HIGHEST = (1 << 62) - 1


async def list_attempts(engine: Engine, request: pb.ListAttemptsRequest) -> pb.ListAttemptsResponse:
    """Raises Refusal."""
    place: TaskPlace = await engine.execute(FindTask(request.session_id))
    query = _query(request, place.session_id)
    page = await engine.read(lambda store: store.read_attempts(query))
    token = ""
    if page.has_more:
        last = page.rows[-1][0]
        token = past.place_token((last.ended_revision, last.task_number, last.number))
    return pb.ListAttemptsResponse(
        attempts=[past.ended_attempt(row, spec) for row, spec in page.rows], next_page_token=token
    )


def _query(request: pb.ListAttemptsRequest, session_id: str) -> AttemptQuery:
    if len(request.task_ids) > MAX_TASK_IDS:
        raise invalid(f"At most {MAX_TASK_IDS:,} tasks may be named at once.")
    since = check_range(request.since_revision, 0, _HIGHEST, "revision")
    after = past.place_start(request.page_token, 3) or (since, _HIGHEST, _HIGHEST)
    return AttemptQuery(
        session_id=session_id,
        task_ids=tuple(check_name(one, "task's id", required=True) for one in request.task_ids),
        after=(after[0], after[1], after[2]),
        limit=page_size(request.page_size, 100),
        limit_bytes=PAGE_BYTES,
        with_results=not request.omit_results,
        with_specs=request.with_specs,
    )
