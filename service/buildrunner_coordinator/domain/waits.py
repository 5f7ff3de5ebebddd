"""Why a task is not running: the answer to the question that every user of a queue asks."""

from __future__ import annotations

from buildrunner_coordinator.domain.model import Outcome, Session, SessionStatus, Task, TaskStatus
from buildrunner_coordinator.domain.moves import held
from buildrunner_coordinator.domain.placement import has_room, serves, suits
from buildrunner_coordinator.domain.replies import Holder, Wait
from buildrunner_coordinator.domain.state import State

_SHOWN = 8


def own_reason(core: State, task: Task) -> Wait | None:
    """What keeps a queued task that has nothing to do with the load: a pause behind a failure, or locks."""
    if task.not_before_us > core.now.us:
        until_us = core.now.wall_us + task.not_before_us - core.now.us
        if task.outcome is Outcome.LOST:
            return Wait("lock_delay", "its worker was lost; it waits until that one's processes must be gone",
                        until_us=until_us)  # fmt: skip
        return Wait("backoff", f"pause after failure {task.failures}", until_us=until_us)
    if task.waits_for:
        holders = tuple(one for one in (_holder(core, owner) for owner in task.waits_on) if one is not None)
        who = ", ".join(f"{one.session_name}/{one.task_id}" for one in holders[:_SHOWN])
        message = f"waits for {', '.join(task.waits_for[:_SHOWN])}" + (f", held by {who}" if who else "")
        return Wait("locks", message, task.waits_for, holders)
    return None


def explain(core: State, task: Task) -> list[Wait]:
    """Everything that keeps an unfinished task from running, the most telling first."""
    if task.status is TaskStatus.BLOCKED:
        return [_needs(core, task)]
    if task.status is not TaskStatus.QUEUED:
        return []
    session = core.sessions[task.session_id]
    found = [
        one for one in (_session(session), own_reason(core, task), _parallel(session)) if one is not None
    ]
    return found or [one for one in [_workers(core, task)] if one is not None]


def _needs(core: State, task: Task) -> Wait:
    open_needs = tuple(need for need in task.needs if need in core.tasks[task.session_id])
    more = f" and {len(open_needs) - _SHOWN} more" if len(open_needs) > _SHOWN else ""
    return Wait("needs", f"needs {', '.join(open_needs[:_SHOWN])}{more}", open_needs)


def _session(session: Session) -> Wait | None:
    if session.status is SessionStatus.RUNNING:
        return None
    return Wait("session", f"its session is {session.status}")


def _parallel(session: Session) -> Wait | None:
    if not session.max_parallel or held(session) < session.max_parallel:
        return None
    return Wait("max_parallel", f"its session runs {held(session)} tasks, as many as it may")


def _workers(core: State, task: Task) -> Wait | None:
    there = [w for w in core.workers.values() if w.connected and serves(w)]
    able = [w for w in there if suits(w, task.session_id, task.traits)]
    if not able:
        traits = task.traits
        wanted = [f"label {one}" for one in traits.labels] + [f"{traits.kind} {traits.target}".strip()]
        if traits.wanted_worker_id:
            wanted.append(f"id {traits.wanted_worker_id}")
        if traits.slots > 1:
            wanted.append(f"{traits.slots} slots")
        return Wait("no_worker", f"no connected worker has {', '.join(wanted)}", tuple(wanted))
    if any(has_room(worker) for worker in able):
        return None
    return Wait("no_slot", f"all {len(able)} workers that could take it are busy")


def _holder(core: State, owner: str) -> Holder | None:
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
