"""What waits for a worker that polls is not given out once it is void, and goes with the worker."""

from __future__ import annotations

import asyncio

import pytest

from buildrunner_coordinator.domain.model import Settings
from buildrunner_parallel.v1 import types_pb2 as types
from buildrunner_parallel.v1 import worker_service_pb2 as pb


class Poller:
    """A worker that polls for the tasks of pool `p`."""

    def __init__(self, coordinator, worker_id: str) -> None:
        self.coordinator, self.worker_id = coordinator, worker_id

    async def claim(self, count: int = 1) -> list[pb.Assignment]:
        request = pb.ClaimTasksRequest(worker_id=self.worker_id, max_tasks=count)
        answer = await self.coordinator.call(self.coordinator.workers.ClaimTasks, request)
        return list(answer.assignments)

    async def heartbeat(self, *held: pb.Assignment) -> pb.HeartbeatResponse:
        named = [pb.HeldAttempt(attempt_id=one.attempt_id, fence=one.fence) for one in held]
        request = pb.HeartbeatRequest(worker_id=self.worker_id, heartbeat=pb.Heartbeat(held=named))
        return await self.coordinator.call(self.coordinator.workers.Heartbeat, request)

    async def finish(self, one: pb.Assignment) -> None:
        report = pb.TaskReport(attempt_id=one.attempt_id, fence=one.fence, outcome=types.OUTCOME_SUCCEEDED)
        request = pb.ReportTasksRequest(worker_id=self.worker_id, reports=[report])
        await self.coordinator.call(self.coordinator.workers.ReportTasks, request)

    async def die(self) -> None:
        request = pb.ReportWorkerDeathRequest(worker_id=self.worker_id, host="far", pid=3)
        await self.coordinator.call(self.coordinator.workers.ReportWorkerDeath, request)

    async def is_sent_again(self, *held: pb.Assignment) -> None:
        """After two heartbeats that leave it out, an assignment waits in the outbox once more."""
        for _ in range(2):
            await self.heartbeat(*held)


@pytest.fixture
async def poller(coordinator) -> Poller:
    hello = pb.Hello(host="far", pid=3, slots=4, pool="p", kinds=types.WorkerKinds(external=True))
    answer = await coordinator.call(coordinator.workers.Register, pb.RegisterRequest(hello=hello))
    session = await coordinator.running_session()
    tasks = [types.TaskSpec(task_id=name, external=types.ExternalWork(pool="p")) for name in "ab"]
    await coordinator.submit(session.session_id, *tasks, seal=True)
    return Poller(coordinator, answer.welcome.worker_id)


async def test_an_assignment_that_is_sent_again_can_be_claimed_again(poller):
    (first,) = await poller.claim()
    await poller.is_sent_again()
    assert [one.attempt_id for one in await poller.claim()] == [first.attempt_id]


async def test_an_assignment_that_was_lost_meanwhile_is_not_given_out(poller):
    (first,) = await poller.claim()
    await poller.is_sent_again()
    await poller.die()
    assert await poller.claim() == []
    await poller.heartbeat()
    assert first.attempt_id not in [one.attempt_id for one in await poller.claim(5)]


async def test_an_assignment_that_was_reported_on_meanwhile_is_not_given_out(poller):
    (first,) = await poller.claim()
    await poller.is_sent_again()
    await poller.finish(first)
    (second,) = await poller.claim()
    assert (second.spec.task_id, second.attempt_id != first.attempt_id) == ("b", True)


class TestForgotten:
    """Workers that have been away for a millisecond are forgotten."""

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(offline_ttl_ms=1)

    async def test_nothing_is_kept_for_a_worker_that_is_forgotten(self, coordinator, poller):
        await poller.claim()
        await poller.is_sent_again()
        assert len(coordinator.engine.outboxes) == 1
        await poller.die()
        async with asyncio.timeout(20):
            while len(coordinator.engine.outboxes):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert coordinator.engine.outboxes.of(poller.worker_id) is None
