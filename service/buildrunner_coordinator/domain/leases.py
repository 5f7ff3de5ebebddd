"""What time brings: lapsed leases, the end of backoffs and lock delays, retention, the rest of a cancel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from buildrunner_coordinator.domain import (
    cleaning,
    endings,
    external,
    grants,
    history,
    lock_times,
    requesting,
    waiting,
    workers,
)
from buildrunner_coordinator.domain.model import TaskStatus, Time, WorkerStatus
from buildrunner_coordinator.domain.state import State
from buildrunner_coordinator.domain.timers import Timer


def _lease(core: State, worker_id: str, _: str, now: Time) -> None:
    worker = core.workers.get(worker_id)
    if worker is None:
        return
    worker.lease_watched = False
    if worker.status is WorkerStatus.OFFLINE:
        return
    if worker.lease_until_us > now.us:
        workers.watch_lease(core, worker)
        return
    silence = history.duration(workers.lease_us(core, worker))
    external.lapse(core, worker, now, f"nothing was heard of it for {silence}")


def _task(core: State, session_id: str, task_id: str, now: Time) -> None:
    task = core.tasks.get(session_id, {}).get(task_id)
    if task is None or task.attempt is not None or task.not_before_us > now.us:
        return
    if task.status is TaskStatus.QUEUED and task.key not in core.queue.waiters.waiting:
        core.queue.add(task)
    elif task.status is TaskStatus.CANCELLING:
        endings.cancel_now(core, task, "CANCELLED", now)


def _lapse(core: State, attempt_id: str, _: str, now: Time) -> None:
    end_lapse(core, attempt_id)


def end_lapse(core: State, attempt_id: str) -> None:
    """What a lost attempt held is free; one that is free already is a harmless call."""
    lapse = core.lapses.pop(attempt_id, None)
    if lapse is None:
        return
    core.journal.lapses.pop(attempt_id, None)
    core.journal.removed_lapses.append(attempt_id)
    lock_times.note_hold(core, attempt_id, lapse.since_us, (lapse.session_id, lapse.task_id))
    core.locks.remove(attempt_id)
    core.journal.removed_locks.extend(
        (f"{attempt_id}-{i}", lapse.session_id) for i in range(len(lapse.files))
    )
    waiting.wake(core, attempt_id)
    if lapse.files and lapse.session_id in core.sessions:
        history.note(core, "unlocked", f"The paths of its attempt on worker {lapse.worker_id} are free again",
                     session_id=lapse.session_id, task_id=lapse.task_id)  # fmt: skip


def _steal(core: State, _: str, __: str, now: Time) -> None:
    """The pass that follows looks for idle workers by itself."""


def _retire(core: State, worker_id: str, _: str, now: Time) -> None:
    worker = core.workers.get(worker_id)
    ttl_us = core.settings.offline_ttl_ms * 1000
    if worker is not None and worker.status is WorkerStatus.OFFLINE and worker.offline_us + ttl_us <= now.us:
        away = history.duration(core.settings.offline_ttl_ms * 1000)
        cleaning.remove_worker(core, worker_id, f"Taken off the list: offline for {away}")


def _retention(core: State, session_id: str, _: str, now: Time) -> None:
    session = core.sessions.get(session_id)
    keep_us = core.settings.retention_ms * 1000
    if session is not None and session.is_over and keep_us and session.ended_us + keep_us <= now.us:
        cleaning.remove_session(core, session)


def _sweep(core: State, session_id: str, _: str, now: Time) -> None:
    session = core.sessions.get(session_id)
    if session is not None:
        endings.sweep_on(core, session, now)


FIRE: Final[dict[Timer, Callable[[State, str, str, Time], None]]] = {
    Timer.LEASE: _lease,
    Timer.TASK: _task,
    Timer.LAPSE: _lapse,
    Timer.GRANT_LEASE: grants.lease_is_due,
    Timer.GRANT_LAPSE: grants.lapse_is_over,
    Timer.LOCK_REQUEST: requesting.request_is_due,
    Timer.STEAL: _steal,
    Timer.RETIRE: _retire,
    Timer.RETENTION: _retention,
    Timer.SWEEP: _sweep,
}
