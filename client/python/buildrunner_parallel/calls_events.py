"""The calls about what has happened, as methods of both clients. (Following what happens is in watch.py.)"""

from __future__ import annotations

from .calls import Call, Page, Pages, Scope, read_page
from .records import HistoryEvent
from .v1 import event_service_pb2 as wire


def iter_history(
    self: Scope, session_id: str = "", task_id: str = "", *, worker_id: str = "", limit: int | None = None
) -> Pages[HistoryEvent]:
    """What happened to a session, one of its tasks, or a worker; oldest first, a page at a time.

    Raises NotFoundError; InvalidRequestError when both a session and a worker are named, or neither.
    """

    def fetch(page_size: int, page_token: str) -> Call[Page[HistoryEvent]]:
        request = wire.ListHistoryRequest(
            session_id=session_id,
            task_id=task_id,
            worker_id=worker_id,
            page_size=page_size,
            page_token=page_token,
        )
        return Call(lambda stubs: stubs.events.ListHistory, request, read_page(HistoryEvent, "events"))

    return Pages(fetch, limit)
