"""Running again what did not succeed: which tasks, and how they come back to life.

Very many come back over several batches, none of which holds heartbeats up. Until the last of them has, the
session does not end. If the coordinator dies meanwhile, the rest stays as it is; whoever asked has had no
answer yet, and asks again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildrunner_coordinator.domain import (
    chains,
    dependents,
    finding,
    history,
    relocking,
    sessions,
    steps,
    views,
)
from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.codec import task_of, texts_of
from buildrunner_coordinator.domain.model import Outcome, Session, Task, TaskKind, TaskStatus, Time
from buildrunner_coordinator.domain.moves import check_session, move_task
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import Retried
from buildrunner_coordinator.domain.revivals import Pair, Revival
from buildrunner_coordinator.domain.timers import Timer

if TYPE_CHECKING:
    from collections.abc import Callable

    from buildrunner_coordinator.domain.state import State

REVIVED_TASKS = 2_000
"""So many come back to life in one batch."""

REVIVABLE = frozenset({TaskStatus.FAILED, TaskStatus.SKIPPED, TaskStatus.CANCELLED})


def retry_tasks(core: State, command: c.RetryTasks, now: Time) -> Callable[[], Retried]:
    """Revives failed, skipped and cancelled tasks, and the session with them."""
    session = finding.find(core, command.session_id)
    check_session(session, "retry")
    _check_calm(core, session)
    _check_current(session, command)
    chosen = _to_revive(core, session, command)
    relocking.take_again(core, session)
    was_over = session.is_over
    if was_over:
        sessions.remember(core, session)
        core.ended[session.session_id] = {row.task_id: TaskStatus(row.status) for _, row in command.stored}
    core.reviving[session.session_id] = Revival(chosen)
    again = f"{history.counted(len(chosen), 'task')} to run again, as run {session.run + 1}"
    _revive_some(core, session)
    session.run += 1
    history.note_session(core, session, "retried", f"Retried: {again}")
    if was_over:
        session.ended_at_us, session.ended_us, session.reason = 0, 0, ""
        sessions.run(core, session, "retry", now)
    core.touch(session)
    return lambda: _retried(core, session, len(chosen))


def await_retry(core: State, command: c.AwaitRetry, now: Time) -> Callable[[], Retried]:
    session = finding.find(core, command.session_id)
    return lambda: _retried(core, session, command.revived)


def go_on(core: State, session: Session) -> None:
    """Revives the next ones; a session of which nothing is to be revived is a harmless call."""
    if session.session_id in core.reviving:
        _revive_some(core, session)
        core.touch(session)


def _retried(core: State, session: Session, revived: int) -> Retried:
    pending = core.reviving.get(session.session_id, ())
    return Retried(views.session_view(core, session), revived, len(pending))


def _check_calm(core: State, session: Session) -> None:
    """Neither ending nor just being retried. Raises Refusal."""
    where = f"Session {session.session_id} ({session.name})"
    if session.ending_as is not None:
        message = f"{where} is ending: wait until it is over, then retry."
        raise Refusal(Reason.WRONG_STATE, message, status=session.status.value)
    pending = core.reviving.get(session.session_id)
    if pending:
        left = history.counted(len(pending), "task")
        message = f"{where} is just being retried, with {left} to go: nothing more is needed for those."
        raise Refusal(Reason.WRONG_STATE, message, status=session.status.value)


def _check_current(session: Session, command: c.RetryTasks) -> None:
    """Rows read of a store may be old by now: they must not replace newer ones. Raises Refusal."""
    is_older = command.run not in (0, session.run)
    is_partial = session.is_over and len(command.stored) != sum(session.counts.values())
    if is_older or is_partial:
        raise Refusal(
            Reason.WRONG_STATE,
            f"Session {session.session_id} ({session.name}) changed while its tasks were read: retry again.",
            status=session.status.value,
        )


def _to_revive(core: State, session: Session, command: c.RetryTasks) -> list[Pair]:
    known = core.ended.get(session.session_id)
    found: dict[str, Pair] = {}
    for spec, row in command.stored:
        still_over = known is None or known.get(row.task_id) == row.status
        if row.status in REVIVABLE and still_over:
            found[row.task_id] = (spec, row)
    where = f"session {session.session_id} ({session.name})"
    for task_id in command.task_ids:
        if task_id not in found:
            message = (
                f"Task {task_id!r} of {where} cannot run again: only failed, skipped and cancelled ones can."
            )
            raise Refusal(Reason.WRONG_STATE, message, task_id=task_id)
    chosen = _with_skipped(found, command.task_ids) if command.task_ids else found.keys()
    if not chosen:
        message = f"In {where} nothing failed, was skipped or cancelled: there is nothing to run again."
        raise Refusal(Reason.WRONG_STATE, message, status=session.status.value)
    return [pair for task_id, pair in found.items() if task_id in chosen]


def _with_skipped(found: dict[str, Pair], named: tuple[str, ...]) -> set[str]:
    """The named tasks, and those that were skipped because of them."""
    skipped: dict[str, list[str]] = {}
    for spec, row in found.values():
        if row.status == TaskStatus.SKIPPED:
            for need in texts_of(spec.needs_json):
                skipped.setdefault(need, []).append(row.task_id)
    chosen = set(named)
    stack = list(chosen)
    while stack:
        for task_id in skipped.pop(stack.pop(), ()):
            if task_id not in chosen:
                chosen.add(task_id)
                stack.append(task_id)
    return chosen


def _revive_some(core: State, session: Session) -> None:
    revival = core.reviving[session.session_id]
    tasks = [task_of(spec, row) for spec, row in revival.take(REVIVED_TASKS)]
    for task in tasks:
        _revive(core, session, task)
    chains.lengthen(core, session.session_id, tasks)
    for task in tasks:
        dependents.admit(core, task)
    if revival:
        core.timers.add(core.now.us + 1, Timer.SWEEP, session.session_id)
    else:
        del core.reviving[session.session_id]


def _revive(core: State, session: Session, task: Task) -> None:
    core.ended[session.session_id].pop(task.task_id, None)
    core.tasks[session.session_id][task.task_id] = task
    if task.traits.kind is TaskKind.EXTERNAL:
        core.external.add(session.session_id)
    before = steps.fate(task.status, task.reason, task.error)
    history.note_task(core, task, "retried", f"To run again, as run {task.run + 1}: before, {before}")
    move_task(core, task, "revive")
    task.run += 1
    task.failures = task.crashes = task.ended_at_us = 0
    task.avoid, task.exit_code, task.error, task.reason = (), None, "", ""
    if task.outcome is not Outcome.LOST:
        # Behind a lost attempt the lock delay stands: a process of it may still be there.
        task.not_before_us, task.outcome = 0, None
