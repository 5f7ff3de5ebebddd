"""The one way in which sessions, tasks and workers change their state: through the tables."""

from __future__ import annotations

from buildrunner_coordinator.domain.model import (
    Session,
    SessionStatus,
    Task,
    TaskStatus,
    Worker,
    WorkerStatus,
)
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.state import State
from buildrunner_coordinator.domain.tables import (
    SESSION_CELLS,
    STAY,
    TASK_CELLS,
    WORKER_CELLS,
    Special,
    TransitionError,
)


def move_task(core: State, task: Task, event: str) -> bool:
    """Carries `event` out. True when the state changed; a forbidden event is a bug."""
    target = TASK_CELLS[task.status, event]
    if type(target) is Special:
        if target is STAY:
            return False
        raise TransitionError(f"task {task.session_id}/{task.task_id} is {task.status}: {event} is {target}")
    session = core.sessions[task.session_id]
    counts = session.counts
    counts[task.status] -= 1
    task.status = target  # type: ignore[assignment]
    counts[task.status] += 1
    core.journal.tasks[task.index] = task
    core.journal.sessions[session.session_id] = session
    return True


def check_session(session: Session, event: str) -> SessionStatus | None:
    """Where `event` leads; None when nothing changes. Raises Refusal (WRONG_STATE), changes nothing."""
    target = SESSION_CELLS[session.status, event]
    if target is STAY:
        return None
    if type(target) is Special:
        raise Refusal(
            Reason.WRONG_STATE,
            f"Session {session.session_id} ({session.name}) is {session.status}: it cannot {event}.",
            status=session.status.value,
        )
    return SessionStatus(target)


def move_session(core: State, session: Session, event: str) -> bool:
    """Carries `event` out. True when the state changed. Raises Refusal (WRONG_STATE)."""
    target = check_session(session, event)
    if target is None:
        return False
    session.status = target
    core.touch(session)
    return True


def move_worker(core: State, worker: Worker, event: str) -> bool:
    """Carries `event` out. True when the state changed."""
    target = WORKER_CELLS[worker.status, event]
    if type(target) is Special:
        if target is STAY:
            return False
        raise TransitionError(f"worker {worker.worker_id} is {worker.status}: {event} is {target}")
    worker.status = WorkerStatus(target)
    core.journal.workers[worker.worker_id] = worker
    return True


def unfinished(session: Session) -> int:
    """How many of its tasks are not over."""
    c = session.counts
    return (
        c[TaskStatus.BLOCKED] + c[TaskStatus.QUEUED] + c[TaskStatus.ASSIGNED] + c[TaskStatus.RUNNING]
        + c[TaskStatus.CANCELLING]
    )  # fmt: skip


def held(session: Session) -> int:
    """How many of its tasks a worker has."""
    c = session.counts
    return c[TaskStatus.ASSIGNED] + c[TaskStatus.RUNNING] + c[TaskStatus.CANCELLING]
