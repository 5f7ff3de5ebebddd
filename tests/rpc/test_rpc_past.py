"""Ended attempts, histories, and submissions without summaries, over a real server."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from buildrunner_parallel.v1 import event_service_pb2 as event_pb
from buildrunner_parallel.v1 import session_service_pb2 as session_pb
from buildrunner_parallel.v1 import task_service_pb2 as task_pb
from buildrunner_parallel.v1 import types_pb2 as types
from buildrunner_parallel.v1 import worker_service_pb2 as worker_pb


async def refused(awaitable: Any, code: grpc.StatusCode, reason: str) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    info = ErrorInfo()
    encoded = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
    assert Status.FromString(encoded).details[0].Unpack(info)
    assert (caught.value.code(), info.reason) == (code, reason)
    return str(caught.value.details())


async def attempts_of(coordinator: Any, session_id: str, **fields: Any) -> list[list[task_pb.EndedAttempt]]:
    """All pages."""
    pages = []
    token = ""
    while True:
        request = task_pb.ListAttemptsRequest(session_id=session_id, page_token=token, **fields)
        answer = await coordinator.call(coordinator.tasks.ListAttempts, request)
        pages.append(list(answer.attempts))
        token = answer.next_page_token
        if not token:
            return pages


async def history_of(coordinator: Any, page_size: int = 0, **subject: str) -> list[event_pb.HistoryEvent]:
    events: list[event_pb.HistoryEvent] = []
    token = ""
    while True:
        request = event_pb.ListHistoryRequest(page_size=page_size, page_token=token, **subject)
        answer = await coordinator.call(coordinator.events.ListHistory, request)
        assert len(answer.events) <= (page_size or 100)
        events += answer.events
        token = answer.next_page_token
        if not token:
            return events


async def run_all(coordinator: Any, make: Any, worker: Any, count: int, **report: Any) -> None:
    """Reports the next `count` assignments, one after the other. Acknowledgements bring the next ones."""
    waiting = await worker.receive_assignments()
    for left in range(count - 1, -1, -1):
        await worker.send(reports=[make.report(waiting.pop(0), **report)])
        acknowledged = False
        while not acknowledged or (left and not waiting):
            message = await worker.receive()
            waiting += message.assignments
            for one in message.acknowledgements:
                assert one.disposition == worker_pb.DISPOSITION_ACCEPTED
                acknowledged = True


async def test_ended_attempts_are_listed_with_results_numbers_and_revisions(coordinator, make):
    session_id = (await coordinator.running_session()).session_id
    await coordinator.submit(session_id, *(make.task(f"t{n}") for n in range(3)))
    worker = await coordinator.connect(credit=1)
    await run_all(coordinator, make, worker, 3, result=types.Payload(data=b"\0x", content_type="a/b"))
    ((first, *others),) = await attempts_of(coordinator, session_id, with_specs=True)
    assert [(one.task_id, one.task_number) for one in (first, *others)] == [("t0", 1), ("t1", 2), ("t2", 3)]
    assert first.attempt.result == types.Payload(data=b"\0x", content_type="a/b")
    assert list(first.spec.command.argv) == ["true"]
    assert first.attempt.outcome == types.OUTCOME_SUCCEEDED
    found = first.attempt
    assert 0 < found.assigned_revision < found.started_revision <= found.ended_revision
    since = others[0].attempt.ended_revision
    ((last,),) = await attempts_of(coordinator, session_id, since_revision=since, omit_results=True)
    assert last.task_id == "t2" and not last.HasField("spec") and not last.attempt.HasField("result")
    ((named,),) = await attempts_of(coordinator, session_id, task_ids=["t1", "not-yet"])
    assert named.task_id == "t1"


async def test_pages_of_attempts_meet_without_gap_or_repeat(coordinator, make):
    session_id = (await coordinator.running_session()).session_id
    await coordinator.submit(session_id, *(make.task(f"t{n}") for n in range(4)))
    worker = await coordinator.connect(credit=4, slots=4)
    await run_all(coordinator, make, worker, 4)
    whole = (await attempts_of(coordinator, session_id))[0]
    assert sorted(one.task_id for one in whole) == ["t0", "t1", "t2", "t3"]
    for size in (1, 3):
        pages = await attempts_of(coordinator, session_id, page_size=size)
        assert [one for page in pages for one in page] == whole
        assert [len(page) for page in pages] == [size] * (4 // size) + [4 % size] * (4 % size > 0)


async def test_large_results_make_shorter_pages_never_too_large_a_message(coordinator, make):
    session_id = (await coordinator.running_session()).session_id
    await coordinator.submit(session_id, *(make.task(f"t{n}") for n in range(4)))
    worker = await coordinator.connect(credit=1)
    await run_all(coordinator, make, worker, 4, result=types.Payload(data=bytes(3 << 20)))
    pages = await attempts_of(coordinator, session_id)
    assert [[one.task_id for one in page] for page in pages] == [["t0"], ["t1"], ["t2"], ["t3"]]
    assert len(pages[0][0].attempt.result.data) == 3 << 20
    assert len((await attempts_of(coordinator, session_id, omit_results=True))[0]) == 4


async def test_lost_attempts_are_listed_and_told(coordinator, make):
    session_id = (await coordinator.running_session()).session_id
    await coordinator.submit(session_id, make.task("t"))
    worker = await coordinator.connect()
    (assignment,) = await worker.receive_assignments()
    started = worker_pb.TaskStarted(
        attempt_id=assignment.attempt_id, fence=assignment.fence, pid=5, started_at_us=10
    )
    await worker.send(started=[started])
    dead = worker_pb.ReportWorkerDeathRequest(
        worker_id=worker.welcome.worker_id, host="here", pid=77, processes_gone=True
    )
    await coordinator.call(coordinator.workers.ReportWorkerDeath, dead)
    rescuer = await coordinator.connect()
    await run_all(coordinator, make, rescuer, 1)
    ((lost, done),) = await attempts_of(coordinator, session_id)
    assert (lost.attempt.outcome, done.attempt.outcome) == (types.OUTCOME_LOST, types.OUTCOME_SUCCEEDED)
    events = await history_of(coordinator, session_id=session_id, task_id="t")
    kinds = [event.kind for event in events]
    assert kinds[-6:] == ["started", "lost", "requeued", "assigned", "started", "ended"]
    assert events[0].kind == "submitted"
    reason = "its worker process ended"
    assert events[3].message == f"Attempt 1 on worker {worker.welcome.worker_id} was lost: {reason}"
    revisions = [event.revision for event in events]
    assert revisions == sorted(revisions) and revisions[0] > 0
    assert all(event.HasField("at") and event.message for event in events)
    for size in (1, 2, 5):
        assert await history_of(coordinator, size, session_id=session_id, task_id="t") == events
    of_session = await history_of(coordinator, session_id=session_id)
    assert [event.kind for event in of_session] == ["created", "started", "lost", "requeued"]
    assert await history_of(coordinator, 1, session_id=session_id) == of_session


async def test_a_worker_that_is_gone_still_has_a_history(coordinator):
    worker = await coordinator.connect()
    worker_id = worker.welcome.worker_id
    assert [one.kind for one in await history_of(coordinator, worker_id=worker_id[:5])] == ["registered"]
    await worker.send(goodbye=worker_pb.Goodbye(reason="drained"))
    await worker.at_end()
    for given in (worker_id, worker_id[:4]):
        events = await history_of(coordinator, worker_id=given)
        assert [one.kind for one in events] == ["registered", "gone"]
        assert events[-1].message == "Said goodbye: drained" and events[-1].worker_id == worker_id


async def test_a_history_is_of_one_thing_that_exists(coordinator, make):
    session_id = (await coordinator.running_session()).session_id
    await coordinator.submit(session_id, make.task("t"))
    invalid, missing = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
    cases = [
        ({}, invalid, "INVALID"),
        ({"session_id": session_id, "worker_id": "abcd"}, invalid, "INVALID"),
        ({"task_id": "t"}, invalid, "INVALID"),
        ({"session_id": session_id, "task_id": "t", "page_token": "1-2"}, invalid, "INVALID"),
        ({"session_id": session_id, "page_token": "-1-2"}, invalid, "INVALID"),
        ({"session_id": session_id, "page_token": "9" * 30}, invalid, "INVALID"),
        ({"session_id": session_id, "page_size": -1}, invalid, "INVALID"),
        ({"session_id": "ffffffff"}, missing, "SESSION_NOT_FOUND"),
        ({"session_id": session_id, "task_id": "none"}, missing, "TASK_NOT_FOUND"),
        ({"worker_id": "ffffffff"}, missing, "WORKER_NOT_FOUND"),
        ({"worker_id": "f"}, missing, "WORKER_NOT_FOUND"),
    ]
    for fields, code, reason in cases:
        request = event_pb.ListHistoryRequest(**fields)
        await refused(coordinator.call(coordinator.events.ListHistory, request), code, reason)
    found = await history_of(coordinator, session_id=session_id[:4], task_id="t")
    assert [event.kind for event in found] == ["submitted"]


async def test_attempts_are_of_a_session_that_exists_and_tokens_are_ours(coordinator):
    session_id = (await coordinator.running_session()).session_id
    assert await attempts_of(coordinator, session_id) == [[]]
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    for fields, code, reason in [
        ({"session_id": "ffffffff"}, grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND"),
        ({"session_id": session_id, "page_token": "7"}, invalid, "INVALID"),
        ({"session_id": session_id, "since_revision": -1}, invalid, "INVALID"),
        ({"session_id": session_id, "task_ids": ["a\n"]}, invalid, "INVALID"),
        ({"session_id": session_id, "task_ids": [""]}, invalid, "INVALID"),
    ]:
        request = task_pb.ListAttemptsRequest(**fields)
        await refused(coordinator.call(coordinator.tasks.ListAttempts, request), code, reason)


async def test_a_submission_without_summaries_keeps_a_small_answer(coordinator, make):
    session_id = (await coordinator.running_session()).session_id
    tasks = [make.task(f"task-{n}") for n in range(500)]
    first = await coordinator.submit(session_id, *tasks, request_id="r", omit_tasks=True)
    assert not first.tasks and first.session.counts.queued == 500
    again = await coordinator.submit(session_id, *tasks, request_id="r", omit_tasks=True)
    assert again == first
    rows = coordinator.engine.core.requests.rows()
    assert [len(row.reply) < 200 for row in rows if row.request_id == "r"] == [True]
    told = await coordinator.submit(session_id, make.task("more"), request_id="s")
    assert [one.task_id for one in told.tasks] == ["more"]


async def test_attempts_of_a_session_go_with_it(coordinator, make):
    session_id = (await coordinator.running_session()).session_id
    await coordinator.submit(session_id, make.task("t"), seal=True)
    await run_all(coordinator, make, await coordinator.connect(), 1)
    assert len((await attempts_of(coordinator, session_id))[0]) == 1
    request = session_pb.DeleteSessionsRequest(session_ids=[session_id])
    await coordinator.call(coordinator.sessions.DeleteSessions, request)
    for method, question in (
        (coordinator.tasks.ListAttempts, task_pb.ListAttemptsRequest(session_id=session_id)),
        (coordinator.events.ListHistory, event_pb.ListHistoryRequest(session_id=session_id)),
    ):
        await refused(coordinator.call(method, question), grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")
