"""What can be asked of the core. One dataclass a question; its handler says what it does.

`Core.apply(command, now)` returns the reply named in each docstring, or raises nothing: a refusal
is returned. A reply that must show the outcome of placement is given as a function without
arguments, to be called once the batch is placed (`Reply.settle`).
"""

from __future__ import annotations

from dataclasses import dataclass

from buildrunner_coordinator.domain.model import (
    Driver,
    FailureAction,
    Kinds,
    Outcome,
    PathRequest,
    SessionStatus,
    TaskStatus,
    Traits,
    WorkerStatus,
)

# ------------------------------------------------------------------ sessions


@dataclass(slots=True, frozen=True)
class CreateSession:
    """Replies SessionRow. `seed`: 64 random bits, the id is made of them."""

    seed: int
    name: str
    workspace_id: str = ""
    driver: Driver = Driver.TASKS
    declared_tasks: int = 0
    failure_action: FailureAction = FailureAction.CONTINUE
    failure_limit: int = 1
    max_parallel: int = 0
    wanted_workers: int = 0
    metadata_json: str = "{}"


@dataclass(slots=True, frozen=True)
class ReadSession:
    """Replies SessionRow. `session_id` may be a unique prefix, or "last"."""

    session_id: str


@dataclass(slots=True, frozen=True)
class ListSessions:
    """Replies SessionPage, newest first. `before` is the ordinal of the last one seen; 0: from the newest."""

    workspace_id: str = ""
    statuses: tuple[SessionStatus, ...] = ()
    before: int = 0
    limit: int = 100


@dataclass(slots=True, frozen=True)
class StartSession:
    """Replies SessionRow."""

    session_id: str
    worker_id: str = ""
    wanted_workers: int | None = None


@dataclass(slots=True, frozen=True)
class PauseSession:
    """Replies SessionRow."""

    session_id: str
    now: bool = False
    release_locks: bool = False


@dataclass(slots=True, frozen=True)
class ResumeSession:
    """Replies SessionRow."""

    session_id: str
    worker_id: str = ""


@dataclass(slots=True, frozen=True)
class CancelSession:
    """Replies SessionRow."""

    session_id: str
    reason: str = ""


@dataclass(slots=True, frozen=True)
class CloseSession:
    """Replies SessionRow."""

    session_id: str


@dataclass(slots=True, frozen=True)
class CompleteSession:
    """Replies SessionRow."""

    session_id: str


@dataclass(slots=True, frozen=True)
class FailSession:
    """Replies SessionRow."""

    session_id: str
    reason: str = ""


@dataclass(slots=True, frozen=True)
class UpdateSession:
    """Replies SessionRow. None leaves a setting as it is."""

    session_id: str
    max_parallel: int | None = None
    wanted_workers: int | None = None
    metadata_json: str | None = None
    failure_action: FailureAction | None = None
    failure_limit: int | None = None


@dataclass(slots=True, frozen=True)
class UpdateProgress:
    """Replies SessionRow."""

    session_id: str
    completed: int
    failed: int = 0
    in_progress: int = 0


@dataclass(slots=True, frozen=True)
class MarkFilesModified:
    """Replies SessionRow."""

    session_id: str
    paths: tuple[str, ...]


@dataclass(slots=True, frozen=True)
class DeleteSessions:
    """Replies list[SessionRow]: what was removed, or would be."""

    older_than_us: int = 0
    session_ids: tuple[str, ...] = ()
    workspace_id: str = ""
    dry_run: bool = False


# --------------------------------------------------------------------- tasks


@dataclass(slots=True, frozen=True)
class NewTask:
    """A task as submitted. `spec` is kept and handed to the worker unchanged."""

    task_id: str
    title: str
    spec: bytes
    traits: Traits = Traits()
    needs: tuple[str, ...] = ()
    files: tuple[PathRequest, ...] = ()


@dataclass(slots=True, frozen=True)
class SubmitTasks:
    """Replies Submitted. All or none."""

    session_id: str
    tasks: tuple[NewTask, ...]
    seal: bool = False
    summaries: bool = True
    """False: the reply names no tasks (large plans)."""


@dataclass(slots=True, frozen=True)
class SubmitPlan:
    """Replies Submitted. Creates the session (unless `session_id` is given), fills, seals and starts it."""

    tasks: tuple[NewTask, ...]
    session_id: str = ""
    create: CreateSession | None = None
    seal: bool = True
    start: bool = True


@dataclass(slots=True, frozen=True)
class CancelTask:
    """Replies TaskView."""

    session_id: str
    task_id: str
    reason: str = ""


@dataclass(slots=True, frozen=True)
class RetryTasks:
    """Replies Retried.

    `stored` are the tasks of the session that are over, as the store has them; the core takes those
    that are asked for (`task_ids`; empty: all that failed, were skipped or cancelled).
    """

    session_id: str
    stored: tuple[tuple[object, object], ...]
    """(SpecRow, TaskRow) each."""
    task_ids: tuple[str, ...] = ()


@dataclass(slots=True, frozen=True)
class ExplainTasks:
    """Replies list[tuple[TaskView, list[Wait]]] of tasks that are not over, in order of submission."""

    session_id: str
    task_id: str = ""
    after: int = 0
    limit: int = 1000


# ------------------------------------------------------------------- workers


@dataclass(slots=True, frozen=True)
class Held:
    """An attempt that a worker says it has."""

    attempt_id: str
    fence: int
    started: bool = False
    ended: bool = False
    pid: int = 0
    started_at_us: int = 0


@dataclass(slots=True, frozen=True)
class Register:
    """Replies Registered. `seed` makes the id of a new worker."""

    seed: int
    worker_id: str = ""
    host: str = ""
    pid: int = 0
    version: str = ""
    slots: int = 1
    labels: tuple[str, ...] = ()
    kinds: Kinds = Kinds()
    session_id: str = ""
    pool: str = ""
    metadata_json: str = "{}"
    capabilities: tuple[str, ...] = ()
    workspace_id: str = ""
    held: tuple[Held, ...] = ()
    credit: int = 0
    store_id: str = ""
    polls: bool = False
    """It has no stream: it asks for tasks with SetCredit."""


@dataclass(slots=True, frozen=True)
class Heartbeat:
    """Replies HeartbeatAnswer."""

    worker_id: str
    generation: int
    held: tuple[Held, ...] = ()


@dataclass(slots=True, frozen=True)
class SetCredit:
    """Replies None."""

    worker_id: str
    generation: int
    credit: int


@dataclass(slots=True, frozen=True)
class Started:
    """An attempt has a process now. Replies None; a stale one is answered by an Acknowledge."""

    worker_id: str
    attempt_id: str
    fence: int
    pid: int
    started_at_us: int
    slot: int = 0


@dataclass(slots=True, frozen=True)
class Progress:
    """Replies None."""

    worker_id: str
    attempt_id: str
    fence: int
    percent: float
    message: str = ""


@dataclass(slots=True, frozen=True)
class Chunk:
    """A piece of output: see OutputRow."""

    offset: int
    channel: int
    data: bytes
    dropped_bytes: int = 0


@dataclass(slots=True, frozen=True)
class Finished:
    """The report on an attempt. Replies Acknowledge, which is also the only thing sent for it."""

    worker_id: str
    attempt_id: str
    fence: int
    outcome: Outcome
    exit_code: int | None = None
    signal: int = 0
    error: str = ""
    result_type: str = ""
    result: bytes | None = None
    user_cpu_us: int = 0
    system_cpu_us: int = 0
    max_rss_bytes: int = 0
    pid: int = 0
    started_at_us: int = 0
    ended_at_us: int = 0
    slot: int = 0
    output: tuple[Chunk, ...] = ()
    output_bytes: int = 0
    output_dropped_bytes: int = 0
    worker_fault: bool = False
    modified_files: tuple[str, ...] = ()


@dataclass(slots=True, frozen=True)
class Revoked:
    """The answer to a revocation. Replies None."""

    worker_id: str
    attempt_id: str
    fence: int
    started: bool


@dataclass(slots=True, frozen=True)
class AppendOutput:
    """Replies OutputAck. Pieces that are here already are passed over; a gap is answered by the offset wanted."""

    worker_id: str
    attempt_id: str
    fence: int
    chunks: tuple[Chunk, ...]


@dataclass(slots=True, frozen=True)
class Disconnected:
    """A stream ended; by itself this means nothing. Replies None."""

    worker_id: str
    generation: int


@dataclass(slots=True, frozen=True)
class Unregister:
    """The worker says goodbye. Replies None."""

    worker_id: str
    reason: str = ""
    generation: int = 0
    """0: whatever the present one is."""


@dataclass(slots=True, frozen=True)
class WorkerDied:
    """A keeper saw the process end. Replies int: the number of attempts that it had."""

    worker_id: str
    host: str
    pid: int
    processes_gone: bool = False
    reason: str = ""


@dataclass(slots=True, frozen=True)
class DrainWorker:
    """Replies WorkerView."""

    worker_id: str
    reason: str = ""


@dataclass(slots=True, frozen=True)
class UpdateWorker:
    """Replies WorkerView."""

    worker_id: str
    metadata_json: str | None = None
    status: WorkerStatus | None = None


@dataclass(slots=True, frozen=True)
class ReadWorker:
    """Replies WorkerView."""

    worker_id: str


@dataclass(slots=True, frozen=True)
class ListWorkers:
    """Replies WorkerPage, in order of registration. `after` is the ordinal of the last one seen."""

    statuses: tuple[WorkerStatus, ...] = ()
    after: int = 0
    limit: int = 1000
    pool: str | None = None


@dataclass(slots=True, frozen=True)
class SetPool:
    """Replies PoolRow."""

    session_id: str = ""
    host: str = ""
    wanted: int = 0
    slots: int = 1
    labels: tuple[str, ...] = ()
    handler_modules: tuple[str, ...] = ()


@dataclass(slots=True, frozen=True)
class ListPools:
    """Replies list[PoolRow]."""

    host: str = ""


# ------------------------------------------------------- locks, totals, watch


@dataclass(slots=True, frozen=True)
class ListLocks:
    """Replies LockPage."""

    path: str = ""
    session_id: str = ""


@dataclass(slots=True, frozen=True)
class ReadSummary:
    """Replies Summary."""


@dataclass(slots=True, frozen=True)
class ReadAll:
    """Replies Everything: what a watcher's snapshot holds, at this batch's revision."""

    session_ids: tuple[str, ...] = ()
    """Tasks of these only; without any, no tasks."""


@dataclass(slots=True, frozen=True)
class DrainAll:
    """Every worker (of `host`, if named) is told to drain. Replies int, how many."""

    host: str = ""
    reason: str = ""


@dataclass(slots=True, frozen=True)
class FindTask:
    """Replies TaskPlace: the full session id, and whether the task lives in memory.

    Raises nothing for tasks that are over: the store has them.
    """

    session_id: str
    task_id: str = ""


SubmitKind = SubmitTasks | SubmitPlan
TASK_WAITING = (TaskStatus.BLOCKED, TaskStatus.QUEUED)
