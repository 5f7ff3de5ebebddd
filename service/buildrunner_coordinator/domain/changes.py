"""The rows that a batch changed, as the store keeps them and as `Core.load` takes them back.

Every row is an immutable tuple of numbers, texts and bytes, so that it can be compared, encoded for
watchers and handed to another process. The field order is the column order of the tables.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class SessionRow(NamedTuple):
    session_id: str
    workspace_id: str
    name: str
    status: str
    ending_as: str
    open: int
    driver: str
    declared_tasks: int
    failure_action: str
    failure_limit: int
    max_parallel: int
    wanted_workers: int
    worker_id: str
    metadata_json: str
    created_at_us: int
    started_at_us: int
    ended_at_us: int
    ended_us: int
    reason: str
    locks_released: int
    run: int
    reported_json: str
    modified_files_json: str
    ordinal: int
    blocked: int
    queued: int
    assigned: int
    running: int
    cancelling: int
    succeeded: int
    failed: int
    cancelled: int
    skipped: int
    revision: int


class SpecRow(NamedTuple):
    """The part of a task that never changes."""

    session_id: str
    task_id: str
    ordinal: int
    number: int
    """Its place in the session: 1 for the first that was submitted."""
    title: str
    traits_json: str
    needs_json: str
    files_json: str
    submitted_at_us: int
    submitted_revision: int
    spec: bytes


class TaskRow(NamedTuple):
    """The part of a task that changes, with its live attempt if it has one."""

    session_id: str
    task_id: str
    ordinal: int
    status: str
    attempts: int
    failures: int
    crashes: int
    run: int
    not_before_us: int
    avoid_json: str
    started_at_us: int
    ended_at_us: int
    worker_id: str
    pid: int
    fence: int
    outcome: str
    exit_code: int | None
    error: str
    reason: str
    attempt_id: str
    """Empty when no attempt is live."""
    host: str
    generation: int
    assigned_at_us: int
    assigned_us: int
    slot: int
    stop_as: str
    stop_reason: str
    assigned_revision: int
    """Of the commits of the live attempt's assignment and start; 0 for what has not happened."""
    started_revision: int
    given_back: int
    """How often in all a worker gave it back before it started."""
    ticket: int
    """Its place in the order of those who wait for path locks; 0: it has none."""
    waits_since_us: int
    """Core time at which it got that place."""
    revision: int


class AttemptRow(NamedTuple):
    """An attempt that is over. Written once."""

    session_id: str
    task_id: str
    number: int
    attempt_id: str
    fence: int
    task_number: int
    """The task's place in its session, as in SpecRow."""
    assigned_revision: int
    started_revision: int
    """0 if it never started."""
    ended_revision: int
    worker_id: str
    host: str
    pid: int
    slot: int
    outcome: str
    exit_code: int | None
    signal: int
    error: str
    result_type: str
    result: bytes | None
    user_cpu_us: int
    system_cpu_us: int
    max_rss_bytes: int
    assigned_at_us: int
    started_at_us: int
    ended_at_us: int
    output_bytes: int
    output_dropped_bytes: int
    modified_files_json: str
    warnings_json: str
    patch_bytes: int
    """Size of its patch in PatchRow; 0 if there is none."""
    patch_dropped_bytes: int
    branch: str
    """With a worktree of its own: the branch that has what it did."""
    commit_id: str
    merged: int


class PatchRow(NamedTuple):
    """What an audited attempt changed. Written once, with its AttemptRow."""

    session_id: str
    task_id: str
    number: int
    patch: bytes


class GrantRow(NamedTuple):
    """Paths that were taken by hand or by a program, not by the scheduler."""

    grant_id: str
    session_id: str
    attempt_id: str
    """The live attempt on whose behalf; empty otherwise."""
    root_id: str
    """On whose account: the session, the attempt, or the outermost grant with a lease."""
    fence: int
    files_json: str
    acquired_at_us: int
    acquired_us: int
    lease_ms: int
    """0: until it is released, or its session ends."""
    host: str
    until_us: int
    """Core time at which a lapsed one is free; 0 while it is held."""
    suspended: int
    """Given up for the time of a pause, or until its failed session is retried."""
    client_id: str
    request_id: str
    digest: bytes
    revision: int


class LockRequestRow(NamedTuple):
    """Somebody who waits for paths by hand or program: the place in the order outlives a restart."""

    waiter_id: str
    session_id: str
    attempt_id: str
    root_id: str
    """As in GrantRow; its own waiter id when it will be a grant with a lease and within no other."""
    files_json: str
    ticket: int
    since_at_us: int
    since_us: int
    deadline_us: int
    """Core time; 0: waits without an end."""
    lease_ms: int
    host: str
    client_id: str
    request_id: str
    digest: bytes
    revision: int


class LockTimeRow(NamedTuple):
    """A wait for a path that is over, or a hold of one that others waited for. Written once."""

    revision: int
    number: int
    """1, 2, ... within its revision."""
    us: int
    at_us: int
    kind: str
    """"wait", "given_up" (a wait that ended without the lock) or "hold"."""
    path: str
    session_id: str
    task_id: str
    """Empty when it was not for a task."""
    attempt_id: str
    grant_id: str
    host: str
    span_us: int
    """How long it waited, or held."""


class OutputRow(NamedTuple):
    session_id: str
    task_id: str
    number: int
    offset: int
    channel: int
    """1 is stdout, 2 is stderr."""
    dropped_bytes: int
    data: bytes


class EventRow(NamedTuple):
    """Something that no other row tells of, for people: see `history.note`. Written once."""

    revision: int
    number: int
    """1, 2, ... within its revision."""
    us: int
    """Core time, for retention."""
    at_us: int
    kind: str
    session_id: str
    """Empty for what concerns a worker alone."""
    task_id: str
    attempt: int
    worker_id: str
    message: str


class OutputTrim(NamedTuple):
    """Nothing of an attempt's output from `start` to `until` is kept; a piece that reaches over it is cut."""

    session_id: str
    task_id: str
    number: int
    start: int
    until: int


class WorkerRow(NamedTuple):
    worker_id: str
    host: str
    pid: int
    version: str
    slots: int
    labels_json: str
    kinds_json: str
    pool: str
    session_id: str
    metadata_json: str
    capabilities_json: str
    workspace_id: str
    status: str
    draining: int
    generation: int
    registered_at_us: int
    offline_us: int
    succeeded: int
    failed: int
    faults: int
    ordinal: int
    lease_ms: int
    revision: int


class PoolRow(NamedTuple):
    session_id: str
    host: str
    wanted: int
    slots: int
    labels_json: str
    handler_modules_json: str
    revision: int


class LapseRow(NamedTuple):
    attempt_id: str
    session_id: str
    task_id: str
    worker_id: str
    host: str
    fence: int
    acquired_at_us: int
    until_us: int
    files_json: str


class RequestRow(NamedTuple):
    """The answer to a request id, kept so that a repetition gets the same."""

    client_id: str
    request_id: str
    digest: bytes
    expires_us: int
    reply: bytes


class MetaRow(NamedTuple):
    """One row: counters that must never go back, and the names of the database."""

    store_id: str
    workspace_id: str
    epoch: int
    revision: int
    last_us: int
    next_fence: int
    next_index: int
    next_order: int
    next_ticket: int
    """Of the order of those who wait for path locks."""
    folds_case: int
    """A checkout of the workspace ignores case: paths are compared without it, for ever."""


@dataclass(slots=True)
class Changes:
    """All that one commit writes. A row replaces the one with the same key; removals go by key.

    Keys: session_id; (session_id, task_id) for specs and tasks; (session_id, task_id, number) for
    attempts; that and offset for outputs; (revision, number) for events; worker_id; (session_id, host)
    for pools; attempt_id for lapses; (client_id, request_id) for requests; (session_id, task_id, number) for
    patches; grant_id for grants; waiter_id for lock_requests; (revision, number) for lock_times. Removing a
    session removes its specs, tasks, attempts, outputs, events, pools, lapses, patches, grants, lock_requests
    and lock_times. An entry (us,) of `removed_events` removes
    the events of workers alone from before that core time.
    """

    revision: int = 0
    meta: MetaRow | None = None
    sessions: list[SessionRow] = field(default_factory=list)
    specs: list[SpecRow] = field(default_factory=list)
    tasks: list[TaskRow] = field(default_factory=list)
    attempts: list[AttemptRow] = field(default_factory=list)
    outputs: list[OutputRow] = field(default_factory=list)
    output_trims: list[OutputTrim] = field(default_factory=list)
    """Applied when all rows are written."""
    events: list[EventRow] = field(default_factory=list)
    workers: list[WorkerRow] = field(default_factory=list)
    pools: list[PoolRow] = field(default_factory=list)
    lapses: list[LapseRow] = field(default_factory=list)
    requests: list[RequestRow] = field(default_factory=list)
    removed_sessions: list[str] = field(default_factory=list)
    removed_workers: list[str] = field(default_factory=list)
    removed_pools: list[tuple[str, str]] = field(default_factory=list)
    removed_lapses: list[str] = field(default_factory=list)
    removed_requests: list[tuple[str, str]] = field(default_factory=list)
    removed_events: list[tuple[int]] = field(default_factory=list)
    patches: list[PatchRow] = field(default_factory=list)
    grants: list[GrantRow] = field(default_factory=list)
    lock_requests: list[LockRequestRow] = field(default_factory=list)
    lock_times: list[LockTimeRow] = field(default_factory=list)
    removed_grants: list[str] = field(default_factory=list)
    removed_lock_requests: list[str] = field(default_factory=list)


class EndedTask(NamedTuple):
    """A task that is over, as far as an unfinished session must remember it."""

    session_id: str
    task_id: str
    status: str


@dataclass(slots=True)
class Snapshot:
    """Everything that `Core.load` needs; what is over stays in the store.

    `specs` and `tasks` hold the tasks that are not over, in order of `ordinal`; `ended` the ids of
    the others of sessions that are not over; `output_bytes` maps the attempt ids of live attempts
    to the offset behind their last stored byte.
    """

    meta: MetaRow
    sessions: list[SessionRow] = field(default_factory=list)
    specs: list[SpecRow] = field(default_factory=list)
    tasks: list[TaskRow] = field(default_factory=list)
    ended: list[EndedTask] = field(default_factory=list)
    workers: list[WorkerRow] = field(default_factory=list)
    pools: list[PoolRow] = field(default_factory=list)
    lapses: list[LapseRow] = field(default_factory=list)
    requests: list[RequestRow] = field(default_factory=list)
    output_bytes: dict[str, int] = field(default_factory=dict)
    grants: list[GrantRow] = field(default_factory=list)
    lock_requests: list[LockRequestRow] = field(default_factory=list)
