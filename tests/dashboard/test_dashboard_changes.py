"""The change feed as news: what is one, what is not, and what is told after a break."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buildrunner_parallel.dashboard.changes import NewsDesk
from buildrunner_parallel.records import (
    EntityKind,
    LockHolder,
    LockMode,
    PathLock,
    Pool,
    Removed,
    SessionStatus,
    TaskCounts,
    Wait,
    WaitKind,
    Worker,
    WorkerStatus,
)
from buildrunner_parallel.watch import WatchEvent


@pytest.fixture
def tell(make):
    """Gives events to one desk; returns `kind name before after` of each news."""
    desk = NewsDesk()

    def take(event):
        return [" ".join((n.kind, n.name, n.before or "-", n.after)) for n in desk.take(event, make.now)]

    return take


def test_the_first_snapshot_is_no_news(tell, make):
    assert tell(make.snapshot(make.session(), make.task("unit"), revision=0)) == []
    assert tell(make.snapshot(make.task("docs"), reset=False)) == []
    assert tell(make.change(make.task("unit", "running", attempt=1))) == ["task a3f2e1d9/unit queued running"]


def test_a_task_is_news_when_its_status_attempt_or_wait_changes(tell, make):
    wait = Wait(WaitKind.LOCKS, names=("a.txt",), holders=(LockHolder("s", "S", "t"),))
    tell(make.change(make.task("unit", "running", attempt=1)))
    assert tell(make.change(make.task("unit", "running", attempt=1, progress_percent=50.0))) == []
    assert tell(make.change(make.task("unit", "running", attempt=2))) == [
        "task a3f2e1d9/unit running running"
    ]
    tell(make.change(make.task("docs")))
    assert tell(make.change(make.task("docs", wait=wait))) == ["task a3f2e1d9/docs queued waiting"]


def test_counts_that_change_are_no_news_of_a_session(tell, make):
    tell(make.change(make.session(open=True)))
    assert tell(make.change(make.session(open=True, counts=TaskCounts(succeeded=6)))) == []
    assert tell(make.change(make.session(open=False))) == ["session a3f2e1d9 running running"]
    assert tell(make.change(make.session(cancelling=True))) == ["session a3f2e1d9 running cancelling"]
    over = make.session(status=SessionStatus.CANCELLED, cancelling=True)
    assert tell(make.change(over)) == ["session a3f2e1d9 cancelling cancelled"]


def test_a_worker_that_turns_busy_and_idle_is_no_news(tell, make):
    worker = Worker("d4e5", host="box", pid=7)
    assert tell(make.change(worker)) == ["worker d4e5 - up"]
    assert tell(make.change(replace(worker, status=WorkerStatus.BUSY))) == []
    assert tell(make.change(replace(worker, draining=True))) == ["worker d4e5 up draining"]
    offline = replace(worker, draining=True, status=WorkerStatus.OFFLINE)
    assert tell(make.change(offline)) == ["worker d4e5 draining offline"]
    assert tell(make.change(Removed(EntityKind.WORKER, "d4e5"))) == ["worker d4e5 offline gone"]


def test_a_lock_is_named_by_its_path_also_when_it_goes(tell, make):
    lock = PathLock("11", path="src/a.py", mode=LockMode.SHARED, holder=LockHolder("s", "S"))
    assert tell(make.change(lock)) == ["lock src/a.py - held"]
    assert tell(make.change(replace(lock, freed_at=make.now))) == ["lock src/a.py held lapsing"]
    assert tell(make.change(Removed(EntityKind.LOCK, "11", "s"))) == ["lock src/a.py lapsing released"]


def test_a_pool_is_told_by_its_wanted_number(tell, make):
    assert tell(make.change(Pool(wanted=2))) == ["pool all sessions - 2 wanted"]
    assert tell(make.change(Pool(wanted=4))) == ["pool all sessions 2 wanted 4 wanted"]
    assert tell(make.change(Pool("s", wanted=1))) == ["pool s - 1 wanted"]
    assert tell(make.change(Removed(EntityKind.POOL, "", "s"))) == ["pool s 1 wanted gone"]


def test_a_later_snapshot_tells_what_differs_and_what_is_gone(tell, make):
    tell(make.snapshot(make.session(), make.task("unit", "running"), Worker("d4e5"), Worker("e5f6")))
    assert tell(WatchEvent(connection="lost")) == []
    assert tell(make.snapshot(make.session(), revision=0)) == []
    assert tell(make.snapshot(make.task("unit", "failed"), Worker("d4e5"), reset=False)) == [
        "task a3f2e1d9/unit running failed",
        "worker e5f6 up gone",
    ]


def test_a_task_that_is_over_is_forgotten_unless_snapshots_tell_of_it_again(make):
    ended = make.change(make.task("unit", "succeeded", attempt=1))
    again = make.snapshot(make.task("unit", "succeeded", attempt=1))
    forgetful, keeping = NewsDesk(), NewsDesk(keep_ended=True)
    for desk in (forgetful, keeping):
        desk.take(make.snapshot(), make.now)
        desk.take(ended, make.now)
    assert len(forgetful.take(again, make.now)) == 1
    assert keeping.take(again, make.now) == []


def test_the_end_of_a_session_is_told_with_its_counts_and_time(make):
    over = make.session(
        status=SessionStatus.FAILED, counts=TaskCounts(succeeded=3, failed=1), ended_at=make.at(-10)
    )
    (news,) = NewsDesk().take(make.change(over), make.now)
    assert news.details == "Build, 3 succeeded, 1 failed in 50s"


def test_a_removed_session_takes_its_tasks_along(tell, make):
    tell(make.snapshot(make.session(), make.task("unit")))
    assert tell(make.change(Removed(EntityKind.SESSION, "a3f2e1d9"))) == ["session a3f2e1d9 running gone"]
    assert tell(make.change(make.task("unit"))) == ["task a3f2e1d9/unit - queued"]
