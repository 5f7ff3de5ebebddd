"""What follows when a task is over: its dependents, the failure policy, the end of its session."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from buildrunner_coordinator.domain import cleaning, grants, history, requesting, waiting
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
    _over(core, task)
    waiting_ids = core.dependents[task.session_id].pop(task.task_id, None)
    if waiting_ids:
        _unblock(core, task, waiting_ids)
    settle(core, core.sessions[task.session_id], now)


def fail(core: State, task: Task, reason: str, now: Time) -> None:
    """The task has failed for good."""
    if task.status is TaskStatus.QUEUED:
        waiting.give_up(core, task)
    move_task(core, task, "fail")
    task.reason = reason
    _over(core, task)
    _skip_dependents(core, task)
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
    _over(core, task)
    _skip_dependents(core, task)
    settle(core, core.sessions[task.session_id], now)


def skip_with_dependents(core: State, task: Task, needed: str) -> None:
    """The task will not run because `needed` did not succeed, nor will what needs it."""
    _skip(core, task, needed)
    _skip_dependents(core, task)


def cancel_all(core: State, session: Session, reason: str, now: Time, *, running: bool) -> None:
    """Cancels what no worker has, over several batches if that is much; with `running` what one has too."""
    from buildrunner_coordinator.domain.attempts import revoke, stop

    for task in [one for one in core.attempts.values() if one.session_id == session.session_id]:
        if running:
            stop(core, task, Outcome.CANCELLED, reason, now)
        elif task.attempt is not None:
            revoke(core, task.attempt, "its session ends")
    core.queue.drop_session(session.session_id)  # nothing of it is placed any more
    _sweep(core, session, reason, now)


def sweep_on(core: State, session: Session, now: Time) -> None:
    """Goes on with what `cancel_all` began; a session that is not ending is a harmless call."""
    if session.ending_as is not None:
        tripped = session.failure_action is not FailureAction.CONTINUE and (
            session.ending_as is SessionStatus.FAILED
            and session.counts[TaskStatus.FAILED] >= session.failure_limit
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
    if session.is_over or unfinished(session):
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


def _over(core: State, task: Task) -> None:
    del core.tasks[task.session_id][task.task_id]
    core.ended[task.session_id][task.task_id] = task.status


def _unblock(core: State, needed: Task, task_ids: Iterable[str]) -> None:
    tasks = core.tasks[needed.session_id]
    for task_id in task_ids:
        task = tasks.get(task_id)
        if task is not None:
            task.needs_left -= 1
            if task.needs_left == 0:
                move_task(core, task, "unblock")
                if needed.files and task.files:
                    _hand_over(core, needed, task)
                waiting.enqueue(core, task)


def _hand_over(core: State, needed: Task, heir: Task) -> None:
    """Paths that were just let go pass to who needed that very task before all others who ask from now on."""
    session = core.sessions[heir.session_id]
    runs = session.status is SessionStatus.RUNNING and session.ending_as is None
    if (
        runs
        and heir.not_before_us <= core.now.us
        and not {one.path for one in needed.files}.isdisjoint(one.path for one in heir.files)
    ):
        waiting.take_place(core, heir)


def _skip_dependents(core: State, task: Task) -> None:
    if core.sessions[task.session_id].ending_as is not None:
        return  # they are cancelled with all the others
    dependents, tasks = core.dependents[task.session_id], core.tasks[task.session_id]
    stack = [task]
    while stack:
        needed = stack.pop()
        for task_id in dependents.pop(needed.task_id, ()):
            dependent = tasks.get(task_id)
            if dependent is not None:
                _skip(core, dependent, needed.task_id)
                stack.append(dependent)


def _skip(core: State, task: Task, needed: str) -> None:
    move_task(core, task, "skip")
    task.reason, task.error = "NEED_FAILED", f"needs {needed}, which did not succeed"
    task.ended_at_us = core.now.wall_us
    _over(core, task)


def _cancel_quietly(core: State, task: Task, reason: str, now: Time) -> None:
    """As `cancel_now`, within a sweep over all tasks: dependents are swept too, the end comes later."""
    waiting.give_up(core, task)
    move_task(core, task, "cancel")
    task.reason, task.ended_at_us = reason, task.ended_at_us or now.wall_us
    _over(core, task)


def _apply_policy(core: State, session: Session, now: Time) -> None:
    if session.failure_action is FailureAction.CONTINUE or session.ending_as is not None:
        return
    if session.counts[TaskStatus.FAILED] < session.failure_limit:
        return
    session.open = False
    session.ending_as = SessionStatus.FAILED
    session.reason = f"{session.failure_action} after {session.counts[TaskStatus.FAILED]} failed"
    core.touch(session)
    history.note_session(core, session, "policy_tripped", f"Its failure policy ends it: {session.reason}")
    stop_now = session.failure_action is FailureAction.STOP_NOW
    cancel_all(core, session, "SESSION_FAILED", now, running=stop_now)
