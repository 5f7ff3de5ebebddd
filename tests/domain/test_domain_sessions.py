"""The life of sessions: pause, resume, cancel, failure policies, owners, deletion."""

from __future__ import annotations

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.model import Driver, FailureAction, Outcome
from buildrunner_coordinator.domain.refusals import Reason
from buildrunner_coordinator.domain.replies import Drain, Revoke, Stop


def test_a_created_session_starts_nothing(stage, task):
    session = stage.session(start=False)
    stage.worker()
    stage.submit(session, task("a"))
    stage.nothing_is_sent()
    stage.do(c.StartSession(session))
    assert stage.one().spec == b"a"


def test_a_paused_session_starts_nothing_and_takes_back_what_has_not_started(stage, task):
    session = stage.session()
    worker = stage.worker(slots=1, credit=2)
    stage.submit(session, task("a"), task("b"), task("c"))
    running, ahead = stage.assigned()
    stage.start(running)
    stage.do(c.PauseSession(session))
    assert stage.take() == [(worker, Revoke(ahead.attempt_id, ahead.fence))]
    stage.do(c.Revoked(worker, ahead.attempt_id, ahead.fence, started=False))
    stage.finish(running)
    stage.nothing_is_sent()
    assert stage.status(session, "b") == "queued"
    stage.do(c.ResumeSession(session))
    assert [one.spec for one in stage.assigned()] == [b"b", b"c"]


def test_pausing_now_stops_and_requeues_at_no_cost(stage, task):
    session = stage.session()
    worker = stage.worker()
    stage.submit(session, task("a"))
    assign = stage.one()
    stage.start(assign)
    stage.do(c.PauseSession(session, now=True))
    assert stage.take() == [(worker, Stop(assign.attempt_id, assign.fence, Outcome.REVOKED, "PAUSED"))]
    stage.finish(assign, Outcome.REVOKED)
    task_now = stage.core.tasks[session]["a"]
    assert (task_now.status, task_now.failures, task_now.crashes) == ("queued", 0, 0)


def test_a_paused_session_completes_when_its_last_running_task_ends(stage, task):
    session = stage.session()
    stage.worker()
    stage.submit(session, task("a"), seal=True)
    assign = stage.one()
    stage.start(assign)
    stage.do(c.PauseSession(session))
    stage.finish(assign)
    assert stage.session_status(session) == "completed"


def test_a_cancelled_session_is_over_when_its_last_process_is(stage, task):
    session = stage.session()
    stage.worker()
    stage.submit(session, task("a"), task("b"))
    assign = stage.one()
    stage.start(assign)
    row = stage.do(c.CancelSession(session, "enough"))
    assert (row.status, row.ending_as, row.cancelled) == ("running", "cancelled", 1)
    stage.take()
    stage.finish(assign, Outcome.CANCELLED)
    assert stage.session_status(session) == "cancelled"
    assert stage.core.tasks == {}


def test_repeating_the_state_is_a_no_op_and_a_wrong_one_is_refused_by_name(stage):
    session = stage.session()
    stage.do(c.CancelSession(session))
    stage.do(c.CancelSession(session))
    for command in (c.StartSession(session), c.PauseSession(session), c.ResumeSession(session)):
        refusal = stage.try_(command)
        assert refusal.reason is Reason.WRONG_STATE
        assert "cancelled" in refusal.message


def test_the_declared_number_of_tasks_seals_the_session(stage, task):
    session = stage.session(declared_tasks=2)
    stage.worker(slots=2, credit=2)
    stage.submit(session, task("a"))
    stage.submit(session, task("b"))
    assert stage.try_(c.SubmitTasks(session, (task("c"),))).reason is Reason.SESSION_CLOSED
    for assign in stage.assigned():
        stage.finish(assign)
    assert stage.session_status(session) == "completed"


def test_a_closed_empty_session_completes(stage):
    session = stage.session()
    assert stage.do(c.CloseSession(session)).status == "completed"


@pytest.mark.parametrize("action", [FailureAction.FINISH_RUNNING, FailureAction.STOP_NOW])
def test_a_failure_policy_ends_the_session_as_failed(stage, task, action):
    session = stage.session(failure_action=action, failure_limit=1)
    stage.worker(slots=2, credit=2)
    stage.submit(session, *(task(one) for one in "abcd"))
    first, second = stage.assigned()
    stage.start(second)
    stage.finish(first, Outcome.FAILED)
    stops = [send for _, send in stage.take() if isinstance(send, Stop)]
    assert len(stops) == (action is FailureAction.STOP_NOW)
    assert stage.session_status(session) == "running"
    outcome = Outcome.CANCELLED if stops else Outcome.SUCCEEDED
    stage.finish(second, outcome)
    assert stage.session_status(session) == "failed"


def test_what_was_sent_ahead_is_cancelled_by_a_failure_policy(stage, task):
    session = stage.session(failure_action=FailureAction.FINISH_RUNNING)
    worker = stage.worker(slots=1, credit=3)
    stage.submit(session, task("a"), task("b"))
    first, ahead = stage.assigned()
    stage.finish(first, Outcome.FAILED)
    assert stage.take() == [(worker, Revoke(ahead.attempt_id, ahead.fence))]
    stage.do(c.Revoked(worker, ahead.attempt_id, ahead.fence, started=False))
    assert (stage.status(session, "b"), stage.session_status(session)) == ("cancelled", "failed")


def test_a_session_runs_no_more_at_once_than_it_may(stage, task):
    session = stage.session(max_parallel=2)
    stage.worker(slots=8, credit=8)
    stage.submit(session, *(task(f"t{i}") for i in range(4)))
    first, _ = stage.assigned()
    stage.finish(first)
    assert stage.one().spec == b"t2"


def test_an_owners_session_ends_only_by_its_owner(stage):
    session = stage.session(driver=Driver.OWNER, start=False)
    stage.do(c.CloseSession(session))
    assert stage.session_status(session) == "created"
    assert stage.do(c.CompleteSession(session)).status == "completed"
    assert stage.do(c.FailSession(session)).status == "completed"


def test_a_session_of_tasks_is_not_completed_by_hand(stage):
    assert stage.try_(c.CompleteSession(stage.session())).reason is Reason.WRONG_STATE


def test_workers_of_a_session_leave_at_its_end_and_its_pool_goes(stage, task):
    session = stage.session(wanted_workers=1)
    worker = stage.worker(session_id=session)
    stage.submit(session, task("a"), seal=True)
    stage.finish(stage.one())
    sent = stage.take()
    assert [(to, type(send)) for to, send in sent] == [(worker, Drain)]
    assert stage.core.pools == {}


def test_a_worker_of_one_session_gets_nothing_of_another(stage, task):
    mine, other = stage.session("mine"), stage.session("other")
    stage.worker(session_id=mine)
    stage.submit(other, task("a"))
    stage.nothing_is_sent()


def test_ids_may_be_shortened_to_a_unique_prefix(stage):
    session = stage.session()
    assert stage.do(c.ReadSession(session[:4])).session_id == session
    assert stage.do(c.ReadSession("last")).session_id == session
    assert stage.try_(c.ReadSession(session[:3])).reason is Reason.SESSION_NOT_FOUND
    assert stage.try_(c.ReadSession("zzzzzzzz")).reason is Reason.SESSION_NOT_FOUND


def test_ended_sessions_are_removed_when_they_are_old_enough(stage_with):
    stage = stage_with(retention_ms=60_000)
    old, alive = stage.session(), stage.session()
    stage.do(c.CancelSession(old))
    assert stage.do(c.DeleteSessions(older_than_us=1_000_000)) == []
    stage.wait(2)
    assert [row.session_id for row in stage.do(c.DeleteSessions(older_than_us=1_000_000, dry_run=True))] == [
        old
    ]
    assert old in stage.core.sessions
    stage.wait(60)
    assert list(stage.core.sessions) == [alive]
    assert stage.changes[-1].removed_sessions == [old]


def test_a_reply_carries_the_revision_that_it_is_committed_with(stage, task):
    row = stage.do(c.CreateSession(99, "new"))
    assert row.revision == stage.core.revision == stage.changes[-1].revision
    reply = stage.submit(row.session_id, task("a"))
    assert reply.tasks[0].row.revision == reply.session.revision == stage.core.revision
    again = stage.do(c.ReadSession(row.session_id))
    assert again.revision == reply.session.revision
