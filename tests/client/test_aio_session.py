"""The same for asyncio, and what only asyncio has: cancellation, timeouts, asynchronous items."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import aclosing

import grpc
import pytest

from buildrunner_parallel import TaskFailedError, TaskSpec, errors
from tests.client.instant import CANCELLED, FAILED, SESSION_ID, SUCCEEDED, Gone, Instant

DEADLINE_S = 20.0


def held(_spec):
    """A task that goes on until it is told to end."""


@pytest.fixture
def instant():
    return Instant()


async def test_a_block_creates_starts_seals_and_waits(instant):
    async with instant.aio_client().session("work", workers=2) as session:
        future = await session.submit(handler="resize", payload={"width": 7})
        assert (await future).value == {"width": 7}
        assert (await future.result(DEADLINE_S)).ok and future.done()
    assert session.record.status == "completed"
    assert instant.calls[:3] == ["CreateSession", "StartSession", "SetPool"]


async def test_futures_can_be_gathered_and_failures_are_exceptions(instant):
    instant.end = lambda spec: (FAILED, b"") if spec.command.argv[0] == "no" else (SUCCEEDED, b"")
    async with instant.aio_client().session("work", workers=1) as session:
        futures = [await session.submit([word]) for word in ("yes", "no", "yes")]
        ends = await asyncio.gather(*futures, return_exceptions=True)
        assert [isinstance(end, TaskFailedError) for end in ends] == [False, True, False]
        assert (await futures[1].outcome()).status == "failed"


async def test_giving_up_on_a_future_leaves_its_task_alone(instant):
    instant.end = held
    async with instant.aio_client().session("work", workers=1) as session:
        future = await session.submit(["sleep", "9"])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.05)
        with pytest.raises(errors.DeadlineError, match="goes on"):
            await future.result(0.05)
        assert list(instant.live) == [future.task_id]
        instant.finish(future.task_id)
        assert (await future).ok


async def test_cancelling_a_future_has_its_task_stopped(instant):
    instant.end = held
    async with instant.aio_client().session("work", workers=1) as session:
        future = await session.submit(["sleep", "9"])
        assert await future.cancel()
        assert (await future.outcome(DEADLINE_S)).status == "cancelled"
        assert not await future.cancel()


async def test_as_completed_yields_every_result_once(instant):
    instant.end = held
    async with instant.aio_client().session("work", workers=1) as session:
        first, second = await session.submit(["a"]), await session.submit(["b"])
        done = session.as_completed(timeout_s=DEADLINE_S)
        instant.finish(second.task_id)
        assert (await anext(done)).task_id == second.task_id
        instant.finish(first.task_id, FAILED)
        assert [(one.task_id, one.ok) async for one in done] == [(first.task_id, False)]
        late = await session.submit(["c"])
        with pytest.raises(TimeoutError):
            await anext(session.as_completed(timeout_s=0.05))
        instant.finish(late.task_id)


async def test_many_tasks_are_submitted_in_few_requests(instant):
    async with instant.aio_client().session("work", workers=1) as session:
        assert len(await session.submit_many(TaskSpec(argv=["true"]) for _ in range(1500))) == 1500
    assert [len(request.tasks) for request in instant.requests["SubmitTasks"]] == [1000, 500]


async def test_map_gives_results_in_order_within_its_window(instant):
    taken = 0
    async with instant.aio_client().session("work", workers=1) as session:
        async for result in session.map("resize", range(2000), window=100):
            assert result.item == result.value == taken
            taken += 1
            assert instant.submitted - taken <= 100
    assert taken == 2000


async def test_a_slow_source_holds_up_no_result(instant):
    more: asyncio.Queue[int] = asyncio.Queue()

    async def source():
        while (number := await more.get()) >= 0:
            yield number

    async with instant.aio_client().session("work", workers=1) as session:
        results = session.map("resize", source(), in_order=False)
        async with asyncio.timeout(DEADLINE_S):
            for burst in ([0], [1, 2, 3], list(range(4, 15))):
                for number in burst:
                    more.put_nowait(number)
                assert sorted([(await anext(results)).item for _ in burst]) == burst
            more.put_nowait(-1)
            assert [one async for one in results] == []


async def test_the_first_failure_of_a_map_raises_and_cancels_what_is_under_way(instant):
    instant.end = lambda spec: (FAILED, b"") if spec.command.argv[1] == "2" else None
    async with instant.aio_client().session("work", workers=1) as session:
        with pytest.raises(TaskFailedError) as caught:
            async for _ in session.map(["x", "{}"], itertools.count(), window=8, in_order=False):
                pytest.fail("nothing but the failure can come")
        assert caught.value.result.item == 2
        await session.wait(timeout_s=DEADLINE_S)
    assert {one.status for one in instant.over.values()} == {FAILED, CANCELLED}


async def test_who_stops_early_has_the_rest_cancelled(instant):
    instant.end = lambda spec: None if int(spec.command.argv[1]) > 3 else (SUCCEEDED, b"")
    async with instant.aio_client().session("work", workers=1) as session:
        async with aclosing(session.map(["x", "{}"], range(100), window=10)) as results:
            assert (await anext(results)).item == 0
        await session.wait(timeout_s=DEADLINE_S)
    assert instant.submitted <= 20


async def test_an_error_of_the_items_reaches_who_maps(instant):
    async def broken():
        yield 1
        raise RuntimeError("no more paper")

    with pytest.raises(RuntimeError, match="no more paper"):
        async with instant.aio_client().session("work", workers=1) as session:
            async for _ in session.map("resize", broken()):
                pass
    assert session.record.status == "cancelled"


async def test_a_refused_submission_reaches_who_maps(instant):
    instant.refuse["SubmitTasks"] = [Gone(grpc.StatusCode.FAILED_PRECONDITION)]
    with pytest.raises(errors.RefusedError):
        async with instant.aio_client().session("work", workers=1) as session:
            async for _ in session.map("resize", range(3)):
                pytest.fail("nothing was submitted")


async def test_cancelling_the_block_cancels_the_session_and_waits_for_it(instant):
    instant.end = held
    entered = asyncio.Event()

    async def block():
        async with instant.aio_client().session("work", workers=1) as session:
            future = await session.submit(["sleep", "9"])
            entered.set()
            await future

    running = asyncio.create_task(block())
    await asyncio.wait_for(entered.wait(), DEADLINE_S)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert "CancelSession" in instant.calls and not instant.live


async def test_a_block_in_a_session_that_is_there_cancels_only_its_own(instant):
    instant.end = held
    client = instant.aio_client()
    await client.submit_tasks(SESSION_ID, [TaskSpec(task_id="another's", argv=["x"])])
    with pytest.raises(KeyError):
        async with client.session(session_id=SESSION_ID) as session:
            await session.submit(["true"])
            raise KeyError
    assert list(instant.live) == ["another's"]


async def test_what_ended_while_the_feed_was_broken_is_found_out(instant):
    instant.end = held
    async with instant.aio_client().session("work", workers=1) as session:
        futures = await session.submit_many([TaskSpec(argv=["x"]) for _ in range(3)])
        told, instant.tell = instant.tell, lambda *_changes: None
        for future in futures:
            instant.finish(future.task_id, result=b"5")
        instant.tell = told
        instant.break_feeds()
        assert [(await future.result(DEADLINE_S)).value for future in futures] == [5, 5, 5]


async def test_a_closed_client_fails_whoever_waits(instant):
    instant.end = held
    client = instant.aio_client()
    with pytest.raises(errors.UnreachableError, match="closed"):
        async with client.session("work", workers=1) as session:
            future = await session.submit(["sleep", "9"])
            await client.close()
            instant.break_feeds()
            await future


async def test_no_task_is_left_behind(instant):
    before = asyncio.all_tasks()
    async with instant.aio_client().session("work", workers=1) as session:
        async for _ in session.map("resize", range(10)):
            break
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == before
