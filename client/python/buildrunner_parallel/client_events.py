"""The event part of the client: what happened, in order. (Following what happens is in watch.py.)"""

from __future__ import annotations

from collections.abc import Iterator

from .client_base import ClientBase, pages
from .convert import all_from_wire
from .records import HistoryEvent
from .v1 import event_service_pb2 as wire


class EventCalls(ClientBase):
    """Everything about the past."""

    def iter_history(
        self, session_id: str = "", task_id: str = "", *, worker_id: str = "", limit: int | None = None
    ) -> Iterator[HistoryEvent]:
        """What happened to a session, one of its tasks, or a worker; oldest first, a page at a time.

        Raises NotFoundError; InvalidRequestError when both a session and a worker are named, or neither.
        """

        def fetch(page_size: int, page_token: str) -> tuple[list[HistoryEvent], str]:
            request = wire.ListHistoryRequest(
                session_id=session_id,
                task_id=task_id,
                worker_id=worker_id,
                page_size=page_size,
                page_token=page_token,
            )
            answer = self._call(lambda stubs: stubs.events.ListHistory, request)
            return list(all_from_wire(HistoryEvent, answer.events)), answer.next_page_token

        return pages(fetch, limit)
