"""Answers to request ids, kept so that a repeated request gets the answer it got the first time."""

from __future__ import annotations

from collections import deque

from buildrunner_coordinator.domain.changes import RequestRow
from buildrunner_coordinator.domain.model import Time
from buildrunner_coordinator.domain.refusals import Reason, Refusal


class RequestLog:
    """Request ids of each client, for `ttl_us` and at most `per_client` of them."""

    def __init__(self, ttl_us: int, per_client: int) -> None:
        self._ttl_us = ttl_us
        self._per_client = per_client
        self._clients: dict[str, dict[str, RequestRow]] = {}
        self._by_age: deque[RequestRow] = deque()
        self.added: list[RequestRow] = []
        self.removed: list[tuple[str, str]] = []

    def lookup(self, client_id: str, request_id: str, digest: bytes) -> bytes | None:
        """The first answer, or None. Raises Refusal (REQUEST_ID_REUSED) for another content."""
        row = self._clients.get(client_id, {}).get(request_id)
        if row is None:
            return None
        if row.digest != digest:
            raise Refusal(
                Reason.REQUEST_ID_REUSED,
                f"The request id {request_id!r} was used for another request. Make a new one for each.",
            )
        return row.reply

    def remember(self, client_id: str, request_id: str, digest: bytes, reply: bytes, now: Time) -> None:
        row = RequestRow(client_id, request_id, digest, now.us + self._ttl_us, reply)
        self.restore(row)
        self.added.append(row)
        mine = self._clients[client_id]
        if len(mine) > self._per_client:
            self._forget(next(iter(mine.values())))

    def restore(self, row: RequestRow) -> None:
        """Takes a stored row back; rows must come in order of their age."""
        self._clients.setdefault(row.client_id, {})[row.request_id] = row
        self._by_age.append(row)

    def expire(self, now: Time) -> None:
        while self._by_age and self._by_age[0].expires_us <= now.us:
            row = self._by_age.popleft()
            if self.holds(row):
                self._forget(row)

    def holds(self, row: RequestRow) -> bool:
        """It has not been dropped since it was added."""
        return self._clients.get(row.client_id, {}).get(row.request_id) is row

    def rows(self) -> list[RequestRow]:
        return sorted(row for mine in self._clients.values() for row in mine.values())

    def _forget(self, row: RequestRow) -> None:
        mine = self._clients[row.client_id]
        del mine[row.request_id]
        if not mine:
            del self._clients[row.client_id]
        self.removed.append((row.client_id, row.request_id))
