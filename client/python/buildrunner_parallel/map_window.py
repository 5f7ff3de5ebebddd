"""The bounds of a `map` over any number of items: how many may be taken in, and which result comes next.
Pure.

    items ... | at most `window` taken in and not given out yet | ... results

Items are sent in requests that grow while the source is quick, so that the first item of a slow one goes at
once.
"""

from __future__ import annotations

import time
from collections import deque

from .errors import InvalidRequestError
from .task_results import TaskResult

WINDOW = 1000
BATCH_SIZE = 250
_QUICK_S = 0.02


class MapWindow:
    """Counts what is under way; `in_order` holds results back until those of earlier items are out."""

    def __init__(self, window: int, batch_size: int, in_order: bool) -> None:
        if window < 1 or batch_size < 1:
            raise InvalidRequestError("window and batch_size must be at least 1", reason="INVALID")
        self._window = window
        self._batch_limit = min(batch_size, max(1, window // 4))
        self._batch = 1
        self._in_order = in_order
        self._taken_in = 0
        self._given_out = 0
        self._early: dict[int, TaskResult] = {}
        self._ready: deque[TaskResult] = deque()
        self.exhausted = False

    @property
    def under_way(self) -> int:
        """Items taken in whose results are not given out."""
        return self._taken_in - self._given_out

    @property
    def is_over(self) -> bool:
        return self.exhausted and not self.under_way

    @property
    def is_ready(self) -> bool:
        """Whether there is a result to give out."""
        return bool(self._ready)

    @property
    def next_batch(self) -> int:
        """How many items to take in now; 0 while there is no room for a batch."""
        room = self._window - self.under_way
        return 0 if self.exhausted or room < self._batch_limit else self._batch

    def adapt(self, began_s: float, size: int) -> None:
        """A batch of `size` items has been read since `began_s` of the monotonic clock."""
        if time.monotonic() - began_s > _QUICK_S:
            self._batch = 1
        elif size == self._batch:
            self._batch = min(self._batch_limit, self._batch * 2)

    def admit(self) -> int:
        """Takes an item in; its place."""
        self._taken_in += 1
        return self._taken_in - 1

    def put(self, place: int, result: TaskResult) -> None:
        """The result of the item at `place` is there."""
        if not self._in_order:
            self._ready.append(result)
            return
        self._early[place] = result
        while (following := self._early.pop(self._given_out + len(self._ready), None)) is not None:
            self._ready.append(following)

    def take(self) -> TaskResult | None:
        """The next result to give out, None while there is none."""
        if not self._ready:
            return None
        self._given_out += 1
        return self._ready.popleft()
