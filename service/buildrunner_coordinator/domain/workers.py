"""What workers say of themselves, and what is asked of them. Reports on attempts are in reports.py."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from buildrunner_coordinator.domain import attempts, cleaning, finding, folding, history, views
from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.changes import PoolRow
from buildrunner_coordinator.domain.codec import pool_row
from buildrunner_coordinator.domain.ids import fresh_id, resolve
from buildrunner_coordinator.domain.model import Outcome, Pool, Task, Time, Worker, WorkerStatus
from buildrunner_coordinator.domain.moves import move_worker
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import (
    Acknowledge,
    Disposition,
    Drain,
    HeartbeatAnswer,
    Registered,
    Revoke,
    Stop,
    WorkerPage,
    WorkerView,
)
from buildrunner_coordinator.domain.timers import Timer

if TYPE_CHECKING:
    from collections.abc import Callable

    from buildrunner_coordinator.domain.state import State

IGNORES_CASE = "ignores-case"
"""A capability: the worker's checkout does not tell names apart by their case."""

_UNNAMED_LIMIT = 2
"""Heartbeats in a row that leave an attempt out before it is sent again."""


def find(core: State, given: str) -> Worker:
    return core.workers[resolve(given, core.workers, Reason.WORKER_NOT_FOUND, "worker")]


def register(core: State, command: c.Register, now: Time) -> Registered:
    """A new worker, or one that is back: then both sides compare what it has with what it should have."""
    if command.session_id:
        session_id = finding.find(core, command.session_id).session_id
    else:
        session_id = ""
    worker = core.workers.get(command.worker_id) if command.store_id in ("", core.store_id) else None
    if worker is None:
        worker = Worker(
            fresh_id(command.seed, core.workers), registered_at_us=now.wall_us, order=core.next_order
        )
        core.next_order += 1
        core.workers[worker.worker_id] = worker
    if IGNORES_CASE in command.capabilities:
        folding.fold(core)
    _describe(worker, command, session_id or worker.session_id)
    if not worker.generation:
        _note_registration(core, worker)
    worker.generation += 1
    worker.connected = True
    waits_to_be_asked = command.polls and not worker.is_passive
    worker.credit = command.credit or (0 if waits_to_be_asked else command.slots)
    worker.faults = 0
    _return(core, worker, "hello")
    renew(core, worker, now)
    core.journal.workers[worker.worker_id] = worker
    adopted = _reconcile(core, worker, command.held)
    served = core.sessions.get(worker.session_id)
    if worker.session_id and (served is None or served.is_over):
        if not worker.draining:
            history.note_worker(core, worker, "draining", "Takes no new tasks: its session is over")
        worker.draining = True
    if worker.draining:
        core.send(worker.worker_id, Drain("its session is over" if worker.session_id else "drained"))
    return Registered(worker.worker_id, worker.generation, adopted)


def heartbeat(core: State, command: c.Heartbeat, now: Time) -> HeartbeatAnswer:
    """Renews the lease. Compares what the worker says it has with what it should have."""
    worker = core.workers.get(command.worker_id)
    if worker is None or (command.generation and worker.generation != command.generation):
        return HeartbeatAnswer(False, tuple(one.attempt_id for one in command.held), False)
    renew(core, worker, now)
    worker.heartbeat_at_us = now.wall_us
    _return(core, worker, "heartbeat")
    named = {one.attempt_id: one for one in command.held}
    for attempt in list(worker.attempts.values()):
        one = named.get(attempt.attempt_id)
        if one is None:
            attempt.unnamed += 1
            if attempt.unnamed >= _UNNAMED_LIMIT:
                attempt.unnamed = 0
                _send_again(core, core.attempts[attempt.attempt_id])
            continue
        attempt.unnamed = 0
        if one.started and not one.ended:
            attempts.start(core, core.attempts[attempt.attempt_id], one.pid, one.started_at_us, 0)
    unknown = [i for i, one in named.items() if i not in worker.attempts and not one.ended]
    # An assignment may still be on its way to it: it must hear of the loss before its lease is renewed.
    unknown += [i for i in worker.lost if i not in named]
    worker.lost.clear()
    return HeartbeatAnswer(True, tuple(unknown), worker.draining)


def set_credit(core: State, command: c.SetCredit, now: Time) -> None:
    worker = core.workers.get(command.worker_id)
    if worker is not None and command.generation in (0, worker.generation):
        worker.credit = command.credit


def disconnected(core: State, command: c.Disconnected, now: Time) -> None:
    worker = core.workers.get(command.worker_id)
    if worker is not None and worker.generation == command.generation:
        worker.connected = False
        core.journal.workers[worker.worker_id] = worker


def unregister(core: State, command: c.Unregister, now: Time) -> None:
    """A goodbye: it has nothing any more, so nothing needs to wait for a delay."""
    worker = core.workers.get(command.worker_id)
    if worker is None or command.generation not in (0, worker.generation):
        return
    reason = command.reason or "its worker said goodbye"
    if worker.is_passive:
        _stop_running(core, worker, reason, now)  # that it had it in hand is no sign of a crash
    lose_all(core, worker, now, gone=True, reason=reason)
    because = f": {command.reason}" if command.reason else ""
    cleaning.remove_worker(core, worker.worker_id, f"Said goodbye{because}")


def worker_died(core: State, command: c.WorkerDied, now: Time) -> int:
    worker = core.workers.get(command.worker_id)
    if worker is None or (worker.host, worker.pid) != (command.host, command.pid):
        return 0
    lost = len(worker.attempts)
    reason = command.reason or "its worker process ended"
    lose_all(core, worker, now, gone=command.processes_gone, reason=reason)
    go_offline(core, worker, now, reason)
    return lost


def drain_worker(core: State, command: c.DrainWorker, now: Time) -> Callable[[], WorkerView]:
    worker = find(core, command.worker_id)
    drain(core, worker, command.reason)
    return lambda: views.worker_view(worker)


def drain_all(core: State, command: c.DrainAll, now: Time) -> int:
    chosen = [
        w
        for w in core.workers.values()
        if command.host in ("", w.host) and w.status is not WorkerStatus.OFFLINE
    ]
    for worker in chosen:
        drain(core, worker, command.reason)
        if command.stop_running:
            _stop_running(core, worker, command.reason, now)
    return len(chosen)


def read_worker(core: State, command: c.ReadWorker, now: Time) -> Callable[[], WorkerView]:
    worker = find(core, command.worker_id)
    return lambda: views.worker_view(worker)


def list_workers(core: State, command: c.ListWorkers, now: Time) -> WorkerPage:
    chosen = [
        w for w in core.workers.values()
        if (not command.statuses or w.status in command.statuses)
        and (command.pool is None or (w.kinds.external and w.pool == command.pool))
    ]  # fmt: skip
    chosen.sort(key=lambda worker: worker.order)
    rest = [worker for worker in chosen if worker.order > command.after]
    page = rest[: command.limit]
    more = len(rest) > len(page)
    return WorkerPage([views.worker_view(w) for w in page], page[-1].order if more else 0, len(chosen))


def set_pool(core: State, command: c.SetPool, now: Time) -> PoolRow:
    session_id = ""
    if command.session_id:
        session = finding.find(core, command.session_id)
        if session.is_over:
            raise Refusal(
                Reason.WRONG_STATE, f"Session {session.session_id} is {session.status}: it needs no workers."
            )
        session_id = session.session_id
        session.wanted_workers = command.wanted
        where = f" on {command.host}" if command.host else ""
        wanted = history.counted(command.wanted, "worker")
        history.note_session(core, session, "scaled", f"Scaled: {wanted} wanted{where}")
        core.touch(session)
    before = core.pools.get((session_id, command.host))
    pool = Pool(
        session_id, command.host, command.wanted, command.slots, command.labels, command.handler_modules
    )
    # Fewer of the same are not asked for: some leave.
    same = before is not None and replace(before, wanted=pool.wanted, revision=0) == pool
    pool.asked_us = before.asked_us if before and same and pool.wanted <= before.wanted else core.now.us
    core.pools[session_id, command.host] = pool
    core.journal.pools[session_id, command.host] = pool
    return pool_row(pool)


def list_pools(core: State, command: c.ListPools, now: Time) -> list[PoolRow]:
    return [
        pool_row(pool) for pool in core.pools.values() if command.host in ("", pool.host) or not pool.host
    ]


def lease_us(core: State, worker: Worker) -> int:
    return (worker.lease_ms or core.settings.lease_ms) * 1000


def renew(core: State, worker: Worker, now: Time) -> None:
    worker.lease_until_us = now.us + lease_us(core, worker)
    watch_lease(core, worker)


def watch_lease(core: State, worker: Worker) -> None:
    """Sees to it that somebody looks when the lease ends: one timer a worker, however often it is renewed."""
    if not worker.lease_watched:
        worker.lease_watched = True
        core.timers.add(worker.lease_until_us, Timer.LEASE, worker.worker_id)


def drain(core: State, worker: Worker, reason: str) -> None:
    """No new tasks; what has not started is taken back; then it leaves by itself."""
    if not worker.draining:
        worker.draining = True
        core.journal.workers[worker.worker_id] = worker
        core.send(worker.worker_id, Drain(reason))
        because = f": {reason}" if reason else ""
        history.note_worker(core, worker, "draining", f"Takes no new tasks{because}")
        for attempt in worker.attempts.values():
            attempts.revoke(core, attempt, "its worker is drained")


def _stop_running(core: State, worker: Worker, reason: str, now: Time) -> None:
    for attempt_id in list(worker.attempts):
        attempts.stop(core, core.attempts[attempt_id], Outcome.REVOKED, reason, now)


def go_offline(core: State, worker: Worker, now: Time, reason: str) -> None:
    if move_worker(core, worker, "silence"):
        worker.offline_us = now.us
        history.note_worker(core, worker, "offline", f"Offline: {reason}")
        core.timers.add(now.us + core.settings.offline_ttl_ms * 1000, Timer.RETIRE, worker.worker_id)


def lose_all(core: State, worker: Worker, now: Time, *, gone: bool, reason: str) -> None:
    for attempt in list(worker.attempts.values()):
        attempts.lose(core, core.attempts[attempt.attempt_id], now, gone=gone, reason=reason)
        worker.lost.append(attempt.attempt_id)


def _note_registration(core: State, worker: Worker) -> None:
    process = f" as process {worker.pid}" if worker.pid else ""
    serves = f", for session {worker.session_id}" if worker.session_id else ""
    message = f"Registered on {worker.host or 'an unnamed host'}{process}"
    message += f" with {history.counted(worker.slots, 'slot')}{serves}"
    history.note_worker(core, worker, "registered", message)


def _describe(worker: Worker, command: c.Register, session_id: str) -> None:
    worker.host, worker.pid, worker.version = command.host, command.pid, command.version
    worker.slots, worker.labels, worker.kinds = command.slots, command.labels, command.kinds
    worker.pool, worker.session_id = command.pool, session_id
    worker.metadata_json, worker.capabilities = command.metadata_json, command.capabilities
    worker.workspace_id = command.workspace_id
    worker.lease_ms = command.lease_ms


def _return(core: State, worker: Worker, event: str) -> None:
    before = worker.status
    if move_worker(core, worker, event) or worker.offline_us:
        history.note_worker(core, worker, "back", f"Back: it was {before}")
        worker.offline_us = 0
        if worker.attempts and worker.status is WorkerStatus.IDLE:
            move_worker(core, worker, "take")
        core.journal.workers[worker.worker_id] = worker


def _reconcile(core: State, worker: Worker, held: tuple[c.Held, ...]) -> tuple[str, ...]:
    """Adopts what is the worker's, calls the rest stale, sends again what it does not know of."""
    adopted = []
    named = set()
    worker.lost.clear()
    for one in held:
        attempt = worker.attempts.get(one.attempt_id)
        if attempt is None or attempt.fence != one.fence:
            if not one.ended:
                core.send(worker.worker_id, Acknowledge(one.attempt_id, one.fence, Disposition.STALE))
            continue
        named.add(one.attempt_id)
        adopted.append(one.attempt_id)
        task = core.attempts[one.attempt_id]
        attempt.unnamed = 0
        attempt.generation = worker.generation
        core.journal.tasks[task.index] = task
        if one.started and not one.ended:
            attempts.start(core, task, one.pid, one.started_at_us, 0)
        if attempt.stop_as is not None or attempt.revoking:
            _send_again(core, task)
    for attempt in worker.attempts.values():
        if attempt.attempt_id not in named:
            task = core.attempts[attempt.attempt_id]
            attempt.generation = worker.generation
            core.journal.tasks[task.index] = task
            _send_again(core, task)
    return tuple(adopted)


def _send_again(core: State, task: Task) -> None:
    """The last order on an attempt, unchanged."""
    attempt = task.attempt
    assert attempt is not None
    if attempt.stop_as is not None:
        core.send(
            attempt.worker_id, Stop(attempt.attempt_id, attempt.fence, attempt.stop_as, attempt.stop_reason)
        )
    elif attempt.revoking:
        core.send(attempt.worker_id, Revoke(attempt.attempt_id, attempt.fence))
    else:
        attempts.send_assignment(core, task)
