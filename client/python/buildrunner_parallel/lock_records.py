"""What the coordinator tells of path locks, as records; public through records.py.

Who holds what, who waits for whom, and what was waited for. No I/O, and nothing here imports the stubs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .enums import LockKind, LockMode
from .record_base import Record
from .specs import PathRequest


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LockHolder(Record):
    """Who holds a lock or waits for one: a task, or without `task_id` somebody in the session's name.
    `grant_id` is there for what was taken by hand or by a program."""

    session_id: str = ""
    session_name: str = ""
    task_id: str = ""
    attempt_id: str = ""
    worker_id: str = ""
    host: str = ""
    grant_id: str = ""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PathLock(Record):
    """A path that is held. `freed_at` is set once its holder is lost: it is free from then on."""

    lock_id: str
    workspace_id: str = ""
    path: str = ""
    mode: LockMode = LockMode.EXCLUSIVE
    kind: LockKind = LockKind.FILE
    holder: LockHolder = LockHolder()
    fence: int = 0
    acquired_at: datetime | None = None
    lease_ends_at: datetime | None = None
    freed_at: datetime | None = None
    revision: int = 0
    grant_id: str = ""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Grant(Record):
    """Paths that were taken together, with one `locks` entry for each path asked for, in that order.

    `lease_ms` is how long it lasts after each renewal; 0: until it is released or its session ends.
    `already_held`: it was there before the request, and is whoever's who took it to give back.
    """

    grant_id: str
    fence: int = 0
    locks: tuple[PathLock, ...] = ()
    session_id: str = ""
    lease_ms: int = 0
    waited_ms: int = 0
    already_held: bool = False

    @property
    def paths(self) -> tuple[str, ...]:
        """As they are compared: from the repository's root, folded and normalised."""
        return tuple(lock.path for lock in self.locks)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LockConflict(Record):
    """One reason for a refusal: who has what of the asked.

    `queue_position` 0 is a holder, n the nth of those who wait, and came first. `silent_ms` is, of what a
    session itself holds, how long ago anybody last did anything with that session.
    """

    asked_path: str = ""
    held_path: str = ""
    held_mode: LockMode = LockMode.EXCLUSIVE
    holder: LockHolder = LockHolder()
    held_ms: int = 0
    queue_position: int = 0
    silent_ms: int = 0
    asked_mode: LockMode = LockMode.EXCLUSIVE
    held_kind: LockKind = LockKind.FILE
    lock_id: str = ""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LockWaiter(Record):
    """Somebody in the queue, `position` 1 first; `conflicts` are what is in the way now."""

    waiter: LockHolder = LockHolder()
    paths: tuple[PathRequest, ...] = ()
    waited_ms: int = 0
    position: int = 0
    conflicts: tuple[LockConflict, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LockListing(Record):
    """What is held, and who waits."""

    locks: tuple[PathLock, ...] = ()
    waiters: tuple[LockWaiter, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LockWaitFigures(Record):
    """Waits that are over; `given_up` of them ended without the locks. Percentiles over all of them."""

    waits: int = 0
    given_up: int = 0
    wait_p50_ms: int = 0
    wait_p95_ms: int = 0
    wait_max_ms: int = 0
    wait_total_ms: int = 0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LockStatistics(Record):
    """A path that was waited for, and who held it longest while somebody waited."""

    path: str = ""
    figures: LockWaitFigures = LockWaitFigures()
    longest_held_ms: int = 0
    longest_holder: LockHolder = LockHolder()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LockSessionStatistics(Record):
    """What a session waited for, and what it held longest while others waited."""

    session_id: str = ""
    session_name: str = ""
    figures: LockWaitFigures = LockWaitFigures()
    longest_held_ms: int = 0
    longest_held_path: str = ""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LockPeriodStatistics(Record):
    """The waits of a stretch of time, LockReport.period_ms long."""

    began_at: datetime | None = None
    figures: LockWaitFigures = LockWaitFigures()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LockReport(Record):
    """Which paths are fought over: by path and by session, those waited for longest first, and over time."""

    statistics: tuple[LockStatistics, ...] = ()
    sessions: tuple[LockSessionStatistics, ...] = ()
    periods: tuple[LockPeriodStatistics, ...] = ()
    total: LockWaitFigures = LockWaitFigures()
    period_ms: int = 0
