"""What stands at the end of a watched session, as data: per task, and in all. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from buildrunner_parallel.durations import format_duration
from buildrunner_parallel.records import EndedAttempt, Session, TaskSummary

from .fold import wall_time_s


@dataclass(frozen=True, slots=True)
class TaskLine:
    """One task's row: its seconds are those of all its attempts."""

    task: TaskSummary
    seconds: float


@dataclass(frozen=True, slots=True)
class EndSummary:
    """The end of one session; `task_s` is None where there are too many tasks to add their times up."""

    session: Session
    lines: tuple[TaskLine, ...]
    wall_s: float
    task_s: float | None

    @property
    def failed(self) -> list[TaskSummary]:
        return [line.task for line in self.lines if line.task.status.value == "failed"]

    @property
    def headline(self) -> str:
        """Such as `Session a3f2e1d9 (Build) completed: 38 succeeded, 0 failed`."""
        session, counts = self.session, self.session.counts
        more = [
            f"{getattr(counts, name)} {name}" for name in ("cancelled", "skipped") if getattr(counts, name)
        ]
        told = ", ".join([f"{counts.succeeded} succeeded", f"{counts.failed} failed", *more])
        reason = f" ({session.reason})" if session.reason else ""
        return f"Session {session.session_id} ({session.name}) {session.status.value}: {told}{reason}"

    @property
    def times(self) -> str:
        """Wall time beside the sum of task times."""
        if self.task_s is None:
            return f"Wall time {format_duration(self.wall_s)}"
        times = f"Wall time {format_duration(self.wall_s)}, sum of task times {format_duration(self.task_s)}"
        return f"{times} ({self.task_s / self.wall_s:.1f} at a time)" if self.wall_s > 0 else times


def summarize(
    session: Session, tasks: Iterable[TaskSummary], attempts: Iterable[EndedAttempt] | None, now: datetime
) -> EndSummary:
    """The summary of `session`, tasks in the order in which they ended; `attempts` are all of theirs, or None
    when nobody has read them."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for one in attempts or ():
        seconds[one.task_id] += _spent_s(one.attempt.started_at, one.attempt.ended_at)
    ordered = sorted(tasks, key=_when)
    if attempts is None:
        for task in ordered:
            seconds[task.task_id] = _spent_s(task.started_at, task.ended_at)
    lines = tuple(TaskLine(task, seconds[task.task_id]) for task in ordered)
    total = None if attempts is None else sum(line.seconds for line in lines)
    return EndSummary(session, lines, wall_time_s(session, now), total)


def _spent_s(begin: datetime | None, end: datetime | None) -> float:
    return max(0.0, (end - begin).total_seconds()) if begin and end else 0.0


def _when(task: TaskSummary) -> tuple[bool, float, str]:
    ended = task.ended_at.timestamp() if task.ended_at else 0.0
    return (task.ended_at is None, ended, task.task_id)


def example_task(lines: Sequence[TaskLine]) -> TaskSummary | None:
    """The task that one would look at next: one that failed, else the longest."""
    failed = [line for line in lines if line.task.status.value == "failed"]
    ran = failed or [line for line in lines if line.task.attempt] or list(lines)
    return max(ran, key=lambda line: line.seconds).task if ran else None
