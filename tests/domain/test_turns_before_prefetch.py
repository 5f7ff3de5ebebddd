"""What was sent ahead of its slot gives way to those whose turn comes first, and only then."""

from __future__ import annotations

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.replies import Assign, Revoke
from tests.domain.loads import many


def give_back(stage, revoke):
    stage.do(c.Revoked(stage.worker_of(revoke), revoke.attempt_id, revoke.fence, False))


def test_a_late_session_gets_the_place_of_what_waits_behind_a_long_task(stage, task):
    long, late = stage.session("long"), stage.session("late")
    stage.worker(slots=1, credit=3)
    stage.submit(long, *many(task, 9))
    running, _, third = stage.assigned()
    stage.start(running)
    stage.submit(late, task("short"))
    stage.nothing_is_sent()
    stage.wait(0.2)
    ((_, revoke),) = stage.take()
    assert isinstance(revoke, Revoke)
    assert revoke.attempt_id == third.attempt_id
    give_back(stage, revoke)
    assert stage.one().spec == b"short"
    stage.wait(5)
    stage.nothing_is_sent()


def test_a_higher_priority_does_not_wait_for_what_has_not_started(stage, task):
    session = stage.session()
    stage.worker(slots=1, credit=2)
    stage.submit(session, *many(task, 9))
    running, ahead = stage.assigned()
    stage.start(running)
    stage.submit(session, task("urgent", priority=5))
    stage.wait(0.2)
    ((_, revoke),) = stage.take()
    assert revoke.attempt_id == ahead.attempt_id
    give_back(stage, revoke)
    assert stage.one().spec == b"urgent"


def test_equal_sessions_leave_each_other_alone(stage, task):
    one, two = stage.session("one"), stage.session("two")
    stage.worker(slots=1, credit=4)
    stage.submit(one, *many(task, 2))
    stage.submit(two, *many(task, 9))
    stage.submit(one, *many(task, 9, "more"))
    assert len(stage.assigned()) == 4
    for _ in range(5):
        stage.wait(1)
        stage.nothing_is_sent()


def test_shares_become_equal_without_going_to_and_fro(stage, task):
    one, two = stage.session("one"), stage.session("two")
    worker = stage.worker(slots=1, credit=7)
    stage.submit(one, *many(task, 20))
    stage.start(stage.assigned()[0])
    stage.submit(two, *many(task, 20))
    asked = 0
    for _ in range(20):
        stage.wait(0.2)
        for _, send in stage.take():
            if isinstance(send, Revoke):
                asked += 1
                stage.do(c.Revoked(worker, send.attempt_id, send.fence, False))
            else:
                assert isinstance(send, Assign)
    shares = [stage.core.sessions[name].slots_taken for name in (one, two)]
    assert sum(shares) == 7
    assert abs(shares[0] - shares[1]) <= 1
    assert asked == 3
