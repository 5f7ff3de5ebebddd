"""Path locks and those who wait for them: who gets them, who is parked, who is woken.

A queued task whose paths are not free is parked: taken out of the ready queue and entered into the
lock table as a waiter. It is looked at again when what it is parked behind goes away. It takes no
slot and keeps nobody waiting but those who want the same paths and came later. Requests by hand
(requesting.py) stand in the same order; their key here has an empty session.

A task whose paths are free and that cannot be placed (no slot, its session's limit) stands aside when
somebody behind it could go at once: it keeps its ticket, and comes back with it when it can be placed.
"""

from __future__ import annotations

from collections.abc import Callable

from buildrunner_coordinator.domain import deadlocks, lock_times
from buildrunner_coordinator.domain.deadlocks import request_name
from buildrunner_coordinator.domain.locks import HELD, Entry, Party
from buildrunner_coordinator.domain.model import Attempt, PathRequest, Task, TaskStatus
from buildrunner_coordinator.domain.replies import Holder, LockView
from buildrunner_coordinator.domain.state import State
from buildrunner_coordinator.domain.timers import Timer

Key = tuple[str, str]
"""(session id, task id) of a task; ("", waiter id) of a request by hand."""

_FEW = 200
"""Up to so many waiters are all woken by a release, so that what they are shown to wait for is fresh;
beyond, each is parked behind the waiter before it, and a release wakes one."""
_LOOKED_AT = 50
"""So many of those behind a task are asked whether they could go before it."""


def waiter_name(key: Key) -> str:
    """Its name in the lock table. No attempt id has a "/"."""
    return f"{key[0]}/{key[1]}" if key[0] else request_name(key[1])


def party_of(task: Task) -> Party:
    """On whose account a waiting task waits."""
    return Party(waiter_name(task.key), task.session_id)


def in_the_way(core: State, files: tuple[PathRequest, ...], ticket: int, party: Party) -> list[Entry]:
    """What keeps such a request from being granted. Empty: it may be.

    Those who came before and wait, over whatever corners, for what this very party holds are no reason:
    they cannot go before it lets go, and it would not before it has what it asks for.
    """
    found = core.locks.blockers(files, ticket, party)
    if all(one.ticket == HELD for one in found):
        return found
    accounts = deadlocks.accounts_of(core, party)
    if not deadlocks.holds_anything(core, accounts):
        return found
    behind_me: dict[str, bool] = {}
    kept = []
    for _, entry in core.locks.conflicts(files, party, ticket):
        if entry.ticket != HELD:
            if entry.owner not in behind_me:
                behind_me[entry.owner] = deadlocks.waits_for(core, entry.owner, accounts)
            if behind_me[entry.owner]:
                continue
        kept.append(entry)
    return kept


def try_grant(core: State, task: Task) -> bool:
    """True when all its paths are free for it now; otherwise it is parked."""
    ticket = task.ticket or core.next_ticket
    blockers = in_the_way(core, task.files, ticket, party_of(task))
    if not blockers:
        return True
    _line_up(core, task, ticket)
    if task.session_id in core.accounts:
        steps = deadlocks.circle(core, task.files, ticket, party_of(task))
        if steps:
            core.queue.waiters.circles[task.key] = steps
    task.waits_for = _park(core, task.key, blockers)
    shown = [one for one in blockers if one.ticket == HELD] or blockers
    task.waits_on = tuple(dict.fromkeys(one.owner for one in shown))
    core.journal.watched_tasks[task.index] = task
    return False


def try_claim(core: State, task: Task) -> bool:
    """As `try_grant` for a task that has no worker yet: nobody who comes later gets its paths before it."""
    if not try_grant(core, task):
        return False
    if task.key not in core.queue.waiters.waiting:
        take_place(core, task)
    return True


def take_place(core: State, task: Task) -> None:
    """Gives a task that was not found waiting a place in the order: everybody who asks later is behind it."""
    _line_up(core, task, task.ticket or core.next_ticket)
    core.queue.waiters.woken[task.key] = None


def is_aged(core: State, task: Task) -> bool:
    """It has waited for its paths for so long that nobody is served before it any more."""
    return bool(task.waits_since_us) and core.now.us - task.waits_since_us >= core.settings.lock_age_ms * 1000


def hold(core: State, task: Task, attempt: Attempt) -> None:
    """Makes the attempt the holder of the task's paths. They are free: `try_grant` said so."""
    if task.waits_for:
        lock_times.note_wait(
            core, task.key, task.waits_for, task.waits_since_us, attempt_id=attempt.attempt_id
        )
    leave(core, task)
    core.locks.add(attempt.attempt_id, task.files, Party(attempt.attempt_id, task.session_id))
    core.journal.locks.extend(lock_views(core, task, attempt))


def release(core: State, attempt_id: str, task: Task, held_since_us: int) -> None:
    """Frees what an attempt holds and wakes who is parked behind it."""
    lock_times.note_hold(core, attempt_id, held_since_us, task.key)
    core.locks.remove(attempt_id)
    session_id = task.session_id
    core.journal.removed_locks.extend((f"{attempt_id}-{i}", session_id) for i in range(len(task.files)))
    wake(core, attempt_id)


def leave(core: State, task: Task) -> None:
    """Takes a task out of the order of waiters; a task that is not in it is a harmless repeat."""
    waiters = core.queue.waiters
    if not task.ticket:
        return
    waiters.aside.pop(task.key, None)
    waiters.circles.pop(task.key, None)
    task.waits_for, task.waits_on, task.waits_since_us, task.ticket = (), (), 0, 0
    core.journal.tasks[task.index] = task
    if task.key in waiters.waiting:
        _take_out(core, task.key)


def give_up(core: State, task: Task) -> None:
    """As `leave`, of one that will never get what it waited for."""
    if task.ticket and task.waits_for:
        lock_times.note_wait(core, task.key, task.waits_for, task.waits_since_us, given_up=True)
    leave(core, task)


def stand_aside(core: State, task: Task) -> None:
    """Lets those behind it go first; its ticket stays its own."""
    _take_out(core, task.key)
    core.queue.waiters.aside[task.key] = None


def come_back(core: State, task: Task) -> None:
    """From aside to its old place."""
    take_place(core, task)


def let_pass(core: State, could_go: Callable[[Key], bool], keeps_place: Callable[[Task], bool]) -> bool:
    """After a pass: tasks whose paths are free and that found no worker stand aside for those who
    `could_go` now. True: somebody was woken by it. One that `keeps_place` stays."""
    waiters = core.queue.waiters
    moved = False
    for key in list(waiters.woken):
        behind = list(waiters.parked.get(waiter_name(key), ()))[:_LOOKED_AT]
        if any(could_go(one) for one in behind):
            task = core.tasks[key[0]][key[1]]
            if not keeps_place(task):
                stand_aside(core, task)
                moved = True
    return moved


def enqueue(core: State, task: Task) -> None:
    """Puts a QUEUED task into the ready queue, or sees to it that this happens when its pause is over."""
    if task.not_before_us > core.now.us:
        core.timers.add(task.not_before_us, Timer.TASK, *task.key)
    else:
        core.queue.add(task)


def wake(core: State, owner: str) -> None:
    """Those parked behind `owner` are looked at again: tasks in the ready queue, requests at once."""
    waiters = core.queue.waiters
    for key in waiters.parked.pop(owner, ()):
        del waiters.behind[key]
        if not key[0]:
            waiters.called[key[1]] = None
            continue
        waiters.woken[key] = None
        task = core.tasks.get(key[0], {}).get(key[1])
        if task is not None and task.status is TaskStatus.QUEUED:
            core.queue.add(task)
            core.queue.stirred.add(key[0])


def look_again(core: State, session_id: str) -> None:
    """The session has come to hold something: some of its parked tasks may now go before waiters that wait
    for just that, or find that they close a circle."""
    waiters = core.queue.waiters
    for key in [key for key in waiters.waiting if key[0] == session_id and key in waiters.behind]:
        _unpark(core, key)
        waiters.woken[key] = None
        core.queue.add(core.tasks[session_id][key[1]])
        core.queue.stirred.add(session_id)
    for waiter_id, request in core.requesters.items():
        if request.session_id == session_id and ("", waiter_id) in waiters.behind:
            _unpark(core, ("", waiter_id))
            waiters.called[waiter_id] = None


def step_aside(core: State, session_id: str) -> None:
    """A session that does not run keeps nobody waiting: its waiters lose their place."""
    waiters = core.queue.waiters
    for key in [key for key in (*waiters.waiting, *waiters.aside) if key[0] == session_id]:
        task = core.tasks[session_id][key[1]]
        was_parked = key in waiters.behind
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


def park_request(core: State, waiter_id: str, blockers: list[Entry]) -> tuple[str, ...]:
    """Parks a request by hand that is in the lock table; the paths that are in its way."""
    return _park(core, ("", waiter_id), blockers)


def remove_request(core: State, waiter_id: str) -> None:
    """Takes a request by hand out of the order, and wakes who is parked behind it."""
    core.queue.waiters.called.pop(waiter_id, None)
    _unpark(core, ("", waiter_id))
    name = request_name(waiter_id)
    core.locks.remove(name)
    wake(core, name)


def _line_up(core: State, task: Task, ticket: int) -> None:
    """Gives the task its place in the order, if it has none. The place is as durable as everything else."""
    waiters = core.queue.waiters
    if task.key in waiters.waiting:
        return
    waiters.waiting.add(task.key)
    waiters.aside.pop(task.key, None)
    core.locks.add(waiter_name(task.key), task.files, party_of(task), ticket)
    if not task.ticket:
        core.next_ticket += 1
        task.ticket, task.waits_since_us = ticket, core.now.us
        core.journal.tasks[task.index] = task


def _park(core: State, key: Key, blockers: list[Entry]) -> tuple[str, ...]:
    """Behind a holder, or when many wait behind the last who came before. The paths to be shown."""
    waiters = core.queue.waiters
    queued = [one for one in blockers if one.ticket != HELD]
    holders = [one for one in blockers if one.ticket == HELD]
    first, second = (holders, queued) if len(waiters.waiting) <= _FEW else (queued, holders)
    behind = (first or second)[0].owner
    waiters.woken.pop(key, None)
    if not key[0]:
        waiters.called.pop(key[1], None)
    _unpark(core, key)
    waiters.behind[key] = behind
    waiters.parked.setdefault(behind, {})[key] = None
    return tuple(dict.fromkeys(one.request.path for one in holders or queued))


def _take_out(core: State, key: Key) -> None:
    waiters = core.queue.waiters
    waiters.waiting.discard(key)
    waiters.woken.pop(key, None)
    _unpark(core, key)
    name = waiter_name(key)
    core.locks.remove(name)
    wake(core, name)


def _unpark(core: State, key: Key) -> None:
    behind = core.queue.waiters.behind.pop(key, None)
    if behind is not None:
        parked = core.queue.waiters.parked[behind]
        del parked[key]
        if not parked:
            del core.queue.waiters.parked[behind]
