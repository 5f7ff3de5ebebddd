"""How locks by hand end: leases, lost attempts, ends and pauses of sessions, force."""

from __future__ import annotations

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.model import Outcome
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import Revoke, Stop


def test_a_lease_that_nobody_renews_lapses_and_frees_after_the_lock_delay(stage):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    got = stage.acquire(alpha, "a", lease_s=30)
    stage.wait(29)
    assert stage.do(c.RenewLease(got.grant_id, got.fence)) == 30_000
    stage.wait(29)
    stage.refused(beta, "a")
    stage.wait(1)
    with pytest.raises(Refusal, match="is not held any more"):
        stage.do(c.RenewLease(got.grant_id, got.fence))
    queued = stage.acquire(beta, "a", wait_s=60)
    stage.wait(9.9)
    stage.nothing_is_sent()
    stage.wait(0.1)
    assert stage.answers()[queued.waiter_id].fence > got.fence


def test_an_attempt_takes_more_than_it_declared_and_all_goes_with_it(stage, task):
    alpha, beta = stage.session(), stage.session()
    stage.worker(slots=2)
    stage.submit(alpha, task("t", files=("a",)))
    assign = stage.one()
    by = {"attempt_id": assign.attempt_id, "fence": assign.fence}
    got = stage.acquire(alpha, "b", **by)
    assert got.fence == assign.fence, "one fence covers an attempt"
    assert stage.acquire(alpha, "a", **by).locks[0].lock_id == f"{assign.attempt_id}-0"
    assert stage.holders() == {"a": "t", "b": "t"}
    queued = stage.acquire(beta, "b", wait_s=-1)
    stage.finish(assign)
    assert list(stage.answers()) == [queued.waiter_id]
    assert stage.refused(alpha, "c", **by).reason is Reason.STALE


def test_what_a_lost_attempt_took_is_free_after_the_lock_delay(stage, task):
    alpha, beta = stage.session(), stage.session()
    stage.worker()
    stage.submit(alpha, task("t", files=("a",)))
    assign = stage.one()
    stage.start(assign)
    stage.acquire(alpha, "b", attempt_id=assign.attempt_id, fence=assign.fence)
    queued = stage.acquire(beta, "a", "b", wait_s=-1)
    stage.wait(30)
    stage.wait(9.9)
    stage.nothing_is_sent()
    stage.wait(0.1)
    assert list(stage.answers()) == [queued.waiter_id]


def test_another_grants_fence_renews_nothing(stage):
    alpha = stage.session("alpha")
    got, other = stage.acquire(alpha, "a", lease_s=30), stage.acquire(alpha, "b", lease_s=30)
    stage.wait(29)
    with pytest.raises(Refusal, match="is not that of grant"):
        stage.do(c.RenewLease(got.grant_id, other.fence))
    assert stage.do(c.RenewLease(other.grant_id, other.fence)) == 30_000
    stage.wait(1)
    with pytest.raises(Refusal, match="is not held any more"):
        stage.do(c.RenewLease(got.grant_id, got.fence))


def test_the_end_of_a_session_frees_its_own_locks(stage):
    alpha, beta = stage.session(), stage.session()
    stage.acquire(alpha, "a")
    queued = stage.acquire(beta, "a", wait_s=-1)
    own = stage.acquire(alpha, "b", lease_s=30)
    stage.do(c.CancelSession(alpha))
    assert list(stage.answers()) == [queued.waiter_id]
    assert stage.holders() == {"a": beta, "b": alpha}, "who holds by a lease is told at the next renewal"
    with pytest.raises(Refusal, match="is cancelled: it can hold no locks"):
        stage.do(c.RenewLease(own.grant_id, own.fence))
    assert stage.do(c.ReleaseLocks(alpha)) == [], "on an ended session there is nothing to do"
    assert stage.refused(alpha, "z").reason is Reason.SESSION_CLOSED
    stage.wait(30)
    stage.wait(10)
    assert stage.holders() == {"a": beta}


def test_a_pause_keeps_the_locks_unless_they_are_to_be_given_up(stage, task):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    stage.worker()
    stage.acquire(alpha, "a")
    stage.do(c.PauseSession(alpha))
    stage.refused(beta, "a")
    stage.do(c.ResumeSession(alpha))
    stage.submit(alpha, task("t", files=("a",)))
    assign = stage.one()
    stage.start(assign)
    stage.do(c.PauseSession(alpha, release_locks=True))
    stage.take()
    stage.refused(beta, "a")
    stage.finish(assign)
    stage.acquire(beta, "a")
    with pytest.raises(Refusal) as caught:
        stage.do(c.ResumeSession(alpha))
    assert caught.value.reason is Reason.LOCK_CONFLICT
    assert caught.value.message.startswith(f"Files already locked by session {beta}: a.")
    assert stage.session_status(alpha) == "paused"
    stage.do(c.ReleaseLocks(beta))
    stage.do(c.ResumeSession(alpha))
    assert stage.holders() == {"a": alpha}


def test_a_session_that_has_given_its_locks_up_takes_none_itself(stage, task):
    """While its last task still runs, and later: it would lose them again, and nobody would tell."""
    alpha, beta = stage.session("alpha"), stage.session("beta")
    stage.worker()
    stage.acquire(beta, "b")
    queued = stage.acquire(alpha, "b", wait_s=-1)
    stage.submit(alpha, task("t"))
    assign = stage.one()
    stage.start(assign)
    stage.do(c.PauseSession(alpha, release_locks=True))
    assert stage.answers()[queued.waiter_id].reason is Reason.WRONG_STATE
    refused = stage.refused(alpha, "a")
    assert refused.reason is Reason.WRONG_STATE
    assert refused.message.endswith("Resume it first, or hold by a lease.")
    stage.finish(assign)
    assert stage.refused(alpha, "a").reason is Reason.WRONG_STATE
    stage.acquire(alpha, "a", lease_s=30)
    stage.restart()
    assert stage.holders() == {"a": alpha, "b": beta}
    stage.do(c.ResumeSession(alpha))
    stage.acquire(alpha, "c")


def test_a_retry_takes_the_locks_of_its_failed_session_again_or_is_refused(stage, task):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    stage.worker()
    stage.acquire(alpha, "a")
    stage.submit(alpha, task("t"), seal=True)
    stage.finish(stage.one(), Outcome.FAILED, exit_code=1)
    assert stage.session_status(alpha) == "failed"
    stage.acquire(beta, "a")
    rows = [(spec, row) for one in stage.changes for spec in one.specs for row in one.tasks]
    last = [row for one in stage.changes for row in one.tasks][-1]
    retry = c.RetryTasks(alpha, ((rows[0][0], last),))
    with pytest.raises(Refusal) as caught:
        stage.do(retry)
    assert caught.value.reason is Reason.LOCK_CONFLICT
    stage.do(c.ReleaseLocks(beta))
    stage.do(retry)
    assert stage.holders() == {"a": alpha}


def test_a_lock_is_taken_away_by_force_from_a_grant_at_once(stage):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    got = stage.acquire(alpha, "a", "b", lease_s=30)
    queued = stage.acquire(beta, "a", wait_s=-1)
    lost = stage.do(c.ForceRelease(got.locks[0].lock_id, "its owner went home"))
    assert lost.path == "a"
    assert list(stage.answers()) == [queued.waiter_id]
    with pytest.raises(Refusal, match="is not held any more"):
        stage.do(c.RenewLease(got.grant_id, got.fence))
    (event,) = [
        row for row in stage.changes[-3].events + stage.changes[-2].events if row.kind == "lock_forced"
    ]
    assert event.message == "The lock of a was taken away by force: its owner went home"


def test_a_lock_is_taken_away_by_force_from_an_attempt_once_it_has_ended(stage, task):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    stage.worker()
    stage.submit(alpha, task("t", files=("a",), max_retries=3))
    assign = stage.one()
    stage.start(assign)
    queued = stage.acquire(beta, "a", wait_s=-1)
    stage.do(c.ForceRelease(f"{assign.attempt_id}-0", "stuck"))
    (told,) = stage.take()
    assert isinstance(told[1], Stop)
    assert (told[1].outcome, told[1].reason) == (Outcome.LOCK_LOST, "lock released by force: stuck")
    stage.finish(assign, Outcome.CANCELLED)
    assert list(stage.answers()) == [queued.waiter_id]
    assert stage.status(alpha, "t") == "failed"


@pytest.mark.parametrize("reason", ["", "  "])
def test_force_needs_a_reason(stage, reason):
    got = stage.acquire(stage.session(), "a")
    with pytest.raises(Refusal, match="for a reason only"):
        stage.do(c.ForceRelease(got.locks[0].lock_id, reason))


def test_a_lock_that_is_not_there_cannot_be_forced(stage):
    with pytest.raises(Refusal) as caught:
        stage.do(c.ForceRelease("deadbeef-0", "why not"))
    assert caught.value.reason is Reason.LOCK_NOT_FOUND


def test_a_lock_delay_that_was_running_goes_on_behind_a_restart(stage):
    alpha, beta = stage.session(), stage.session()
    stage.acquire(alpha, "a", lease_s=30)
    stage.wait(30)
    stage.restart()
    stage.refused(beta, "a")
    stage.wait(10)
    stage.acquire(beta, "a")


def test_the_paths_of_a_pausing_session_are_not_asked_back_from_others(stage, task):
    """Revocations are for what has not started; a grant by hand is none of the pause's business."""
    alpha = stage.session()
    stage.worker()
    stage.acquire(alpha, "a", lease_s=30)
    stage.submit(alpha, task("t"))
    stage.take()
    stage.do(c.PauseSession(alpha, release_locks=True))
    assert [type(send) for _, send in stage.take()] == [Revoke]
    assert stage.holders() == {"a": alpha}
