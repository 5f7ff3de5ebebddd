"""What a worker says of its own live attempt may be nonsense; it harms nobody who reads about it later."""

from __future__ import annotations

import pytest

from buildrunner_parallel.v1 import log_service_pb2 as log_pb
from buildrunner_parallel.v1 import task_service_pb2 as task_pb
from buildrunner_parallel.v1 import types_pb2 as types
from buildrunner_parallel.v1 import worker_service_pb2 as pb

HIGHEST, LOWEST = 2**63 - 1, -(2**63)
YEAR_9999_S = 253_402_300_799


@pytest.fixture
async def claimed(coordinator):
    """A session with one task, which a polling worker has claimed."""
    hello = pb.Hello(host="far", pid=3, slots=4, pool="p", kinds=types.WorkerKinds(external=True))
    answer = await coordinator.call(coordinator.workers.Register, pb.RegisterRequest(hello=hello))
    session = await coordinator.running_session()
    await coordinator.submit(
        session.session_id, types.TaskSpec(task_id="t", external=types.ExternalWork(pool="p")), seal=True
    )
    worker_id = answer.welcome.worker_id
    claim = pb.ClaimTasksRequest(worker_id=worker_id, max_tasks=1)
    (assignment,) = (await coordinator.call(coordinator.workers.ClaimTasks, claim)).assignments
    return session.session_id, worker_id, assignment


@pytest.mark.parametrize("wild", [HIGHEST, LOWEST, -1])
async def test_wild_times_are_told_as_times_that_a_calendar_has(coordinator, claimed, wild):
    session_id, worker_id, one = claimed
    about = {"attempt_id": one.attempt_id, "fence": one.fence}
    started = pb.TaskStarted(**about, pid=7, started_at_us=wild)
    report = pb.TaskReport(
        **about,
        outcome=types.OUTCOME_SUCCEEDED,
        started_at_us=wild,
        ended_at_us=wild,
        output_dropped_bytes=wild,
    )
    for words in ({"started": [started]}, {"reports": [report]}):
        request = pb.ReportTasksRequest(worker_id=worker_id, **words)
        await coordinator.call(coordinator.workers.ReportTasks, request)
    asked = task_pb.ListAttemptsRequest(session_id=session_id)
    (ended,) = (await coordinator.call(coordinator.tasks.ListAttempts, asked)).attempts
    for stamp in (ended.attempt.started_at, ended.attempt.ended_at):
        assert 0 <= stamp.seconds < YEAR_9999_S


@pytest.mark.parametrize("dropped_bytes", [HIGHEST, 0])
async def test_output_at_an_impossible_offset_is_not_taken(coordinator, claimed, dropped_bytes):
    _, worker_id, one = claimed
    chunk = types.OutputChunk(offset=HIGHEST, data=b"x", dropped_bytes=dropped_bytes)
    call = coordinator.logs.WriteOutput(metadata=coordinator.meta, timeout=20)
    about = log_pb.AttemptOutput(attempt_id=one.attempt_id, fence=one.fence, chunks=[chunk])
    await call.write(log_pb.WriteOutputRequest(worker_id=worker_id, outputs=[about]))
    answer = await call.read()
    assert [ack.offset for ack in answer.acknowledgements] == [0]
    await call.done_writing()
