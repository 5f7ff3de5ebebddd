"""The life of tasks: needs, order, retries, cancelling, running again."""

from __future__ import annotations

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.model import Outcome
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import Disposition, Stop


def test_a_task_goes_to_a_worker_and_its_session_completes(stage, task):
    session = stage.session()
    stage.worker()
    stage.submit(session, task("a"), seal=True)
    assign = stage.one()
    assert (assign.number, assign.spec, assign.session_name) == (1, b"a", "build")
    stage.start(assign)
    assert stage.status(session, "a") == "running"
    ack = stage.finish(assign, exit_code=0)
    assert ack.disposition is Disposition.ACCEPTED
    assert stage.session_status(session) == "completed"


def test_tasks_of_one_priority_start_in_order_of_submission(stage, task):
    session = stage.session()
    stage.submit(session, *(task(f"t{i}") for i in range(5)))
    stage.worker(slots=3, credit=3)
    assert [one.spec for one in stage.assigned()] == [b"t0", b"t1", b"t2"]


def test_a_higher_priority_goes_first_whatever_the_session(stage, task):
    low, high = stage.session("low"), stage.session("high")
    stage.submit(low, task("a"), task("b"))
    stage.submit(high, task("c", priority=5))
    stage.worker(slots=2, credit=2)
    assert [one.spec for one in stage.assigned()] == [b"c", b"a"]


def test_sessions_of_one_priority_get_equal_shares(stage, task):
    sessions = [stage.session(name) for name in "xyz"]
    for session in sessions:
        stage.submit(session, *(task(f"t{i}") for i in range(10)))
    stage.worker(slots=6, credit=6)
    by_session = [one.session_id for one in stage.assigned()]
    assert [by_session.count(session) for session in sessions] == [2, 2, 2]


def test_a_task_waits_for_what_it_needs(stage, task):
    session = stage.session()
    stage.worker(slots=4, credit=4)
    stage.submit(session, task("b", needs=("a",)), task("a"))
    first = stage.one()
    assert first.spec == b"a"
    assert stage.status(session, "b") == "blocked"
    stage.finish(first)
    assert stage.one().spec == b"b"


def test_what_needs_a_failed_task_is_skipped_to_the_last(stage, task):
    session = stage.session()
    stage.worker()
    stage.submit(session, task("a"), task("b", needs=("a",)), task("c", needs=("b",)), seal=True)
    stage.finish(stage.one(), Outcome.FAILED, exit_code=1)
    assert [stage.status(session, one) for one in "abc"] == ["failed", "skipped", "skipped"]
    assert stage.session_status(session) == "failed"


def test_a_late_task_that_needs_a_failed_one_is_skipped_at_once(stage, task):
    session = stage.session()
    stage.worker()
    stage.submit(session, task("a"))
    stage.finish(stage.one(), Outcome.FAILED)
    stage.submit(session, task("c", needs=("b",)), task("b", needs=("a",)))
    assert [stage.status(session, one) for one in "bc"] == ["skipped", "skipped"]


def test_a_failed_attempt_is_retried_after_a_growing_pause(stage, task):
    session = stage.session()
    stage.worker()
    stage.submit(session, task("a", max_retries=2, backoff_ms=1000))
    first = stage.one()
    stage.finish(first, Outcome.FAILED)
    assert stage.status(session, "a") == "queued"
    stage.wait(0.7)
    stage.nothing_is_sent()
    stage.wait(0.6)
    second = stage.one()
    assert second.number == 2
    assert second.fence > first.fence
    stage.finish(second, Outcome.TIMED_OUT)
    stage.wait(1.5)
    stage.nothing_is_sent()
    stage.wait(1)
    stage.finish(stage.one(), Outcome.FAILED)
    assert stage.status(session, "a") == "failed"


def test_a_retry_prefers_a_worker_on_which_it_has_not_failed(stage, task):
    session = stage.session()
    first, second = stage.worker(), stage.worker()
    stage.submit(session, task("a", max_retries=1, backoff_ms=1000))
    assign = stage.one()
    assert stage.worker_of(assign) == first
    stage.finish(assign, Outcome.FAILED)
    stage.wait(2)
    assert stage.worker_of(stage.one()) == second


def test_cancelling_a_running_task_stops_it_and_says_so_truthfully(stage, task):
    session = stage.session()
    worker = stage.worker()
    stage.submit(session, task("a"), task("b", needs=("a",)))
    assign = stage.one()
    stage.start(assign)
    stage.do(c.CancelTask(session, "a"))
    assert stage.status(session, "a") == "cancelling"
    assert stage.take() == [(worker, Stop(assign.attempt_id, assign.fence, Outcome.CANCELLED, "CANCELLED"))]
    stage.finish(assign, Outcome.CANCELLED)
    assert [stage.status(session, one) for one in "ab"] == ["cancelled", "skipped"]


def test_a_task_that_ended_well_before_the_cancel_reached_it_has_succeeded(stage, task):
    session = stage.session()
    stage.worker()
    stage.submit(session, task("a"))
    assign = stage.one()
    stage.do(c.CancelTask(session, "a"))
    stage.take()
    stage.finish(assign, Outcome.SUCCEEDED)
    assert stage.status(session, "a") == "succeeded"


def test_a_report_on_a_dead_attempt_changes_nothing(stage, task):
    session = stage.session()
    worker = stage.worker()
    stage.submit(session, task("a"))
    assign = stage.one()
    stage.finish(assign)
    before = stage.core.snapshot()
    again = stage.finish(assign, Outcome.FAILED, worker_id=worker)
    assert again.disposition is Disposition.DUPLICATE
    other = stage.do(c.Finished(worker, "feedfacefeedface", 3, Outcome.FAILED))
    assert other.disposition is Disposition.STALE
    assert stage.core.snapshot() == before


@pytest.mark.parametrize("wrong", ["fence", "worker"])
def test_a_report_must_carry_the_right_fence_and_come_from_the_right_worker(stage, task, wrong):
    session = stage.session()
    worker = stage.worker()
    stage.submit(session, task("a"))
    assign = stage.one()
    fence = assign.fence - (wrong == "fence")
    sender = "somebody" if wrong == "worker" else worker
    ack = stage.do(c.Finished(sender, assign.attempt_id, fence, Outcome.SUCCEEDED))
    assert ack.disposition is Disposition.STALE
    assert stage.status(session, "a") == "assigned"


def test_a_report_whose_output_is_not_all_here_is_not_accepted(stage, task):
    session = stage.session()
    worker = stage.worker()
    stage.submit(session, task("a"))
    assign = stage.one()
    stage.do(c.AppendOutput(worker, assign.attempt_id, assign.fence, (c.Chunk(0, 1, b"abc"),)))
    ack = stage.finish(assign, output_bytes=5)
    assert (ack.disposition, ack.output_offset) == (Disposition.OUTPUT_MISSING, 3)
    more = stage.do(c.AppendOutput(worker, assign.attempt_id, assign.fence, (c.Chunk(1, 1, b"bcde"),)))
    assert more.offset == 5
    assert stage.finish(assign, output_bytes=5).disposition is Disposition.ACCEPTED
    pieces = [row.data for one in stage.changes for row in one.outputs]
    assert b"".join(pieces) == b"abcde"


def test_output_behind_a_gap_is_not_taken(stage, task):
    session = stage.session()
    worker = stage.worker()
    stage.submit(session, task("a"))
    assign = stage.one()
    ack = stage.do(c.AppendOutput(worker, assign.attempt_id, assign.fence, (c.Chunk(7, 1, b"late"),)))
    assert (ack.offset, ack.stale) == (0, False)
    capped = (c.Chunk(0, 1, b"head"), c.Chunk(100, 2, b"tail", dropped_bytes=96))
    ack = stage.do(c.AppendOutput(worker, assign.attempt_id, assign.fence, capped))
    assert ack.offset == 104


@pytest.mark.parametrize(
    ("tasks", "reason"),
    [
        ([("a", ()), ("a", ())], Reason.TASK_EXISTS),
        ([("b", ("nobody",))], Reason.UNKNOWN_NEED),
        ([("b", ("c",)), ("c", ("d",)), ("d", ("b",))], Reason.CYCLE),
        ([("b", ("b",))], Reason.CYCLE),
        ([("there", ())], Reason.TASK_EXISTS),
    ],
)
def test_a_bad_submission_is_refused_as_a_whole(stage, task, tasks, reason):
    session = stage.session()
    stage.submit(session, task("there"))
    new = tuple(task(task_id, needs=needs) for task_id, needs in tasks)
    refusal = stage.try_(c.SubmitTasks(session, (task("fine"), *new)))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason


def test_a_circle_is_named(stage, task):
    session = stage.session()
    refusal = stage.try_(
        c.SubmitTasks(session, (task("x"), task("b", needs=("x", "c")), task("c", needs=("b",))))
    )
    assert "b -> c -> b" in refusal.message


def test_a_refused_plan_creates_no_session(stage, task):
    plan = c.SubmitPlan((task("a", needs=("b",)),), create=c.CreateSession(1, "plan"))
    assert stage.try_(plan).reason is Reason.UNKNOWN_NEED
    assert stage.core.sessions == {}


def test_a_plan_creates_fills_seals_and_starts_in_one_commit(stage, task):
    commits = len(stage.changes)
    reply = stage.do(
        c.SubmitPlan((task("a"), task("b")), create=c.CreateSession(1, "plan", wanted_workers=2))
    )
    assert (reply.session.status, reply.session.open, reply.added) == ("running", 0, 2)
    assert len(stage.changes) == commits + 1
    assert [pool.wanted for pool in stage.changes[-1].pools] == [2]


def test_failed_and_skipped_tasks_run_again_and_what_succeeded_does_not(stage, task):
    session = stage.session()
    stage.worker(slots=2, credit=2)
    stage.submit(session, task("good"), task("bad"), task("late", needs=("bad", "good")), seal=True)
    good, bad = stage.assigned()
    stage.finish(good)
    stage.finish(bad, Outcome.FAILED)
    assert stage.session_status(session) == "failed"
    reply = stage.do(c.RetryTasks(session, _stored(stage, session)))
    assert reply.revived == 2
    again = stage.one()
    assert (again.spec, again.number) == (b"bad", 2)
    stage.finish(again)
    stage.finish(stage.one())
    assert stage.session_status(session) == "completed"


def test_naming_a_failed_task_runs_what_was_skipped_for_it_too(stage, task):
    session = stage.session()
    stage.worker(slots=2, credit=2)
    stage.submit(
        session, task("x"), task("y"), task("after-x", needs=("x",)), task("after-y", needs=("y",)), seal=True
    )
    for assign in stage.assigned():
        stage.finish(assign, Outcome.FAILED)
    reply = stage.do(c.RetryTasks(session, _stored(stage, session), ("x",)))
    assert reply.revived == 2
    assert [stage.status(session, one) for one in ("x", "after-x", "y", "after-y")] == [
        "assigned", "blocked", "failed", "skipped",
    ]  # fmt: skip


def test_three_workers_lost_with_a_task_are_enough(stage, task):
    session = stage.session()
    stage.submit(session, task("killer"), seal=True)
    for _ in range(3):
        worker = stage.worker(host="h", pid=9)
        assign = stage.one()
        stage.start(assign)
        stage.do(c.WorkerDied(worker, "h", 9, processes_gone=True))
        stage.take()
    assert stage.session_status(session) == "failed"
    row = [row for one in stage.changes for row in one.tasks][-1]
    assert (row.reason, row.crashes) == ("CRASH_LIMIT", 3)


def test_a_lost_assignment_that_never_started_costs_nothing(stage, task):
    session = stage.session()
    stage.submit(session, task("a"))
    for _ in range(5):
        worker = stage.worker(host="h", pid=9)
        stage.one()
        stage.do(c.WorkerDied(worker, "h", 9, processes_gone=True))
    assert stage.core.tasks[session]["a"].crashes == 0
    assert stage.status(session, "a") == "queued"


def _stored(stage, session):
    specs = {row.task_id: row for one in stage.changes for row in one.specs if row.session_id == session}
    rows = {row.task_id: row for one in stage.changes for row in one.tasks if row.session_id == session}
    return tuple((specs[one], row) for one, row in rows.items() if row.ended_at_us or row.status == "skipped")
