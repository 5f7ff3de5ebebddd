"""Snapshot and changes, folded into the model."""

from __future__ import annotations

from buildrunner_parallel.dashboard.fold import MAX_RECENT_FAILURES, Model, wall_time_s
from buildrunner_parallel.records import (
    EntityKind,
    LockHolder,
    PathLock,
    Pool,
    Removed,
    TaskStatus,
    Wait,
    WaitKind,
    Worker,
)
from buildrunner_parallel.watch import WatchEvent


def test_a_snapshot_in_parts_is_no_news_and_changes_are(make):
    model = Model()
    assert model.fold(make.snapshot(make.session(), make.task("a"), revision=0)) == []
    assert model.fold(make.snapshot(make.task("b", "running"), reset=False)) == []
    assert (model.revision, set(model.tasks)) == (10, {("a3f2e1d9", "a"), ("a3f2e1d9", "b")})
    changed = make.task("a", "running", attempt=1)
    assert model.fold(make.change(changed)) == [changed]
    assert model.revision == 11


def test_the_same_state_again_is_no_news(make):
    model = Model()
    model.fold(make.snapshot(make.task("a", "running", attempt=1)))
    assert model.fold(make.change(make.task("a", "running", attempt=1, progress_percent=50))) == []
    again = make.task("a", "running", attempt=2)
    assert model.fold(make.change(again)) == [again]


def test_running_and_waiting_tasks_are_kept_apart_and_leave(make):
    model = Model()
    waiting = make.task("w", wait=Wait(WaitKind.LOCKS, names=("x",)))
    model.fold(make.snapshot(make.task("r", "running"), make.task("c", "cancelling"), waiting))
    assert [key[1] for key in model.running] == ["r", "c"]
    assert [key[1] for key in model.waiting] == ["w"]
    model.fold(
        make.change(make.task("r", "succeeded"), make.task("w", "running"), make.task("c", "cancelled"))
    )
    assert [key[1] for key in model.running] == ["w"]
    assert model.waiting == {}


def test_a_wait_is_news_when_it_begins_and_when_its_holder_changes_only(make):
    model = Model()
    model.fold(make.snapshot(make.task("w")))

    def waits(task_id, message=""):
        holders = (LockHolder("a3f2e1d9", task_id=task_id),)
        return make.task("w", wait=Wait(WaitKind.LOCKS, message, ("x",), holders))

    assert len(model.fold(make.change(waits("a")))) == 1
    assert model.fold(make.change(waits("a", "other words"))) == []
    assert len(model.fold(make.change(waits("b")))) == 1


def test_failures_are_kept_once_and_only_the_latest(make):
    model = Model()
    model.fold(make.snapshot())
    for number in range(MAX_RECENT_FAILURES + 5):
        failed = make.task(f"t{number}", "failed")
        model.fold(make.change(failed))
        model.fold(make.change(failed))
    assert len(model.failures) == MAX_RECENT_FAILURES
    assert model.failures[-1].task_id == f"t{MAX_RECENT_FAILURES + 4}"


def test_times_of_all_attempts_add_up(make):
    model = Model()
    model.fold(make.snapshot(make.task("a")))
    for number, (begin, end) in enumerate([(-50, -40), (-30, -25)], 1):
        model.fold(make.change(make.task("a", "running", attempt=number, started_at=make.at(begin))))
        ended = make.task("a", "failed", attempt=number, started_at=make.at(begin), ended_at=make.at(end))
        model.fold(make.change(ended))
        model.fold(make.change(ended))
    assert sum(model.attempt_times_s.values()) == 15.0


def test_after_a_reset_only_what_differs_is_news(make):
    model = Model()
    model.fold(make.snapshot(make.session(), make.task("a", "running"), make.task("b"), make.task("gone")))
    finished = make.task("a", "succeeded")
    news = model.fold(make.snapshot(finished, make.task("b"), make.task("new"), revision=50))
    assert news == [finished]
    assert {key[1] for key in model.tasks} == {"a", "b", "new"}
    assert model.running == {}


def test_news_of_a_reset_in_several_parts_are_not_lost(make):
    model = Model()
    model.fold(make.snapshot(make.task("a", "running"), make.task("b", "running")))
    done = [make.task("a", "succeeded"), make.task("b", "failed")]
    assert model.fold(make.snapshot(done[0], revision=0)) == [done[0]]
    assert model.fold(make.snapshot(done[1], reset=False, revision=60)) == [done[1]]


def test_what_is_removed_is_gone(make):
    model = Model()
    lock = PathLock("l1", path="x")
    model.fold(make.snapshot(make.session(), make.task("a", "running"), Worker("w1"), lock, Pool()))
    model.fold(
        make.change(
            Removed(EntityKind.TASK, "a", "a3f2e1d9"),
            Removed(EntityKind.WORKER, "w1"),
            Removed(EntityKind.LOCK, "l1"),
            Removed(EntityKind.SESSION, "a3f2e1d9"),
        )
    )
    assert not (model.tasks or model.running or model.workers or model.locks or model.sessions)


def test_a_coordinator_that_goes_and_comes_back_is_known(make):
    model = Model()
    model.fold(make.snapshot())
    model.fold(WatchEvent(connection="lost"))
    assert not model.connected
    model.fold(WatchEvent(connection="back"))
    assert model.connected
    assert model.revision == 10


def test_tasks_that_were_read_apart_are_no_news_but_count(make):
    model = Model()
    model.add_tasks([make.task("a", "failed", attempt=1, started_at=make.at(-5), ended_at=make.at(0))])
    assert model.tasks["a3f2e1d9", "a"].status == TaskStatus.FAILED
    assert model.attempt_times_s == {(("a3f2e1d9", "a"), 1): 5.0}


def test_wall_time_ends_with_the_session(make):
    assert wall_time_s(make.session(), make.now) == 60
    assert wall_time_s(make.session(ended_at=make.at(-20)), make.now) == 40


def waiting_for(make, name, paths, *holders):
    return make.task(name, wait=Wait(WaitKind.LOCKS, names=paths, holders=holders))


def test_what_is_waited_for_has_its_queue_in_order_and_the_holders_of_that_path_alone(make):
    one, two, third = (LockHolder("s", "S", task_id=name) for name in ("one", "two", "third"))
    model = Model()
    model.fold(
        make.snapshot(
            make.session(),
            waiting_for(make, "a", ("lib/",), two),
            waiting_for(make, "b", ("src/", "lib/"), one, two),
            waiting_for(make, "c", ("src/", "lib/", "docs/"), one, two, third),
            PathLock("l1", path="src/", holder=one, acquired_at=make.at(-5)),
            PathLock("l2", path="lib/", holder=two, acquired_at=make.at(-9)),
            PathLock("l3", path="lib/", holder=LockHolder("s", "S", task_id="reads too")),
        )
    )
    found = model.contended()
    assert [(one.path, [task.task_id for task in one.waiters]) for one in found] == [
        ("lib/", ["a", "b", "c"]),
        ("src/", ["b", "c"]),
        ("docs/", ["c"]),
    ]
    assert [(one.holders, one.since) for one in found[:2]] == [
        ((two,), make.at(-9)),
        ((one,), make.at(-5)),
    ]
    # Of a lock that the feed does not tell of nobody can say whose it is among several.
    assert (found[2].holders, found[2].since) == ((one, two, third), None)


def test_nothing_is_contended_where_nobody_waits(make):
    model = Model()
    model.fold(make.snapshot(make.session(), PathLock("l1", path="src/")))
    assert model.contended() == []
