"""Wakes those who follow output: which tasks of a session had something happen in a durable batch."""

from __future__ import annotations

import asyncio

from buildrunner_coordinator.domain.changes import Changes


class Subscription:
    """News of one session, or of one of its tasks. Subscribe, then read, then wait: nothing is missed."""

    def __init__(self, news: News, session_id: str, task_id: str) -> None:
        self.session_id = session_id
        self.task_id = task_id
        self._news = news
        self._wake = asyncio.Event()
        self._touched: dict[str, None] = {}

    def __enter__(self) -> Subscription:
        self._news.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._news.remove(self)

    def expect(self) -> None:
        """Forgets earlier news. Call it before looking, so that `wait` tells of what came after the look."""
        self._wake.clear()

    async def wait(self) -> None:
        await self._wake.wait()

    @property
    def has_touched(self) -> bool:
        """There is something to take."""
        return bool(self._touched)

    def take(self) -> list[str]:
        """The tasks that had something happen since the last call, in order; what comes now is news again."""
        touched, self._touched = self._touched, {}
        self._wake.clear()
        return list(touched)

    def wake(self, task_id: str = "") -> None:
        if task_id:
            self._touched[task_id] = None
        self._wake.set()


class News:
    """All subscriptions. Costs next to nothing while there is none."""

    def __init__(self) -> None:
        self._by_session: dict[str, set[Subscription]] = {}
        self.closed = False

    def subscribe(self, session_id: str, task_id: str = "") -> Subscription:
        """To be used as a context manager. Without `task_id`: of every task of the session."""
        return Subscription(self, session_id, task_id)

    def add(self, subscription: Subscription) -> None:
        self._by_session.setdefault(subscription.session_id, set()).add(subscription)

    def remove(self, subscription: Subscription) -> None:
        mine = self._by_session.get(subscription.session_id, set())
        mine.discard(subscription)
        if not mine:
            self._by_session.pop(subscription.session_id, None)

    def announce(self, changes: Changes) -> None:
        """Wakes the subscribers whose session or task is among the changed rows."""
        if not self._by_session:
            return
        touched = {(output.session_id, output.task_id) for output in changes.outputs}
        touched.update((task.session_id, task.task_id) for task in changes.tasks)
        for session_id, task_id in touched:
            for subscription in self._by_session.get(session_id, ()):
                if subscription.task_id in ("", task_id):
                    subscription.wake(task_id)
        over = [row.session_id for row in changes.sessions if row.ended_at_us]
        for session_id in (*over, *changes.removed_sessions):
            for subscription in self._by_session.get(session_id, ()):
                subscription.wake()

    def close(self) -> None:
        """Wakes everyone, for the last time."""
        self.closed = True
        for mine in self._by_session.values():
            for subscription in mine:
                subscription.wake()
