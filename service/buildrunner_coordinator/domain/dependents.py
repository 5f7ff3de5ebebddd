"""What a task's end means for those that need it: they may go, or are skipped, and so on down the graph.

Where very many need the same task, they are told over several batches, none of which holds heartbeats up.
"""

from __future__ import annotations

from collections import deque

from buildrunner_coordinator.domain import waiting
from buildrunner_coordinator.domain.model import PathRequest, SessionStatus, Task, TaskStatus
from buildrunner_coordinator.domain.moves import move_task
from buildrunner_coordinator.domain.state import State
from buildrunner_coordinator.domain.timers import Timer

TOLD_TASKS = 2_000
"""So many are told in one batch."""


def forget(core: State, task: Task) -> None:
    """The task is over: of what it was only its status stays in memory."""
    del core.tasks[task.session_id][task.task_id]
    core.ended[task.session_id][task.task_id] = task.status


def admit(core: State, task: Task) -> None:
    """A BLOCKED task finds its place: behind its needs, in the queue, or skipped."""
    if task.status is not TaskStatus.BLOCKED:
        return
    session_id = task.session_id
    ended, live = core.ended[session_id], core.tasks[session_id]
    reviving, mine = core.reviving.get(session_id, ()), core.dependents[session_id]
    left = 0
    for need in task.needs:
        status = ended.get(need)
        if status is None or need in reviving:
            assert status or need in live, f"{task.key} needs {need}, which is nowhere"
            mine.setdefault(need, {})[task.task_id] = None
            left += 1
        elif status is not TaskStatus.SUCCEEDED:
            skip(core, task, need)
            tell(core, task)
            return
        elif need in mine:  # what waited for it in an earlier run has yet to be told
            mine[need].pop(task.task_id, None)
    task.needs_left = left
    if left == 0:
        move_task(core, task, "unblock")
        waiting.enqueue(core, task)


def tell(core: State, task: Task) -> None:
    """Those that need a task that is over go on: the first of them at once, the others in `go_on`.

    Those of a session that is ending are cancelled with all the others instead.
    """
    if task.task_id not in core.dependents[task.session_id]:
        return
    if core.sessions[task.session_id].ending_as is not None:
        return
    is_first = task.session_id not in core.untold
    line_up(core, task.session_id, task.task_id, task.files)
    if is_first:
        go_on(core, task.session_id)


def line_up(core: State, session_id: str, needed_id: str, files: tuple[PathRequest, ...] = ()) -> None:
    """Those that need this task, which is over, are told in turn. `files` are what it has just let go."""
    mine = core.dependents[session_id]
    # From the back is how they are taken out: so the first to be submitted is the first to be told.
    mine[needed_id] = dict(reversed(mine[needed_id].items()))
    core.untold.setdefault(session_id, deque()).append((needed_id, files))


def skip(core: State, task: Task, needed: str) -> None:
    """The task will not run, because `needed` did not succeed."""
    move_task(core, task, "skip")
    task.reason, task.error = "NEED_FAILED", f"needs {needed}, which did not succeed"
    task.ended_at_us = core.now.wall_us
    forget(core, task)


def go_on(core: State, session_id: str) -> None:
    """Tells the next ones; a session in which everybody has been told is a harmless call."""
    untold = core.untold.get(session_id)
    left = TOLD_TASKS
    while untold:
        needed_id, files = untold[0]
        status = core.ended[session_id].get(needed_id)
        waiting_ids = core.dependents[session_id].get(needed_id)
        if status is None or needed_id in core.reviving.get(session_id, ()):
            untold.popleft()  # it runs again, and they go on waiting for it
            continue
        if not waiting_ids:
            untold.popleft()
            core.dependents[session_id].pop(needed_id, None)
            continue
        if not left:
            # A moment later: what is due at this one is done within this batch.
            core.timers.add(core.now.us + 1, Timer.SWEEP, session_id)
            return
        task = core.tasks[session_id].get(waiting_ids.popitem()[0])
        left -= 1
        if task is not None and status is TaskStatus.SUCCEEDED:
            _count_down(core, task, files)
        elif task is not None:
            skip(core, task, needed_id)
            if task.task_id in core.dependents[session_id]:
                line_up(core, session_id, task.task_id)
    core.untold.pop(session_id, None)


def is_untold(core: State, task: Task, need: str) -> bool:
    """`need` is over, and the task has yet to be told so."""
    return need in core.ended[task.session_id] and task.task_id in core.dependents[task.session_id].get(
        need, ()
    )


def _count_down(core: State, task: Task, files: tuple[PathRequest, ...]) -> None:
    task.needs_left -= 1
    if task.needs_left == 0:
        move_task(core, task, "unblock")
        if files and task.files:
            _hand_over(core, files, task)
        waiting.enqueue(core, task)


def _hand_over(core: State, files: tuple[PathRequest, ...], heir: Task) -> None:
    """Paths that were just let go pass to who needed that very task before all others who ask from now on."""
    session = core.sessions[heir.session_id]
    runs = session.status is SessionStatus.RUNNING and session.ending_as is None
    if (
        runs
        and heir.not_before_us <= core.now.us
        and not {one.path for one in files}.isdisjoint(one.path for one in heir.files)
    ):
        waiting.take_place(core, heir)
