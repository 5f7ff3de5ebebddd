"""Unary calls over a real server: token, errors with details, limits, request ids, pages."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc

from buildrunner_coordinator.domain import reviving
from buildrunner_coordinator.rpc import retries
from buildrunner_coordinator.rpc.house import Limits
from buildrunner_parallel.v1 import coordinator_service_pb2 as info_pb
from buildrunner_parallel.v1 import lock_service_pb2 as lock_pb
from buildrunner_parallel.v1 import session_service_pb2 as session_pb
from buildrunner_parallel.v1 import task_service_pb2 as task_pb
from buildrunner_parallel.v1 import types_pb2 as types
from buildrunner_parallel.v1 import worker_service_pb2 as worker_pb


def reason_of(error: grpc.aio.AioRpcError) -> ErrorInfo:
    encoded = dict(error.trailing_metadata())["grpc-status-details-bin"]
    info = ErrorInfo()
    assert Status.FromString(encoded).details[0].Unpack(info)
    return info


async def refused(awaitable, code: grpc.StatusCode, reason: str) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    assert (caught.value.code(), reason_of(caught.value).reason) == (code, reason), caught.value.details()
    return caught.value.details() or ""


@pytest.mark.parametrize(
    "metadata", [(), (("authorization", "Bearer wrong"),), (("authorization", "0123456789abcdef"),)]
)
async def test_without_the_token_nothing_is_said(coordinator, metadata):
    call = coordinator.call(coordinator.info.GetInfo, info_pb.GetInfoRequest(), metadata=metadata)
    await refused(call, grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    stream = coordinator.workers.Connect(metadata=metadata)
    assert await asyncio.wait_for(stream.code(), 20) is grpc.StatusCode.UNAUTHENTICATED


async def test_health_needs_no_token(coordinator):
    stub = health_pb2_grpc.HealthStub(coordinator.channel)
    for service in ("", "buildrunner_parallel.v1.TaskService"):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_an_error_has_code_reason_names_and_a_sentence(coordinator):
    request: Any = session_pb.GetSessionRequest(session_id="beef1234")
    call = coordinator.call(coordinator.sessions.GetSession, request)
    assert "beef1234" in await refused(call, grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")


async def test_a_fault_is_logged_and_told_without_its_text(coordinator, monkeypatch, caplog):
    async def fail(*_):
        raise ValueError("the secret of line 7")

    monkeypatch.setattr(coordinator.engine, "execute", fail)
    call = coordinator.call(coordinator.sessions.GetSession, session_pb.GetSessionRequest(session_id="x"))
    message = await refused(call, grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "secret" not in message and "line 7" not in message
    assert "secret" in caplog.text


async def test_a_session_goes_from_created_to_cancelled(coordinator):
    session = await coordinator.running_session(metadata_json='{"a": 1}', wanted_workers=0)
    assert session.status == types.SESSION_STATUS_RUNNING and session.metadata_json == '{"a": 1}'
    request: Any = session_pb.PauseSessionRequest(session_id=session.session_id[:4])
    paused = (await coordinator.call(coordinator.sessions.PauseSession, request)).session
    assert paused.status == types.SESSION_STATUS_PAUSED
    request = session_pb.CancelSessionRequest(session_id=session.session_id, reason="enough")
    cancelled = (await coordinator.call(coordinator.sessions.CancelSession, request)).session
    assert cancelled.status == types.SESSION_STATUS_CANCELLED and cancelled.reason == "enough"
    request = session_pb.StartSessionRequest(session_id=session.session_id)
    call = coordinator.call(coordinator.sessions.StartSession, request)
    await refused(call, grpc.StatusCode.FAILED_PRECONDITION, "WRONG_STATE")


async def test_sessions_come_in_pages_newest_first(coordinator):
    for name in "abcde":
        await coordinator.call(coordinator.sessions.CreateSession, session_pb.CreateSessionRequest(name=name))
    names, token = [], ""
    while True:
        request = session_pb.ListSessionsRequest(page_size=2, page_token=token)
        page = await coordinator.call(coordinator.sessions.ListSessions, request)
        names += [session.name for session in page.sessions]
        assert page.total_count == 5
        token = page.next_page_token
        if not token:
            break
    assert names == ["e", "d", "c", "b", "a"]


async def test_the_same_request_id_gets_the_same_answer(coordinator):
    request: Any = session_pb.CreateSessionRequest(name="one", request_id="r1")
    first = await coordinator.call(coordinator.sessions.CreateSession, request)
    again = await coordinator.call(coordinator.sessions.CreateSession, request)
    assert first == again
    other = session_pb.CreateSessionRequest(name="two", request_id="r1")
    call = coordinator.call(coordinator.sessions.CreateSession, other)
    await refused(call, grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    stranger = (*coordinator.meta[:1], ("br-client-id", "other"))
    mine = await coordinator.call(coordinator.sessions.CreateSession, request, metadata=stranger)
    assert mine.session.session_id != first.session.session_id


async def test_a_submission_without_task_ids_repeated_names_the_same_tasks(coordinator):
    session = await coordinator.running_session()
    spec = types.TaskSpec(command=types.CommandWork(argv=["true"]))
    first = await coordinator.submit(session.session_id, spec, request_id="r")
    again = await coordinator.submit(session.session_id, spec, request_id="r")
    assert first == again and first.tasks[0].task_id


async def test_more_than_a_thousand_tasks_a_request_are_refused(coordinator, make):
    session = await coordinator.running_session()
    tasks = [make.task(str(number)) for number in range(1001)]
    call = coordinator.submit(session.session_id, *tasks)
    await refused(call, grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT")


async def test_a_message_over_four_mebibytes_is_refused(coordinator):
    request: Any = session_pb.CreateSessionRequest(name="x", metadata_json="x" * (5 << 20))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await coordinator.call(coordinator.sessions.CreateSession, request)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_cycles_unknown_needs_and_repeated_ids_are_refused_and_nothing_is_kept(coordinator, make):
    session = await coordinator.running_session()
    code = grpc.StatusCode
    for tasks, status, reason in (
        ([make.task("a", needs=["b"]), make.task("b", needs=["a"])], code.INVALID_ARGUMENT, "CYCLE"),
        ([make.task("a", needs=["z"])], code.INVALID_ARGUMENT, "UNKNOWN_NEED"),
        ([make.task("a"), make.task("a")], code.ALREADY_EXISTS, "TASK_EXISTS"),
    ):
        await refused(coordinator.submit(session.session_id, *tasks), status, reason)
    request: Any = task_pb.ListTasksRequest(session_id=session.session_id)
    assert not (await coordinator.call(coordinator.tasks.ListTasks, request)).tasks


async def test_tasks_are_listed_in_pages_and_shown_whether_they_are_over_or_not(coordinator, make):
    session = await coordinator.running_session()
    worker = await coordinator.connect()
    await coordinator.submit(session.session_id, *[make.task(name) for name in "abc"])
    (assignment,) = await worker.receive_assignments()
    await worker.send(reports=[make.report(assignment, result=types.Payload(data=b"42"))])
    await worker.receive_acknowledgement()
    request: Any = task_pb.ListTasksRequest(session_id=session.session_id, page_size=2)
    page = await coordinator.call(coordinator.tasks.ListTasks, request)
    assert [task.task_id for task in page.tasks] == ["a", "b"] and page.next_page_token
    assert page.tasks[0].status == types.TASK_STATUS_SUCCEEDED
    request.page_token = page.next_page_token
    page = await coordinator.call(coordinator.tasks.ListTasks, request)
    assert [task.task_id for task in page.tasks] == ["c"] and not page.next_page_token
    request = task_pb.GetTaskRequest(session_id=session.session_id, task_id="a")
    task = (await coordinator.call(coordinator.tasks.GetTask, request)).task
    assert task.attempts[0].result.data == b"42" and task.spec.command.argv == ["true"]
    request.task_id = "b"
    task = (await coordinator.call(coordinator.tasks.GetTask, request)).task
    assert task.summary.status in (types.TASK_STATUS_ASSIGNED, types.TASK_STATUS_QUEUED)
    request.task_id = "nope"
    call = coordinator.call(coordinator.tasks.GetTask, request)
    await refused(call, grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND")


async def test_why_a_task_does_not_run_is_explained(coordinator, make):
    session = await coordinator.running_session()
    await coordinator.submit(session.session_id, make.task("a"), make.task("b", needs=["a"]))
    request: Any = task_pb.ExplainTasksRequest(session_id=session.session_id)
    answer = await coordinator.call(coordinator.tasks.ExplainTasks, request)
    kinds = {one.task_id: one.waits[0].kind for one in answer.explanations}
    assert kinds == {"a": types.WAIT_KIND_NO_WORKER, "b": types.WAIT_KIND_NEEDS}


async def test_cancelling_a_task_that_is_over_changes_nothing(coordinator, make):
    session = await coordinator.running_session()
    await coordinator.submit(session.session_id, make.task("a"))
    request: Any = task_pb.CancelTaskRequest(session_id=session.session_id, task_id="a", reason="no")
    for _ in range(2):
        task = (await coordinator.call(coordinator.tasks.CancelTask, request)).task
        assert task.status == types.TASK_STATUS_CANCELLED


async def test_failed_tasks_of_an_ended_session_run_again(coordinator, make):
    session = await coordinator.running_session()
    worker = await coordinator.connect()
    await coordinator.submit(session.session_id, make.task("a"), make.task("b", needs=["a"]), seal=True)
    (assignment,) = await worker.receive_assignments()
    await worker.send(reports=[make.report(assignment, outcome=types.OUTCOME_FAILED, exit_code=3)])
    await worker.receive_acknowledgement()
    request: Any = task_pb.RetryTasksRequest(session_id=session.session_id)
    answer = await coordinator.call(coordinator.tasks.RetryTasks, request)
    assert answer.task_count == 2 and answer.session.status == types.SESSION_STATUS_RUNNING
    (assignment,) = await worker.receive_assignments()
    assert assignment.spec.task_id == "a" and assignment.number == 2


async def test_a_retry_in_pieces_is_answered_once_all_are_back_and_again_as_the_first_time(
    coordinator, make, monkeypatch
):
    monkeypatch.setattr(reviving, "REVIVED_TASKS", 2)
    monkeypatch.setattr(retries, "REVIVED_TASKS", 2)
    session = await coordinator.running_session()
    worker = await coordinator.connect()
    needing = [make.task(f"t{n}", needs=["gate"]) for n in range(6)]
    await coordinator.submit(session.session_id, make.task("gate"), *needing, seal=True)
    (assignment,) = await worker.receive_assignments()
    await worker.send(reports=[make.report(assignment, outcome=types.OUTCOME_FAILED, exit_code=3)])
    await worker.receive_acknowledgement()
    request: Any = task_pb.RetryTasksRequest(session_id=session.session_id, request_id="again")
    first = await coordinator.call(coordinator.tasks.RetryTasks, request)
    assert first.task_count == 7 and first.session.counts.skipped == 0
    assert await coordinator.call(coordinator.tasks.RetryTasks, request) == first


async def plan_of(header: task_pb.PlanHeader, *batches: list[types.TaskSpec]):
    yield task_pb.SubmitPlanRequest(header=header)
    for batch in batches:
        yield task_pb.SubmitPlanRequest(tasks=batch)


async def test_a_plan_creates_fills_seals_and_starts_a_session_at_once(coordinator, make):
    create = session_pb.CreateSessionRequest(name="plan")
    header = task_pb.PlanHeader(request_id="p", create=create, seal=True, start=True)
    batches = [[make.task("b", needs=["a"])], [make.task("a")]]
    answers = [
        await coordinator.call(coordinator.tasks.SubmitPlan, plan_of(header, *batches)) for _ in range(2)
    ]
    assert answers[0] == answers[1] and answers[0].task_count == 2
    session = answers[0].session
    assert session.status == types.SESSION_STATUS_RUNNING and not session.open and session.counts.blocked == 1


async def test_a_plan_with_a_cycle_leaves_no_session_behind(coordinator, make):
    header = task_pb.PlanHeader(create=session_pb.CreateSessionRequest(name="plan"), seal=True, start=True)
    tasks = [make.task("a", needs=["b"]), make.task("b", needs=["a"])]
    call = coordinator.call(coordinator.tasks.SubmitPlan, plan_of(header, tasks))
    await refused(call, grpc.StatusCode.INVALID_ARGUMENT, "CYCLE")
    page = await coordinator.call(coordinator.sessions.ListSessions, session_pb.ListSessionsRequest())
    assert not page.sessions


class TestSmallLimits:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(plan_tasks=3, plan_bytes=10_000)

    @pytest.mark.parametrize("batches", [["ab", "cd"], ["x" * 20_000]])
    async def test_a_plan_over_the_limits_is_refused(self, coordinator, make, batches):
        header = task_pb.PlanHeader(create=session_pb.CreateSessionRequest(name="plan"))
        if len(batches) == 1:
            tasks = [[make.task("a", batches[0])]]
        else:
            tasks = [[make.task(name) for name in batch] for batch in batches]
        call = coordinator.call(coordinator.tasks.SubmitPlan, plan_of(header, *tasks))
        await refused(call, grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT")


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [task_pb.SubmitPlanRequest(tasks=[types.TaskSpec(task_id="a")])],
        [task_pb.SubmitPlanRequest(header=task_pb.PlanHeader())],
        [task_pb.SubmitPlanRequest(header=task_pb.PlanHeader(session_id="x"))] * 2,
    ],
)
async def test_a_plan_without_one_fit_header_is_refused(coordinator, messages):
    call = coordinator.call(coordinator.tasks.SubmitPlan, iter(messages))
    await refused(call, grpc.StatusCode.INVALID_ARGUMENT, "INVALID")


async def test_the_locks_of_tasks_are_listed(coordinator, make):
    session = await coordinator.running_session()
    await coordinator.connect()
    await coordinator.submit(session.session_id, make.task("a", files=[types.PathRequest(path="src/")]))
    answer = await coordinator.call(coordinator.locks.ListLocks, lock_pb.ListLocksRequest())
    (lock,) = answer.locks
    assert (lock.path, lock.kind, lock.holder.task_id) == ("src", types.LOCK_KIND_TREE, "a")


async def test_workers_and_pools_are_listed_changed_and_drained(coordinator):
    worker = await coordinator.connect(labels=["linux"])
    page = await coordinator.call(coordinator.workers.ListWorkers, worker_pb.ListWorkersRequest())
    (found,) = page.workers
    assert found.worker_id == worker.welcome.worker_id and list(found.labels) == ["linux"] and found.connected
    request: Any = worker_pb.UpdateWorkerRequest(worker_id=found.worker_id, metadata_json='{"rack": 3}')
    changed = await coordinator.call(coordinator.workers.UpdateWorker, request)
    assert changed.worker.metadata_json == '{"rack": 3}'
    request = worker_pb.DrainWorkerRequest(worker_id=found.worker_id[:5], reason="update")
    assert (await coordinator.call(coordinator.workers.DrainWorker, request)).worker.draining
    assert (await worker.receive()).drain.reason == "update"
    request = worker_pb.GetWorkerRequest(worker_id=found.worker_id)
    assert (await coordinator.call(coordinator.workers.GetWorker, request)).worker.draining
    request = worker_pb.SetPoolRequest(pool=types.Pool(wanted=2, labels=["b"]))
    await coordinator.call(coordinator.workers.SetPool, request)
    (pool,) = (await coordinator.call(coordinator.workers.ListPools, worker_pb.ListPoolsRequest())).pools
    assert (pool.wanted, pool.slots, list(pool.labels)) == (2, 1, ["b"])


async def test_info_and_summary_tell_what_is(coordinator):
    await coordinator.running_session()
    info = await coordinator.call(coordinator.info.GetInfo, info_pb.GetInfoRequest())
    assert info.store_id and info.epoch and info.summary.sessions_active == 1 and not info.draining
    summary = await coordinator.call(coordinator.info.GetSummary, info_pb.GetSummaryRequest())
    assert summary.summary.sessions_running == 1
    call = coordinator.call(coordinator.info.GetSummary, info_pb.GetSummaryRequest(workspace_id="other"))
    await refused(call, grpc.StatusCode.NOT_FOUND, "WORKSPACE_NOT_FOUND")


async def test_a_backup_comes_whole_and_leaves_no_file_behind(coordinator, tmp_path):
    await coordinator.running_session()
    pieces = [
        piece
        async for piece in coordinator.info.Backup(
            info_pb.BackupRequest(), metadata=coordinator.meta, timeout=20
        )
    ]
    assert pieces[0].total_bytes == sum(len(piece.data) for piece in pieces)
    assert pieces[0].data.startswith(b"SQLite format 3")
    assert not list(tmp_path.glob("*.tmp"))


async def test_a_draining_coordinator_takes_no_new_work_and_ends_when_nothing_runs(coordinator, make):
    session = await coordinator.running_session()
    worker = await coordinator.connect()
    await coordinator.submit(session.session_id, make.task("a"))
    (assignment,) = await worker.receive_assignments()
    await worker.send(
        started=[worker_pb.TaskStarted(attempt_id=assignment.attempt_id, fence=assignment.fence)]
    )
    shutdown = asyncio.ensure_future(
        coordinator.call(coordinator.info.Shutdown, info_pb.ShutdownRequest(drain=True))
    )
    while not (await worker.receive()).HasField("drain"):
        pass
    call = coordinator.submit(session.session_id, make.task("b"))
    await refused(call, grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert not shutdown.done() and not coordinator.house.stop.is_set()
    await worker.send(reports=[make.report(assignment)])
    await shutdown
    assert coordinator.house.stop.is_set()
