"""Programs that are workers themselves, over gRPC: register, be given a task, report, go silent, leave."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from buildrunner_parallel.v1 import session_service_pb2 as session_pb
from buildrunner_parallel.v1 import task_service_pb2 as task_pb
from buildrunner_parallel.v1 import types_pb2 as types
from buildrunner_parallel.v1 import worker_service_pb2 as worker_pb


async def passive(coordinator, **hello):
    fields = {"kinds": types.WorkerKinds(external=True), "pool": "p", "capabilities": ["passive"], **hello}
    request = worker_pb.RegisterRequest(hello=worker_pb.Hello(**fields))
    return (await coordinator.call(coordinator.workers.Register, request)).welcome.worker_id


async def worker(coordinator, worker_id):
    request = worker_pb.GetWorkerRequest(worker_id=worker_id)
    return (await coordinator.call(coordinator.workers.GetWorker, request)).worker


def external(task_id, data=b"", pool="p"):
    payload = types.Payload(data=data)
    return types.TaskSpec(task_id=task_id, external=types.ExternalWork(pool=pool, payload=payload))


async def report(coordinator, worker_id, ref, outcome=types.OUTCOME_SUCCEEDED):
    one = worker_pb.TaskReport(attempt_id=ref.attempt_id, fence=ref.fence, outcome=outcome)
    request = worker_pb.ReportTasksRequest(worker_id=worker_id, reports=[one])
    answer = await coordinator.call(coordinator.workers.ReportTasks, request)
    return answer.acknowledgements[0].disposition


async def test_the_answer_to_a_submission_says_who_has_it_and_the_record_how_to_report(coordinator):
    worker_id = await passive(coordinator)
    session = await coordinator.running_session(driver=types.SESSION_DRIVER_OWNER)
    answer = await coordinator.submit(session.session_id, external("a"), external("b"))
    assert [one.worker_id for one in answer.tasks] == [worker_id, ""]
    (ref,) = (await worker(coordinator, worker_id)).tasks
    assert (ref.task_id, ref.attempt, ref.attempt_id) == ("a", 1, answer.tasks[0].attempt_id)
    assert await report(coordinator, worker_id, ref) == worker_pb.DISPOSITION_ACCEPTED
    assert await report(coordinator, worker_id, ref) == worker_pb.DISPOSITION_DUPLICATE
    found = await worker(coordinator, worker_id)
    assert (found.tasks[0].task_id, found.tasks_succeeded) == ("b", 1)


async def test_heartbeats_and_a_goodbye_need_no_stream(coordinator):
    worker_id = await passive(coordinator)
    await coordinator.call(coordinator.workers.Heartbeat, worker_pb.HeartbeatRequest(worker_id=worker_id))
    assert (await worker(coordinator, worker_id)).HasField("last_heartbeat_at")
    await coordinator.call(coordinator.workers.Unregister, worker_pb.UnregisterRequest(worker_id=worker_id))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await coordinator.call(coordinator.workers.Heartbeat, worker_pb.HeartbeatRequest(worker_id=worker_id))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reports_of_workers_that_are_unknown_or_have_a_stream_are_refused(coordinator):
    for worker_id in ("ffffffff", (await coordinator.connect()).welcome.worker_id[:5]):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await report(coordinator, worker_id, types.TaskRef(attempt_id="x"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_its_lease_and_last_heartbeat_can_be_set(coordinator):
    worker_id = await passive(coordinator, lease_ms=60_000)
    long_ago = Timestamp(seconds=1)
    request = worker_pb.UpdateWorkerRequest(worker_id=worker_id, lease_ms=5000, last_heartbeat_at=long_ago)
    changed = (await coordinator.call(coordinator.workers.UpdateWorker, request)).worker
    assert (changed.lease_ms, changed.last_heartbeat_at.seconds) == (5000, 1)
    assert (await worker(coordinator, worker_id)).status == types.WORKER_STATUS_OFFLINE


async def test_others_have_no_lease_of_their_own(coordinator):
    request = worker_pb.RegisterRequest(
        hello=worker_pb.Hello(kinds=types.WorkerKinds(commands=True), lease_ms=5)
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await coordinator.call(coordinator.workers.Register, request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_tasks_of_a_pool_come_with_what_they_carry_in_pages_that_fit(coordinator):
    session = await coordinator.running_session(driver=types.SESSION_DRIVER_OWNER)
    big = b"x" * (2 << 20)
    for task_id in ("a", "b"):
        await coordinator.submit(session.session_id, external(task_id, big))
    await coordinator.submit(session.session_id, external("c"), external("elsewhere", pool="q"))
    request = task_pb.ListTasksRequest(pool="p", with_specs=True)
    found, pages = [], 0
    while True:
        page = await coordinator.call(coordinator.tasks.ListTasks, request)
        assert [one.task_id for one in page.tasks] == [one.task_id for one in page.specs]
        found += [(one.task_id, len(one.external.payload.data)) for one in page.specs]
        pages += 1
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert (found, pages, page.total_count) == ([("a", len(big)), ("b", len(big)), ("c", 0)], 2, 3)


async def test_sessions_of_another_program_are_taken_over(coordinator):
    old = types.Session(
        session_id="a3f2e1d9", name="old", status=types.SESSION_STATUS_COMPLETED, declared_tasks=5,
        metadata_json='{"k":1}', modified_files=["b.py", "a.py"], ended_at=Timestamp(seconds=1_700_000_000),
        reported=types.ReportedProgress(completed=5),
    )  # fmt: skip
    request = session_pb.ImportSessionsRequest(sessions=[old])
    answer = await coordinator.call(coordinator.sessions.ImportSessions, request)
    (taken,) = answer.sessions
    assert taken.driver == types.SESSION_DRIVER_OWNER and list(taken.modified_files) == ["a.py", "b.py"]
    assert (taken.ended_at.seconds, taken.reported.completed) == (1_700_000_000, 5)
    again = await coordinator.call(coordinator.sessions.ImportSessions, request)
    assert not again.sessions


@pytest.mark.parametrize(
    "change",
    [
        {"session_id": "not hex"},
        {"session_id": "a3f2e1d"},
        {"name": ""},
        {"name": "a\x1bb"},
        {"status": 0},
        {"metadata_json": "[1]"},
        {"modified_files": ["../../etc/passwd"]},
        {"declared_tasks": -1},
    ],
)
async def test_one_unfit_session_is_refused_with_all_others(coordinator, change):
    good: dict[str, Any] = {"session_id": "a3f2e1d9", "name": "x", "status": types.SESSION_STATUS_RUNNING}
    sessions = [types.Session(**{**good, "session_id": "bbbbbbbb"}), types.Session(**{**good, **change})]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await coordinator.call(
            coordinator.sessions.ImportSessions, session_pb.ImportSessionsRequest(sessions=sessions)
        )
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    found = await coordinator.call(coordinator.sessions.ListSessions, session_pb.ListSessionsRequest())
    assert not found.sessions
