"""The nouns of the coordinator: sessions, tasks, attempts, workers, pools, lapses.

Plain data, changed by the handlers of this package alone. Times named `*_at_us` are wall-clock
microseconds and only ever shown; times that are compared are core time (see `Time`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Time(NamedTuple):
    """The present moment, twice.

    `us` is core time: it never goes back, not over restarts either, and is what deadlines are
    compared with. `wall_us` is what people's clocks say; it is stored to be shown.
    """

    us: int
    wall_us: int


class SessionStatus(StrEnum):
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TaskStatus(StrEnum):
    BLOCKED = "blocked"
    QUEUED = "queued"
    ASSIGNED = "assigned"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class WorkerStatus(StrEnum):
    IDLE = "idle"
    BUSY = "busy"
    OFFLINE = "offline"
    ERROR = "error"


class Outcome(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    NOT_STARTED = "not_started"
    LOST = "lost"
    REVOKED = "revoked"
    LOCK_LOST = "lock_lost"


class Merge(StrEnum):
    """What became of merging an attempt's branch into its session's."""

    MERGED = "merged"
    NOTHING = "nothing"
    CONFLICT = "conflict"
    FAILED = "failed"


class FailureAction(StrEnum):
    CONTINUE = "continue"
    FINISH_RUNNING = "finish-running"
    STOP_NOW = "stop-now"


class Driver(StrEnum):
    TASKS = "tasks"
    OWNER = "owner"


class LockMode(StrEnum):
    EXCLUSIVE = "exclusive"
    SHARED = "shared"


class LockKind(StrEnum):
    FILE = "file"
    TREE = "tree"
    GLOB = "glob"
    RESOURCE = "resource"


class TaskKind(StrEnum):
    COMMAND = "command"
    HANDLER = "handler"
    EXTERNAL = "external"


SESSION_OVER = frozenset({SessionStatus.COMPLETED, SessionStatus.FAILED, SessionStatus.CANCELLED})
TASK_OVER = frozenset({TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.SKIPPED})
TASK_HELD = frozenset({TaskStatus.ASSIGNED, TaskStatus.RUNNING, TaskStatus.CANCELLING})
"""States in which a worker may have a process of the task."""


class PathRequest(NamedTuple):
    """A path that a task needs, already normalised: see `paths.normalise`."""

    path: str
    mode: LockMode
    kind: LockKind


ISOLATED = "worktree"
"""The place of a task that gets a worktree of its own. No path of a checkout looks like that."""


class Traits(NamedTuple):
    """What the rules need to know of a task beside its paths. Equal ones are shared between tasks."""

    kind: TaskKind = TaskKind.COMMAND
    target: str = ""
    """Handler name, or pool of external workers."""
    labels: tuple[str, ...] = ()
    """Sorted, without repeats."""
    wanted_worker_id: str = ""
    slots: int = 1
    priority: int = 0
    max_retries: int = 0
    backoff_ms: int = 1000
    backoff_max_ms: int = 60_000
    place: str = ""
    """The checkout that it runs in; ISOLATED; or empty: whatever its worker stands in."""
    is_audited: bool = False
    """What it changes is compared with what it declares."""


@dataclass(slots=True)
class Session:
    session_id: str
    workspace_id: str
    name: str
    status: SessionStatus = SessionStatus.CREATED
    ending_as: SessionStatus | None = None
    """Set while attempts are being stopped: the state that follows when the last one is over."""
    open: bool = True
    driver: Driver = Driver.TASKS
    declared_tasks: int = 0
    failure_action: FailureAction = FailureAction.CONTINUE
    failure_limit: int = 1
    max_parallel: int = 0
    wanted_workers: int = 0
    worker_id: str = ""
    metadata_json: str = "{}"
    created_at_us: int = 0
    started_at_us: int = 0
    ended_at_us: int = 0
    ended_us: int = 0
    """Core time of the end, for retention."""
    reason: str = ""
    locks_released: bool = False
    run: int = 1
    reported: tuple[int, int, int] = (0, 0, 0)
    """Completed, failed, in progress: as told by the owner."""
    modified_files: tuple[str, ...] = ()
    order: int = 0
    """1, 2, 3, ... in order of creation."""
    counts: dict[TaskStatus, int] = field(default_factory=lambda: dict.fromkeys(TaskStatus, 0))
    revision: int = 0
    # In memory only:
    slots_taken: int = 0
    """Slots of workers that its tasks have now, those sent ahead among them."""
    heard_us: int = 0
    """Core time of the last sign that somebody drives it."""

    @property
    def is_over(self) -> bool:
        return self.status in SESSION_OVER


@dataclass(slots=True)
class Attempt:
    """One run of a task by one worker, while it lives. Ended ones are rows of the store only."""

    attempt_id: str
    session_id: str
    task_id: str
    number: int
    fence: int
    worker_id: str
    host: str
    generation: int
    assigned_at_us: int
    assigned_us: int
    task_number: int = 0
    assigned_revision: int = 0
    started_revision: int = 0
    started_at_us: int = 0
    pid: int = 0
    slot: int = 0
    stop_as: Outcome | None = None
    """Set once it has been told to stop: the outcome that was ordered."""
    stop_reason: str = ""
    revoking: bool = False
    asked_why: str = ""
    """Why it was asked back. In memory only."""
    output_bytes: int = 0
    """Offset behind the last byte of output that is durable (or in this batch)."""
    output_trimmed: int = 0
    """Up to where what lies behind the kept beginning was removed, since this start."""
    output_dropped_bytes: int = 0
    """Set at its end."""
    unnamed: int = 0
    """Heartbeats in a row that did not name it."""

    @property
    def started(self) -> bool:
        return self.started_at_us > 0


@dataclass(slots=True)
class Task:
    session_id: str
    task_id: str
    index: int
    """Order of submission, over all sessions."""
    title: str
    spec: bytes
    """What the submitter said, encoded once; opaque here."""
    traits: Traits
    needs: tuple[str, ...] = ()
    files: tuple[PathRequest, ...] = ()
    status: TaskStatus = TaskStatus.QUEUED
    attempt: Attempt | None = None
    attempts: int = 0
    failures: int = 0
    crashes: int = 0
    run: int = 1
    not_before_us: int = 0
    """Core time before which it may not be placed (backoff, lock delay)."""
    avoid: tuple[str, ...] = ()
    """Workers on which it failed in this run."""
    submitted_at_us: int = 0
    number: int = 0
    """Its place in the session, from 1."""
    submitted_revision: int = 0
    given_back: int = 0
    """How often in all a worker gave it back before it started."""
    started_at_us: int = 0
    ended_at_us: int = 0
    worker_id: str = ""
    """Of the last attempt."""
    pid: int = 0
    fence: int = 0
    outcome: Outcome | None = None
    exit_code: int | None = None
    error: str = ""
    reason: str = ""
    progress_percent: float = 0.0
    progress_message: str = ""
    waits_for: tuple[str, ...] = ()
    """While it waits for path locks: the held paths that are in its way."""
    ticket: int = 0
    """Its place in the order of those who wait for path locks. Kept while it stands aside; see waiting.py."""
    waits_since_us: int = 0
    waits_on: tuple[str, ...] = ()
    """The owners in the lock table who hold them, or asked for them before."""
    needs_left: int = 0
    """How many of its needs have not succeeded yet."""
    chain: int = 0
    """How many tasks stand behind it on the longest chain of dependents; see chains.py. In memory only."""
    revision: int = 0

    @property
    def key(self) -> tuple[str, str]:
        return (self.session_id, self.task_id)


class Kinds(NamedTuple):
    """What a worker can run."""

    commands: bool = False
    handlers: tuple[str, ...] = ()
    external: bool = False


PASSIVE = "passive"
"""A capability of external workers: they look up what they have, and are sent nothing."""


@dataclass(slots=True)
class Worker:
    worker_id: str
    host: str = ""
    pid: int = 0
    version: str = ""
    slots: int = 1
    labels: tuple[str, ...] = ()
    kinds: Kinds = Kinds()
    pool: str = ""
    session_id: str = ""
    metadata_json: str = "{}"
    capabilities: tuple[str, ...] = ()
    workspace_id: str = ""
    status: WorkerStatus = WorkerStatus.IDLE
    draining: bool = False
    generation: int = 0
    registered_at_us: int = 0
    heartbeat_at_us: int = 0
    offline_us: int = 0
    """Core time at which it went OFFLINE; 0 while it is not."""
    succeeded: int = 0
    failed: int = 0
    faults: int = 0
    """Starts in a row that failed by its own fault."""
    order: int = 0
    lease_ms: int = 0
    """Its own lease; 0: the coordinator's."""
    # In memory only:
    lease_until_us: int = 0
    lease_watched: bool = False
    """A timer will look at the lease."""
    lost: list[str] = field(default_factory=list)
    """Attempts that were taken from it since it was last heard; it may not know that yet."""
    credit: int = 0
    connected: bool = False
    attempts: dict[str, Attempt] = field(default_factory=dict)
    slots_taken: int = 0
    revision: int = 0

    @property
    def is_passive(self) -> bool:
        """It is sent nothing; see external.py."""
        return self.kinds.external and PASSIVE in self.capabilities


@dataclass(slots=True)
class Pool:
    session_id: str
    host: str
    wanted: int
    slots: int = 1
    labels: tuple[str, ...] = ()
    handler_modules: tuple[str, ...] = ()
    revision: int = 0
    asked_us: int = field(default=0, compare=False)
    """Core time when more workers were asked for; not kept, so 0 once the coordinator was started again."""


@dataclass(slots=True)
class Lapse:
    """What an attempt leaves behind when its worker is lost: locks that stay held for the lock delay."""

    attempt_id: str
    session_id: str
    task_id: str
    worker_id: str
    host: str
    fence: int
    acquired_at_us: int
    until_us: int
    files: tuple[PathRequest, ...] = ()
    since_us: int = 0
    """Core time since when they are held; about right behind a restart."""


@dataclass(slots=True)
class Grant:
    """Paths taken by hand or by a program, as GrantRow; see `grants.py`."""

    grant_id: str
    session_id: str
    attempt_id: str
    root_id: str
    fence: int
    files: tuple[PathRequest, ...]
    acquired_at_us: int
    acquired_us: int
    lease_ms: int = 0
    host: str = ""
    until_us: int = 0
    suspended: bool = False
    client_id: str = ""
    request_id: str = ""
    digest: bytes = b""
    revision: int = 0
    # In memory only:
    lease_until_us: int = 0
    _listed: tuple[PathRequest, ...] = field(default=(), compare=False, repr=False)
    _by_key: dict[tuple[str, LockKind], PathRequest] = field(default_factory=dict, compare=False, repr=False)

    def file(self, path: str, kind: LockKind) -> PathRequest | None:
        """The one of its paths that is just that, in whatever mode."""
        if self._listed is not self.files:
            self._listed, self._by_key = self.files, {(one.path, one.kind): one for one in self.files}
        return self._by_key.get((path, kind))


@dataclass(slots=True)
class LockRequest:
    """Somebody who waits for paths by hand or by a program; as LockRequestRow."""

    waiter_id: str
    session_id: str
    attempt_id: str
    root_id: str
    files: tuple[PathRequest, ...]
    ticket: int
    since_at_us: int
    since_us: int
    deadline_us: int = 0
    lease_ms: int = 0
    host: str = ""
    client_id: str = ""
    request_id: str = ""
    digest: bytes = b""
    revision: int = 0
    # In memory only:
    attached: bool = True
    """False behind a restart, until it asks again: nobody is granted what nobody would hear of."""
    waits_for: tuple[str, ...] = ()
    """Paths, of those asked for, that were taken when it was last looked at."""


class Settings(NamedTuple):
    """Intervals and limits of the coordinator. All settable when it starts."""

    heartbeat_interval_ms: int = 10_000
    lease_ms: int = 30_000
    lock_delay_ms: int = 10_000
    stop_after_ms: int = 28_000
    kill_after_ms: int = 36_000
    crash_limit: int = 3
    worker_fault_limit: int = 3
    request_ttl_ms: int = 3_600_000
    requests_per_client: int = 10_000
    offline_ttl_ms: int = 86_400_000
    retention_ms: int = 7 * 86_400_000
    """0: ended sessions are kept for ever."""
    steal_after_ms: int = 100
    """An assignment that has waited so long for its start may be given to an idle worker."""
    output_head_bytes: int = 8 << 20
    output_tail_bytes: int = 2 << 20
    report_repeat_ms: int = 5_000
    lock_age_ms: int = 30_000
    """Who has waited so long for path locks is served before all others once they are free."""
    slot_age_ms: int = 2_000
    """A task of several slots that was passed over for so long gets room kept free for it."""
