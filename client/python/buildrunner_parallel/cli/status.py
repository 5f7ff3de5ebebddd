"""What `status` shows of one session; `-v` adds workers, locks and what waits for what."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from buildrunner_parallel.durations import format_duration

from .invocation import Invocation
from .lock_phrases import is_by_hand, lock_path, milliseconds, request_path, short_holder, waiter_phrase
from .phrases import age, clock, counts, progress, session_status, span, status_cell, utc_now, wait_phrase
from .render import Cell
from .worktrees import has_branch, session_branch

if TYPE_CHECKING:
    from datetime import datetime

    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import (
        LockListing,
        LockWaiter,
        PathLock,
        Session,
        TaskSummary,
        Wait,
        Worker,
    )

SHOWN_FAILURES = 10
SHOWN_WAITS = 50
_UNSTARTED = ("blocked", "queued", "assigned")


def show_status(run: Invocation, client: Client, session: Session, verbose: bool) -> None:
    """Writes the session, its failures, and with `verbose` what surrounds it."""
    from buildrunner_parallel.records import TaskStatus, record_to_json

    failed = client.list_tasks(session.session_id, statuses=(TaskStatus.FAILED,), limit=SHOWN_FAILURES)
    if run.settings.as_json:
        extra = _verbose_document(client, session) if verbose else {}
        return run.out.document(
            session=record_to_json(session), failed_tasks=[record_to_json(task) for task in failed], **extra
        )
    if run.settings.quiet:
        return run.out.always(session.status.value)
    run.out.facts(_facts(run, session))
    if failed:
        rows = [(task.task_id, str(task.attempt), task.error) for task in failed]
        run.out.line()
        run.out.table(("failed task", "?>attempt", "~error"), rows)
        hidden = session.counts.failed - len(failed)
        if hidden > 0:
            run.out.line(
                f"and {hidden} more: {run.command_line('tasks', session.session_id, '-s', 'failed')}"
            )
    if verbose:
        _show_surroundings(run, client, session)
        if has_branch(client, session):
            run.out.hint(f"To merge its work: git merge {session_branch(session.session_id)}")
    return None


def _facts(run: Invocation, session: Session) -> dict[str, Cell]:
    now = utc_now()
    facts: dict[str, Cell] = {
        "session": session.session_id,
        "name": session.name,
        "status": session_status(session),
        "progress": progress(session),
        "tasks": counts(session.counts),
        "created": f"{clock(session.created_at)} ({age(session.created_at, now)})",
    }
    told = session.reported
    if told.completed or told.failed or told.in_progress:
        facts["reported"] = (
            f"{told.completed} completed, {told.failed} failed, {told.in_progress} in progress"
        )
    if session.started_at:
        facts["took" if session.ended_at else "running for"] = span(session.started_at, session.ended_at, now)
    rate = _rate(session)
    if rate and not session.is_over:
        facts["rate"] = f"{rate * 60:.1f} tasks a minute{_to_go(session, rate)}"
    if session.status.value == "created":
        facts["not started"] = f"start it with: {run.command_line('resume', session.session_id)}"
    if session.open and not session.is_over:
        facts["open"] = f"more tasks may come, until: {run.command_line('close', session.session_id)}"
    if session.on_failure.action != "continue":
        facts["on failure"] = f"{session.on_failure.action} after {max(session.on_failure.limit, 1)}"
    if session.max_parallel:
        facts["max parallel"] = str(session.max_parallel)
    if session.worker_id:
        facts["worker"] = session.worker_id
    if session.reason:
        facts["reason"] = session.reason
    return facts


def _to_go(session: Session, rate: float) -> str:
    """How long what is known will take; nothing while nothing runs, since then nobody can tell."""
    left = max(0, session.total_tasks - session.done_tasks)
    at_work = session.counts.running + session.counts.assigned
    if not left or not at_work or session.status.value != "running":
        return ""
    least = "at least" if session.open and not session.declared_tasks else "about"
    return f", {least} {format_duration(left / rate)} to go"


def _rate(session: Session) -> float:
    """Tasks a second since the session began."""
    if not session.started_at or not session.counts.done:
        return 0.0
    seconds = ((session.ended_at or utc_now()) - session.started_at).total_seconds()
    return session.counts.done / seconds if seconds > 0 else 0.0


def _show_surroundings(run: Invocation, client: Client, session: Session) -> None:
    workers, listing, waiting = _surroundings(client, session)
    now = utc_now()
    if workers:
        rows = [_worker_row(worker) for worker in workers]
        run.out.line()
        run.out.table(("worker", "status", "?host", "~runs"), rows)
    if listing.locks:
        run.out.line()
        columns = ("~locked file", "?1mode", "~holder", "?3>fence", "?2since")
        run.out.table(columns, [_lock_row(lock, now) for lock in listing.locks])
    waits = [(task.task_id, wait_phrase(task.wait)) for task in waiting if task.wait]
    waits += [(_by_hand(one), waiter_phrase(one)) for one in listing.waiters if is_by_hand(one)]
    if waits:
        run.out.line()
        run.out.table(("task", "~waits for"), waits)
    if others := _waiting_behind(client, session, listing):
        run.out.line()
        run.out.table(
            ("~waits behind it", "~for", "?2>place", "?1>since"), [_behind_row(one) for one in others]
        )
    if session.modified_files:
        run.out.line()
        run.out.table(("~modified file",), [(path,) for path in session.modified_files])


def _worker_row(worker: Worker) -> tuple[Cell, ...]:
    runs = ", ".join(task.task_id for task in worker.tasks)
    return (worker.worker_id, status_cell(worker.status.value), worker.host, runs)


def _lock_row(lock: PathLock, now: datetime) -> tuple[Cell, ...]:
    holder = lock.holder.task_id or ("the session" if lock.lease_ends_at is None else "a lease of it")
    return (lock_path(lock), lock.mode.value, holder, str(lock.fence), age(lock.acquired_at, now))


def _waiting_behind(client: Client, session: Session, listing: LockListing) -> list[LockWaiter]:
    """Waiters of other sessions that wait for what this one holds, or asked for before them."""
    if not listing.locks and not listing.waiters:
        return []
    own = session.session_id
    return [
        one
        for one in client.list_locks().waiters
        if one.waiter.session_id != own and any(clash.holder.session_id == own for clash in one.conflicts)
    ]


def _behind_row(one: LockWaiter) -> tuple[Cell, ...]:
    paths = ", ".join(map(request_path, one.paths))
    return (short_holder(one.waiter), paths, str(one.position), milliseconds(one.waited_ms))


def _by_hand(waiter: LockWaiter) -> str:
    """A task that asked while it ran; else `lock`, or a program, in the session's name."""
    return waiter.waiter.task_id or "by hand"


def _surroundings(client: Client, session: Session) -> tuple[list[Worker], LockListing, list[TaskSummary]]:
    """Its workers, the locks that it or its tasks hold or wait for, and its tasks that wait."""
    from buildrunner_parallel.records import TaskStatus

    workers = [worker for worker in client.list_workers() if _serves(worker, session)]
    unstarted = tuple(TaskStatus(word) for word in _UNSTARTED)
    reasons = _reasons(client, session)
    waiting = [
        replace(task, wait=reasons.get(task.task_id, task.wait))
        for task in client.list_tasks(session.session_id, statuses=unstarted, limit=SHOWN_WAITS)
        if task.wait or task.task_id in reasons
    ]
    return workers, client.list_locks(session=session.session_id), waiting


def _reasons(client: Client, session: Session) -> dict[str, Wait]:
    """Why its tasks do not run, by task; lists of tasks tell of locks and pauses only."""
    tally = session.counts
    begun = tally.assigned + tally.running + tally.cancelling
    explained = client.explain_tasks(session.session_id, limit=begun + SHOWN_WAITS)
    return {one.task_id: one.waits[0] for one in explained if one.waits}


def _serves(worker: Worker, session: Session) -> bool:
    return worker.session_id == session.session_id or any(
        task.session_id == session.session_id for task in worker.tasks
    )


def _verbose_document(client: Client, session: Session) -> dict[str, object]:
    from buildrunner_parallel.records import record_to_json

    workers, listing, waiting = _surroundings(client, session)
    return {
        "workers": [record_to_json(worker) for worker in workers],
        "locks": [record_to_json(lock) for lock in listing.locks],
        "lock_waiters": [record_to_json(waiter) for waiter in listing.waiters],
        "waiting_tasks": [record_to_json(task) for task in waiting],
        "blocked_waiters": [record_to_json(one) for one in _waiting_behind(client, session, listing)],
    }
