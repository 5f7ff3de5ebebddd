"""Found by the simulator: what a restart of the coordinator forgot."""

from __future__ import annotations

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.core import Core
from buildrunner_coordinator.domain.model import Time
from buildrunner_coordinator.domain.replies import Revoke

SECOND = 1_000_000


def test_what_was_asked_back_by_a_pause_is_asked_back_again_after_a_restart(stage, task):
    session_id = stage.session()
    worker_id = stage.worker(credit=1)
    stage.submit(session_id, task("a"))
    assign = stage.one()
    stage.do(c.PauseSession(session_id))
    stage.restart()
    stage.worker(worker_id=worker_id, held=(c.Held(assign.attempt_id, assign.fence),))
    assert [send for _, send in stage.take()] == [Revoke(assign.attempt_id, assign.fence)]


def test_a_jump_of_the_wall_clock_over_a_restart_does_not_shorten_the_lock_delay(stage, task):
    session_id = stage.session()
    stage.worker()
    stage.submit(session_id, task("a", files=("out",)), task("b", files=("out",)))
    stage.start(stage.one())
    stage.wait(31)
    stage.wait(3)
    snapshot = stage.core.snapshot()
    stage.now = Time(stage.now.us + 3600 * SECOND, stage.now.wall_us)
    stage.core = Core.load(snapshot, stage.settings, stage.now)
    stage.worker()
    stage.take()
    stage.wait(6)
    stage.nothing_is_sent()
    assert stage.status(session_id, "b") == "queued"
    stage.wait(5)
    assert len(stage.assigned()) == 1
