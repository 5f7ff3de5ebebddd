"""Bringing up the local coordinator: by the first who needs it, once, with a reason when it fails."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from buildrunner_parallel.client import Client
from buildrunner_parallel.discovery import Health, Target, probe, start_local
from buildrunner_parallel.errors import CoordinatorStartError
from buildrunner_parallel.flocks import FileLock, is_held
from buildrunner_parallel.keeper import processes
from buildrunner_parallel.workspace import Workspace

pytestmark = pytest.mark.e2e


@pytest.fixture
def workspace(house, monkeypatch):
    """The house as a workspace; what is started from this process finds the fake coordinator."""
    monkeypatch.setenv("PYTHONPATH", house.environment["PYTHONPATH"])
    monkeypatch.setenv("KEEPER_TEST_HOUSE", str(house.data))
    monkeypatch.setenv("BR_STATE_DIR", str(house.data))
    monkeypatch.setenv("BR_WORKER_ID", "of-a-task")
    return Workspace(house.data.parent, house.data.parent, house.data)


def end(house) -> None:
    """An ordered end, so that nothing is left."""
    os.kill(house.coordinator_pid(), signal.SIGTERM)
    house.eventually(lambda: not house.left(), "everything to end")


def test_it_is_started_once_by_whoever_comes_first(house, workspace):
    with ThreadPoolExecutor(4) as pool:
        targets = list(pool.map(lambda _: start_local(workspace), range(4)))
    assert set(targets) == {Target(f"unix:{house.data}/c.sock", "secret")}
    assert probe(targets[0]) == Health.SERVING
    assert len(house.noted("starts")) == 1
    end(house)


def test_the_directory_is_its_owners_alone_and_ignored_by_git(house, workspace):
    house.data.rmdir()
    start_local(workspace)
    assert house.data.stat().st_mode & 0o777 == 0o700
    assert (house.data / ".gitignore").read_text() == "*\n"
    end(house)


def test_what_a_task_was_told_does_not_reach_what_it_starts(house, workspace):
    start_local(workspace)
    variables = processes.environment(house.coordinator_pid())
    assert variables["KEEPER_TEST_HOUSE"] == str(house.data)
    assert not [name for name in variables if name.startswith("BR_")]
    assert os.getsid(house.coordinator_pid()) != os.getsid(0)
    end(house)


def test_a_stale_file_and_socket_of_a_dead_process_are_no_obstacle(house, workspace):
    (house.data / "c.sock").touch()
    stale = {"address": f"unix:{house.data}/c.sock", "pid": 2**22 - 1}
    (house.data / "coordinator.json").write_text(json.dumps(stale))
    assert probe(start_local(workspace)) == Health.SERVING
    end(house)


def test_a_client_brings_back_a_coordinator_that_was_lost_with_its_keeper(house, workspace):
    with Client.connect() as client:
        first = house.coordinator_pid()
        os.kill(json.loads((house.data / "keeper.json").read_text())["pid"], signal.SIGKILL)
        os.kill(first, signal.SIGKILL)
        assert client.list_workers() == []
        assert house.coordinator_pid() != first
    end(house)


def test_a_start_that_follows_a_stop_waits_for_the_old_keeper(house, workspace):
    start_local(workspace)
    first = house.coordinator_pid()
    os.kill(first, signal.SIGTERM)
    house.eventually(lambda: not is_held(house.data / "coordinator.lock"), "its end")
    assert probe(start_local(workspace)) == Health.SERVING
    assert house.coordinator_pid() != first
    end(house)


def test_one_that_takes_long_to_load_its_state_is_waited_for(house, workspace):
    house.data.mkdir(parents=True, exist_ok=True)
    (house.data / "loads").write_text("2")
    assert probe(start_local(workspace, timeout_s=1.0)) == Health.SERVING
    end(house)


def test_a_failure_is_one_line_with_the_coordinators_own_words(house, workspace):
    (house.data / "fake.json").write_text(json.dumps({"exit": 78, "say": "the database is newer"}))
    with pytest.raises(CoordinatorStartError) as caught:
        start_local(workspace)
    assert caught.value.message == "the local coordinator could not be started: the database is newer"
    assert "coordinator.out: the database is newer" in caught.value.log_tail
    assert caught.value.exit_code == 3


def test_waiting_has_an_end(house, workspace):
    lock = FileLock(house.data / "start.lock")
    assert lock.try_acquire()
    with pytest.raises(CoordinatorStartError, match="another process has been starting it"):
        start_local(workspace, timeout_s=0.1)
    lock.release()


def test_a_file_in_the_place_of_the_directory_is_told(house, workspace):
    house.data.rmdir()
    house.data.write_text("not a directory")
    with pytest.raises(CoordinatorStartError, match=r"cannot keep state in .*BR_STATE_DIR"):
        start_local(workspace)


def test_a_full_disk_is_told(house, workspace, monkeypatch):
    space = os.statvfs(house.data)
    full = os.statvfs_result((space.f_bsize, space.f_frsize, space.f_blocks, 0, 0, 9, 9, 9, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    with pytest.raises(CoordinatorStartError, match="only 0 KiB are free"):
        start_local(workspace)
    assert house.noted("starts") == []
