"""What the core answers with, and what it wants sent to workers. Immutable, so that a later batch
cannot change what an earlier one is about to say."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from buildrunner_coordinator.domain.changes import LapseRow, PoolRow, SessionRow, TaskRow
from buildrunner_coordinator.domain.model import LockKind, LockMode, Outcome, PathRequest, TaskStatus, Worker
from buildrunner_coordinator.domain.refusals import Refusal

# ------------------------------------------------------------------- replies


class SessionPage(NamedTuple):
    rows: list[SessionRow]
    next_before: int
    total: int


class Wait(NamedTuple):
    """Why a task does not run. `kind` is the lower-case name of the proto's WaitKind."""

    kind: str
    message: str
    names: tuple[str, ...] = ()
    holders: tuple[Holder, ...] = ()
    until_us: int = 0
    """Wall clock."""


class TaskView(NamedTuple):
    """A task of which at least one part may be in memory only, as it is after this batch."""

    row: TaskRow
    title: str
    priority: int
    files: tuple[PathRequest, ...]
    submitted_at_us: int
    progress_percent: float = 0.0
    progress_message: str = ""
    wait: Wait | None = None


class Submitted(NamedTuple):
    session: SessionRow
    tasks: list[TaskView]
    added: int


class PlanLook(NamedTuple):
    """What only the core can say of a plan that was not submitted."""

    waits: list[tuple[str, TaskStatus, list[Wait]]]
    """Task id, the state that it would begin in, and what its paths would have to wait for."""


class Retried(NamedTuple):
    session: SessionRow
    revived: int
    pending: int = 0
    """So many of them are yet to be revived."""


class WorkerView(NamedTuple):
    """A copy of a worker's fields. `tasks` are (session id, task id, attempt number, fence)."""

    worker: Worker
    """A copy; its `attempts` are empty."""
    tasks: tuple[tuple[str, str, int, int], ...]
    attempt_ids: tuple[str, ...] = ()
    """Of the same, in the same order."""


class PoolTaskPage(NamedTuple):
    """`specs` are what the submitters said, encoded, in the same order; `next_after` is 0 at the end."""

    tasks: list[TaskView]
    specs: list[bytes]
    next_after: int
    total: int


class WorkerPage(NamedTuple):
    workers: list[WorkerView]
    next_after: int
    total: int


class Registered(NamedTuple):
    worker_id: str
    generation: int
    adopted: tuple[str, ...]
    """Attempt ids, of the held ones, that are still the worker's."""


class HeartbeatAnswer(NamedTuple):
    known: bool
    """False: the worker must register anew."""
    unknown_attempt_ids: tuple[str, ...]
    draining: bool


class OutputAck(NamedTuple):
    attempt_id: str
    fence: int
    offset: int
    stale: bool


class Holder(NamedTuple):
    session_id: str
    session_name: str
    task_id: str
    attempt_id: str
    worker_id: str
    host: str
    grant_id: str = ""


class LockView(NamedTuple):
    lock_id: str
    path: str
    mode: LockMode
    kind: LockKind
    holder: Holder
    fence: int
    acquired_at_us: int
    freed_us: int
    """Core time at which a lapsed one is freed; 0 otherwise."""
    lease_us: int = 0
    """Core time at which its lease ends unless it is renewed; 0: it has none."""


class LockConflict(NamedTuple):
    """One reason for a refusal."""

    asked: PathRequest
    held: PathRequest
    lock_id: str
    """Empty for a waiter."""
    holder: Holder
    held_us: int
    """How long it has been held, or waited for."""
    position: int
    """0 for a holder; n for the nth waiter ahead."""
    silent_us: int
    """Of a session's own grant: how long ago somebody last drove the session."""


class Acquired(NamedTuple):
    grant_id: str
    fence: int
    locks: tuple[LockView, ...]
    """One for each path asked for, in that order."""
    lease_ms: int
    waited_us: int = 0
    already_held: bool = False
    """The grant was there before the request."""


class Answer(NamedTuple):
    """To somebody who waited for paths by hand; sent to the waiter id."""

    reply: Acquired | Refusal


class Queued(NamedTuple):
    """It waits; the answer (Acquired, or a Refusal) is sent to `waiter_id` once there is one."""

    waiter_id: str
    position: int


class WaiterView(NamedTuple):
    holder: Holder
    files: tuple[PathRequest, ...]
    waited_us: int
    position: int
    """1 is first."""
    conflicts: tuple[LockConflict, ...]
    """What is in its way now; empty: only a place to run at is missing."""


class LockPage(NamedTuple):
    locks: list[LockView]
    waiters: list[WaiterView]


class Summary(NamedTuple):
    sessions: dict[str, int]
    """By status."""
    workers: dict[str, int]
    tasks: dict[str, int]
    locks_held: int
    lock_waiters: int


class Everything(NamedTuple):
    sessions: list[SessionRow]
    tasks: list[TaskView]
    workers: list[WorkerView]
    pools: list[PoolRow]
    locks: list[LockView]
    lapses: list[LapseRow]


class TaskPlace(NamedTuple):
    session_id: str
    view: TaskView | None
    """Set when the task is not over."""
    attempt: int
    """Number of its live or last attempt; 0 if unknown here."""
    session_over: bool
    session_run: int


# --------------------------------------------------------------------- sends


class Disposition(StrEnum):
    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    STALE = "stale"
    OUTPUT_MISSING = "output_missing"


class Assign(NamedTuple):
    attempt_id: str
    fence: int
    session_id: str
    session_name: str
    number: int
    spec: bytes
    generation: int


class Revoke(NamedTuple):
    attempt_id: str
    fence: int


class Stop(NamedTuple):
    """Cancel an attempt."""

    attempt_id: str
    fence: int
    outcome: Outcome
    reason: str


class Acknowledge(NamedTuple):
    attempt_id: str
    fence: int
    disposition: Disposition
    output_offset: int = 0


class Drain(NamedTuple):
    reason: str


Send = Assign | Revoke | Stop | Acknowledge | Drain | Answer
"""Sent to one worker, or to one who waits for paths, in order: `Core.take_sends()` gives (id, Send) pairs."""


# --------------------------------------------------------------------- feed


class Event(NamedTuple):
    """One entity as it is after a batch, for watchers. Exactly one field is set."""

    session: SessionRow | None = None
    task: TaskView | None = None
    worker: WorkerView | None = None
    pool: PoolRow | None = None
    lock: LockView | None = None
    removed: tuple[str, str, str] | None = None
    """(kind, id, session id): kind is session, worker, lock or pool."""
