"""Which changes of a watched session are worth a line, for those who read lines. Pure: no clock, no I/O.

Remembers how the last tasks were told only, so that a session of a million costs what one of thousands does.
"""

from __future__ import annotations

from buildrunner_parallel.records import Removed, Session, TaskSummary

from .fold import Event, TaskKey, waits_for_locks

REMEMBERED_TASKS = 20_000
_Told = tuple[object, ...]


class TaskNews:
    """Fed with the events of one feed."""

    def __init__(self, remembered: int = REMEMBERED_TASKS) -> None:
        self._remembered = remembered
        self._told: dict[TaskKey, _Told] = {}
        self.revision = 0
        self.sessions: dict[str, Session] = {}

    def take(self, event: Event) -> list[TaskSummary]:
        """The tasks that changed in a way worth a line, in order.

        What a snapshot tells is not new, unless it came after a break and differs from what was told.
        """
        if event.connection != "ok":
            return []
        self.revision = event.revision or self.revision
        if event.reset:
            self.sessions = {}
        news = []
        for change in event.changes:
            if isinstance(change, TaskSummary):
                if self._is_news(change, event.snapshot):
                    news.append(change)
            elif isinstance(change, Session):
                self.sessions[change.session_id] = change
            elif isinstance(change, Removed):
                self.sessions.pop(change.id, None)
        return news

    def _is_news(self, task: TaskSummary, in_snapshot: bool) -> bool:
        key = (task.session_id, task.task_id)
        before, now = self._told.pop(key, None), _told(task)
        self._told[key] = now
        if len(self._told) > self._remembered:
            del self._told[next(iter(self._told))]
        if before is None:
            return not in_snapshot
        # That a wait is over is told by what comes after it.
        return before[:2] != now[:2] or (waits_for_locks(task) and before != now)


def _told(task: TaskSummary) -> _Told:
    if waits_for_locks(task) and task.wait is not None:
        return (task.status, task.attempt, task.wait.names, task.wait.holders)
    return (task.status, task.attempt)
