"""Snapshot and changes, folded into the board: what is kept, and that it stays small."""

from __future__ import annotations

from dataclasses import replace

from buildrunner_parallel.dashboard.fold import (
    MAX_ENDED,
    MAX_ENDED_SESSIONS,
    MAX_FAILURES,
    MAX_WAITING,
    Board,
    contended,
    wall_time_s,
)
from buildrunner_parallel.records import (
    EntityKind,
    LockConflict,
    LockHolder,
    LockWaiter,
    PathLock,
    Pool,
    Removed,
    SessionStatus,
    TaskCounts,
    TaskExplanation,
    TaskStatus,
    Wait,
    WaitKind,
    Worker,
    WorkerStatus,
)
from buildrunner_parallel.watch import WatchEvent

ME = "a3f2e1d9"


def waiting_for(make, name, paths, *holders):
    return make.task(name, wait=Wait(WaitKind.LOCKS, names=paths, holders=holders))


def test_a_snapshot_in_parts_is_loaded_with_its_last_and_names_what_to_read(make):
    board = Board()
    board.fold(make.snapshot(make.session(), revision=0), 1.0)
    assert not board.loaded
    over = make.session("b2", status=SessionStatus.COMPLETED)
    board.fold(make.snapshot(Worker("w1"), over, reset=False), 2.0)
    assert (board.loaded, board.revision, board.heard_s) == (True, 10, 2.0)
    assert board.unread == {ME}


def test_running_and_waiting_tasks_are_kept_apart_and_leave(make):
    board = make.board(make.session())
    wait = waiting_for(make, "w", ("x",))
    board.fold(make.change(make.task("r", "running"), make.task("c", "cancelling"), wait), 1.0)
    assert [key[1] for key in board.running] == ["r", "c"]
    assert [key[1] for key in board.waiting] == ["w"]
    ended = (make.task("r", "succeeded"), make.task("w", "running"), make.task("c", "cancelled"))
    board.fold(make.change(*ended), 2.0)
    assert [key[1] for key in board.running] == ["w"]
    assert board.waiting == {}
    assert [key[1] for key in board.ended] == ["r", "c"]


def test_a_failure_is_kept_once_until_its_task_runs_again(make):
    board = make.board(make.session())
    for _ in range(2):
        board.fold(make.change(make.task("a", "failed"), make.task("b", "failed")), 1.0)
    assert [key[1] for key in board.failures] == ["a", "b"]
    board.fold(make.change(make.task("a", "queued")), 2.0)
    assert [key[1] for key in board.failures] == ["b"]
    assert (ME, "a") not in board.ended


def test_a_huge_session_takes_no_more_than_what_can_be_shown(make):
    board = make.board(make.session(counts=TaskCounts(queued=300_000)))
    wait = Wait(WaitKind.LOCKS, names=("x",))
    for number in range(6_000):
        name = f"t{number}"
        board.fold(make.change(make.task(name), make.task(f"w{number}", wait=wait)), 1.0)
        board.fold(make.change(make.task(name, "failed"), make.task(f"s{number}", "succeeded")), 1.0)
    assert len(board.failures) == MAX_FAILURES
    assert len(board.ended) == MAX_ENDED
    assert len(board.waiting) == MAX_WAITING
    assert len(board._seen) == 5_000
    assert (ME, "t5999") in board.failures


def test_of_ended_sessions_the_last_stay(make):
    board = make.board(make.session())
    for number in range(MAX_ENDED_SESSIONS + 5):
        ended = make.session(f"e{number:07}", status=SessionStatus.COMPLETED, ended_at=make.at(number))
        board.fold(make.change(ended, make.task("x", "failed", session_id=ended.session_id)), 1.0)
    assert len(board.sessions) == MAX_ENDED_SESSIONS + 1
    assert "e0000000" not in board.sessions and "e0000024" in board.sessions
    assert {key[0] for key in board.failures} <= set(board.sessions)
    assert set(board.paces) == set(board.sessions)


def test_throughput_counts_what_ends_and_not_what_was_over_before(make):
    board = make.board(make.session(counts=TaskCounts(succeeded=500)), now_s=100.0)
    board.fold(make.change(make.session(counts=TaskCounts(succeeded=520))), 101.0)
    assert board.throughput.rate(101.0) == 2.0
    # A retry takes ended tasks back: that is no work undone.
    board.fold(make.change(make.session(counts=TaskCounts(succeeded=510))), 102.0)
    assert board.throughput.rate(102.0) == 2.0
    # Nor is a cancel of all that waits much work done.
    board.fold(make.change(make.session(counts=TaskCounts(succeeded=511, cancelled=9_000))), 103.0)
    assert board.throughput.rate(103.0) == 2.1


def test_what_is_removed_is_gone(make):
    lock = PathLock("l1", path="x")
    board = make.board(make.session(), Worker("w1"), lock, Pool())
    board.fold(make.change(make.task("a", "running"), make.task("f", "failed")), 1.0)
    board.fold(
        make.change(
            Removed(EntityKind.TASK, "a", ME),
            Removed(EntityKind.WORKER, "w1"),
            Removed(EntityKind.LOCK, "l1"),
            Removed(EntityKind.SESSION, ME),
        ),
        2.0,
    )
    assert not (board.running or board.failures or board.workers or board.locks or board.sessions)


def test_a_coordinator_that_goes_and_comes_back_is_known_with_the_time(make):
    board = make.board(make.session(), now_s=5.0)
    board.fold(WatchEvent(connection="lost"), 7.0)
    board.fold(WatchEvent(connection="lost"), 9.0)
    assert (board.connected, board.lost_s) == (False, 7.0)
    assert ME in board.sessions
    board.fold(WatchEvent(connection="back"), 9.5)
    assert (board.connected, board.lost_s) == (True, None)
    board.fold(WatchEvent(closing=True), 10.0)
    board.lose(11.0)
    assert (board.closing, board.connected, board.lost_s) == (True, False, 11.0)


def test_a_fresh_snapshot_forgets_and_asks_again(make):
    board = make.board(make.session(), Worker("w1"), PathLock("l1", path="x"))
    board.fold(make.change(make.task("a", "running")), 1.0)
    board.fold(make.snapshot(make.session(name="Other")), 2.0)
    assert not (board.running or board.workers or board.locks)
    assert board.unread == {ME}


def test_tasks_that_were_asked_for_do_not_undo_what_the_feed_told(make):
    board = make.board(make.session())
    board.unread.add(ME)
    board.fold(make.change(make.task("a", "succeeded", revision=30)), 1.0)
    older = make.task("a", "running", revision=29)
    board.take_tasks(ME, [older, make.task("b", "running", revision=28)])
    assert [key[1] for key in board.running] == ["b"]
    assert board.unread == set()
    board.take_tasks("gone0000", [make.task("c", "running", session_id="gone0000")])
    assert len(board.running) == 1


def test_past_failures_stand_behind_newer_ones_and_push_none_of_them_out(make):
    board = make.board(make.session(), make.session("0ld00001"))
    for n in range(MAX_FAILURES):
        board.fold(make.change(make.task(f"new{n}", "failed", ended_at=make.at(-10))), 1.0)
    past = [make.task(f"old{n}", "failed", "0ld00001", ended_at=make.at(-90)) for n in range(50)]
    board.take_tasks("0ld00001", past)
    assert {key[1][:3] for key in board.failures} == {"new"}
    board.take_failures([make.task("between", "failed", "0ld00001", ended_at=make.at(-5))])
    assert list(board.failures)[-1] == ("0ld00001", "between")
    assert len(board.failures) == MAX_FAILURES


def test_a_past_failure_that_ran_again_since_is_none(make):
    board = make.board(make.session())
    board.fold(make.change(make.task("a", "running", revision=30)), 1.0)
    board.take_failures([make.task("a", "failed", revision=9, ended_at=make.at(-5))])
    assert not board.failures
    board.take_failures([make.task("b", "failed", "gone0000", revision=9, ended_at=make.at(-5))])
    assert not board.failures


def test_a_task_that_is_told_to_run_again_is_no_failure_any_more(make):
    board = make.board(make.session())
    board.fold(make.change(make.task("a", "failed", revision=3, ended_at=make.at(-5))), 1.0)
    board.take_tasks(ME, [make.task("a", "running", revision=4)])
    assert not board.failures


def test_workers_that_were_asked_for_bring_heartbeats_and_nothing_older(make):
    board = make.board(Worker("w1", WorkerStatus.BUSY, revision=5), Worker("w2", revision=5))
    fresh = Worker("w2", revision=5, last_heartbeat_at=make.at(-1))
    board.take_workers([Worker("w1", WorkerStatus.IDLE, revision=4), fresh, Worker("gone")])
    assert board.workers["w1"].status == WorkerStatus.BUSY
    assert board.workers["w2"].last_heartbeat_at == make.at(-1)
    assert set(board.workers) == {"w1", "w2"}


def test_the_queue_has_lock_waiters_first_then_others_with_their_reasons(make):
    board = make.board(make.session())
    board.fold(make.change(waiting_for(make, "w", ("x",)), make.task("r", "running")), 1.0)
    needs, slot = Wait(WaitKind.NEEDS, names=("a",)), Wait(WaitKind.NO_SLOT)
    board.take_explained(
        ME,
        [
            TaskExplanation("r", TaskStatus.QUEUED, (slot,)),
            TaskExplanation("runs", TaskStatus.RUNNING, ()),
            TaskExplanation("n", TaskStatus.BLOCKED, (needs, slot)),
            TaskExplanation("l", TaskStatus.QUEUED, (Wait(WaitKind.LOCKS, names=("y",)),)),
        ],
    )
    assert [(one.task_id, one.wait and one.wait.kind.value) for one in board.queue()] == [
        ("w", "locks"), ("l", "locks"), ("n", "needs"),
    ]  # fmt: skip
    assert board.queue("other") == []
    board.fold(make.change(make.task("n", "succeeded"), make.task("l", "running")), 2.0)
    assert [one.task_id for one in board.queue()] == ["w"]


def test_reasons_that_are_older_than_the_feed_do_not_bring_a_wait_back(make):
    board = make.board(make.session())
    board.fold(make.change(make.task("l", "assigned", revision=20)), 1.0)
    board.take_explained(ME, [TaskExplanation("l", TaskStatus.QUEUED, (Wait(WaitKind.LOCKS, names=("y",)),))])
    assert board.waiting == {}


def test_wall_time_ends_with_the_session(make):
    assert wall_time_s(make.session(), make.now) == 60
    assert wall_time_s(make.session(ended_at=make.at(-20)), make.now) == 40


def test_what_is_waited_for_has_its_queue_in_order_and_the_holders_of_that_path_alone(make):
    one, two, third = (LockHolder("s", "S", task_id=name) for name in ("one", "two", "third"))
    board = make.board(
        make.session(),
        PathLock("l1", path="src/", holder=one, acquired_at=make.at(-5)),
        PathLock("l2", path="lib/", holder=two, acquired_at=make.at(-9)),
        PathLock("l3", path="lib/", holder=LockHolder("s", "S", task_id="reads too")),
    )
    board.fold(
        make.change(
            waiting_for(make, "a", ("lib/",), two),
            waiting_for(make, "b", ("src/", "lib/"), one, two),
            waiting_for(make, "c", ("src/", "lib/", "docs/"), one, two, third),
        ),
        1.0,
    )
    found = contended(board)
    assert [(one.path, [who.task_id for who in one.waiters]) for one in found] == [
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


def test_those_who_wait_by_hand_stand_in_the_queue_too(make):
    holder = LockHolder("s", "S", grant_id="g1")
    board = make.board(make.session(), PathLock("l1", path="src/", holder=holder, acquired_at=make.at(-5)))
    me = LockHolder(ME, "Build", grant_id="g2")
    conflict = LockConflict("src/app.py", "src/", holder=holder)
    behind = replace(conflict, held_path="other", queue_position=1)
    task = LockWaiter(LockHolder(ME, "Build", task_id="t"), conflicts=(conflict,))
    board.take_lock_waiters([LockWaiter(me, conflicts=(conflict, behind)), task], make.now)
    (found,) = contended(board)
    assert (found.path, found.waiters, found.holders, found.since) == (
        "src/", (me,), (holder,), make.at(-5),
    )  # fmt: skip


def test_nothing_is_contended_where_nobody_waits(make):
    assert contended(make.board(make.session(), PathLock("l1", path="src/"))) == []


def test_sessions_that_ended_before_are_taken_in_and_known_ones_left_alone(make):
    board = make.board(make.session(name="Newer"))
    old = make.session("0ld00000", status=SessionStatus.FAILED, ended_at=make.at(-99))
    board.take_sessions([make.session(name="Older"), old], 1.0)
    assert board.sessions[ME].name == "Newer"
    assert board.sessions["0ld00000"].status == SessionStatus.FAILED
