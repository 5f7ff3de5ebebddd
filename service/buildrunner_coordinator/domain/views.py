"""Immutable pictures of the core: rows for the store, views for callers, events for watchers."""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter

from buildrunner_coordinator.domain import codec, waits
from buildrunner_coordinator.domain.changes import Changes, EndedTask, SessionRow, Snapshot, TaskRow
from buildrunner_coordinator.domain.journal import Journal
from buildrunner_coordinator.domain.model import Session, Task, TaskStatus, Worker
from buildrunner_coordinator.domain.replies import Event, TaskView, WorkerView
from buildrunner_coordinator.domain.state import State

_worker_fields = attrgetter(*(one.name for one in fields(Worker)))


def session_view(core: State, session: Session) -> SessionRow:
    """The session as it is now, under the revision that it will be committed with."""
    row = codec.session_row(session)
    if session.session_id in core.journal.sessions:
        return row._replace(revision=core.revision + 1)
    return row


def task_view(core: State, task: Task, row: TaskRow | None = None) -> TaskView:
    """The task as it is now, under the revision that it will be committed with; or as `row` says."""
    wait = waits.own_reason(core, task) if task.status is TaskStatus.QUEUED else None
    made = row or codec.task_row(task)
    if row is None and task.index in core.journal.tasks:
        made = made._replace(revision=core.revision + 1)
    return TaskView(made, task.title, task.traits.priority, task.files, task.submitted_at_us,
                    task.progress_percent, task.progress_message, wait)  # fmt: skip


def worker_view(worker: Worker) -> WorkerView:
    tasks = tuple((a.session_id, a.task_id, a.number, a.fence) for a in worker.attempts.values())
    picture = Worker(*_worker_fields(worker))
    picture.attempts = {}
    return WorkerView(picture, tasks, tuple(worker.attempts))


def rows(core: State, journal: Journal, revision: int) -> Changes:
    """What the journal notes, as rows. Stamps the revision on everything that changed."""
    for group in (journal.sessions, journal.tasks, journal.workers, journal.pools, journal.grants,
                  journal.lock_requests):  # fmt: skip
        for entity in group.values():
            entity.revision = revision
    removed = set(journal.removed_sessions)
    return Changes(
        revision=revision,
        sessions=[codec.session_row(one) for one in journal.sessions.values()],
        specs=[codec.spec_row(one) for one in journal.specs if one.session_id not in removed],
        tasks=[codec.task_row(one) for one in journal.tasks.values() if one.session_id not in removed],
        attempts=[one for one in journal.attempts if one.session_id not in removed],
        outputs=[one for one in journal.outputs if one.session_id not in removed],
        output_trims=[one for one in journal.output_trims.values() if one.session_id not in removed],
        events=[one for one in journal.events if one.session_id not in removed],
        workers=[codec.worker_row(one) for one in journal.workers.values()],
        pools=[codec.pool_row(pool) for key, pool in journal.pools.items() if key in core.pools],
        lapses=[codec.lapse_row(one) for one in journal.lapses.values()],
        patches=[one for one in journal.patches if one.session_id not in removed],
        grants=[codec.grant_row(one) for key, one in journal.grants.items() if key in core.grants],
        lock_requests=[
            codec.lock_request_row(one)
            for key, one in journal.lock_requests.items()
            if key in core.requesters
        ],
        lock_times=[one for one in journal.lock_times if one.session_id not in removed],
        removed_grants=journal.removed_grants,
        removed_lock_requests=journal.removed_lock_requests,
        removed_sessions=journal.removed_sessions,
        removed_workers=journal.removed_workers,
        removed_pools=[key for key in journal.removed_pools if key not in core.pools],
        removed_lapses=journal.removed_lapses,
        removed_events=journal.removed_events,
    )


def events(core: State, journal: Journal, changes: Changes) -> list[Event]:
    """The same for watchers, with what is told and not written."""
    found = [Event(session=row) for row in changes.sessions]
    known = core.sessions
    made = {(row.session_id, row.task_id): row for row in changes.tasks}
    tasks = journal.tasks | journal.watched_tasks
    changed = [task for task in tasks.values() if task.session_id in known]
    for task in changed:
        row = made.get(task.key) or codec.task_row(task)._replace(revision=changes.revision)
        found.append(Event(task=task_view(core, task, row)))
    found.extend(Event(worker=worker_view(one)) for one in journal.workers.values())
    found.extend(Event(pool=row) for row in changes.pools)
    gone = {lock_id for lock_id, _ in journal.removed_locks}
    found.extend(Event(lock=one) for one in journal.locks if one.lock_id not in gone)
    found.extend(
        Event(removed=("lock", lock_id, session_id)) for lock_id, session_id in journal.removed_locks
    )
    found.extend(Event(removed=("worker", one, "")) for one in changes.removed_workers)
    found.extend(Event(removed=("pool", host, session_id)) for session_id, host in changes.removed_pools)
    found.extend(Event(removed=("session", one, one)) for one in changes.removed_sessions)
    return found


def snapshot(core: State) -> Snapshot:
    """What a store that has all changes would load, in the same order."""
    tasks = sorted((t for mine in core.tasks.values() for t in mine.values()), key=lambda task: task.index)
    return Snapshot(
        meta=core.meta,
        sessions=sorted(codec.session_row(one) for one in core.sessions.values()),
        specs=[codec.spec_row(task) for task in tasks],
        tasks=[codec.task_row(task) for task in tasks],
        ended=sorted(
            EndedTask(session_id, task_id, status.value)
            for session_id, mine in core.ended.items()
            for task_id, status in mine.items()
        ),
        workers=sorted(codec.worker_row(one) for one in core.workers.values()),
        pools=sorted(codec.pool_row(one) for one in core.pools.values()),
        lapses=sorted(codec.lapse_row(one) for one in core.lapses.values()),
        requests=core.requests.rows(),
        grants=sorted(codec.grant_row(one) for one in core.grants.values()),
        lock_requests=sorted(codec.lock_request_row(one) for one in core.requesters.values()),
        output_bytes={
            attempt_id: task.attempt.output_bytes
            for attempt_id, task in core.attempts.items()
            if task.attempt is not None and task.attempt.output_bytes
        },
    )
