"""The dashboard where there is no terminal: its panels as tables, never cut; and as data. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from buildrunner_parallel.durations import format_duration
from buildrunner_parallel.records import record_to_json
from buildrunner_parallel.text import whole_percent

from . import lists, phrases
from .fold import Board, Contended, contended, wall_time_s
from .narrowing import concerns, only
from .panels import slots_at_work, task_word


def plain_rows(
    board: Board, now: datetime, now_s: float, session_id: str = "", *, compact: bool = False
) -> Iterator[Sequence[str]]:
    """A table for each panel that has something: its headings, its rows, and an empty row before the next.

    With a session of that alone; `compact` leaves out workers and tasks.
    """
    for index, (heading, rows) in enumerate(_tables(board, now, now_s, session_id, compact)):
        if index:
            yield ()
        yield heading
        yield from rows


def _tables(
    board: Board, now: datetime, now_s: float, session_id: str, compact: bool
) -> Iterator[tuple[tuple[str, ...], Sequence[Sequence[str]]]]:
    waited = _waited(board, session_id)
    board = only(board, session_id) if session_id else board
    figures = statistics_data(board, now_s)
    yield ("STATISTIC", "VALUE"), [(name, str(value)) for name, value in figures.items()]
    yield (
        ("SESSION", "NAME", "STATUS", "DONE", "TOTAL", "PERCENT", "FAILED", "TIME", "PACE"),
        [_session_row(board, one, now, now_s) for one in lists.sessions(board)],
    )
    if board.workers and not compact:
        yield (
            ("WORKER", "STATUS", "SLOTS", "TASKS", "HOST", "HEARTBEAT"),
            [_worker_row(one, now) for one in lists.workers(board)],
        )
    tasks = () if compact else lists.tasks(board)
    if tasks:
        yield ("TASK", "STATUS", "SESSION", "TIME", "WORKER", "WHAT"), [_task_row(one, now) for one in tasks]
    if waited:
        yield ("PATH", "HELD BY", "FOR", "WAITERS"), [_lock_row(one, now) for one in waited]
    if board.failures:
        yield (
            ("FAILED", "SESSION", "AGO", "ERROR"),
            [_failure_row(one, now) for one in reversed(board.failures.values())],
        )


def _waited(board: Board, session_id: str) -> list[Contended]:
    return [one for one in contended(board) if not session_id or concerns(one, session_id)]


def _session_row(board: Board, session: Any, now: datetime, now_s: float) -> tuple[str, ...]:
    pace = board.paces.get(session.session_id)
    return (
        session.session_id,
        session.name,
        phrases.session_word(session),
        str(session.done_tasks),
        str(session.total_tasks),
        str(whole_percent(session.progress_percent)),
        str(session.failed_tasks),
        format_duration(wall_time_s(session, now)),
        pace.phrase(now_s) if pace is not None and not session.is_over else "",
    )


def _worker_row(worker: Any, now: datetime) -> tuple[str, ...]:
    beat = phrases.seconds_since(worker.last_heartbeat_at, now)
    tasks = ",".join(f"{ref.session_id}/{ref.task_id}" for ref in worker.tasks)
    slots = f"{slots_at_work(worker)}/{worker.slots}"
    return (worker.worker_id, phrases.worker_word(worker), slots, tasks, worker.host, phrases.age(beat))


def _task_row(task: Any, now: datetime) -> tuple[str, ...]:
    spent = phrases.seconds_since(task.started_at, task.ended_at or now) if task.attempt else None
    what = phrases.why(task.wait) if task.wait is not None else phrases.doing(task)
    return (task.task_id, task_word(task), task.session_id, phrases.age(spent), task.worker_id, what)


def _lock_row(one: Any, now: datetime) -> tuple[str, ...]:
    holders = ", ".join(map(phrases.holder_phrase, one.holders))
    waiters = ", ".join(map(phrases.holder_phrase, one.waiters))
    return (one.path, holders, phrases.age(phrases.seconds_since(one.since, now)), waiters)


def _failure_row(task: Any, now: datetime) -> tuple[str, ...]:
    ago = phrases.age(phrases.seconds_since(task.ended_at, now))
    return (task.task_id, task.session_id, ago, phrases.error_of(task))


def statistics_data(board: Board, now_s: float) -> dict[str, Any]:
    """The figures of the statistics panel as numbers."""
    counts = [one.counts for one in board.sessions.values()]
    workers = list(board.workers.values())
    alive = [one for one in workers if one.status.value in ("idle", "busy")]
    slots, taken = sum(one.slots for one in alive), sum(slots_at_work(one) for one in alive)
    return {
        "tasks_per_second": round(board.throughput.rate(now_s), 3),
        "sessions_active": sum(not one.is_over for one in board.sessions.values()),
        "workers_busy": sum(one.status.value == "busy" for one in workers),
        "workers_idle": sum(one.status.value == "idle" for one in workers),
        "workers_away": len(workers) - len(alive),
        "slots": slots,
        "slots_taken": taken,
        "utilization_percent": round(100 * taken / slots, 1) if slots else 0.0,
        "tasks_running": sum(one.running + one.cancelling for one in counts),
        "tasks_waiting": sum(one.queued + one.blocked + one.assigned for one in counts),
        "tasks_succeeded": sum(one.succeeded for one in counts),
        "tasks_failed": sum(one.failed for one in counts),
        "locks_held": sum(len(locks) for locks in board.locks.values()),
        "lock_waiters": len(board.waiting) + len(board.by_hand),
    }


def data(board: Board, now_s: float, session_id: str = "") -> dict[str, Any]:
    """Everything on the overview, or of one session, with the records' own field names."""
    waited = _waited(board, session_id)
    board = only(board, session_id) if session_id else board
    return {
        "statistics": statistics_data(board, now_s),
        "sessions": [record_to_json(one) for one in lists.sessions(board)],
        "workers": [record_to_json(one) for one in lists.workers(board)],
        "tasks": [record_to_json(one) for one in lists.tasks(board)],
        "contended": [
            {
                "path": one.path,
                "since": one.since.isoformat().replace("+00:00", "Z") if one.since else None,
                "holders": [record_to_json(holder) for holder in one.holders],
                "waiters": [record_to_json(waiter) for waiter in one.waiters],
            }
            for one in waited
        ],
        "failures": [record_to_json(one) for one in reversed(board.failures.values())],
    }
