"""A retry of very many tasks brings them back over several batches, and the coordinator goes on meanwhile."""

from __future__ import annotations

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain import reviving
from buildrunner_coordinator.domain.model import FailureAction, Outcome
from buildrunner_coordinator.domain.reviving import REVIVED_TASKS


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviving, "REVIVED_TASKS", 2)


def stored(stage, session_id: str):
    """The tasks that are over."""
    specs = {row.task_id: row for one in stage.changes for row in one.specs if row.session_id == session_id}
    rows = {row.task_id: row for one in stage.changes for row in one.tasks if row.session_id == session_id}
    over = ("succeeded", "failed", "skipped", "cancelled")
    return tuple((specs[one], row) for one, row in rows.items() if row.status in over)


def failed_session(stage, task, count: int, **session) -> str:
    """An ended session of so many tasks that failed, and no worker any more."""
    session_id = stage.session(**session)
    worker_id = stage.worker(host="h", pid=9)
    stage.submit(session_id, *(task(f"t{n}") for n in range(count)), seal=True)
    for _ in range(count):
        stage.finish(stage.one(), Outcome.FAILED)
    stage.take()
    stage.do(c.WorkerDied(worker_id, "h", 9, processes_gone=True))
    assert stage.session_status(session_id) == "failed"
    return session_id


def go_on(stage, session_id: str) -> list[int]:
    """How many rows of tasks each further batch writes, until all are back."""
    written = []
    while session_id in stage.core.reviving:
        assert stage.core.next_deadline_us() <= stage.now.us + 1
        stage.wait(0.001)
        written.append(len(stage.changes[-1].tasks))
    return written


def test_no_batch_revives_more_than_a_piece(stage, task):
    session_id = stage.session()
    stage.worker()
    many = 2 * REVIVED_TASKS
    needing = [task(f"t{n}", needs=("gate",)) for n in range(many)]
    stage.submit(session_id, task("gate"), *needing, seal=True)
    stage.finish(stage.one(), Outcome.FAILED)
    while not stage.core.sessions[session_id].is_over:
        stage.wait(0.001)
    reply = stage.do(c.RetryTasks(session_id, stored(stage, session_id)))
    assert (reply.revived, reply.pending) == (many + 1, REVIVED_TASKS + 1)
    first = len(stage.changes[-1].tasks)
    assert [first, *go_on(stage, session_id)] == [REVIVED_TASKS, REVIVED_TASKS, 1]
    assert stage.do(c.AwaitRetry(session_id, many + 1)).pending == 0
    assert stage.core.sessions[session_id].counts["blocked"] == many
    assert stage.one().spec == b"gate"


def test_the_session_does_not_end_before_the_last_is_back(stage, task, few):
    session_id = failed_session(stage, task, 5)
    stage.do(c.RetryTasks(session_id, stored(stage, session_id)))
    stage.worker(slots=3)
    for assign in stage.assigned():
        stage.finish(assign)
    assert stage.session_status(session_id) == "running"
    assert stage.core.sessions[session_id].counts["succeeded"] == 2
    go_on(stage, session_id)
    for assign in stage.assigned():
        stage.finish(assign)
    assert stage.session_status(session_id) == "completed"


def test_needs_that_are_not_back_yet_are_waited_for(stage, task, few):
    session_id = stage.session()
    worker_id = stage.worker(host="h", pid=9)
    last = [task(f"c{n}", needs=(f"c{n + 1}",)) for n in range(4)]
    stage.submit(session_id, *last, task("c4"), seal=True)  # the first needs the second, and so on
    stage.finish(stage.one(), Outcome.FAILED)
    stage.take()
    stage.do(c.WorkerDied(worker_id, "h", 9, processes_gone=True))
    stage.do(c.RetryTasks(session_id, stored(stage, session_id)))
    go_on(stage, session_id)
    counts = stage.core.sessions[session_id].counts
    assert (counts["queued"], counts["blocked"], counts["skipped"]) == (1, 4, 0)


def test_those_that_are_not_back_yet_do_not_count_as_failures(stage, task, few):
    session_id = failed_session(stage, task, 5)
    stage.do(c.RetryTasks(session_id, stored(stage, session_id)))
    stage.do(c.UpdateSession(session_id, failure_action=FailureAction.FINISH_RUNNING, failure_limit=2))
    stage.worker()
    stage.finish(stage.one(), Outcome.FAILED)
    assert stage.core.sessions[session_id].ending_as is None
    go_on(stage, session_id)
    stage.finish(stage.one(), Outcome.FAILED)
    assert stage.core.sessions[session_id].reason == "finish-running after 2 failed"
    stage.take()


def test_another_retry_meanwhile_is_refused_and_says_how_many_are_to_go(stage, task, few):
    session_id = failed_session(stage, task, 5)
    rows = stored(stage, session_id)
    stage.do(c.RetryTasks(session_id, rows))
    assert "with 3 tasks to go" in stage.try_(c.RetryTasks(session_id, rows)).message


def test_cancelling_meanwhile_leaves_the_others_as_they_were(stage, task, few):
    session_id = failed_session(stage, task, 5)
    stage.do(c.RetryTasks(session_id, stored(stage, session_id)))
    stage.do(c.CancelSession(session_id))
    counts = stage.core.sessions[session_id].counts
    assert (stage.session_status(session_id), counts["cancelled"], counts["failed"]) == ("cancelled", 2, 3)


def test_a_restart_meanwhile_leaves_a_session_that_can_be_asked_again(stage, task, few):
    session_id = failed_session(stage, task, 5)
    stage.do(c.RetryTasks(session_id, stored(stage, session_id)))
    stage.restart()
    stage.wait(0.001)
    assert stage.do(c.RetryTasks(session_id, stored(stage, session_id))).revived == 3
    go_on(stage, session_id)
    assert stage.core.sessions[session_id].counts["queued"] == 5


def test_a_restart_when_nothing_else_is_left_ends_the_session(stage, task, few):
    session_id = failed_session(stage, task, 5)
    stage.do(c.RetryTasks(session_id, stored(stage, session_id)))
    stage.worker(slots=3)
    for assign in stage.assigned():
        stage.finish(assign)
    stage.restart()
    stage.wait(0.001)
    assert stage.session_status(session_id) == "failed"
    assert stage.do(c.RetryTasks(session_id, stored(stage, session_id))).revived == 3
    stage.take()
