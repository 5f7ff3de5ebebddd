"""What keeps a queued task that has nothing to do with the load. Told with every summary, hence quick.

The whole answer to why a task does not run, which looks at everything else too, is in explaining.py.
"""

from __future__ import annotations

from buildrunner_coordinator.domain import history
from buildrunner_coordinator.domain.model import Outcome, Task
from buildrunner_coordinator.domain.replies import Holder, Wait
from buildrunner_coordinator.domain.state import State

SHOWN = 8
"""So many names a sentence has room for."""


def own_reason(core: State, task: Task) -> Wait | None:
    """A pause behind a failure or a loss, or paths that are taken; None when neither is in its way."""
    if task.not_before_us > core.now.us:
        return _pause(core, task)
    if task.waits_for and task.key in core.queue.waiters.behind:
        return locks_wait(core, task.waits_for, task.waits_on)
    return None


def locks_wait(core: State, paths: tuple[str, ...], owners: tuple[str, ...]) -> Wait:
    """Paths that are in the way, and those in the lock table who hold them or asked for them before."""
    holders, held, before = [], [], []
    for owner in owners:
        holder = holder_of(core, owner)
        if holder is None:
            continue
        holders.append(holder)
        if holder.attempt_id:
            held.append(_has_it(core, holder))
        else:
            before.append(_name(holder))
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
    """Who this owner in the lock table is: a live attempt, what a lost one left, or a waiter."""
    task = core.attempts.get(owner)
    if task is not None and task.attempt is not None:
        a = task.attempt
        return Holder(a.session_id, core.sessions[a.session_id].name, a.task_id, owner, a.worker_id, a.host)
    lapse = core.lapses.get(owner)
    if lapse is not None:
        name = core.sessions[lapse.session_id].name if lapse.session_id in core.sessions else ""
        return Holder(lapse.session_id, name, lapse.task_id, owner, lapse.worker_id, lapse.host)
    session_id, _, task_id = owner.partition("/")
    session = core.sessions.get(session_id)
    return Holder(session_id, session.name, task_id, "", "", "") if session is not None and task_id else None


def _has_it(core: State, holder: Holder) -> str:
    lapse = core.lapses.get(holder.attempt_id)
    if lapse is not None:
        left = history.duration(max(0, lapse.until_us - core.now.us))
        return f"{_name(holder)}, whose worker {holder.worker_id} was lost (for another {left} at most)"
    task = core.attempts[holder.attempt_id]
    since_us = core.now.us - task.attempt.assigned_us if task.attempt is not None else 0
    return f"{_name(holder)} on worker {holder.worker_id} for {history.duration(max(0, since_us))}"


def _name(holder: Holder) -> str:
    return f"{holder.session_name or holder.session_id}/{holder.task_id}"


def _pause(core: State, task: Task) -> Wait:
    left_us = task.not_before_us - core.now.us
    until_us = core.now.wall_us + left_us
    left = history.duration(left_us)
    if task.outcome is Outcome.LOST:
        lost = f"worker {task.worker_id}" if task.worker_id else "its worker"
        message = f"{lost} was lost: it waits another {left} until the processes there must be gone"
        return Wait("lock_delay", message, until_us=until_us)
    return Wait("backoff", f"pauses for another {left} after failure {task.failures}", until_us=until_us)
