"""What a program says that is an external worker itself, as methods of both clients: worker, tasks, reports.

Such a worker is *passive*: it is sent nothing, and looks up in its record what it has.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from .calls import Call, Page, Pages, Scope, new_request_id, read_record
from .calls_submission import placed
from .convert import all_from_wire, from_wire
from .convert_specs import json_text, milliseconds, number_of, time_to_wire, word_of
from .records import PoolTask, Session, TaskSpec, TaskSummary, Worker
from .v1 import task_service_pb2, types_pb2
from .v1 import worker_service_pb2 as wire


def register_external_worker(
    self: Scope, pool: str, *, metadata: Mapping[str, Any] | None = None, lease_s: float = 0
) -> Call[str]:
    """A new worker of `pool` with one slot; returns its id. It gets a task whenever it is idle.

    It is OFFLINE, and its task is given to another, `lease_s` seconds after its last heartbeat (0: as the
    coordinator's other workers).
    """
    hello = wire.Hello(
        host=socket.gethostname(),
        pid=os.getpid(),
        slots=1,
        kinds=types_pb2.WorkerKinds(external=True),
        pool=pool,
        metadata_json=json_text(metadata),
        capabilities=["passive"],
        lease_ms=milliseconds(lease_s),
    )
    request = wire.RegisterRequest(hello=hello)
    return Call(lambda stubs: stubs.workers.Register, request, lambda answer: str(answer.welcome.worker_id))


def heartbeat_worker(self: Scope, worker_id: str) -> Call[None]:
    """Begins the worker's lease anew, and brings it back when it was OFFLINE. Raises NotFoundError."""
    request = wire.HeartbeatRequest(worker_id=worker_id)
    return Call(lambda stubs: stubs.workers.Heartbeat, request, lambda _: None)


def report_attempt(
    self: Scope, worker_id: str, attempt_id: str, fence: int, *, succeeded: bool, error: str = ""
) -> Call[str]:
    """The end of what the worker had, as `Worker.tasks` names it. Returns `accepted`, `duplicate`, or
    `stale`: it was not its any more, and nothing has changed. Raises NotFoundError for an unknown worker."""
    report = wire.TaskReport(
        attempt_id=attempt_id,
        fence=fence,
        outcome=types_pb2.OUTCOME_SUCCEEDED if succeeded else types_pb2.OUTCOME_FAILED,
        error=error,
    )
    request = wire.ReportTasksRequest(worker_id=worker_id, reports=[report])

    def read(answer: wire.ReportTasksResponse) -> str:
        return word_of(wire.Disposition.DESCRIPTOR, answer.acknowledgements[0].disposition)

    return Call(lambda stubs: stubs.workers.ReportTasks, request, read)


def unregister_worker(self: Scope, worker_id: str, *, reason: str = "") -> Call[None]:
    """The worker leaves; what it had is queued again. No effect on one that is not there."""
    request = wire.UnregisterRequest(worker_id=worker_id, reason=reason)
    return Call(lambda stubs: stubs.workers.Unregister, request, lambda _: None)


def update_worker(
    self: Scope,
    worker_id: str,
    *,
    metadata: Mapping[str, Any] | None = None,
    status: str = "",
    lease_s: float | None = None,
    last_heartbeat_at: datetime | None = None,
    add_succeeded: int = 0,
    add_failed: int = 0,
) -> Call[Worker]:
    """Changes what is given. All but `metadata` is for external workers: status (`busy` gets nothing more,
    `offline` as if its lease were over), lease, a heartbeat that was earlier than is known, and tasks that it
    did without having been given them. Raises NotFoundError, UnsupportedError."""
    request = wire.UpdateWorkerRequest(
        request_id=new_request_id(),
        worker_id=worker_id,
        metadata_json=None if metadata is None else json_text(metadata) or "{}",
        status=number_of(types_pb2.WorkerStatus, status) if status else types_pb2.WORKER_STATUS_UNSPECIFIED,
        lease_ms=None if lease_s is None else milliseconds(lease_s),
        last_heartbeat_at=None if last_heartbeat_at is None else time_to_wire(last_heartbeat_at),
        add_succeeded=add_succeeded,
        add_failed=add_failed,
    )
    return Call(lambda stubs: stubs.workers.UpdateWorker, request, read_record(Worker, "worker"))


def submit_task(self: Scope, session_id: str, task: TaskSpec) -> Call[tuple[TaskSummary, Session]]:
    """Adds one task. Returns it as it is once it could be placed, `worker_id` set if it was, and its session.

    Raises what `submit_tasks` raises.
    """
    request = task_service_pb2.SubmitTasksRequest(
        request_id=new_request_id(), session_id=session_id, tasks=[placed(self, task)]
    )
    return Call(
        lambda stubs: stubs.tasks.SubmitTasks,
        request,
        lambda answer: (from_wire(TaskSummary, answer.tasks[0]), from_wire(Session, answer.session)),
    )


def list_pool_tasks(
    self: Scope, pool: str, *, statuses: Sequence[str] = (), limit: int | None = None
) -> Pages[PoolTask]:
    """External tasks of `pool` that are not over, of all sessions, in order of submission."""

    def fetch(page_size: int, page_token: str) -> Call[Page[PoolTask]]:
        request = _pool_request(pool, statuses)
        request.page_size, request.page_token, request.with_specs = page_size, page_token, True
        return Call(lambda stubs: stubs.tasks.ListTasks, request, _read_pool_tasks)

    return Pages(fetch, limit)


def count_pool_tasks(self: Scope, pool: str, *, statuses: Sequence[str] = ()) -> Call[int]:
    """How many there are of them."""
    request = _pool_request(pool, statuses)
    request.page_size = 1
    return Call(lambda stubs: stubs.tasks.ListTasks, request, lambda answer: int(answer.total_count))


def _pool_request(pool: str, statuses: Sequence[str]) -> task_service_pb2.ListTasksRequest:
    numbers = [number_of(types_pb2.TaskStatus, status) for status in statuses]
    return task_service_pb2.ListTasksRequest(pool=pool, statuses=numbers)


def _read_pool_tasks(answer: task_service_pb2.ListTasksResponse) -> Page[PoolTask]:
    pairs = zip(all_from_wire(TaskSummary, answer.tasks), all_from_wire(TaskSpec, answer.specs), strict=True)
    return [PoolTask(summary, spec) for summary, spec in pairs], answer.next_page_token
