"""`async with client.lock(...)`: as for threads, and what cancelling means."""

from __future__ import annotations

import asyncio
import threading

import grpc
import pytest

from buildrunner_parallel import aio_locks, errors
from buildrunner_parallel.aio import AsyncClient
from buildrunner_parallel.aio_connection import AsyncConnection
from buildrunner_parallel.discovery import Target
from buildrunner_parallel.lock_leases import lease_clock
from buildrunner_parallel.v1 import lock_service_pb2 as wire
from tests.client.instant import Instant
from tests.client.lock_scripts import DEADLINE_S, Granting


@pytest.fixture(autouse=True)
def below_a_repository(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def granting(coordinator):
    return Granting(coordinator)


@pytest.fixture
async def aio(coordinator):
    connection = AsyncConnection(Target(coordinator.address, "secret"), patience_s=10.0, call_timeout_s=10.0)
    async with AsyncClient(connection) as client:
        yield client


def renewing_tasks() -> list[asyncio.Task[object]]:
    return [one for one in asyncio.all_tasks() if one.get_name() == "br-lock"]


async def until_renewed(granting: Granting) -> None:
    assert await asyncio.to_thread(granting.renewals.acquire, timeout=DEADLINE_S)


async def test_a_block_holds_with_a_lease_and_gives_back_under_its_fence(aio, granting):
    async with aio.lock("a3f2", ["src/a.py"], wait=True) as grant:
        assert (grant.grant_id, grant.fence, grant.session_id) == ("ab01", 101, "a3f2e1d9")
        assert grant.held and not grant.lost.is_set()
    assert not grant.held
    (request,) = granting.seen("AcquireLocks")
    assert (request.wait_ms, request.lease_ms) == (-1, 30_000)
    assert granting.released == [("ab01", 101)]
    assert renewing_tasks() == []


async def test_it_is_renewed_for_as_long_as_the_block_takes(aio, granting):
    async with aio.lock("a3f2", ["a.py"], lease=0.03) as grant:
        for _ in range(3):
            await until_renewed(granting)
        assert not grant.lost.is_set()
    assert granting.released == [("ab01", 101)]


async def test_a_conflict_is_raised_on_entering(aio, granting, coordinator, refusal):
    status = refusal(grpc.StatusCode.ABORTED, "DEADLOCK", "Waiting would close a circle")
    coordinator.on("AcquireLocks", status)
    with pytest.raises(errors.DeadlockError, match="circle"):
        async with aio.lock("a3f2", ["a.py"]):
            pass
    assert granting.released == [] and renewing_tasks() == []


async def test_a_refused_renewal_is_told_at_once_and_raised_at_the_end(aio, granting, coordinator, refusal):
    coordinator.on("RenewLease", refusal(grpc.StatusCode.ABORTED, "STALE", "not held any more"))
    told: list[errors.LockLostError] = []
    with pytest.raises(errors.LockLostError, match="not held any more") as caught:
        async with aio.lock("a3f2", ["a.py"], lease=0.03, on_lost=told.append) as grant:
            await asyncio.wait_for(grant.lost.wait(), DEADLINE_S)
            assert not grant.held
            with pytest.raises(errors.LockLostError):
                grant.check()
    assert granting.released == [] and told == [caught.value]


async def test_a_loss_is_a_note_on_the_exception_of_the_block_itself(aio, granting, coordinator, refusal):
    coordinator.on("ReleaseLocks", refusal(grpc.StatusCode.ABORTED, "STALE", "taken away"))
    with pytest.raises(KeyError) as caught:
        async with aio.lock("a3f2", ["a.py"]):
            raise KeyError("mine")
    assert caught.value.__notes__ == ["the lock of a.py was lost while it was needed: taken away"]


async def test_a_coordinator_that_is_away_for_less_than_the_lease_loses_nothing(
    aio, granting, coordinator, monkeypatch
):
    coordinator.on("RenewLease", *[grpc.StatusCode.UNAVAILABLE] * 6, granting.renew)
    # As if it had been asked for 20 s ago, so that the renewal is due.
    monkeypatch.setattr(aio_locks, "lease_clock", lambda: lease_clock() - 20.0)
    async with aio.lock("a3f2", ["a.py"]) as grant:
        await until_renewed(granting)
        assert not grant.lost.is_set()
    assert granting.released == [("ab01", 101)]


async def test_a_cancelled_block_gives_back_what_it_held(aio, granting):
    entered = asyncio.Event()

    async def hold() -> None:
        async with aio.lock("a3f2", ["a.py"]):
            entered.set()
            await asyncio.Event().wait()

    holding = asyncio.create_task(hold())
    await asyncio.wait_for(entered.wait(), DEADLINE_S)
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding
    assert granting.released == [("ab01", 101)]
    assert renewing_tasks() == []


async def test_cancelling_who_waits_hangs_up(aio, coordinator):
    began, hung_up = threading.Event(), threading.Event()

    def wait(_request, context):
        context.add_callback(hung_up.set)
        began.set()
        hung_up.wait(DEADLINE_S)
        return wire.AcquireLocksResponse()

    coordinator.on("AcquireLocks", wait)
    waiting = asyncio.create_task(aio.acquire_locks("a3f2", ["a.py"], wait=True))
    assert await asyncio.to_thread(began.wait, DEADLINE_S)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await asyncio.to_thread(hung_up.wait, DEADLINE_S)


async def test_a_block_within_a_block_asks_from_within_it_and_a_task_of_its_own_does_not(aio, granting):
    async def take(path: str) -> None:
        async with aio.lock("a3f2", [path]):
            pass

    async with aio.lock("a3f2", ["a.py"]) as outer:
        await take("b.py")
        await asyncio.create_task(take("c.py"))
    held = [(one.held_grant_id, one.held_fence) for one in granting.seen("AcquireLocks")]
    assert held == [("", 0), (outer.grant_id, outer.fence), ("", 0)]


async def test_what_is_held_already_is_given_back_by_the_outer_block_alone(aio, granting, coordinator):
    async with aio.lock("a3f2", ["a.py"]) as outer:
        coordinator.on("AcquireLocks", wire.AcquireLocksResponse(grant_id="ab01", fence=101, lease_ms=30_000))
        async with aio.lock("a3f2", ["a.py"]) as inner:
            assert (inner.grant_id, inner.held) == ("ab01", True)
        assert granting.released == [] and outer.held and not inner.held
    assert granting.released == [("ab01", 101)]


async def test_an_inner_block_does_not_take_the_outer_ones_shared_lock_from_it(aio, granting):
    async with aio.lock("a3f2", ["a.py"], mode="shared"):
        with pytest.raises(errors.InvalidRequestError, match="held shared by a block around this one"):
            async with aio.lock("a3f2", ["a.py"]):
                pass
    assert len(granting.seen("AcquireLocks")) == 1


async def test_a_client_that_was_closed_holds_nothing(aio, granting):
    with pytest.raises(errors.LockLostError, match="could not be renewed in time: the client is closed"):
        async with aio.lock("a3f2", ["a.py"], lease=0.03) as grant:
            await aio.close()
            await asyncio.wait_for(grant.lost.wait(), DEADLINE_S)


async def test_a_block_begins_once_at_a_time(aio, granting):
    block = aio.lock("a3f2", ["a.py"])
    async with block:
        with pytest.raises(errors.WrongStateError, match="has begun already"):
            async with block:
                pass
    assert granting.released == [("ab01", 101)]


async def test_the_block_of_a_session_locks_for_that_session():
    async with Instant().aio_client() as client, client.session("work", workers=1) as session:
        request = session.lock(["a.py"], mode="shared", wait=True, lease="5s")._ask()
    assert (request.session_id, request.wait_ms, request.lease_ms) == (session.session_id, -1, 5000)
