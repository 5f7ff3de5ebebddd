"""Entities to rows and back. The only place that knows both shapes."""

from __future__ import annotations

import json
from functools import lru_cache

from buildrunner_coordinator.domain.changes import (
    GrantRow,
    LapseRow,
    LockRequestRow,
    PoolRow,
    SessionRow,
    SpecRow,
    TaskRow,
    WorkerRow,
)
from buildrunner_coordinator.domain.model import (
    Attempt,
    Driver,
    FailureAction,
    Grant,
    Kinds,
    Lapse,
    LockKind,
    LockMode,
    LockRequest,
    Outcome,
    PathRequest,
    Pool,
    Session,
    SessionStatus,
    Task,
    TaskKind,
    TaskStatus,
    Traits,
    Worker,
    WorkerStatus,
)


def texts_json(texts: tuple[str, ...]) -> str:
    return _json_of(texts) if texts else "[]"


@lru_cache(maxsize=4096)
def _json_of(value: tuple[object, ...]) -> str:
    """Few different values come again and again: labels, kinds, workers to be avoided."""
    return json.dumps(value)


def texts_of(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text)) if text != "[]" else ()


@lru_cache(maxsize=4096)
def traits_json(traits: Traits) -> str:
    return json.dumps(traits)


@lru_cache(maxsize=4096)
def traits_of(text: str) -> Traits:
    kind, target, labels, *rest = json.loads(text)
    return Traits(TaskKind(kind), target, tuple(labels), *rest)


def files_json(files: tuple[PathRequest, ...]) -> str:
    return json.dumps(files) if files else "[]"


def files_of(text: str) -> tuple[PathRequest, ...]:
    if text == "[]":
        return ()
    return tuple(PathRequest(path, LockMode(mode), LockKind(kind)) for path, mode, kind in json.loads(text))


# ------------------------------------------------------------------ sessions


def session_row(s: Session) -> SessionRow:
    fields = (
        s.session_id, s.workspace_id, s.name, s.status.value, s.ending_as.value if s.ending_as else "",
        int(s.open), s.driver.value, s.declared_tasks, s.failure_action.value, s.failure_limit,
        s.max_parallel, s.wanted_workers, s.worker_id, s.metadata_json, s.created_at_us, s.started_at_us,
        s.ended_at_us, s.ended_us, s.reason, int(s.locks_released), s.run, json.dumps(s.reported),
        texts_json(s.modified_files), s.order, *s.counts.values(), s.revision,
    )  # fmt: skip
    return SessionRow._make(fields)


def session_of(row: SessionRow) -> Session:
    counts = {status: getattr(row, status.value) for status in TaskStatus}
    completed, failed, in_progress = json.loads(row.reported_json)
    return Session(
        row.session_id, row.workspace_id, row.name, SessionStatus(row.status),
        SessionStatus(row.ending_as) if row.ending_as else None, bool(row.open), Driver(row.driver),
        row.declared_tasks, FailureAction(row.failure_action), row.failure_limit, row.max_parallel,
        row.wanted_workers, row.worker_id, row.metadata_json, row.created_at_us, row.started_at_us,
        row.ended_at_us, row.ended_us, row.reason, bool(row.locks_released), row.run,
        (completed, failed, in_progress), texts_of(row.modified_files_json), row.ordinal, counts,
        row.revision,
    )  # fmt: skip


# --------------------------------------------------------------------- tasks


def spec_row(t: Task) -> SpecRow:
    return SpecRow(t.session_id, t.task_id, t.index, t.number, t.title, traits_json(t.traits),
                   texts_json(t.needs), files_json(t.files), t.submitted_at_us, t.submitted_revision,
                   t.spec)  # fmt: skip


def task_row(t: Task) -> TaskRow:
    """Written several times a task, so it reads `_value_`, which costs a tenth of `value`."""
    a = t.attempt
    if a is None:
        live = ("", "", 0, 0, 0, 0, "", "", 0, 0)
    else:
        live = (a.attempt_id, a.host, a.generation, a.assigned_at_us, a.assigned_us, a.slot,
                a.stop_as._value_ if a.stop_as else "", a.stop_reason, a.assigned_revision,
                a.started_revision)  # fmt: skip
    return TaskRow(
        t.session_id, t.task_id, t.index, t.status._value_, t.attempts, t.failures, t.crashes, t.run,
        t.not_before_us, texts_json(t.avoid), t.started_at_us, t.ended_at_us, t.worker_id, t.pid, t.fence,
        t.outcome._value_ if t.outcome else "", t.exit_code, t.error, t.reason, *live, t.given_back,
        t.ticket, t.waits_since_us, t.revision,
    )  # fmt: skip


def task_of(spec: SpecRow, row: TaskRow, output_bytes: int = 0) -> Task:
    """The task of two rows, with its live attempt."""
    task = Task(
        spec.session_id, spec.task_id, spec.ordinal, spec.title, spec.spec, traits_of(spec.traits_json),
        texts_of(spec.needs_json), files_of(spec.files_json), TaskStatus(row.status), None, row.attempts,
        row.failures, row.crashes, row.run, row.not_before_us, texts_of(row.avoid_json), spec.submitted_at_us,
        spec.number, spec.submitted_revision, row.given_back, row.started_at_us, row.ended_at_us,
        row.worker_id, row.pid, row.fence,
        Outcome(row.outcome) if row.outcome else None, row.exit_code, row.error, row.reason,
        ticket=row.ticket, waits_since_us=row.waits_since_us, revision=row.revision,
    )  # fmt: skip
    if row.attempt_id:
        task.attempt = Attempt(
            row.attempt_id, row.session_id, row.task_id, row.attempts, row.fence, row.worker_id, row.host,
            row.generation, row.assigned_at_us, row.assigned_us, spec.number, row.assigned_revision,
            row.started_revision, row.started_at_us, row.pid, row.slot,
            Outcome(row.stop_as) if row.stop_as else None, row.stop_reason, output_bytes=output_bytes,
        )  # fmt: skip
    return task


# ------------------------------------------------------ workers, pools, lapses


def worker_row(w: Worker) -> WorkerRow:
    return WorkerRow(
        w.worker_id, w.host, w.pid, w.version, w.slots, texts_json(w.labels), _json_of(w.kinds), w.pool,
        w.session_id, w.metadata_json, texts_json(w.capabilities), w.workspace_id, w.status.value,
        int(w.draining), w.generation, w.registered_at_us, w.offline_us, w.succeeded, w.failed, w.faults,
        w.order, w.lease_ms, w.revision,
    )  # fmt: skip


def worker_of(row: WorkerRow) -> Worker:
    commands, handlers, external = json.loads(row.kinds_json)
    return Worker(
        row.worker_id, row.host, row.pid, row.version, row.slots, texts_of(row.labels_json),
        Kinds(commands, tuple(handlers), external), row.pool, row.session_id, row.metadata_json,
        texts_of(row.capabilities_json), row.workspace_id, WorkerStatus(row.status), bool(row.draining),
        row.generation, row.registered_at_us, 0, row.offline_us, row.succeeded, row.failed, row.faults,
        row.ordinal, row.lease_ms, revision=row.revision,
    )  # fmt: skip


def pool_row(p: Pool) -> PoolRow:
    return PoolRow(p.session_id, p.host, p.wanted, p.slots, texts_json(p.labels),
                   texts_json(p.handler_modules), p.revision)  # fmt: skip


def pool_of(row: PoolRow) -> Pool:
    return Pool(row.session_id, row.host, row.wanted, row.slots, texts_of(row.labels_json),
                texts_of(row.handler_modules_json), row.revision)  # fmt: skip


def lapse_row(one: Lapse) -> LapseRow:
    return LapseRow(one.attempt_id, one.session_id, one.task_id, one.worker_id, one.host, one.fence,
                    one.acquired_at_us, one.until_us, files_json(one.files))  # fmt: skip


def lapse_of(row: LapseRow) -> Lapse:
    return Lapse(row.attempt_id, row.session_id, row.task_id, row.worker_id, row.host, row.fence,
                 row.acquired_at_us, row.until_us, files_of(row.files_json))  # fmt: skip


# ---------------------------------------------------------- locks by hand


def grant_row(g: Grant) -> GrantRow:
    return GrantRow(
        g.grant_id, g.session_id, g.attempt_id, g.root_id, g.fence, files_json(g.files), g.acquired_at_us,
        g.acquired_us, g.lease_ms, g.host, g.until_us, int(g.suspended), g.client_id, g.request_id, g.digest,
        g.revision,
    )  # fmt: skip


def grant_of(row: GrantRow) -> Grant:
    return Grant(
        row.grant_id, row.session_id, row.attempt_id, row.root_id, row.fence, files_of(row.files_json),
        row.acquired_at_us, row.acquired_us, row.lease_ms, row.host, row.until_us, bool(row.suspended),
        row.client_id, row.request_id, row.digest, row.revision,
    )  # fmt: skip


def lock_request_row(r: LockRequest) -> LockRequestRow:
    return LockRequestRow(
        r.waiter_id, r.session_id, r.attempt_id, r.root_id, files_json(r.files), r.ticket, r.since_at_us,
        r.since_us, r.deadline_us, r.lease_ms, r.host, r.client_id, r.request_id, r.digest, r.revision,
    )  # fmt: skip


def lock_request_of(row: LockRequestRow) -> LockRequest:
    """Nobody has asked for its answer yet: not attached."""
    return LockRequest(
        row.waiter_id, row.session_id, row.attempt_id, row.root_id, files_of(row.files_json), row.ticket,
        row.since_at_us, row.since_us, row.deadline_us, row.lease_ms, row.host, row.client_id, row.request_id,
        row.digest, row.revision, attached=False,
    )  # fmt: skip
