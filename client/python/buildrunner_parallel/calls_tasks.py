"""The calls of TaskService, as methods of both clients. Session ids may be unique prefixes; task ids are
whole."""

from __future__ import annotations

from collections.abc import Sequence

from .calls import Call, Page, Pages, Scope, new_request_id, read_page, read_record
from .convert import from_wire
from .convert_specs import number_of
from .records import EndedAttempt, Patch, Session, Task, TaskExplanation, TaskSummary
from .v1 import task_service_pb2 as wire
from .v1 import types_pb2


def get_task(self: Scope, session_id: str, task_id: str) -> Call[Task]:
    """One task with its attempts. Raises NotFoundError."""
    request = wire.GetTaskRequest(session_id=session_id, task_id=task_id)
    return Call(lambda stubs: stubs.tasks.GetTask, request, read_record(Task, "task"))


def get_patch(self: Scope, session_id: str, task_id: str, *, attempt: int = 0) -> Call[Patch]:
    """What an audited attempt changed: that of the given number, or of the last that has a patch.

    Kept of those that failed, changed what they had not declared, or had a worktree of their own. Raises
    NotFoundError, with the reason NO_PATCH where none was kept.
    """
    request = wire.GetPatchRequest(session_id=session_id, task_id=task_id, attempt=attempt)
    return Call(lambda stubs: stubs.tasks.GetPatch, request, lambda answer: from_wire(Patch, answer))


def iter_tasks(
    self: Scope, session_id: str, *, statuses: Sequence[str] = (), limit: int | None = None
) -> Pages[TaskSummary]:
    """The same as `list_tasks`, fetched a page at a time."""
    numbers = [number_of(types_pb2.TaskStatus, status) for status in statuses]

    def fetch(page_size: int, page_token: str) -> Call[Page[TaskSummary]]:
        request = wire.ListTasksRequest(
            session_id=session_id, statuses=numbers, page_size=page_size, page_token=page_token
        )
        return Call(lambda stubs: stubs.tasks.ListTasks, request, read_page(TaskSummary, "tasks"))

    return Pages(fetch, limit)


def list_tasks(
    self: Scope, session_id: str, *, statuses: Sequence[str] = (), limit: int | None = None
) -> Pages[TaskSummary]:
    """Summaries in order of submission; all of them, or at most `limit`."""
    return iter_tasks(self, session_id, statuses=statuses, limit=limit)


def iter_attempts(
    self: Scope,
    session_id: str,
    *,
    task_ids: Sequence[str] = (),
    since_revision: int = 0,
    with_results: bool = True,
    with_specs: bool = False,
    limit: int | None = None,
) -> Pages[EndedAttempt]:
    """Ended attempts, in the order of their ends, fetched a page at a time: all, those of `task_ids`, or
    those that ended after `since_revision`."""

    def fetch(page_size: int, page_token: str) -> Call[Page[EndedAttempt]]:
        request = wire.ListAttemptsRequest(
            session_id=session_id,
            task_ids=task_ids,
            since_revision=since_revision,
            omit_results=not with_results,
            with_specs=with_specs,
            page_size=page_size,
            page_token=page_token,
        )
        return Call(lambda stubs: stubs.tasks.ListAttempts, request, read_page(EndedAttempt, "attempts"))

    return Pages(fetch, limit)


def cancel_task(self: Scope, session_id: str, task_id: str, *, reason: str = "") -> Call[TaskSummary]:
    """Stops one task; tasks that need it are skipped. No effect on an ended one."""
    request = wire.CancelTaskRequest(
        request_id=new_request_id(), session_id=session_id, task_id=task_id, reason=reason
    )
    return Call(lambda stubs: stubs.tasks.CancelTask, request, read_record(TaskSummary, "task"))


def retry_tasks(self: Scope, session_id: str, task_ids: Sequence[str] = ()) -> Call[tuple[Session, int]]:
    """Runs failed, skipped and cancelled tasks again (all, or those named); how many there are."""
    request = wire.RetryTasksRequest(request_id=new_request_id(), session_id=session_id, task_ids=task_ids)
    return Call(
        lambda stubs: stubs.tasks.RetryTasks,
        request,
        lambda answer: (from_wire(Session, answer.session), answer.task_count),
    )


def explain_tasks(
    self: Scope, session_id: str, task_id: str = "", *, limit: int | None = None
) -> Pages[TaskExplanation]:
    """Why a task, or each unfinished one of the session, is not running; the most telling first.

    At most `limit` tasks, in the order of their submission.
    """

    def fetch(page_size: int, page_token: str) -> Call[Page[TaskExplanation]]:
        request = wire.ExplainTasksRequest(
            session_id=session_id, task_id=task_id, page_size=page_size, page_token=page_token
        )
        read = read_page(TaskExplanation, "explanations")
        return Call(lambda stubs: stubs.tasks.ExplainTasks, request, read)

    return Pages(fetch, limit)
