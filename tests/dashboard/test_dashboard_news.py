"""Which changes of a watched session are told as lines."""

from __future__ import annotations

from buildrunner_parallel.dashboard.news import TaskNews
from buildrunner_parallel.records import EntityKind, LockHolder, Removed, Wait, WaitKind
from buildrunner_parallel.watch import WatchEvent


def test_a_snapshot_in_parts_is_no_news_and_changes_are(make):
    news = TaskNews()
    assert news.take(make.snapshot(make.session(), make.task("a"), revision=0)) == []
    assert news.take(make.snapshot(make.task("b", "running"), reset=False)) == []
    changed = make.task("a", "running", attempt=1)
    assert news.take(make.change(changed)) == [changed]
    assert (news.revision, list(news.sessions)) == (11, ["a3f2e1d9"])


def test_the_same_state_again_is_no_news(make):
    news = TaskNews()
    news.take(make.snapshot(make.task("a", "running", attempt=1)))
    assert news.take(make.change(make.task("a", "running", attempt=1, progress_percent=50))) == []
    again = make.task("a", "running", attempt=2)
    assert news.take(make.change(again)) == [again]


def test_a_wait_is_news_when_it_begins_and_when_its_holder_changes_only(make):
    news = TaskNews()
    news.take(make.snapshot(make.task("w")))

    def waits(task_id, message=""):
        holders = (LockHolder("a3f2e1d9", task_id=task_id),)
        return make.task("w", wait=Wait(WaitKind.LOCKS, message, ("x",), holders))

    assert len(news.take(make.change(waits("a")))) == 1
    assert news.take(make.change(waits("a", "other words"))) == []
    assert len(news.take(make.change(waits("b")))) == 1
    assert news.take(make.change(make.task("w"))) == []


def test_after_a_reset_only_what_differs_is_news(make):
    news = TaskNews()
    news.take(make.snapshot(make.session(), make.task("a", "running"), make.task("b"), make.task("gone")))
    finished = make.task("a", "succeeded")
    told = news.take(make.snapshot(finished, make.task("b"), make.task("new"), revision=50))
    assert told == [finished]
    assert news.sessions == {}


def test_news_of_a_reset_in_several_parts_are_not_lost(make):
    news = TaskNews()
    news.take(make.snapshot(make.task("a", "running"), make.task("b", "running")))
    done = [make.task("a", "succeeded"), make.task("b", "failed")]
    assert news.take(make.snapshot(done[0], revision=0)) == [done[0]]
    assert news.take(make.snapshot(done[1], reset=False, revision=60)) == [done[1]]


def test_it_remembers_only_so_many_tasks(make):
    news = TaskNews(remembered=10)
    for number in range(1000):
        assert len(news.take(make.change(make.task(f"t{number}", "running")))) == 1
    assert len(news._told) == 10
    assert news.take(make.change(make.task("t999", "running"))) == []


def test_a_deleted_session_and_a_lost_connection_are_known(make):
    news = TaskNews()
    news.take(make.snapshot(make.session()))
    assert news.take(WatchEvent(connection="lost")) == []
    news.take(make.change(Removed(EntityKind.SESSION, "a3f2e1d9")))
    assert news.sessions == {}
