"""Paths taken by hand and by programs: who gets them, who is refused and why, who waits, how it ends."""

from __future__ import annotations

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.model import LockKind, LockMode, Outcome, PathRequest
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import Acquired, Queued, Revoke, Stop


def refused(stage, *arguments, **more):
    with pytest.raises(Refusal) as caught:
        stage.acquire(*arguments, **more)
    return caught.value


def test_a_session_holds_what_it_locks_until_it_gives_it_back(stage):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    got = stage.acquire(alpha, "src/app.py", "src/utils.py")
    assert [lock.path for lock in got.locks] == ["src/app.py", "src/utils.py"]
    error = refused(stage, beta, "src/utils.py", "src/config.py")
    assert error.message == f"Files already locked by session {alpha}: src/utils.py"
    assert stage.holders() == {"src/app.py": alpha, "src/utils.py": alpha}
    stage.do(c.ReleaseLocks(alpha, (PathRequest("src/utils.py", LockMode.EXCLUSIVE, LockKind.FILE),)))
    stage.acquire(beta, "src/utils.py", "src/config.py")
    stage.do(c.ReleaseLocks(alpha))
    assert stage.holders() == {"src/utils.py": beta, "src/config.py": beta}


def test_ten_paths_with_one_held_acquire_nothing(stage):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    stage.acquire(alpha, "p7")
    refused(stage, beta, *(f"p{i}" for i in range(10)))
    assert stage.holders() == {"p7": alpha}


def test_a_refusal_names_every_conflict(stage, task):
    alpha, beta, gamma = (stage.session(name) for name in ("alpha", "beta", "gamma"))
    worker = stage.worker(slots=2)
    stage.submit(alpha, task("build", files=("src/",)))
    assign = stage.one()
    got = stage.acquire(beta, "docs/a.md:shared")
    stage.wait(5)
    error = refused(stage, gamma, "src/a.py", "docs/a.md", "free")
    assert error.message == f"Files already locked by session {beta}: docs/a.md (and by 1 other session)"
    on_docs, on_src = error.conflicts
    assert (on_docs.asked.path, on_docs.held.mode, on_docs.holder.session_name) == (
        "docs/a.md",
        "shared",
        "beta",
    )
    assert (on_docs.holder.grant_id, on_docs.lock_id) == (got.grant_id, got.locks[0].lock_id)
    assert (on_docs.held_us, on_docs.silent_us, on_docs.position) == (5_000_000, 5_000_000, 0)
    assert (on_src.asked.path, on_src.held.path, on_src.held.kind) == ("src/a.py", "src", "tree")
    assert on_src.holder.task_id == "build"
    assert (on_src.holder.worker_id, on_src.holder.attempt_id) == (worker, assign.attempt_id)


def test_taking_what_one_holds_succeeds_and_one_release_frees_it(stage):
    alpha, beta = stage.session(), stage.session()
    first = stage.acquire(alpha, "a")
    again = stage.acquire(alpha, "a", "a:shared")
    assert (again.grant_id, again.fence) == (first.grant_id, first.fence)
    stage.do(c.ReleaseLocks(alpha, (PathRequest("a", LockMode.EXCLUSIVE, LockKind.FILE),)))
    stage.acquire(beta, "a")


def test_shared_locks_stand_beside_each_other_and_one_becomes_exclusive_alone(stage):
    alpha, beta = stage.session(), stage.session()
    stage.acquire(alpha, "a:shared")
    stage.acquire(beta, "a:shared")
    assert refused(stage, alpha, "a").reason is Reason.LOCK_CONFLICT
    stage.do(c.ReleaseLocks(beta))
    upgraded = stage.acquire(alpha, "a")
    assert upgraded.locks[0].mode is LockMode.EXCLUSIVE
    refused(stage, beta, "a:shared")
    stage.do(c.ReleaseLocks(alpha, (PathRequest("a", LockMode.EXCLUSIVE, LockKind.FILE),)))
    assert stage.holders() == {}


def test_a_sessions_tasks_may_take_what_it_holds_and_exclude_each_other(stage, task):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    stage.worker(slots=4)
    stage.acquire(alpha, "src/")
    stage.submit(alpha, task("one", files=("src/a",)), task("two", files=("src/a",)))
    stage.submit(beta, task("other", files=("src/b",)))
    assert stage.one().spec == b"one"
    assert stage.core.tasks[beta]["other"].waits_for == ("src",)


def test_grants_with_a_lease_exclude_each_other_in_one_session(stage):
    alpha = stage.session()
    stage.acquire(alpha, "a", lease_s=30)
    assert "already locked by session" in refused(stage, alpha, "a", lease_s=30).message
    assert isinstance(stage.acquire(alpha, "a"), Acquired), "the session itself is the parent of both"


def test_what_is_taken_within_a_grant_goes_to_its_account(stage):
    alpha, beta = stage.session(), stage.session()
    outer = stage.acquire(alpha, "src/", lease_s=30)
    within = {"held_grant_id": outer.grant_id, "held_fence": outer.fence, "lease_s": 30}
    inner = stage.acquire(alpha, "src/a", **within)
    assert inner.grant_id != outer.grant_id
    assert stage.acquire(alpha, "src/a", **within).grant_id == inner.grant_id
    stage.do(c.ReleaseLocks(alpha, grant_id=outer.grant_id, fence=outer.fence))
    refused(stage, beta, "src/a")
    assert refused(stage, alpha, "x", **within).reason is Reason.STALE


def test_a_lease_that_nobody_renews_lapses_and_frees_after_the_lock_delay(stage):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    got = stage.acquire(alpha, "a", lease_s=30)
    stage.wait(29)
    assert stage.do(c.RenewLease(got.grant_id, got.fence)) == 30_000
    stage.wait(29)
    refused(stage, beta, "a")
    stage.wait(1)
    with pytest.raises(Refusal, match="is not held any more"):
        stage.do(c.RenewLease(got.grant_id, got.fence))
    queued = stage.acquire(beta, "a", wait_s=60)
    stage.wait(9.9)
    stage.nothing_is_sent()
    stage.wait(0.1)
    assert stage.answers()[queued.waiter_id].fence > got.fence


def test_a_waiter_is_granted_in_the_commit_that_frees(stage):
    alpha, beta, gamma = stage.session(), stage.session(), stage.session()
    stage.acquire(alpha, "a")
    first = stage.acquire(beta, "a", "b", wait_s=-1)
    second = stage.acquire(gamma, "b", wait_s=-1)
    assert (first.position, second.position) == (1, 2), "who comes later waits behind whom it conflicts with"
    assert isinstance(stage.acquire(gamma, "c"), Acquired), "and passes whom it cannot hurt"
    stage.wait(3)
    stage.do(c.ReleaseLocks(alpha))
    answers = stage.answers()
    assert list(answers) == [first.waiter_id]
    assert answers[first.waiter_id].waited_us == 3_000_000
    stage.do(c.ReleaseLocks(beta))
    assert list(stage.answers()) == [second.waiter_id]


def test_a_wait_that_runs_out_says_who_has_it(stage):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    stage.acquire(alpha, "a")
    queued = stage.acquire(beta, "a", wait_s=2)
    stage.wait(1.9)
    stage.nothing_is_sent()
    stage.wait(0.1)
    refusal = stage.answers()[queued.waiter_id]
    assert refusal.message == f"Files already locked by session {alpha}: a (waited for 2 s)"
    stage.do(c.ReleaseLocks(alpha))
    stage.nothing_is_sent()


def test_who_hangs_up_leaves_the_queue_and_is_never_granted(stage):
    alpha, beta, gamma = stage.session(), stage.session(), stage.session()
    stage.acquire(alpha, "a")
    gone = stage.acquire(beta, "a", wait_s=-1)
    behind = stage.acquire(gamma, "a", wait_s=-1)
    stage.do(c.LeaveQueue(gone.waiter_id))
    stage.do(c.ReleaseLocks(alpha))
    assert list(stage.answers()) == [behind.waiter_id]


def test_who_hangs_up_in_the_moment_of_the_grant_holds_nothing(stage):
    alpha, beta = stage.session(), stage.session()
    stage.acquire(alpha, "a")
    queued = stage.acquire(beta, "a", wait_s=-1)
    stage.do(c.ReleaseLocks(alpha))
    stage.do(c.LeaveQueue(queued.waiter_id))
    assert stage.holders() == {}


def test_a_steady_stream_of_readers_does_not_starve_a_writer(stage):
    readers = [stage.session(f"r{i}") for i in range(3)]
    writer = stage.session("writer")
    for reader in readers[:2]:
        stage.acquire(reader, "a:shared", lease_s=30)
    write = stage.acquire(writer, "a", wait_s=-1)
    late = stage.acquire(readers[2], "a:shared", wait_s=-1, lease_s=30)
    for lock in stage.do(c.ListLocks()).locks:
        stage.do(c.ReleaseLocks("", grant_id=lock.holder.grant_id, fence=lock.fence))
    assert list(stage.answers()) == [write.waiter_id]
    stage.do(c.ReleaseLocks(writer))
    assert list(stage.answers()) == [late.waiter_id]


def test_a_cross_hold_ends_in_deadlock_naming_both(stage):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    stage.acquire(alpha, "x")
    stage.acquire(beta, "y")
    waiting = stage.acquire(alpha, "y", wait_s=-1)
    assert isinstance(waiting, Queued)
    error = refused(stage, beta, "x", wait_s=-1)
    assert error.reason is Reason.DEADLOCK
    assert error.message == (
        f"Waiting would close a circle: session {beta} (beta) waits for x, which session {alpha} (alpha) "
        f"holds; that waits for y, which session {beta} (beta) holds. Release something first."
    )
    stage.do(c.ReleaseLocks(beta))
    assert list(stage.answers()) == [waiting.waiter_id]


def test_two_who_share_and_both_want_it_alone_close_a_circle(stage):
    alpha, beta = stage.session(), stage.session()
    stage.acquire(alpha, "a:shared")
    stage.acquire(beta, "a:shared")
    stage.acquire(alpha, "a", wait_s=-1)
    assert refused(stage, beta, "a", wait_s=-1).reason is Reason.DEADLOCK


def test_who_holds_what_an_earlier_waiter_waits_for_goes_before_it(stage):
    """Else the two would wait for each other, the one as holder, the other as the first in the queue."""
    alpha, beta = stage.session(), stage.session()
    stage.acquire(alpha, "a:shared")
    earlier = stage.acquire(beta, "a", wait_s=-1)
    assert stage.acquire(alpha, "a").locks[0].mode is LockMode.EXCLUSIVE
    stage.do(c.ReleaseLocks(alpha))
    assert list(stage.answers()) == [earlier.waiter_id]


def test_a_sessions_task_goes_before_a_waiter_that_waits_for_that_session(stage, task):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    stage.worker(slots=2)
    stage.acquire(alpha, "src/")
    stage.acquire(beta, "src/", wait_s=-1)
    stage.submit(alpha, task("inner", files=("src/a",)))
    assert stage.one().spec == b"inner"


def test_a_queued_task_that_closes_a_circle_on_its_sessions_behalf_fails(stage, task):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    stage.worker(slots=4)
    stage.acquire(alpha, "x")
    stage.acquire(beta, "y")
    stage.submit(alpha, task("a", files=("y",)))
    stage.submit(beta, task("b", files=("x",)))
    stage.nothing_is_sent()
    assert (stage.status(alpha, "a"), stage.status(beta, "b")) == ("queued", "failed")
    row = [row for one in stage.changes for row in one.tasks if row.task_id == "b"][-1]
    assert row.reason == "DEADLOCK"
    assert row.error == (
        f"its wait closes a circle: session {beta} (beta) waits for x, which session {alpha} (alpha) holds; "
        f"that waits for y, which session {beta} (beta) holds"
    )


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
    assert refused(stage, alpha, "c", **by).reason is Reason.STALE


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


def test_an_attempts_own_wait_ends_with_it(stage, task):
    alpha, beta = stage.session(), stage.session()
    stage.worker()
    stage.acquire(beta, "b")
    stage.submit(alpha, task("t", files=("a",)))
    assign = stage.one()
    queued = stage.acquire(alpha, "b", wait_s=-1, attempt_id=assign.attempt_id, fence=assign.fence)
    stage.finish(assign)
    assert stage.answers()[queued.waiter_id].reason is Reason.STALE


def test_another_grants_fence_releases_nothing(stage):
    alpha = stage.session()
    one, other = stage.acquire(alpha, "a", lease_s=30), stage.acquire(alpha, "b", lease_s=30)
    with pytest.raises(Refusal) as caught:
        stage.do(c.ReleaseLocks(alpha, grant_id=one.grant_id, fence=other.fence))
    assert caught.value.reason is Reason.STALE
    assert stage.holders() == {"a": alpha, "b": alpha}


def test_unlocking_what_one_does_not_hold_frees_nothing_and_says_who_does(stage):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    stage.acquire(alpha, "a")
    stage.acquire(beta, "b")
    both = tuple(PathRequest(path, LockMode.EXCLUSIVE, LockKind.FILE) for path in ("a", "b"))
    with pytest.raises(Refusal) as caught:
        stage.do(c.ReleaseLocks(alpha, both))
    assert caught.value.reason is Reason.LOCK_NOT_HELD
    assert caught.value.message == (
        f"Session {alpha} (alpha) does not hold b itself: session {beta} (beta) holds it."
    )
    assert stage.holders() == {"a": alpha, "b": beta}


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
    assert refused(stage, alpha, "z").reason is Reason.SESSION_CLOSED
    stage.wait(30)
    stage.wait(10)
    assert stage.holders() == {"a": beta}


def test_who_waits_for_an_ended_session_is_refused(stage):
    alpha, beta = stage.session(), stage.session()
    stage.acquire(alpha, "a")
    queued = stage.acquire(beta, "a", wait_s=-1)
    stage.do(c.CancelSession(beta))
    assert stage.answers()[queued.waiter_id].reason is Reason.SESSION_CLOSED


def test_a_pause_keeps_the_locks_unless_they_are_to_be_given_up(stage, task):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    stage.worker()
    stage.acquire(alpha, "a")
    stage.do(c.PauseSession(alpha))
    refused(stage, beta, "a")
    stage.do(c.ResumeSession(alpha))
    stage.submit(alpha, task("t", files=("a",)))
    assign = stage.one()
    stage.start(assign)
    stage.do(c.PauseSession(alpha, release_locks=True))
    stage.take()
    refused(stage, beta, "a")
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


def test_a_restart_keeps_grants_queue_and_fences(stage):
    alpha, beta, gamma = stage.session(), stage.session(), stage.session()
    held = stage.acquire(alpha, "a", lease_s=30)
    first = stage.acquire(beta, "a", wait_s=-1, client_id="c", request_id="1", digest=b"1")
    second = stage.acquire(gamma, "a", wait_s=-1, client_id="c", request_id="2", digest=b"2")
    assert (first.position, second.position) == (1, 2)
    stage.restart()
    # The second comes back before the first, which keeps its place all the same.
    again = stage.acquire(gamma, "a", wait_s=-1, client_id="c", request_id="2", digest=b"2")
    first = stage.acquire(beta, "a", wait_s=-1, client_id="c", request_id="1", digest=b"1")
    assert (first.position, again.position) == (1, 2)
    stage.take()
    stage.do(c.ReleaseLocks("", grant_id=held.grant_id, fence=held.fence))
    answers = stage.answers()
    assert list(answers) == [first.waiter_id]
    assert answers[first.waiter_id].fence > held.fence


def test_who_does_not_come_back_behind_a_restart_is_never_granted(stage):
    alpha, beta, gamma = stage.session(), stage.session(), stage.session()
    held = stage.acquire(alpha, "a")
    stage.acquire(beta, "a", wait_s=-1, client_id="c", request_id="1", digest=b"1")
    stage.restart()
    behind = stage.acquire(gamma, "a", wait_s=-1)
    stage.do(c.ReleaseLocks("", grant_id=held.grant_id, fence=held.fence))
    stage.nothing_is_sent()
    stage.wait(10)
    assert list(stage.answers()) == [behind.waiter_id], "for the lock delay its place was kept"


def test_a_lock_delay_that_was_running_goes_on_behind_a_restart(stage):
    alpha, beta = stage.session(), stage.session()
    stage.acquire(alpha, "a", lease_s=30)
    stage.wait(30)
    stage.restart()
    refused(stage, beta, "a")
    stage.wait(10)
    stage.acquire(beta, "a")


def test_a_repeated_request_gets_its_first_answer_while_that_is_held(stage):
    alpha = stage.session()
    named = {"client_id": "c", "request_id": "1", "digest": b"1", "lease_s": 30}
    first = stage.acquire(alpha, "a", **named)
    assert stage.acquire(alpha, "a", **named).grant_id == first.grant_id
    assert refused(stage, alpha, "b", **{**named, "digest": b"2"}).reason is Reason.REQUEST_ID_REUSED
    stage.do(c.ReleaseLocks("", grant_id=first.grant_id, fence=first.fence))
    assert refused(stage, alpha, "a", **named).reason is Reason.LOCK_NOT_HELD


def test_a_preview_asks_for_nothing_and_knows_who_asks(stage, task):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    stage.worker()
    stage.submit(alpha, task("t", files=("a",)))
    assign = stage.one()
    files = (PathRequest("a", LockMode.EXCLUSIVE, LockKind.FILE),)
    (conflict,) = stage.do(c.PreviewLocks(files))
    assert conflict.holder.task_id == "t"
    assert stage.do(c.PreviewLocks(files, attempt_id=assign.attempt_id, fence=assign.fence)) == []
    assert len(stage.do(c.PreviewLocks(files, session_id=beta))) == 1
    with pytest.raises(Refusal) as caught:
        stage.do(c.PreviewLocks(files, attempt_id=assign.attempt_id, fence=assign.fence - 1))
    assert caught.value.reason is Reason.STALE
    assert stage.do(c.ListLocks()).waiters == []


def test_a_task_whose_session_is_at_its_limit_lets_others_have_the_path(stage, task):
    """Its path is free and it cannot run: whoever could go at once need not wait for it."""
    capped = stage.session("capped", max_parallel=1)
    other = stage.session("other")
    stage.worker(slots=4)
    stage.submit(other, task("holder", files=("hot",)))
    holder = stage.one()
    stage.submit(capped, task("waiter", files=("hot",)))
    stage.submit(capped, task("long"))
    assert stage.one().spec == b"long"
    stage.submit(other, task("next", files=("hot",)))
    stage.finish(holder)
    assert stage.one().spec == b"next"
    assert stage.core.tasks[capped]["waiter"].ticket > 0, "it keeps its place for when it can run"


def test_a_request_by_hand_does_not_wait_for_a_task_without_a_slot(stage, task):
    alpha, beta = stage.session(), stage.session()
    stage.worker(slots=1)
    stage.submit(alpha, task("holder", files=("a",)), task("waiter", files=("a",)), task("filler"))
    holder = stage.one()
    by_hand = stage.acquire(beta, "a", wait_s=-1, lease_s=30)
    stage.nothing_is_sent()
    stage.submit(stage.session("urgent"), task("u", priority=9))
    stage.finish(holder)
    sent = stage.take()
    assert [send.spec for _, send in sent if not hasattr(send, "reply")] == [b"u"]
    assert [one for one, send in sent if hasattr(send, "reply")] == [by_hand.waiter_id]


def test_waits_and_the_holds_that_caused_them_are_written_down(stage, task):
    alpha, beta = stage.session(), stage.session()
    stage.worker(slots=2)
    stage.submit(alpha, task("t", files=("hot", "cold")))
    assign = stage.one()
    stage.wait(2)
    queued = stage.acquire(beta, "hot", wait_s=-1)
    stage.wait(3)
    stage.finish(assign)
    stage.answers()
    rows = [row for one in stage.changes for row in one.lock_times]
    assert [(row.kind, row.path, row.span_us, row.session_id) for row in rows] == [
        ("hold", "hot", 5_000_000, alpha), ("wait", "hot", 3_000_000, beta),
    ]  # fmt: skip
    assert rows[1].grant_id == queued.waiter_id


def test_nothing_is_written_down_of_locks_that_nobody_waits_for(stage, task):
    alpha = stage.session()
    stage.worker()
    stage.submit(alpha, task("t", files=("a",)))
    stage.finish(stage.one())
    got = stage.acquire(alpha, "b", lease_s=30)
    stage.do(c.ReleaseLocks("", grant_id=got.grant_id, fence=got.fence))
    assert [row for one in stage.changes for row in one.lock_times] == []


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
