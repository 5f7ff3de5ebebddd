"""One plain line a task change, for pipes and log files. Pure functions."""

from __future__ import annotations

from datetime import datetime

from buildrunner_parallel.durations import format_duration
from buildrunner_parallel.records import TaskSummary
from buildrunner_parallel.text import one_line

from .fold import waits_for_locks
from .phrases import holders_phrase


def change_line(task: TaskSummary, moment: datetime) -> str:
    """Such as `12:03:04  succeeded  unit-3  4.2s  worker b2c4d5e6`, never cut."""
    word = "waiting" if waits_for_locks(task) else task.status.value
    clock = moment.astimezone().strftime("%H:%M:%S")
    parts = [clock, f"{word:<10}", one_line(task.task_id), *details_of(task)]
    return "  ".join(part for part in parts if part)


def details_of(task: TaskSummary) -> list[str]:
    """What there is to say beside the status: for whom it waits, how long it ran, where, its error."""
    details: list[str] = []
    if waits_for_locks(task) and task.wait is not None:
        return [f"for {one_line(', '.join(task.wait.names))}, {holders_phrase(task.wait.holders)}"]
    if task.is_over and task.started_at and task.ended_at:
        details.append(format_duration((task.ended_at - task.started_at).total_seconds()))
    if task.worker_id and task.status.value not in ("queued", "blocked"):
        details.append(f"worker {one_line(task.worker_id)}")
    if task.attempt > 1:
        details.append(f"attempt {task.attempt}")
    if task.error and task.status.value not in ("running", "assigned", "succeeded"):
        details.append(one_line(task.error))
    return details


def moment_of(task: TaskSummary, now: datetime) -> datetime:
    """When the task came to its present status; `now` where nothing tells."""
    if task.is_over and task.ended_at:
        return task.ended_at
    if task.status.value == "running" and task.started_at:
        return task.started_at
    return now
