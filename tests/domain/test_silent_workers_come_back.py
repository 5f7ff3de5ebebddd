"""Found by the simulator: what went wrong when a worker was silent past its lease, and then heard again."""

from __future__ import annotations

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.model import WorkerStatus


def test_a_worker_that_is_heard_again_on_its_stream_gets_tasks(stage, task):
    worker_id = stage.worker()
    stage.wait(31)
    assert stage.core.workers[worker_id].status is WorkerStatus.OFFLINE
    stage.do(c.Heartbeat(worker_id, 1))
    stage.submit(stage.session(), task("a"))
    assert stage.one().generation == 1


def test_a_worker_that_falls_silent_a_second_time_is_lost_a_second_time(stage):
    worker_id = stage.worker()
    stage.wait(31)
    stage.do(c.Heartbeat(worker_id, 1))
    stage.wait(31)
    assert stage.core.workers[worker_id].status is WorkerStatus.OFFLINE


def test_reconnecting_often_leaves_one_lease_timer(stage):
    worker_id = stage.worker()
    for _ in range(20):
        stage.worker(worker_id=worker_id)
    stage.wait(10)
    before = len(stage.core.timers._heap)
    for _ in range(20):
        stage.worker(worker_id=worker_id)
    assert len(stage.core.timers._heap) == before


def test_an_assignment_still_on_its_way_is_disowned_with_the_answer_that_renews_the_lease(stage, task):
    worker_id = stage.worker()
    stage.submit(stage.session(), task("a"))
    assign = stage.one()
    stage.wait(31)
    assert assign.attempt_id in stage.do(c.Heartbeat(worker_id, 1)).unknown_attempt_ids
    assert stage.do(c.Heartbeat(worker_id, 1)).unknown_attempt_ids == ()


def test_a_lost_attempt_whose_report_is_on_its_way_is_not_disowned(stage, task):
    worker_id = stage.worker()
    stage.submit(stage.session(), task("a"))
    assign = stage.one()
    stage.start(assign)
    stage.wait(31)
    held = c.Held(assign.attempt_id, assign.fence, started=True, ended=True)
    assert stage.do(c.Heartbeat(worker_id, 1, (held,))).unknown_attempt_ids == ()


def test_a_worker_of_a_session_that_was_deleted_is_told_to_leave(stage, task):
    session_id = stage.session()
    worker_id = stage.worker(session_id=session_id)
    stage.do(c.CancelSession(session_id))
    stage.do(c.DeleteSessions(session_ids=(session_id,)))
    stage.take()
    assert stage.do(c.Register(99, worker_id=worker_id)).worker_id == worker_id
    assert [type(send).__name__ for _, send in stage.take()] == ["Drain"]
