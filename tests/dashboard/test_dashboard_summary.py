"""The end of a session as data."""

from __future__ import annotations

from buildrunner_parallel.dashboard.summary import example_task, summarize
from buildrunner_parallel.records import Attempt, EndedAttempt, SessionStatus, TaskCounts


def test_tasks_stand_in_the_order_of_their_ends_with_the_times_of_all_attempts(make):
    session = make.session(
        status=SessionStatus.FAILED,
        ended_at=make.at(0),
        counts=TaskCounts(succeeded=2, failed=1, skipped=1),
        reason="why",
    )
    tasks = [
        make.task("late", "succeeded", attempt=2, started_at=make.at(-50), ended_at=make.at(-1)),
        make.task("early", "failed", attempt=1, started_at=make.at(-60), ended_at=make.at(-30)),
        make.task("never", "skipped"),
    ]
    attempts = [
        EndedAttempt(name, attempt=Attempt("x", number, started_at=make.at(begin), ended_at=make.at(end)))
        for name, number, begin, end in (("late", 1, -58, -52), ("early", 1, -60, -30), ("late", 2, -50, -1))
    ]
    summary = summarize(session, tasks, [*attempts, EndedAttempt("never")], make.now)
    assert [(line.task.task_id, line.seconds) for line in summary.lines] == [
        ("early", 30.0), ("late", 55.0), ("never", 0.0),
    ]  # fmt: skip
    assert (summary.wall_s, summary.task_s) == (60.0, 85.0)
    assert summary.headline == "Session a3f2e1d9 (Build) failed: 2 succeeded, 1 failed, 1 skipped (why)"
    assert summary.times == "Wall time 1m00s, sum of task times 1m25s (1.4 at a time)"
    assert [task.task_id for task in summary.failed] == ["early"]


def test_where_nobody_read_the_attempts_there_is_no_sum(make):
    session = make.session(status=SessionStatus.FAILED, ended_at=make.at(0))
    tasks = [make.task("a", "failed", attempt=3, started_at=make.at(-9), ended_at=make.at(-1))]
    summary = summarize(session, tasks, None, make.now)
    assert [line.seconds for line in summary.lines] == [8.0]
    assert summary.times == "Wall time 1m00s"


def test_the_example_is_what_one_would_look_at_next(make):
    ended = {"started_at": make.at(-9), "ended_at": make.at(0), "attempt": 1}
    tasks = [make.task("short", "succeeded", attempt=1), make.task("long", "succeeded", **ended)]
    example = example_task(summarize(make.session(), tasks, None, make.now).lines)
    assert example and example.task_id == "long"
    tasks.append(make.task("bad", "failed", attempt=1))
    example = example_task(summarize(make.session(), tasks, None, make.now).lines)
    assert example and example.task_id == "bad"
    assert example_task(()) is None
