"""Where very many tasks need the same one, its end is told over several batches, and nobody is left out."""

from __future__ import annotations

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain import dependents
from buildrunner_coordinator.domain.dependents import TOLD_TASKS
from buildrunner_coordinator.domain.model import FailureAction, Outcome


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependents, "TOLD_TASKS", 2)


def gated(stage, task, count: int, **session) -> str:
    """A session in which so many tasks need one, which runs."""
    session_id = stage.session(**session)
    stage.worker()
    stage.submit(session_id, task("gate"), *(task(f"t{n}", needs=("gate",)) for n in range(count)), seal=True)
    return session_id


def rows_a_batch(stage, session_id: str) -> list[int]:
    """How many rows of tasks each further batch writes, until all have been told."""
    written = []
    while session_id in stage.core.untold:
        assert stage.core.next_deadline_us() <= stage.now.us + 1
        stage.wait(0.001)
        written.append(len(stage.changes[-1].tasks))
    return written


def test_no_batch_skips_more_than_a_piece(stage, task):
    session_id = gated(stage, task, 2 * TOLD_TASKS + 1)
    stage.finish(stage.one(), Outcome.FAILED)
    first = len(stage.changes[-1].tasks)
    assert [first, *rows_a_batch(stage, session_id)] == [TOLD_TASKS + 1, TOLD_TASKS, 1]
    assert stage.session_status(session_id) == "failed"
    assert stage.core.sessions[session_id].counts["skipped"] == 2 * TOLD_TASKS + 1


def test_no_batch_unblocks_more_than_a_piece_and_the_first_goes_first(stage, task):
    session_id = gated(stage, task, 2 * TOLD_TASKS + 1)
    stage.finish(stage.one())
    assert stage.one().spec == b"t0"
    first = len(stage.changes[-1].tasks)
    assert [first, *rows_a_batch(stage, session_id)] == [TOLD_TASKS + 1, TOLD_TASKS, 1]
    assert stage.core.sessions[session_id].counts["queued"] == 2 * TOLD_TASKS


def test_a_restart_in_between_tells_the_others_that_their_need_succeeded(stage, task, few):
    session_id = gated(stage, task, 5)
    stage.finish(stage.one())
    running = stage.one()
    stage.restart()
    counts = stage.core.sessions[session_id].counts
    assert (counts["assigned"], counts["queued"], counts["blocked"]) == (1, 1, 3)
    rows_a_batch(stage, session_id)
    assert (counts["assigned"], counts["queued"], counts["blocked"]) == (1, 4, 0)
    stage.finish(running)
    assert stage.session_status(session_id) == "running"


def test_a_restart_in_between_skips_the_others(stage, task, few):
    session_id = gated(stage, task, 5)
    stage.finish(stage.one(), Outcome.FAILED)
    stage.restart()
    rows_a_batch(stage, session_id)
    assert stage.core.sessions[session_id].counts["skipped"] == 5
    assert stage.session_status(session_id) == "failed"


def test_a_long_chain_is_skipped_to_its_end(stage, task, few):
    session_id = stage.session()
    stage.worker()
    chain = [task(f"c{n}", needs=(f"c{n - 1}",)) for n in range(1, 9)]
    stage.submit(session_id, task("c0"), *chain, seal=True)
    stage.finish(stage.one(), Outcome.FAILED)
    rows_a_batch(stage, session_id)
    assert stage.core.sessions[session_id].counts["skipped"] == 8


def test_a_task_that_runs_again_before_all_were_told_keeps_the_others_waiting_for_it(stage, task, few):
    session_id = gated(stage, task, 5)
    stage.finish(stage.one(), Outcome.FAILED)
    rows = {row.task_id: row for one in stage.changes for row in one.tasks}
    specs = {row.task_id: row for one in stage.changes for row in one.specs}
    over = tuple((specs[one], row) for one, row in rows.items() if row.status in ("failed", "skipped"))
    assert stage.do(c.RetryTasks(session_id, over)).revived == 3
    rows_a_batch(stage, session_id)
    again = stage.one()
    assert [stage.status(session_id, f"t{n}") for n in range(5)] == ["blocked"] * 5
    stage.finish(again)
    rows_a_batch(stage, session_id)
    counts = stage.core.sessions[session_id].counts
    assert (counts["assigned"], counts["queued"], counts["blocked"], counts["skipped"]) == (1, 4, 0, 0)
    stage.take()


def test_one_that_runs_again_before_it_was_told_of_its_need_is_not_told_twice(stage, task, few):
    session_id = gated(stage, task, 5)
    gate = stage.one()
    stage.finish(gate)
    stage.do(c.CancelTask(session_id, "t4"))
    row = [row for one in stage.changes for row in one.tasks if row.task_id == "t4"][-1]
    spec = next(row for one in stage.changes for row in one.specs if row.task_id == "t4")
    stage.do(c.RetryTasks(session_id, ((spec, row),)))
    rows_a_batch(stage, session_id)
    counts = stage.core.sessions[session_id].counts
    assert (counts["assigned"], counts["queued"], counts["blocked"]) == (1, 4, 0)
    stage.take()


def test_a_session_that_is_ending_cancels_those_that_were_not_told(stage, task, few):
    session_id = gated(stage, task, 5)
    stage.finish(stage.one())
    running = stage.one()
    stage.do(c.CancelSession(session_id))
    stage.take()
    stage.finish(running, Outcome.CANCELLED)
    while stage.core.sessions[session_id].ending_as is not None:
        stage.wait(0.001)
    counts = stage.core.sessions[session_id].counts
    assert (counts["cancelled"], counts["succeeded"]) == (5, 1)


def test_the_failure_policy_ends_a_session_in_which_many_are_being_skipped(stage, task, few):
    session_id = gated(stage, task, 5, failure_action=FailureAction.FINISH_RUNNING)
    stage.finish(stage.one(), Outcome.FAILED)
    while stage.core.sessions[session_id].ending_as is not None:
        stage.wait(0.001)
    counts = stage.core.sessions[session_id].counts
    assert (counts["failed"], counts["skipped"], counts["cancelled"]) == (1, 2, 3)
