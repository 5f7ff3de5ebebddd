"""Room for tasks that need several slots at once, which a stream of light tasks would keep out for ever.

Such a task that was passed over for `slot_age_ms` gets a worker on which nothing of lower rank is placed
any more until it fits. The worker nearest to having room is taken; should it not come free within a while
(somebody's task there may run for hours) another one is tried, for twice as long, and so on: so slots idle
no longer than they must, and every task whose rivals end gets its turn. Who ranks higher is not held up.
"""

from __future__ import annotations

from buildrunner_coordinator.domain import attempts, waiting
from buildrunner_coordinator.domain.model import SessionStatus, Task, TaskStatus, Time, Worker
from buildrunner_coordinator.domain.queueing import Claim
from buildrunner_coordinator.domain.state import State
from buildrunner_coordinator.domain.timers import Timer


def forget_old(core: State) -> None:
    """Drops claims of tasks that do not wait any more. Once a pass."""
    for key in list(core.queue.claims):
        task = core.tasks.get(key[0], {}).get(key[1])
        runs = core.sessions[key[0]].status is SessionStatus.RUNNING if key[0] in core.sessions else False
        if task is None or task.status is not TaskStatus.QUEUED or not runs:
            del core.queue.claims[key]


def is_aged(core: State, task: Task) -> bool:
    """It was passed over for so long that room is kept for it."""
    claim = core.queue.claims.get(task.key)
    return claim is not None and core.now.us - claim.since_us >= core.settings.slot_age_ms * 1000


def keep_room(core: State, task: Task, able: list[Worker], now: Time) -> str:
    """The id of the worker on which room is kept for `task`, which no worker has room for now.

    `able` suit it and are not kept for another. Empty while it is not its time yet, or its paths are taken.
    """
    claim = core.queue.claims.get(task.key)
    if claim is None:
        claim = core.queue.claims[task.key] = Claim(now.us, max(core.settings.slot_age_ms * 1000, 1_000_000))
    if not is_aged(core, task):
        return ""
    if task.files and not waiting.try_claim(core, task):
        return ""
    here = any(worker.worker_id == claim.worker_id for worker in able)
    if not here or now.us >= claim.until_us:
        _turn_to(core, claim, _nearest(claim, able, task.traits.slots), now)
    return claim.worker_id


def _nearest(claim: Claim, able: list[Worker], slots: int) -> Worker:
    """The one that lacks fewest slots, of those that were not waited for in vain."""
    claim.tried.add(claim.worker_id)
    fresh = [worker for worker in able if worker.worker_id not in claim.tried]
    if not fresh:
        claim.tried.clear()
    return min(fresh or able, key=lambda one: (one.slots_taken + slots - one.slots, one.order))


def _turn_to(core: State, claim: Claim, worker: Worker, now: Time) -> None:
    claim.worker_id = worker.worker_id
    claim.until_us = now.us + claim.patience_us
    claim.patience_us *= 2
    core.timers.add(claim.until_us, Timer.STEAL)
    if worker.slots_taken > worker.slots:
        for attempt in worker.attempts.values():
            attempts.revoke(core, attempt, "room is kept free for a task of several slots")
