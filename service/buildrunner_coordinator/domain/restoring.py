"""The core from the rows of a store: what is derived is built anew, nothing is taken on trust."""

from __future__ import annotations

from collections.abc import Iterator

from buildrunner_coordinator.domain import chains, codec, grants, requesting, waiting, workers
from buildrunner_coordinator.domain.changes import Snapshot, SpecRow, TaskRow
from buildrunner_coordinator.domain.dependents import line_up
from buildrunner_coordinator.domain.locks import Party
from buildrunner_coordinator.domain.model import (
    Lapse,
    Outcome,
    SessionStatus,
    Task,
    TaskKind,
    TaskStatus,
    Time,
    Worker,
    WorkerStatus,
)
from buildrunner_coordinator.domain.moves import unfinished
from buildrunner_coordinator.domain.sessions import remember
from buildrunner_coordinator.domain.state import State
from buildrunner_coordinator.domain.timers import Timer


def restore(core: State, snapshot: Snapshot, now: Time) -> None:
    _restore_sessions(core, snapshot, now)
    _restore_workers(core, snapshot, now)
    for ended in snapshot.ended:
        core.ended[ended.session_id][ended.task_id] = TaskStatus(ended.status)
    for spec, row in _taken(snapshot):
        task = codec.task_of(spec, row, snapshot.output_bytes.get(row.attempt_id, 0))
        core.tasks[task.session_id][task.task_id] = task
        if task.traits.kind is TaskKind.EXTERNAL:
            core.external.add(task.session_id)
    lapses = [codec.lapse_of(row) for row in snapshot.lapses]
    _extend_lock_delays(core, lapses, snapshot.meta.last_us, now)
    for session_id, mine in core.tasks.items():
        chains.lengthen(core, session_id, list(mine.values()))
        for task in mine.values():
            _place_task(core, task, now)
        _line_up_untold(core, session_id)
    for lapse in lapses:
        core.lapses[lapse.attempt_id] = lapse
        lapse.since_us = now.us - max(0, now.wall_us - lapse.acquired_at_us)
        if lapse.files:
            core.locks.add(lapse.attempt_id, lapse.files, Party(lapse.attempt_id, lapse.session_id))
        core.timers.add(lapse.until_us, Timer.LAPSE, lapse.attempt_id)
    _restore_grants(core, snapshot, now)
    for pool_row in snapshot.pools:
        pool = codec.pool_of(pool_row)
        core.pools[pool.session_id, pool.host] = pool
    for request in sorted(snapshot.requests, key=lambda row: row.expires_us):
        core.requests.restore(request)


def _taken(snapshot: Snapshot) -> Iterator[tuple[SpecRow, TaskRow]]:
    """The rows of tasks, in order, which the snapshot lets go of: a million of them and a million tasks
    would take twice the memory together."""
    specs, rows = snapshot.specs, snapshot.tasks
    assert len(specs) == len(rows), f"{len(specs)} specs and {len(rows)} rows of tasks"
    specs.reverse()
    rows.reverse()
    while specs:
        yield specs.pop(), rows.pop()


def _extend_lock_delays(core: State, lapses: list[Lapse], last_us: int, now: Time) -> None:
    """Lock delays that were running go on from where the last commit left them.

    Core time may have jumped ahead with the wall clock meanwhile; processes of lost workers have not.
    """
    away_us = max(0, now.us - last_us)
    for lapse in lapses:
        if away_us and lapse.until_us > last_us:
            lapse.until_us += away_us
            core.journal.lapses[lapse.attempt_id] = lapse
    for mine in core.tasks.values():
        for task in mine.values():
            if away_us and task.outcome is Outcome.LOST and task.not_before_us > last_us:
                task.not_before_us += away_us
                core.journal.tasks[task.index] = task


def _restore_grants(core: State, snapshot: Snapshot, now: Time) -> None:
    """Leases begin anew, as those of workers do; lock delays go on from where the last commit left them."""
    away_us = max(0, now.us - snapshot.meta.last_us)
    for row in snapshot.grants:
        grant = codec.grant_of(row)
        if grant.until_us > snapshot.meta.last_us and away_us:
            grant.until_us += away_us
            core.journal.grants[grant.grant_id] = grant
        grants.remember(core, grant)
    for stored in snapshot.lock_requests:
        requesting.restore(core, codec.lock_request_of(stored), now)


def _restore_sessions(core: State, snapshot: Snapshot, now: Time) -> None:
    for row in sorted(snapshot.sessions, key=lambda one: one.ordinal):
        session = codec.session_of(row)
        session.heard_us = now.us
        core.sessions[session.session_id] = session
        if not session.is_over:
            remember(core, session)
            if session.locks_released:
                core.queue.waiters.giving_up.add(session.session_id)
            if session.ending_as is not None or not unfinished(session):
                core.timers.add(now.us, Timer.SWEEP, session.session_id)
        elif core.settings.retention_ms:
            at_us = session.ended_us + core.settings.retention_ms * 1000
            core.timers.add(at_us, Timer.RETENTION, session.session_id)


def _restore_workers(core: State, snapshot: Snapshot, now: Time) -> None:
    for row in sorted(snapshot.workers, key=lambda one: one.ordinal):
        worker = codec.worker_of(row)
        core.workers[worker.worker_id] = worker
        if worker.is_passive:
            # It has no stream to say hello on, and hears of nothing.
            worker.connected, worker.credit = True, worker.slots
        if worker.status is WorkerStatus.OFFLINE:
            at_us = worker.offline_us + core.settings.offline_ttl_ms * 1000
            core.timers.add(at_us, Timer.RETIRE, worker.worker_id)
        else:
            workers.renew(core, worker, now)


def _place_task(core: State, task: Task, now: Time) -> None:
    """Enters the task where its state says it belongs."""
    attempt = task.attempt
    if attempt is not None:
        core.attempts[attempt.attempt_id] = task
        worker = core.workers[attempt.worker_id]
        worker.attempts[attempt.attempt_id] = attempt
        worker.slots_taken += task.traits.slots
        core.sessions[task.session_id].slots_taken += task.traits.slots
        core.queue.unstarted += not attempt.started
        attempt.revoking = (
            not attempt.started and attempt.stop_as is None and _is_unwanted(core, task, worker)
        )
        if task.files:
            core.locks.add(attempt.attempt_id, task.files, Party(attempt.attempt_id, task.session_id))
    elif task.status is TaskStatus.BLOCKED:
        _block(core, task)
    elif task.status is TaskStatus.CANCELLING:
        core.timers.add(task.not_before_us, Timer.TASK, *task.key)
    else:
        if task.ticket:
            waiting.take_place(core, task)
        waiting.enqueue(core, task)


def _is_unwanted(core: State, task: Task, worker: Worker) -> bool:
    """It was asked back, or would have been: that is not stored, as it follows from the rest."""
    session = core.sessions[task.session_id]
    runs = session.status is SessionStatus.RUNNING and session.ending_as is None
    return not runs or worker.draining or worker.status is WorkerStatus.ERROR


def _block(core: State, task: Task) -> None:
    """Whether it was told that a need is over shows in its state: with none left open it would be QUEUED."""
    ended, dependents = core.ended[task.session_id], core.dependents[task.session_id]
    for need in task.needs:
        if ended.get(need) is not TaskStatus.SUCCEEDED:
            dependents.setdefault(need, {})[task.task_id] = None
            task.needs_left += 1
    if not task.needs_left:
        dependents.setdefault(task.needs[-1], {})[task.task_id] = None
        task.needs_left = 1


def _line_up_untold(core: State, session_id: str) -> None:
    ended = core.ended[session_id]
    for need in [one for one in core.dependents[session_id] if one in ended]:
        line_up(core, session_id, need)
    if session_id in core.untold:
        core.timers.add(core.now.us, Timer.SWEEP, session_id)
