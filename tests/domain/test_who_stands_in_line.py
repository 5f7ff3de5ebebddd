"""Who is listed as waiting for a path: those with a place in the line, as docs/locks.md has it."""

from __future__ import annotations

from buildrunner_coordinator.domain import commands as c
from tests.domain.loads import many


def in_line(stage):
    return [(one.holder.session_id, one.holder.task_id) for one in stage.do(c.ListLocks()).waiters]


def reason(stage, session, task_id):
    ((_, waits),) = stage.do(c.ExplainTasks(session, task_id))
    return waits[0]


def test_a_task_that_has_nowhere_to_run_is_in_no_line_and_is_explained_by_what_it_would_wait_for(stage, task):
    holder, nowhere, paused = stage.session("holder"), stage.session("nowhere"), stage.session("paused")
    stage.acquire(holder, "x")
    stage.do(c.PauseSession(paused))
    for one in (nowhere, paused):
        stage.submit(one, task("t", files=("x",)))
    assert in_line(stage) == []
    assert reason(stage, nowhere, "t").message.startswith(f"waits for x, held by session {holder} (holder) ")
    assert reason(stage, paused, "t").message == "its session paused is paused"
    stage.worker(session_id=nowhere)
    assert in_line(stage) == [(nowhere, "t")]


def test_a_task_whose_workers_have_no_slot_is_in_no_line(stage, task):
    holder, mine = stage.session("holder"), stage.session("mine")
    stage.acquire(holder, "x")
    stage.worker(slots=1, credit=1)
    stage.submit(mine, *many(task, 1))
    stage.submit(mine, task("t", files=("x",)))
    assert in_line(stage) == []
    assert reason(stage, mine, "t").kind == "locks"
    stage.finish(stage.one())
    assert in_line(stage) == [(mine, "t")]
