"""That no worker suits a task is told beside what else keeps it, for that does not pass by itself."""

from __future__ import annotations

from buildrunner_coordinator.domain import commands as c
from tests.domain.loads import many


def kinds(stage, session, task_id):
    ((_, waits),) = stage.do(c.ExplainTasks(session, task_id))
    return [wait.kind for wait in waits]


def test_a_session_with_all_it_may_run_does_not_hide_that_no_worker_suits(stage, task):
    session = stage.session(max_parallel=1)
    stage.worker(slots=2, credit=2)
    stage.submit(session, *many(task, 2), task("rare", labels=("gpu",)), task("big", slots=9))
    assert kinds(stage, session, "t1") == ["max_parallel"]
    assert kinds(stage, session, "rare") == ["no_worker", "max_parallel"]
    assert kinds(stage, session, "big") == ["no_worker", "max_parallel"]


def test_taken_paths_do_not_hide_that_no_worker_suits(stage, task):
    session = stage.session()
    stage.worker(slots=2, credit=2)
    stage.submit(session, task("a", files=("x",)), task("b", files=("x",), labels=("gpu",)))
    assert kinds(stage, session, "b") == ["locks", "no_worker"]


def test_a_session_that_does_not_run_misses_no_worker(stage, task):
    session = stage.session()
    stage.submit(session, task("a"))
    stage.do(c.PauseSession(session))
    assert kinds(stage, session, "a") == ["session"]
