"""Connect and its unary twins, as workers see them."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from buildrunner_coordinator.domain.commands import Unregister
from buildrunner_parallel.v1 import task_service_pb2 as task_pb
from buildrunner_parallel.v1 import types_pb2 as types
from buildrunner_parallel.v1 import worker_service_pb2 as pb


async def test_a_task_goes_to_a_worker_and_its_report_is_acknowledged(coordinator, make):
    session = await coordinator.running_session()
    worker = await coordinator.connect()
    assert worker.welcome.generation == 1 and worker.welcome.store_id
    assert worker.welcome.lease_ms == 30_000 and worker.welcome.stop_after_ms == 28_000
    await coordinator.submit(session.session_id, make.task("a", "echo", "hi"), seal=True)
    (assignment,) = await worker.receive_assignments()
    assert assignment.spec.task_id == "a" and list(assignment.spec.command.argv) == ["echo", "hi"]
    await worker.send(reports=[make.report(assignment)])
    ack = await worker.receive_acknowledgement()
    assert (ack.attempt_id, ack.disposition) == (assignment.attempt_id, pb.DISPOSITION_ACCEPTED)
    await worker.send(reports=[make.report(assignment)])
    assert (await worker.receive_acknowledgement()).disposition == pb.DISPOSITION_DUPLICATE
    stale = pb.TaskReport(attempt_id="dead", fence=1)
    await worker.send(reports=[stale])
    assert (await worker.receive_acknowledgement()).disposition == pb.DISPOSITION_STALE


async def test_one_message_may_carry_many_reports_and_brings_many_assignments(coordinator, make):
    session = await coordinator.running_session()
    worker = await coordinator.connect(slots=1, credit=50)
    await coordinator.submit(
        session.session_id, *[make.task(str(number)) for number in range(100)], seal=True
    )
    done = 0
    while done < 100:
        assignments = await worker.receive_assignments()
        await worker.send(reports=[make.report(one) for one in assignments])
        done += len(assignments)
    request = task_pb.ListTasksRequest(session_id=session.session_id, page_size=1000)

    async def statuses():
        return {task.status for task in (await coordinator.call(coordinator.tasks.ListTasks, request)).tasks}

    async with asyncio.timeout(20):
        while await statuses() != {types.TASK_STATUS_SUCCEEDED}:
            await worker.receive()


async def test_a_heartbeat_is_answered_with_its_sequence_and_what_should_not_be(coordinator):
    worker = await coordinator.connect()
    await worker.send(heartbeat=pb.Heartbeat(sequence=5, held=[pb.HeldAttempt(attempt_id="dead", fence=1)]))
    reply = (await worker.receive()).heartbeat_reply
    assert (reply.sequence, list(reply.unknown_attempt_ids)) == (5, ["dead"])


async def test_a_second_stream_of_a_worker_ends_the_first_and_keeps_its_attempt(coordinator, make):
    session = await coordinator.running_session()
    first = await coordinator.connect()
    await coordinator.submit(session.session_id, make.task("a"))
    (assignment,) = await first.receive_assignments()
    held = pb.HeldAttempt(attempt_id=assignment.attempt_id, fence=assignment.fence, started=True)
    second = await coordinator.connect(
        worker_id=first.welcome.worker_id, store_id=first.welcome.store_id, held=[held]
    )
    assert second.welcome.worker_id == first.welcome.worker_id and second.welcome.generation == 2
    assert await first.at_end() is grpc.StatusCode.ABORTED
    await second.send(reports=[make.report(assignment)])
    assert (await second.receive_acknowledgement()).disposition == pb.DISPOSITION_ACCEPTED


async def test_a_worker_that_lost_an_assignment_gets_it_again_unchanged(coordinator, make):
    session = await coordinator.running_session()
    first = await coordinator.connect()
    await coordinator.submit(session.session_id, make.task("a"))
    (lost,) = await first.receive_assignments()
    second = await coordinator.connect(worker_id=first.welcome.worker_id, store_id=first.welcome.store_id)
    (again,) = await second.receive_assignments()
    assert (again.attempt_id, again.fence, again.spec) == (lost.attempt_id, lost.fence, lost.spec)


async def test_the_end_of_a_stream_by_itself_changes_nothing_for_its_tasks(coordinator, make):
    session = await coordinator.running_session()
    worker = await coordinator.connect()
    await coordinator.submit(session.session_id, make.task("a"))
    await worker.receive_assignments()
    worker.call.cancel()
    request = pb.GetWorkerRequest(worker_id=worker.welcome.worker_id)
    async for answer in make.asking(coordinator, coordinator.workers.GetWorker, request):
        found = answer.worker
        if not found.connected:
            break
    assert found.status == types.WORKER_STATUS_BUSY and found.tasks[0].task_id == "a"


async def test_a_goodbye_removes_the_worker_after_its_last_report_and_ends_the_stream_well(coordinator, make):
    session = await coordinator.running_session()
    worker = await coordinator.connect()
    await coordinator.submit(session.session_id, make.task("a"), seal=True)
    (assignment,) = await worker.receive_assignments()
    await worker.send(reports=[make.report(assignment)], goodbye=pb.Goodbye(reason="done"))
    assert (await worker.receive_acknowledgement()).disposition == pb.DISPOSITION_ACCEPTED
    assert await worker.at_end() is grpc.StatusCode.OK
    page = await coordinator.call(coordinator.workers.ListWorkers, pb.ListWorkersRequest())
    assert not page.workers


async def test_a_worker_that_is_not_known_any_more_is_told_to_register_anew(coordinator):
    worker = await coordinator.connect()
    await coordinator.engine.execute(Unregister(worker.welcome.worker_id))
    await worker.send(heartbeat=pb.Heartbeat(sequence=1))
    assert await worker.at_end() is grpc.StatusCode.NOT_FOUND


async def test_a_worker_that_is_unregistered_by_a_call_loses_its_stream(coordinator):
    worker = await coordinator.connect()
    request = pb.UnregisterRequest(worker_id=worker.welcome.worker_id)
    await coordinator.call(coordinator.workers.Unregister, request)
    assert await worker.at_end() is grpc.StatusCode.OK


async def test_a_stream_that_does_not_begin_with_a_hello_or_has_two_is_refused(coordinator):
    call = coordinator.workers.Connect(metadata=coordinator.meta)
    await call.write(pb.ConnectRequest(credit=1))
    assert await asyncio.wait_for(call.code(), 20) is grpc.StatusCode.INVALID_ARGUMENT
    worker = await coordinator.connect()
    await worker.send(hello=pb.Hello())
    assert await worker.at_end() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_cancel_reaches_the_worker_and_its_report_ends_the_task(coordinator, make):
    session = await coordinator.running_session()
    worker = await coordinator.connect()
    await coordinator.submit(session.session_id, make.task("a"))
    (assignment,) = await worker.receive_assignments()
    await worker.send(
        started=[pb.TaskStarted(attempt_id=assignment.attempt_id, fence=assignment.fence, pid=9)]
    )
    request = task_pb.GetTaskRequest(session_id=session.session_id, task_id="a")
    async for answer in make.asking(coordinator, coordinator.tasks.GetTask, request):
        if answer.task.summary.status == types.TASK_STATUS_RUNNING:
            break
    cancel = task_pb.CancelTaskRequest(session_id=session.session_id, task_id="a", reason="enough")
    await coordinator.call(coordinator.tasks.CancelTask, cancel)
    (cancellation,) = (await worker.receive()).cancellations
    assert (cancellation.attempt_id, cancellation.outcome) == (assignment.attempt_id, types.OUTCOME_CANCELLED)
    await worker.send(reports=[make.report(assignment, outcome=types.OUTCOME_CANCELLED)])
    await worker.receive_acknowledgement()
    task = (await coordinator.call(coordinator.tasks.GetTask, request)).task
    assert task.summary.status == types.TASK_STATUS_CANCELLED and task.attempts[0].pid == 9


class TestPolling:
    @pytest.fixture
    async def polled(self, coordinator) -> str:
        hello = pb.Hello(host="far", pid=3, slots=4, pool="p", kinds=types.WorkerKinds(external=True))
        answer = await coordinator.call(coordinator.workers.Register, pb.RegisterRequest(hello=hello))
        return answer.welcome.worker_id

    def external(self, task_id: str) -> types.TaskSpec:
        work = types.ExternalWork(pool="p", payload=types.Payload(data=task_id.encode()))
        return types.TaskSpec(task_id=task_id, external=work)

    async def claim(self, coordinator, worker_id: str, count: int, wait_ms: int = 0):
        request = pb.ClaimTasksRequest(worker_id=worker_id, max_tasks=count, wait_ms=wait_ms)
        return (await coordinator.call(coordinator.workers.ClaimTasks, request)).assignments

    async def test_tasks_are_claimed_reported_and_acknowledged(self, coordinator, polled):
        session = await coordinator.running_session()
        await coordinator.submit(session.session_id, *[self.external(name) for name in "abc"], seal=True)
        claimed = list(await self.claim(coordinator, polled, 2))
        claimed += await self.claim(coordinator, polled, 5)
        assert sorted(one.spec.external.payload.data for one in claimed) == [b"a", b"b", b"c"]
        reports = [
            pb.TaskReport(attempt_id=one.attempt_id, fence=one.fence, outcome=types.OUTCOME_SUCCEEDED)
            for one in claimed
        ]
        request = pb.ReportTasksRequest(worker_id=polled, reports=reports)
        answer = await coordinator.call(coordinator.workers.ReportTasks, request)
        assert [ack.disposition for ack in answer.acknowledgements] == [pb.DISPOSITION_ACCEPTED] * 3

    async def test_a_claim_waits_for_a_task_that_comes_later(self, coordinator, polled):
        session = await coordinator.running_session()
        claim = asyncio.ensure_future(self.claim(coordinator, polled, 1, wait_ms=15_000))
        await coordinator.call(coordinator.workers.ListWorkers, pb.ListWorkersRequest())
        await coordinator.submit(session.session_id, self.external("late"))
        (assignment,) = await claim
        assert assignment.spec.task_id == "late"

    async def test_claims_that_end_empty_leave_nothing_waiting_behind_them(self, coordinator, polled):
        await self.claim(coordinator, polled, 1, wait_ms=5)
        before = len(asyncio.all_tasks())
        for _ in range(10):
            assert not await self.claim(coordinator, polled, 1, wait_ms=5)
        assert len(asyncio.all_tasks()) < before + 5

    async def test_nothing_is_given_to_a_worker_that_does_not_ask(self, coordinator, polled):
        session = await coordinator.running_session()
        await self.claim(coordinator, polled, 1)
        answer = await coordinator.submit(session.session_id, self.external("a"))
        assert answer.tasks[0].status == types.TASK_STATUS_QUEUED

    async def test_a_heartbeat_tells_of_what_should_not_be_and_knows_only_the_registered(
        self, coordinator, polled
    ):
        beat = pb.Heartbeat(sequence=3, held=[pb.HeldAttempt(attempt_id="dead", fence=1)])
        request = pb.HeartbeatRequest(worker_id=polled, heartbeat=beat)
        answer = await coordinator.call(coordinator.workers.Heartbeat, request)
        assert answer.reply.sequence == 3 and list(answer.reply.unknown_attempt_ids) == ["dead"]
        request.worker_id = "nobody"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await coordinator.call(coordinator.workers.Heartbeat, request)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
