"""What the core knows: sessions, unfinished tasks, workers, locks. Plain state, without a rule of its own.

The handlers of this package change it; `core.py` is the door to them.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from buildrunner_coordinator.domain.changes import MetaRow
from buildrunner_coordinator.domain.journal import Journal
from buildrunner_coordinator.domain.locks import LockTable
from buildrunner_coordinator.domain.model import (
    Grant,
    Lapse,
    LockRequest,
    PathRequest,
    Pool,
    Session,
    Settings,
    Task,
    TaskStatus,
    Time,
    Worker,
)
from buildrunner_coordinator.domain.queueing import Queue
from buildrunner_coordinator.domain.recent import RecentReports
from buildrunner_coordinator.domain.replies import Send
from buildrunner_coordinator.domain.requests import RequestLog
from buildrunner_coordinator.domain.revivals import Revival
from buildrunner_coordinator.domain.timers import Timers


class Departed(NamedTuple):
    """An attempt that is over, as far as the audit of others must know it; see audits.py."""

    attempt_id: str
    name: str
    session_id: str
    host: str
    place: str
    files: tuple[PathRequest, ...]
    ended_us: int


class State:
    """Everything that is live."""

    def __init__(self, meta: MetaRow, settings: Settings, now: Time) -> None:
        self.settings = settings
        self.now = now
        self.store_id = meta.store_id
        self.workspace_id = meta.workspace_id
        self.epoch = meta.epoch
        self.revision = meta.revision
        self.last_us = meta.last_us
        self.next_fence = meta.next_fence
        self.next_index = meta.next_index
        self.next_order = meta.next_order
        self.next_ticket = meta.next_ticket
        self.folds_case = bool(meta.folds_case)
        self.sessions: dict[str, Session] = {}
        self.tasks: dict[str, dict[str, Task]] = {}
        """Tasks that are not over, by session and id."""
        self.ended: dict[str, dict[str, TaskStatus]] = {}
        """Tasks that are over, of sessions that are not."""
        self.dependents: dict[str, dict[str, dict[str, None]]] = {}
        """By session and id of the needed task: the ids of unfinished tasks that need it."""
        self.untold: dict[str, deque[tuple[str, tuple[PathRequest, ...]]]] = {}
        """By session: tasks that are over while some who need them are to be told (see dependents.py)."""
        self.reviving: dict[str, Revival] = {}
        """By session: what a retry has yet to bring back to life (see reviving.py)."""
        self.attempts: dict[str, Task] = {}
        """By id of the live attempt."""
        self.external: set[str] = set()
        """Sessions that have, or had, external tasks."""
        self.workers: dict[str, Worker] = {}
        self.pools: dict[tuple[str, str], Pool] = {}
        self.lapses: dict[str, Lapse] = {}
        self.grants: dict[str, Grant] = {}
        """Paths taken by hand or by a program, those that lapsed or were given up for a time among them."""
        self.session_grants: dict[str, dict[str, Grant]] = {}
        """The same by session."""
        self.accounts: dict[str, dict[tuple[str, str], Grant]] = {}
        """By account (session, attempt or outermost grant with a lease), path and kind: who holds it."""
        self.requesters: dict[str, LockRequest] = {}
        """Those who wait for such, by waiter id."""
        self.locks = LockTable(self.folds_case)
        self.queue = Queue()
        self.timers = Timers()
        self.recent = RecentReports()
        self.requests = RequestLog(settings.request_ttl_ms * 1000, settings.requests_per_client)
        self.journal = Journal()
        self.departed: deque[Departed] = deque()
        """Attempts that ended while an older one lives, in order of their ends. In memory only."""
        self.departed_known_us = now.us
        """Core time since when none is missing there."""
        self.events_swept_us = 0
        """Core time at which old events were last looked for; see history.py."""

    @property
    def meta(self) -> MetaRow:
        return MetaRow(self.store_id, self.workspace_id, self.epoch, self.revision, self.last_us,
                       self.next_fence, self.next_index, self.next_order, self.next_ticket,
                       int(self.folds_case))  # fmt: skip

    def touch(self, session: Session) -> None:
        """The session has changed."""
        self.journal.sessions[session.session_id] = session
        self.hear(session)

    def hear(self, session: Session) -> None:
        """Somebody, or something of it, shows that the session is driven."""
        session.heard_us = self.now.us

    def send(self, worker_id: str, message: Send) -> None:
        """To be sent once the batch is durable."""
        self.journal.sends.append((worker_id, message))
