"""Tasks of one session that are yet to run again. Plain bookkeeping; reviving.py has the rules."""

from __future__ import annotations

from collections.abc import Iterator

from buildrunner_coordinator.domain.changes import SpecRow, TaskRow
from buildrunner_coordinator.domain.model import TaskStatus

Pair = tuple[SpecRow, TaskRow]


class Revival:
    """What a retry has chosen, first come, first out."""

    def __init__(self, chosen: list[Pair]) -> None:
        self._pairs = {row.task_id: (spec, row) for spec, row in reversed(chosen)}
        self.failed = sum(row.status == TaskStatus.FAILED for _, row in chosen)
        """How many of them count as failed for as long as they are here."""

    def __len__(self) -> int:
        return len(self._pairs)

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._pairs

    def take(self, limit: int) -> Iterator[Pair]:
        """The next ones, which are no longer in here."""
        for _ in range(min(limit, len(self._pairs))):
            _, (spec, row) = self._pairs.popitem()
            self.failed -= row.status == TaskStatus.FAILED
            yield spec, row
