"""What is asked of tasks: submit, cancel, run again, find."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildrunner_coordinator.domain import (
    attempts,
    chains,
    endings,
    finding,
    history,
    relocking,
    sessions,
    steps,
    views,
    waiting,
)
from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.codec import task_of
from buildrunner_coordinator.domain.graphs import find_cycle
from buildrunner_coordinator.domain.model import Outcome, Session, Task, TaskStatus, Time
from buildrunner_coordinator.domain.moves import check_session, move_task
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import Retried, Submitted, TaskPlace, TaskView

if TYPE_CHECKING:
    from collections.abc import Callable

    from buildrunner_coordinator.domain.state import State

_REVIVABLE = (TaskStatus.FAILED, TaskStatus.SKIPPED, TaskStatus.CANCELLED)


def submit_tasks(core: State, command: c.SubmitTasks, now: Time) -> Callable[[], Submitted]:
    session = finding.find(core, command.session_id)
    _check_open(session)
    check_tasks(core, session, command.tasks)
    added = _add(core, session, command.tasks, now)
    if command.seal:
        sessions.seal(core, session)
    endings.settle(core, session, now)
    return _submitted(core, session, added if command.summaries else [], len(added))


def submit_plan(core: State, command: c.SubmitPlan, now: Time) -> Callable[[], Submitted]:
    """Everything is checked before the session comes into being."""
    if command.create is None:
        session = check_plan(core, command.session_id, command.tasks, start=command.start)
    else:
        check_tasks(core, None, command.tasks)
        session = sessions.create(core, command.create, now)
    added = _add(core, session, command.tasks, now)
    if command.seal:
        sessions.seal(core, session)
    core.touch(session)
    if command.start:
        sessions.run(core, session, "start", now)
    return _submitted(core, session, [], len(added))


def check_plan(core: State, session_id: str, tasks: tuple[c.NewTask, ...], *, start: bool) -> Session:
    """The session that such tasks may be added to. Raises Refusal."""
    session = finding.find(core, session_id)
    _check_open(session)
    if start:
        check_session(session, "start")
    check_tasks(core, session, tasks)
    return session


def check_tasks(core: State, session: Session | None, tasks: tuple[c.NewTask, ...]) -> None:
    """Ids new and unique, needs known, no circle, not more than were declared. Raises Refusal."""
    live = core.tasks[session.session_id] if session else {}
    ended = core.ended[session.session_id] if session else {}
    new: dict[str, tuple[str, ...]] = {}
    for task in tasks:
        if task.task_id in new or task.task_id in live or task.task_id in ended:
            raise Refusal(
                Reason.TASK_EXISTS,
                f"There are two tasks {task.task_id!r} in this session. Ids must be unique in a session.",
                task_id=task.task_id,
            )
        new[task.task_id] = task.needs
    for task_id, needs in new.items():
        for need in needs:
            if need not in new and need not in live and need not in ended:
                raise Refusal(
                    Reason.UNKNOWN_NEED,
                    f"Task {task_id!r} needs {need!r}, which is neither in this "
                    f"submission nor in the session.",
                    task_id=task_id,
                )
    cycle = find_cycle(new)
    if cycle:
        raise Refusal(
            Reason.CYCLE, f"Tasks need each other in a circle: {' -> '.join(cycle)}.", task_id=cycle[0]
        )
    _check_declared(session, len(tasks))


def cancel_task(core: State, command: c.CancelTask, now: Time) -> Callable[[], TaskView]:
    """Stops it. Raises Refusal (TASK_NOT_FOUND) also for one that is over: only the store knows those."""
    session = finding.find(core, command.session_id)
    task = core.tasks.get(session.session_id, {}).get(command.task_id)
    if task is None:
        raise Refusal(Reason.TASK_NOT_FOUND, f"There is no unfinished task {command.task_id!r} in session "
                                             f"{session.session_id}.", id=command.task_id)  # fmt: skip
    if task.status in c.TASK_WAITING:
        because = f": {command.reason}" if command.reason else ""
        history.note_task(core, task, "cancel_requested", f"Told to end as cancelled{because}")
        endings.cancel_now(core, task, command.reason or "CANCELLED", now)
    else:
        attempts.stop(core, task, Outcome.CANCELLED, command.reason or "CANCELLED", now)
    return lambda: views.task_view(core, task)


def retry_tasks(core: State, command: c.RetryTasks, now: Time) -> Callable[[], Retried]:
    """Revives failed, skipped and cancelled tasks, and the session with them."""
    session = finding.find(core, command.session_id)
    check_session(session, "retry")
    if session.ending_as is not None:
        raise Refusal(
            Reason.WRONG_STATE, f"Session {session.session_id} is ending: wait until it is over, then retry."
        )
    _check_current(session, command)
    chosen = _to_revive(core, session, command)
    relocking.take_again(core, session)
    was_over = session.is_over
    if was_over:
        sessions.remember(core, session)
        core.ended[session.session_id] = {row.task_id: TaskStatus(row.status) for _, row in command.stored}  # type: ignore[attr-defined]
    for task in chosen:
        _revive(core, session, task)
    chains.lengthen(core, session.session_id, chosen)
    for task in chosen:
        _admit(core, session, task)
    session.run += 1
    again = f"{history.counted(len(chosen), 'task')} to run again, as run {session.run}"
    history.note_session(core, session, "retried", f"Retried: {again}")
    if was_over:
        session.ended_at_us, session.ended_us, session.reason = 0, 0, ""
        sessions.run(core, session, "retry", now)
    core.touch(session)
    return lambda: Retried(views.session_view(core, session), len(chosen))


def find_task(core: State, command: c.FindTask, now: Time) -> Callable[[], TaskPlace]:
    session = finding.find(core, command.session_id)
    task = core.tasks.get(session.session_id, {}).get(command.task_id)
    if task is None:
        return lambda: TaskPlace(session.session_id, None, 0, session.is_over, session.run)
    return lambda: TaskPlace(
        session.session_id, views.task_view(core, task), task.attempts, session.is_over, session.run
    )


def _check_open(session: Session) -> None:
    if session.is_over or not session.open:
        state = session.status.value if session.is_over else "closed"
        raise Refusal(
            Reason.SESSION_CLOSED,
            f"Session {session.session_id} ({session.name}) is {state}: "
            f"no task can be added. Start a new session.",
            status=state,
        )


def _check_declared(session: Session | None, added: int) -> None:
    if session and session.declared_tasks:
        there = sum(session.counts.values())
        if there + added > session.declared_tasks:
            raise Refusal(
                Reason.INVALID,
                f"Session {session.session_id} was declared with {session.declared_tasks} "
                f"tasks and has {there}; {added} more do not fit.",
            )


def _add(core: State, session: Session, tasks: tuple[c.NewTask, ...], now: Time) -> list[Task]:
    added = []
    live = core.tasks[session.session_id]
    revision = core.revision + 1
    for number, new in enumerate(tasks, sum(session.counts.values()) + 1):
        needs = tuple(dict.fromkeys(new.needs)) if new.needs else ()
        task = Task(
            session.session_id, new.task_id, core.next_index, new.title, new.spec, new.traits, needs,
            new.files, TaskStatus.BLOCKED, submitted_at_us=now.wall_us, number=number,
            submitted_revision=revision,
        )  # fmt: skip
        core.next_index += 1
        live[new.task_id] = task
        core.journal.specs.append(task)
        core.journal.tasks[task.index] = task
        added.append(task)
    session.counts[TaskStatus.BLOCKED] += len(added)
    chains.lengthen(core, session.session_id, added)
    for task in added:
        _admit(core, session, task)
    core.touch(session)
    if session.declared_tasks and sum(session.counts.values()) >= session.declared_tasks:
        sessions.seal(core, session)
    return added


def _admit(core: State, session: Session, task: Task) -> None:
    """A BLOCKED task finds its place: behind its needs, in the queue, or skipped."""
    if task.status is not TaskStatus.BLOCKED:
        return
    ended, live = core.ended[session.session_id], core.tasks[session.session_id]
    dependents = core.dependents[session.session_id]
    left = 0
    for need in task.needs:
        status = ended.get(need)
        if status is None:
            assert need in live, f"{task.key} needs {need}, which is nowhere"
            dependents.setdefault(need, {})[task.task_id] = None
            left += 1
        elif status is not TaskStatus.SUCCEEDED:
            endings.skip_with_dependents(core, task, need)
            return
    task.needs_left = left
    if left == 0:
        move_task(core, task, "unblock")
        waiting.enqueue(core, task)


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


def _to_revive(core: State, session: Session, command: c.RetryTasks) -> list[Task]:
    known = core.ended.get(session.session_id)
    found: dict[str, Task] = {}
    for spec, row in command.stored:
        task = task_of(spec, row)  # type: ignore[arg-type]
        still_over = known is None or known.get(task.task_id) is task.status
        if task.status in _REVIVABLE and still_over:
            found[task.task_id] = task
    where = f"session {session.session_id} ({session.name})"
    for task_id in command.task_ids:
        if task_id not in found:
            message = (
                f"Task {task_id!r} of {where} cannot run again: only failed, skipped and cancelled ones can."
            )
            raise Refusal(Reason.WRONG_STATE, message, task_id=task_id)
    chosen = _with_skipped(found, command.task_ids) if command.task_ids else set(found)
    if not chosen:
        message = f"In {where} nothing failed, was skipped or cancelled: there is nothing to run again."
        raise Refusal(Reason.WRONG_STATE, message, status=session.status.value)
    return [task for task in found.values() if task.task_id in chosen]


def _with_skipped(found: dict[str, Task], named: tuple[str, ...]) -> set[str]:
    """The named tasks, and those that were skipped because of them."""
    dependents: dict[str, list[str]] = {}
    for one in found.values():
        if one.status is TaskStatus.SKIPPED:
            for need in one.needs:
                dependents.setdefault(need, []).append(one.task_id)
    chosen = set(named)
    stack = list(chosen)
    while stack:
        for task_id in dependents.pop(stack.pop(), ()):
            if task_id not in chosen:
                chosen.add(task_id)
                stack.append(task_id)
    return chosen


def _revive(core: State, session: Session, task: Task) -> None:
    core.ended[session.session_id].pop(task.task_id, None)
    core.tasks[session.session_id][task.task_id] = task
    before = steps.fate(task.status, task.reason, task.error)
    history.note_task(core, task, "retried", f"To run again, as run {task.run + 1}: before, {before}")
    move_task(core, task, "revive")
    task.run += 1
    task.failures = task.crashes = task.ended_at_us = 0
    task.avoid, task.exit_code, task.error, task.reason = (), None, "", ""
    if task.outcome is not Outcome.LOST:
        # Behind a lost attempt the lock delay stands: a process of it may still be there.
        task.not_before_us, task.outcome = 0, None


def _submitted(core: State, session: Session, tasks: list[Task], count: int) -> Callable[[], Submitted]:
    return lambda: Submitted(
        views.session_view(core, session), [views.task_view(core, task) for task in tasks], count
    )
