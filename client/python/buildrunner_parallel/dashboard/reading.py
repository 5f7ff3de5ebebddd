"""What of the feed becomes records for the dashboard: of most tasks what it takes to forget them. Pure."""

from __future__ import annotations

from buildrunner_parallel.convert import change_from_wire, read_time
from buildrunner_parallel.enums import TaskStatus
from buildrunner_parallel.feed import Entity
from buildrunner_parallel.records import TaskSummary
from buildrunner_parallel.v1 import event_service_pb2, types_pb2

_STATUS = {types_pb2.TaskStatus.Value(f"TASK_STATUS_{one.name}"): one for one in TaskStatus}
_SHOWN = frozenset(
    number
    for number, one in _STATUS.items()
    if one in (TaskStatus.RUNNING, TaskStatus.CANCELLING, TaskStatus.FAILED)
)
_OVER = frozenset(
    number
    for number, one in _STATUS.items()
    if one in (TaskStatus.SUCCEEDED, TaskStatus.CANCELLED, TaskStatus.SKIPPED)
)


def read_change(change: event_service_pb2.Change) -> Entity | None:
    """The record of a change; of a task that neither runs, failed, nor waits for locks a short one.

    A session may bring thousands of tasks a second, and whole records of them would take most of a processor.
    """
    if change.WhichOneof("entity") != "task":
        return change_from_wire(change)
    task = change.task
    number = task.status
    if number in _SHOWN or number not in _STATUS or task.HasField("wait"):
        return change_from_wire(change)
    if number not in _OVER:
        return TaskSummary(
            task.session_id, task.task_id, _STATUS[number], attempt=task.attempt, revision=task.revision
        )
    return TaskSummary(
        task.session_id,
        task.task_id,
        _STATUS[number],
        title=task.title,
        attempt=task.attempt,
        worker_id=task.worker_id,
        started_at=read_time(task, "started_at"),
        ended_at=read_time(task, "ended_at"),
        error=task.error,
        reason=task.reason,
        revision=task.revision,
    )
