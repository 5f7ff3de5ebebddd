"""The asyncio twin of client_waits.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import calls_sessions, calls_tasks
from .aio_base import AsyncClientBase
from .aio_watch import AsyncWatcher
from .convert import change_from_wire
from .feed import Cursor, ReadChange, watch_request
from .records import Session, Task
from .waits import Deadline, SessionWait, TaskWait, no_event


class AsyncWaitCalls(AsyncClientBase):
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
        read: ReadChange = change_from_wire,
    ) -> AsyncWatcher:
        """A snapshot and every change after it, or the changes after `since_revision` alone.

        Tasks come only with `session_ids`; `kinds` are session, task, worker, lock, pool, none means all.
        `store_id` is that of `info()` when the revision is from an earlier run of the program. `read` makes
        the records of changes; those of which it makes None are left out.
        """
        template = watch_request(session_ids, kinds, ended_tasks)
        cursor = Cursor(template, since_revision, store_id, read)
        return AsyncWatcher(self._connection, cursor, reconnect=reconnect, on_event=on_event)

    async def wait_session(
        self,
        session_id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[Session], None] | None = None,
    ) -> Session:
        """The session once it is over; `on_change` sees each state of it on the way.

        Raises DeadlineError after `timeout_s` seconds, NotFoundError when it is deleted meanwhile.
        """
        session = await self._connection.do(calls_sessions.get_session(self, session_id))
        wait = SessionWait(self, session, on_change)
        await self._until(wait, Deadline(timeout_s))
        return wait.result

    async def wait_task(self, session_id: str, task_id: str, *, timeout_s: float | None = None) -> Task:
        """The task once it is over. Raises DeadlineError after `timeout_s` seconds, NotFoundError."""
        wait = TaskWait(self, await self._connection.do(calls_tasks.get_task(self, session_id, task_id)))
        await self._until(wait, Deadline(timeout_s))
        return wait.result

    async def _until(self, wait: SessionWait | TaskWait, deadline: Deadline) -> None:
        if wait.is_over:
            return
        async with self.watch(session_ids=[wait.session_id], kinds=wait.kinds) as watcher:
            while not wait.is_over:
                event = await watcher.poll(deadline.left_s)
                if event is None:
                    raise no_event(watcher.ended, wait.pending)
                await self._connection.do(wait.take(event))
