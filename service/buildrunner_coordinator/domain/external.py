"""Workers that are programs of the user's own, and the tasks that only such run.

A *passive* one is sent nothing: it looks up what it has. So its tasks count as started at once, and as
nothing stops its work when its lease ends, nothing is gained by holding them back for the lock delay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildrunner_coordinator.domain import finding, views, workers
from buildrunner_coordinator.domain.model import TaskKind, Time, Traits, Worker, WorkerStatus
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import PoolTaskPage, WorkerView
from buildrunner_coordinator.domain.timers import Timer

if TYPE_CHECKING:
    from collections.abc import Callable

    from buildrunner_coordinator.domain.commands import ListPoolTasks, UpdateWorker
    from buildrunner_coordinator.domain.state import State


def bound(core: State, traits: Traits) -> Traits:
    """As placement is to read them: an external task is not bound to a worker that is OFFLINE or gone."""
    if traits.kind is not TaskKind.EXTERNAL or not traits.wanted_worker_id:
        return traits
    wanted = core.workers.get(traits.wanted_worker_id)
    if wanted is not None and wanted.status is not WorkerStatus.OFFLINE:
        return traits
    return traits._replace(wanted_worker_id="")


def list_pool_tasks(core: State, command: ListPoolTasks, now: Time) -> Callable[[], PoolTaskPage]:
    session_id = finding.find(core, command.session_id).session_id if command.session_id else ""

    def page() -> PoolTaskPage:
        chosen = [
            task
            for one in ([session_id] if session_id else core.external)
            for task in core.tasks.get(one, {}).values()
            if task.traits.kind is TaskKind.EXTERNAL
            and task.traits.target == command.pool
            and (not command.statuses or task.status in command.statuses)
        ]
        chosen.sort(key=lambda task: task.index)
        rest = [task for task in chosen if task.index > command.after]
        shown = rest[: command.limit]
        after = shown[-1].index if len(rest) > len(shown) else 0
        views_of = [views.task_view(core, task) for task in shown]
        return PoolTaskPage(views_of, [task.spec for task in shown], after, len(chosen))

    return page


def update_worker(core: State, command: UpdateWorker, now: Time) -> Callable[[], WorkerView]:
    worker = workers.find(core, command.worker_id)
    _set_what_owners_may(core, worker, command, now)
    if command.metadata_json is not None:
        worker.metadata_json = command.metadata_json
    core.journal.workers[worker.worker_id] = worker
    return lambda: views.worker_view(worker)


def _set_what_owners_may(core: State, worker: Worker, command: UpdateWorker, now: Time) -> None:
    """What only the owner of an external worker may set. Raises Refusal (UNSUPPORTED)."""
    given = (command.status, command.lease_ms, command.heartbeat_at_us, command.succeeded, command.failed)
    if not any(one is not None and one != 0 for one in given):
        return
    if not worker.kinds.external:
        raise Refusal(Reason.UNSUPPORTED, f"Worker {worker.worker_id} runs commands or handlers: its status "
                                          f"follows from its heartbeats and cannot be set.")  # fmt: skip
    worker.succeeded += command.succeeded
    worker.failed += command.failed
    _set_lease(core, worker, command, now)
    if command.status is WorkerStatus.OFFLINE:
        lapse(core, worker, now, "its owner says so")
    elif command.status is not None:
        worker.offline_us = 0
        has_work = command.status is WorkerStatus.IDLE and worker.attempts
        worker.status = WorkerStatus.BUSY if has_work else command.status


def heard(core: State, worker_id: str, now: Time) -> None:
    """It has told the end of what it had: a passive one, which may say nothing else, lives."""
    worker = core.workers.get(worker_id)
    if worker is not None and worker.is_passive:
        worker.heartbeat_at_us = now.wall_us
        workers.renew(core, worker, now)


def lapse(core: State, worker: Worker, now: Time, reason: str) -> None:
    """Its lease is over: what it has goes back to the queue."""
    silent = "its worker was silent for longer than its lease"
    workers.lose_all(core, worker, now, gone=worker.is_passive, reason=silent)
    workers.go_offline(core, worker, now, reason)


def _set_lease(core: State, worker: Worker, command: UpdateWorker, now: Time) -> None:
    heard_us = worker.lease_until_us - workers.lease_us(core, worker)
    if command.lease_ms is not None:
        worker.lease_ms = command.lease_ms
    if command.heartbeat_at_us:
        worker.heartbeat_at_us = min(command.heartbeat_at_us, now.wall_us)
        heard_us = now.us - (now.wall_us - worker.heartbeat_at_us)
    if command.lease_ms is not None or command.heartbeat_at_us:
        worker.lease_until_us = heard_us + workers.lease_us(core, worker)
        core.timers.add(max(worker.lease_until_us, now.us), Timer.LEASE, worker.worker_id)
