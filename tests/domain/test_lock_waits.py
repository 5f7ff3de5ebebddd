"""Waiting for paths: in which order, circles, who leaves, what a restart keeps, what is written of it."""

from __future__ import annotations

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.model import LockMode
from buildrunner_coordinator.domain.refusals import Reason
from buildrunner_coordinator.domain.replies import Acquired, Queued


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
    error = stage.refused(beta, "x", wait_s=-1)
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
    assert stage.refused(beta, "a", wait_s=-1).reason is Reason.DEADLOCK


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


def test_an_attempts_own_wait_ends_with_it(stage, task):
    alpha, beta = stage.session(), stage.session()
    stage.worker()
    stage.acquire(beta, "b")
    stage.submit(alpha, task("t", files=("a",)))
    assign = stage.one()
    queued = stage.acquire(alpha, "b", wait_s=-1, attempt_id=assign.attempt_id, fence=assign.fence)
    stage.finish(assign)
    assert stage.answers()[queued.waiter_id].reason is Reason.STALE


def test_who_waits_for_an_ended_session_is_refused(stage):
    alpha, beta = stage.session(), stage.session()
    stage.acquire(alpha, "a")
    queued = stage.acquire(beta, "a", wait_s=-1)
    stage.do(c.CancelSession(beta))
    assert stage.answers()[queued.waiter_id].reason is Reason.SESSION_CLOSED


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


def test_a_repeated_request_gets_its_first_answer_while_that_is_held(stage):
    alpha = stage.session()
    named = {"client_id": "c", "request_id": "1", "digest": b"1", "lease_s": 30}
    first = stage.acquire(alpha, "a", **named)
    assert stage.acquire(alpha, "a", **named).grant_id == first.grant_id
    assert stage.refused(alpha, "b", **{**named, "digest": b"2"}).reason is Reason.REQUEST_ID_REUSED
    stage.do(c.ReleaseLocks("", grant_id=first.grant_id, fence=first.fence))
    assert stage.refused(alpha, "a", **named).reason is Reason.LOCK_NOT_HELD


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


def test_a_repeated_request_begins_the_lease_anew(stage):
    """Whoever asks again counts from then."""
    alpha, beta = stage.session(), stage.session()
    named = {"client_id": "c", "request_id": "1", "digest": b"1", "lease_s": 30}
    stage.acquire(alpha, "a", **named)
    stage.wait(20)
    stage.acquire(alpha, "a", **named)
    stage.wait(29)
    stage.wait(10.5)
    stage.refused(beta, "a")


def test_a_task_that_was_parked_before_its_session_held_what_others_wait_for_goes_on(stage, task):
    """Else it would stay behind a waiter that waits for its own session."""
    alpha, beta = stage.session("alpha"), stage.session("beta")
    stage.worker(slots=4)
    first = stage.acquire(beta, "docs/c", lease_s=30)
    by_hand = stage.acquire(alpha, "docs/c", wait_s=-1)
    stage.submit(beta, task("whole", files=("docs/",)))
    stage.submit(alpha, task("mine", files=("docs/b",)))
    stage.nothing_is_sent()
    stage.do(c.ReleaseLocks("", grant_id=first.grant_id, fence=first.fence))
    sent = stage.take()
    assert [send.spec for _, send in sent if not hasattr(send, "reply")] == [b"mine"]
    assert [one for one, send in sent if hasattr(send, "reply")] == [by_hand.waiter_id]
