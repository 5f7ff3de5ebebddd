"""The keeper with real processes: it keeps a coordinator and workers alive, and leaves nothing behind."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal

import pytest

from buildrunner_parallel.keeper import processes
from buildrunner_parallel.worker import reaper

pytestmark = pytest.mark.e2e


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    return processes.start_ticks(pid) is not None


def test_a_coordinator_that_is_killed_again_and_again_is_back_each_time_and_workers_stay(house):
    house.want({"wanted": 2})
    house.start_keeper()
    workers = house.settle(2)
    for _ in range(3):
        killed = house.coordinator_pid()
        kill(killed)
        house.eventually(lambda killed=killed: house.coordinator_pid() not in (0, killed), "a new one")
    log = house.log()
    assert (log.count("the coordinator ended"), log.count("started the coordinator")) == (3, 4)
    assert house.workers() == workers
    assert all(alive(worker["pid"]) for worker in workers)


def test_a_killed_worker_is_cleaned_up_reported_and_replaced(house):
    house.want({"wanted": 2, "session_id": "a3f2e1d9", "slots": 2})
    house.start_keeper()
    first, second = house.settle(2)
    assert {first["session_id"], second["session_id"]} == {"a3f2e1d9"}
    assert first["slots"] == 2
    assert reaper.find_marked(f"BR_WORKER_ID={first['worker_id']}")
    kill(first["pid"])
    (death,) = house.eventually(lambda: house.noted("deaths"), "the death")
    assert death == {
        "worker_id": first["worker_id"],
        "pid": first["pid"],
        "gone": True,
        "reason": "killed by signal 9",
    }
    assert not reaper.find_marked(f"BR_WORKER_ID={first['worker_id']}")
    assert second in house.settle(2)


def test_a_killed_keeper_is_replaced_by_one_that_adopts_all(house):
    house.want({"wanted": 2})
    keeper = house.start_keeper()
    workers = house.settle(2)
    coordinator = house.coordinator_pid()
    keeper.kill()
    keeper.wait()
    kill(workers[0]["pid"])
    house.start_keeper()
    (death,) = house.eventually(lambda: house.noted("deaths"), "the death of one nobody watched")
    assert death["worker_id"] == workers[0]["worker_id"]
    assert workers[1] in house.settle(2)
    assert house.coordinator_pid() == coordinator
    assert len(house.noted("starts")) == 1
    kill(coordinator)
    house.eventually(lambda: len(house.noted("starts")) == 2, "a restart of one that was not its child")


def test_workers_are_found_again_without_the_file(house):
    house.want({"wanted": 2, "session_id": "a3f2e1d9"})
    keeper = house.start_keeper()
    workers = house.settle(2)
    keeper.kill()
    keeper.wait()
    (house.data / "workers.json").unlink()
    house.start_keeper()
    house.settle(2)
    assert house.workers() == workers
    assert house.log().count("started worker") == 2
    assert house.log().count("adopted worker") == 2


def test_a_second_keeper_leaves_at_once(house):
    house.start_keeper()
    house.eventually(house.coordinator_pid, "a coordinator")
    assert house.start_keeper().wait(60) == 0
    assert len(house.noted("starts")) == 1


def test_both_killed_at_once_are_both_back_with_the_next_keeper(house):
    house.want({"wanted": 1})
    keeper = house.start_keeper()
    (worker,) = house.settle(1)
    kill(house.coordinator_pid())
    keeper.kill()
    keeper.wait()
    house.start_keeper()
    house.eventually(lambda: len(house.noted("starts")) == 2, "a new coordinator")
    assert house.settle(1) == [worker]


def test_shrinking_drains_the_surplus_and_growing_starts_more(house):
    house.want({"wanted": 3})
    house.start_keeper()
    workers = house.settle(3)
    busy = workers[2]
    partial = house.data / "registered" / "busy.new"
    partial.write_text(json.dumps({**busy, "busy": True}))
    partial.replace(house.data / "registered" / f"{busy['worker_id']}.json")  # it is read at any moment
    house.want({"wanted": 1})
    house.eventually(lambda: len(house.workers()) == 1, "two drained")
    assert house.workers()[0]["worker_id"] == busy["worker_id"]
    assert len(house.noted("drains")) == 2
    house.want({"wanted": 2})
    house.eventually(lambda: len(house.workers()) == 2, "one more")
    assert house.noted("deaths") == []


def test_an_ordered_end_takes_the_workers_and_the_keeper_along(house):
    house.want({"wanted": 2})
    keeper = house.start_keeper()
    house.settle(2)
    os.kill(house.coordinator_pid(), signal.SIGTERM)
    assert keeper.wait(60) == 0
    assert house.left() == []


def test_an_ordered_end_of_a_coordinator_that_is_not_its_child_does_too(house):
    house.want({"wanted": 1})
    coordinator = house.start_coordinator()
    house.eventually(house.coordinator_pid, "a coordinator")
    keeper = house.start_keeper()
    house.settle(1)
    assert len(house.noted("starts")) == 1
    coordinator.terminate()
    assert coordinator.wait(60) == 0
    assert keeper.wait(60) == 0
    assert house.left() == []


def test_sigterm_ends_the_keeper_alone(house):
    house.want({"wanted": 1})
    keeper = house.start_keeper()
    (worker,) = house.settle(1)
    keeper.terminate()
    assert keeper.wait(60) == 0
    assert alive(worker["pid"]) and alive(house.coordinator_pid())


def test_a_coordinator_that_refuses_its_state_is_not_started_again(house):
    (house.data / "fake.json").write_text(json.dumps({"exit": 78, "say": "the database is newer"}))
    assert house.start_keeper().wait(60) == 78
    assert len(house.noted("starts")) == 1
    assert json.loads((house.data / "keeper.json").read_text())["failure"] == "the database is newer"
    assert "the database is newer" in house.log()


def test_a_coordinator_that_cannot_start_is_tried_five_times(house):
    (house.data / "fake.json").write_text(json.dumps({"exit": 1, "say": "no luck"}))
    assert house.start_keeper().wait(60) == 78
    assert len(house.noted("starts")) == 5


def test_when_the_state_is_removed_everything_ends(house):
    house.want({"wanted": 2})
    keeper = house.start_keeper()
    house.settle(2)
    shutil.rmtree(house.data, ignore_errors=True)
    assert keeper.wait(60) == 0
    assert house.left() == []


def test_workers_that_cannot_start_are_tried_ever_more_slowly(house):
    (house.data / "workers_fail").touch()
    house.want({"wanted": 1})
    house.start_keeper()
    house.eventually(lambda: house.log().count("exit code 1") >= 3, "three tries")
    started = house.log().count("started worker")
    (house.data / "workers_fail").unlink()
    house.settle(1)
    assert house.log().count("started worker") <= started + 2


def test_workers_killed_at_an_ordered_end_are_reported_by_the_next_keeper(house):
    house.want({"wanted": 1})
    keeper = house.start_keeper()
    (worker,) = house.settle(1)
    os.kill(worker["pid"], signal.SIGSTOP)
    os.kill(house.coordinator_pid(), signal.SIGTERM)
    assert keeper.wait(60) == 0
    assert house.left() == []
    house.start_keeper()
    (death,) = house.eventually(lambda: house.noted("deaths"), "the report")
    assert (death["worker_id"], death["gone"]) == (worker["worker_id"], True)
    house.settle(1)


def test_a_coordinator_whose_lock_outlives_it_is_replaced_all_the_same(house):
    house.start_keeper()
    killed = house.eventually(house.coordinator_pid, "a coordinator")
    lock = (house.data / "coordinator.lock").open("r+")
    lock.write(f"{killed}\n")
    lock.flush()
    kill(killed)
    fcntl.flock(lock, fcntl.LOCK_EX)
    house.eventually(lambda: "exit code 3" in house.log(), "a try while a helper holds the lock")
    lock.close()
    house.eventually(lambda: house.coordinator_pid() != killed, "a new one")
