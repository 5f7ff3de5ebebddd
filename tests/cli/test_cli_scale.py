"""scale and drain against a coordinator made of lists: what is asked for, said, and waited for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buildrunner_parallel.cli import pool_waiting
from buildrunner_parallel.keeper.plan import KEPT
from buildrunner_parallel.records import Pool, Session, TaskRef, Worker, WorkerStatus

BUSY = (TaskRef("a3f2e1d9", "docs", 1), TaskRef("a3f2e1d9", "unit", 1))


@pytest.fixture
def town(fake, monkeypatch):
    """Two workers of the pool, one of them busy, and one started by hand."""
    fake.sessions = [Session("a3f2e1d9", "Build")]
    fake.workers = [
        Worker("d4e5f6a7", metadata=KEPT, host="box"),
        Worker("e5f6a7b8", WorkerStatus.BUSY, metadata=KEPT, tasks=BUSY, host="box"),
        Worker("f6a7b8c9", metadata={"mine": True}, host="box"),
    ]
    fake.pools = [Pool("", "", 2, 3, ("gpu",), ("jobs",))]
    monkeypatch.setattr(pool_waiting, "_POLL_S", 0.0)
    return fake


def asked(town):
    return [call for call in town.calls if call[0] == "set_pool"]


def test_what_is_not_said_stays_as_it_was(town, br):
    result = br("scale", "4")
    options = {"slots": 3, "labels": ["gpu"], "handler_modules": ["jobs"]}
    assert asked(town) == [("set_pool", 4, options)]
    assert result.stdout == "4 workers wanted for all sessions: 2 up, 2 starting\n"


def test_what_is_said_replaces_it_and_an_empty_word_takes_it_away(town, br):
    br("scale", "2", "--slots", "1", "--label", "a", "--label", "b", "--handlers", "")
    assert asked(town) == [("set_pool", 2, {"slots": 1, "labels": ["a", "b"]})]


def test_a_session_has_a_pool_of_its_own(town, br):
    result = br("scale", "1", "--session", "a3f2")
    assert asked(town) == [("set_pool", 1, {"session_id": "a3f2e1d9", "slots": 1})]
    assert result.stdout == "1 worker wanted for session a3f2e1d9: 0 up, 1 starting\n"


def test_a_smaller_pool_says_that_busy_ones_finish(town, br):
    assert br("scale", "0").stdout == (
        "0 workers wanted for all sessions: 0 up, 2 leaving, busy ones once they are done\n"
    )


def test_workers_started_by_hand_are_not_counted(town, br_json):
    document = br_json("scale", "2")
    assert document["pool"]["wanted"] == 2
    assert [worker["worker_id"] for worker in document["workers"]] == ["d4e5f6a7", "e5f6a7b8"]


def test_waiting_ends_when_they_are_there(town, br, monkeypatch):
    looks = []

    def one_more(self, **_):
        looks.append(1)
        return self.workers + [Worker("aa00aa00", metadata=KEPT)] * (len(looks) > 2)

    monkeypatch.setattr(type(town), "list_workers", one_more)
    assert br("scale", "3", "--wait").stdout == "3 workers wanted for all sessions: 3 up\n"
    assert len(looks) == 3


def test_waiting_too_long_is_124_and_says_how_far_it_came(town, br):
    result = br("scale", "3", "--wait", "--timeout", "0")
    assert result.exit_code == 124
    assert result.stderr.splitlines()[-1] == ("2 of 3 workers are up; the order stands")


def test_a_drained_worker_says_what_it_still_does_and_that_another_comes(town, br):
    result = br("drain", "e5f6")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "Worker e5f6a7b8 finishes 2 tasks, then leaves",
        "2 workers stay wanted for all sessions: another takes its place.",
        "For fewer: br parallel scale 1",
    ]


def test_the_only_worker_of_a_pool_stays_wanted_in_the_singular(town, br):
    town.pools = [replace(town.pools[0], wanted=1)]
    assert "1 worker stays wanted for all sessions: another takes its place.\n" in br("drain", "e5f6").stdout


def test_one_started_by_hand_is_not_replaced(town, br):
    assert br("drain", "f6a7").stdout == "Worker f6a7b8c9 leaves\n"


def test_draining_is_for_several_and_for_all(town, br):
    br("drain", "d4e5", "f6a7", "d4e5f6")
    assert [call[1] for call in town.calls if call[0] == "drain_worker"] == ["d4e5f6a7", "f6a7b8c9"]
    town.calls.clear()
    br("drain", "--all")
    assert len([call for call in town.calls if call[0] == "drain_worker"]) == 3


def test_a_mistyped_worker_changes_nothing(town, br):
    result = br("drain", "d4e5", "0000")
    assert result.exit_code == 4
    assert not [call for call in town.calls if call[0] == "drain_worker"]


def test_draining_twice_and_draining_the_absent_say_so(town, br):
    town.workers[0] = replace(town.workers[0], draining=True)
    town.workers[2] = replace(town.workers[2], status=WorkerStatus.OFFLINE)
    lines = br("drain", "d4e5", "f6a7").stdout.splitlines()
    assert lines[:2] == [
        "Worker d4e5f6a7 is draining already: it leaves",
        "Worker f6a7b8c9 is offline: it gets nothing more, should it come back",
    ]


def test_nobody_to_drain_is_not_an_error(fake, br):
    result = br("drain", "--all")
    assert (result.exit_code, result.stdout) == (0, "Nothing to do: no workers\n")


def test_waiting_for_a_drained_worker_ends_when_it_has_left(town, br, monkeypatch):
    drain = type(town).drain_worker

    def leave(self, worker_id, **options):
        gone = drain(self, worker_id, **options)
        self.workers = [worker for worker in self.workers if worker.worker_id != gone.worker_id]
        return gone

    monkeypatch.setattr(type(town), "drain_worker", leave)
    assert br("drain", "f6a7", "--wait").stdout == "Worker f6a7b8c9 has left\n"


def test_a_drain_that_takes_too_long_is_124(town, br):
    result = br("drain", "e5f6", "--wait", "--timeout", "0")
    assert (result.exit_code, result.stderr) == (124, "e5f6a7b8 still at work; the order stands\n")


@pytest.mark.parametrize(
    "arguments",
    [["scale"], ["scale", "-1"], ["scale", "many"], ["scale", "1", "--timeout", "3s"],
     ["scale", "1", "--slots", "0"], ["drain"], ["drain", "d4e5", "--all"],
     ["drain", "d4e5", "--timeout", "3s"]],
)  # fmt: skip
def test_wrong_usage_is_2_and_changes_nothing(town, br, arguments):
    assert br(*arguments).exit_code == 2
    assert not [call for call in town.calls if call[0] in ("set_pool", "drain_worker")]
