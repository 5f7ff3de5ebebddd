"""The end of a session as data."""

from __future__ import annotations

from buildrunner_parallel.dashboard.fold import Model
from buildrunner_parallel.dashboard.summary import example_task, summarize
from buildrunner_parallel.records import SessionStatus, TaskCounts


def test_tasks_stand_in_the_order_of_their_ends_with_their_times(make):
    model = Model()
    session = make.session(
        status=SessionStatus.FAILED,
        ended_at=make.at(0),
        counts=TaskCounts(succeeded=2, failed=1, skipped=1),
        reason="why",
    )
    model.fold(make.snapshot(
        session,
        make.task("late", "succeeded", attempt=1, started_at=make.at(-50), ended_at=make.at(-1)),
        make.task("early", "failed", attempt=1, started_at=make.at(-60), ended_at=make.at(-30)),
        make.task("never", "skipped"),
    ))  # fmt: skip
    summary = summarize(model, session, make.now)
    assert [(line.task.task_id, line.seconds) for line in summary.lines] == [
        ("early", 30.0), ("late", 49.0), ("never", 0.0),
    ]  # fmt: skip
    assert (summary.wall_s, summary.task_s) == (60.0, 79.0)
    assert summary.headline == "Session a3f2e1d9 (Build) failed: 2 succeeded, 1 failed, 1 skipped (why)"
    assert summary.times == "Wall time 1m00s, sum of task times 1m19s (1.3 at a time)"
    assert [task.task_id for task in summary.failed] == ["early"]


def test_the_example_is_what_one_would_look_at_next(make):
    model = Model()
    ended = {"started_at": make.at(-9), "ended_at": make.at(0), "attempt": 1}
    model.fold(
        make.snapshot(make.task("short", "succeeded", attempt=1), make.task("long", "succeeded", **ended))
    )
    lines = summarize(model, make.session(), make.now).lines
    example = example_task(lines)
    assert example and example.task_id == "long"
    model.fold(make.change(make.task("bad", "failed", attempt=1)))
    example = example_task(summarize(model, make.session(), make.now).lines)
    assert example and example.task_id == "bad"
    assert example_task(()) is None
