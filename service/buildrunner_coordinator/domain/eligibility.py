"""Who may run what: the conditions that placement, taking back and explaining share. Pure, and quick."""

from __future__ import annotations

from buildrunner_coordinator.domain.model import (
    Session,
    SessionStatus,
    Task,
    TaskKind,
    TaskStatus,
    Traits,
    Worker,
    WorkerStatus,
)
from buildrunner_coordinator.domain.moves import held
from buildrunner_coordinator.domain.state import State


def has_room(worker: Worker) -> bool:
    """It may hold one more attempt at least. A passive one says by its status whether it takes one."""
    if worker.is_passive and worker.status is not WorkerStatus.IDLE:
        return False
    return worker.connected and serves(worker) and len(worker.attempts) < worker.credit


def serves(worker: Worker) -> bool:
    """It takes tasks, now or when its stream is back."""
    return not worker.draining and worker.status in (WorkerStatus.IDLE, WorkerStatus.BUSY)


def suits(worker: Worker, session_id: str, traits: Traits) -> bool:
    """It is able and allowed to run such tasks of that session, leaving its load aside."""
    if worker.session_id and worker.session_id != session_id:
        return False
    if traits.wanted_worker_id and traits.wanted_worker_id != worker.worker_id:
        return False
    if traits.slots > worker.slots or (traits.labels and not set(traits.labels) <= set(worker.labels)):
        return False
    return runs_kind(worker, traits)


def runs_kind(worker: Worker, traits: Traits) -> bool:
    if traits.kind is TaskKind.COMMAND:
        return worker.kinds.commands
    if traits.kind is TaskKind.HANDLER:
        return traits.target in worker.kinds.handlers
    return worker.kinds.external and worker.pool == traits.target


def takes(worker: Worker, task: Task) -> bool:
    """It has room for this task now. Only light tasks without locks are sent ahead of their slot."""
    if len(worker.attempts) >= worker.credit:
        return False
    if worker.slots_taken + task.traits.slots <= worker.slots:
        return True
    return not task.files and task.traits.slots == 1


def may_place(session: Session) -> bool:
    """The session runs, and not as many tasks as it may."""
    if session.status is not SessionStatus.RUNNING or session.ending_as is not None:
        return False
    return not session.max_parallel or held(session) < session.max_parallel


def is_ready(core: State, task: Task) -> bool:
    """It waits for nothing but a worker, as far as is known."""
    return (
        task.status is TaskStatus.QUEUED
        and task.not_before_us <= core.now.us
        and task.key not in core.queue.waiters.behind
    )
