"""Where queued tasks are kept until they are placed: lanes of ready ones, and those that wait for locks."""

from __future__ import annotations

import heapq

from buildrunner_coordinator.domain.locks import HELD
from buildrunner_coordinator.domain.model import Task, Traits

Lane = list[tuple[int, int, Task]]
"""A heap by index. Entries that are not queued any more are dropped when they come up."""


class Waiters:
    """Which tasks wait for locks, behind whom, in which order."""

    def __init__(self) -> None:
        self.next_ticket = HELD + 1
        self.behind: dict[tuple[str, str], str] = {}
        """Parked tasks, and the owner in the lock table that each is parked behind."""
        self.parked: dict[str, dict[tuple[str, str], None]] = {}
        self.waiting: set[tuple[str, str]] = set()
        """Tasks with a place in the order, parked or just woken."""


class Queue:
    """Queued tasks that may be placed, by session and traits; and those that wait for locks."""

    def __init__(self) -> None:
        self.lanes: dict[str, dict[Traits, Lane]] = {}
        self.waiters = Waiters()
        self.unstarted = 0
        """Live attempts that no worker has started."""
        self._added = 0

    def add(self, task: Task) -> None:
        self._added += 1
        lanes = self.lanes.setdefault(task.session_id, {})
        heapq.heappush(lanes.setdefault(task.traits, []), (task.index, self._added, task))

    def drop_session(self, session_id: str) -> None:
        self.lanes.pop(session_id, None)
