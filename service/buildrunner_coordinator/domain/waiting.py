"""Tasks and path locks: who gets them, who waits, who is woken.

A queued task whose paths are not free is parked: taken out of the ready queue and entered into the
lock table as a waiter. It is looked at again when what it is parked behind goes away. It takes no
slot and keeps nobody waiting but those who want the same paths and came later.
"""

from __future__ import annotations

from buildrunner_coordinator.domain.locks import HELD, Entry
from buildrunner_coordinator.domain.model import Attempt, Task, TaskStatus
from buildrunner_coordinator.domain.replies import Holder, LockView
from buildrunner_coordinator.domain.state import State
from buildrunner_coordinator.domain.timers import Timer

_FEW = 200
"""Up to so many waiters are all woken by a release, so that what they are shown to wait for is fresh;
beyond, each is parked behind the waiter before it, and a release wakes one."""


def waiter_name(key: tuple[str, str]) -> str:
    """Its name in the lock table. No attempt id has a "/"."""
    return f"{key[0]}/{key[1]}"


def try_grant(core: State, task: Task) -> bool:
    """True when all its paths are free for it now; otherwise it is parked."""
    name = waiter_name(task.key)
    ticket = core.locks.ticket(name) or core.next_ticket
    blockers = core.locks.blockers(task.files, ticket, name)
    if not blockers:
        return True
    _line_up(core, task, ticket)
    _park(core, task, blockers)
    return False


def try_claim(core: State, task: Task) -> bool:
    """As `try_grant` for a task that has no worker yet: nobody who comes later gets its paths before it."""
    if not try_grant(core, task):
        return False
    if task.key not in core.queue.waiters.waiting:
        _line_up(core, task, core.next_ticket)
        core.queue.waiters.woken[task.key] = None
    return True


def is_aged(core: State, task: Task) -> bool:
    """It has waited for its paths for so long that nobody is served before it any more."""
    return bool(task.waits_since_us) and core.now.us - task.waits_since_us >= core.settings.lock_age_ms * 1000


def hold(core: State, task: Task, attempt: Attempt) -> None:
    """Makes the attempt the holder of the task's paths. They are free: `try_grant` said so."""
    leave(core, task)
    core.locks.add(attempt.attempt_id, task.files)
    core.journal.locks.extend(lock_views(core, task, attempt))


def release(core: State, attempt_id: str, task: Task) -> None:
    """Frees what an attempt holds and wakes who is parked behind it."""
    core.locks.remove(attempt_id)
    session_id = task.session_id
    core.journal.removed_locks.extend((f"{attempt_id}-{i}", session_id) for i in range(len(task.files)))
    wake(core, attempt_id)


def leave(core: State, task: Task) -> None:
    """Takes a task out of the order of waiters; a task that is not in it is a harmless repeat."""
    waiters = core.queue.waiters
    if task.key not in waiters.waiting:
        return
    waiters.waiting.discard(task.key)
    waiters.woken.pop(task.key, None)
    _unpark(core, task.key)
    task.waits_for, task.waits_on, task.waits_since_us = (), (), 0
    name = waiter_name(task.key)
    core.locks.remove(name)
    wake(core, name)


def enqueue(core: State, task: Task) -> None:
    """Puts a QUEUED task into the ready queue, or sees to it that this happens when its pause is over."""
    if task.not_before_us > core.now.us:
        core.timers.add(task.not_before_us, Timer.TASK, *task.key)
    else:
        core.queue.add(task)


def wake(core: State, owner: str) -> None:
    """Puts those parked behind `owner` back into the ready queue."""
    waiters = core.queue.waiters
    for key in waiters.parked.pop(owner, ()):
        del waiters.behind[key]
        waiters.woken[key] = None
        task = core.tasks.get(key[0], {}).get(key[1])
        if task is not None and task.status is TaskStatus.QUEUED:
            core.queue.add(task)
            core.queue.stirred.add(key[0])


def step_aside(core: State, session_id: str) -> None:
    """A session that does not run keeps nobody waiting: its waiters lose their place."""
    for key in [key for key in core.queue.waiters.waiting if key[0] == session_id]:
        task = core.tasks[session_id][key[1]]
        was_parked = key in core.queue.waiters.behind
        leave(core, task)
        if was_parked:
            core.queue.add(task)


def lock_views(core: State, task: Task, attempt: Attempt) -> list[LockView]:
    holder = Holder(task.session_id, core.sessions[task.session_id].name, task.task_id, attempt.attempt_id,
                    attempt.worker_id, attempt.host)  # fmt: skip
    return [
        LockView(f"{attempt.attempt_id}-{i}", one.path, one.mode, one.kind, holder, attempt.fence,
                 attempt.assigned_at_us, 0)
        for i, one in enumerate(task.files)
    ]  # fmt: skip


def _line_up(core: State, task: Task, ticket: int) -> None:
    """Gives the task its place in the order, if it has none."""
    waiters = core.queue.waiters
    if task.key not in waiters.waiting:
        core.next_ticket += 1
        waiters.waiting.add(task.key)
        core.locks.add(waiter_name(task.key), task.files, ticket)
        task.waits_since_us = core.now.us


def _park(core: State, task: Task, blockers: list[Entry]) -> None:
    waiters = core.queue.waiters
    queued = [one for one in blockers if one.ticket != HELD]
    holders = [one for one in blockers if one.ticket == HELD]
    first, second = (holders, queued) if len(waiters.waiting) <= _FEW else (queued, holders)
    behind = (first or second)[0].owner
    waiters.woken.pop(task.key, None)
    waiters.behind[task.key] = behind
    waiters.parked.setdefault(behind, {})[task.key] = None
    shown = holders or queued
    task.waits_for = tuple(dict.fromkeys(one.request.path for one in shown))
    task.waits_on = tuple(dict.fromkeys(one.owner for one in shown))
    core.journal.watched_tasks[task.index] = task


def _unpark(core: State, key: tuple[str, str]) -> None:
    behind = core.queue.waiters.behind.pop(key, None)
    if behind is not None:
        parked = core.queue.waiters.parked[behind]
        del parked[key]
        if not parked:
            del core.queue.waiters.parked[behind]
