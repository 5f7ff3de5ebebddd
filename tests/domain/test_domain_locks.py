"""Path locks as a scheduling constraint: who may run beside whom, who waits, who is next."""

from __future__ import annotations

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.model import LockKind, LockMode, Outcome
from buildrunner_coordinator.domain.paths import normalise, parse_request
from buildrunner_coordinator.domain.refusals import Reason, Refusal

SHARED, EXCLUSIVE = LockMode.SHARED, LockMode.EXCLUSIVE


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("src/app.py", "src/app.py", False),
        ("src/app.py", "src/other.py", True),
        ("src/", "src/a.py", False),
        ("src/a.py", "src/", False),
        ("src/app", "src/application.py", True),
        ("src/app", "src/app/deep/x.py", False),
        ("./a", "b/../a", False),
        ("caf\u00e9", "cafe\u0301", False),
        ("src/**/*.py", "src/x/y.txt", True),
        ("src/**/*.py", "docs/x.py", True),
        ("res:db", "res:db", False),
        ("res:db", "db", True),
        ("a:shared", "a:shared", True),
        ("a:shared", "a", False),
        ("./", "anything/at/all", False),
    ],
)
def test_two_tasks_run_together_unless_their_paths_overlap(stage, task, one, other, together):
    session = stage.session()
    stage.worker(slots=2, credit=2)
    stage.submit(session, task("one", files=(one,)), task("other", files=(other,)))
    assert len(stage.assigned()) == (2 if together else 1)


def test_the_next_in_line_gets_the_lock_in_the_same_batch(stage, task):
    session = stage.session()
    stage.worker(slots=4, credit=4)
    stage.submit(session, *(task(one, files=("index.html",)) for one in "abc"))
    order = []
    for _ in range(3):
        assign = stage.one()
        order.append(assign.spec)
        stage.finish(assign)
    assert order == [b"a", b"b", b"c"]


def test_waiting_for_a_lock_takes_no_slot_and_holds_up_nobody(stage, task):
    session = stage.session()
    stage.worker(slots=2, credit=2)
    stage.submit(session, task("a", files=("x",)), task("b", files=("x",)), task("free"))
    assert [one.spec for one in stage.assigned()] == [b"a", b"free"]
    waiting = stage.core.tasks[session]["b"]
    assert waiting.waits_for == ("x",)


def test_a_stream_of_readers_does_not_starve_a_writer(stage, task):
    session = stage.session()
    stage.worker(slots=8, credit=8)
    stage.submit(session, task("r1", files=("x:shared",)))
    reader = stage.one()
    stage.submit(session, task("w", files=("x",)))
    stage.submit(session, task("r2", files=("x:shared",)), task("r3", files=("x:shared",)))
    stage.nothing_is_sent()
    stage.finish(reader)
    writer = stage.one()
    assert writer.spec == b"w"
    stage.finish(writer)
    assert [one.spec for one in stage.assigned()] == [b"r2", b"r3"]


def test_who_cannot_conflict_passes_the_waiters(stage, task):
    session = stage.session()
    stage.worker(slots=4, credit=4)
    stage.submit(session, task("a", files=("x",)), task("b", files=("x", "y")), task("c", files=("z",)))
    assert [one.spec for one in stage.assigned()] == [b"a", b"c"]


def test_several_paths_are_all_or_nothing(stage, task):
    session = stage.session()
    stage.worker(slots=4, credit=4)
    stage.submit(session, task("a", files=("p5",)), task("ten", files=tuple(f"p{i}" for i in range(10))))
    a = stage.one()
    held = [one.path for one in stage.do(c.ListLocks()).locks]
    assert held == ["p5"]
    stage.finish(a)
    assert len(stage.do(c.ListLocks()).locks) == 10


def test_locks_of_a_lost_worker_are_free_after_lease_and_delay_not_before(stage, task):
    session = stage.session()
    stage.worker()
    stage.submit(session, task("a", files=("x",)))
    stage.start(stage.one())
    other = stage.session("other")
    stage.submit(other, task("b", files=("x",), priority=9))
    stage.wait(31)
    spare = stage.worker()
    stage.nothing_is_sent()
    stage.wait(8)
    stage.do(c.Heartbeat(spare, 1))
    stage.nothing_is_sent()
    stage.wait(3)
    assert stage.one().spec == b"b"


def test_locks_of_a_lost_worker_survive_a_restart(stage, task):
    session = stage.session()
    stage.worker()
    stage.submit(session, task("a", files=("x",)))
    stage.start(stage.one())
    stage.wait(31)
    stage.restart()
    assert [one.path for one in stage.do(c.ListLocks()).locks] == ["x"]
    stage.worker()
    stage.wait(11)
    assert stage.one().spec == b"a"


def test_a_paused_session_keeps_nobody_waiting(stage, task):
    first, second = stage.session("first"), stage.session("second")
    stage.worker(slots=4, credit=4)
    stage.submit(first, task("holder", files=("a",)), task("wide", files=("a", "b")))
    stage.start(stage.one())
    stage.submit(second, task("b", files=("b",)))
    stage.nothing_is_sent()
    stage.do(c.PauseSession(first))
    assert stage.one().spec == b"b"


def test_a_waiter_that_no_worker_suits_keeps_nobody_waiting(stage, task):
    session = stage.session()
    worker = stage.worker(slots=4, credit=4)
    stage.submit(
        session, task("holder", files=("a",)), task("odd", files=("a", "b"), wanted_worker_id=worker)
    )
    stage.one()
    stage.worker(slots=4, credit=4)
    stage.do(c.Unregister(worker))
    stage.take()
    stage.submit(session, task("c", files=("b",)))
    assert b"c" in [one.spec for one in stage.assigned()]


def test_a_cancelled_waiter_lets_those_behind_it_pass(stage, task):
    session = stage.session()
    stage.worker(slots=4, credit=4)
    stage.submit(
        session, task("a", files=("x:shared",)), task("w", files=("x",)), task("r", files=("x:shared",))
    )
    stage.one()
    stage.do(c.CancelTask(session, "w"))
    assert stage.one().spec == b"r"


def test_three_hundred_waiters_for_one_file_are_served_in_order(stage, task):
    session = stage.session()
    stage.worker(slots=50, credit=50)
    stage.submit(session, *(task(f"t{i:03}", files=("x",)) for i in range(300)), seal=True)
    order = []
    while stage.session_status(session) == "running":
        assign = stage.one()
        order.append(assign.spec.decode())
        stage.finish(assign, Outcome.SUCCEEDED)
    assert order == sorted(order)
    assert len(order) == 300


@pytest.mark.parametrize("path", ["", "../x", "a/../../x", "/etc/passwd", "a\0b", "x" * 5000, "res:"])
def test_paths_that_are_none_are_refused(path):
    with pytest.raises(Refusal) as refused:
        parse_request(path)
    assert refused.value.reason is Reason.INVALID


def test_paths_are_folded():
    assert [normalise(one) for one in ("a//b/./c/", "x/../y", ".", "./")] == ["a/b/c", "y", "", ""]


def test_kinds_are_told_from_the_text():
    kinds = [parse_request(one).kind for one in ("a", "a/", "a/*.py", "res:db", "./")]
    assert kinds == [LockKind.FILE, LockKind.TREE, LockKind.GLOB, LockKind.RESOURCE, LockKind.TREE]
    assert parse_request("app/[id]/page.tsx", kind="file").kind is LockKind.FILE
