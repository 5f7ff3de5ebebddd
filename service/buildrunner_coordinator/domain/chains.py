"""How many tasks hang on each: the longest chain of dependents behind it, told once when they are submitted.

Of tasks that could go next the one with the longest chain goes first, since the session cannot end
before that chain has (the critical path rule of list scheduling: Graham, "Bounds on multiprocessing
timing anomalies", 1969).
"""

from __future__ import annotations

from collections.abc import Sequence

from buildrunner_coordinator.domain.graphs import levels
from buildrunner_coordinator.domain.model import Task, TaskStatus
from buildrunner_coordinator.domain.state import State

LONGEST = 1000
"""Chains are counted so far: one that grows by a task a submission costs so many steps each time at most."""


def lengthen(core: State, session_id: str, added: Sequence[Task]) -> None:
    """Reckons in tasks that are new to the session, or were revived; their needs may be new ones too."""
    needs = {task.task_id: task.needs for task in added if task.needs}
    if not needs:
        return
    tasks = core.tasks[session_id]
    new = {task.task_id for task in added}
    order = levels({task_id: needs.get(task_id, ()) for task_id in new})
    for task_id in reversed(order):
        task = tasks.get(task_id)
        if task is None:
            continue
        for needed in _raised(core, task):
            if needed.task_id not in new:
                _carry_on(core, needed)


def _raised(core: State, task: Task) -> list[Task]:
    """What it needs directly, as far as that makes a longer chain."""
    tasks = core.tasks[task.session_id]
    length = min(task.chain + 1, LONGEST)
    found = []
    for need in task.needs:
        needed = tasks.get(need)
        if needed is not None and needed.chain < length:
            needed.chain = length
            found.append(needed)
            if needed.status is TaskStatus.QUEUED and needed.not_before_us <= core.now.us:
                core.queue.add(needed)  # once more, further in front
    return found


def _carry_on(core: State, task: Task) -> None:
    stack = [task]
    while stack:
        stack += _raised(core, stack.pop())
