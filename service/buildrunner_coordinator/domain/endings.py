"""What follows when a task is over: its dependents, the failure policy, the end of its session."""

from __future__ import annotations

from itertools import islice

from buildrunner_coordinator.domain import cleaning, dependents, grants, history, requesting, waiting
from buildrunner_coordinator.domain.model import (
    Driver,
    FailureAction,
    Outcome,
    Session,
    SessionStatus,
    Task,
    TaskStatus,
    Time,
)
from buildrunner_coordinator.domain.moves import move_task, unfinished
from buildrunner_coordinator.domain.replies import Drain
from buildrunner_coordinator.domain.state import State
from buildrunner_coordinator.domain.timers import Timer

SWEEP_TASKS = 2_000
"""So many tasks that no worker has are cancelled in one batch when their session ends. The others follow
in the next ones, so that a million of them do not hold up heartbeats."""


def succeed(core: State, task: Task, now: Time) -> None:
    move_task(core, task, "succeed")
    task.reason = ""
    dependents.forget(core, task)
    dependents.tell(core, task)
    settle(core, core.sessions[task.session_id], now)


def fail(core: State, task: Task, reason: str, now: Time) -> None:
    """The task has failed for good."""
    if task.status is TaskStatus.QUEUED:
        waiting.give_up(core, task)
    move_task(core, task, "fail")
    task.reason = reason
    dependents.forget(core, task)
    dependents.tell(core, task)
    session = core.sessions[task.session_id]
    _apply_policy(core, session, now)
    settle(core, session, now)


def cancel_now(core: State, task: Task, reason: str, now: Time) -> None:
    """The task is CANCELLED: it never started, or its attempt is over."""
    if task.status is TaskStatus.QUEUED:
        waiting.give_up(core, task)
    move_task(core, task, "cancel")
    task.reason = reason
    task.ended_at_us = task.ended_at_us or now.wall_us
    dependents.forget(core, task)
    dependents.tell(core, task)
    settle(core, core.sessions[task.session_id], now)


def cancel_all(core: State, session: Session, reason: str, now: Time, *, running: bool) -> None:
    """Cancels what no worker has, over several batches if that is much; with `running` what one has too."""
    from buildrunner_coordinator.domain.attempts import revoke, stop

    for task in [one for one in core.attempts.values() if one.session_id == session.session_id]:
        if running:
            stop(core, task, Outcome.CANCELLED, reason, now)
        elif task.attempt is not None:
            revoke(core, task.attempt, "its session ends")
    if session.is_over:
        return  # its last tasks were external ones, which end when they are told to
    core.queue.drop_session(session.session_id)  # nothing of it is placed any more
    core.reviving.pop(session.session_id, None)
    _sweep(core, session, reason, now)


def sweep_on(core: State, session: Session, now: Time) -> None:
    """Goes on with what `cancel_all`, a retry or a task that very many need began, if anything did."""
    from buildrunner_coordinator.domain import reviving

    if session.is_over:
        return
    if session.ending_as is None:
        reviving.go_on(core, session)
        dependents.go_on(core, session.session_id)
    else:
        tripped = session.failure_action is not FailureAction.CONTINUE and (
            session.ending_as is SessionStatus.FAILED and _failures(core, session) >= session.failure_limit
        )
        _sweep(core, session, "SESSION_FAILED" if tripped else "SESSION_CANCELLED", now)
    settle(core, session, now)


def _sweep(core: State, session: Session, reason: str, now: Time) -> None:
    mine = core.tasks[session.session_id].values()
    waiting_ones = (one for one in mine if one.status in (TaskStatus.BLOCKED, TaskStatus.QUEUED))
    for task in list(islice(waiting_ones, SWEEP_TASKS)):
        _cancel_quietly(core, task, reason, now)
    if session.counts[TaskStatus.BLOCKED] or session.counts[TaskStatus.QUEUED]:
        # A moment later: what is due at this one is done within this batch.
        core.timers.add(now.us + 1, Timer.SWEEP, session.session_id)


def settle(core: State, session: Session, now: Time) -> None:
    """Ends the session when its last task is over and nothing more can come."""
    if session.is_over or unfinished(session) or session.session_id in core.reviving:
        return
    if session.ending_as is not None:
        finish(core, session, session.ending_as, now)
        return
    alive = session.status in (SessionStatus.RUNNING, SessionStatus.PAUSED)
    if session.driver is Driver.TASKS and not session.open and alive:
        failed = session.counts[TaskStatus.FAILED] > 0
        finish(core, session, SessionStatus.FAILED if failed else SessionStatus.COMPLETED, now)


def finish(core: State, session: Session, status: SessionStatus, now: Time) -> None:
    """The session is over. Its workers, its own locks and its memory go."""
    session.status, session.ending_as, session.open = status, None, False
    session.ended_at_us, session.ended_us = now.wall_us, now.us
    core.touch(session)
    history.note_end(core, session)
    requesting.end_session(core, session)
    # Those of a failed session are remembered: a retry takes them again.
    grants.end_session(core, session, remember=status is SessionStatus.FAILED)
    cleaning.forget_session(core, session.session_id)
    for key in [key for key in core.pools if key[0] == session.session_id]:
        del core.pools[key]
        core.journal.removed_pools.append(key)
    for worker in core.workers.values():
        if worker.session_id == session.session_id and not worker.draining:
            worker.draining = True
            core.journal.workers[worker.worker_id] = worker
            reason = f"session {session.session_id} is {status}"
            history.note_worker(core, worker, "draining", f"Takes no new tasks: {reason}")
            core.send(worker.worker_id, Drain(reason))
    if core.settings.retention_ms:
        core.timers.add(now.us + core.settings.retention_ms * 1000, Timer.RETENTION, session.session_id)


def _cancel_quietly(core: State, task: Task, reason: str, now: Time) -> None:
    """As `cancel_now`, within a sweep over all tasks: dependents are swept too, the end comes later."""
    waiting.give_up(core, task)
    move_task(core, task, "cancel")
    task.reason, task.ended_at_us = reason, task.ended_at_us or now.wall_us
    dependents.forget(core, task)


def _failures(core: State, session: Session) -> int:
    """Those that are about to run again no longer count."""
    reviving = core.reviving.get(session.session_id)
    return session.counts[TaskStatus.FAILED] - (reviving.failed if reviving else 0)


def _apply_policy(core: State, session: Session, now: Time) -> None:
    if session.failure_action is FailureAction.CONTINUE or session.ending_as is not None:
        return
    failures = _failures(core, session)
    if failures < session.failure_limit:
        return
    session.open = False
    session.ending_as = SessionStatus.FAILED
    session.reason = f"{session.failure_action} after {failures} failed"
    core.touch(session)
    history.note_session(core, session, "policy_tripped", f"Its failure policy ends it: {session.reason}")
    stop_now = session.failure_action is FailureAction.STOP_NOW
    cancel_all(core, session, "SESSION_FAILED", now, running=stop_now)
