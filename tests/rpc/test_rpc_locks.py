"""LockService over a real channel: taking, waiting, hanging up, renewing, forcing, statistics, bad input."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2

from buildrunner_parallel.v1 import lock_service_pb2 as pb
from buildrunner_parallel.v1 import types_pb2 as types


def paths(*texts, **fields):
    return [types.PathRequest(path=text, **fields) for text in texts]


async def acquire(coordinator, session, *texts, **fields):
    request = pb.AcquireLocksRequest(session_id=session.session_id, paths=paths(*texts), **fields)
    return await coordinator.call(coordinator.locks.AcquireLocks, request)


async def refusal(call):
    """The status code, the reason, the message and the conflicts."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    metadata = dict(caught.value.trailing_metadata())
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    info, conflicts = error_details_pb2.ErrorInfo(), []
    for detail in status.details:
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(types.LockConflict.DESCRIPTOR):
            conflicts.append(types.LockConflict())
            detail.Unpack(conflicts[-1])
    return caught.value.code(), info.reason, caught.value.details(), conflicts


async def held(coordinator, **fields):
    page = await coordinator.call(coordinator.locks.ListLocks, pb.ListLocksRequest(**fields))
    return {lock.path: lock.holder.session_id for lock in page.locks}


async def waiters(coordinator, count):
    """Returns once so many wait."""
    async with asyncio.timeout(20):
        while True:
            page = await coordinator.call(coordinator.locks.ListLocks, pb.ListLocksRequest())
            if len(page.waiters) == count:
                return page.waiters
            await asyncio.sleep(0.005)


async def test_a_grant_tells_its_locks_fence_and_lease(coordinator):
    session = await coordinator.running_session()
    got = await acquire(coordinator, session, "src/", "./a//b", lease_ms=30_000)
    assert [(lock.path, lock.kind) for lock in got.locks] == [
        ("src", types.LOCK_KIND_TREE), ("a/b", types.LOCK_KIND_FILE),
    ]  # fmt: skip
    lock = got.locks[0]
    assert (got.lease_ms, lock.fence, lock.grant_id) == (30_000, got.fence, got.grant_id)
    assert lock.holder.session_name == "one"
    left_s = lock.lease_ends_at.ToDatetime() - lock.acquired_at.ToDatetime()
    assert 29 < left_s.total_seconds() <= 30.1
    renewed = await coordinator.call(
        coordinator.locks.RenewLease, pb.RenewLeaseRequest(grant_id=got.grant_id, fence=got.fence)
    )
    assert renewed.lease_ms == 30_000


async def test_a_refusal_carries_its_conflicts(coordinator):
    alpha, beta = await coordinator.running_session("alpha"), await coordinator.running_session("beta")
    await acquire(coordinator, alpha, "a")
    code, reason, message, conflicts = await refusal(acquire(coordinator, beta, "a", "b"))
    assert (code, reason) == (grpc.StatusCode.ABORTED, "LOCK_CONFLICT")
    assert message == f"Files already locked by session {alpha.session_id}: a"
    (conflict,) = conflicts
    assert (conflict.asked_path, conflict.held_path, conflict.holder.session_name) == ("a", "a", "alpha")
    assert await held(coordinator) == {"a": alpha.session_id}


async def test_a_refusal_for_a_thousand_paths_still_reaches_the_client(coordinator):
    alpha, beta = await coordinator.running_session("alpha"), await coordinator.running_session("beta")
    names = [f"some/rather/long/folder/name/file-{i:04}.py" for i in range(1000)]
    await acquire(coordinator, alpha, *names)
    code, reason, message, conflicts = await refusal(acquire(coordinator, beta, *names))
    assert (code, reason) == (grpc.StatusCode.ABORTED, "LOCK_CONFLICT")
    assert message.startswith(f"Files already locked by session {alpha.session_id}: some/rather")
    assert conflicts


async def test_a_waiting_call_is_answered_when_the_path_is_free(coordinator):
    alpha, beta = await coordinator.running_session("alpha"), await coordinator.running_session("beta")
    first = await acquire(coordinator, alpha, "a")
    waiting = asyncio.ensure_future(acquire(coordinator, beta, "a", wait_ms=-1, request_id="r1"))
    (waiter,) = await waiters(coordinator, 1)
    assert (waiter.position, waiter.waiter.session_name) == (1, "beta")
    assert waiter.conflicts[0].holder.session_id == alpha.session_id
    release = pb.ReleaseLocksRequest(session_id=alpha.session_id)
    freed = await coordinator.call(coordinator.locks.ReleaseLocks, release)
    assert [lock.path for lock in freed.released] == ["a"]
    got = await waiting
    assert got.fence > first.fence
    assert got.waited_ms >= 0
    again = await acquire(coordinator, beta, "a", wait_ms=-1, request_id="r1")
    assert again.grant_id == got.grant_id


async def test_who_hangs_up_is_not_granted(coordinator):
    alpha, beta, gamma = [await coordinator.running_session(name) for name in ("alpha", "beta", "gamma")]
    await acquire(coordinator, alpha, "a")
    gone = asyncio.ensure_future(acquire(coordinator, beta, "a", wait_ms=-1))
    await waiters(coordinator, 1)
    stays = asyncio.ensure_future(acquire(coordinator, gamma, "a", wait_ms=-1000))
    await waiters(coordinator, 2)
    gone.cancel()
    await waiters(coordinator, 1)
    await coordinator.call(
        coordinator.locks.ReleaseLocks, pb.ReleaseLocksRequest(session_id=alpha.session_id)
    )
    await stays
    assert await held(coordinator) == {"a": gamma.session_id}


async def test_a_wait_that_runs_out_is_a_conflict(coordinator):
    alpha, beta = await coordinator.running_session("alpha"), await coordinator.running_session("beta")
    await acquire(coordinator, alpha, "a")
    code, reason, message, conflicts = await refusal(acquire(coordinator, beta, "a", wait_ms=20))
    assert (code, reason, len(conflicts)) == (grpc.StatusCode.ABORTED, "LOCK_CONFLICT", 1)
    assert "(waited for " in message


async def test_a_circle_is_refused_as_such(coordinator):
    alpha, beta = await coordinator.running_session("alpha"), await coordinator.running_session("beta")
    await acquire(coordinator, alpha, "x")
    await acquire(coordinator, beta, "y")
    waiting = asyncio.ensure_future(acquire(coordinator, alpha, "y", wait_ms=-1))
    await waiters(coordinator, 1)
    code, reason, message, _ = await refusal(acquire(coordinator, beta, "x", wait_ms=-1))
    assert (code, reason) == (grpc.StatusCode.ABORTED, "DEADLOCK")
    assert "(alpha)" in message
    assert "(beta)" in message
    waiting.cancel()


async def test_force_needs_a_lock_and_a_reason(coordinator):
    session = await coordinator.running_session()
    got = await acquire(coordinator, session, "a")
    force = coordinator.locks.ForceRelease
    lock_id = got.locks[0].lock_id
    code, *_ = await refusal(coordinator.call(force, pb.ForceReleaseRequest(lock_id=lock_id)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    code, reason, *_ = await refusal(
        coordinator.call(force, pb.ForceReleaseRequest(lock_id="nope", reason="x"))
    )
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "LOCK_NOT_FOUND")
    lost = await coordinator.call(force, pb.ForceReleaseRequest(lock_id=lock_id, reason="x"))
    assert lost.lock.path == "a"
    assert await held(coordinator) == {}


async def test_locks_are_listed_in_pages(coordinator):
    session = await coordinator.running_session()
    await acquire(coordinator, session, *(f"f{i}" for i in range(7)))
    seen, token = [], ""
    while True:
        request = pb.ListLocksRequest(page_size=3, page_token=token)
        page = await coordinator.call(coordinator.locks.ListLocks, request)
        seen += [lock.path for lock in page.locks]
        assert len(page.locks) <= 3
        token = page.next_page_token
        if not token:
            break
    assert sorted(seen) == [f"f{i}" for i in range(7)]


async def test_a_preview_takes_nothing(coordinator):
    alpha = await coordinator.running_session("alpha")
    await acquire(coordinator, alpha, "a")
    look = pb.PreviewLocksRequest(paths=paths("a", "b"))
    page = await coordinator.call(coordinator.locks.PreviewLocks, look)
    assert [one.asked_path for one in page.conflicts] == ["a"]
    own = pb.PreviewLocksRequest(paths=paths("a", "b"), session_id=alpha.session_id)
    assert not (await coordinator.call(coordinator.locks.PreviewLocks, own)).conflicts


async def test_statistics_tell_waits_by_path_and_session(coordinator):
    alpha, beta = await coordinator.running_session("alpha"), await coordinator.running_session("beta")
    await acquire(coordinator, alpha, "hot")
    waiting = asyncio.ensure_future(acquire(coordinator, beta, "hot", wait_ms=-1))
    await waiters(coordinator, 1)
    await coordinator.call(
        coordinator.locks.ReleaseLocks, pb.ReleaseLocksRequest(session_id=alpha.session_id)
    )
    await waiting
    await refusal(acquire(coordinator, alpha, "hot", wait_ms=5))
    told = await coordinator.call(coordinator.locks.GetLockStatistics, pb.GetLockStatisticsRequest())
    (hot,) = told.statistics
    assert (hot.path, hot.figures.waits, hot.figures.given_up) == ("hot", 2, 1)
    assert hot.longest_holder.session_name == "alpha"
    assert {one.session_name: one.figures.waits for one in told.sessions} == {"alpha": 1, "beta": 1}
    assert (told.total.waits, sum(one.figures.waits for one in told.periods)) == (2, 2)
    of_beta = pb.GetLockStatisticsRequest(session_id=beta.session_id, since_ms=3_600_000)
    told = await coordinator.call(coordinator.locks.GetLockStatistics, of_beta)
    assert (told.total.waits, told.total.given_up) == (1, 0)


@pytest.mark.parametrize(
    ("texts", "fields", "says"),
    [
        ((), {}, "There is no path to lock"),
        (("",), {}, "A path is empty"),
        (("a\0b",), {}, "NUL"),
        (("../x",), {}, "leaves the repository"),
        (("/etc/passwd",), {}, "is absolute"),
        (("x" * 5000,), {}, "longer than"),
        (("a",), {"lease_ms": 5}, "lease"),
        (("a",), {"wait_ms": 1 << 40}, "wait"),
    ],
)
async def test_bad_input_is_refused_with_one_line_and_takes_nothing(coordinator, texts, fields, says):
    session = await coordinator.running_session()
    asked = ("fine", *texts) if texts else ()
    code, _, message, _ = await refusal(acquire(coordinator, session, *asked, **fields))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert says in message
    assert "\n" not in message
    assert await held(coordinator) == {}


async def test_unknown_modes_and_kinds_are_refused(coordinator):
    session = await coordinator.running_session()
    unknown: Any = 77
    for odd in (types.PathRequest(path="a", mode=unknown), types.PathRequest(path="a", kind=unknown)):
        request = pb.AcquireLocksRequest(session_id=session.session_id, paths=[odd])
        code, *_ = await refusal(coordinator.call(coordinator.locks.AcquireLocks, request))
        assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_unknown_session_is_not_found(coordinator):
    request = pb.AcquireLocksRequest(session_id="deadbeef", paths=paths("a"))
    code, *_ = await refusal(coordinator.call(coordinator.locks.AcquireLocks, request))
    assert code is grpc.StatusCode.NOT_FOUND
