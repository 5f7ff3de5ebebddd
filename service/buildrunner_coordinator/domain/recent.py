"""Attempts whose reports were taken lately, so that a repeated report is told from a stale one."""

from __future__ import annotations

from collections import deque


class RecentReports:
    """The last `limit` of them. In memory only: after a restart a repetition is answered as stale,
    which has the same effect on the worker."""

    def __init__(self, limit: int = 65_536) -> None:
        self._order: deque[str] = deque()
        self._known: set[str] = set()
        self._limit = limit

    def __contains__(self, attempt_id: str) -> bool:
        return attempt_id in self._known

    def add(self, attempt_id: str) -> None:
        self._known.add(attempt_id)
        self._order.append(attempt_id)
        if len(self._order) > self._limit:
            self._known.discard(self._order.popleft())
