"""The waiting part of the client: watching, and waiting for an end, each with one Watch call."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from .client_sessions import SessionCalls
from .client_tasks import TaskCalls
from .errors import DeadlineError, NotFoundError, UnreachableError
from .records import Removed, Session, Task, TaskSummary
from .watch import Cursor, Watcher, WatchEvent, watch_request


class WaitCalls(SessionCalls, TaskCalls):
    """Watching and waiting. Both go on through restarts of the coordinator."""

    def watch(
        self,
        *,
        session_ids: Sequence[str] = (),
        kinds: Sequence[str] = (),
        ended_tasks: bool = False,
        since_revision: int | None = None,
        reconnect: bool = True,
        store_id: str = "",
        on_event: Callable[[], None] | None = None,
    ) -> Watcher:
        """A snapshot and every change after it, or the changes after `since_revision` alone.

        Tasks come only with `session_ids`; `kinds` are session, task, worker, lock, pool, none means all.
        `store_id` is that of `info()` when the revision is from an earlier run of the program.
        """
        template = watch_request(session_ids, kinds, ended_tasks)
        cursor = Cursor(template, since_revision, store_id)
        return Watcher(self._connection, cursor, reconnect=reconnect, on_event=on_event)

    def wait_session(
        self,
        session_id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[Session], None] | None = None,
    ) -> Session:
        """The session once it is over; `on_change` sees each state of it on the way.

        Raises DeadlineError after `timeout_s` seconds, NotFoundError when it is deleted meanwhile.
        """
        session = self.get_session(session_id)
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        last = None
        with self.watch(session_ids=[session.session_id], kinds=["session"]) as watcher:
            while not session.is_over:
                if on_change is not None and session != last:
                    on_change(session)
                last = session
                event = _next_event(watcher, deadline_s, f"session {session.session_id} is not over yet")
                session = self._newest_session(event, session)
        if on_change is not None and session != last:
            on_change(session)
        return session

    def _newest_session(self, event: WatchEvent, session: Session) -> Session:
        for change in event.changes:
            if isinstance(change, Session) and change.session_id == session.session_id:
                session = change
            elif isinstance(change, Removed) and change.id == session.session_id:
                raise NotFoundError(f"session {session.session_id} was deleted", reason="SESSION_NOT_FOUND")
        if event.snapshot and event.complete and not session.is_over:
            # One that has ended meanwhile may not be in a snapshot any more.
            return self.get_session(session.session_id)
        return session

    def wait_task(self, session_id: str, task_id: str, *, timeout_s: float | None = None) -> Task:
        """The task once it is over. Raises DeadlineError after `timeout_s` seconds, NotFoundError."""
        task = self.get_task(session_id, task_id)
        full_id = task.summary.session_id
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        if task.summary.is_over:
            return task
        with self.watch(session_ids=[full_id], kinds=["task", "session"]) as watcher:
            while True:
                event = _next_event(watcher, deadline_s, f"task {task_id} is not over yet")
                ended = any(
                    isinstance(change, TaskSummary) and change.task_id == task_id and change.is_over
                    for change in event.changes
                )
                gone = any(isinstance(change, Removed) for change in event.changes)
                if ended or gone or (event.snapshot and event.complete):
                    task = self.get_task(full_id, task_id)
                    if task.summary.is_over:
                        return task


def _next_event(watcher: Watcher, deadline_s: float | None, pending: str) -> WatchEvent:
    left_s = None if deadline_s is None else max(0.001, deadline_s - time.monotonic())
    event = watcher.poll(left_s)
    if event is None and watcher.ended:
        raise UnreachableError(f"{pending}, and the client was closed")
    if event is None:
        raise DeadlineError(f"{pending}; it goes on without being waited for", reason="TIMEOUT")
    return event
