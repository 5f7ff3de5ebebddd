"""A session with very many tasks ends over several batches, none of which holds the coordinator up."""

from __future__ import annotations

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain import endings
from buildrunner_coordinator.domain.endings import SWEEP_TASKS
from buildrunner_coordinator.domain.model import FailureAction, Outcome
from buildrunner_coordinator.domain.replies import Stop

MANY = 3 * SWEEP_TASKS + 1


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "SWEEP_TASKS", 2)


def batches_until_over(stage, session_id: str) -> list[int]:
    """How many rows of tasks each further batch wrote."""
    written = []
    while stage.core.sessions[session_id].ending_as is not None:
        assert stage.core.next_deadline_us() <= stage.now.us + 1
        stage.wait(0.001)
        written.append(len(stage.changes[-1].tasks))
    return written


def test_no_batch_of_a_cancelled_session_writes_more_than_a_piece(stage, task):
    session_id = stage.session()
    stage.submit(session_id, *(task(f"t{number}") for number in range(MANY)))
    stage.do(c.CancelSession(session_id))
    assert stage.session_status(session_id) == "running"
    first = len(stage.changes[-1].tasks)
    assert [first, *batches_until_over(stage, session_id)] == [SWEEP_TASKS] * 3 + [1]
    assert stage.session_status(session_id) == "cancelled"
    assert stage.core.sessions[session_id].counts["cancelled"] == MANY
    assert session_id not in stage.core.tasks and session_id not in stage.core.queue.lanes


def test_a_restart_in_between_goes_on_with_the_rest(stage, task, few):
    session_id = stage.session()
    stage.submit(session_id, *(task(f"t{number}") for number in range(7)))
    stage.do(c.CancelSession(session_id))
    stage.restart()
    stage.worker()
    stage.nothing_is_sent()
    batches_until_over(stage, session_id)
    assert stage.core.sessions[session_id].counts["cancelled"] == 7


def test_what_runs_is_told_at_once_and_what_needs_it_is_cancelled_not_skipped(stage, task, few):
    session_id = stage.session()
    stage.worker()
    stage.submit(session_id, *(task(f"t{number}") for number in range(5)), task("last", needs=("t0",)))
    running = stage.one()
    stage.start(running)
    stage.do(c.CancelSession(session_id))
    assert [type(send) for _, send in stage.take()] == [Stop]
    stage.finish(running, Outcome.CANCELLED)
    batches_until_over(stage, session_id)
    counts = stage.core.sessions[session_id].counts
    assert (counts["cancelled"], counts["skipped"]) == (6, 0)
    stage.nothing_is_sent()


def test_a_tripped_policy_says_so_of_all_tasks_over_a_restart_too(stage, task, few):
    session_id = stage.session(failure_action=FailureAction.FINISH_RUNNING)
    stage.worker()
    stage.submit(session_id, *(task(f"t{number}") for number in range(8)))
    failing = stage.one()
    stage.start(failing)
    stage.finish(failing, Outcome.FAILED, exit_code=1)
    stage.restart()
    batches_until_over(stage, session_id)
    assert stage.session_status(session_id) == "failed"
    rows = [row for one in stage.changes for row in one.tasks if row.status == "cancelled"]
    assert {row.reason for row in rows} == {"SESSION_FAILED"} and len(rows) == 7
    stage.take()
