"""What audited attempts changed, over a real server: recorded, judged, and the patch to be had."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import pytest

from buildrunner_parallel.v1 import lock_service_pb2 as lock_pb
from buildrunner_parallel.v1 import session_service_pb2 as session_pb
from buildrunner_parallel.v1 import task_service_pb2 as task_pb
from buildrunner_parallel.v1 import types_pb2 as types
from buildrunner_parallel.v1 import worker_service_pb2 as worker_pb

SRC = [types.PathRequest(path="src/")]
PATCH = b"diff --git a/docs/x b/docs/x\n+\x00\xff\n"


async def run_one(coordinator: Any, make: Any, task: types.TaskSpec, **report: Any) -> types.Task:
    """Submits a task, reports it, and reads it back."""
    session_id = (await coordinator.running_session()).session_id
    await coordinator.submit(session_id, task)
    worker = await coordinator.connect()
    (assignment,) = await worker.receive_assignments()
    await worker.send(reports=[make.report(assignment, **report)])
    await worker.receive()
    request = task_pb.GetTaskRequest(session_id=session_id, task_id=task.task_id)
    found: types.Task = (await coordinator.call(coordinator.tasks.GetTask, request)).task
    return found


async def patch_of(coordinator: Any, task: types.Task, attempt: int = 0) -> task_pb.GetPatchResponse:
    request = task_pb.GetPatchRequest(
        session_id=task.summary.session_id, task_id=task.summary.task_id, attempt=attempt
    )
    found: task_pb.GetPatchResponse = await coordinator.call(coordinator.tasks.GetPatch, request)
    return found


async def test_a_change_that_was_not_declared_is_shown_and_its_patch_kept(coordinator, make):
    audit = worker_pb.AuditReport(patch=PATCH, patch_dropped_bytes=7)
    task = await run_one(coordinator, make, make.task("t", files=SRC), modified_files=["docs/x"], audit=audit)
    (attempt,) = task.attempts
    assert list(attempt.modified_files) == ["docs/x"]
    assert list(attempt.warnings) == ["changed without declaring it: docs/x"]
    assert (attempt.patch_bytes, attempt.patch_dropped_bytes) == (len(PATCH), 7)
    for number in (0, 1):
        assert await patch_of(coordinator, task, number) == task_pb.GetPatchResponse(
            attempt=1, patch=PATCH, dropped_bytes=7
        )
    session_id = task.summary.session_id
    request = session_pb.GetSessionRequest(session_id=session_id)
    session = (await coordinator.call(coordinator.sessions.GetSession, request)).session
    assert list(session.modified_files) == ["docs/x"]


async def test_what_another_session_holds_fails_the_task(coordinator, make):
    other = (await coordinator.running_session("other")).session_id
    asked = lock_pb.AcquireLocksRequest(
        request_id="1", session_id=other, paths=[types.PathRequest(path="docs/")]
    )
    await coordinator.call(coordinator.locks.AcquireLocks, asked)
    audit = worker_pb.AuditReport(patch=PATCH)
    task = await run_one(coordinator, make, make.task("t", files=SRC), modified_files=["docs/x"], audit=audit)
    assert (task.summary.status, task.summary.reason) == (types.TASK_STATUS_FAILED, "UNDECLARED_WRITE")
    assert task.summary.error.endswith("without declaring it: docs/x")
    assert (await patch_of(coordinator, task)).patch == PATCH


async def test_the_branch_of_an_isolated_attempt_is_shown(coordinator, make):
    audit = worker_pb.AuditReport(
        patch=PATCH, branch="br/s/t-1", commit="abc", merge=worker_pb.MERGE_OUTCOME_MERGED
    )
    spec = make.task("t")
    spec.isolation = types.ISOLATION_MODE_WORKTREE
    task = await run_one(coordinator, make, spec, modified_files=["docs/x"], audit=audit)
    (attempt,) = task.attempts
    assert (attempt.branch, attempt.commit, attempt.merged) == ("br/s/t-1", "abc", True)
    assert (await patch_of(coordinator, task)).patch == PATCH


@pytest.mark.parametrize(
    ("attempt", "told"),
    [(0, "No attempt of task 't' has a patch."), (4, "Attempt 4 of task 't' has no patch.")],
)
async def test_where_no_patch_was_kept_that_is_said(coordinator, make, attempt, told):
    task = await run_one(coordinator, make, make.task("t"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await patch_of(coordinator, task, attempt)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert str(caught.value.details()).startswith(told)


async def test_a_patch_of_no_task_is_refused_as_any_other_question(coordinator, make):
    task = await run_one(coordinator, make, make.task("t"))
    task.summary.task_id = "nothing"
    with pytest.raises(grpc.aio.AioRpcError, match="has no task 'nothing'"):
        await patch_of(coordinator, task)
