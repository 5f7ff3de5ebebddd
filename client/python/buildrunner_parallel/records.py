"""What the coordinator tells, as frozen records with plain Python types; field names are the protocol's.

Times are aware datetimes in UTC or None. No I/O, and nothing here imports the stubs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .enums import (
    AuditMode,
    EntityKind,
    FailureAction,
    IsolationMode,
    LockKind,
    LockMode,
    Outcome,
    OutputChannel,
    SessionDriver,
    SessionStatus,
    TaskStatus,
    WaitKind,
    WorkerStatus,
)
from .jsonable import record_to_json
from .lock_records import (
    Grant,
    LockConflict,
    LockHolder,
    LockListing,
    LockPeriodStatistics,
    LockReport,
    LockSessionStatistics,
    LockStatistics,
    LockWaiter,
    LockWaitFigures,
    PathLock,
)
from .record_base import Record
from .specs import ExternalWork, FailurePolicy, PathRequest, Payload, TaskSpec

OVER_SESSION = frozenset({SessionStatus.COMPLETED, SessionStatus.FAILED, SessionStatus.CANCELLED})
OVER_TASK = frozenset({TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.SKIPPED})


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TaskCounts(Record):
    """How many of a session's tasks are in each state."""

    blocked: int = 0
    queued: int = 0
    assigned: int = 0
    running: int = 0
    cancelling: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    skipped: int = 0

    @property
    def done(self) -> int:
        """Tasks that are over, however they ended."""
        return self.succeeded + self.failed + self.cancelled + self.skipped

    @property
    def total(self) -> int:
        return self.done + self.blocked + self.queued + self.assigned + self.running + self.cancelling


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ReportedProgress(Record):
    """What the owner of a session says about work that the coordinator does not see."""

    completed: int = 0
    failed: int = 0
    in_progress: int = 0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Session(Record):
    """A set of tasks that begins, is watched and ends together."""

    session_id: str
    name: str = ""
    workspace_id: str = ""
    status: SessionStatus = SessionStatus.CREATED
    cancelling: bool = False
    open: bool = False
    driver: SessionDriver = SessionDriver.TASKS
    declared_tasks: int = 0
    counts: TaskCounts = TaskCounts()
    reported: ReportedProgress = ReportedProgress()
    on_failure: FailurePolicy = FailurePolicy()
    max_parallel: int = 0
    wanted_workers: int = 0
    worker_id: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    modified_files: tuple[str, ...] = ()
    reason: str = ""
    revision: int = 0
    held_locks: int = 0
    locks_released: bool = False
    run: int = 0

    @property
    def is_over(self) -> bool:
        return self.status in OVER_SESSION

    @property
    def total_tasks(self) -> int:
        """How many tasks there will be as far as anybody has said: declared, submitted or reported."""
        reported = self.reported
        told = reported.completed + reported.failed + reported.in_progress
        return max(self.declared_tasks, self.counts.total, told)

    @property
    def done_tasks(self) -> int:
        """How many of them are over."""
        return max(self.counts.done, self.reported.completed + self.reported.failed)

    @property
    def failed_tasks(self) -> int:
        """How many of those failed, counted or reported."""
        return max(self.counts.failed, self.reported.failed)

    @property
    def progress_percent(self) -> float:
        """0 to 100, never above; 100 for a completed session whatever was counted."""
        if self.status == SessionStatus.COMPLETED:
            return 100.0
        return min(100.0, 100.0 * self.done_tasks / self.total_tasks) if self.total_tasks else 0.0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Wait(Record):
    """Why a task is not running; `message` is one sentence for people."""

    kind: WaitKind
    message: str = ""
    names: tuple[str, ...] = ()
    holders: tuple[LockHolder, ...] = ()
    until: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TaskSummary(Record):
    """A task as lists and watchers need it; times and outcome are those of its last attempt."""

    session_id: str
    task_id: str
    status: TaskStatus = TaskStatus.QUEUED
    title: str = ""
    attempt: int = 0
    worker_id: str = ""
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: str = ""
    exit_code: int | None = None
    wait: Wait | None = None
    progress_percent: float = 0.0
    progress_message: str = ""
    revision: int = 0
    priority: int = 0
    reason: str = ""
    outcome: Outcome | None = None
    pid: int = 0
    files: tuple[str, ...] = ()
    fence: int = 0
    attempt_id: str = ""

    @property
    def is_over(self) -> bool:
        return self.status in OVER_TASK


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ResourceUsage(Record):
    """Processor time in microseconds, and the largest process's peak memory in bytes."""

    user_cpu_us: int = 0
    system_cpu_us: int = 0
    max_rss_bytes: int = 0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Attempt(Record):
    """One run of a task by one worker; `outcome` is None while it lives."""

    attempt_id: str
    number: int = 0
    fence: int = 0
    worker_id: str = ""
    host: str = ""
    pid: int = 0
    outcome: Outcome | None = None
    exit_code: int | None = None
    signal: int = 0
    error: str = ""
    result: Payload | None = None
    usage: ResourceUsage | None = None
    assigned_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    output_bytes: int = 0
    output_dropped_bytes: int = 0
    slot: int = 0
    modified_files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    assigned_revision: int = 0
    started_revision: int = 0
    ended_revision: int = 0
    branch: str = ""
    """With a worktree of its own: what it did is there, up to `commit`; `merged`: on the session's, too."""
    commit: str = ""
    merged: bool = False
    patch_bytes: int = 0
    """Of what `Client.get_patch` gives; 0: no patch was kept."""
    patch_dropped_bytes: int = 0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Patch(Record):
    """What that attempt changed, as `git apply` takes it; so many bytes were cut off at its end."""

    attempt: int
    patch: bytes = b""
    dropped_bytes: int = 0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EndedAttempt(Record):
    """An attempt that is over, as `Client.iter_attempts` yields it; `task_number` counts from 1 in the order
    of submission. `spec` is there when it was asked for."""

    task_id: str
    task_number: int = 0
    attempt: Attempt = Attempt("")
    spec: TaskSpec | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Task(Record):
    """A task in full; attempts are oldest first."""

    summary: TaskSummary
    spec: TaskSpec
    attempts: tuple[Attempt, ...] = ()
    failures: int = 0
    crashes: int = 0
    run: int = 0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PoolTask(Record):
    """A task for external workers that is not over, with what it carries."""

    summary: TaskSummary
    spec: TaskSpec


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TaskExplanation(Record):
    """Everything that keeps a task from running, the most telling first."""

    task_id: str
    status: TaskStatus = TaskStatus.QUEUED
    waits: tuple[Wait, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PlanConflict(Record):
    """Two tasks of a plan whose paths keep them from running at the same time."""

    task_id: str
    other_task_id: str = ""
    path: PathRequest | None = None
    other_path: PathRequest | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PlanPreview(Record):
    """The shape of a plan, and what would wait for whom; `level_widths[n]` counts the tasks behind exactly
    n others."""

    task_count: int = 0
    need_count: int = 0
    longest_chain: tuple[str, ...] = ()
    level_widths: tuple[int, ...] = ()
    conflicts: tuple[PlanConflict, ...] = ()
    conflict_count: int = 0
    waits: tuple[TaskExplanation, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class WorkerKinds(Record):
    """What a worker is able to run."""

    commands: bool = False
    handlers: tuple[str, ...] = ()
    external: bool = False


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TaskRef(Record):
    """Names a task, and one of its attempts where `attempt` is not 0; in `Worker.tasks` with its id and
    fence."""

    session_id: str
    task_id: str
    attempt: int = 0
    attempt_id: str = ""
    fence: int = 0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Worker(Record):
    """A worker as the coordinator knows it; `session_id` is set when it serves that one alone."""

    worker_id: str
    status: WorkerStatus = WorkerStatus.IDLE
    draining: bool = False
    host: str = ""
    pid: int = 0
    version: str = ""
    slots: int = 0
    labels: tuple[str, ...] = ()
    kinds: WorkerKinds = WorkerKinds()
    pool: str = ""
    session_id: str = ""
    tasks: tuple[TaskRef, ...] = ()
    tasks_succeeded: int = 0
    tasks_failed: int = 0
    registered_at: datetime | None = None
    last_heartbeat_at: datetime | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    revision: int = 0
    connected: bool = False
    slots_taken: int = 0
    lease_ms: int = 0
    """Its own; 0: the coordinator's."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Pool(Record):
    """How many workers the keeper of `host` (empty: the coordinator's) runs for a session, or for all."""

    session_id: str = ""
    host: str = ""
    wanted: int = 0
    slots: int = 0
    labels: tuple[str, ...] = ()
    handler_modules: tuple[str, ...] = ()
    revision: int = 0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OutputChunk(Record):
    """A piece of output; `dropped_bytes` were left out right before it, and `offset` counts them."""

    offset: int = 0
    channel: OutputChannel = OutputChannel.STDOUT
    data: bytes = b""
    dropped_bytes: int = 0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TaskOutput(Record):
    """A piece of the output of one attempt, as `Client.read_output` yields it.

    With `attempt_ended`, in whole sessions that are followed, the chunk is empty and no other comes.
    """

    task_id: str
    attempt: int
    chunk: OutputChunk
    attempt_ended: bool = False


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Summary(Record):
    """Counts over everything that the coordinator keeps."""

    sessions_total: int = 0
    sessions_active: int = 0
    sessions_created: int = 0
    sessions_running: int = 0
    sessions_paused: int = 0
    sessions_completed: int = 0
    sessions_failed: int = 0
    sessions_cancelled: int = 0
    workers_total: int = 0
    workers_idle: int = 0
    workers_busy: int = 0
    workers_offline: int = 0
    workers_error: int = 0
    tasks: TaskCounts = TaskCounts()
    locks_held: int = 0
    lock_waiters: int = 0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CoordinatorInfo(Record):
    """What a coordinator is and how it does."""

    version: str = ""
    address: str = ""
    pid: int = 0
    host: str = ""
    data_directory: str = ""
    store_id: str = ""
    epoch: int = 0
    revision: int = 0
    started_at: datetime | None = None
    uptime_ms: int = 0
    capabilities: tuple[str, ...] = ()
    max_message_bytes: int = 0
    workspace_id: str = ""
    workspace_root: str = ""
    summary: Summary = Summary()
    store: str = ""
    draining: bool = False


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class HistoryEvent(Record):
    """Something that happened to a session, a task or a worker; `message` is one sentence for people."""

    revision: int = 0
    at: datetime | None = None
    kind: str = ""
    session_id: str = ""
    task_id: str = ""
    attempt: int = 0
    worker_id: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Removed(Record):
    """An entity that is no more; `id` is a session, task, worker or lock id, for a pool its host."""

    kind: EntityKind
    id: str = ""
    session_id: str = ""


__all__ = [
    "Attempt", "AuditMode", "CoordinatorInfo", "EndedAttempt", "EntityKind", "ExternalWork", "FailureAction",
    "FailurePolicy", "Grant", "HistoryEvent", "IsolationMode", "LockConflict", "LockHolder", "LockKind",
    "LockListing", "LockMode", "LockPeriodStatistics", "LockReport", "LockSessionStatistics",
    "LockStatistics", "LockWaitFigures", "LockWaiter", "Outcome", "OutputChannel", "OutputChunk", "PathLock",
    "PathRequest", "Payload", "PlanConflict", "PlanPreview", "Pool", "PoolTask", "Removed",
    "ReportedProgress", "ResourceUsage", "Session", "SessionDriver", "SessionStatus", "Summary", "Task",
    "TaskCounts", "TaskExplanation", "TaskOutput", "TaskRef", "TaskSpec", "TaskStatus", "TaskSummary", "Wait",
    "WaitKind", "Worker", "WorkerKinds", "WorkerStatus", "record_to_json",
]  # fmt: skip
