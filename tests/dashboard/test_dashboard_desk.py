"""What is asked for beside the feed, and what is ordered: against a client made of lists."""

from __future__ import annotations

import queue
import time
from types import SimpleNamespace
from typing import Any

import pytest

from buildrunner_parallel.dashboard.desk import MOST_FAILED, MOST_LISTED, Desk, Output
from buildrunner_parallel.dashboard.fold import Board
from buildrunner_parallel.dashboard.lists import Filter
from buildrunner_parallel.dashboard.ui import Action
from buildrunner_parallel.errors import NotFoundError, WrongStateError
from buildrunner_parallel.records import (
    LockHolder,
    LockListing,
    LockWaiter,
    OutputChunk,
    SessionStatus,
    Summary,
    TaskCounts,
    TaskExplanation,
    TaskOutput,
    TaskStatus,
    Wait,
    WaitKind,
    Worker,
)

from . import scenes
from .conftest import at, board, session, task

ME = "a3f2e1d9"


class Coordinator:
    """Answers from lists; `calls` are the names of what it was asked."""

    def __init__(self):
        self.calls = []
        self.tasks = [task("r", "running", revision=9), task("f", "failed", revision=9)]
        self.lock_waiters = 0
        self.pieces = []
        self.full = scenes.full_task(ME, "r")
        self.refusal = None

    def __getattr__(self, name):
        def call(*arguments, **options):
            self.calls.append((name, *arguments, options))
            if self.refusal is not None:
                raise self.refusal
            return getattr(self, f"answer_{name}")(*arguments, **options)

        return call

    def answer_list_sessions(self, limit):
        return [session("0ld00000", status=SessionStatus.COMPLETED)]

    def answer_list_tasks(self, session_id, statuses, limit):
        return [one for one in self.tasks if one.status in statuses]

    def answer_iter_tasks(self, session_id, statuses=()):
        return iter([one for one in self.tasks if not statuses or one.status.value in statuses])

    def answer_list_workers(self):
        return [Worker("w1", revision=5, slots=7)]

    def answer_summary(self):
        return Summary(lock_waiters=self.lock_waiters)

    def answer_list_locks(self):
        return LockListing((), (LockWaiter(LockHolder(ME, "Build", grant_id="g")),))

    def answer_explain_tasks(self, session_id, task_id="", limit=None):
        return [TaskExplanation("q", TaskStatus.QUEUED, (Wait(WaitKind.NO_SLOT),))]

    def answer_get_task(self, session_id, task_id):
        return self.full

    def answer_read_output(self, session_id, task_id, **options):
        return iter([one for one in self.pieces if one.chunk.offset >= options.get("offset", 0)])

    def answer_pause_session(self, session_id):
        return session(status=SessionStatus.PAUSED)

    def answer_resume_session(self, session_id):
        return session()

    def answer_cancel_session(self, session_id, reason):
        return session(cancelling=True)

    def answer_cancel_task(self, session_id, task_id, reason):
        return task(task_id, "cancelling")

    def answer_retry_tasks(self, session_id, task_ids):
        return session(), 3


def piece(offset: int, data: bytes) -> TaskOutput:
    return TaskOutput("r", 2, OutputChunk(offset, data=data))


@pytest.fixture
def coordinator():
    return Coordinator()


@pytest.fixture
def desk(coordinator):
    """A desk whose answers are taken in by `settle`."""
    made = Desk(coordinator, lambda: None)
    yield made
    made.close()


def settle(desk, coordinator, present: Board, until) -> None:
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline, coordinator.calls
        try:
            desk.results.get(timeout=0.05)(present)
        except queue.Empty:
            continue


def test_it_brings_what_the_board_lacks(desk, coordinator):
    present = board(session(), Worker("w1", revision=5))
    present.unread.add(ME)
    desk.look_around(present)
    settle(desk, coordinator, present, lambda: present.explained and (ME, "r") in present.running)
    assert "0ld00000" in present.sessions
    assert present.workers["w1"].slots == 7
    assert [one.task_id for one in present.queue()] == ["q"]
    assert present.unread == set()
    asked = [call[0] for call in coordinator.calls]
    assert "list_locks" not in asked, "nobody waits by hand: nothing is listed"


def over(session_id, failed):
    counts = TaskCounts(failed=failed)
    return session(session_id, status=SessionStatus.FAILED, counts=counts)


def failed(session_id, task_id, ended, **more):
    return task(task_id, "failed", session_id, ended_at=at(ended), **more)


def test_what_failed_in_sessions_that_were_over_before_is_asked_for_once(desk, coordinator):
    past = [over("0ld00001", 1), over("0ld00002", 2), over("0ld00003", 0), session()]
    coordinator.answer_list_sessions = lambda limit: past
    tasks = {"0ld00001": [failed("0ld00001", "late", -5)], "0ld00002": [failed("0ld00002", "early", -50)]}
    coordinator.answer_list_tasks = lambda one, statuses, limit: tasks[one]
    present = board(session())
    for _ in range(3):
        desk.look_around(present)
        settle(desk, coordinator, present, lambda: len(present.failures) == 2)
    assert [key[1] for key in present.failures] == ["early", "late"]
    asked = [call[1] for call in coordinator.calls if call[0] == "list_tasks"]
    assert asked == ["0ld00001", "0ld00002"]


def test_a_snapshot_every_second_looks_back_but_once(coordinator):
    coordinator.answer_list_sessions = lambda limit: [over("0ld00001", 1)]
    coordinator.answer_list_tasks = lambda one, statuses, limit: [failed(one, "t", -5)]
    desk, present = Desk(coordinator, lambda: None, threads=False), board(session())
    for _ in range(3):
        desk.look_at_all(present)
        assert list(present.failures) == [("0ld00001", "t")]
    assert [call[1] for call in coordinator.calls if call[0] == "list_tasks"].count("0ld00001") == 1


def test_no_more_past_failures_are_asked_for_than_are_shown(desk, coordinator):
    coordinator.answer_list_sessions = lambda limit: [over(f"0ld{n:05}", 900) for n in range(20)]
    coordinator.answer_list_tasks = lambda one, statuses, limit: [
        failed(one, f"t{n}", -n) for n in range(limit)
    ]
    present = board(session())
    desk.look_around(present)
    settle(desk, coordinator, present, lambda: present.failures)
    assert [call[1] for call in coordinator.calls if call[0] == "list_tasks"] == ["0ld00000"]
    assert len(present.failures) == MOST_FAILED


def test_a_session_that_is_deleted_while_its_failures_are_asked_for_is_passed_over(desk, coordinator):
    coordinator.answer_list_sessions = lambda limit: [over("0ld00001", 1), over("0ld00002", 1)]

    def listed(one, statuses, limit):
        if one == "0ld00001":
            raise NotFoundError("gone")
        return [failed(one, "t", -5)]

    coordinator.answer_list_tasks = listed
    present = board(session())
    desk.look_around(present)
    settle(desk, coordinator, present, lambda: present.failures)
    assert list(present.failures) == [("0ld00002", "t")]


def test_locks_are_listed_when_somebody_waits_whom_the_feed_does_not_name(desk, coordinator):
    coordinator.lock_waiters = 1
    present = board(session())
    desk.look_around(present)
    settle(desk, coordinator, present, lambda: present.by_hand)
    assert present.by_hand[0].waiter.grant_id == "g"


def test_nothing_is_asked_while_the_coordinator_is_away_or_nothing_is_known(desk, coordinator):
    away = board(session())
    away.lose(1.0)
    desk.look_around(away)
    desk.look_around(Board())
    assert coordinator.calls == []


def test_what_was_asked_a_moment_ago_is_not_asked_again(desk, coordinator):
    present = board(session(), Worker("w1"))
    for _ in range(50):
        desk.look_around(present)
    settle(desk, coordinator, present, lambda: present.explained)
    assert [call[0] for call in coordinator.calls].count("list_workers") == 1


def test_tasks_are_listed_for_a_filter_up_to_a_bound(desk, coordinator):
    coordinator.tasks = [task(f"t{number}", "failed") for number in range(MOST_LISTED + 5)]
    present = board(session())
    desk.list_tasks(ME, Filter("T1", "failed"))
    settle(desk, coordinator, present, lambda: desk.listing)
    assert all("t1" in one.task_id for one in desk.listing.tasks) and desk.listing.whole
    desk.list_tasks(ME, Filter())
    settle(desk, coordinator, present, lambda: desk.listing.filter == Filter())
    assert len(desk.listing.tasks) == MOST_LISTED and not desk.listing.whole


def test_a_task_is_read_with_its_output(desk, coordinator):
    coordinator.pieces = [
        TaskOutput("r", 2, OutputChunk(0, data=b"one\ntw")),
        TaskOutput("r", 2, OutputChunk(6, data=b"o\n")),
    ]
    present = board(session())
    desk.read_task(ME, "r", 0.5)
    settle(desk, coordinator, present, lambda: desk.detail)
    assert desk.detail.task is coordinator.full
    assert desk.detail.lines == ("one", "two")


def test_a_task_that_is_gone_says_so(desk, coordinator):
    coordinator.refusal = NotFoundError("there is no task r", reason="TASK_NOT_FOUND")
    desk.read_task(ME, "r", 0.5)
    settle(desk, coordinator, board(), lambda: desk.detail)
    assert desk.detail.trouble == "there is no task r"


@pytest.mark.parametrize(
    ("action", "told"),
    [
        (Action("pause", ME), "Session a3f2e1d9 is paused"),
        (Action("resume", ME), "Session a3f2e1d9 is running"),
        (Action("cancel", ME), "Session a3f2e1d9 is being cancelled"),
        (Action("cancel", ME, "r"), "Task r is cancelling"),
        (Action("retry", ME), "3 tasks of session a3f2e1d9 will run again"),
    ],
)
def test_an_order_is_carried_out_and_told(desk, action, told):
    desk.carry_out(action)
    assert desk.notices.get(timeout=60) == (told, "ok")


def test_a_refusal_is_one_line(desk, coordinator):
    coordinator.refusal = WrongStateError("the session is\ncompleted")
    desk.carry_out(Action("pause", ME))
    assert desk.notices.get(timeout=60) == ("the session is completed", "bad")


def test_a_fault_of_the_program_is_told_too(desk, coordinator):
    coordinator.refusal = ZeroDivisionError("oh")
    desk.carry_out(Action("pause", ME))
    assert desk.notices.get(timeout=60) == ("Internal error, ZeroDivisionError: oh", "bad")


def test_output_goes_on_where_the_last_reading_ended(coordinator):
    output, client = Output(), coordinator
    client.pieces = [TaskOutput("r", 2, OutputChunk(0, data=b"a\nb"))]
    assert output.read(client, client.full) == ("a", "b")
    client.pieces.append(TaskOutput("r", 2, OutputChunk(103, data=b"c\n", dropped_bytes=100)))
    assert output.read(client, client.full) == ("a", "... 100 bytes are left out here ...", "bc")
    assert client.calls[-1][-1] == {"attempt": 2, "offset": 3}


def test_another_attempt_begins_anew_and_an_ended_one_is_read_no_more(coordinator):
    output, client = Output(), coordinator
    client.pieces = [TaskOutput("r", 2, OutputChunk(0, data=b"a\n"))]
    output.read(client, client.full)
    ended: Any = SimpleNamespace(summary=task("r", "failed", attempt=3))
    client.pieces = [TaskOutput("r", 3, OutputChunk(0, data=b"new\x1b[2J\r99%\n"))]
    assert output.read(client, ended) == ("99%",)
    asked = len(client.calls)
    assert output.read(client, ended) == ("99%",) and output.is_whole
    assert len(client.calls) == asked


def test_output_is_bounded(coordinator):
    output = Output()
    coordinator.pieces = [TaskOutput("r", 2, OutputChunk(0, data=b"x" * 100_000 + b"\n" + b"y\n" * 5_000))]
    lines = output.read(coordinator, coordinator.full)
    assert len(lines) == 2_000
