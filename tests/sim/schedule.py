"""Virtual time: a heap of what happens next. Nothing here knows what it schedules."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

MS = 1_000
SECOND = 1_000_000


class Schedule:
    """Runs calls in order of their time; equal times in the order in which they were asked for."""

    def __init__(self) -> None:
        self.now_us = 0
        self.steps = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def after(self, delay_us: int, call: Callable[..., None], *arguments: Any) -> None:
        self.at(self.now_us + max(0, int(delay_us)), call, *arguments)

    def at(self, at_us: int, call: Callable[..., None], *arguments: Any) -> None:
        self._count += 1
        heapq.heappush(self._heap, (max(at_us, self.now_us), self._count, call, arguments))

    def step(self) -> bool:
        """Runs the next call. False when there is none."""
        if not self._heap:
            return False
        self.now_us, _, call, arguments = heapq.heappop(self._heap)
        self.steps += 1
        call(*arguments)
        return True
