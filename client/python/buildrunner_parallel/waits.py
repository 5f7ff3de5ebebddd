"""Waiting for a session's or a task's end by watching it, apart from who waits. Pure; yields calls to be
made."""

from __future__ import annotations

import time
from collections.abc import Callable

from . import calls_sessions, calls_tasks
from .calls import Scope, Steps
from .errors import BuildRunnerError, DeadlineError, NotFoundError, UnreachableError
from .feed import WatchEvent
from .records import Removed, Session, Task, TaskSummary


class SessionWait:
    """The newest state of a session, from events; `on_change` sees each one."""

    kinds = ("session",)

    def __init__(self, scope: Scope, session: Session, on_change: Callable[[Session], None] | None) -> None:
        self._scope = scope
        self._on_change = on_change
        self._told: Session | None = None
        self.result = session
        self._tell()

    @property
    def session_id(self) -> str:
        return self.result.session_id

    @property
    def is_over(self) -> bool:
        return self.result.is_over

    @property
    def pending(self) -> str:
        return f"session {self.session_id} is not over yet"

    def take(self, event: WatchEvent) -> Steps[None]:
        """Raises NotFoundError when the session was deleted."""
        for change in event.changes:
            if isinstance(change, Session) and change.session_id == self.session_id:
                self.result = change
            elif isinstance(change, Removed) and change.id == self.session_id:
                raise NotFoundError(f"session {self.session_id} was deleted", reason="SESSION_NOT_FOUND")
        if event.snapshot and event.complete and not self.is_over:
            # One that has ended meanwhile may not be in a snapshot any more.
            self.result = yield from calls_sessions.get_session(self._scope, self.session_id)
        self._tell()

    def _tell(self) -> None:
        if self._on_change is not None and self.result != self._told:
            self._told = self.result
            self._on_change(self.result)


class TaskWait:
    """A task until it is over."""

    kinds = ("task", "session")

    def __init__(self, scope: Scope, task: Task) -> None:
        self._scope = scope
        self.result = task

    @property
    def session_id(self) -> str:
        return self.result.summary.session_id

    @property
    def is_over(self) -> bool:
        return self.result.summary.is_over

    @property
    def pending(self) -> str:
        return f"task {self.result.summary.task_id} is not over yet"

    def take(self, event: WatchEvent) -> Steps[None]:
        """Raises NotFoundError when the task's session was deleted."""
        task_id = self.result.summary.task_id
        ended = any(
            isinstance(change, TaskSummary) and change.task_id == task_id and change.is_over
            for change in event.changes
        )
        gone = any(isinstance(change, Removed) for change in event.changes)
        if ended or gone or (event.snapshot and event.complete):
            self.result = yield from calls_tasks.get_task(self._scope, self.session_id, task_id)


class Deadline:
    """When a wait of the caller's own runs out; `timeout_s` None means never."""

    def __init__(self, timeout_s: float | None) -> None:
        self._at_s = None if timeout_s is None else time.monotonic() + timeout_s

    @property
    def left_s(self) -> float | None:
        return None if self._at_s is None else max(0.001, self._at_s - time.monotonic())


def no_event(ended: bool, pending: str) -> BuildRunnerError:
    """Why a wait came to nothing: its feed has ended, or its time."""
    if ended:
        return UnreachableError(f"{pending}, and the client was closed")
    return DeadlineError(f"{pending}; it goes on without being waited for", reason="TIMEOUT")
