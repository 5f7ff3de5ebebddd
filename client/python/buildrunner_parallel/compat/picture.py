"""What a dashboard shows, gathered in a few calls: sessions, workers, tasks, what has happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..errors import NotFoundError
from .home import is_listed
from .session import values_of
from .times import to_local
from .worker import current_task_of

if TYPE_CHECKING:
    from ..records import Session as SessionRecord
    from ..records import Worker as WorkerRecord
    from .session_manager import SessionManager
    from .worker_coordinator import WorkerCoordinator

_EVENTS_A_SESSION = 20


@dataclass(frozen=True)
class Picture:
    """Everything at one moment; `active` are the sessions that run or are paused, newest first, `queued` the
    ids of waiting tasks, the first of them."""

    at: datetime
    active: list[SessionRecord] = field(default_factory=list)
    session_count: int = 0
    workers: list[WorkerRecord] = field(default_factory=list)
    queued: list[str] = field(default_factory=list)
    queued_count: int = 0
    completed: int = 0
    failed: int = 0

    def count(self, status: str) -> int:
        """Workers in that state."""
        return sum(one.status.value == status for one in self.workers)

    @property
    def utilization(self) -> float:
        """The percentage of the workers that is busy."""
        return 100.0 * self.count("busy") / len(self.workers) if self.workers else 0.0


def take(manager: SessionManager, coordinator: WorkerCoordinator | None, *, tasks_shown: int = 10) -> Picture:
    """With a coordinator its workers and tasks, without one those of everybody."""
    now = datetime.now()
    client = manager._home.client
    found = client.list_sessions(statuses=["running", "paused"])
    active = [one for one in found if is_listed(one)]
    count = client.count_sessions() - (len(found) - len(active))
    if coordinator is None:
        counts = client.summary().tasks
        waiting = counts.blocked + counts.queued
        workers = client.list_workers()
        return Picture(now, active, count, workers, [], waiting, counts.succeeded, counts.failed)
    there = coordinator._home.client
    workers = there.list_workers(pool=coordinator._pool)
    names = coordinator._queued_ids(tasks_shown)
    waiting = len(names)
    if waiting == tasks_shown:
        waiting = there.count_pool_tasks(coordinator._pool, statuses=("blocked", "queued"))
    completed, failed = sum(one.tasks_succeeded for one in workers), sum(one.tasks_failed for one in workers)
    return Picture(now, active, count, workers, names, waiting, completed, failed)


def summary(picture: Picture) -> dict[str, Any]:
    return {
        "timestamp": picture.at.isoformat(),
        "workers": {
            "total": len(picture.workers),
            "idle": picture.count("idle"),
            "busy": picture.count("busy"),
            "offline": picture.count("offline"),
            "utilization": picture.utilization,
        },
        "sessions": {"active": len(picture.active), "total": picture.session_count},
        "tasks": {"queued": picture.queued_count, "completed": picture.completed, "failed": picture.failed},
    }


def session_rows(sessions: list[SessionRecord]) -> list[dict[str, Any]]:
    rows = []
    for record in sessions:
        one = values_of(record)
        rows.append(
            {
                "session_id": one.session_id,
                "name": one.name,
                "status": one.status.value,
                "progress_percent": one.progress_percent,
                "total_tasks": one.total_tasks,
                "completed_tasks": one.completed_tasks,
                "failed_tasks": one.failed_tasks,
            }
        )
    return rows


def worker_rows(picture: Picture) -> list[dict[str, Any]]:
    return [
        {
            "worker_id": one.worker_id,
            "status": one.status.value,
            "current_session": one.tasks[0].session_id if one.tasks else None,
            "tasks_completed": one.tasks_succeeded,
            "tasks_failed": one.tasks_failed,
        }
        for one in picture.workers
    ]


def running_tasks(picture: Picture) -> list[tuple[str, str, str]]:
    """Task, worker, and session if it has one."""
    found = []
    for one in picture.workers:
        task = current_task_of(one)
        if task is not None:
            found.append((task, one.worker_id, one.tasks[0].session_id if one.tasks else ""))
    return found


def timeline(manager: SessionManager, sessions: list[SessionRecord], now: datetime) -> list[dict[str, Any]]:
    """What has happened to these sessions, oldest first."""
    client = manager._home.client
    events: list[tuple[datetime, dict[str, Any]]] = []
    for record in sessions:
        try:
            found = list(client.iter_history(record.session_id))
        except NotFoundError:
            continue
        for one in found[-_EVENTS_A_SESSION:]:
            at = to_local(one.at) or now
            told = {"timestamp": at.isoformat(), "event": one.kind, "session_id": record.session_id}
            events.append((at, {**told, "session_name": record.name, "message": one.message}))
    events.sort(key=lambda pair: pair[0])
    return [told for _, told in events]
