"""What is asked of tasks: submit, cancel, find. Running them again is in reviving.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildrunner_coordinator.domain import (
    attempts,
    chains,
    dependents,
    endings,
    finding,
    history,
    sessions,
    views,
)
from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.graphs import find_cycle
from buildrunner_coordinator.domain.model import Driver, Outcome, Session, Task, TaskKind, TaskStatus, Time
from buildrunner_coordinator.domain.moves import check_session
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import Submitted, TaskPlace, TaskView

if TYPE_CHECKING:
    from collections.abc import Callable

    from buildrunner_coordinator.domain.state import State


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
    if session and _seals_itself(session):
        there = sum(session.counts.values())
        if there + added > session.declared_tasks:
            raise Refusal(
                Reason.INVALID,
                f"Session {session.session_id} was declared with {session.declared_tasks} "
                f"tasks and has {there}; {added} more do not fit.",
            )


def _seals_itself(session: Session) -> bool:
    """With the last of its declared tasks. One that its owner ends has no more than an expectation."""
    return session.declared_tasks > 0 and session.driver is Driver.TASKS


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
        if new.traits.kind is TaskKind.EXTERNAL:
            core.external.add(session.session_id)
        core.journal.specs.append(task)
        core.journal.tasks[task.index] = task
        added.append(task)
    session.counts[TaskStatus.BLOCKED] += len(added)
    chains.lengthen(core, session.session_id, added)
    for task in added:
        dependents.admit(core, task)
    core.touch(session)
    if _seals_itself(session) and sum(session.counts.values()) >= session.declared_tasks:
        sessions.seal(core, session)
    return added


def _submitted(core: State, session: Session, tasks: list[Task], count: int) -> Callable[[], Submitted]:
    return lambda: Submitted(
        views.session_view(core, session), [views.task_view(core, task) for task in tasks], count
    )
