"""What keeps a queued task that has nothing to do with the load. Told with every summary, hence quick.

The whole answer to why a task does not run, which looks at everything else too, is in explaining.py.
"""

from __future__ import annotations

from buildrunner_coordinator.domain import grants, history
from buildrunner_coordinator.domain.deadlocks import request_name
from buildrunner_coordinator.domain.locks import HELD
from buildrunner_coordinator.domain.model import Outcome, PathRequest, Task
from buildrunner_coordinator.domain.replies import Holder, Wait
from buildrunner_coordinator.domain.state import State

SHOWN = 8
"""So many names a sentence has room for."""


def own_reason(core: State, task: Task) -> Wait | None:
    """A pause behind a failure or a loss, or paths that are taken; None when neither is in its way."""
    if task.not_before_us > core.now.us:
        return _pause(core, task)
    if task.waits_for and task.key in core.queue.waiters.behind:
        return locks_wait(core, task.waits_for, task.waits_on, task.session_id)
    return None


def locks_wait(core: State, paths: tuple[str, ...], owners: tuple[str, ...], mine: str = "") -> Wait:
    """Paths that are in the way of a task of session `mine`, and those in the lock table who hold them or
    asked for them before."""
    holders, held, before = [], [], []
    for owner in owners:
        holder = holder_of(core, owner)
        if holder is None:
            continue
        holders.append(holder)
        if core.locks.ticket(owner) == HELD:
            held.append(_has_it(core, holder, mine))
        else:
            before.append(_name(holder, mine))
    message = f"waits for {listed(paths)}"
    if held:
        message += f", held by {listed(held)}"
    if before:
        message += f"{';' if held else ','} asked for before it by {listed(before)}"
    return Wait("locks", message, paths, tuple(holders))


def listed(names: tuple[str, ...] | list[str], last: str = "and") -> str:
    """Such as "a, b and c"; of many the first, and how many more there are."""
    if len(names) > SHOWN:
        return f"{', '.join(names[:SHOWN])} {last} {len(names) - SHOWN} more"
    return f" {last} ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""


def holder_of(core: State, owner: str) -> Holder | None:
    """Who this owner in the lock table is: a live attempt, what a lost one left, a grant, or a waiter."""
    task = core.attempts.get(owner)
    if task is not None and task.attempt is not None:
        a = task.attempt
        return Holder(a.session_id, core.sessions[a.session_id].name, a.task_id, owner, a.worker_id, a.host)
    lapse = core.lapses.get(owner)
    if lapse is not None:
        name = core.sessions[lapse.session_id].name if lapse.session_id in core.sessions else ""
        return Holder(lapse.session_id, name, lapse.task_id, owner, lapse.worker_id, lapse.host)
    grant = core.grants.get(owner)
    if grant is not None:
        return grants.holder_of(core, grant)
    session_id, _, rest = owner.partition("/")
    if not rest:
        return None
    if not session_id:
        return _requester(core, rest)
    session = core.sessions.get(session_id)
    return Holder(session_id, session.name, rest, "", "", "") if session is not None else None


def owner_of(core: State, holder: Holder) -> str:
    """The name of such a holder or waiter in the lock table."""
    if holder.grant_id:
        return holder.grant_id if holder.grant_id in core.grants else request_name(holder.grant_id)
    return holder.attempt_id or f"{holder.session_id}/{holder.task_id}"


def since_us(core: State, owner: str) -> int:
    """Core time since when this owner in the lock table holds or waits."""
    task = core.attempts.get(owner)
    if task is not None and task.attempt is not None:
        return task.attempt.assigned_us
    if owner in core.lapses:
        return core.lapses[owner].since_us
    if owner in core.grants:
        return core.grants[owner].acquired_us
    session_id, _, rest = owner.partition("/")
    if not session_id and rest in core.requesters:
        return core.requesters[rest].since_us
    waiter = core.tasks.get(session_id, {}).get(rest)
    return waiter.waits_since_us if waiter is not None and waiter.waits_since_us else core.now.us


def lock_id_of(core: State, owner: str, request: PathRequest) -> str:
    """The id of the lock by which this holder has that path."""
    grant = core.grants.get(owner)
    if grant is not None:
        return grants.lock_id(grant, request)
    files = core.locks.requests(owner)
    return f"{owner}-{files.index(request)}" if request in files else ""


def who(core: State, owner: str) -> str:
    """An owner in the lock table, for people."""
    holder = holder_of(core, owner)
    return _name(holder) if holder is not None else owner


def _requester(core: State, waiter_id: str) -> Holder | None:
    request = core.requesters.get(waiter_id)
    if request is None:
        return None
    session = core.sessions.get(request.session_id)
    task = core.attempts.get(request.attempt_id) if request.attempt_id else None
    return Holder(request.session_id, session.name if session else "", task.task_id if task else "",
                  request.attempt_id, "", request.host, waiter_id)  # fmt: skip


def _has_it(core: State, holder: Holder, mine: str) -> str:
    lapse = core.lapses.get(holder.attempt_id)
    grant = core.grants.get(holder.grant_id) if holder.grant_id else None
    until_us = grant.until_us if grant is not None else lapse.until_us if lapse is not None else 0
    if until_us:
        left = history.duration(max(0, until_us - core.now.us))
        lost = f"whose worker {holder.worker_id} was" if lapse is not None else "whose holder was"
        return f"{_name(holder, mine)}, {lost} lost (for another {left} at most)"
    held = history.duration(max(0, core.now.us - since_us(core, holder.grant_id or holder.attempt_id)))
    if grant is not None:
        return f"{_name(holder, mine)} for {held}"
    return f"{_name(holder, mine)} on worker {holder.worker_id} for {held}"


def _name(holder: Holder, mine: str = "") -> str:
    """Of one of session `mine` without the session's name, which whoever asks has before their eyes."""
    if mine and holder.session_id == mine:
        return f"{holder.task_id} of its own session" if holder.task_id else "its own session"
    name = holder.session_name or holder.session_id
    if holder.task_id:
        return f"{name}/{holder.task_id}"
    return f"session {holder.session_id} ({name})"


def _pause(core: State, task: Task) -> Wait:
    left_us = task.not_before_us - core.now.us
    until_us = core.now.wall_us + left_us
    left = history.duration(left_us)
    if task.outcome is Outcome.LOST:
        lost = f"worker {task.worker_id}" if task.worker_id else "its worker"
        message = f"{lost} was lost: it can run again in {left}, when what still ran there must have ended"
        return Wait("lock_delay", message, until_us=until_us)
    times = "once" if task.failures == 1 else f"{task.failures} times"
    return Wait("backoff", f"failed {times}: it is tried again in {left}", until_us=until_us)
