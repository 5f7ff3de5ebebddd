"""Where queued tasks are kept until they are placed: lanes of ready ones, and those that wait for locks."""

from __future__ import annotations

import heapq

from buildrunner_coordinator.domain.locks import Entry
from buildrunner_coordinator.domain.model import PathRequest, Task, Traits

Lane = list[tuple[int, int, int, Task]]
"""A heap: the longest chain behind it first, then by index. Entries that are not queued any more are dropped
when they come up."""


class Waiters:
    """Which tasks wait for locks, behind whom, in which order."""

    def __init__(self) -> None:
        self.behind: dict[tuple[str, str], str] = {}
        """Parked tasks and requests, and the owner in the lock table that each is parked behind."""
        self.parked: dict[str, dict[tuple[str, str], None]] = {}
        self.waiting: set[tuple[str, str]] = set()
        """Tasks with a place in the order, parked or just woken."""
        self.woken: dict[tuple[str, str], None] = {}
        """Those of them that are not parked: nobody was in their way when they were last looked at."""
        self.aside: dict[tuple[str, str], None] = {}
        """Tasks that keep their ticket and let others go first, since they cannot be placed now."""
        self.called: dict[str, None] = {}
        """Requests by hand, by waiter id, that are to be looked at again."""
        self.giving_up: set[str] = set()
        """Paused sessions that give their own locks up once nothing of them runs."""
        self.circles: dict[tuple[str, str], list[tuple[PathRequest, Entry]]] = {}
        """Tasks whose wait closes a circle, and the way round."""


class Claim:
    """A task of several slots that was passed over: since when, and where room is kept for it."""

    __slots__ = ("patience_us", "since_us", "tried", "until_us", "worker_id")

    def __init__(self, since_us: int, patience_us: int) -> None:
        self.since_us = since_us
        self.patience_us = patience_us
        """For how long the next worker is waited for."""
        self.worker_id = ""
        self.until_us = 0
        self.tried: set[str] = set()


class Queue:
    """Queued tasks that may be placed, by session and traits; and those that wait for locks."""

    def __init__(self) -> None:
        self.lanes: dict[str, dict[Traits, Lane]] = {}
        self.waiters = Waiters()
        self.unstarted = 0
        """Live attempts that no worker has started."""
        self.claims: dict[tuple[str, str], Claim] = {}
        self.kept: dict[str, tuple[str, str]] = {}
        """Workers on which the last pass kept room free, and the task for which it did."""
        self.stirred: set[str] = set()
        """Sessions of tasks that came back to the lanes during a pass."""
        self._added = 0

    def add(self, task: Task) -> None:
        self._added += 1
        lanes = self.lanes.setdefault(task.session_id, {})
        heapq.heappush(lanes.setdefault(task.traits, []), (-task.chain, task.index, self._added, task))

    def drop_session(self, session_id: str) -> None:
        self.lanes.pop(session_id, None)
