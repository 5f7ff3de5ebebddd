"""Found by the simulator: what went wrong when failed tasks were run again."""

from __future__ import annotations

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.model import Outcome


def stored(stage, session_id):
    specs = {row.task_id: row for one in stage.changes for row in one.specs if row.session_id == session_id}
    tasks = {row.task_id: row for one in stage.changes for row in one.tasks if row.session_id == session_id}
    over = ("failed", "skipped", "cancelled", "succeeded")
    return tuple((specs[key], row) for key, row in tasks.items() if row.status in over)


def test_a_revived_task_counts_each_of_its_needs_once(stage, task):
    stage.worker(slots=3)
    session_id = stage.session()
    stage.submit(session_id, task("a"), task("b"), task("c"), task("last", needs=("a", "b", "c")))
    a, b, third = stage.assigned()
    stage.finish(a, Outcome.FAILED)
    assert stage.status(session_id, "last") == "skipped"
    stage.do(c.RetryTasks(session_id, stored(stage, session_id)))
    again = stage.one()
    stage.finish(b)
    assert stage.status(session_id, "last") == "blocked"
    stage.finish(third)
    assert stage.status(session_id, "last") == "blocked"
    stage.finish(again)
    assert stage.status(session_id, "last") == "assigned"


def test_a_need_named_twice_counts_once(stage, task):
    stage.worker()
    session_id = stage.session()
    stage.submit(session_id, task("a"), task("b", needs=("a", "a")))
    stage.finish(stage.one())
    assert stage.status(session_id, "b") == "assigned"


def test_a_retry_waits_for_the_processes_of_a_lost_attempt(stage_with, task):
    stage = stage_with(crash_limit=1)
    session_id = stage.session()
    stage.worker()
    stage.submit(session_id, task("a"))
    stage.start(stage.one())
    stage.wait(31)
    assert stage.status(session_id, "a") == "failed"
    stage.worker()
    stage.do(c.RetryTasks(session_id, stored(stage, session_id)))
    stage.nothing_is_sent()
    stage.wait(10)
    assert stage.one().number == 2


def test_a_task_revived_in_its_backoff_is_not_placed_before_a_later_one_is_over(stage, task):
    session_id = stage.session(max_parallel=1)
    stage.worker()
    stage.submit(session_id, task("a", max_retries=3, backoff_ms=5000), task("z"))
    stage.finish(stage.one(), Outcome.FAILED)
    stage.do(c.CancelTask(session_id, "a"))
    stage.do(c.RetryTasks(session_id, stored(stage, session_id), ("a",)))
    stage.wait(10)
    stage.finish(stage.one())
    stage.finish(stage.one(), Outcome.FAILED)
    stage.nothing_is_sent()
    stage.wait(3)
    stage.nothing_is_sent()
    stage.wait(5)
    assert stage.one().number == 3


def test_rows_read_before_the_last_task_ended_do_not_replace_its_end(stage, task):
    stage.worker(slots=2)
    session_id = stage.session()
    stage.submit(session_id, task("a"), task("b"), seal=True)
    a, b = stage.assigned()
    stage.finish(a, Outcome.FAILED)
    early = stored(stage, session_id)
    stage.finish(b)
    assert "retry again" in stage.try_(c.RetryTasks(session_id, early)).message
    assert stage.do(c.RetryTasks(session_id, stored(stage, session_id))).revived == 1


def test_rows_read_before_another_retry_do_not_replace_newer_ones(stage, task):
    stage.worker()
    session_id = stage.session()
    stage.submit(session_id, task("a"))
    stage.finish(stage.one(), Outcome.FAILED)
    early, run = stored(stage, session_id), stage.do(c.FindTask(session_id)).session_run
    stage.do(c.RetryTasks(session_id, early, run=run))
    stage.finish(stage.one(), Outcome.FAILED)
    assert "retry again" in stage.try_(c.RetryTasks(session_id, early, run=run)).message
