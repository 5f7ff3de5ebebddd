"""What workers say, and commands about workers and their pools."""

from __future__ import annotations

from dataclasses import dataclass

from buildrunner_coordinator.domain.model import Kinds, Merge, Outcome, TaskStatus, WorkerStatus


@dataclass(slots=True)
class Held:
    """An attempt that a worker says it has."""

    attempt_id: str
    fence: int
    started: bool = False
    ended: bool = False
    pid: int = 0
    started_at_us: int = 0


@dataclass(slots=True)
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
    lease_ms: int = 0
    """Of an external worker; 0: the coordinator's."""
    polls: bool = False
    """It has no stream: it asks for tasks with SetCredit."""


@dataclass(slots=True)
class Heartbeat:
    """Replies HeartbeatAnswer."""

    worker_id: str
    generation: int
    held: tuple[Held, ...] = ()


@dataclass(slots=True)
class SetCredit:
    """Replies None."""

    worker_id: str
    generation: int
    credit: int


@dataclass(slots=True)
class Started:
    """An attempt has a process now. Replies None; a stale one is answered by an Acknowledge."""

    worker_id: str
    attempt_id: str
    fence: int
    pid: int
    started_at_us: int
    slot: int = 0


@dataclass(slots=True)
class Progress:
    """Replies None."""

    worker_id: str
    attempt_id: str
    fence: int
    percent: float
    message: str = ""


@dataclass(slots=True)
class Chunk:
    """A piece of output: see OutputRow."""

    offset: int
    channel: int
    data: bytes
    dropped_bytes: int = 0


@dataclass(slots=True)
class Audit:
    """What the worker saw of an attempt's checkout beside the files, and the branch of an isolated one."""

    more_files: int = 0
    patch: bytes = b""
    patch_dropped_bytes: int = 0
    failure: str = ""
    branch: str = ""
    commit: str = ""
    merge: Merge | None = None


@dataclass(slots=True)
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
    """Normalised, from the root of the repository."""
    audit: Audit | None = None


@dataclass(slots=True)
class Revoked:
    """The answer to a revocation. Replies None."""

    worker_id: str
    attempt_id: str
    fence: int
    started: bool


@dataclass(slots=True)
class AppendOutput:
    """Replies OutputAck. What is here already is passed over; a gap is answered by the offset wanted."""

    worker_id: str
    attempt_id: str
    fence: int
    chunks: tuple[Chunk, ...]


@dataclass(slots=True)
class Disconnected:
    """A stream ended; by itself this means nothing. Replies None."""

    worker_id: str
    generation: int


@dataclass(slots=True)
class Unregister:
    """The worker says goodbye. Replies None."""

    worker_id: str
    reason: str = ""
    generation: int = 0
    """0: whatever the present one is."""


@dataclass(slots=True)
class WorkerDied:
    """A keeper saw the process end. Replies int: the number of attempts that it had."""

    worker_id: str
    host: str
    pid: int
    processes_gone: bool = False
    reason: str = ""


@dataclass(slots=True)
class DrainWorker:
    """Replies WorkerView."""

    worker_id: str
    reason: str = ""


@dataclass(slots=True)
class UpdateWorker:
    """Replies WorkerView."""

    worker_id: str
    metadata_json: str | None = None
    status: WorkerStatus | None = None
    lease_ms: int | None = None
    heartbeat_at_us: int = 0
    """When it was last heard; 0: as is known."""
    succeeded: int = 0
    failed: int = 0
    """Tasks that it did by itself, to be added to its counts."""


@dataclass(slots=True)
class ReadWorker:
    """Replies WorkerView."""

    worker_id: str


@dataclass(slots=True)
class ListWorkers:
    """Replies WorkerPage, in order of registration. `after` is the ordinal of the last one seen."""

    statuses: tuple[WorkerStatus, ...] = ()
    after: int = 0
    limit: int = 1000
    pool: str | None = None


@dataclass(slots=True)
class SetPool:
    """Replies PoolRow."""

    session_id: str = ""
    host: str = ""
    wanted: int = 0
    slots: int = 1
    labels: tuple[str, ...] = ()
    handler_modules: tuple[str, ...] = ()


@dataclass(slots=True)
class ListPools:
    """Replies list[PoolRow]."""

    host: str = ""


@dataclass(slots=True)
class ListPoolTasks:
    """Replies PoolTaskPage: external tasks that are not over. `after` is the index of the last one seen."""

    pool: str
    session_id: str = ""
    statuses: tuple[TaskStatus, ...] = ()
    after: int = 0
    limit: int = 100
