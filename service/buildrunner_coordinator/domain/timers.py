"""Deadlines of the core, in core time. A timer that fires only says "look"; whoever looks decides."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from enum import StrEnum


class Timer(StrEnum):
    LEASE = "lease"
    TASK = "task"
    """A task's backoff, or the lock delay behind its lost attempt, is over."""
    LAPSE = "lapse"
    GRANT_LEASE = "grant_lease"
    GRANT_LAPSE = "grant_lapse"
    LOCK_REQUEST = "lock_request"
    """A request by hand has waited as long as it would, or was not asked for again behind a restart."""
    STEAL = "steal"
    RETIRE = "retire"
    """An OFFLINE worker has been shown long enough."""
    RETENTION = "retention"
    SWEEP = "sweep"
    """More of a session's tasks are to be cancelled, told that one is over, or revived."""


class Timers:
    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer, str, str]] = []
        self._count = 0

    def add(self, at_us: int, timer: Timer, key: str = "", sub_key: str = "") -> None:
        self._count += 1
        heapq.heappush(self._heap, (at_us, self._count, timer, key, sub_key))

    def due(self, now_us: int) -> Iterator[tuple[Timer, str, str]]:
        """Takes out what is due, earliest first; timers added meanwhile are seen too if due."""
        while self._heap and self._heap[0][0] <= now_us:
            _, _, timer, key, sub_key = heapq.heappop(self._heap)
            yield timer, key, sub_key

    def next_us(self) -> int | None:
        return self._heap[0][0] if self._heap else None
