"""`with client.lock(...)`: what is taken, renewed and given back, and what is told when it is lost."""

from __future__ import annotations

import threading

import grpc
import pytest

from buildrunner_parallel import errors, locks
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


def renewing_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "br-lock"]


def test_a_block_holds_with_a_lease_and_gives_back_under_its_fence(client, granting):
    with client.lock("a3f2", ["src/a.py", ("res:db", "shared")], wait="30s", mode="exclusive") as grant:
        assert (grant.grant_id, grant.fence, grant.session_id) == ("ab01", 101, "a3f2e1d9")
        assert [lock.path for lock in grant.locks] == ["src/a.py", "res:db"] == list(grant.record.paths)
        assert grant.held and grant.is_open and not grant.lost.is_set()
        assert granting.released == []
    assert (grant.held, grant.is_open) == (False, False)
    (request,) = granting.seen("AcquireLocks")
    assert (request.wait_ms, request.lease_ms, request.held_grant_id) == (30_000, 30_000, "")
    assert granting.released == [("ab01", 101)]
    assert granting.seen("ReleaseLocks")[0].session_id == "a3f2e1d9"
    assert renewing_threads() == []


def test_it_is_renewed_for_as_long_as_the_block_takes(client, granting):
    with client.lock("a3f2", ["a.py"], lease=0.03) as grant:
        for _ in range(3):
            assert granting.renewals.acquire(timeout=DEADLINE_S)
        assert not grant.lost.is_set()
    asked = granting.seen("RenewLease")
    assert len(asked) >= 3
    assert {(one.grant_id, one.fence) for one in asked} == {("ab01", 101)}
    assert granting.released == [("ab01", 101)]


def test_a_conflict_is_raised_on_entering_and_nothing_is_given_back(client, granting, coordinator, refusal):
    status = refusal(grpc.StatusCode.ABORTED, "LOCK_CONFLICT", "Files already locked by session ffff: a.py")
    coordinator.on("AcquireLocks", status)
    entered = False
    with pytest.raises(errors.LockConflictError, match="already locked"), client.lock("a3f2", ["a.py"]):
        entered = True
    assert not entered
    assert granting.released == [] and renewing_threads() == []


def test_an_exception_leaves_the_block_and_the_lock_is_given_back(client, granting):
    with pytest.raises(KeyError, match="mine"), client.lock("a3f2", ["a.py"]):
        raise KeyError("mine")
    assert granting.released == [("ab01", 101)]


def test_a_refused_renewal_is_told_at_once_and_raised_at_the_end(client, granting, coordinator, refusal):
    coordinator.on(
        "RenewLease", refusal(grpc.StatusCode.ABORTED, "STALE", "Grant ab01 is not held any more.")
    )
    told: list[errors.LockLostError] = []
    with (
        pytest.raises(
            errors.LockLostError, match=r"the lock of a\.py was lost .* not held any more"
        ) as caught,
        client.lock("a3f2", ["a.py"], lease=0.03, on_lost=told.append) as grant,
    ):
        assert grant.lost.wait(DEADLINE_S)
        assert (grant.held, grant.is_open) == (False, False)
        with pytest.raises(errors.LockLostError):
            grant.check()
    assert granting.released == []
    assert (caught.value.grant_id, caught.value.exit_code) == ("ab01", 5)
    assert told == [caught.value]


def test_a_loss_is_a_note_on_the_exception_of_the_block_itself(client, granting, coordinator, refusal):
    coordinator.on("ReleaseLocks", refusal(grpc.StatusCode.ABORTED, "STALE", "taken away"))
    with pytest.raises(KeyError) as caught, client.lock("a3f2", ["a.py"]):
        raise KeyError("mine")
    assert caught.value.__notes__ == ["the lock of a.py was lost while it was needed: taken away"]


def test_what_check_raised_is_not_told_twice(client, granting, coordinator, refusal):
    coordinator.on("RenewLease", refusal(grpc.StatusCode.ABORTED, "STALE", "gone"))
    lost = pytest.raises(errors.LockLostError)
    with lost as caught, client.lock("a3f2", ["a.py"], lease=0.03) as grant:
        grant.lost.wait(DEADLINE_S)
        grant.check()
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize("reason", ["STALE", "LOCK_NOT_HELD", "SESSION_CLOSED"])
def test_a_release_that_is_refused_means_that_it_was_lost(client, granting, coordinator, refusal, reason):
    coordinator.on("ReleaseLocks", refusal(grpc.StatusCode.ABORTED, reason, "not yours any more"))
    with pytest.raises(errors.LockLostError, match="not yours any more"), client.lock("a3f2", ["a.py"]):
        pass


def test_a_coordinator_that_is_away_for_less_than_the_lease_loses_nothing(
    client, granting, coordinator, monkeypatch
):
    coordinator.on("RenewLease", *[grpc.StatusCode.UNAVAILABLE] * 6, granting.renew)
    # As if it had been asked for 20 s ago, so that the renewal is due.
    monkeypatch.setattr(locks, "lease_clock", lambda: lease_clock() - 20.0)
    with client.lock("a3f2", ["a.py"]) as grant:
        assert granting.renewals.acquire(timeout=DEADLINE_S)
        assert not grant.lost.is_set()
    assert len(granting.seen("RenewLease")) >= 7
    assert granting.released == [("ab01", 101)]


def test_a_client_that_was_closed_holds_nothing(client, granting):
    lost = pytest.raises(errors.LockLostError, match="could not be renewed in time: the client is closed")
    with lost, client.lock("a3f2", ["a.py"], lease=0.03) as grant:
        client.close()
        assert grant.lost.wait(DEADLINE_S)


def test_a_release_that_nobody_hears_is_raised_and_is_no_loss(client, granting):
    with pytest.raises(errors.UnreachableError, match="closed"), client.lock("a3f2", ["a.py"]):
        client.close()


# --------------------------------------------------------------------- blocks within blocks


def test_a_block_within_a_block_asks_from_within_it(client, granting):
    with client.lock("a3f2", ["a.py"]) as outer, client.lock("a3f2", ["b.py"]):
        pass
    with client.lock("a3f2", ["c.py"]):
        pass
    first, second, third = granting.seen("AcquireLocks")
    assert (second.held_grant_id, second.held_fence) == (outer.grant_id, outer.fence)
    assert (first.held_grant_id, third.held_grant_id) == ("", "")
    assert granting.released == [("ab02", 102), ("ab01", 101), ("ab03", 103)]


def test_another_thread_within_a_block_asks_for_itself(client, granting):
    def other() -> None:
        with client.lock("a3f2", ["b.py"]):
            pass

    with client.lock("a3f2", ["a.py"]):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(DEADLINE_S)
    assert granting.seen("AcquireLocks")[1].held_grant_id == ""


def test_what_is_held_already_is_given_back_by_the_outer_block_alone(client, granting, coordinator):
    with client.lock("a3f2", ["a.py"]) as outer:
        coordinator.on("AcquireLocks", wire.AcquireLocksResponse(grant_id="ab01", fence=101, lease_ms=30_000))
        with client.lock("a3f2", ["a.py"]) as inner:
            assert (inner.grant_id, inner.held) == ("ab01", True)
        assert granting.released == [] and not inner.held
        assert outer.held
    assert granting.released == [("ab01", 101)]


def test_blocks_of_two_threads_that_share_a_grant_give_it_back_with_the_last(client, granting, coordinator):
    coordinator.on("AcquireLocks", wire.AcquireLocksResponse(grant_id="ab01", fence=101, lease_ms=30_000))
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with client.lock("a3f2", ["a.py"]):
            entered.set()
            leave.wait(DEADLINE_S)

    thread = threading.Thread(target=other)
    with client.lock("a3f2", ["a.py"]):
        thread.start()
        assert entered.wait(DEADLINE_S)
    assert granting.released == []
    leave.set()
    thread.join(DEADLINE_S)
    assert granting.released == [("ab01", 101)]


def test_what_a_task_holds_by_declaring_it_is_neither_renewed_nor_given_back(client, granting, coordinator):
    coordinator.on("AcquireLocks", wire.AcquireLocksResponse(fence=17))
    with client.lock("a3f2", ["a.py"]) as grant:
        assert grant.held and grant.fence == 17
        assert renewing_threads() == []
    assert granting.released == []


def test_an_inner_block_does_not_take_the_outer_ones_shared_lock_from_it(client, granting):
    with client.lock("a3f2", [".", "a.py"], mode="shared"):
        for path in (".", "a.py"):
            refused = pytest.raises(errors.InvalidRequestError, match="held shared by a block around this")
            with refused, client.lock("a3f2", [path]):
                pass
        with client.lock("a3f2", ["a.py"], mode="shared"), client.lock("a3f2", ["b.py"]):
            pass
    assert len(granting.seen("AcquireLocks")) == 3


# ----------------------------------------------------------------------------- misuse


def test_a_block_begins_once_at_a_time(client, granting):
    block = client.lock("a3f2", ["a.py"])
    with block, pytest.raises(errors.WrongStateError, match="has begun already"), block:
        pass
    with block:
        pass
    assert granting.released == [("ab01", 101), ("ab02", 102)]


def test_nonsense_is_refused_before_anything_is_sent(client, granting):
    for paths in ("a.py", ["../a.py"], [""]):
        with pytest.raises(errors.InvalidRequestError), client.lock("a3f2", paths):
            pass
    assert granting.seen("AcquireLocks") == []


def test_the_block_of_a_session_locks_for_that_session():
    instant = Instant()
    client = instant.client()
    with client.session("work", workers=1) as session:
        block = session.lock(["a.py"], mode="shared", wait=True, lease="5s")
        request = block._ask()
    assert (request.session_id, request.wait_ms, request.lease_ms) == (session.session_id, -1, 5000)
