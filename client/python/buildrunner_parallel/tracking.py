"""Which tasks a running session awaits, and what the feed tells of them. Pure; yields calls to be made.

    expect -> submit -> (feed: the task is over) -> attempts read -> deliver -> settle

The feed says that a task is over and how; its attempts, with results, are read in bulk after that. After a
fresh snapshot, which has no ended tasks, the awaited ones are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from . import calls_sessions, calls_tasks
from .calls import PageWalk, Scope, Steps
from .convert import change_from_wire
from .enums import EntityKind
from .errors import BuildRunnerError, NotFoundError
from .feed import Cursor, Entity, WatchEvent, watch_request
from .records import OVER_TASK, Attempt, Removed, Session, TaskSummary
from .task_results import TaskResult, result_of
from .v1 import event_service_pb2, types_pb2

# Up to here awaited tasks are asked for one by one, beyond it all ended ones of the session are listed.
_ASK_EACH = 200
_OVER_NUMBERS = frozenset(types_pb2.TaskStatus.Value(f"TASK_STATUS_{status.name}") for status in OVER_TASK)


@dataclass(slots=True)
class Awaited:
    """Who is to be told of a task's end; `sent` once its submission was answered."""

    deliver: Callable[[TaskResult], None]
    fail: Callable[[BuildRunnerError], None]
    item: Any = None
    sent: bool = False


def session_cursor(session_id: str) -> Cursor:
    """Where the feed of a running session begins."""
    return Cursor(watch_request([session_id], ["session", "task"]), read=read_end)


def read_end(change: event_service_pb2.Change) -> Entity | None:
    """The record of a change, unless it is a task that is not over: most of them are, and nobody asks."""
    if change.WhichOneof("entity") == "task" and change.task.status not in _OVER_NUMBERS:
        return None
    return change_from_wire(change)


class Tracking:
    """The tasks awaited in one session.

    One thread takes events while others expect and forget: each touches the table in single steps only.
    """

    def __init__(self, scope: Scope, session: Session) -> None:
        self._scope = scope
        self.session = session
        self.awaited: dict[str, Awaited] = {}
        self._attempts: dict[str, Attempt] = {}
        # Ends up to this revision have been read, None before the first snapshot.
        self._read_to: int | None = None

    def expect(self, task_id: str, awaited: Awaited) -> None:
        """To be called before the task is submitted: its end may be told before the submission's answer."""
        self.awaited[task_id] = awaited

    def sent(self, task_ids: Iterable[str]) -> None:
        for task_id in task_ids:
            awaited = self.awaited.get(task_id)
            if awaited is not None:
                awaited.sent = True

    def forget(self, task_ids: Iterable[str]) -> None:
        """Of tasks that were refused, that nobody wants to hear of any more, or that have been delivered."""
        for task_id in task_ids:
            self.awaited.pop(task_id, None)
            self._attempts.pop(task_id, None)

    def take(self, events: Sequence[WatchEvent]) -> Steps[list[tuple[Awaited, TaskResult]]]:
        """What there is to deliver after these events. Raises NotFoundError when the session was deleted."""
        ended: dict[str, TaskSummary] = {}
        for event in events:
            self._fold(event, ended)
        snapshots = [event.revision for event in events if event.snapshot and event.complete]
        if snapshots:
            yield from self._catch_up(snapshots[-1], ended)
        if any(summary.attempt for summary in ended.values()):
            yield from self._read_attempts()
        results = []
        for task_id, summary in ended.items():
            awaited = self.awaited.get(task_id)
            if awaited is not None:
                attempt = yield from self._attempt_of(summary)
                results.append((awaited, result_of(summary, attempt, awaited.item)))
        return results

    def _fold(self, event: WatchEvent, ended: dict[str, TaskSummary]) -> None:
        for change in event.changes:
            if isinstance(change, TaskSummary):
                if change.task_id in self.awaited and change.is_over:
                    ended[change.task_id] = change
            elif isinstance(change, Session):
                self.session = change
            elif isinstance(change, Removed) and change.kind == EntityKind.SESSION:
                raise NotFoundError(
                    f"session {self.session.session_id} was deleted", reason="SESSION_NOT_FOUND"
                )

    def _catch_up(self, revision: int, ended: dict[str, TaskSummary]) -> Steps[None]:
        """After a snapshot: what has ended without being told."""
        session_id = self.session.session_id
        self.session = yield from calls_sessions.get_session(self._scope, session_id)
        if self._read_to is None:
            self._read_to = revision
        missing = [task_id for task_id, awaited in list(self.awaited.items()) if awaited.sent]
        if len(missing) <= _ASK_EACH:
            for task_id in missing:
                task = yield from calls_tasks.get_task(self._scope, session_id, task_id)
                if task.summary.is_over:
                    ended[task_id] = task.summary
            return
        walk = PageWalk(calls_tasks.iter_tasks(self._scope, session_id, statuses=sorted(OVER_TASK)))
        while walk.more:
            for summary in walk.take((yield from walk.next_call())):
                if summary.task_id in self.awaited:
                    ended[summary.task_id] = summary

    def _read_attempts(self) -> Steps[None]:
        """Reads the attempts that have ended since the last time; keeps the newest of each awaited task."""
        pages = calls_tasks.iter_attempts(
            self._scope, self.session.session_id, since_revision=self._read_to or 0
        )
        walk = PageWalk(pages)
        while walk.more:
            for ended in walk.take((yield from walk.next_call())):
                self._read_to = max(self._read_to or 0, ended.attempt.ended_revision)
                if ended.task_id in self.awaited:
                    self._attempts[ended.task_id] = ended.attempt

    def _attempt_of(self, summary: TaskSummary) -> Steps[Attempt | None]:
        attempt = self._attempts.get(summary.task_id)
        if not summary.attempt or (attempt is not None and attempt.number >= summary.attempt):
            return attempt
        # It ended before the first snapshot.
        task = yield from calls_tasks.get_task(self._scope, summary.session_id, summary.task_id)
        return task.attempts[-1] if task.attempts else None

    def give_up(self) -> list[Awaited]:
        """Everybody who waits; nothing is awaited any more."""
        waiting = [self.awaited.pop(task_id, None) for task_id in list(self.awaited)]
        return [awaited for awaited in waiting if awaited is not None]
