"""What is written down for people, and how the story of a task is told from that and from its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.changes import EventRow
from buildrunner_coordinator.domain.history import SESSION_KINDS, TASK_PHASES, WORKER_KINDS, duration
from buildrunner_coordinator.domain.model import FailureAction, Kinds, Outcome
from buildrunner_coordinator.domain.refusals import Refusal
from buildrunner_coordinator.domain.steps import task_history


def noted(stage: Any, kind: str = "") -> list[EventRow]:
    rows = [row for changes in stage.changes for row in changes.events]
    return [row for row in rows if kind in ("", row.kind)]


def messages(stage: Any, kind: str) -> list[str]:
    return [row.message for row in noted(stage, kind)]


def story(stage: Any, session_id: str, task_id: str) -> list[EventRow]:
    """The history of a task, of the rows that were committed."""
    key = (session_id, task_id)
    specs = [row for changes in stage.changes for row in changes.specs if row[:2] == key]
    rows = [row for changes in stage.changes for row in changes.tasks if row[:2] == key]
    ended = [row for changes in stage.changes for row in changes.attempts if row[:2] == key]
    mine = [row for row in noted(stage) if (row.session_id, row.task_id) == key]
    return [event for _, event in task_history(specs[-1], rows[-1], ended, mine)]


def told(stage: Any, session_id: str, task_id: str) -> list[str]:
    return [event.kind for event in story(stage, session_id, task_id)]


def test_the_way_of_an_ordinary_task_writes_no_row_of_its_own(stage, task):
    session_id = stage.session()
    stage.worker(slots=1)
    before = len(noted(stage))
    stage.changes.clear()
    for number in range(20):
        stage.submit(session_id, task(f"t{number}"))
        assign = stage.one()
        stage.start(assign)
        stage.finish(assign)
    count = {
        name: sum(len(getattr(changes, name)) for changes in stage.changes)
        for name in ("specs", "tasks", "attempts", "events", "outputs", "removed_events")
    }
    # Submitted and assigned in one commit, started, ended.
    assert count == {"specs": 20, "tasks": 60, "attempts": 20, "events": 0, "outputs": 0, "removed_events": 0}
    assert before > 0


def test_the_story_of_an_ordinary_task_is_read_off_its_rows(stage, task):
    session_id = stage.session()
    worker_id = stage.worker(host="box")
    stage.submit(session_id, task("first"), task("second", needs=("first",)))
    assign = stage.one()
    stage.start(assign, pid=99)
    stage.wait(1.25)
    stage.finish(assign, ended_at_us=stage.now.wall_us)
    first = story(stage, session_id, "first")
    assert [one.message for one in first] == [
        "Submitted as task 1 of its session",
        f"Attempt 1 was given to worker {worker_id} on box",
        "Attempt 1 started as process 99",
        "Attempt 1 succeeded after 1.2 s",
    ]
    revisions = [one.revision for one in first]
    assert revisions == sorted(revisions) and revisions[0] == revisions[1] < revisions[2] < revisions[3]
    assert [one.worker_id for one in first] == ["", worker_id, worker_id, worker_id]
    assert [one.attempt for one in first] == [0, 1, 1, 1]
    second = story(stage, session_id, "second")
    assert second[0].message == "Submitted as task 2 of its session, behind 1 need"
    assert [one.kind for one in second] == ["submitted", "assigned"]


def test_a_failure_with_retries_tells_why_it_is_queued_again(stage, task):
    session_id = stage.session()
    stage.worker()
    stage.submit(session_id, task("t", max_retries=1, backoff_ms=1000))
    stage.finish(stage.one(), Outcome.FAILED, exit_code=3)
    assert stage.take() == []
    stage.wait(2)
    stage.finish(stage.one(), Outcome.FAILED, exit_code=4)
    assert told(stage, session_id, "t") == [
        "submitted", "assigned", "started", "ended", "requeued", "assigned", "started", "ended",
    ]  # fmt: skip
    ends = [one.message for one in story(stage, session_id, "t") if one.kind in ("ended", "requeued")]
    assert ends[0] == "Attempt 1 failed after 0 ms: exit code 3"
    assert ends[1].startswith("Queued again, after a pause of ") and ends[1].endswith(": retry 1 of 1")
    assert ends[2] == "Attempt 2 failed after 0 ms: exit code 4; the task failed (EXIT)"


def test_a_lost_worker_is_told_of_once_in_each_story(stage, task):
    session_id = stage.session()
    lost = stage.worker()
    stage.submit(session_id, task("t", files=("src/",)))
    stage.start(stage.one())
    stage.wait(31)
    stage.wait(11)
    rescuer = stage.worker()
    stage.finish(stage.one())
    assert told(stage, session_id, "t") == [
        "submitted", "assigned", "started", "lost", "requeued", "unlocked", "assigned", "started", "ended",
    ]  # fmt: skip
    said = [one.message for one in story(stage, session_id, "t")]
    silence = "its worker was silent for longer than its lease"
    assert said[3] == f"Attempt 1 on worker {lost} was lost: {silence}"
    assert said[4] == "Queued again, after a pause of 10 s: its worker was lost"
    assert rescuer in said[6]
    mine = [row for row in noted(stage) if row.worker_id == lost]
    assert [row.kind for row in mine] == ["registered", "lost", "requeued", "offline"]
    assert mine[-1].message == "Offline: nothing was heard of it for 30 s"


def test_the_crash_limit_is_told_as_the_end_of_the_task(stage, task):
    session_id = stage.session()
    stage.submit(session_id, task("t"))
    for _ in range(3):
        worker_id = stage.worker(pid=7, host="h")
        stage.start(stage.one())
        stage.do(c.WorkerDied(worker_id, "h", 7, processes_gone=True))
    found = story(stage, session_id, "t")
    assert [one.kind for one in found[-3:]] == ["started", "lost", "ended"]
    assert found[-1].message == "The task failed (CRASH_LIMIT)"


def test_a_worker_that_comes_back_and_goes_has_a_story(stage):
    worker_id = stage.worker(host="box", pid=5, slots=2)
    stage.wait(31)
    stage.do(c.Heartbeat(worker_id, 1))
    stage.do(c.DrainWorker(worker_id, "for the night"))
    stage.do(c.Unregister(worker_id, "drained"))
    assert [(row.kind, row.message) for row in noted(stage)] == [
        ("registered", "Registered on box as process 5 with 2 slots"),
        ("offline", "Offline: nothing was heard of it for 30 s"),
        ("back", "Back: it was offline"),
        ("draining", "Takes no new tasks: for the night"),
        ("gone", "Said goodbye: drained"),
    ]
    assert {row.worker_id for row in noted(stage)} == {worker_id}


def test_a_worker_that_only_reconnects_is_no_news(stage):
    worker_id = stage.worker()
    for _ in range(5):
        stage.do(c.Disconnected(worker_id, stage.core.workers[worker_id].generation))
        stage.do(c.Register(1, worker_id, slots=1, kinds=Kinds(commands=True)))
    assert [row.kind for row in noted(stage)] == ["registered"]


def test_a_worker_that_fails_to_start_tasks_is_told_of(stage, task):
    session_id = stage.session()
    worker_id = stage.worker()
    stage.submit(session_id, task("t"))
    for _ in range(3):
        stage.finish(stage.one(), Outcome.NOT_STARTED, worker_fault=True, started_at_us=0, error="no fork")
    assert messages(stage, "error") == ["3 starts in a row failed: no more tasks until it registers anew"]
    assert messages(stage, "requeued") == [f"Queued again: worker {worker_id} could not start it"] * 3
    assert told(stage, session_id, "t")[:4] == ["submitted", "assigned", "ended", "requeued"]


def test_a_session_tells_its_whole_way(stage, task):
    session_id = stage.session("build")
    stage.do(c.PauseSession(session_id))
    stage.do(c.PauseSession(session_id))
    stage.do(c.UpdateSession(session_id, max_parallel=4, metadata_json='{"a": 1}'))
    stage.do(c.ResumeSession(session_id))
    stage.submit(session_id, task("t"), seal=True)
    stage.do(c.CloseSession(session_id))
    stage.do(c.CancelTask(session_id, "t", "not wanted"))
    assert [(row.kind, row.message) for row in noted(stage) if not row.task_id] == [
        ("created", "Created as 'build'"),
        ("started", "Started"),
        ("paused", "Paused: what runs goes on to its end"),
        ("changed", "Changed: at most 4 tasks at once"),
        ("resumed", "Resumed"),
        ("sealed", "Sealed with 1 task: no more can be added"),
        ("ended", "The session is completed: 0 of 1 task succeeded, 1 cancelled"),
    ]
    assert [one.message for one in story(stage, session_id, "t")] == [
        "Submitted as task 1 of its session",
        "Told to end as cancelled: not wanted",
        "The task was cancelled (not wanted)",
    ]


def test_what_makes_others_be_skipped_is_named_to_them(stage, task):
    session_id = stage.session(failure_action=FailureAction.FINISH_RUNNING)
    stage.worker()
    stage.submit(session_id, task("bad"), task("next", needs=("bad",)), task("other"))
    stage.finish(stage.one(), Outcome.FAILED, exit_code=1)
    assert [one.message for one in story(stage, session_id, "next")] == [
        "Submitted as task 2 of its session, behind 1 need",
        "The task was skipped: it needs bad, which did not succeed",
    ]
    assert story(stage, session_id, "next")[-1].at_us == stage.now.wall_us
    tripped = "Its failure policy ends it: finish-running after 1 failed"
    assert messages(stage, "policy_tripped") == [tripped]
    over = "The session is failed (finish-running after 1 failed): 0 of 3 tasks succeeded, 1 failed, "
    assert messages(stage, "ended") == [over + "1 cancelled, 1 skipped"]


def test_a_cancelled_session_says_why_and_its_running_tasks_that_they_were_told(stage, task):
    session_id = stage.session()
    stage.worker()
    stage.submit(session_id, task("t"), task("u"))
    assign = stage.one()
    stage.start(assign)
    stage.do(c.CancelSession(session_id, "changed my mind"))
    stage.take()
    stage.finish(assign, Outcome.CANCELLED)
    assert messages(stage, "cancel_requested") == [
        "Told to end as cancelled: changed my mind", "Told to end as cancelled: its session ends",
    ]  # fmt: skip
    assert told(stage, session_id, "t") == ["submitted", "assigned", "started", "cancel_requested", "ended"]
    assert told(stage, session_id, "u") == ["submitted", "ended"]


def test_a_retry_tells_how_the_run_before_ended(stage, task):
    session_id = stage.session()
    stage.worker()
    stage.submit(session_id, task("bad"), task("next", needs=("bad",)), seal=True)
    stage.finish(stage.one(), Outcome.FAILED, exit_code=1)
    stored = [
        (spec, row)
        for spec in (row for changes in stage.changes for row in changes.specs)
        for row in [[row for changes in stage.changes for row in changes.tasks if row[:2] == spec[:2]][-1]]
    ]
    stage.do(c.RetryTasks(session_id, tuple(stored)))
    stage.finish(stage.one())
    assert messages(stage, "retried") == [
        "To run again, as run 2: before, the task failed (EXIT)",
        "To run again, as run 2: before, the task was skipped: it needs bad, which did not succeed",
        "Retried: 2 tasks to run again, as run 2",
    ]
    assert told(stage, session_id, "bad") == [
        "submitted", "assigned", "started", "ended", "retried", "assigned", "started", "ended",
    ]  # fmt: skip
    assert told(stage, session_id, "next")[:3] == ["submitted", "retried", "assigned"]


def test_a_task_cancelled_in_the_commit_that_queued_it_again_is_told_to_have_ended(stage, task):
    session_id = stage.session()
    stage.worker()
    stage.submit(session_id, task("t", max_retries=1))
    assign = stage.one()
    finished = c.Finished(stage.worker_of(assign), assign.attempt_id, assign.fence, Outcome.FAILED, 1)
    stage.core.apply(finished, stage.now)
    stage.do(c.CancelTask(session_id, "t"))
    assert told(stage, session_id, "t") == [
        "submitted", "assigned", "cancel_requested", "ended", "requeued", "ended",
    ]  # fmt: skip
    assert story(stage, session_id, "t")[-1].message == "The task was cancelled (CANCELLED)"


def test_pausing_with_now_tells_of_the_stop_and_of_the_way_back(stage, task):
    session_id = stage.session()
    stage.worker()
    stage.submit(session_id, task("t"))
    assign = stage.one()
    stage.start(assign)
    stage.do(c.PauseSession(session_id, now=True))
    stage.take()
    stage.finish(assign, Outcome.REVOKED)
    assert told(stage, session_id, "t")[-3:] == ["stop_requested", "ended", "requeued"]
    assert messages(stage, "stop_requested") == ["Told to end at no cost: its session is paused"]
    assert messages(stage, "requeued") == ["Queued again: it was stopped at no cost"]


def test_a_task_that_goes_to_and_fro_makes_few_rows(stage, task):
    session_id = stage.session()
    worker_id = stage.worker()
    stage.submit(session_id, task("t"))
    for _ in range(100):
        assign = stage.one()
        stage.do(c.PauseSession(session_id))
        stage.take()
        stage.do(c.Revoked(worker_id, assign.attempt_id, assign.fence, started=False))
        stage.do(c.ResumeSession(session_id))
    given = messages(stage, "given_back")
    assert len(given) == 7
    assert given[0] == f"Worker {worker_id} gave attempt 1 back before it started: its session is paused"
    assert "(64 times by now)" in given[-1]
    assert not messages(stage, "requeued")
    stage.restart()
    assert stage.core.tasks[session_id]["t"].given_back == 100
    found = story(stage, session_id, "t")
    assert [one.kind for one in found] == ["submitted", *["given_back"] * 7, "assigned"]


def test_what_is_refused_leaves_no_trace(stage, task):
    session_id = stage.session(start=False)
    before = len(noted(stage))
    for command in (
        c.PauseSession(session_id), c.RetryTasks(session_id, ()), c.CompleteSession(session_id),
        c.SubmitTasks(session_id, (task("t", needs=("no",)),)), c.CancelTask(session_id, "t"),
        c.UpdateSession("0000"), c.DrainWorker("0000"), c.Register(1, session_id="ffff"),
    ):  # fmt: skip
        assert isinstance(stage.try_(command), Refusal), command
    assert len(noted(stage)) == before


def test_old_events_of_workers_are_forgotten_with_the_ended_sessions(stage_with):
    stage = stage_with(retention_ms=3_600_000)
    stage.wait(10_000)
    first = stage.now.us
    stage.worker()
    assert [row for changes in stage.changes for row in changes.removed_events] == [(first - 3_600_000_000,)]
    stage.worker()
    stage.do(c.CreateSession(9, "s"))
    stage.wait(3_000)
    stage.worker()
    assert sum(len(changes.removed_events) for changes in stage.changes) == 1
    stage.wait(700)
    stage.worker()
    swept = [row for changes in stage.changes for row in changes.removed_events]
    assert swept[1:] == [(stage.now.us - 3_600_000_000,)]


def test_events_of_workers_stay_where_sessions_are_kept_for_ever(stage_with):
    stage = stage_with(retention_ms=0)
    stage.worker()
    assert not any(changes.removed_events for changes in stage.changes)


def test_events_are_numbered_within_their_commit_and_long_ones_are_cut(stage):
    stage.do(c.SubmitPlan((), create=c.CreateSession(1, "s" * 5000)))
    created, *rest = noted(stage)
    assert [(row.revision, row.number, row.kind) for row in (created, *rest)] == [
        (1, 1, "created"), (1, 2, "sealed"), (1, 3, "started"), (1, 4, "ended"),
    ]  # fmt: skip
    assert len(created.message) == 1000
    assert rest[-1].message == "The session is completed: it had no tasks"


def test_events_of_a_session_removed_in_the_same_commit_are_not_written(stage):
    session_id = stage.session(start=False)
    stage.core.apply(c.CancelSession(session_id), stage.now)
    stage.do(c.DeleteSessions(session_ids=(session_id,)))
    assert stage.changes[-1].removed_sessions == [session_id]
    assert stage.changes[-1].events == []


def test_a_session_tells_when_it_is_scaled(stage):
    session_id = stage.session()
    stage.do(c.SetPool(session_id, "box", 3))
    stage.do(c.UpdateSession(session_id, wanted_workers=1))
    assert messages(stage, "scaled") == ["Scaled: 3 workers wanted on box"]
    assert messages(stage, "changed") == ["Changed: 1 worker wanted"]


@pytest.mark.parametrize("kind", sorted({*SESSION_KINDS, *TASK_PHASES, *WORKER_KINDS}))
def test_every_kind_is_in_the_table_of_the_protocol(kind):
    page = Path(__file__).parents[2].joinpath("docs", "protocol.md").read_text()
    table = page[page.index("| about | `kind` |") : page.index("A task that is given back again")]
    assert f"`{kind}`" in table


@pytest.mark.parametrize(
    ("span_us", "text"),
    [(0, "0 ms"), (-5, "0 ms"), (999_999, "999 ms"), (1_000_000, "1 s"), (59_940_000, "59.9 s"),
     (60_000_000, "1 min"), (200_000_000, "3 min 20 s"),
     (7_500_000_000, "2 h 5 min"), (3_600_000_000, "1 h")],
)  # fmt: skip
def test_durations_read_well(span_us, text):
    assert duration(span_us) == text
